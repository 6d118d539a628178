/* remi encoding: decoded notes are compared with a search over bars and positions, one by
 * one, in exact integers; hand-written sequences; rules for malformed ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pieces.h"
#include "encode/encoding.h"

struct setup {
    int positions;
    bool programs, drums, tempo, signatures;
};

static struct encoding *make(struct setup setup)
{
    struct options options;
    struct encoding *encoding = NULL;
    options_defaults(&options);
    options.data.encoding = ENCODING_REMI;
    options.data.positions = setup.positions;
    options.data.programs = setup.programs ? PROGRAMS_KEEP : PROGRAMS_MERGE;
    options.data.drums = setup.drums ? DRUMS_KEEP : DRUMS_DROP;
    options.data.tempo = setup.tempo;
    options.data.time_signatures = setup.signatures;
    assert_int_equal(encoding_from_options(&options, &encoding), STATUS_OK);
    return encoding;
}

static const struct setup everything = {8, true, true, true, true};
static const struct setup plain = {8, false, false, false, false};

static void add(struct notes *notes, uint32_t tick, uint32_t length, int pitch,
                int program)
{
    struct note note = {.start_tick = tick,
                        .duration_ticks = length,
                        .pitch = (uint8_t)pitch,
                        .velocity = 100,
                        .program = (uint8_t)(program < 0 ? 0 : program),
                        .percussion = program < 0};
    assert_int_equal(notes_append(notes, &note), STATUS_OK);
}

static token find(const struct encoding *encoding, const char *name)
{
    char text[ENCODING_TOKEN_NAME];
    for (size_t value = 0; value < encoding->vocabulary; value++)
        if (strcmp(encoding->token_name(encoding, (token)value, text, sizeof text),
                   name) == 0)
            return (token)value;
    fail_msg("no token %s", name);
    return 0;
}

/* Appends the tokens whose names are separated by ", ". */
static void append_named(const struct encoding *encoding, const char *names,
                         struct tokens *tokens)
{
    char copy[1024], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *name = strtok_r(copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        assert_int_equal(tokens_append(tokens, find(encoding, name + (*name == ' '))),
                         STATUS_OK);
}

static void assert_tokens(const struct encoding *encoding, const struct notes *notes,
                          const char *names)
{
    struct tokens tokens = {0};
    char text[1024] = "", name[ENCODING_TOKEN_NAME];
    assert_int_equal(encoding->encode(encoding, notes, &tokens), STATUS_OK);
    for (size_t i = 0; i < tokens.count; i++) {
        size_t used = strlen(text);
        encoding->token_name(encoding, tokens.items[i], name, sizeof name);
        snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "", name);
    }
    assert_string_equal(text, names);
    tokens_free(&tokens);
}

static struct notes decode(const struct encoding *encoding, const char *names,
                           size_t skip)
{
    struct tokens tokens = {0};
    struct notes notes = {0};
    append_named(encoding, names, &tokens);
    assert_int_equal(encoding->decode(encoding, tokens.items, tokens.count, skip, &notes),
                     STATUS_OK);
    assert_int_equal(skip ? notes.count
                          : encoding_count_notes(encoding, tokens.items, tokens.count),
                     notes.count);
    tokens_free(&tokens);
    return notes;
}

static void assert_note(const struct notes *notes, size_t i, uint32_t start,
                        uint32_t length, int pitch, int program)
{
    assert_true(i < notes->count);
    const struct note *note = &notes->items[i];
    assert_int_equal(note->start_tick, start);
    assert_int_equal(note->duration_ticks, length);
    assert_int_equal(note->pitch, pitch);
    assert_int_equal(note->program, program < 0 ? 0 : program);
    assert_int_equal(note->percussion, program < 0);
    assert_int_equal(note->channel, program < 0 ? PERCUSSION_CHANNEL : 0);
}

/* ---- examples ---- */

