/* bpe_learn: counts the pairs once, then updates the counts with each replacement, so the
 * time is that of the first count and of all replacements.
 *
 * Each pair has the positions where it occurs, in ascending order, some of them outdated.
 * A merge visits them from left to right. Around each replacement up to two pairs vanish
 * and two appear; those that appear contain the new token, so the counts of all others
 * only fall. Therefore the heap's counts are upper bounds: the best pair is found when a
 * count at the top is exact. */
#include "bpe_internal.h"

#include <stdlib.h>
#include <string.h>

#include "key_heap.h"
#include "base/array.h"

enum { POSITIONS_MIN = 4, COUNT_MIN = 2 };

struct occurrences { /* of a pair */
    uint32_t count;
    uint32_t position_count, capacity;
    uint32_t *positions;
};

struct learner {
    const struct encoding *base;
    struct bpe_sequence text;
    struct pair_table pairs;
    struct occurrences *of; /* [pairs.capacity]; the first pairs.count are set */
    size_t of_count, of_capacity;
    struct key_heap heap; /* (UINT32_MAX - count) << 32 | first << 16 | second */
    uint8_t length[BPE_BASE_MAX + BPE_MERGES_MAX]; /* of each token, in base tokens */
    bool ends_frame[BPE_BASE_MAX + BPE_MERGES_MAX];
};

static enum status append_position(struct occurrences *occurrences, size_t position)
{
    if (occurrences->position_count == occurrences->capacity) {
        uint32_t capacity =
            occurrences->capacity ? 2 * occurrences->capacity : POSITIONS_MIN;
        uint32_t *positions =
            realloc(occurrences->positions, capacity * sizeof *positions);
        if (!positions)
            return status_fail(STATUS_FAILED, "no memory for %u positions", capacity);
        occurrences->positions = positions;
        occurrences->capacity = capacity;
    }
    occurrences->positions[occurrences->position_count++] = (uint32_t)position;
    return STATUS_OK;
}

/* True for a pair that can become a merge. */
static bool may_merge(const struct learner *learner, struct token_pair pair)
{
    if (pair.first == BPE_SEPARATOR || pair.second == BPE_SEPARATOR)
        return false;
    if (learner->length[pair.first] + learner->length[pair.second] > BPE_LENGTH_MAX)
        return false;
    return !learner->ends_frame[pair.first];
}

static struct token_pair pair_at(const struct learner *learner, size_t at)
{
    const struct bpe_sequence *text = &learner->text;
    return (struct token_pair){text->tokens[at], text->tokens[bpe_next(text, at)]};
}

/* Counts the pair that begins at `at`, which is not the last token. */
static enum status add_pair(struct learner *learner, size_t at)
{
    struct token_pair pair = pair_at(learner, at);
    size_t number;
    if (!may_merge(learner, pair))
        return STATUS_OK;
    if (pair_table_add(&learner->pairs, pair, &number) != STATUS_OK)
        return STATUS_FAILED;
    if (number == learner->of_count) {
        struct occurrences *of =
            array_reserve(learner->of, &learner->of_capacity, number + 1, sizeof *of);
        if (!of)
            return STATUS_FAILED;
        learner->of = of;
        of[learner->of_count++] = (struct occurrences){0};
    }
    learner->of[number].count++;
    return append_position(&learner->of[number], at);
}

static void remove_pair(struct learner *learner, size_t at)
{
    struct token_pair pair = pair_at(learner, at);
    if (may_merge(learner, pair))
        learner->of[pair_table_find(&learner->pairs, pair)].count--;
}

static enum status push(struct learner *learner, size_t number)
{
    struct token_pair pair = learner->pairs.pairs[number];
    uint64_t rank = UINT32_MAX - learner->of[number].count;
    if (learner->of[number].count < COUNT_MIN)
        return STATUS_OK;
    return key_heap_push(&learner->heap,
                         rank << 32 | (uint32_t)pair.first << 16 | pair.second);
}

/* Removes the most frequent pair from the heap; *number is pairs.count if there is none.
 */
