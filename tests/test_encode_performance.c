/* performance encoding: token by token on a small piece, and decode(encode(x)) against a
 * quantisation computed independently (from pairs of notes, without a running state). */
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

enum { OFF = 128, SHIFT = 255 /* + steps */, VELOCITY = 356, END = 388 };

static struct encoding *performance;

static int set_up(void **state)
{
    (void)state;
    return (int)encoding_create("performance", NULL, &performance);
}

static int tear_down(void **state)
{
    (void)state;
    encoding_free(performance);
    return 0;
}

static void add(struct notes *notes, double start, double duration, int pitch,
                int velocity, int channel)
{
    struct note note = {.start = start,
                        .duration = duration,
                        .start_tick = (uint32_t)lround(start * 1000),
                        .duration_ticks = (uint32_t)lround(duration * 1000),
                        .pitch = (uint8_t)pitch,
                        .velocity = (uint8_t)velocity,
                        .channel = (uint8_t)channel,
                        .percussion = channel == PERCUSSION_CHANNEL};
    notes->ticks_per_beat = 500;
    assert_int_equal(notes_append(notes, &note), STATUS_OK);
}

static void assert_tokens(const struct notes *notes, const token *expected, size_t count)
{
    struct tokens tokens = {0};
    assert_int_equal(performance->encode(performance, notes, &tokens), STATUS_OK);
    assert_int_equal(tokens.count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(tokens.items[i], expected[i]);
    tokens_free(&tokens);
}
#define ASSERT_TOKENS(notes, ...)                                                        \
    assert_tokens(notes, (const token[]){__VA_ARGS__},                                   \
                  sizeof((const token[]){__VA_ARGS__}) / sizeof(token))

static void tokens_are_in_canonical_order(void **state)
{
    (void)state;
    struct notes notes = {0};
    add(&notes, 2.0, 0.5, 64, 80, 1); /* the leading silence is dropped */
    add(&notes, 2.0, 0.5, 60, 80, 2);
    add(&notes, 2.5, 3.204, 60, 77, 0); /* same bin as 80; ends 3.70 s after the start */
    add(&notes, 2.5, 0.001, 67, 127, 0);
    notes_sort(&notes);
    ASSERT_TOKENS(&notes, VELOCITY + 19, 60, 64, SHIFT + 50, OFF + 60, OFF + 64, 60,
                  VELOCITY + 31, 67, SHIFT + 1, OFF + 67, SHIFT + 100, SHIFT + 100,
                  SHIFT + 100, SHIFT + 19, OFF + 60);
    notes_free(&notes);
}

static void whole_seconds_have_no_remaining_shift(void **state)
{
    (void)state;
    struct notes notes = {0};
    add(&notes, 0, 2, 0, 1, 0);
    ASSERT_TOKENS(&notes, VELOCITY, 0, SHIFT + 100, SHIFT + 100, OFF);
    notes_free(&notes);
}

static void notes_of_one_pitch_never_overlap(void **state)
{
    (void)state;
    struct notes notes = {0};
    add(&notes, 0, 1, 60, 40, 0);
    add(&notes, 0.2, 0.1, 60, 41, 0); /* ends the first, though shorter */
    add(&notes, 0.5, 0.2, 61, 41, 0); /* these two merge: louder and longer */
    add(&notes, 0.503, 0.4, 61, 8, 1);
    ASSERT_TOKENS(&notes, VELOCITY + 9, 60, SHIFT + 20, OFF + 60, VELOCITY + 10, 60,
                  SHIFT + 10, OFF + 60, SHIFT + 20, 61, SHIFT + 40, OFF + 61);
    notes_free(&notes);
}

/* An organ's long note and a bass on the same pitch: every onset is kept, and the pitch
 * sounds until the organ's note ends; a shorter note of the organ ends only the organ's
 * own. */
static void pitch_sounds_until_the_last_instrument_releases_it(void **state)
{
    (void)state;
    struct notes notes = {0};
    add(&notes, 0, 4, 48, 80, 0);
    add(&notes, 1, 0.25, 48, 80, 1);
    add(&notes, 2, 0.25, 48, 80, 1);
    ASSERT_TOKENS(&notes, VELOCITY + 19, 48, SHIFT + 100, OFF + 48, 48, SHIFT + 100,
                  OFF + 48, 48, SHIFT + 100, SHIFT + 100, OFF + 48);
    add(&notes, 2.5, 0.5, 48, 80, 0); /* the organ's own key again */
    ASSERT_TOKENS(&notes, VELOCITY + 19, 48, SHIFT + 100, OFF + 48, 48, SHIFT + 100,
                  OFF + 48, 48, SHIFT + 50, OFF + 48, 48, SHIFT + 50, OFF + 48);
    notes_free(&notes);
}

/* The same channel is a different instrument on another port, but the same one in another
 * track. */
static void instrument_is_port_and_channel(void **state)
{
    (void)state;
    struct notes notes = {0};
    add(&notes, 0, 1, 48, 80, 0);
    add(&notes, 0.5, 0.1, 48, 80, 0);
    notes.items[1].track = 1;
    ASSERT_TOKENS(&notes, VELOCITY + 19, 48, SHIFT + 50, OFF + 48, 48, SHIFT + 10,
                  OFF + 48);
    notes.items[1].port = 1;
    ASSERT_TOKENS(&notes, VELOCITY + 19, 48, SHIFT + 50, OFF + 48, 48, SHIFT + 50,
                  OFF + 48);
    notes.items[1].percussion = 1;
    ASSERT_TOKENS(&notes, VELOCITY + 19, 48, SHIFT + 100, OFF + 48);
    notes_free(&notes);
}

/* Percussion is a flag of the note, not implied by its channel. */
static void melody_on_channel_10_is_encoded(void **state)
{
    (void)state;
    struct notes notes = {0};
    add(&notes, 0, 1, 60, 80, PERCUSSION_CHANNEL);
    notes.items[0].percussion = 0;
    add(&notes, 0, 1, 36, 80, 5);
    notes.items[1].percussion = 1;
    ASSERT_TOKENS(&notes, VELOCITY + 19, 60, SHIFT + 100, OFF + 60);
    notes_free(&notes);
}

static void percussion_is_dropped(void **state)
{
    (void)state;
    struct notes notes = {0};
    struct tokens tokens = {0};
    assert_int_equal(performance->encode(performance, &notes, &tokens), STATUS_OK);
    add(&notes, 0, 1, 36, 100, PERCUSSION_CHANNEL);
    assert_int_equal(performance->encode(performance, &notes, &tokens), STATUS_OK);
    assert_int_equal(tokens.count, 0);
    add(&notes, 1, 1, 60, 100, 0);
    ASSERT_TOKENS(&notes, VELOCITY + 24, 60, SHIFT + 100, OFF + 60);
    notes_free(&notes);
    tokens_free(&tokens);
}

static void notes_are_ordered_by_seconds(void **state)
{
    (void)state; /* tracks with separate tempo maps: later tick, earlier time */
    struct notes notes = {0};
    add(&notes, 1.0, 0.1, 60, 1, 0);
    add(&notes, 2.0, 0.1, 62, 1, 0);
    notes.items[0].start_tick = 9000;
    notes_sort(&notes);
    assert_int_equal(notes.items[0].pitch, 62);
    ASSERT_TOKENS(&notes, VELOCITY, 60, SHIFT + 10, OFF + 60, SHIFT + 90, 62, SHIFT + 10,
                  OFF + 62);
    notes_free(&notes);
}

/* ---- properties ---- */

struct expected_note {
    long start, end;
    int pitch, velocity, instrument;
};

static int compare_expected(const void *left, const void *right)
{
    const struct expected_note *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return (a->pitch > b->pitch) - (a->pitch < b->pitch);
}

static int middle_of_bin(int velocity)
{
    while (velocity % 4 != 2) /* 1-4 -> 2, 5-8 -> 6, ... */
        velocity += velocity % 4 == 1 ? 1 : -1;
    return velocity;
}

/* A note ends where its instrument plays the pitch again. */
static void truncate_within_instruments(struct expected_note *quantised, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            if (quantised[i].pitch == quantised[j].pitch &&
                quantised[i].instrument == quantised[j].instrument &&
                quantised[j].start > quantised[i].start &&
                quantised[j].start < quantised[i].end)
                quantised[i].end = quantised[j].start;
}

/* Each note lasts as long as the longest note of its pitch that sounds at its onset. */
static void extend_to_longest(struct expected_note *quantised, size_t count)
{
    long *end = calloc(count + 1, sizeof *end);
    assert_non_null(end);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            if (quantised[i].pitch == quantised[j].pitch &&
                quantised[j].start <= quantised[i].start &&
                quantised[j].end > quantised[i].start && quantised[j].end > end[i])
                end[i] = quantised[j].end;
    for (size_t i = 0; i < count; i++)
        quantised[i].end = end[i];
    free(end);
}

/* The notes that decode(encode(notes)) must return; returns their number. */
static size_t quantise(const struct notes *notes, struct expected_note *quantised)
{
    size_t count = 0, merged = 0;
    long first = -1;
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (note->percussion)
            continue;
        long start = lround(note->start * 100);
        long end = lround((note->start + note->duration) * 100);
        quantised[count++] = (struct expected_note){
            start, end > start ? end : start + 1, note->pitch,
            middle_of_bin(note->velocity), 16 * note->port + note->channel};
        first = first < 0 || start < first ? start : first;
    }
    truncate_within_instruments(quantised, count);
    extend_to_longest(quantised, count);
    for (size_t i = 0; i < count; i++) /* merge equal onsets */
        for (size_t j = i + 1; j < count; j++)
            if (quantised[i].pitch == quantised[j].pitch &&
                quantised[i].start == quantised[j].start) {
                if (quantised[i].end > quantised[j].end)
                    quantised[j].end = quantised[i].end;
                if (quantised[i].velocity > quantised[j].velocity)
                    quantised[j].velocity = quantised[i].velocity;
                quantised[i].pitch = -1;
                break;
            }
    for (size_t i = 0; i < count; i++)
        if (quantised[i].pitch >= 0)
            quantised[merged++] = quantised[i];
    for (size_t i = 0; i < merged; i++) /* truncate at the next onset */
        for (size_t j = 0; j < merged; j++)
            if (quantised[i].pitch == quantised[j].pitch &&
                quantised[j].start > quantised[i].start &&
                quantised[j].start < quantised[i].end)
                quantised[i].end = quantised[j].start;
    for (size_t i = 0; i < merged; i++) {
        quantised[i].start -= first;
        quantised[i].end -= first;
    }
    qsort(quantised, merged, sizeof *quantised, compare_expected);
    return merged;
}

