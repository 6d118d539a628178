/* grammar: encoded pieces are allowed token by token, random walks over allowed tokens
 * are well formed according to an independent checker, and each rule forbids exactly its
 * tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "encodings.h"
#include "pieces.h"
#include "wellformed.h"
#include "encode/encoding.h"

enum { VOCABULARY_MAX = 1000, OFF = 128, SHIFT = 255, VELOCITY = 356 };

static const char *const names[] = {"performance",
                                    "pianoroll",
                                    "pianoroll repeats",
                                    "performance programs",
                                    "performance drums",
                                    "performance programs drums",
                                    "remi",
                                    "remi programs drums without tempo"};
enum { NAMES = sizeof names / sizeof *names };

static void accept_all(const struct encoding *encoding, struct grammar *grammar,
                       const token *tokens, size_t count)
{
    bool allowed[VOCABULARY_MAX];
    uint64_t time = grammar->time;
    for (size_t i = 0; i < count; i++) {
        encoding->grammar_allowed(encoding, grammar, allowed);
        assert_true(allowed[tokens[i]]);
        time += encoding->advance(encoding, grammar, tokens[i]);
        encoding->grammar_accept(encoding, grammar, tokens[i]);
        assert_int_equal(grammar->time, time);
    }
}

static void encoded_pieces_are_well_formed(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed()};
    for (dice.piece = 0; dice.piece < 240; dice.piece++) {
        struct encoding *encoding = test_encoding(names[dice.piece % NAMES]);
        struct notes notes = {0};
        struct tokens tokens = {0};
        struct grammar grammar;
        random_piece(&dice, 150, 10, 110, &notes);
        notes.ticks_per_beat += 100; /* limits the pianoroll's steps */
        assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
        assert_int_equal(tokens_append(&tokens, encoding->end), STATUS_OK);
        encoding->grammar_start(encoding, &grammar);
        accept_all(encoding, &grammar, tokens.items, tokens.count);
        double seconds = (double)grammar.time * encoding->seconds_per_grid_step;
        bool has_tempos = strcmp(names[dice.piece % NAMES], "remi") == 0;
        assert_true(seconds > 0);
        assert_true(has_tempos || (grammar.seconds > seconds - 1e-6 &&
                                   grammar.seconds < seconds + 1e-6));
        assert_string_equal(well_formed(encoding, tokens.items, tokens.count, 1), "");
        notes_free(&notes);
        tokens_free(&tokens);
        encoding_free(encoding);
    }
}

/* Of no notes, and of percussion that is not kept. */
static void no_notes_are_no_tokens(void **state)
{
    (void)state;
    struct note hit = {.duration = 1, .duration_ticks = 480, .pitch = 36, .velocity = 80};
    hit.channel = PERCUSSION_CHANNEL;
    hit.percussion = true;
    for (int i = 0; i < NAMES; i++) {
        struct encoding *encoding = test_encoding(names[i]);
        struct notes notes = {.ticks_per_beat = 480}, decoded = {0};
        struct tokens tokens = {0};
        assert_int_equal(encoding->decode(encoding, &encoding->end, 1, 0, &decoded),
                         STATUS_OK);
        assert_int_equal(decoded.count, 0);
        assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
        assert_int_equal(tokens.count, 0);
        assert_int_equal(notes_append(&notes, &hit), STATUS_OK);
        assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
        assert_int_equal(tokens.count > 0, encoding->keeps_drums);
        notes_free(&notes);
        notes_free(&decoded);
        tokens_free(&tokens);
        encoding_free(encoding);
    }
}