static void bars_and_positions_are_written(void **state)
{
    (void)state;
    struct encoding *encoding = make(everything);
    struct notes notes = {.ticks_per_beat = 96};
    assert_int_equal(notes_set_tempo(&notes, 96 * 9, 600000), STATUS_OK);
    assert_int_equal(notes_set_signature(&notes, 20, 6, 3), STATUS_OK); /* at bar 2 */
    add(&notes, 96 * 8 - 1, 47, 60, 3); /* rounded into bar 3, at half a beat */
    add(&notes, 96 * 8, 96, 36, -1);
    add(&notes, 96 * 8, 1, 64, 3);
    add(&notes, 96 * 8, 30, 64, 3); /* merged */
    add(&notes, 96 * 10, 96 * 100, 64, 0);
    assert_tokens(
        encoding, &notes,
        "BAR, TIME_SIGNATURE 6/8, POSITION 0, TEMPO 121.29, POSITION 16, PROGRAM 3, "
        "PITCH 60, VELOCITY 24, DURATION 1.0.8, PROGRAM 3, PITCH 64, "
        "VELOCITY 24, DURATION 0.5.8, PROGRAM drums, PITCH_DRUM 36, "
        "VELOCITY 24, DURATION 2.0.8, POSITION 32, TEMPO 100.97, BAR, "
        "TIME_SIGNATURE 6/8, POSITION 0, PROGRAM 0, PITCH 64, VELOCITY 24, "
        "DURATION 12.0.4");
    notes_free(&notes);
    encoding_free(encoding);
}

static void merged_instruments_have_no_programs(void **state)
{
    (void)state;
    struct encoding *encoding = make(plain);
    struct notes notes = {.ticks_per_beat = 1};
    assert_int_equal(notes_set_tempo(&notes, 0, 600000), STATUS_OK);
    assert_int_equal(notes_set_signature(&notes, 0, 3, 2), STATUS_OK);
    assert_tokens(encoding, &notes, "");
    add(&notes, 7, 1, 60, 3);
    add(&notes, 7, 2, 60, 5);
    add(&notes, 7, 2, 36, -1);
    assert_tokens(encoding, &notes,
                  "BAR, POSITION 24, PITCH 60, VELOCITY 24, DURATION 2.0.8");
    assert_int_equal(encoding->vocabulary, 1 + 128 + 128 + 32 + 64 + 1);
    notes_free(&notes);
    encoding_free(encoding);
}

static void decoded_notes_have_bars_programs_and_tempos(void **state)
{
    (void)state;
    struct encoding *encoding = make(everything);
    struct notes notes = decode(
        encoding,
        "BAR, TIME_SIGNATURE 3/8, POSITION 0, TEMPO 250.00, PROGRAM 3, PITCH 60, "
        "VELOCITY 31, DURATION 2.0.8, PROGRAM drums, PITCH_DRUM 36, VELOCITY 0, "
        "DURATION 0.1.8, BAR, TIME_SIGNATURE 3/4, POSITION 1, TEMPO 40.00, PROGRAM 3, "
        "PITCH 60, VELOCITY 31, DURATION 2.0.8",
        0);
    assert_int_equal(notes.count, 3);
    assert_note(&notes, 0, 0, 480, 60, 3);
    assert_note(&notes, 1, 0, 30, 36, -1);
    assert_note(&notes, 2, 720 + 60, 960, 60, 3);
    assert_int_equal(notes.items[1].velocity, 3);
    assert_int_equal(notes.items[2].velocity, 127);
    assert_true(fabs(notes.items[2].start - 780 / 480.0 * 60 / 250) < 1e-9);
    assert_true(fabs(notes.items[2].duration - 960 / 480.0 * 60 / 40) < 1e-9);
    assert_int_equal(notes.tempos.count, 2);
    assert_int_equal(notes.tempos.items[1].tick, 780);
    assert_int_equal(notes.tempos.items[1].tempo, 1500000);
    assert_int_equal(notes.signatures.count, 2);
    assert_int_equal(notes.signatures.items[0].numerator, 3);
    assert_int_equal(notes.signatures.items[1].tick, 720);
    assert_int_equal(notes.signatures.items[1].denominator_log2, 2);
    notes_free(&notes);
    encoding_free(encoding);
}

