/* bpe: the functions of an encoding with merged tokens, each by expansion. */
#include "bpe_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- expansion ---- */

const struct encoding *bpe_base(const struct encoding *encoding)
{
    return encoding->bpe ? encoding->bpe->base : encoding;
}

const struct token_pair *bpe_merges(const struct encoding *encoding, size_t *count)
{
    *count = encoding->bpe ? encoding->bpe->merges.count : 0;
    return encoding->bpe ? encoding->bpe->merges.pairs : NULL;
}

const token *bpe_expand(const struct encoding *encoding, const token *value,
                        size_t *count)
{
    const struct bpe *bpe = encoding->bpe;
    *count = 1;
    if (!bpe || *value < bpe->base->end)
        return value;
    if (*value == encoding->end)
        return &bpe->base->end;
    size_t merge = (size_t)(*value - bpe->base->end);
    *count = merge < bpe->merges.count ? bpe->first[merge + 1] - bpe->first[merge] : 0;
    return *count ? bpe->expanded + bpe->first[merge] : value;
}

enum status bpe_expand_tokens(const struct encoding *encoding, const token *tokens,
                              size_t count, struct tokens *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t length;
        const token *base = bpe_expand(encoding, &tokens[i], &length);
        if (tokens_reserve(out, length) != STATUS_OK)
            return STATUS_FAILED;
        memcpy(out->items + out->count, base, length * sizeof *base);
        out->count += length;
    }
    return STATUS_OK;
}

double bpe_longest_advance(const struct encoding *encoding)
{
    return encoding->bpe ? encoding->bpe->longest_advance : 0;
}

/* ---- the functions ---- */

static bool bpe_encodes_note(const struct encoding *self, const struct note *note)
{
    return self->bpe->base->encodes_note(self->bpe->base, note);
}

static enum status bpe_encode(const struct encoding *self, const struct notes *notes,
                              struct tokens *out)
{
    const struct encoding *base = self->bpe->base;
    size_t before = out->count;
    enum status status = base->encode(base, notes, out);
    if (status != STATUS_OK)
        return status;
    size_t count = out->count - before;
    if (count > 0)
        status = bpe_merge_tokens(self, out->items + before, &count);
    out->count = status == STATUS_OK ? before + count : before;
    return status;
}

static enum status bpe_find_grid_steps(const struct encoding *self,
                                       const struct notes *notes, double *first,
                                       double *length)
{
    return self->bpe->base->find_grid_steps(self->bpe->base, notes, first, length);
}

static enum status bpe_decode(const struct encoding *self, const token *tokens,
                              size_t count, size_t skip, struct notes *out)
{
    const struct encoding *base = self->bpe->base;
    struct tokens expanded = {0};
    skip = skip < count ? skip : count;
    enum status status = bpe_expand_tokens(self, tokens, skip, &expanded);
    size_t base_skip = expanded.count;
    if (status == STATUS_OK)
        status = bpe_expand_tokens(self, tokens + skip, count - skip, &expanded);
    if (status == STATUS_OK)
        status = base->decode(base, expanded.items, expanded.count, base_skip, out);
    tokens_free(&expanded);
    return status;
}

static const char *bpe_token_name(const struct encoding *self, token value, char *text,
                                  size_t size)
{
    const struct encoding *base = self->bpe->base;
    if (value < base->end)
        return base->token_name(base, value, text, size);
    if (value < self->end)
        snprintf(text, size, "BPE %d", value - base->end);
    else if (value == self->end)
        base->token_name(base, base->end, text, size);
    else
        snprintf(text, size, "UNKNOWN %d", value);
    return text;
}

static uint64_t bpe_advance(const struct encoding *self, const struct grammar *grammar,
                            token value)
{
    const struct encoding *base = self->bpe->base;
    size_t length;
    const token *parts = bpe_expand(self, &value, &length);
    struct grammar after;
    uint64_t steps = 0;
    if (grammar)
        after = *grammar;
    for (size_t i = 0; i < length; i++) {
        steps += base->advance(base, grammar ? &after : NULL, parts[i]);
        if (grammar && i + 1 < length)
            base->grammar_accept(base, &after, parts[i]);
    }
    return steps;
}

