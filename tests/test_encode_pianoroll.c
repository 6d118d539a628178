/* pianoroll encoding: compared with a boolean matrix filled note by note, with steps
 * found by counting instead of division. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pieces.h"
#include "wellformed.h"
#include "encode/encoding.h"

enum { KEYS = 88, STEP = 88, END = 89, REPEAT = 89, LOWEST = 21 };

static struct encoding *make(const char *grid)
{
    struct encoding *encoding = NULL;
    assert_int_equal(encoding_create("pianoroll", grid, &encoding), STATUS_OK);
    return encoding;
}

static struct encoding *make_with_repeats(const char *grid)
{
    struct encoding *encoding = NULL;
    struct options options;
    options_defaults(&options);
    options.data.encoding = ENCODING_PIANOROLL;
    options.data.repeats = true;
    strcpy(options.data.grid, grid);
    assert_int_equal(encoding_from_options(&options, &encoding), STATUS_OK);
    return encoding;
}

static void add(struct notes *notes, uint32_t tick, uint32_t length, int pitch,
                int channel)
{
    struct note note = {.start = tick / 480.0,
                        .duration = length / 480.0,
                        .start_tick = tick,
                        .duration_ticks = length,
                        .pitch = (uint8_t)pitch,
                        .velocity = 100,
                        .channel = (uint8_t)channel,
                        .percussion = channel == PERCUSSION_CHANNEL};
    assert_int_equal(notes_append(notes, &note), STATUS_OK);
}

static void assert_tokens(const struct encoding *encoding, const struct notes *notes,
                          const token *expected, size_t count)
{
    struct tokens tokens = {0};
    assert_int_equal(encoding->encode(encoding, notes, &tokens), STATUS_OK);
    assert_int_equal(tokens.count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(tokens.items[i], expected[i]);
    tokens_free(&tokens);
}
#define ASSERT_TOKENS(encoding, notes, ...)                                              \
    assert_tokens(encoding, notes, (const token[]){__VA_ARGS__},                         \
                  sizeof((const token[]){__VA_ARGS__}) / sizeof(token))

static void each_step_lists_the_sounding_keys(void **state)
{
    (void)state;
    struct encoding *encoding = make("1/4");
    struct notes notes = {.ticks_per_beat = 240}; /* a step is 60 ticks */
    add(&notes, 89, 61, 108, 0);                  /* 1.48 -> 1, 2.5 -> 3: two steps */
    add(&notes, 120, 10, 21, 3);                  /* no length: one step */
    add(&notes, 120, 600, 20, 0);                 /* below the piano */
    add(&notes, 120, 600, 109, 0);                /* above */
    add(&notes, 120, 600, 60, 9);                 /* percussion */
    add(&notes, 300, 60, 60, 0);
    add(&notes, 360, 30, 60, 0); /* restruck: 60 keeps sounding */
    ASSERT_TOKENS(encoding, &notes, 87, STEP, 0, 87, STEP, STEP, STEP, 39, STEP, 39,
                  STEP);
    notes_free(&notes);
    encoding_free(encoding);
}

static void key_sounds_until_the_last_instrument_releases_it(void **state)
{
    (void)state;
    struct encoding *encoding = make("1/1");
    struct notes notes = {.ticks_per_beat = 480};
    add(&notes, 0, 1920, 60, 0);
    add(&notes, 480, 480, 60, 1);
    add(&notes, 0, 1920, 62, 9); /* not marked as percussion */
    notes.items[2].percussion = 0;
    add(&notes, 0, 2400, 64, 3);
    notes.items[3].percussion = 1;
    ASSERT_TOKENS(encoding, &notes, 39, 41, STEP, 39, 41, STEP, 39, 41, STEP, 39, 41,
                  STEP);
    notes_free(&notes);
    encoding_free(encoding);
}

