/* min-p, the repetition penalty and the scale: which notes are drawn, and how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sampler_fakes.h"
#include "base/scale.h"

static const char *const names[] = {"performance", "pianoroll"};

/* pianoroll: KEY 10 .5, KEY 20 .3, STEP .15, KEY 30 .05, as logits plus `shift`. */
static void fill_shifted(const struct fake *fake, double shift, real *logits)
{
    for (size_t value = 0; value < fake->encoding->vocabulary; value++)
        logits[value] = (real)(shift - 60);
    logits[10] = (real)(shift + log(0.5));
    logits[20] = (real)(shift + log(0.3));
    logits[STEP] = (real)(shift + log(0.15));
    logits[30] = (real)(shift + log(0.05));
}

static void fill_known(const struct fake *fake, int row, real *logits)
{
    (void)row;
    fill_shifted(fake, 0, logits);
}

static void fill_positive(const struct fake *fake, int row, real *logits)
{
    (void)row;
    fill_shifted(fake, 5, logits);
}

/* The frequencies of the first tokens of many rows after a primer match the given
 * probabilities of KEY 10, KEY 20, STEP and KEY 30 (times any factor) within five standard
 * deviations. */
static void assert_frequencies(const struct sampler_settings *settings,
                               void (*fill)(const struct fake *, int, real *),
                               const token *primer, size_t primer_count,
                               const double expected[4])
{
    static const token values[] = {10, 20, STEP, 30};
    double total = expected[0] + expected[1] + expected[2] + expected[3];
    struct sampler_settings brief = *settings;
    struct run run;
    brief.seconds = 0.3;
    assert_int_equal(
        try_run(&run, "pianoroll", fill, &brief, ROWS_MAX, primer, primer_count, false),
        STATUS_OK);
    for (int i = 0; i < 4; i++) {
        int hits = 0;
        for (int row = 0; row < ROWS_MAX; row++)
            hits += run.fake->seen[row].items[1 + primer_count] == values[i];
        double p = expected[i] / total, deviation = sqrt(ROWS_MAX * p * (1 - p));
        assert_true(fabs(hits - ROWS_MAX * p) <= 5 * deviation);
    }
    end_run(&run);
}

static void min_p_removes_improbable_tokens(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.min_p = 0.09;
    assert_frequencies(&settings, fill_known, NULL, 0, (double[]){.5, .3, .15, .05});
    settings.min_p = 0.2;
    assert_frequencies(&settings, fill_known, NULL, 0, (double[]){.5, .3, .15, 0});
    settings.min_p = 0.5;
    assert_frequencies(&settings, fill_known, NULL, 0, (double[]){.5, .3, 0, 0});
    settings.min_p = 1;
    assert_frequencies(&settings, fill_known, NULL, 0, (double[]){.5, 0, 0, 0});
    settings.min_p = 0.31; /* of probabilities at this temperature: .05 has .316 */
    settings.temperature = 2;
    assert_frequencies(&settings, fill_known, NULL, 0,
                       (double[]){sqrt(.5), sqrt(.3), sqrt(.15), sqrt(.05)});
    settings.min_p = 0.5;
    settings.top_k = 3; /* both limits apply */
    assert_frequencies(&settings, fill_known, NULL, 0,
                       (double[]){sqrt(.5), sqrt(.3), sqrt(.15), 0});
}

static void penalty_makes_recent_notes_rarer(void **state)
{
    (void)state;
    static const token recent[] = {10, STEP, 10, 30, STEP};
    struct sampler_settings settings = plain;
    assert_frequencies(&settings, fill_known, recent, 5, (double[]){.5, .3, .15, .05});
    settings.repetition_penalty = 2; /* once, although 10 occurs twice; not for STEP */
    assert_frequencies(&settings, fill_known, recent, 5,
                       (double[]){pow(.5, 2), .3, .15, pow(.05, 2)});
    /* positive logits are divided */
    const double e = exp(5);
    assert_frequencies(&settings, fill_positive, recent, 5,
                       (double[]){sqrt(.5 * e), .3 * e, .15 * e, sqrt(.05 * e)});
    settings.repetition_penalty = 0.5;
    assert_frequencies(&settings, fill_known, recent, 5,
                       (double[]){sqrt(.5), .3, .15, sqrt(.05)});
}