static bool bpe_token_sounds(const struct encoding *self, token value)
{
    const struct encoding *base = self->bpe->base;
    if (value >= base->end)
        return value < self->end && self->bpe->sounds[value - base->end];
    return base->token_sounds(base, value);
}

static int bpe_token_pitch(const struct encoding *self, token value)
{
    const struct encoding *base = self->bpe->base;
    return value < base->end ? base->token_pitch(base, value) : -1;
}

static void bpe_grammar_start(const struct encoding *self, struct grammar *grammar)
{
    self->bpe->base->grammar_start(self->bpe->base, grammar);
}

static void end_long_notes(void *context, const struct encoding *base,
                           const struct grammar *grammar, double last_sound,
                           bool *allowed)
{
    const double *longest = context;
    (void)last_sound;
    base->grammar_end_long_notes(base, grammar, *longest, allowed);
}

static void bpe_grammar_end_long_notes(const struct encoding *self,
                                       const struct grammar *grammar, double longest,
                                       bool *allowed)
{
    bpe_restrict(self, grammar, grammar->seconds, end_long_notes, &longest, allowed);
}

static void bpe_grammar_accept(const struct encoding *self, struct grammar *grammar,
                               token value)
{
    const struct encoding *base = self->bpe->base;
    size_t length;
    const token *parts = bpe_expand(self, &value, &length);
    for (size_t i = 0; i < length; i++)
        base->grammar_accept(base, grammar, parts[i]);
}

static double find_longest_advance(const struct encoding *self)
{
    const struct encoding *base = self->bpe->base;
    uint64_t longest = 0;
    if (!base->has_frames && !base->longest_shift)
        return (double)INFINITY;
    for (size_t merge = 0; merge < self->bpe->merges.count; merge++) {
        uint64_t steps = bpe_advance(self, NULL, (token)(base->end + merge));
        longest = steps > longest ? steps : longest;
    }
    return (double)longest * base->seconds_per_grid_step;
}

static struct encoding with_bpe(struct bpe *bpe)
{
    struct encoding encoding = *bpe->base; /* name, grid, rates */
    encoding.bpe = bpe;
    encoding.end = (token)(bpe->base->end + bpe->merges.count);
    encoding.vocabulary = (size_t)encoding.end + 1;
    encoding.configure = NULL;
    encoding.encodes_note = bpe_encodes_note;
    encoding.encode = bpe_encode;
    if (encoding.find_grid_steps)
        encoding.find_grid_steps = bpe_find_grid_steps;
    encoding.decode = bpe_decode;
    encoding.token_name = bpe_token_name;
    encoding.advance = bpe_advance;
    encoding.token_sounds = bpe_token_sounds;
    encoding.token_pitch = bpe_token_pitch;
    encoding.count_notes = NULL;
    encoding.transpose = NULL;
    encoding.shift_velocity = NULL;
    encoding.longest_shift = NULL;
    encoding.grammar_start = bpe_grammar_start;
    encoding.grammar_allowed = bpe_grammar_allowed;
    encoding.grammar_end_long_notes = bpe_grammar_end_long_notes;
    encoding.grammar_accept = bpe_grammar_accept;
    return encoding;
}

/* ---- creation ---- */

/* Copies to `text` the base tokens of `value`, which is a base token or an earlier merge.
 * Returns how many there are. */
static uint32_t copy_expansion(const struct bpe *bpe, token value, token *text)
{
    if (value < bpe->base->end) {
        *text = value;
        return 1;
    }
    size_t merge = (size_t)(value - bpe->base->end);
    uint32_t length = bpe->first[merge + 1] - bpe->first[merge];
    memcpy(text, bpe->expanded + bpe->first[merge], length * sizeof *text);
    return length;
}