/* The rest of the primer's bar is a bar of its own. */
static void continuation_keeps_tempo_and_bars(void **state)
{
    (void)state;
    struct encoding *encoding = make(everything);
    struct notes notes =
        decode(encoding,
               "BAR, TIME_SIGNATURE 3/4, POSITION 0, TEMPO 60.32, POSITION 2, PROGRAM 3, "
               "PITCH 60, "
               "VELOCITY 31, DURATION 12.0.4, POSITION 4, PROGRAM 3, PITCH 61, "
               "VELOCITY 31, DURATION 2.0.8, BAR, TIME_SIGNATURE 3/4, POSITION 8, "
               "PROGRAM 4, PITCH 62, VELOCITY 3, DURATION 1.0.8",
               9);
    assert_int_equal(notes.count, 2);
    assert_note(&notes, 0, 120, 960, 61, 3);
    assert_note(&notes, 1, 1320 + 480, 480, 62, 4);
    assert_int_equal(notes.tempos.count, 1);
    assert_int_equal(notes.tempos.items[0].tempo, lround(6e7 / 60.32));
    assert_true(fabs(notes.items[0].start - 0.25 * 60 / 60.32) < 1e-6);
    assert_int_equal(notes.signatures.count, 2);
    assert_int_equal(notes.signatures.items[0].numerator, 11); /* 22 of 24 positions */
    assert_int_equal(notes.signatures.items[0].denominator_log2, 4);
    assert_int_equal(notes.signatures.items[1].tick, 1320);
    assert_int_equal(notes.signatures.items[1].numerator, 3);
    notes_free(&notes);
    encoding_free(encoding);
}

static void forbidden_tokens_are_skipped(void **state)
{
    (void)state;
    struct encoding *encoding = make(everything);
    struct notes notes = decode(
        encoding,
        "POSITION 4, PITCH 60, TIME_SIGNATURE 1/4, BAR, POSITION 3, TIME_SIGNATURE 1/4, "
        "END, BAR, TIME_SIGNATURE 1/4, TIME_SIGNATURE 5/4, PROGRAM 3, POSITION 8, "
        "POSITION 2, POSITION 0, PROGRAM 3, TEMPO 121.29, TEMPO 40.00, POSITION 9, "
        "POSITION 2, BAR, PROGRAM drums, PITCH 60, PITCH_DRUM 61, DURATION 1.0.8, "
        "VELOCITY 3, VELOCITY 4, DURATION 0.1.8, PROGRAM drums, PITCH_DRUM 61, "
        "VELOCITY 3, PROGRAM 127, POSITION 2, BAR, TIME_SIGNATURE 1/4, POSITION 0, "
        "TEMPO 121.29, PROGRAM 4, PITCH 62, VELOCITY 3, TEMPO 40.00",
        0);
    assert_int_equal(notes.count, 1);
    assert_note(&notes, 0, 120, 60, 61, -1);
    assert_int_equal(notes.tempos.count, 1);
    notes_free(&notes);
    encoding_free(encoding);
}

static void settings_are_checked(void **state)
{
    (void)state;
    static const int good[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 48}, bad[] = {7, 9, 32, 47};
    struct options options;
    struct encoding *encoding = NULL;
    options_defaults(&options);
    options.data.encoding = ENCODING_REMI;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        options.data.positions = good[i];
        assert_int_equal(encoding_from_options(&options, &encoding), STATUS_OK);
        encoding_free(encoding);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        options.data.positions = bad[i];
        assert_int_equal(encoding_from_options(&options, &encoding), STATUS_MISUSE);
        assert_non_null(strstr(status_message(), "data.positions is"));
    }
}

static void every_setting_changes_the_hash(void **state)
{
    (void)state;
    const struct setup setups[] = {everything,
                                   plain,
                                   {4, true, true, true, true},
                                   {8, false, true, true, true},
                                   {8, true, false, true, true},
                                   {8, true, true, false, true},
                                   {8, true, true, true, false},
                                   {12, true, true, true, true}};
    uint64_t hashes[8];
    for (size_t i = 0; i < 8; i++) {
        struct encoding *encoding = make(setups[i]);
        hashes[i] = encoding_hash(encoding);
        for (size_t j = 0; j < i; j++)
            assert_true(hashes[i] != hashes[j]);
        encoding_free(encoding);
    }
}

/* ---- the reference ---- */

enum { EXPECTED_MAX = 1000 };

struct expected {
    uint64_t start, length; /* in 1/480 quarter, from the first bar */
    int program, pitch, velocity;
};

struct reference {
    struct setup setup;
    const struct notes *notes;
    struct expected items[EXPECTED_MAX];
    size_t count;
};

