/* sampler: well-formedness, length, determinism, sampling, primer and errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sampler_fakes.h"

static void fill_eager_to_end(const struct fake *fake, int row, real *logits)
{
    fill_random(fake, row, logits);
    logits[fake->encoding->end] = 100;
}

/* pianoroll: KEY 10 .5, KEY 20 .3, STEP .15, KEY 30 .05. */
static void fill_known(const struct fake *fake, int row, real *logits)
{
    (void)row;
    for (size_t value = 0; value < fake->encoding->vocabulary; value++)
        logits[value] = -60;
    logits[10] = (real)log(0.5);
    logits[20] = (real)log(0.3);
    logits[STEP] = (real)log(0.15);
    logits[30] = (real)log(0.05);
}

static void fill_nan(const struct fake *fake, int row, real *logits)
{
    fill_random(fake, row, logits);
    logits[SHIFT + 3] = (real)NAN;
}

/* ---- well-formedness and length ---- */

/* Compares a row's notes with its performance tokens, one NOTE_ON at a time. */
static void assert_notes_are_tokens(const struct notes *notes, const token *tokens,
                                    size_t count, double length)
{
    size_t ons = 0;
    double now = 0;
    for (size_t i = 0; i < count; i++) {
        now +=
            tokens[i] > SHIFT && tokens[i] < VELOCITY ? (tokens[i] - SHIFT) / 100.0 : 0;
        if (tokens[i] >= 128)
            continue;
        double end = now;
        for (size_t j = i + 1; j < count && tokens[j] != OFF + tokens[i]; j++) {
            end += tokens[j] > SHIFT && tokens[j] < VELOCITY ? (tokens[j] - SHIFT) / 100.0
                                                             : 0;
            end = j == count - 1 ? length : end; /* never released */
        }
        end = i == count - 1 ? length : end;
        size_t matches = 0;
        for (size_t k = 0; k < notes->count; k++)
            matches +=
                notes->items[k].pitch == tokens[i] &&
                fabs(notes->items[k].start - now) < 1e-6 &&
                fabs(notes->items[k].start + notes->items[k].duration - end) < 1e-6;
        assert_int_equal(matches, 1);
        ons++;
    }
    assert_int_equal(notes->count, ons);
}

static void any_logits_give_well_formed_pieces(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct sampler_settings settings = plain;
        settings.guard = i & 1;
        settings.seed = test_seed() + (uint64_t)i;
        settings.temperature = i & 2 ? 50 : 1; /* nearly uniform */
        bool performance = (i & 4) == 0;
        settings.seconds = performance ? 300.123 : 100;
        struct run run =
            do_run(performance ? "performance" : "pianoroll", fill_random, &settings, 3);
        for (int row = 0; row < 3; row++) {
            size_t count = 0;
            const token *tokens = drawn(&run, row, &count);
            assert_true(count > 1500);
            assert_string_equal(well_formed(run.encoding, tokens, count, 0), "");
            assert_true(seconds_of(run.encoding, tokens, count) < settings.seconds);
            assert_true(notes_duration(&run.pieces[row]) <= settings.seconds + 1e-9);
            if (performance)
                assert_notes_are_tokens(&run.pieces[row], tokens, count,
                                        settings.seconds);
        }
        end_run(&run);
    }
}

static void truncates_notes_at_the_end(void **state)
{
    (void)state;
    static const double lengths[] = {0.001, 0.5, 7.123, 20};
    for (int i = 0; i < 4; i++) {
        struct sampler_settings settings = plain;
        settings.seconds = lengths[i];
        settings.temperature = 50;
        settings.seed = 1 + (uint64_t)i;
        struct run run = do_run("performance", fill_random, &settings, 8);
        int hanging = 0;
        for (int row = 0; row < 8; row++) {
            size_t count = 0;
            const token *tokens = drawn(&run, row, &count);
            const struct notes *notes = &run.pieces[row];
            int open = performance_sounding_count(tokens, count), at_end = 0;
            for (size_t k = 0; k < notes->count; k++) {
                double end = notes->items[k].start + notes->items[k].duration;
                uint32_t tick =
                    notes->items[k].start_tick + notes->items[k].duration_ticks;
                at_end += fabs(end - lengths[i]) < 1e-9;
                assert_true(end <= lengths[i] + 1e-9 && notes->items[k].duration > 0);
                assert_true(fabs(tick - end * 960) <= 0.5 + 1e-6);
            }
            assert_true(at_end >= open);
            hanging += open;
        }
        assert_true(hanging > 0 || lengths[i] < 0.1);
        end_run(&run);
    }
}