static void assert_note_is(const struct note *note, const struct expected_note *expected)
{
    assert_int_equal(lround(note->start * 1e6), expected->start * 10000);
    assert_int_equal(lround((note->start + note->duration) * 1e6), expected->end * 10000);
    assert_int_equal(note->start_tick, lround((double)expected->start * 9.6));
    assert_int_equal(note->start_tick + note->duration_ticks,
                     lround((double)expected->end * 9.6));
    assert_int_equal(note->pitch, expected->pitch);
    assert_int_equal(note->velocity, expected->velocity);
    assert_int_equal(note->channel + note->program + note->track, 0);
}

static void round_trip(struct dice *dice)
{
    size_t count = 1 + dice_below(dice, 300);
    int low = (int)dice_below(dice, 120),
        high = low + (int)dice_below(dice, (uint64_t)(128 - low));
    struct notes notes = {0}, back = {0};
    struct tokens tokens = {0}, again = {0};
    struct expected_note *quantised = calloc(count, sizeof *quantised);
    assert_non_null(quantised);
    random_piece(dice, count, low, high, &notes);
    size_t expected = quantise(&notes, quantised);
    assert_int_equal(performance->encode(performance, &notes, &tokens), STATUS_OK);
    assert_int_equal(encoding_count_notes(performance, tokens.items, tokens.count),
                     expected);
    assert_int_equal(
        performance->decode(performance, tokens.items, tokens.count, 0, &back),
        STATUS_OK);
    assert_int_equal(back.count, expected);
    assert_true(back.ticks_per_beat == 480 && back.ticks_per_second == 0);
    for (size_t i = 0; i < expected; i++)
        assert_note_is(&back.items[i], &quantised[i]);
    assert_int_equal(performance->encode(performance, &back, &again), STATUS_OK);
    assert_int_equal(again.count, tokens.count);
    if (tokens.count)
        assert_memory_equal(again.items, tokens.items, tokens.count * sizeof(token));
    free(quantised);
    notes_free(&notes);
    notes_free(&back);
    tokens_free(&tokens);
    tokens_free(&again);
}