struct metre {
    int numerator, denominator;
};

/* The smallest n with |n * length - x| minimal, upwards at ties; x and length > 0 in any
 * unit. */
static uint64_t nearest(uint64_t x, uint64_t length)
{
    uint64_t n = x / length; /* then checked against its neighbours */
    uint64_t best = n, least = UINT64_MAX;
    for (uint64_t i = n > 0 ? n - 1 : 0; i <= n + 2; i++) {
        uint64_t distance = i * length > x ? i * length - x : x - i * length;
        if (distance <= least) {
            best = i;
            least = distance;
        }
    }
    return best;
}

/* The metre of the vocabulary with bars of the same length; numerator 0 if none. */
static struct metre known(const struct time_signature *signature)
{
    int n = signature->numerator, d = 1 << signature->denominator_log2;
    while (d > 8 && n % 2 == 0) {
        n /= 2;
        d /= 2;
    }
    bool found = (d == 2 && n <= 4) || (d == 4 && n <= 12) || (d == 8 && n <= 16);
    return (struct metre){found ? n : 0, d};
}

/* Walks through the bars; finds the bar that begins at or before each time. In units of
 * 1/480 quarter times the ticks per beat, in which every tick is 480. */
struct walk {
    const struct reference *reference;
    uint64_t unit; /* of 1/480 quarter: the ticks per beat */
    uint64_t bar;
    struct metre metre;
    size_t next; /* signature */
};

static uint64_t bar_length(const struct walk *walk)
{
    return (uint64_t)(1920 / walk->metre.denominator * walk->metre.numerator) *
           walk->unit;
}

static uint64_t position_length(const struct walk *walk)
{
    int beat = 1920 / walk->metre.denominator;
    return (uint64_t)(beat / walk->reference->setup.positions) * walk->unit;
}

/* Takes the signatures that are due at the start of the bar: those up to a position after
 * it. */
static void take_signatures(struct walk *walk)
{
    const struct time_signatures *list = &walk->reference->notes->signatures;
    uint64_t grid = position_length(walk);
    while (walk->reference->setup.signatures && walk->next < list->count &&
           list->items[walk->next].tick * 480ull < walk->bar + grid) {
        struct metre metre = known(&list->items[walk->next++]);
        if (!metre.numerator)
            continue;
        walk->metre = metre;
        grid = position_length(walk);
    }
}

static struct walk begin_walk(const struct reference *reference)
{
    struct walk walk = {.reference = reference,
                        .unit = (uint64_t)reference->notes->ticks_per_beat,
                        .metre = {4, 4}};
    take_signatures(&walk);
    return walk;
}

/* The time of a tick on the grid, and of its bar. */
static uint64_t place(struct walk *walk, uint64_t tick, uint64_t *first_bar)
{
    uint64_t time = tick * 480;
    while (time >= walk->bar + bar_length(walk)) {
        walk->bar += bar_length(walk);
        take_signatures(walk);
    }
    uint64_t placed = walk->bar + nearest(time > walk->bar ? time - walk->bar : 0,
                                          position_length(walk)) *
                                      position_length(walk);
    if (placed == walk->bar + bar_length(walk)) {
        walk->bar = placed;
        take_signatures(walk);
    }
    *first_bar = walk->bar;
    return placed / walk->unit;
}

static uint64_t nearest_duration(int positions, uint64_t length)
{
    uint64_t fine = 4 * (uint64_t)positions, step = positions % 2 ? 1 : 2, best = 1;
    for (uint64_t d = 1; d <= 3 * fine; d += d < fine ? 1 : step) {
        uint64_t old = best > length ? best - length : length - best;
        uint64_t new = d > length ? d - length : length - d;
        best = new <= old ? d : best;
    }
    return best;
}

static int compare_expected(const void *left, const void *right)
{
    const struct expected *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return a->program != b->program ? a->program - b->program : a->pitch - b->pitch;
}

static void add_expected(struct reference *reference, const struct expected *new)
{
    for (size_t i = 0; i < reference->count; i++) {
        struct expected *old = &reference->items[i];
        if (compare_expected(old, new) != 0)
            continue;
        old->length = old->length > new->length ? old->length : new->length;
        old->velocity = old->velocity > new->velocity ? old->velocity : new->velocity;
        return;
    }
    reference->items[reference->count++] = *new;
}