/* What is lost is what decoding does not give back. */
static void lost_notes_are_those_not_decoded(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 4000};
    struct lost_notes all = {0};
    for (; dice.piece < 4240; dice.piece++) {
        struct encoding *encoding = test_encoding(names[dice.piece % NAMES]);
        struct notes notes = {0}, decoded = {0};
        struct tokens tokens = {0};
        struct lost_notes lost = {0};
        size_t percussion = 0, low_or_high = 0;
        random_piece(&dice, 150, 15, 115, &notes);
        notes.ticks_per_beat += 100; /* limits the pianoroll's steps */
        for (size_t i = 0; i < notes.count; i++) {
            const struct note *note = &notes.items[i];
            percussion += note->percussion && !encoding->keeps_drums;
            low_or_high += !note->percussion && encoding->has_frames &&
                           (note->pitch < 21 || note->pitch > 108);
        }
        assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
        assert_int_equal(
            encoding->decode(encoding, tokens.items, tokens.count, 0, &decoded),
            STATUS_OK);
        encoding_count_lost(encoding, &notes, tokens.items, tokens.count, &lost);
        assert_int_equal(lost.percussion, percussion);
        assert_int_equal(lost.out_of_range, low_or_high);
        assert_int_equal(lost.merged,
                         notes.count - percussion - low_or_high - decoded.count);
        lost_notes_add(&all, &lost);
        notes_free(&notes);
        notes_free(&decoded);
        tokens_free(&tokens);
        encoding_free(encoding);
    }
    assert_true(all.percussion > 50 && all.out_of_range > 50 && all.merged > 50);
}

/* Any tokens: END within a piece, keys in any order, values outside the vocabulary. */
static void notes_are_counted_as_by_the_grammar(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 5000};
    for (; dice.piece < 5600; dice.piece++) {
        struct encoding *encoding = test_encoding(names[dice.piece % NAMES]);
        struct tokens tokens = {0};
        struct grammar grammar;
        encoding->grammar_start(encoding, &grammar);
        for (uint64_t i = dice_below(&dice, 300); i > 0; i--) {
            bool special = dice_below(&dice, 3) == 0; /* STEP, REPEAT, END, unknown */
            token value = (token)(special ? encoding->end - 2 + dice_below(&dice, 4)
                                          : dice_below(&dice, 12));
            encoding->grammar_accept(encoding, &grammar, value);
            assert_int_equal(tokens_append(&tokens, value), STATUS_OK);
        }
        assert_int_equal(encoding_count_notes(encoding, tokens.items, tokens.count),
                         grammar.onsets);
        tokens_free(&tokens);
        encoding_free(encoding);
    }
}

/* Draws one of the allowed tokens except END, uniformly; NOTE_ONs more often, so that all
 * pitches occur. */
static token draw(struct dice *dice, const struct encoding *encoding, const bool *allowed)
{
    token candidates[VOCABULARY_MAX];
    size_t count = 0;
    for (size_t value = 0; value < encoding->vocabulary; value++)
        if (allowed[value] && value != encoding->end)
            candidates[count++] = (token)value;
    assert_true(count > 0);
    size_t likely = dice_below(dice, 3) ? count : (count + 3) / 4;
    return candidates[dice_below(dice, likely)];
}

static void random_walks_are_well_formed(void **state)
{
    (void)state;
    enum { LENGTH = 20000 };
    struct dice dice = {.seed = test_seed()};
    for (dice.piece = 0; dice.piece < 3 * NAMES; dice.piece++) {
        struct encoding *encoding = test_encoding(names[dice.piece % NAMES]);
        struct grammar grammar;
        struct tokens tokens = {0};
        struct notes notes = {0};
        bool allowed[VOCABULARY_MAX];
        encoding->grammar_start(encoding, &grammar);
        for (int i = 0; i < LENGTH; i++) {
            encoding->grammar_allowed(encoding, &grammar, allowed);
            token value = draw(&dice, encoding, allowed);
            encoding->grammar_accept(encoding, &grammar, value);
            assert_int_equal(tokens_append(&tokens, value), STATUS_OK);
        }
        assert_string_equal(well_formed(encoding, tokens.items, tokens.count, 0), "");
        assert_int_equal(
            encoding->decode(encoding, tokens.items, tokens.count, 0, &notes), STATUS_OK);
        /* decoding drops only notes that begin at the very end */
        assert_true(notes.count <= (size_t)grammar.onsets);
        assert_true(notes.count + GRAMMAR_NOTES >= (size_t)grammar.onsets);
        assert_true(notes.count > LENGTH / 20);
        notes_free(&notes);
        tokens_free(&tokens);
        encoding_free(encoding);
    }
}

