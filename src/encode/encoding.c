/* encoding: the list of encodings, token sequences, and what can be said of any encoding
 * through its table of functions alone. */
#include "encoding.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onsets.h"
#include "base/array.h"
#include "base/hash.h"

enum { GRID_TERM_MAX = 10000 };

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

/* Reads a term of the grid and moves *text behind it; 0 if there is none in range. */
static int read_term(const char **text)
{
    if (!isdigit((unsigned char)**text))
        return 0;
    char *behind = NULL;
    errno = 0;
    unsigned long value = strtoul(*text, &behind, 10);
    *text = behind;
    return errno == 0 && value <= GRID_TERM_MAX ? (int)value : 0;
}

static int greatest_common_divisor(int a, int b)
{
    while (b) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static enum status read_grid(const char *text, struct encoding_grid *grid)
{
    const char *at = text ? text : "";
    *grid = (struct encoding_grid){0};
    int first = read_term(&at);
    if (first && *at == '/') {
        at++;
        int second = read_term(&at);
        if (second && *at == '\0') {
            int divisor = greatest_common_divisor(first, second);
            grid->numerator = first / divisor;
            grid->denominator = second / divisor;
        }
    } else if (first && (strcmp(at, " ticks") == 0 || strcmp(at, " tick") == 0)) {
        grid->ticks = first;
    }
    if (!grid->denominator && !grid->ticks)
        return status_fail(
            STATUS_MISUSE,
            "grid '%s' is not a step of the pianoroll (expected a fraction of "
            "a beat such as 1/4, or 120 ticks; terms from 1 to %d)",
            text ? text : "", GRID_TERM_MAX);
    if (grid->denominator > ENCODING_TICKS_PER_BEAT * grid->numerator)
        return status_fail(STATUS_MISUSE, "grid '%s' is finer than 1/%d of a beat", text,
                           ENCODING_TICKS_PER_BEAT);
    return STATUS_OK;
}

static enum status make_pianoroll(const char *grid, struct encoding *encoding)
{
    *encoding = encoding_pianoroll;
    enum status status = read_grid(grid, &encoding->grid);
    if (status != STATUS_OK)
        return status;
    double beats = encoding->grid.ticks
                       ? (double)encoding->grid.ticks / ENCODING_TICKS_PER_BEAT
                       : (double)encoding->grid.numerator / encoding->grid.denominator;
    encoding->seconds_per_step = beats / 2; /* 120 beats a minute */
    return STATUS_OK;
}

enum status encoding_create(const char *name, const char *grid, struct encoding **out)
{
    struct encoding made;
    *out = NULL;
    if (strcmp(name, encoding_performance.name) == 0) {
        made = encoding_performance;
    } else if (strcmp(name, encoding_pianoroll.name) == 0) {
        enum status status = make_pianoroll(grid, &made);
        if (status != STATUS_OK)
            return status;
    } else {
        return status_fail(STATUS_MISUSE,
                           "unknown encoding '%s' (expected performance or pianoroll)",
                           name);
    }
    struct encoding *encoding = malloc(sizeof *encoding);
    if (!encoding)
        return status_fail(STATUS_FAILED, "no memory for an encoding");
    *encoding = made;
    *out = encoding;
    return STATUS_OK;
}

enum status encoding_of_options(const struct options *options, struct encoding **out)
{
    static const char *const names[] = {
        [ENCODING_PERFORMANCE] = "performance", [ENCODING_PIANOROLL] = "pianoroll"};
    return encoding_create(names[options->data.encoding], options->data.grid, out);
}

void encoding_free(struct encoding *encoding)
{
    free(encoding);
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
    return hash;
}

size_t encoding_count_notes(const struct encoding *encoding, const token *tokens,
                            size_t count)
{
    struct grammar grammar;
    encoding->grammar_start(encoding, &grammar);
    for (size_t i = 0; i < count; i++)
        encoding->grammar_accept(encoding, &grammar, tokens[i]);
    return (size_t)grammar.onsets;
}