static void fill_reference(struct reference *reference)
{
    const struct notes *notes = reference->notes;
    struct walk walk = begin_walk(reference);
    uint64_t origin = UINT64_MAX, bar;
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (note->percussion && !reference->setup.drums)
            continue;
        struct expected new = {.start = place(&walk, note->start_tick, &bar),
                               .program = reference->setup.programs ? note->program : 0,
                               .pitch = note->pitch,
                               .velocity = (note->velocity - 1) / 4 * 4 + 3};
        new.program = note->percussion ? 128 : new.program;
        uint64_t positions =
            nearest(note->duration_ticks * 480ull, position_length(&walk));
        new.length = nearest_duration(reference->setup.positions, positions) *
                     position_length(&walk) / walk.unit;
        origin = origin == UINT64_MAX ? bar / walk.unit : origin;
        add_expected(reference, &new);
    }
    for (size_t i = 0; i < reference->count; i++)
        reference->items[i].start -= origin;
    qsort(reference->items, reference->count, sizeof *reference->items, compare_expected);
}

static int compare_decoded(const void *left, const void *right)
{
    const struct note *a = left, *b = right;
    struct expected first = {a->start_tick, 0, a->percussion ? 128 : a->program, a->pitch,
                             0},
                    second = {b->start_tick, 0, b->percussion ? 128 : b->program,
                              b->pitch, 0};
    return compare_expected(&first, &second);
}

static void assert_is_reference(struct notes *decoded, const struct reference *reference)
{
    assert_int_equal(decoded->count, reference->count);
    if (decoded->count)
        qsort(decoded->items, decoded->count, sizeof *decoded->items, compare_decoded);
    for (size_t i = 0; i < decoded->count; i++) {
        const struct expected *item = &reference->items[i];
        const struct note *note = &decoded->items[i];
        assert_int_equal(note->start_tick, item->start);
        assert_int_equal(note->duration_ticks, item->length);
        assert_int_equal(note->percussion ? 128 : note->program, item->program);
        assert_int_equal(note->pitch, item->pitch);
        assert_int_equal(note->velocity, item->velocity);
    }
    notes_sort(decoded);
}

/* Signatures of all lengths, within bars, known or not; beats of equal length. */
static void random_metre(struct dice *dice, struct notes *notes)
{
    uint64_t span = notes->items[notes->count - 1].start_tick + 1, tick = 0;
    uint8_t log2 = (uint8_t)(1 + dice_below(dice, 4));
    for (uint64_t i = dice_below(dice, 6); i > 0; i--) {
        tick += dice_below(dice, span / 3 + 1);
        assert_int_equal(notes_set_signature(notes, (uint32_t)tick,
                                             (uint8_t)(1 + dice_below(dice, 18)), log2),
                         STATUS_OK);
    }
    tick = 0;
    for (uint64_t i = dice_below(dice, 6); i > 0; i--) {
        tick += dice_below(dice, span / 3 + 1);
        assert_int_equal(notes_set_tempo(notes, (uint32_t)tick,
                                         200000 + (uint32_t)dice_below(dice, 1500000)),
                         STATUS_OK);
    }
}

static void assert_encodes_to(const struct encoding *encoding, const struct notes *notes,
                              const struct tokens *tokens)
{
    struct tokens again = {0};
    assert_int_equal(encoding->encode(encoding, notes, &again), STATUS_OK);
    assert_int_equal(again.count, tokens->count);
    if (tokens->count)
        assert_memory_equal(again.items, tokens->items, tokens->count * sizeof(token));
    tokens_free(&again);
}

static void shuffle_equal_starts(struct dice *dice, struct notes *notes)
{
    for (size_t i = 1; i < notes->count; i++)
        if (notes->items[i].start_tick == notes->items[i - 1].start_tick &&
            dice_below(dice, 2)) {
            struct note other = notes->items[i];
            notes->items[i] = notes->items[i - 1];
            notes->items[i - 1] = other;
        }
}