static void repeats_begin_notes_anew(void **state)
{
    (void)state;
    struct encoding *encoding = make_with_repeats("1/1");
    struct notes notes = {.ticks_per_beat = 480};
    add(&notes, 0, 480, 60, 0);
    add(&notes, 0, 960, 64, 0);
    add(&notes, 0, 480, 64, 1);   /* begins together with it */
    add(&notes, 480, 480, 60, 1); /* follows without a gap */
    add(&notes, 480, 1440, 62, 0);
    add(&notes, 960, 480, 62, 1);  /* strikes a key that sounds longer */
    add(&notes, 1440, 480, 60, 0); /* after a gap */
    ASSERT_TOKENS(encoding, &notes, 39, 43, STEP, REPEAT, 39, 41, 43, STEP, REPEAT, 41,
                  STEP, 39, 41, STEP);
    notes_free(&notes);
    encoding_free(encoding);
}

static void percussion_piece_has_no_tokens(void **state)
{
    (void)state;
    struct encoding *encoding = make("1/4");
    struct notes notes = {0};
    struct tokens tokens = {0};
    assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
    notes.ticks_per_beat = 96;
    add(&notes, 0, 96, 36, 9);
    assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
    assert_int_equal(tokens.count, 0);
    notes.ticks_per_beat = 0;
    assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "division"));
    notes_free(&notes);
    encoding_free(encoding);
}

static void smpte_beats_are_half_a_second(void **state)
{
    (void)state;
    struct encoding *encoding = make("1/1");
    struct notes notes = {.ticks_per_second = 25 * 40};
    add(&notes, 0, 1250, 60, 0); /* 1.25 s: 2.5 beats, rounded up */
    ASSERT_TOKENS(encoding, &notes, 39, STEP, 39, STEP, 39, STEP);
    notes.ticks_per_second = 30000.0 / 1001 * 4; /* a beat is 59.94 ticks */
    notes.items[0].start_tick = 59910;           /* a hair before beat 999.5 */
    notes.items[0].duration_ticks = 1;           /* and a hair after it */
    add(&notes, 0, 1, 61, 0);
    notes_sort(&notes);
    struct tokens tokens = {0};
    assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
    assert_int_equal(tokens.count, 1000 + 2); /* steps 0 to 999 */
    notes.items[1].start_tick++;
    tokens.count = 0;
    assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
    assert_int_equal(tokens.count, 1001 + 2);
    tokens.count = 0;
    notes.ticks_per_beat = 480; /* now the division matters */
    assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
    assert_int_equal(tokens.count, 126 + 2); /* 59910 / 480 = 124.8 */
    notes_free(&notes);
    tokens_free(&tokens);
    encoding_free(encoding);
}

/* ---- properties ---- */

struct roll {
    bool (*steps)[KEYS];
    bool (*onsets)[KEYS]; /* a note begins */
    size_t count;
};

/* The step nearest to a tick: a step is top / bottom ticks. */
static size_t nearest(uint64_t tick, uint64_t top, uint64_t bottom)
{
    size_t step = 0; /* the first step whose midpoint is after the tick */
    while ((2 * step + 1) * top <= 2 * tick * bottom)
        step++;
    return step;
}

static struct roll roll_of(const struct notes *notes, uint64_t top, uint64_t bottom)
{
    enum { STEPS_MAX = 200000 };
    struct roll roll = {.steps = calloc(STEPS_MAX, sizeof *roll.steps),
                        .onsets = calloc(STEPS_MAX, sizeof *roll.onsets)};
    assert_true(roll.steps && roll.onsets);
    size_t first = STEPS_MAX;
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (note->percussion || note->pitch < 21 || note->pitch > 108)
            continue;
        size_t start = nearest(note->start_tick, top, bottom);
        size_t end =
            nearest((uint64_t)note->start_tick + note->duration_ticks, top, bottom);
        end = end == start ? start + 1 : end;
        assert_true(end <= STEPS_MAX);
        for (size_t step = start; step < end; step++)
            roll.steps[step][note->pitch - 21] = true;
        roll.onsets[start][note->pitch - 21] = true;
        first = start < first ? start : first;
        roll.count = end > roll.count ? end : roll.count;
    }
    roll.count -= roll.count ? first : 0;
    memmove(roll.steps, roll.steps + first, roll.count * sizeof *roll.steps);
    memmove(roll.onsets, roll.onsets + first, roll.count * sizeof *roll.onsets);
    return roll;
}