static void assert_allowed(const struct encoding *encoding, const struct grammar *grammar,
                           token value, bool expected)
{
    bool allowed[VOCABULARY_MAX];
    encoding->grammar_allowed(encoding, grammar, allowed);
    assert_int_equal(allowed[value], expected);
}

static void performance_grammar_forbids_invalid_tokens(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("performance");
    struct grammar grammar;
    encoding->grammar_start(encoding, &grammar);
    assert_allowed(encoding, &grammar, 60, false); /* no velocity yet */
    assert_allowed(encoding, &grammar, OFF + 60, false);
    assert_allowed(encoding, &grammar, encoding->end, true);
    accept_all(encoding, &grammar, (const token[]){VELOCITY + 5}, 1);
    assert_allowed(encoding, &grammar, VELOCITY + 6, false);
    assert_allowed(encoding, &grammar, SHIFT + 1, false);
    assert_allowed(encoding, &grammar, encoding->end, false);
    accept_all(encoding, &grammar, (const token[]){60}, 1);
    assert_allowed(encoding, &grammar, 60, false);       /* sounds already */
    assert_allowed(encoding, &grammar, OFF + 60, false); /* would have no length */
    assert_allowed(encoding, &grammar, VELOCITY + 5, false);
    assert_allowed(encoding, &grammar, VELOCITY + 6, true);
    assert_allowed(encoding, &grammar, encoding->end, false);
    accept_all(encoding, &grammar, (const token[]){SHIFT + 1, OFF + 60, 60}, 3);
    assert_allowed(encoding, &grammar, OFF + 60, false); /* it has just been restruck */
    accept_all(encoding, &grammar, (const token[]){SHIFT + 100, OFF + 60}, 2);
    assert_allowed(encoding, &grammar, encoding->end, true);
    assert_int_equal(grammar.time, 101);
    assert_true(grammar.seconds == 1.01);
    encoding_free(encoding);
}

static void full_keyboard_allows_time_shift(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("performance");
    struct grammar grammar;
    encoding->grammar_start(encoding, &grammar);
    accept_all(encoding, &grammar, (const token[]){VELOCITY}, 1);
    for (token pitch = 0; pitch < 128; pitch++)
        accept_all(encoding, &grammar, &pitch, 1);
    assert_allowed(encoding, &grammar, VELOCITY + 1, false); /* no NOTE_ON could follow */
    assert_allowed(encoding, &grammar, SHIFT + 1, true);
    encoding_free(encoding);
}

/* Also after a VELOCITY that is not allowed, as no note can follow it. */
static void velocity_on_full_keyboard_allows_time_shift(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("performance");
    struct grammar grammar;
    bool allowed[VOCABULARY_MAX];
    encoding->grammar_start(encoding, &grammar);
    for (token pitch = 0; pitch < 128; pitch++)
        encoding->grammar_accept(encoding, &grammar, pitch);
    encoding->grammar_accept(encoding, &grammar, VELOCITY);
    encoding->grammar_allowed(encoding, &grammar, allowed);
    assert_true(allowed[SHIFT + 1]);
    encoding_free(encoding);
}

static void pianoroll_grammar_forbids_invalid_tokens(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("pianoroll");
    const token step = 88;
    struct grammar grammar;
    encoding->grammar_start(encoding, &grammar);
    assert_allowed(encoding, &grammar, 0, true);
    assert_allowed(encoding, &grammar, encoding->end, true);
    accept_all(encoding, &grammar, (const token[]){40}, 1);
    assert_allowed(encoding, &grammar, 39, false);
    assert_allowed(encoding, &grammar, 40, false);
    assert_allowed(encoding, &grammar, 41, true);
    assert_allowed(encoding, &grammar, encoding->end, false);
    accept_all(encoding, &grammar, (const token[]){87}, 1);
    assert_allowed(encoding, &grammar, 87, false);
    accept_all(encoding, &grammar, (const token[]){step}, 1);
    assert_allowed(encoding, &grammar, 0, true);
    assert_allowed(encoding, &grammar, encoding->end, true);
    accept_all(encoding, &grammar, (const token[]){40, step, step, 40, step}, 5);
    assert_int_equal(grammar.onsets, 3); /* 40 and 87, and 40 after its pause */
    assert_true(grammar.seconds == 0.5);
    encoding_free(encoding);
}