/* Adds merge k, whose pair must be one that bpe_learn could have found. */
static enum status add_merge(struct bpe *bpe, size_t k, struct token_pair pair)
{
    token text[2 * BPE_LENGTH_MAX];
    size_t known = bpe->base->end + k, number;
    if (pair.first >= known || pair.second >= known)
        return status_fail(STATUS_FAILED,
                           "merge %zu is of token %d, but only %zu are known by then", k,
                           pair.first >= known ? pair.first : pair.second, known);
    uint32_t length = copy_expansion(bpe, pair.first, text);
    if (bpe_ends_frame(bpe->base, text[length - 1]))
        return status_fail(STATUS_FAILED, "merge %zu crosses the end of a frame", k);
    length += copy_expansion(bpe, pair.second, text + length);
    if (length > BPE_LENGTH_MAX)
        return status_fail(STATUS_FAILED, "merge %zu is of %u tokens (at most %d)", k,
                           length, BPE_LENGTH_MAX);
    if (pair_table_add(&bpe->merges, pair, &number) != STATUS_OK)
        return STATUS_FAILED;
    if (number != k)
        return status_fail(STATUS_FAILED, "merge %zu is the same as merge %zu", k,
                           number);
    for (uint32_t i = 0; i < length; i++)
        bpe->sounds[k] |= bpe->base->token_sounds(bpe->base, text[i]);
    memcpy(bpe->expanded + bpe->first[k], text, length * sizeof *text);
    bpe->first[k + 1] = bpe->first[k] + length;
    return STATUS_OK;
}

static enum status add_merges(struct bpe *bpe, const struct token_pair *merges,
                              size_t count)
{
    if (bpe->base->vocabulary > BPE_BASE_MAX || count == 0 || count > BPE_MERGES_MAX)
        return status_fail(STATUS_FAILED,
                           "%zu merges of %zu tokens (expected 1 to %d, of at most %d)",
                           count, bpe->base->vocabulary, BPE_MERGES_MAX, BPE_BASE_MAX);
    bpe->first = calloc(count + 1, sizeof *bpe->first);
    bpe->expanded = calloc(count * BPE_LENGTH_MAX, sizeof *bpe->expanded);
    bpe->sounds = calloc(count, sizeof *bpe->sounds);
    if (!bpe->first || !bpe->expanded || !bpe->sounds)
        return status_fail(STATUS_FAILED, "no memory for %zu merges", count);
    enum status status = STATUS_OK;
    for (size_t k = 0; k < count && status == STATUS_OK; k++)
        status = add_merge(bpe, k, merges[k]);
    return status == STATUS_OK ? bpe_build_tree(bpe) : status;
}

enum status bpe_create(struct encoding *base, const struct token_pair *merges,
                       size_t count, struct encoding **out)
{
    struct bpe *bpe = calloc(1, sizeof *bpe);
    struct encoding *encoding = malloc(sizeof *encoding);
    *out = NULL;
    if (!bpe || !encoding) {
        free(bpe);
        free(encoding);
        return status_fail(STATUS_FAILED, "no memory for an encoding");
    }
    bpe->base = base;
    enum status status = add_merges(bpe, merges, count);
    if (status == STATUS_OK) {
        *encoding = with_bpe(bpe);
        bpe->longest_advance = find_longest_advance(encoding);
        *out = encoding;
        return STATUS_OK;
    }
    bpe->base = NULL; /* remains the caller's */
    bpe_free(bpe);
    free(encoding);
    return status;
}

void bpe_free(struct bpe *bpe)
{
    if (!bpe)
        return;
    encoding_free(bpe->base);
    pair_table_free(&bpe->merges);
    free(bpe->first);
    free(bpe->expanded);
    free(bpe->sounds);
    free(bpe->same);
    free(bpe->nodes);
    free(bpe);
}
