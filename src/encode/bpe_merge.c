/* bpe_merge_tokens: applies the merges in their order, each from left to right.
 *
 * A heap has the pairs that can be merged, by merge and position, so that each step finds
 * the next one: O(n log n). A pair that a replacement creates belongs to a later merge,
 * because it contains that merge's token. A pair that has changed since it was pushed is
 * recognised by its tokens. */
#include "bpe_internal.h"

#include <stdlib.h>
#include <string.h>

#include "key_heap.h"

struct merger {
    const struct bpe *bpe;
    struct bpe_sequence sequence;
    struct key_heap heap; /* merge << 32 | position */
};

/* Pushes the pair that begins at `at`, if it is to be merged. */
static enum status push_pair(struct merger *merger, size_t at)
{
    const struct bpe_sequence *sequence = &merger->sequence;
    size_t next = bpe_next(sequence, at);
    if (next >= sequence->count)
        return STATUS_OK;
    const struct token_pair pair = {sequence->tokens[at], sequence->tokens[next]};
    size_t merge = pair_table_find(&merger->bpe->merges, pair);
    if (merge == merger->bpe->merges.count)
        return STATUS_OK;
    return key_heap_push(&merger->heap, (uint64_t)merge << 32 | at);
}

static bool has_pair(const struct bpe_sequence *sequence, size_t at,
                     struct token_pair pair)
{
    if (sequence->tokens[at] != pair.first)
        return false;
    size_t next = bpe_next(sequence, at);
    return next < sequence->count && sequence->tokens[next] == pair.second;
}

static enum status merge_pairs(struct merger *merger)
{
    struct bpe_sequence *sequence = &merger->sequence;
    enum status status = STATUS_OK;
    for (size_t at = 0; at < sequence->count && status == STATUS_OK; at++)
        status = push_pair(merger, at);
    uint64_t key;
    while (status == STATUS_OK && key_heap_pop(&merger->heap, &key)) {
        size_t merge = key >> 32, at = key & UINT32_MAX;
        if (!has_pair(sequence, at, merger->bpe->merges.pairs[merge]))
            continue;
        bpe_replace(sequence, at, (token)(merger->bpe->base->end + merge));
        status = push_pair(merger, at);
        if (status == STATUS_OK && at > 0)
            status = push_pair(merger, bpe_previous(sequence, at));
    }
    return status;
}

static size_t compact(const struct bpe_sequence *sequence, token *tokens)
{
    size_t count = 0;
    for (size_t at = 0; at < sequence->count; at = bpe_next(sequence, at))
        tokens[count++] = sequence->tokens[at];
    return count;
}

enum status bpe_merge_tokens(const struct encoding *encoding, token *tokens,
                             size_t *count)
{
    if (!encoding->bpe || *count == 0)
        return STATUS_OK;
    struct merger merger = {.bpe = encoding->bpe};
    struct bpe_sequence *sequence = &merger.sequence;
    *sequence =
        (struct bpe_sequence){malloc(*count * sizeof *tokens), malloc(*count), *count};
    enum status status = STATUS_FAILED;
    if (sequence->tokens && sequence->lengths) {
        memcpy(sequence->tokens, tokens, *count * sizeof *tokens);
        memset(sequence->lengths, 1, *count);
        status = merge_pairs(&merger);
    } else {
        status_fail(STATUS_FAILED, "no memory to merge %zu tokens", *count);
    }
    if (status == STATUS_OK)
        *count = compact(sequence, tokens);
    key_heap_free(&merger.heap);
    free(sequence->tokens);
    free(sequence->lengths);
    return status;
}