static void piece_reaches_its_full_length(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct run run =
            do_run(i ? "pianoroll" : "performance", fill_eager_to_end, &plain, 2);
        size_t count = 0;
        const token *tokens = drawn(&run, 0, &count);
        assert_true(seconds_of(run.encoding, tokens, count) > plain.seconds - 1.5);
        end_run(&run);
    }
}

/* ---- time that hardly advances ---- */

/* Releases and strikes every allowed key, each with a different velocity, before time
 * advances by the shortest step. */
static void fill_busy(const struct fake *fake, int row, real *logits)
{
    (void)row;
    for (token value = 0; value < fake->encoding->vocabulary; value++) {
        bool moves = fake->encoding->token_seconds(fake->encoding, value) > 0;
        bool performance = fake->encoding->vocabulary > STEP + 2;
        logits[value] = moves                              ? 0
                        : performance && value >= VELOCITY ? 2
                        : performance && value >= OFF      ? 3
                                                           : 1;
    }
}

/* The maximum number of tokens between two tokens that advance time. */
static size_t max_tokens_per_instant(const struct run *run, const token *tokens,
                                     size_t count)
{
    size_t max_tokens = 0, now = 0;
    for (size_t i = 0; i < count; i++) {
        now = run->encoding->token_seconds(run->encoding, tokens[i]) > 0 ? 0 : now + 1;
        max_tokens = now > max_tokens ? now : max_tokens;
    }
    return max_tokens;
}

static void grammar_forces_time_to_advance(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    settings.guard = false;
    settings.seconds = 0.5;
    for (int i = 0; i < 2; i++) {
        struct run run = do_run(i ? "pianoroll" : "performance", fill_busy, &settings, 1);
        size_t count = 0;
        const token *tokens = drawn(&run, 0, &count);
        assert_int_equal(max_tokens_per_instant(&run, tokens, count), i ? 88 : 3 * 128);
        end_run(&run);
    }
}

/* Notes have nonzero durations and end no later than the piece, some exactly at its
 * end. */
static void assert_notes_end_by(const struct notes *notes, double end)
{
    double last = 0;
    for (size_t i = 0; i < notes->count; i++) {
        assert_true(notes->items[i].duration > 0 && notes->items[i].duration_ticks > 0);
        last = fmax(last, notes->items[i].start + notes->items[i].duration);
    }
    assert_true(fabs(last - end) < 1e-6);
}

static void assert_truncated(const char *encoding, double seconds, const token *begin,
                             size_t begin_count, size_t max_tokens,
                             double unfinished_step)
{
    struct sampler_settings settings = plain;
    enum sampler_outcome outcomes[2] = {SAMPLER_UNFINISHED};
    settings.temperature = 0;
    settings.guard = false;
    settings.seconds = seconds;
    settings.outcomes = outcomes;
    struct run run;
    assert_int_equal(
        try_run(&run, encoding, fill_busy, &settings, 2, begin, begin_count, true),
        STATUS_OK);
    for (int row = 0; row < 2; row++) {
        assert_int_equal(outcomes[row], SAMPLER_TOKEN_LIMIT);
        size_t count = 0;
        const token *tokens = drawn(&run, row, &count);
        assert_int_equal(count + 1, begin_count + max_tokens);
        double length = seconds_of(run.encoding, tokens, count);
        assert_true(length < seconds);
        assert_true(run.pieces[row].count > 80);
        assert_notes_end_by(&run.pieces[row], length + unfinished_step);
    }
    end_run(&run);
}

static const token primer[] = {VELOCITY + 20, 60, SHIFT + 50, OFF + 60, 64, SHIFT + 30};
enum { PRIMER = sizeof primer / sizeof *primer };

static void piece_ends_at_the_token_limit(void **state)
{
    (void)state;
    assert_truncated("performance", 1, NULL, 0, 1000 + 10 * 1100, 0);
    assert_truncated("performance", 5, primer, PRIMER, 1000 + 10 * 1500, 0);
    assert_truncated("pianoroll", 60, NULL, 0, 1000 + 44 * 560, 0.125);
}

/* Seven keys struck or released every 10 ms: 800 tokens per second. */
static void fill_dense(const struct fake *fake, int row, real *logits)
{
    size_t position = fake->seen[row].count - 1, at = (position + 15) % 16;
    fill_flat(fake, row, logits);
    token wanted = (token)(at % 8 == 7 ? SHIFT + 1 : (at < 8 ? 60 : OFF + 60) + at % 8);
    logits[position == 0 ? VELOCITY : wanted] = 50;
}