static bool sounds_before(const struct roll *roll, size_t step, int key)
{
    return step > 0 && roll->steps[step - 1][key];
}

/* A key begins a note: after silence, or with `repeats` where it is struck. */
static bool begins_note(const struct roll *roll, size_t step, int key, bool repeats)
{
    return roll->steps[step][key] &&
           (!sounds_before(roll, step, key) || (repeats && roll->onsets[step][key]));
}

static void assert_tokens_are_roll(const struct tokens *tokens, const struct roll *roll,
                                   bool repeats)
{
    size_t at = 0;
    for (size_t step = 0; step < roll->count; step++) {
        for (int key = 0; key < KEYS; key++)
            if (roll->steps[step][key]) {
                assert_true(at + 1 < tokens->count);
                if (repeats && sounds_before(roll, step, key) && roll->onsets[step][key])
                    assert_int_equal(tokens->items[at++], REPEAT);
                assert_int_equal(tokens->items[at++], key);
            }
        assert_true(at < tokens->count);
        assert_int_equal(tokens->items[at++], STEP);
    }
    assert_int_equal(at, tokens->count);
}

/* The notes must be exactly the runs of each key in the roll; with `repeats` cut where
 * the key is struck. */
static void assert_notes_are_roll(const struct notes *notes, const struct roll *roll,
                                  bool repeats, double seconds_per_step)
{
    size_t runs = 0;
    for (size_t step = 0; step < roll->count; step++)
        for (int key = 0; key < KEYS; key++)
            runs += begins_note(roll, step, key, repeats);
    assert_int_equal(notes->count, runs);
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        size_t start = (size_t)lround(note->start / seconds_per_step);
        size_t end = (size_t)lround((note->start + note->duration) / seconds_per_step);
        int key = note->pitch - LOWEST;
        assert_true(fabs(note->start - (double)start * seconds_per_step) < 1e-9);
        assert_int_equal(note->start_tick, floor(note->start * 960 + 0.5));
        assert_true(end > start && end <= roll->count);
        assert_true(begins_note(roll, start, key, repeats));
        assert_true(end == roll->count || !roll->steps[end][key] ||
                    begins_note(roll, end, key, repeats));
        for (size_t step = start; step < end; step++)
            assert_true(roll->steps[step][key] &&
                        (step == start || !begins_note(roll, step, key, repeats)));
        assert_int_equal(note->velocity, 64);
    }
}

/* Scales all ticks down until none exceeds `longest`. */
static void shorten(struct notes *notes, uint64_t longest)
{
    uint64_t last = notes->items[notes->count - 1].start_tick, factor = 1;
    while (last / factor > longest)
        factor *= 3;
    for (size_t i = 0; i < notes->count; i++) {
        notes->items[i].start_tick /= (uint32_t)factor;
        notes->items[i].duration_ticks /= (uint32_t)factor;
    }
    notes_sort(notes);
}

static void round_trip(struct dice *dice, const struct encoding *encoding,
                       uint64_t numerator, uint64_t denominator)
{
    struct notes notes = {0}, back = {0};
    struct tokens tokens = {0}, again = {0};
    random_piece(dice, 1 + dice_below(dice, 200), 15, 115, &notes);
    notes.ticks_per_beat = 1 + (double)dice_below(dice, 200); /* an arbitrary division */
    uint64_t top = numerator * (denominator ? (uint64_t)notes.ticks_per_beat : 1);
    shorten(&notes, 50000 * top / (denominator ? denominator : 1));
    struct roll roll = roll_of(&notes, top, denominator ? denominator : 1);
    assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
    assert_tokens_are_roll(&tokens, &roll, encoding->repeats);
    assert_int_equal(encoding->decode(encoding, tokens.items, tokens.count, 0, &back),
                     STATUS_OK);
    assert_notes_are_roll(&back, &roll, encoding->repeats,
                          encoding->seconds_per_grid_step);
    assert_int_equal(encoding_count_notes(encoding, tokens.items, tokens.count),
                     back.count);
    assert_int_equal(encoding->encode(encoding, &back, &again), STATUS_OK);
    assert_int_equal(again.count, tokens.count);
    if (tokens.count)
        assert_memory_equal(again.items, tokens.items, tokens.count * sizeof(token));
    free(roll.steps);
    free(roll.onsets);
    notes_free(&notes);
    notes_free(&back);
    tokens_free(&tokens);
    tokens_free(&again);
}

