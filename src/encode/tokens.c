/* tokens: see the header. */
#include "tokens.h"

#include <stdlib.h>

#include "base/array.h"

enum status tokens_reserve(struct tokens *tokens, size_t extra)
{
    if (extra <= tokens->capacity - tokens->count)
        return STATUS_OK;
    token *items = array_reserve(tokens->items, &tokens->capacity, tokens->count + extra,
                                 sizeof *items);
    if (!items)
        return STATUS_FAILED;
    tokens->items = items;
    return STATUS_OK;
}

enum status tokens_append(struct tokens *tokens, token value)
{
    enum status status = tokens_reserve(tokens, 1);
    if (status == STATUS_OK)
        tokens->items[tokens->count++] = value;
    return status;
}

void tokens_free(struct tokens *tokens)
{
    free(tokens->items);
    *tokens = (struct tokens){0};
}
