/* real: the floating-point type of the model. float in the program; the tests also
 * build the model with TUTTI_DOUBLE, for accurate finite differences. */
#ifndef TUTTI_BASE_REAL_H
#define TUTTI_BASE_REAL_H

#ifdef TUTTI_DOUBLE
typedef double real;
#else
typedef float real;
#endif

#endif