static void decode_of_encode_is_quantisation(void **state)
{
    (void)state;
    static const struct {
        const char *grid;
        uint64_t numerator, denominator;
    } grids[] = {{"1/4", 1, 4},  {"1/3", 1, 3},     {"2/1", 2, 1},        {"7/12", 7, 12},
                 {"4/16", 1, 4}, {"5 ticks", 5, 0}, {"120 ticks", 120, 0}};
    struct dice dice = {.seed = test_seed()};
    for (size_t g = 0; g < 2 * sizeof grids / sizeof *grids; g++) {
        size_t grid = g / 2;
        struct encoding *encoding =
            g % 2 ? make_with_repeats(grids[grid].grid) : make(grids[grid].grid);
        for (int i = 0; i < 30; i++, dice.piece++) {
            dice.drawn = 0;
            round_trip(&dice, encoding, grids[grid].numerator, grids[grid].denominator);
        }
        encoding_free(encoding);
    }
}

/* The pianoroll's notes of a key follow each other: each is decoded as it is. */
static void repeated_notes_are_kept_exactly(void **state)
{
    (void)state;
    struct encoding *encoding = make_with_repeats("1/4"), *plain = make("1/4");
    struct dice dice = {.seed = test_seed(), .piece = 2000};
    for (; dice.piece < 2050; dice.piece++) {
        struct notes notes = {.ticks_per_beat = 480}, back = {0};
        struct tokens tokens = {0}, without = {0};
        for (int pitch = 60; pitch < 64; pitch++)
            for (uint32_t step = 0, length; step < 40; step += length) {
                length = 1 + (uint32_t)dice_below(&dice, 5);
                if (step == 0 || dice_below(&dice, 4))
                    add(&notes, 120 * step, 120 * length, pitch, 0);
            }
        notes_sort(&notes);
        assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
        assert_int_equal(encoding->decode(encoding, tokens.items, tokens.count, 0, &back),
                         STATUS_OK);
        assert_int_equal(back.count, notes.count);
        for (size_t i = 0; i < notes.count; i++) {
            assert_int_equal(back.items[i].start_tick, notes.items[i].start_tick);
            assert_int_equal(back.items[i].duration_ticks, notes.items[i].duration_ticks);
            assert_int_equal(back.items[i].pitch, notes.items[i].pitch);
        }
        struct lost_notes lost = {0};
        encoding_count_lost(encoding, &notes, tokens.items, tokens.count, &lost);
        assert_int_equal(lost.merged, 0);
        /* without REPEAT the tokens are those of the plain pianoroll */
        assert_int_equal(plain->encode(plain, &notes, &without), STATUS_OK);
        size_t kept = 0;
        for (size_t i = 0; i < tokens.count; i++)
            if (tokens.items[i] != REPEAT)
                assert_int_equal(tokens.items[i], without.items[kept++]);
        assert_int_equal(kept, without.count);
        assert_true(kept < tokens.count);
        notes_free(&notes);
        notes_free(&back);
        tokens_free(&tokens);
        tokens_free(&without);
    }
    encoding_free(encoding);
    encoding_free(plain);
}

static void finest_grid_round_trips(void **state)
{
    (void)state;
    struct encoding *encoding = make("1/480");
    struct dice dice = {.seed = test_seed(), .piece = 1000};
    struct tokens tokens = {0}, again = {0};
    struct notes notes = {0};
    for (int step = 0; step < 3000; step++) {
        for (int key = 0; key < KEYS; key++)
            if (step == 0 || step == 2999 || dice_below(&dice, 40) == 0)
                assert_int_equal(tokens_append(&tokens, (token)key), STATUS_OK);
        assert_int_equal(tokens_append(&tokens, STEP), STATUS_OK);
    }
    assert_int_equal(encoding->decode(encoding, tokens.items, tokens.count, 0, &notes),
                     STATUS_OK);
    assert_int_equal(encoding->encode(encoding, &notes, &again), STATUS_OK);
    assert_int_equal(again.count, tokens.count);
    assert_memory_equal(again.items, tokens.items, tokens.count * sizeof(token));
    notes_free(&notes);
    tokens_free(&tokens);
    tokens_free(&again);
    encoding_free(encoding);
}

