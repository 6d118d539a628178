/* token: the input and output of a model, an integer less than the vocabulary size. The
 * encoding defines its meaning (encoding.h). */
#ifndef TUTTI_BASE_TOKEN_H
#define TUTTI_BASE_TOKEN_H

#include <stdint.h>

typedef uint16_t token;

#endif
