/* Whole pieces: the shortest length, the notes at the end of the longest one, and the most
 * typical of several. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sampler_fakes.h"

static const char *const names[] = {"performance", "pianoroll"};

/* Releases are likely, so that END is often allowed, and then drawn. */
static void fill_eager_to_end(const struct fake *fake, int row, real *logits)
{
    bool performance = fake->encoding->vocabulary > STEP + 2;
    fill_random(fake, row, logits);
    for (size_t pitch = 0; performance && pitch < 128; pitch++)
        logits[OFF + pitch] += 7;
    logits[fake->encoding->end] = 100;
}

/* ---- the shortest length ---- */

static void end_comes_after_the_shortest_length(void **state)
{
    (void)state;
    enum sampler_outcome outcomes[4];
    for (int i = 0; i < 2; i++)
        for (int end = END_DRAW; end <= END_REQUIRE; end += END_REQUIRE - END_DRAW) {
            struct sampler_settings settings = plain;
            settings.end = end;
            settings.outcomes = outcomes;
            settings.min_seconds = 5;
            struct run run = do_run(names[i], fill_eager_to_end, &settings, 4);
            for (int row = 0; row < 4; row++) {
                size_t count = 0;
                const token *tokens = drawn(&run, row, &count);
                double length = seconds_of(run.encoding, tokens, count);
                assert_int_equal(outcomes[row], SAMPLER_ENDED);
                assert_true(length >= 5 - 1e-9 && length < 15);
            }
            end_run(&run);
        }
}

/* It does not count the primer. */
static void shortest_length_is_after_the_primer(void **state)
{
    (void)state;
    static const token primer[] = {40, STEP, STEP, STEP, STEP, STEP, STEP, STEP, STEP};
    enum sampler_outcome outcomes[1];
    struct sampler_settings settings = plain;
    settings.end = END_DRAW;
    settings.outcomes = outcomes;
    settings.min_seconds = 3;
    struct run run;
    assert_int_equal(
        try_run(&run, "pianoroll", fill_eager_to_end, &settings, 1, primer, 9, false),
        STATUS_OK);
    size_t count = 0;
    const token *tokens = drawn(&run, 0, &count);
    assert_int_equal(outcomes[0], SAMPLER_ENDED);
    assert_true(fabs(seconds_of(run.encoding, tokens + 9, count - 9) - 3) < 1e-9);
    end_run(&run);
}

/* ---- the end of a piece of full length ---- */

/* Chords every 0.7 s, from time 0 on, whose lowest note is short. */
static void fill_chords(const struct fake *fake, int row, real *logits)
{
    static const token chord[] = {60,         64,       67,       SHIFT + 10, OFF + 60,
                                  SHIFT + 50, OFF + 64, OFF + 67, SHIFT + 10};
    size_t position = fake->seen[row].count - 1;
    fill_flat(fake, row, logits);
    logits[position ? chord[(position - 1) % 9] : VELOCITY + 20] = 60;
}

static void last_chord_has_its_own_length(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.guard = false;
    settings.seconds = 10; /* 0.2 s after the beginning of chord 15 */
    for (int end = END_DRAW; end <= END_FORBID; end++) {
        settings.end = end;
        struct run run = do_run("performance", fill_chords, &settings, 1);
        const struct notes *piece = &run.pieces[0];
        double last = notes_duration(piece);
        assert_true(fabs(last - (end == END_DRAW ? 9.7 : 10)) < 1e-9);
        assert_int_equal(piece->count, end == END_DRAW ? 42 : 45);
        for (size_t i = 0; i < 42; i++)
            assert_true(fabs(piece->items[i].duration - (i % 3 ? 0.6 : 0.1)) < 1e-9);
        end_run(&run);
    }
}

/* Notes that would be cut are left out, unless they began long before; other notes are
 * those of the full length. */
static void no_note_of_the_last_seconds_is_cut(void **state)
{
    (void)state;
    size_t removed = 0;
    for (int i = 0; i < 2; i++)
        for (double seconds = 3; seconds < 30; seconds *= 3) {
            enum { ROWS = 20 };
            struct sampler_settings settings = plain;
            settings.seconds = seconds;
            double since = seconds - fmin(SAMPLER_ENDING_SECONDS, seconds / 4);
            struct run cut = do_run(names[i], fill_random, &settings, ROWS);
            settings.end = END_DRAW;
            settings.min_seconds = seconds;
            struct run well = do_run(names[i], fill_random, &settings, ROWS);
            for (int row = 0; row < ROWS; row++) {
                const struct notes *all = &cut.pieces[row], *some = &well.pieces[row];
                assert_true(some->count <= all->count && !some->count == !all->count);
                removed += all->count - some->count;
                for (size_t n = 0; n < some->count; n++) {
                    const struct note *note = &some->items[n];
                    double end = note->start + note->duration;
                    assert_memory_equal(note, &all->items[n], sizeof *note);
                    assert_true(note->start < since || end < seconds);
                }
            }
            end_run(&cut);
            end_run(&well);
        }
    assert_true(removed > 20);
}