static void dense_music_is_not_truncated(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    enum sampler_outcome outcome = SAMPLER_UNFINISHED;
    settings.temperature = 0;
    settings.guard = false;
    settings.seconds = 60;
    settings.outcomes = &outcome;
    struct run run = do_run("performance", fill_dense, &settings, 1);
    assert_int_equal(outcome, SAMPLER_FULL_LENGTH);
    assert_int_equal(run.pieces[0].count, 60 * 50 * 7);
    assert_notes_end_by(&run.pieces[0], 59.99); /* the last release */
    end_run(&run);
}

/* ---- determinism ---- */

static void pieces_do_not_depend_on_batch_size(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "pianoroll" : "performance";
        struct run eight = do_run(name, fill_random, &plain, 8);
        static const int counts[] = {1, 3, 8};
        for (int c = 0; c < 3; c++) {
            struct run run = do_run(name, fill_random, &plain, counts[c]);
            for (int row = 0; row < counts[c]; row++) {
                assert_true(run.pieces[row].count > 10);
                assert_true(same_notes(&run.pieces[row], &eight.pieces[row]));
            }
            end_run(&run);
        }
        assert_false(same_notes(&eight.pieces[0], &eight.pieces[1]));
        struct sampler_settings other = plain;
        other.seed++;
        struct run run = do_run(name, fill_random, &other, 1);
        assert_false(same_notes(&run.pieces[0], &eight.pieces[0]));
        end_run(&run);
        end_run(&eight);
    }
}

static void pieces_of_a_model_do_not_depend_on_batch_size(void **state)
{
    (void)state;
    const struct model_shape shape = {
        .cell = CELL_LSTM, .layers = 2, .hidden = 24, .embedding = 12, .vocabulary = 389};
    struct encoding *encoding = NULL;
    struct notes pieces[2][8] = {0};
    assert_int_equal(encoding_create("performance", NULL, &encoding), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        int count = i ? 8 : 1;
        const struct sampler_batch batch = {.count = count};
        struct model *model = NULL;
        const struct model_plan plan = {.shape = &shape,
                                        .end = encoding->end,
                                        .microbatches = 1,
                                        .rows = count,
                                        .steps = 1,
                                        .backend = &matmul_float32};
        assert_int_equal(model_create(&plan, &model), STATUS_OK);
        params_initialise(&shape, model_params(model), INIT_GLOROT, 3,
                          model_weights(model));
        model_weights_changed(model);
        for (int again = 0; again < 2;
             again++) { /* states of a previous run must have no effect */
            for (int row = 0; row < count; row++)
                notes_clear(&pieces[i][row]);
            assert_int_equal(sampler_run(model, encoding, &plain, &batch, pieces[i]),
                             STATUS_OK);
        }
        model_free(model);
    }
    assert_true(pieces[0][0].count > 10);
    assert_true(same_notes(&pieces[0][0], &pieces[1][0]));
    assert_false(same_notes(&pieces[0][0], &pieces[1][1]));
    for (int row = 0; row < 8; row++) {
        notes_free(&pieces[0][row]);
        notes_free(&pieces[1][row]);
    }
    encoding_free(encoding);
}

/* ---- sampling ---- */

static void single_candidate_is_the_most_probable(void **state)
{
    (void)state;
    struct sampler_settings greedy = plain;
    greedy.seconds = 5;
    struct sampler_settings one = greedy, narrow = greedy;
    greedy.temperature = 0;
    one.top_k = 1;
    narrow.top_p = 1e-12;
    for (int i = 0; i < 4; i++) {
        const char *name = i & 1 ? "pianoroll" : "performance";
        void (*fill)(const struct fake *, int, real *) = i & 2 ? fill_flat : fill_random;
        struct run first = do_run(name, fill, &greedy, 1);
        struct run second = do_run(name, fill, &one, 1);
        struct run third = do_run(name, fill, &narrow, 1);
        assert_true(same_notes(&first.pieces[0], &second.pieces[0]));
        assert_true(same_notes(&first.pieces[0], &third.pieces[0]));
        size_t count = 0;
        const token *tokens = drawn(&first, 0, &count);
        if (fill == fill_flat) { /* of ties, the lowest token */
            assert_int_equal(tokens[0], i & 1 ? 0 : SHIFT + 1);
            assert_int_equal(tokens[1], i & 1 ? 1 : SHIFT + 1);
        }
        end_run(&first);
        end_run(&second);
        end_run(&third);
    }
}

