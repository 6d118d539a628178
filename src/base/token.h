/* token: what a model reads and predicts, a number below the size of its vocabulary. What
 * it means is the encoding's business (encoding.h). */
#ifndef TUTTI_BASE_TOKEN_H
#define TUTTI_BASE_TOKEN_H

#include <stdint.h>

typedef uint16_t token;

#endif
