/* Where pieces end: END drawn, forbidden and required. */
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

static const token performance_primer[] = {VELOCITY + 20, 60, SHIFT + 50, OFF + 60};
static const token pianoroll_primer[] = {40, 44, STEP, 40, STEP};

/* ---- sources ---- */

/* Releases are likely, so that END is often allowed. */
static void fill_with_releases(const struct fake *fake, int row, real *logits)
{
    bool performance = fake->encoding->vocabulary > STEP + 2;
    fill_random(fake, row, logits);
    for (size_t pitch = 0; performance && pitch < 128; pitch++)
        logits[OFF + pitch] += 7;
}

static void fill_eager_to_end(const struct fake *fake, int row, real *logits)
{
    fill_with_releases(fake, row, logits);
    logits[fake->encoding->end] = 100;
}

/* Ends sooner or later. */
static void fill_with_end(const struct fake *fake, int row, real *logits)
{
    fill_with_releases(fake, row, logits);
    logits[fake->encoding->end] = fake->encoding->vocabulary > STEP + 2 ? 11 : 7;
}

static void fill_without_end(const struct fake *fake, int row, real *logits)
{
    fill_with_releases(fake, row, logits);
    logits[fake->encoding->end] = -1e6F;
}

/* The number of ENDs among a row's inputs: attempts begun. */
static int count_attempts(const struct fake *fake, int row)
{
    int attempts = 0;
    for (size_t i = 0; i < fake->seen[row].count; i++)
        attempts += fake->seen[row].items[i] == fake->encoding->end;
    return attempts;
}

/* Ends only in the attempt with the number of the row. */
static void fill_end_in_attempt(const struct fake *fake, int row, real *logits)
{
    fill_without_end(fake, row, logits);
    if (count_attempts(fake, row) == row + 1)
        logits[fake->encoding->end] = 100;
}

/* ---- END drawn ---- */

static bool can_end(const struct encoding *encoding, const token *tokens, size_t count)
{
    token piece[1000];
    assert_true(count + 1 < 1000);
    memcpy(piece, tokens, count * sizeof *tokens);
    piece[count] = encoding->end;
    return count_sounds(encoding, tokens, count) > 0 &&
           strcmp(well_formed(encoding, piece, count + 1, 1), "") == 0;
}

static void ends_at_the_first_well_formed_place(void **state)
{
    (void)state;
    enum sampler_outcome outcomes[4];
    struct sampler_settings settings = plain;
    settings.end = END_DRAW;
    settings.outcomes = outcomes;
    for (int i = 0; i < 2; i++) {
        struct run run = do_run(names[i], fill_eager_to_end, &settings, 4);
        for (int row = 0; row < 4; row++) {
            size_t count = 0;
            const token *tokens = drawn(&run, row, &count);
            assert_int_equal(outcomes[row], SAMPLER_ENDED);
            for (size_t n = 0; n <= count; n++)
                assert_int_equal(can_end(run.encoding, tokens, n), n == count);
            assert_true(run.pieces[row].count > 0);
            double length = seconds_of(run.encoding, tokens, count);
            assert_true(length < settings.seconds);
            assert_true(fabs(notes_duration(&run.pieces[row]) - length) < 1e-9);
        }
        end_run(&run);
    }
}

/* One note of half a second, a second of silence, END. */
static void fill_note_and_rest(const struct fake *fake, int row, real *logits)
{
    const token wanted[] = {VELOCITY + 20, 60,          SHIFT + 50,
                            OFF + 60,      SHIFT + 100, fake->encoding->end};
    size_t position = fake->seen[row].count - 1;
    fill_flat(fake, row, logits);
    if (position < sizeof wanted / sizeof *wanted)
        logits[wanted[position]] = 50;
}

static void has_no_silence_after_its_last_note(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.end = END_DRAW;
    settings.temperature = 0;
    struct run run = do_run("performance", fill_note_and_rest, &settings, 1);
    assert_int_equal(run.fake->seen[0].count, 6);
    assert_int_equal(run.pieces[0].count, 1);
    assert_true(notes_duration(&run.pieces[0]) == 0.5);
    end_run(&run);
}

static void needs_a_sound_after_the_primer(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.end = END_DRAW;
    for (int i = 0; i < 2; i++) {
        struct run run;
        assert_int_equal(try_run(&run, names[i], fill_eager_to_end, &settings, 1,
                                 i ? pianoroll_primer : performance_primer, i ? 5 : 4,
                                 false),
                         STATUS_OK);
        assert_true(run.pieces[0].count > 0);
        end_run(&run);
    }
}

static void forbidden_end_gives_the_full_length(void **state)
{
    (void)state;
    enum sampler_outcome outcomes[2];
    struct sampler_settings settings = plain;
    settings.outcomes = outcomes;
    for (int i = 0; i < 2; i++) {
        struct run run = do_run(names[i], fill_eager_to_end, &settings, 2);
        for (int row = 0; row < 2; row++) {
            size_t count = 0;
            const token *tokens = drawn(&run, row, &count);
            assert_true(seconds_of(run.encoding, tokens, count) > plain.seconds - 1.5);
            assert_int_equal(outcomes[row], SAMPLER_FULL_LENGTH);
        }
        end_run(&run);
    }
}