static void too_long_piece_is_refused(void **state)
{
    (void)state;
    struct encoding *encoding = make("1/480");
    struct notes notes = {.ticks_per_beat = 1};
    struct tokens tokens = {0};
    add(&notes, 0, 1, 60, 0);
    static const uint32_t too_long[] = {40000, 8947849 /* 2^32 / 480 */, 4000000000U};
    for (int i = 0; i < 3; i++) {
        notes.items[0].duration_ticks = too_long[i];
        assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_FAILED);
        assert_non_null(strstr(status_message(), "grid of 1/480 beat"));
        assert_int_equal(tokens.count, 0);
    }
    notes.items[0].duration_ticks = 17000; /* 8.2 M steps of 2 tokens */
    assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
    assert_int_equal(tokens.count, 17000 * 480 * 2);
    notes_free(&notes);
    tokens_free(&tokens);
    encoding_free(encoding);
}

static void malformed_sequences_are_decoded(void **state)
{
    (void)state;
    struct encoding *encoding = make("1/1");
    const token tokens[] = {50, 40, 50, END, STEP, 60000, 40, STEP, STEP, 7};
    struct notes notes = {0};
    assert_int_equal(
        encoding->decode(encoding, tokens, sizeof tokens / sizeof *tokens, 0, &notes),
        STATUS_OK);
    assert_int_equal(notes.count, 3);
    assert_int_equal(notes.items[0].pitch, 61);
    assert_true(notes.items[0].start == 0 && notes.items[0].duration == 1);
    assert_int_equal(notes.items[1].pitch, 71);
    assert_true(notes.items[1].start == 0 && notes.items[1].duration == 0.5);
    assert_int_equal(notes.items[2].pitch, 28); /* ends as if a STEP followed */
    assert_true(notes.items[2].start == 1.5 && notes.items[2].duration == 0.5);
    notes_free(&notes);
    encoding_free(encoding);
}

/* A REPEAT counts only directly before the first mention of a key in its step. */
static void malformed_repeats_are_decoded(void **state)
{
    (void)state;
    struct encoding *encoding = make_with_repeats("1/1");
    const token end = 90;
    const token tokens[] = {REPEAT, 40,     STEP,                    /* begins anyway */
                            REPEAT, REPEAT, 40,   STEP,              /* one repeat */
                            REPEAT, STEP,                            /* ends it */
                            40,     STEP,   40,   REPEAT, 40,  STEP, /* listed already */
                            REPEAT, 41,     40,   REPEAT, 500, 40,   STEP, /* not of 40 */
                            REPEAT, end,    40,   REPEAT};
    struct notes notes = {0};
    size_t count = sizeof tokens / sizeof *tokens;
    assert_int_equal(encoding->decode(encoding, tokens, count, 0, &notes), STATUS_OK);
    const struct {
        int pitch;
        double start, duration;
    } expected[] = {{61, 0, 0.5}, {61, 0.5, 0.5}, {61, 1.5, 2}, {62, 2.5, 0.5}};
    assert_int_equal(notes.count, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(notes.items[i].pitch, expected[i].pitch);
        assert_true(notes.items[i].start == expected[i].start);
        assert_true(notes.items[i].duration == expected[i].duration);
    }
    notes_free(&notes);
    encoding_free(encoding);
}

static void invalid_grid_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",         "0/4",
                                      "1/0",      "-1/4",
                                      "1/-4",     "1/",
                                      "/4",       "1/4x",
                                      "1.5/4",    "1",
                                      "0 ticks",  "-5 ticks",
                                      "ticks",    "10001 ticks",
                                      "1/10001",  "1/481",
                                      " 1/4",     "+1/4",
                                      "1/ 4",     "12ticks",
                                      "5 ticks ", "99999999999999999999 ticks"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct encoding *encoding = NULL;
        assert_int_equal(encoding_create("pianoroll", bad[i], &encoding), STATUS_MISUSE);
        assert_null(encoding);
        assert_non_null(strstr(status_message(), bad[i]));
    }
    struct encoding *encoding = NULL;
    assert_int_equal(encoding_create("unknown", "1/4", &encoding), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "'unknown'"));
}

