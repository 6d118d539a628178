/* sampler: with sources of logits that are random, stubborn, mute or known, instead of a
 * model. A source keeps what it was given, which is what was drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pieces.h"
#include "tutti/sampler.h"
#include "wellformed.h"

enum { OFF = 128, SHIFT = 255, VELOCITY = 356, STEP = 88, ROWS_MAX = 4000 };

/* ---- sources ---- */

struct fake {
    const struct encoding *encoding;
    int count;
    void (*fill)(const struct fake *fake, int row, real *logits);
    struct tokens seen[ROWS_MAX]; /* inputs of each row, END first */
    struct tokens wanted;         /* by row 0: the most probable behind each of them */
    real *logits;
};

static token last_seen(const struct fake *fake, int row)
{
    return fake->seen[row].items[fake->seen[row].count - 1];
}

static const real *fake_next(void *context, const token *inputs)
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

/* Depends on the last tokens only, as a model's would on the row's past. */
static void fill_random(const struct fake *fake, int row, real *logits)
{
    const struct tokens *seen = &fake->seen[row];
    uint64_t past = seen->count > 1 ? seen->items[seen->count - 2] : 0;
    struct rng_block block = {{0}};
    for (size_t value = 0; value < fake->encoding->vocabulary; value++) {
        if (value % 4 == 0)
            block = rng_block(1, RNG_TEST, last_seen(fake, row), past, value);
        logits[value] = (real)((double)(block.word[value % 4] >> 11) * 0x1p-53 * 8);
    }
}

static void fill_flat(const struct fake *fake, int row, real *logits)
{
    (void)row;
    for (size_t value = 0; value < fake->encoding->vocabulary; value++)
        logits[value] = 1;
}

/* Wants one note again and again: on, `shift`, off, `shift`. */
static void want_one_note(const struct fake *fake, int row, token shift, real *logits)
{
    token last = last_seen(fake, row);
    fill_random(fake, row, logits);
    bool sounding = false;
    for (size_t i = 0; i < fake->seen[row].count; i++)
        sounding = fake->seen[row].items[i] == 60 ||
                   (sounding && fake->seen[row].items[i] != OFF + 60);
    if (last == fake->encoding->end)
        logits[VELOCITY + 20] = 100;
    else if (last == 60 || last == OFF + 60)
        logits[shift] = 100;
    else
        logits[sounding ? OFF + 60 : 60] = 100;
}

static void fill_one_note(const struct fake *fake, int row, real *logits)
{
    want_one_note(fake, row, SHIFT + 25, logits);
}

static void fill_one_slow_note(const struct fake *fake, int row, real *logits)
{
    want_one_note(fake, row, SHIFT + 100, logits);
}

static void fill_one_chord(const struct fake *fake, int row, real *logits)
{
    fill_random(fake, row, logits);
    logits[last_seen(fake, row) == 40   ? 44
           : last_seen(fake, row) == 44 ? STEP
                                        : 40] = 100;
}

static void fill_mute(const struct fake *fake, int row, real *logits)
{
    fill_random(fake, row, logits);
    for (size_t value = 0; value < fake->encoding->vocabulary; value++)
        if (fake->encoding->token_seconds(fake->encoding, (token)value) > 0)
            logits[value] = 100;
}

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

/* ---- a run of the sampler and what came of it ---- */

struct run {
    struct encoding *encoding;
    struct fake *fake;
    struct notes *pieces;
    int count;
};

static const struct sampler_settings plain = {
    .temperature = 1, .top_p = 1, .seed = 7, .seconds = 20, .guard = 1, .max_silence = 3};

static enum status try_run(struct run *run, const char *encoding,
                           void (*fill)(const struct fake *, int, real *),
                           const struct sampler_settings *settings, int count,
                           const token *primer, size_t primer_count, int keep_primer)
{
    *run = (struct run){.count = count};
    assert_int_equal(encoding_create(encoding, "1/4", &run->encoding), STATUS_OK);
    run->fake = calloc(1, sizeof *run->fake);
    run->pieces = calloc((size_t)count + 1, sizeof *run->pieces);
    assert_non_null(run->fake);
    assert_non_null(run->pieces);
    run->fake->encoding = run->encoding;
    run->fake->count = count;
    run->fake->fill = fill;
    run->fake->logits =
        calloc((size_t)count + 1, run->encoding->vocabulary * sizeof(real));
    assert_non_null(run->fake->logits);
    struct sampler_source source = {fake_next, run->fake};
    return sampler_run_source(&source, run->encoding, settings, primer, primer_count,
                              keep_primer, count, run->pieces);
}

