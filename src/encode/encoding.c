/* encoding: the list of encodings, and functions that work on any encoding through its
 * table of functions. */
#include "encoding.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpe.h"
#include "base/hash.h"

extern const struct encoding encoding_performance, encoding_pianoroll, encoding_remi;
static const struct encoding *const encodings[] = {
    [ENCODING_PERFORMANCE] = &encoding_performance,
    [ENCODING_PIANOROLL] = &encoding_pianoroll,
    [ENCODING_REMI] = &encoding_remi,
};
_Static_assert(sizeof encodings / sizeof *encodings == ENCODINGS, "one row each");

enum status encoding_from_options(const struct options *options, struct encoding **out)
{
    const struct encoding *prototype = encodings[options->data.encoding];
    *out = NULL;
    struct encoding *encoding = malloc(sizeof *encoding);
    if (!encoding)
        return status_fail(STATUS_FAILED, "no memory for an encoding");
    *encoding = *prototype;
    encoding->keeps_programs = options->data.programs == PROGRAMS_KEEP;
    encoding->keeps_drums = options->data.drums == DRUMS_KEEP;
    enum status status =
        prototype->configure ? prototype->configure(encoding, options) : STATUS_OK;
    if (status == STATUS_OK)
        *out = encoding;
    else
        free(encoding);
    return status;
}

static enum status fail_unknown(const char *name)
{
    char names[160] = "";
    for (int i = 0; i < ENCODINGS; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? " or " : "",
                 encodings[i]->name);
    }
    return status_fail(STATUS_MISUSE, "unknown encoding '%s' (expected %s)", name, names);
}

enum status encoding_create(const char *name, const char *grid, struct encoding **out)
{
    struct options options;
    options_defaults(&options);
    *out = NULL;
    if (grid)
        snprintf(options.data.grid, sizeof options.data.grid, "%s", grid);
    for (int i = 0; i < ENCODINGS; i++)
        if (strcmp(name, encodings[i]->name) == 0) {
            options.data.encoding = i;
            return encoding_from_options(&options, out);
        }
    return fail_unknown(name);
}

void encoding_free(struct encoding *encoding)
{
    if (encoding)
        bpe_free(encoding->bpe);
    free(encoding);
}

/* The names of merged tokens don't tell what they stand for. */
static uint64_t hash_merges(uint64_t hash, const struct token_pair *pairs, size_t count)
{
    char line[64];
    for (size_t k = 0; k < count; k++) {
        snprintf(line, sizeof line, "%016" PRIx64 " %u %u", hash, pairs[k].first,
                 pairs[k].second);
        hash = hash64(line, strlen(line));
    }
    return hash;
}

uint64_t encoding_hash(const struct encoding *encoding)
{
    char line[160], name[64];
    snprintf(line, sizeof line, "%s %d/%d %d", encoding->name, encoding->grid.numerator,
             encoding->grid.denominator, encoding->grid.ticks);
    uint64_t hash = hash64(line, strlen(line));
    for (unsigned value = 0; value < encoding->vocabulary; value++) {
        encoding->token_name(encoding, (token)value, name, sizeof name);
        snprintf(line, sizeof line, "%016" PRIx64 " %u %s", hash, value, name);
        hash = hash64(line, strlen(line));
    }
    size_t merges;
    const struct token_pair *pairs = bpe_merges(encoding, &merges);
    return merges ? hash_merges(hash, pairs, merges) : hash;
}

size_t encoding_count_notes(const struct encoding *encoding, const token *tokens,
                            size_t count)
{
    struct grammar grammar;
    if (encoding->count_notes)
        return encoding->count_notes(encoding, tokens, count);
    encoding->grammar_start(encoding, &grammar);
    for (size_t i = 0; i < count; i++)
        encoding->grammar_accept(encoding, &grammar, tokens[i]);
    return (size_t)grammar.onsets;
}

void encoding_count_lost(const struct encoding *encoding, const struct notes *notes,
                         const token *tokens, size_t count, struct lost_notes *lost)
{
    uint64_t encoded = 0, percussion = 0;
    for (size_t i = 0; i < notes->count; i++) {
        bool kept = encoding->encodes_note(encoding, &notes->items[i]);
        encoded += kept;
        percussion += !kept && notes->items[i].percussion;
    }
    const struct lost_notes piece = {
        .percussion = percussion,
        .out_of_range = notes->count - encoded - percussion,
        .merged = encoded - encoding_count_notes(encoding, tokens, count)};
    lost_notes_add(lost, &piece);
}

void lost_notes_add(struct lost_notes *sum, const struct lost_notes *lost)
{
    sum->percussion += lost->percussion;
    sum->out_of_range += lost->out_of_range;
    sum->merged += lost->merged;
}