static void repeats_are_of_keys_that_sounded(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("pianoroll repeats");
    const token step = 88, repeat = 89;
    struct grammar grammar;
    encoding->grammar_start(encoding, &grammar);
    assert_allowed(encoding, &grammar, repeat, false);
    accept_all(encoding, &grammar, (const token[]){40, 50}, 2);
    assert_allowed(encoding, &grammar, repeat, false); /* not in the same step */
    accept_all(encoding, &grammar, (const token[]){step, repeat}, 2);
    for (token value = 0; value <= encoding->end; value++)
        assert_allowed(encoding, &grammar, value, value == 40 || value == 50);
    accept_all(encoding, &grammar, (const token[]){40}, 1);
    assert_int_equal(grammar.onsets, 3);
    assert_allowed(encoding, &grammar, 40, false);
    accept_all(encoding, &grammar, (const token[]){50}, 1);
    assert_int_equal(grammar.onsets, 3);
    assert_allowed(encoding, &grammar, repeat, false); /* no key above 50 sounded */
    encoding->grammar_accept(encoding, &grammar, repeat);
    assert_allowed(encoding, &grammar, step, true); /* although malformed */
    encoding->grammar_accept(encoding, &grammar, encoding->end);
    assert_allowed(encoding, &grammar, repeat, false);
    encoding_free(encoding);
}

/* A note of 0.5 s is ended after 0.5 s, unless REPEAT begins another one. */
static void repeated_notes_are_short_notes(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("pianoroll repeats");
    const token step = 88, repeat = 89;
    struct grammar grammar;
    bool allowed[VOCABULARY_MAX];
    encoding->grammar_start(encoding, &grammar);
    for (int i = 0; i < 4; i++)
        accept_all(encoding, &grammar, (const token[]){40, step}, 2);
    encoding->grammar_allowed(encoding, &grammar, allowed);
    encoding->grammar_end_long_notes(encoding, &grammar, 0.5, allowed);
    assert_true(!allowed[40] && allowed[41] && allowed[step] && allowed[repeat]);
    accept_all(encoding, &grammar, &repeat, 1);
    encoding->grammar_allowed(encoding, &grammar, allowed);
    encoding->grammar_end_long_notes(encoding, &grammar, 0.5, allowed);
    assert_true(allowed[40]);
    accept_all(encoding, &grammar, (const token[]){40, step}, 2);
    encoding->grammar_allowed(encoding, &grammar, allowed);
    encoding->grammar_end_long_notes(encoding, &grammar, 0.5, allowed);
    assert_true(allowed[40]); /* the note is new */
    encoding_free(encoding);
}

static void end_resets_the_grammar(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("performance");
    struct grammar grammar;
    encoding->grammar_start(encoding, &grammar);
    encoding->grammar_accept(encoding, &grammar, VELOCITY + 5);
    encoding->grammar_accept(encoding, &grammar, 60);
    encoding->grammar_accept(encoding, &grammar, encoding->end);
    assert_allowed(encoding, &grammar, 60, false);
    assert_allowed(encoding, &grammar, VELOCITY + 5, true);
    assert_int_equal(grammar.onsets, 1);
    assert_int_equal(grammar.sounding_count, 0);
    encoding_free(encoding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoded_pieces_are_well_formed),
        cmocka_unit_test(no_notes_are_no_tokens),
        cmocka_unit_test(lost_notes_are_those_not_decoded),
        cmocka_unit_test(notes_are_counted_as_by_the_grammar),
        cmocka_unit_test(random_walks_are_well_formed),
        cmocka_unit_test(performance_grammar_forbids_invalid_tokens),
        cmocka_unit_test(full_keyboard_allows_time_shift),
        cmocka_unit_test(velocity_on_full_keyboard_allows_time_shift),
        cmocka_unit_test(pianoroll_grammar_forbids_invalid_tokens),
        cmocka_unit_test(repeats_are_of_keys_that_sounded),
        cmocka_unit_test(repeated_notes_are_short_notes),
        cmocka_unit_test(end_resets_the_grammar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