/* The frequencies of the first tokens of many rows must match the given ones within five
 * standard deviations. */
static void assert_probabilities(const struct sampler_settings *settings, double key10,
                                 double key20, double step, double key30)
{
    static const token values[] = {10, 20, STEP, 30};
    double expected[] = {key10, key20, step, key30}, total = key10 + key20 + step + key30;
    struct sampler_settings brief = *settings;
    brief.seconds = 0.3;
    struct run run = do_run("pianoroll", fill_known, &brief, ROWS_MAX);
    for (int i = 0; i < 4; i++) {
        int hits = 0;
        for (int row = 0; row < ROWS_MAX; row++)
            hits += run.fake->seen[row].items[1] == values[i];
        double p = expected[i] / total, deviation = sqrt(ROWS_MAX * p * (1 - p));
        assert_true(fabs(hits - ROWS_MAX * p) <= 5 * deviation);
    }
    end_run(&run);
}

static void temperature_top_k_and_top_p_shape_the_distribution(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    assert_probabilities(&settings, .5, .3, .15, .05);
    settings.temperature = 2;
    assert_probabilities(&settings, sqrt(.5), sqrt(.3), sqrt(.15), sqrt(.05));
    settings.temperature = 0.25;
    assert_probabilities(&settings, pow(.5, 4), pow(.3, 4), pow(.15, 4), pow(.05, 4));
    settings = plain;
    settings.top_k = 3;
    assert_probabilities(&settings, .5, .3, .15, 0);
    settings.top_k = 2;
    assert_probabilities(&settings, .5, .3, 0, 0);
    settings = plain;
    settings.top_p = 0.9;
    assert_probabilities(&settings, .5, .3, .15, 0);
    settings.top_p = 0.75;
    assert_probabilities(&settings, .5, .3, 0, 0);
    settings.top_p = 0.4;
    assert_probabilities(&settings, .5, 0, 0, 0);
    settings.top_p = 0.6; /* of the two kept by top-k one has .625 */
    settings.top_k = 2;
    assert_probabilities(&settings, .5, 0, 0, 0);
}

static void limits_that_exclude_no_token_have_no_effect(void **state)
{
    (void)state;
    struct sampler_settings wide = plain;
    wide.top_k = 389;
    struct run first = do_run("performance", fill_random, &plain, 2);
    struct run second = do_run("performance", fill_random, &wide, 2);
    assert_true(same_notes(&first.pieces[0], &second.pieces[0]));
    assert_true(same_notes(&first.pieces[1], &second.pieces[1]));
    end_run(&first);
    end_run(&second);
}

/* ---- primer ---- */

/* Strikes 72 without a preceding VELOCITY, then releases 64, then waits. */
static void fill_after_primer(const struct fake *fake, int row, real *logits)
{
    static const token wanted[] = {72, SHIFT + 20, OFF + 64, SHIFT + 100};
    size_t position = fake->seen[row].count - 1 - PRIMER;
    fill_flat(fake, row, logits);
    logits[wanted[position < 3 ? position : 3]] = 50;
}

static void assert_note(const struct note *note, int pitch, double start, double end)
{
    assert_int_equal(note->pitch, pitch);
    assert_int_equal(note->velocity, 82);
    assert_true(fabs(note->start - start) < 1e-9);
    assert_true(fabs(note->start + note->duration - end) < 1e-9);
}

static void pieces_continue_the_primer(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    settings.guard = false;
    settings.seconds = 2;
    struct run run;
    assert_int_equal(try_run(&run, "performance", fill_after_primer, &settings, 2, primer,
                             PRIMER, true),
                     STATUS_OK);
    for (int row = 0; row < 2; row++) {
        assert_memory_equal(run.fake->seen[row].items + 1, primer, sizeof primer);
        assert_int_equal(run.pieces[row].count, 3);
        assert_note(&run.pieces[row].items[0], 60, 0, 0.5);
        assert_note(&run.pieces[row].items[1], 64, 0.5, 1.0); /* still sounding */
        assert_note(&run.pieces[row].items[2], 72, 0.8, 2.8);
    }
    end_run(&run);
    assert_int_equal(try_run(&run, "performance", fill_after_primer, &settings, 1, primer,
                             PRIMER, false),
                     STATUS_OK);
    assert_int_equal(run.pieces[0].count, 1); /* 64 began in the primer */
    assert_note(&run.pieces[0].items[0], 72, 0, 2);
    end_run(&run);
}

