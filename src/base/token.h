/* token: the input and output of a model, an integer below the size of its vocabulary.
 * The encoding defines its meaning (encoding.h). */
#ifndef TUTTI_BASE_TOKEN_H
#define TUTTI_BASE_TOKEN_H

#include <stdint.h>

typedef uint16_t token;

#endif