static void penalty_covers_the_last_64_tokens(void **state)
{
    (void)state;
    token old[2 + 63];
    struct sampler_settings settings = plain;
    settings.repetition_penalty = 2;
    settings.max_silence = 1000;
    for (size_t i = 0; i < sizeof old / sizeof *old; i++)
        old[i] = STEP;
    old[0] = old[1] = 10;
    assert_frequencies(&settings, fill_known, old + 1, 64,
                       (double[]){pow(.5, 2), .3, .15, .05});
    old[1] = STEP; /* the only 10 is the 65th token from the end */
    assert_frequencies(&settings, fill_known, old, 65, (double[]){.5, .3, .15, .05});
    old[63] = 10; /* the last but one */
    assert_frequencies(&settings, fill_known, old, 65,
                       (double[]){pow(.5, 2), .3, .15, .05});
}

/* ---- scale ---- */

static void notes_are_in_the_scale(void **state)
{
    (void)state;
    static const bool white[] = {1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1};
    for (int i = 0; i < 4; i++) {
        struct sampler_settings settings = plain;
        settings.temperature = i & 2 ? 50 : 1;
        assert_true(scale_parse("E phrygian", &settings.pitch_classes));
        struct run run = do_run(names[i & 1], fill_random, &settings, 2);
        bool found[12] = {false};
        for (int row = 0; row < 2; row++) {
            size_t count = 0;
            const token *tokens = drawn(&run, row, &count);
            assert_string_equal(well_formed(run.encoding, tokens, count, 0), "");
            assert_true(run.pieces[row].count > 10);
            for (size_t k = 0; k < run.pieces[row].count; k++)
                found[run.pieces[row].items[k].pitch % 12] = true;
        }
        for (int k = 0; k < 12; k++)
            assert_true(found[k] ? white[k] : !white[k] || !(i & 2));
        end_run(&run);
    }
}

static void chromatic_scale_has_no_effect(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sampler_settings settings = plain;
        settings.pitch_classes = SCALE_ALL;
        struct run all = do_run(names[i], fill_random, &settings, 1);
        struct run none = do_run(names[i], fill_random, &plain, 1);
        assert_true(same_notes(&all.pieces[0], &none.pieces[0]));
        end_run(&all);
        end_run(&none);
    }
}

/* Keeps every note of the scale sounding, so that none is left for a VELOCITY. */
static void fill_crowd(const struct fake *fake, int row, real *logits)
{
    fill_random(fake, row, logits);
    for (size_t pitch = 0; pitch < 128; pitch++)
        logits[OFF + pitch] = -1e4F;
}

static void scale_leaves_a_token(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.pitch_classes = 1; /* the 11 pitches of C */
    settings.guard = false;
    struct run run = do_run("performance", fill_crowd, &settings, 1);
    size_t count = 0;
    const token *tokens = drawn(&run, 0, &count);
    assert_string_equal(well_formed(run.encoding, tokens, count, 0), "");
    assert_true(run.pieces[0].count > 11);
    bool struck[11] = {false};
    int left = 11;
    for (size_t i = 0; i < count && left > 0; i++)
        if (tokens[i] < 128) {
            assert_int_equal(tokens[i] % 12, 0);
            left -= !struck[tokens[i] / 12];
            struck[tokens[i] / 12] = true;
        }
    assert_int_equal(left, 0);
    end_run(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(min_p_removes_improbable_tokens),
        cmocka_unit_test(penalty_makes_recent_notes_rarer),
        cmocka_unit_test(penalty_covers_the_last_64_tokens),
        cmocka_unit_test(notes_are_in_the_scale),
        cmocka_unit_test(chromatic_scale_has_no_effect),
        cmocka_unit_test(scale_leaves_a_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