static void key_held_from_the_primer_begins_at_zero(void **state)
{
    (void)state;
    static const token held[] = {40, 44, STEP, 40, 44, STEP};
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    settings.seconds = 1;
    for (int keep = 0; keep < 2; keep++) {
        struct run run;
        assert_int_equal(
            try_run(&run, "pianoroll", fill_one_chord, &settings, 1, held, 6, keep == 1),
            STATUS_OK);
        assert_int_equal(run.pieces[0].count, 2);
        for (int i = 0; i < 2; i++) {
            assert_true(run.pieces[0].items[i].start == 0);
            assert_true(run.pieces[0].items[i].duration == 1 + 0.25 * keep);
        }
        end_run(&run);
    }
}

/* ---- errors ---- */

static void assert_rejected(const struct sampler_settings *settings, int count,
                            const char *word)
{
    struct run run;
    assert_int_equal(
        try_run(&run, "performance", fill_random, settings, count, NULL, 0, false),
        STATUS_MISUSE);
    assert_non_null(strstr(status_message(), word));
    end_run(&run);
}

static void rejects_settings_out_of_range(void **state)
{
    (void)state;
    struct sampler_settings bad = plain;
    assert_rejected(&bad, 0, "0 pieces");
    static const double lengths[] = {0, -1, (double)NAN, HUGE_VAL, 86401};
    for (int i = 0; i < 5; i++) {
        bad.seconds = lengths[i];
        assert_rejected(&bad, 1, "seconds");
    }
    bad = plain, bad.temperature = -0.1;
    assert_rejected(&bad, 1, "temperature");
    bad.temperature = (double)NAN;
    assert_rejected(&bad, 1, "temperature");
    bad = plain, bad.top_k = -1;
    assert_rejected(&bad, 1, "top_k");
    bad = plain, bad.top_p = 0;
    assert_rejected(&bad, 1, "top_p");
    bad.top_p = 1.01;
    assert_rejected(&bad, 1, "top_p");
    bad = plain, bad.max_silence = 0;
    assert_rejected(&bad, 1, "max_silence");
    bad = plain, bad.max_note_seconds = 0;
    assert_rejected(&bad, 1, "max_note_seconds");
    bad = plain, bad.min_p = 1.01;
    assert_rejected(&bad, 1, "min_p");
    bad = plain, bad.repetition_penalty = 0;
    assert_rejected(&bad, 1, "repetition_penalty");
    bad = plain, bad.end = ENDS;
    assert_rejected(&bad, 1, "end 3");
}

static void rejects_a_primer_outside_the_vocabulary(void **state)
{
    (void)state;
    static const token foreign[] = {60, 389};
    struct run run;
    assert_int_equal(
        try_run(&run, "performance", fill_random, &plain, 1, foreign, 2, false),
        STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "token 1 is 389"));
    end_run(&run);
}

static void reports_nan_logits(void **state)
{
    (void)state;
    struct run run;
    assert_int_equal(try_run(&run, "performance", fill_nan, &plain, 1, NULL, 0, false),
                     STATUS_FAILED);
    assert_non_null(strstr(status_message(), "token 258 is nan"));
    end_run(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_logits_give_well_formed_pieces),
        cmocka_unit_test(truncates_notes_at_the_end),
        cmocka_unit_test(piece_reaches_its_full_length),
        cmocka_unit_test(grammar_forces_time_to_advance),
        cmocka_unit_test(piece_ends_at_the_token_limit),
        cmocka_unit_test(dense_music_is_not_truncated),
        cmocka_unit_test(pieces_do_not_depend_on_batch_size),
        cmocka_unit_test(pieces_of_a_model_do_not_depend_on_batch_size),
        cmocka_unit_test(single_candidate_is_the_most_probable),
        cmocka_unit_test(temperature_top_k_and_top_p_shape_the_distribution),
        cmocka_unit_test(limits_that_exclude_no_token_have_no_effect),
        cmocka_unit_test(pieces_continue_the_primer),
        cmocka_unit_test(key_held_from_the_primer_begins_at_zero),
        cmocka_unit_test(rejects_settings_out_of_range),
        cmocka_unit_test(rejects_a_primer_outside_the_vocabulary),
        cmocka_unit_test(reports_nan_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