static struct run do_run(const char *encoding,
                         void (*fill)(const struct fake *, int, real *),
                         const struct sampler_settings *settings, int count)
{
    struct run run;
    assert_int_equal(try_run(&run, encoding, fill, settings, count, NULL, 0, 0),
                     STATUS_OK);
    return run;
}

static void end_run(struct run *run)
{
    for (int i = 0; i < run->count; i++) {
        tokens_free(&run->fake->seen[i]);
        notes_free(&run->pieces[i]);
    }
    tokens_free(&run->fake->wanted);
    free(run->fake->logits);
    free(run->fake);
    free(run->pieces);
    encoding_free(run->encoding);
}

/* What was drawn in a row, but for its last token, which no model sees. */
static const token *drawn(const struct run *run, int row, size_t *count)
{
    const struct tokens *seen = &run->fake->seen[row];
    assert_int_equal(seen->items[0], run->encoding->end);
    size_t end = 1;
    while (end < seen->count && seen->items[end] != run->encoding->end)
        end++;
    *count = end - 1;
    return seen->items + 1;
}

static double seconds_of(const struct encoding *encoding, const token *tokens,
                         size_t count)
{
    double seconds = 0;
    for (size_t i = 0; i < count; i++)
        seconds += encoding->token_seconds(encoding, tokens[i]);
    return seconds;
}

static size_t count_sounds(const struct encoding *encoding, const token *tokens,
                           size_t count)
{
    size_t sounds = 0;
    for (size_t i = 0; i < count; i++)
        sounds += encoding->token_sounds(encoding, tokens[i]);
    return sounds;
}

static bool same_notes(const struct notes *a, const struct notes *b)
{
    struct hash128 first = notes_hash(a), second = notes_hash(b);
    return a->count == b->count && hash128_compare(first, second) == 0;
}

/* ---- well-formedness and length ---- */

/* The notes of a row of the performance encoding, read off its tokens, one NOTE_ON at a
 * time. */
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
            assert_true(notes_seconds(&run.pieces[row]) <= settings.seconds + 1e-9);
            if (performance)
                assert_notes_are_tokens(&run.pieces[row], tokens, count,
                                        settings.seconds);
        }
        end_run(&run);
    }
}

static void what_sounds_at_the_end_ends_there(void **state)
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
            int open = performance_hanging(tokens, count), at_end = 0;
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

static void a_piece_does_not_end_early(void **state)
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

/* ---- determinism ---- */

static void a_seed_gives_the_same_pieces_whatever_their_number(void **state)
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