static void decode_of_encode_is_quantisation(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed()};
    for (dice.piece = 0; dice.piece < 300; dice.piece++) {
        dice.drawn = 0;
        round_trip(&dice);
    }
}

static void long_pieces_do_not_drift(void **state)
{
    (void)state; /* 1/3 s is not a whole number of steps; 30000 times 1/3 s is */
    struct notes notes = {0}, back = {0};
    struct tokens tokens = {0};
    for (int i = 0; i < 30000; i++)
        add(&notes, i / 3.0, 1 / 6.0, 60, 64, 0);
    assert_int_equal(performance->encode(performance, &notes, &tokens), STATUS_OK);
    assert_int_equal(
        performance->decode(performance, tokens.items, tokens.count, 0, &back),
        STATUS_OK);
    assert_int_equal(back.count, 30000);
    for (int i = 0; i < 30000; i++)
        assert_true(fabs(back.items[i].start - i / 3.0) <= 0.005 + 1e-9);
    notes_free(&notes);
    notes_free(&back);
    tokens_free(&tokens);
}

static void too_long_piece_is_refused(void **state)
{
    (void)state;
    struct notes notes = {0};
    struct tokens tokens = {0};
    assert_int_equal(tokens_append(&tokens, 7), STATUS_OK);
    add(&notes, 0, 16000000, 60, 64, 0); /* just fits */
    assert_int_equal(performance->encode(performance, &notes, &tokens), STATUS_OK);
    assert_int_equal(tokens.count, 1 + 2 + 16000000 + 1);
    tokens.count = 1;
    static const double too_long[] = {16777214, 17000000, 1e12, HUGE_VAL};
    for (int i = 0; i < 4; i++) {
        notes.items[0].duration = too_long[i];
        assert_int_equal(performance->encode(performance, &notes, &tokens),
                         STATUS_FAILED);
        assert_non_null(
            strstr(status_message(), "too long for the performance encoding"));
        assert_int_equal(tokens.count, 1);
        assert_int_equal(tokens.items[0], 7);
    }
    notes_free(&notes);
    tokens_free(&tokens);
}

