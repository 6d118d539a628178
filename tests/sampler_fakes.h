/* sampler_fakes: fake sources of logits in place of a model, and a run of the sampler on
 * one. A source records its inputs, which are the sampled tokens. */
#ifndef TUTTI_TESTS_SAMPLER_FAKES_H
#define TUTTI_TESTS_SAMPLER_FAKES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "encodings.h"
#include "pieces.h"
#include "wellformed.h"
#include "generate/sampler.h"

enum { OFF = 128, SHIFT = 255, VELOCITY = 356, STEP = 88, ROWS_MAX = 4000 };

/* ---- sources ---- */

struct fake {
    const struct encoding *encoding;
    int count;
    void (*fill)(const struct fake *fake, int row, real *logits);
    struct tokens seen[ROWS_MAX]; /* inputs of each row, END first */
    struct tokens wanted;         /* of row 0: the most probable token after each input */
    real *logits;
};

static inline token last_seen(const struct fake *fake, int row)
{
    return fake->seen[row].items[fake->seen[row].count - 1];
}

static inline const real *fake_next(void *context, const token *inputs)
{
    struct fake *fake = context;
    for (int row = 0; row < fake->count; row++) {
        real *logits = fake->logits + (size_t)row * fake->encoding->vocabulary;
        if (tokens_append(&fake->seen[row], inputs[row]) != STATUS_OK)
            abort();
        fake->fill(fake, row, logits);
    }
    token best = 0;
    for (size_t value = 1; value < fake->encoding->vocabulary; value++)
        best = fake->logits[value] > fake->logits[best] ? (token)value : best;
    if (tokens_append(&fake->wanted, best) != STATUS_OK)
        abort();
    return fake->logits;
}

/* Logits depend on the last tokens only, as a model's depend on the row's history. */
static inline void fill_random(const struct fake *fake, int row, real *logits)
{
    const struct tokens *seen = &fake->seen[row];
    uint64_t previous = seen->count > 1 ? seen->items[seen->count - 2] : 0;
    struct rng_block block = {{0}};
    for (size_t value = 0; value < fake->encoding->vocabulary; value++) {
        if (value % 4 == 0)
            block = rng_block(1, RNG_TEST, last_seen(fake, row), previous, value);
        logits[value] = (real)((double)(block.word[value % 4] >> 11) * 0x1p-53 * 8);
    }
}

static inline void fill_flat(const struct fake *fake, int row, real *logits)
{
    (void)row;
    for (size_t value = 0; value < fake->encoding->vocabulary; value++)
        logits[value] = 1;
}

static inline void fill_one_chord(const struct fake *fake, int row, real *logits)
{
    fill_random(fake, row, logits);
    logits[last_seen(fake, row) == 40   ? 44
           : last_seen(fake, row) == 44 ? STEP
                                        : 40] = 100;
}

/* ---- a run of the sampler and its result ---- */

struct run {
    struct encoding *encoding;
    struct fake *fake;
    struct notes *pieces;
    int count;
};

static const struct sampler_settings plain = {.temperature = 1,
                                              .top_p = 1,
                                              .repetition_penalty = 1,
                                              .seed = 7,
                                              .seconds = 20,
                                              .guard = true,
                                              .max_silence = 3,
                                              .max_note_seconds = 1000,
                                              .end = END_FORBID};

/* Takes ownership of the encoding. */
static inline enum status try_run_with(struct run *run, struct encoding *encoding,
                                       void (*fill)(const struct fake *, int, real *),
                                       const struct sampler_settings *settings, int count,
                                       const token *primer, size_t primer_count,
                                       bool keep_primer)
{
    *run = (struct run){.count = count, .encoding = encoding};
    run->fake = calloc(1, sizeof *run->fake);
    run->pieces = calloc((size_t)count + 1, sizeof *run->pieces);
    assert_non_null(run->fake);
    assert_non_null(run->pieces);
    run->fake->encoding = run->encoding;
    run->fake->count = sampler_rows(settings, count);
    run->fake->fill = fill;
    run->fake->logits =
        calloc((size_t)run->fake->count + 1, run->encoding->vocabulary * sizeof(real));
    assert_non_null(run->fake->logits);
    struct sampler_source source = {fake_next, run->fake};
    const struct sampler_batch batch = {count, primer, primer_count, keep_primer};
    return sampler_run_source(&source, run->encoding, settings, &batch, run->pieces);
}

static inline enum status try_run(struct run *run, const char *name,
                                  void (*fill)(const struct fake *, int, real *),
                                  const struct sampler_settings *settings, int count,
                                  const token *primer, size_t primer_count,
                                  bool keep_primer)
{
    return try_run_with(run, test_encoding(name), fill, settings, count, primer,
                        primer_count, keep_primer);
}

static inline struct run do_run(const char *encoding,
                                void (*fill)(const struct fake *, int, real *),
                                const struct sampler_settings *settings, int count)
{
    struct run run;
    assert_int_equal(try_run(&run, encoding, fill, settings, count, NULL, 0, false),
                     STATUS_OK);
    return run;
}

static inline void end_run(struct run *run)
{
    for (int i = 0; i < run->fake->count; i++)
        tokens_free(&run->fake->seen[i]);
    for (int i = 0; i < run->count; i++)
        notes_free(&run->pieces[i]);
    tokens_free(&run->fake->wanted);
    free(run->fake->logits);
    free(run->fake);
    free(run->pieces);
    encoding_free(run->encoding);
}

/* The tokens sampled in a row, without the last, which is not fed to the model. */
static inline const token *drawn(const struct run *run, int row, size_t *count)
{
    const struct tokens *seen = &run->fake->seen[row];
    assert_int_equal(seen->items[0], run->encoding->end);
    size_t end = 1;
    while (end < seen->count && seen->items[end] != run->encoding->end)
        end++;
    *count = end - 1;
    return seen->items + 1;
}

static inline double seconds_of(const struct encoding *encoding, const token *tokens,
                                size_t count)
{
    double seconds = 0;
    for (size_t i = 0; i < count; i++)
        seconds += token_seconds(encoding, tokens[i]);
    return seconds;
}

static inline size_t count_sounds(const struct encoding *encoding, const token *tokens,
                                  size_t count)
{
    size_t sounds = 0;
    for (size_t i = 0; i < count; i++)
        sounds += encoding->token_sounds(encoding, tokens[i]);
    return sounds;
}

static inline bool same_notes(const struct notes *a, const struct notes *b)
{
    struct hash128 first = notes_hash(a), second = notes_hash(b);
    return a->count == b->count && hash128_compare(first, second) == 0;
}

#endif