static enum status pop_best(struct learner *learner, size_t *number)
{
    uint64_t key;
    while (key_heap_pop(&learner->heap, &key)) {
        const struct token_pair pair = {(token)(key >> 16), (token)key};
        *number = pair_table_find(&learner->pairs, pair);
        if (learner->of[*number].count == UINT32_MAX - (uint32_t)(key >> 32))
            return STATUS_OK;
        if (push(learner, *number) != STATUS_OK)
            return STATUS_FAILED;
    }
    *number = learner->pairs.count;
    return STATUS_OK;
}

/* Replaces the pair at `at`; a separator follows the piece, so there is a next token. */
static enum status replace(struct learner *learner, size_t at, token value)
{
    struct bpe_sequence *text = &learner->text;
    enum status status = STATUS_OK;
    remove_pair(learner, bpe_next(text, at));
    if (at > 0)
        remove_pair(learner, bpe_previous(text, at));
    remove_pair(learner, at);
    bpe_replace(text, at, value);
    if (at > 0)
        status = add_pair(learner, bpe_previous(text, at));
    return status == STATUS_OK ? add_pair(learner, at) : status;
}

static enum status merge(struct learner *learner, size_t number, token value)
{
    /* copies, as both tables can move */
    const struct token_pair pair = learner->pairs.pairs[number];
    struct occurrences occurrences = learner->of[number];
    size_t pairs_before = learner->pairs.count;
    enum status status = STATUS_OK;
    learner->length[value] =
        (uint8_t)(learner->length[pair.first] + learner->length[pair.second]);
    learner->ends_frame[value] = learner->ends_frame[pair.second];
    for (uint32_t i = 0; i < occurrences.position_count && status == STATUS_OK; i++) {
        size_t at = occurrences.positions[i];
        if (learner->text.tokens[at] != pair.first)
            continue;
        struct token_pair found = pair_at(learner, at);
        if (found.second == pair.second)
            status = replace(learner, at, value);
    }
    free(occurrences.positions);
    learner->of[number] = (struct occurrences){0};
    for (size_t i = pairs_before; i < learner->pairs.count && status == STATUS_OK; i++)
        status = push(learner, i);
    return status;
}

static enum status learn(struct learner *learner, size_t wanted,
                         struct token_pair *merges, size_t *learnt)
{
    enum status status = STATUS_OK;
    for (size_t at = 0; at + 1 < learner->text.count && status == STATUS_OK; at++)
        status = add_pair(learner, at);
    for (size_t i = 0; i < learner->pairs.count && status == STATUS_OK; i++)
        status = push(learner, i);
    while (*learnt < wanted && status == STATUS_OK) {
        size_t best;
        status = pop_best(learner, &best);
        if (status != STATUS_OK || best == learner->pairs.count)
            break;
        merges[*learnt] = learner->pairs.pairs[best];
        status = merge(learner, best, (token)(learner->base->end + *learnt));
        (*learnt)++;
    }
    return status;
}

enum status bpe_learn(const struct encoding *base, token *text, size_t count,
                      size_t wanted, struct token_pair *merges, size_t *learnt)
{
    struct learner *learner = calloc(1, sizeof *learner);
    uint8_t *lengths = malloc(count + 1);
    enum status status = STATUS_FAILED;
    *learnt = 0;
    if (learner && lengths) {
        memset(lengths, 1, count);
        memset(learner->length, 1, sizeof learner->length);
        for (token value = 0; value < base->end; value++)
            learner->ends_frame[value] = bpe_ends_frame(base, value);
        learner->base = base;
        learner->text = (struct bpe_sequence){text, lengths, count};
        status = learn(learner, wanted, merges, learnt);
    } else {
        status_fail(STATUS_FAILED, "no memory to learn merges of %zu tokens", count);
    }
    for (size_t i = 0; learner && i < learner->of_count; i++)
        free(learner->of[i].positions);
    if (learner) {
        free(learner->of);
        pair_table_free(&learner->pairs);
        key_heap_free(&learner->heap);
    }
    free(learner);
    free(lengths);
    return status;
}