static void decode_of_encode_is_quantisation(void **state)
{
    (void)state;
    static const int positions[] = {8, 4, 12, 3, 1, 48, 16, 5};
    struct dice dice = {.seed = test_seed(), .piece = 9000};
    for (; dice.piece < 9300; dice.piece++) {
        struct setup setup = {positions[dice.piece % 8], dice_below(&dice, 2),
                              dice_below(&dice, 2), dice_below(&dice, 2),
                              dice_below(&dice, 4) > 0};
        struct encoding *encoding = make(setup);
        struct notes notes = {0}, decoded = {0};
        struct tokens tokens = {0};
        random_piece(&dice, 1 + dice_below(&dice, 200), 0, 127, &notes);
        random_metre(&dice, &notes);
        struct reference reference = {.setup = setup, .notes = &notes};
        fill_reference(&reference);
        assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
        assert_int_equal(
            encoding->decode(encoding, tokens.items, tokens.count, 0, &decoded),
            STATUS_OK);
        assert_is_reference(&decoded, &reference);
        assert_encodes_to(encoding, &decoded, &tokens);
        shuffle_equal_starts(&dice, &notes);
        assert_encodes_to(encoding, &notes, &tokens);
        notes_free(&notes);
        notes_free(&decoded);
        tokens_free(&tokens);
        encoding_free(encoding);
    }
}

/* Bars and positions follow from the tokens; seconds from ticks and decoded tempos. */
static void seconds_follow_the_tempos(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 9400};
    for (; dice.piece < 9460; dice.piece++) {
        struct encoding *encoding = make(everything);
        struct notes notes = {0}, decoded = {0};
        struct tokens tokens = {0};
        struct grammar grammar;
        random_piece(&dice, 100, 0, 127, &notes);
        random_metre(&dice, &notes);
        assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
        assert_int_equal(
            encoding->decode(encoding, tokens.items, tokens.count, 0, &decoded),
            STATUS_OK);
        for (size_t i = 0; i < decoded.count; i++) {
            double seconds = 0, tempo = 500000;
            uint32_t tick = 0, end = decoded.items[i].start_tick;
            for (size_t t = 0; t <= decoded.tempos.count; t++) {
                bool last =
                    t == decoded.tempos.count || decoded.tempos.items[t].tick >= end;
                uint32_t until = last ? end : decoded.tempos.items[t].tick;
                seconds += (until - tick) * tempo / 480e6;
                if (last)
                    break;
                tick = until;
                tempo = decoded.tempos.items[t].tempo;
            }
            assert_true(fabs(decoded.items[i].start - seconds) < 1e-6);
        }
        encoding->grammar_start(encoding, &grammar);
        uint64_t time = 0;
        for (size_t i = 0; i < tokens.count; i++) {
            time += encoding->advance(encoding, &grammar, tokens.items[i]);
            encoding->grammar_accept(encoding, &grammar, tokens.items[i]);
            assert_int_equal(grammar.time, time);
        }
        const struct note *last = &decoded.items[decoded.count - 1];
        assert_int_equal(grammar.time, last->start_tick);
        assert_true(fabs(grammar.seconds - last->start) < 1e-6);
        notes_free(&notes);
        notes_free(&decoded);
        tokens_free(&tokens);
        encoding_free(encoding);
    }
}

/* Of any tokens, the decoder keeps what it skips no part of. */
static void any_tokens_decode(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 9500};
    for (; dice.piece < 9600; dice.piece++) {
        struct encoding *encoding = make(dice.piece % 2 ? everything : plain);
        struct tokens tokens = {0};
        struct notes notes = {0};
        for (int i = 0; i < 500; i++)
            assert_int_equal(tokens_append(&tokens, (token)dice_below(
                                                        &dice, encoding->vocabulary + 3)),
                             STATUS_OK);
        assert_int_equal(
            encoding->decode(encoding, tokens.items, tokens.count,
                             dice_below(&dice, 2) ? dice_below(&dice, 600) : 0, &notes),
            STATUS_OK);
        notes_free(&notes);
        tokens_free(&tokens);
        encoding_free(encoding);
    }
}