/* Pieces of a batch end at different times, and begin again at different times. */
static void pieces_do_not_depend_on_batch_size(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        enum sampler_outcome outcomes[8];
        const char *name = names[i & 1];
        struct sampler_settings settings = plain;
        settings.end = i & 2 ? END_REQUIRE : END_DRAW;
        settings.seconds = 5;
        settings.outcomes = outcomes;
        struct run eight = do_run(name, fill_with_end, &settings, 8);
        int ended = 0, begun_again = 0;
        for (int row = 0; row < 8; row++) {
            ended += outcomes[row] == SAMPLER_ENDED;
            begun_again += drawn(&eight, row, &(size_t){0}) != NULL &&
                           count_attempts(eight.fake, row) > 2;
        }
        assert_true(ended > 2);
        assert_true(settings.end == END_DRAW ? ended < 8 : begun_again > 0);
        for (int count = 1; count < 8; count += 2) {
            struct run run = do_run(name, fill_with_end, &settings, count);
            for (int row = 0; row < count; row++)
                assert_true(same_notes(&run.pieces[row], &eight.pieces[row]));
            end_run(&run);
        }
        end_run(&eight);
    }
}

/* ---- END required ---- */

/* Every END among a row's inputs is followed by the primer, up to the last attempt. */
static int assert_primed(const struct run *run, int row, const token *primer,
                         size_t primer_count)
{
    const struct tokens *seen = &run->fake->seen[row];
    int attempts = 0;
    for (size_t i = 0; i + primer_count < seen->count; i++) {
        if (seen->items[i] != run->encoding->end ||
            seen->items[i + 1] == run->encoding->end)
            continue;
        assert_memory_equal(seen->items + i + 1, primer, primer_count * sizeof *primer);
        attempts++;
    }
    return attempts;
}

/* The tokens of attempt `number` of a row, the primer included, without the last. */
static const token *attempt(const struct run *run, int row, int number, size_t *count)
{
    const struct tokens *seen = &run->fake->seen[row];
    size_t at = 0;
    for (int i = 0; i < number; i++)
        for (at++; seen->items[at] != run->encoding->end;)
            at++;
    size_t end = at + 1;
    while (end < seen->count && seen->items[end] != run->encoding->end)
        end++;
    *count = end - at - 1;
    return seen->items + at + 1;
}

static void begins_again_until_it_ends(void **state)
{
    (void)state;
    enum { ROWS = SAMPLER_ATTEMPTS + 1 };
    for (int i = 0; i < 2; i++) {
        const token *primer = i ? pianoroll_primer : performance_primer;
        size_t primer_count = i ? 5 : 4;
        enum sampler_outcome outcomes[ROWS];
        struct sampler_settings settings = plain;
        settings.seconds = 20;
        settings.end = END_REQUIRE;
        settings.outcomes = outcomes;
        struct run run;
        assert_int_equal(try_run(&run, names[i], fill_end_in_attempt, &settings, ROWS,
                                 primer, primer_count, false),
                         STATUS_OK);
        for (int row = 0; row < ROWS; row++) {
            bool ends = row < SAMPLER_ATTEMPTS;
            assert_int_equal(outcomes[row], ends ? SAMPLER_ENDED : SAMPLER_FULL_LENGTH);
            assert_int_equal(assert_primed(&run, row, primer, primer_count),
                             ends ? row + 1 : SAMPLER_ATTEMPTS);
            assert_true(run.pieces[row].count > 0);
            assert_true(notes_duration(&run.pieces[row]) <= settings.seconds + 1e-9);
            size_t count = 0;
            const token *tokens = attempt(&run, row, ends ? row : row - 1, &count);
            if (ends) /* the notes of the last attempt only */
                assert_int_equal(run.pieces[row].count,
                                 encoding_count_notes(run.encoding, tokens + primer_count,
                                                      count - primer_count));
        }
        end_run(&run);
    }
}

static void attempts_have_random_numbers_of_their_own(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sampler_settings settings = plain;
        settings.end = END_REQUIRE;
        struct run tried = do_run(names[i], fill_without_end, &settings, 1);
        settings.end = END_FORBID;
        struct run once = do_run(names[i], fill_without_end, &settings, 1);
        size_t counts[SAMPLER_ATTEMPTS], count = 0;
        const token *tokens[SAMPLER_ATTEMPTS], *only = drawn(&once, 0, &count);
        for (int a = 0; a < SAMPLER_ATTEMPTS; a++) {
            tokens[a] = attempt(&tried, 0, a, &counts[a]);
            for (int b = 0; b < a; b++)
                assert_false(
                    counts[a] == counts[b] &&
                    memcmp(tokens[a], tokens[b], counts[a] * sizeof *tokens[a]) == 0);
        }
        assert_int_equal(counts[0], count);
        assert_memory_equal(tokens[0], only, count * sizeof *only);
        assert_int_equal(count_attempts(tried.fake, 0), SAMPLER_ATTEMPTS);
        end_run(&tried);
        end_run(&once);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_at_the_first_well_formed_place),
        cmocka_unit_test(has_no_silence_after_its_last_note),
        cmocka_unit_test(needs_a_sound_after_the_primer),
        cmocka_unit_test(forbidden_end_gives_the_full_length),
        cmocka_unit_test(pieces_do_not_depend_on_batch_size),
        cmocka_unit_test(begins_again_until_it_ends),
        cmocka_unit_test(attempts_have_random_numbers_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