static void hash_identifies_the_vocabulary(void **state)
{
    (void)state;
    static const char *const grids[] = {"1/4", "1/2", "4/1", "1 ticks", "4 ticks"};
    uint64_t hashes[6];
    for (size_t i = 0; i < 5; i++) {
        struct encoding *encoding = make(grids[i]);
        hashes[i] = encoding_hash(encoding);
        encoding_free(encoding);
    }
    struct encoding *encoding = NULL;
    assert_int_equal(encoding_create("performance", "1/4", &encoding), STATUS_OK);
    hashes[5] = encoding_hash(encoding);
    encoding_free(encoding);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < i; j++)
            assert_true(hashes[i] != hashes[j]);
    encoding = make_with_repeats("1/4");
    for (int i = 0; i < 6; i++)
        assert_true(encoding_hash(encoding) != hashes[i]);
    encoding_free(encoding);
    encoding = make("2/8"); /* the same grid */
    assert_true(encoding_hash(encoding) == hashes[0]);
    encoding_free(encoding);
}

static void token_names_match_values(void **state)
{
    (void)state;
    struct encoding *encoding = make("48 ticks");
    char text[32];
    assert_string_equal(encoding->token_name(encoding, 0, text, sizeof text), "KEY 21");
    assert_string_equal(encoding->token_name(encoding, 87, text, sizeof text), "KEY 108");
    assert_string_equal(encoding->token_name(encoding, STEP, text, sizeof text), "STEP");
    assert_string_equal(encoding->token_name(encoding, END, text, sizeof text), "END");
    assert_int_equal(encoding->vocabulary, 90);
    assert_int_equal(encoding->end, END);
    assert_true(token_seconds(encoding, STEP) == 0.05);
    assert_true(token_seconds(encoding, 87) == 0);
    assert_true(encoding->token_sounds(encoding, 87));
    assert_false(encoding->token_sounds(encoding, STEP));
    encoding_free(encoding);
}

static void names_of_repeats_match_values(void **state)
{
    (void)state;
    struct encoding *encoding = make_with_repeats("48 ticks");
    char text[32];
    assert_string_equal(encoding->token_name(encoding, REPEAT, text, sizeof text),
                        "REPEAT");
    assert_string_equal(encoding->token_name(encoding, 90, text, sizeof text), "END");
    assert_int_equal(encoding->vocabulary, 91);
    assert_int_equal(encoding->end, 90);
    assert_int_equal(encoding->advance(encoding, NULL, REPEAT), 0);
    assert_false(encoding->token_sounds(encoding, REPEAT));
    assert_int_equal(encoding->token_pitch(encoding, REPEAT), -1);
    assert_int_equal(encoding->transpose(encoding, REPEAT, 5), REPEAT);
    assert_int_equal(encoding->transpose(encoding, 85, 5), 90);
    assert_int_equal(encoding->transpose(encoding, 85, 2), 87);
    encoding_free(encoding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_lists_the_sounding_keys),
        cmocka_unit_test(key_sounds_until_the_last_instrument_releases_it),
        cmocka_unit_test(repeats_begin_notes_anew),
        cmocka_unit_test(percussion_piece_has_no_tokens),
        cmocka_unit_test(smpte_beats_are_half_a_second),
        cmocka_unit_test(decode_of_encode_is_quantisation),
        cmocka_unit_test(repeated_notes_are_kept_exactly),
        cmocka_unit_test(finest_grid_round_trips),
        cmocka_unit_test(too_long_piece_is_refused),
        cmocka_unit_test(malformed_sequences_are_decoded),
        cmocka_unit_test(malformed_repeats_are_decoded),
        cmocka_unit_test(invalid_grid_is_refused),
        cmocka_unit_test(hash_identifies_the_vocabulary),
        cmocka_unit_test(token_names_match_values),
        cmocka_unit_test(names_of_repeats_match_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
