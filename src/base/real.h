/* real: the floating-point type of the model. float in the program; the tests build the
 * model a second time with TUTTI_DOUBLE, where finite differences are sharp. */
#ifndef TUTTI_BASE_REAL_H
#define TUTTI_BASE_REAL_H

#ifdef TUTTI_DOUBLE
typedef double real;
#else
typedef float real;
#endif

#endif