/* ---- the most typical of several ---- */

/* A constant for all tokens changes no probability. */
static void fill_with_constants(const struct fake *fake, int row, real *logits)
{
    fill_eager_to_end(fake, row, logits);
    for (size_t value = 0; value < fake->encoding->vocabulary; value++)
        logits[value] += (real)(last_seen(fake, row) % 7 * 20);
}

/* -log p of a row's tokens, each after those before it, by fill_random's logits. */
static double surprisal_of(const struct run *run, int row, enum sampler_outcome outcome)
{
    size_t count = 0;
    const token *tokens = drawn(run, row, &count);
    struct fake *again = calloc(1, sizeof *again);
    real *logits = calloc(run->encoding->vocabulary, sizeof *logits);
    double sum = 0;
    assert_non_null(again);
    assert_non_null(logits);
    again->encoding = run->encoding;
    assert_int_equal(tokens_append(&again->seen[0], run->encoding->end), STATUS_OK);
    size_t all = count + (outcome == SAMPLER_ENDED);
    for (size_t n = 0; n < all; n++) {
        token value = n < count ? tokens[n] : run->encoding->end;
        double total = 0;
        run->fake->fill(again, 0, logits);
        for (size_t i = 0; i < run->encoding->vocabulary; i++)
            total += exp((double)logits[i]);
        sum += log(total) - (double)logits[value];
        assert_int_equal(tokens_append(&again->seen[0], value), STATUS_OK);
    }
    tokens_free(&again->seen[0]);
    free(again);
    free(logits);
    return sum / (double)all;
}

enum { PIECES = 6, CANDIDATES = 5 };

/* The candidate that was kept for a piece, which must be the median. The candidates have
 * ended, so that the source has seen all tokens but END. */
static int find_kept(const struct run *run, int piece)
{
    double values[CANDIDATES];
    int below = 0, kept = -1;
    for (int c = 0; c < CANDIDATES; c++) {
        size_t count = 0;
        int row = c * PIECES + piece;
        const token *tokens = drawn(run, row, &count);
        struct notes notes = {0};
        assert_int_equal(run->encoding->decode(run->encoding, tokens, count, 0, &notes),
                         STATUS_OK);
        values[c] = surprisal_of(run, row, SAMPLER_ENDED);
        if (kept < 0 && same_notes(&notes, &run->pieces[piece]))
            kept = c;
        notes_free(&notes);
    }
    assert_true(kept >= 0);
    for (int c = 0; c < CANDIDATES; c++)
        below += values[c] < values[kept];
    assert_int_equal(below, CANDIDATES / 2);
    return kept;
}

static void keeps_the_median(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        enum sampler_outcome outcomes[PIECES];
        struct sampler_settings settings = plain;
        settings.end = END_DRAW;
        settings.min_seconds = 2;
        struct run single = do_run(names[i], fill_with_constants, &settings, PIECES);
        settings.outcomes = outcomes;
        settings.best_of = CANDIDATES;
        struct run run = do_run(names[i], fill_with_constants, &settings, PIECES);
        int others = 0;
        for (int piece = 0; piece < PIECES; piece++) {
            int kept = find_kept(&run, piece);
            assert_int_equal(outcomes[piece], SAMPLER_ENDED);
            assert_true(kept > 0 ||
                        same_notes(&run.pieces[piece], &single.pieces[piece]));
            others += kept > 0;
        }
        assert_true(others > 0);
        end_run(&single);
        end_run(&run);
    }
}

static void refuses_settings_out_of_range(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct sampler_settings settings = plain;
        const double lengths[] = {-1, (double)NAN, plain.seconds + 1};
        if (i < 3)
            settings.min_seconds = lengths[i];
        else
            settings.best_of = i == 3 ? -1 : SAMPLER_BEST_OF_MAX + 1;
        struct run run;
        assert_int_equal(
            try_run(&run, "performance", fill_random, &settings, 1, NULL, 0, false),
            STATUS_MISUSE);
        assert_non_null(strstr(status_message(), i < 3 ? "min_seconds" : "best_of"));
        end_run(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(end_comes_after_the_shortest_length),
        cmocka_unit_test(shortest_length_is_after_the_primer),
        cmocka_unit_test(last_chord_has_its_own_length),
        cmocka_unit_test(no_note_of_the_last_seconds_is_cut),
        cmocka_unit_test(keeps_the_median),
        cmocka_unit_test(refuses_settings_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