static void smpte_beats_are_half_a_second(void **state)
{
    (void)state;
    struct encoding *encoding = make(plain);
    struct notes notes = {.ticks_per_second = 1000};
    add(&notes, 2250, 500, 60, 0);
    assert_tokens(encoding, &notes,
                  "BAR, POSITION 4, PITCH 60, VELOCITY 24, DURATION 1.0.8");
    double first, length;
    assert_int_equal(encoding->find_grid_steps(encoding, &notes, &first, &length),
                     STATUS_OK);
    assert_true(fabs(first - 2000) < 1e-9 && fabs(length - 500.0 / 480) < 1e-12);
    notes.ticks_per_second = 0;
    struct tokens tokens = {0};
    assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_FAILED);
    notes_free(&notes);
    encoding_free(encoding);
}

static void too_long_piece_is_refused(void **state)
{
    (void)state;
    struct encoding *encoding = make(everything);
    struct notes notes = {.ticks_per_beat = 1};
    struct tokens tokens = {0};
    add(&notes, 0, 1, 60, 0);
    add(&notes, 4u << 24, 1, 60, 0);
    assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "too long for the remi encoding"));
    assert_int_equal(tokens.count, 0);
    notes_free(&notes);
    tokens_free(&tokens);
    encoding_free(encoding);
}

static void transposition_leaves_percussion_alone(void **state)
{
    (void)state;
    struct encoding *encoding = make(everything);
    token pitch = find(encoding, "PITCH 120"), drum = find(encoding, "PITCH_DRUM 36");
    assert_int_equal(encoding->transpose(encoding, pitch, 7),
                     find(encoding, "PITCH 127"));
    assert_int_equal(encoding->transpose(encoding, pitch, 8), encoding->end);
    assert_int_equal(encoding->transpose(encoding, drum, 8), drum);
    assert_int_equal(encoding->token_pitch(encoding, pitch), 120);
    assert_int_equal(encoding->token_pitch(encoding, drum), -1);
    assert_true(encoding->token_sounds(encoding, drum));
    token velocity = find(encoding, "VELOCITY 30");
    assert_int_equal(encoding->shift_velocity(encoding, velocity, 1), velocity + 1);
    assert_int_equal(encoding->shift_velocity(encoding, velocity, 2), encoding->end);
    assert_int_equal(encoding->shift_velocity(encoding, pitch, 2), pitch);
    encoding_free(encoding);
}

/* A limit of a second forbids durations above it, at the tempo in force. */
static void long_notes_are_forbidden(void **state)
{
    (void)state;
    struct encoding *encoding = make(everything);
    struct tokens tokens = {0};
    struct grammar grammar;
    bool allowed[2000];
    append_named(encoding,
                 "BAR, TIME_SIGNATURE 4/4, POSITION 0, TEMPO 60.32, PROGRAM 3, PITCH 60, "
                 "VELOCITY 31",
                 &tokens);
    encoding->grammar_start(encoding, &grammar);
    for (size_t i = 0; i < tokens.count; i++)
        encoding->grammar_accept(encoding, &grammar, tokens.items[i]);
    encoding->grammar_allowed(encoding, &grammar, allowed);
    assert_true(allowed[find(encoding, "DURATION 12.0.4")]);
    encoding->grammar_end_long_notes(encoding, &grammar, 1, allowed);
    assert_true(allowed[find(encoding, "DURATION 1.0.8")]); /* 0.995 s */
    assert_false(allowed[find(encoding, "DURATION 1.1.8")]);
    encoding->grammar_end_long_notes(encoding, &grammar, 1e-3, allowed);
    assert_true(allowed[find(encoding, "DURATION 0.1.8")]);
    assert_false(allowed[find(encoding, "DURATION 0.2.8")]);
    tokens_free(&tokens);
    encoding_free(encoding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bars_and_positions_are_written),
        cmocka_unit_test(merged_instruments_have_no_programs),
        cmocka_unit_test(decoded_notes_have_bars_programs_and_tempos),
        cmocka_unit_test(continuation_keeps_tempo_and_bars),
        cmocka_unit_test(forbidden_tokens_are_skipped),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(every_setting_changes_the_hash),
        cmocka_unit_test(decode_of_encode_is_quantisation),
        cmocka_unit_test(seconds_follow_the_tempos),
        cmocka_unit_test(any_tokens_decode),
        cmocka_unit_test(smpte_beats_are_half_a_second),
        cmocka_unit_test(too_long_piece_is_refused),
        cmocka_unit_test(transposition_leaves_percussion_alone),
        cmocka_unit_test(long_notes_are_forbidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