static void a_model_gives_the_same_pieces_whatever_their_number(void **state)
{
    (void)state;
    const struct model_shape shape = {
        .cell = CELL_LSTM, .layers = 2, .hidden = 24, .embedding = 12, .vocabulary = 389};
    struct encoding *encoding = NULL;
    struct notes pieces[2][8] = {0};
    assert_int_equal(encoding_create("performance", NULL, &encoding), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        int count = i ? 8 : 1;
        struct model *model = NULL;
        assert_int_equal(model_create(&shape, encoding->end, 1, count, 1, 0, &model),
                         STATUS_OK);
        params_initialise(&shape, model_params(model), 3, model_weights(model));
        model_weights_changed(model);
        for (int again = 0; again < 2;
             again++) { /* states of a run before don't matter */
            for (int row = 0; row < count; row++)
                notes_clear(&pieces[i][row]);
            assert_int_equal(
                sampler_run(model, encoding, &plain, NULL, 0, 0, count, pieces[i]),
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

/* ---- drawing ---- */

static void one_candidate_is_the_most_probable(void **state)
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
        if (fill == fill_flat) { /* of equals, the lowest number */
            assert_int_equal(tokens[0], i & 1 ? 0 : SHIFT + 1);
            assert_int_equal(tokens[1], i & 1 ? 1 : SHIFT + 1);
        }
        end_run(&first);
        end_run(&second);
        end_run(&third);
    }
}

/* Shares of the first tokens of many rows must be as given, within five deviations. */
static void assert_shares(const struct sampler_settings *settings, double key10,
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

static void temperature_top_k_and_top_p_shape_the_draw(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    assert_shares(&settings, .5, .3, .15, .05);
    settings.temperature = 2;
    assert_shares(&settings, sqrt(.5), sqrt(.3), sqrt(.15), sqrt(.05));
    settings.temperature = 0.25;
    assert_shares(&settings, pow(.5, 4), pow(.3, 4), pow(.15, 4), pow(.05, 4));
    settings = plain;
    settings.top_k = 3;
    assert_shares(&settings, .5, .3, .15, 0);
    settings.top_k = 2;
    assert_shares(&settings, .5, .3, 0, 0);
    settings = plain;
    settings.top_p = 0.9;
    assert_shares(&settings, .5, .3, .15, 0);
    settings.top_p = 0.75;
    assert_shares(&settings, .5, .3, 0, 0);
    settings.top_p = 0.4;
    assert_shares(&settings, .5, 0, 0, 0);
    settings.top_p = 0.6; /* of the two that top-k leaves, one has .625 */
    settings.top_k = 2;
    assert_shares(&settings, .5, 0, 0, 0);
}

static void limits_that_cut_nothing_change_nothing(void **state)
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

/* ---- guard ---- */

/* Does tokens[n] continue a cycle that the guard calls stuck? Looks back from n. */
static bool continues_a_stuck_cycle(const struct encoding *encoding, const token *tokens,
                                    size_t n)
{
    for (size_t period = 1; period <= 64 && 4 * period <= n; period++) {
        size_t from = n; /* tokens[from..n) repeat what was a period before */
        while (from > period && tokens[from - 1] == tokens[from - 1 - period])
            from--;
        if (n - from + period < 4 * period || tokens[n] != tokens[n - period])
            continue;
        double lasted = seconds_of(encoding, tokens + from, n - from);
        if (count_sounds(encoding, tokens + n - period, period) && lasted >= 4 - 1e-6)
            return true;
    }
    return false;
}

/* Was each token the one the model wanted, but where grammar or guard forbid it? */
static void assert_free_where_not_stuck(const struct run *run, const token *tokens,
                                        size_t count)
{
    const struct encoding *encoding = run->encoding;
    const token *wanted = run->fake->wanted.items;
    bool allowed[400];
    struct grammar grammar;
    struct tokens imagined = {0};
    encoding->grammar_start(encoding, &grammar);
    for (size_t n = 0; n < count; n++) {
        encoding->grammar_allowed(encoding, &grammar, allowed);
        assert_int_equal(tokens_append(&imagined, wanted[n]), STATUS_OK);
        bool stuck = continues_a_stuck_cycle(encoding, imagined.items, n);
        assert_int_equal(tokens[n] == wanted[n], allowed[wanted[n]] && !stuck);
        imagined.items[n] = tokens[n];
        encoding->grammar_accept(encoding, &grammar, tokens[n]);
    }
    tokens_free(&imagined);
}

static void assert_guard_breaks(const char *name,
                                void (*fill)(const struct fake *, int, real *),
                                size_t period, double earliest, double latest)
{
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    settings.guard = 0;
    settings.seconds = 60;
    settings.max_silence = 1000;
    struct run off = do_run(name, fill, &settings, 1);
    settings.guard = 1;
    struct run on = do_run(name, fill, &settings, 1);
    size_t off_count = 0, on_count = 0, same = 0;
    const token *free_tokens = drawn(&off, 0, &off_count);
    const token *guarded = drawn(&on, 0, &on_count);
    for (size_t n = 1 + period; n < off_count; n++)
        assert_int_equal(free_tokens[n], free_tokens[n - period]);
    while (same < on_count && guarded[same] == free_tokens[same])
        same++;
    double until = seconds_of(on.encoding, guarded, same);
    assert_true(until >= earliest && until <= latest);
    assert_free_where_not_stuck(&on, guarded, on_count);
    assert_true(seconds_of(on.encoding, guarded, on_count) > 58);
    assert_string_equal(well_formed(on.encoding, guarded, on_count, 0), "");
    end_run(&off);
    end_run(&on);
}

static void the_guard_breaks_endless_repetition(void **state)
{
    (void)state;
    assert_guard_breaks("performance", fill_one_note, 4, 4, 5);
    assert_guard_breaks("performance", fill_one_slow_note, 4, 7, 8); /* four times */
    assert_guard_breaks("pianoroll", fill_one_chord, 3, 4, 5);
}

/* Strikes 60, the one pitch that is free, at two velocities in turn. */
static void fill_two_velocities(const struct fake *fake, int row, real *logits)
{
    static const token cycle[] = {60, SHIFT + 50, OFF + 60, SHIFT + 50, VELOCITY + 1,
                                  60, SHIFT + 50, OFF + 60, SHIFT + 50, VELOCITY};
    fill_random(fake, row, logits);
    logits[cycle[(fake->seen[row].count - 130) % 10]] = 100;
}

static void the_guard_gives_way_to_the_grammar(void **state)
{
    (void)state;
    token full[1 + 127 + 1]; /* all pitches but 60 sound, and a VELOCITY waits */
    size_t count = 0;
    full[count++] = VELOCITY + 3;
    for (token pitch = 0; pitch < 128; pitch++)
        if (pitch != 60)
            full[count++] = pitch;
    full[count++] = VELOCITY + 2;
    assert_int_equal(count, 129);
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    struct run run;
    assert_int_equal(
        try_run(&run, "performance", fill_two_velocities, &settings, 1, full, count, 0),
        STATUS_OK);
    const token *tokens = drawn(&run, 0, &count);
    assert_true(count > 129 + 42);
    tokens += 129;
    assert_int_equal(tokens[39], VELOCITY);
    assert_int_equal(tokens[40], 60); /* for the fifth time: nothing else may follow */
    assert_int_not_equal(tokens[41], SHIFT + 50);
    end_run(&run);
}

static void the_guard_hears_the_primer(void **state)
{
    (void)state;
    token song[1 + 10 * 4] = {VELOCITY + 20};
    for (int i = 0; i < 10; i++)
        memcpy(song + 1 + 4 * i, (const token[]){60, SHIFT + 25, OFF + 60, SHIFT + 25},
               4 * sizeof(token));
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    struct run run;
    assert_int_equal(
        try_run(&run, "performance", fill_one_note, &settings, 2, song, 41, 0),
        STATUS_OK);
    for (int row = 0; row < 2; row++)
        assert_int_not_equal(run.fake->seen[row].items[1 + 41], 60);
    assert_true(same_notes(&run.pieces[0], &run.pieces[1]));
    end_run(&run);
}

static void the_guard_breaks_silence(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sampler_settings settings = plain;
        settings.guard = 0;
        struct run off = do_run(i ? "pianoroll" : "performance", fill_mute, &settings, 2);
        assert_int_equal(off.pieces[0].count + off.pieces[1].count, 0);
        settings.guard = 1;
        settings.max_silence = 2.5;
        struct run on = do_run(i ? "pianoroll" : "performance", fill_mute, &settings, 2);
        size_t count = 0, sounds = 0;
        const token *tokens = drawn(&on, 1, &count);
        double since = 0;
        for (size_t n = 0; n < count; n++) {
            double moves = on.encoding->token_seconds(on.encoding, tokens[n]);
            bool sound = on.encoding->token_sounds(on.encoding, tokens[n]);
            if (moves > 0)
                assert_true(since < 2.5 - 1e-6);
            since = sound ? 0 : since + moves;
            sounds += sound;
        }
        assert_true(sounds >= 5 && sounds <= 8); /* as few as the guard asks for */
        assert_int_equal(on.pieces[1].count, sounds);
        end_run(&on);
        settings.max_silence = 9;
        settings.temperature =
            0; /* the same shift again and again: silence is no cycle */
        on = do_run(i ? "pianoroll" : "performance", fill_mute, &settings, 1);
        tokens = drawn(&on, 0, &count);
        since = 0;
        for (size_t n = 0; n < count; n++) {
            double moves = on.encoding->token_seconds(on.encoding, tokens[n]);
            assert_true(moves > 0 || since > 9 - 1e-6);
            since = on.encoding->token_sounds(on.encoding, tokens[n]) ? 0 : since + moves;
        }
        assert_int_equal(count_sounds(on.encoding, tokens, count), 2);
        end_run(&off);
        end_run(&on);
    }
}

/* ---- primer ---- */

static const token primer[] = {VELOCITY + 20, 60, SHIFT + 50, OFF + 60, 64, SHIFT + 30};
enum { PRIMER = sizeof primer / sizeof *primer };

/* Strikes 72 without a VELOCITY of its own, then releases 64, then waits. */
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

static void a_primer_goes_before(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    settings.guard = 0;
    settings.seconds = 2;
    struct run run;
    assert_int_equal(
        try_run(&run, "performance", fill_after_primer, &settings, 2, primer, PRIMER, 1),
        STATUS_OK);
    for (int row = 0; row < 2; row++) {
        assert_memory_equal(run.fake->seen[row].items + 1, primer, sizeof primer);
        assert_int_equal(run.pieces[row].count, 3);
        assert_note(&run.pieces[row].items[0], 60, 0, 0.5);
        assert_note(&run.pieces[row].items[1], 64, 0.5, 1.0); /* sounds on */
        assert_note(&run.pieces[row].items[2], 72, 0.8, 2.8);
    }
    end_run(&run);
    assert_int_equal(
        try_run(&run, "performance", fill_after_primer, &settings, 1, primer, PRIMER, 0),
        STATUS_OK);
    assert_int_equal(run.pieces[0].count, 1); /* 64 began in the primer */
    assert_note(&run.pieces[0].items[0], 72, 0, 2);
    end_run(&run);
}

static void a_key_held_from_the_primer_begins_at_zero(void **state)
{
    (void)state;
    static const token held[] = {40, 44, STEP, 40, 44, STEP};
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    settings.seconds = 1;
    for (int keep = 0; keep < 2; keep++) {
        struct run run;
        assert_int_equal(
            try_run(&run, "pianoroll", fill_one_chord, &settings, 1, held, 6, keep),
            STATUS_OK);
        assert_int_equal(run.pieces[0].count, 2);
        for (int i = 0; i < 2; i++) {
            assert_true(run.pieces[0].items[i].start == 0);
            assert_true(run.pieces[0].items[i].duration == 1 + 0.25 * keep);
        }
        end_run(&run);
    }
}

/* ---- faults ---- */

static void assert_refused(const struct sampler_settings *settings, int count,
                           const char *word)
{
    struct run run;
    assert_int_equal(
        try_run(&run, "performance", fill_random, settings, count, NULL, 0, 0),
        STATUS_MISUSE);
    assert_non_null(strstr(status_message(), word));
    end_run(&run);
}

static void settings_out_of_range_are_refused(void **state)
{
    (void)state;
    struct sampler_settings bad = plain;
    assert_refused(&bad, 0, "0 pieces");
    static const double lengths[] = {0, -1, (double)NAN, HUGE_VAL, 86401};
    for (int i = 0; i < 5; i++) {
        bad.seconds = lengths[i];
        assert_refused(&bad, 1, "seconds");
    }
    bad = plain, bad.temperature = -0.1;
    assert_refused(&bad, 1, "temperature");
    bad.temperature = (double)NAN;
    assert_refused(&bad, 1, "temperature");
    bad = plain, bad.top_k = -1;
    assert_refused(&bad, 1, "top_k");
    bad = plain, bad.top_p = 0;
    assert_refused(&bad, 1, "top_p");
    bad.top_p = 1.01;
    assert_refused(&bad, 1, "top_p");
    bad = plain, bad.max_silence = 0;
    assert_refused(&bad, 1, "max_silence");
}

static void a_foreign_primer_is_refused(void **state)
{
    (void)state;
    static const token foreign[] = {60, 389};
    struct run run;
    assert_int_equal(try_run(&run, "performance", fill_random, &plain, 1, foreign, 2, 0),
                     STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "token 1 is 389"));
    end_run(&run);
}

static void logits_that_are_no_numbers_are_reported(void **state)
{
    (void)state;
    struct run run;
    assert_int_equal(try_run(&run, "performance", fill_nan, &plain, 1, NULL, 0, 0),
                     STATUS_FAILED);
    assert_non_null(strstr(status_message(), "token 258 is nan"));
    end_run(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_logits_give_well_formed_pieces),
        cmocka_unit_test(what_sounds_at_the_end_ends_there),
        cmocka_unit_test(a_piece_does_not_end_early),
        cmocka_unit_test(a_seed_gives_the_same_pieces_whatever_their_number),
        cmocka_unit_test(a_model_gives_the_same_pieces_whatever_their_number),
        cmocka_unit_test(one_candidate_is_the_most_probable),
        cmocka_unit_test(temperature_top_k_and_top_p_shape_the_draw),
        cmocka_unit_test(limits_that_cut_nothing_change_nothing),
        cmocka_unit_test(the_guard_breaks_endless_repetition),
        cmocka_unit_test(the_guard_gives_way_to_the_grammar),
        cmocka_unit_test(the_guard_hears_the_primer),
        cmocka_unit_test(the_guard_breaks_silence),
        cmocka_unit_test(a_primer_goes_before),
        cmocka_unit_test(a_key_held_from_the_primer_begins_at_zero),
        cmocka_unit_test(settings_out_of_range_are_refused),
        cmocka_unit_test(a_foreign_primer_is_refused),
        cmocka_unit_test(logits_that_are_no_numbers_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