static void malformed_sequences_are_decoded(void **state)
{
    (void)state;
    const token tokens[] = {OFF + 60,     70,        SHIFT + 10, OFF + 71, VELOCITY + 31,
                            70,           END,       SHIFT + 10, 72,       OFF + 72,
                            VELOCITY + 0, SHIFT + 5, 999,        73};
    struct notes notes = {0};
    assert_int_equal(performance->decode(performance, tokens,
                                         sizeof tokens / sizeof *tokens, 0, &notes),
                     STATUS_OK);
    assert_int_equal(notes.count, 2); /* 72 and 73 have no length */
    assert_note_is(&notes.items[0], &(struct expected_note){0, 10, 70, 64, 0});
    assert_note_is(&notes.items[1], &(struct expected_note){10, 25, 70, 126, 0});
    notes_free(&notes);
}

static void token_names_match_values(void **state)
{
    (void)state;
    static const struct {
        token value;
        const char *name;
    } table[] = {{0, "NOTE_ON 0"},      {127, "NOTE_ON 127"},  {128, "NOTE_OFF 0"},
                 {255, "NOTE_OFF 127"}, {256, "TIME_SHIFT 1"}, {355, "TIME_SHIFT 100"},
                 {356, "VELOCITY 0"},   {387, "VELOCITY 31"},  {388, "END"}};
    char text[32];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_string_equal(
            performance->token_name(performance, table[i].value, text, sizeof text),
            table[i].name);
    assert_int_equal(performance->vocabulary, 389);
    assert_int_equal(performance->end, 388);
    assert_true(token_seconds(performance, 256) == 0.01);
    assert_true(token_seconds(performance, 355) == 1);
    assert_true(token_seconds(performance, 356) == 0);
    assert_true(performance->token_sounds(performance, 127));
    assert_false(performance->token_sounds(performance, 128));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_in_canonical_order),
        cmocka_unit_test(whole_seconds_have_no_remaining_shift),
        cmocka_unit_test(notes_of_one_pitch_never_overlap),
        cmocka_unit_test(pitch_sounds_until_the_last_instrument_releases_it),
        cmocka_unit_test(instrument_is_port_and_channel),
        cmocka_unit_test(melody_on_channel_10_is_encoded),
        cmocka_unit_test(percussion_is_dropped),
        cmocka_unit_test(notes_are_ordered_by_seconds),
        cmocka_unit_test(decode_of_encode_is_quantisation),
        cmocka_unit_test(long_pieces_do_not_drift),
        cmocka_unit_test(too_long_piece_is_refused),
        cmocka_unit_test(malformed_sequences_are_decoded),
        cmocka_unit_test(token_names_match_values),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
