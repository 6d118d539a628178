/* tokens: a dynamic array of tokens. */
#ifndef TUTTI_ENCODE_TOKENS_H
#define TUTTI_ENCODE_TOKENS_H

#include <stddef.h>

#include "base/status.h"
#include "base/token.h"

struct tokens { /* zero-initialise; free with tokens_free */
    token *items;
    size_t count, capacity;
};

/* Grows the capacity, so that items[count .. count + extra) can be written. */
enum status tokens_reserve(struct tokens *tokens, size_t extra);
enum status tokens_append(struct tokens *tokens, token value);
void tokens_free(struct tokens *tokens);

#endif
