/* performance encoding with programs or percussion: token by token on small pieces, the
 * plain encoding as a special case, and decode(encode(x)) against a quantisation computed
 * independently for each instrument. */
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

enum {
    OFF = 128,
    SHIFT = 255 /* + steps */,
    VELOCITY = 356,
    PROGRAM = 388,
    DRUM = 516, /* with programs */
    HIT = 388,  /* DRUM without programs */
    END = 644,
    VOCABULARY_MAX = 645
};

static const char *const names[] = {"performance programs", "performance drums",
                                    "performance programs drums"};
enum { NAMES = sizeof names / sizeof *names };

static void add(struct notes *notes, double start, double duration, int pitch,
                int program, int channel)
{
    struct note note = {.start = start,
                        .duration = duration,
                        .start_tick = (uint32_t)lround(start * 1000),
                        .duration_ticks = (uint32_t)lround(duration * 1000),
                        .pitch = (uint8_t)pitch,
                        .velocity = 80,
                        .program = (uint8_t)program,
                        .channel = (uint8_t)channel,
                        .percussion = channel == PERCUSSION_CHANNEL};
    notes->ticks_per_beat = 500;
    assert_int_equal(notes_append(notes, &note), STATUS_OK);
}

static void assert_tokens(const struct encoding *encoding, struct notes *notes,
                          const token *expected, size_t count)
{
    struct tokens tokens = {0};
    notes_sort(notes);
    assert_int_equal(encoding->encode(encoding, notes, &tokens), STATUS_OK);
    assert_int_equal(tokens.count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(tokens.items[i], expected[i]);
    tokens_free(&tokens);
}
#define ASSERT_TOKENS(encoding, notes, ...)                                              \
    assert_tokens(encoding, notes, (const token[]){__VA_ARGS__},                         \
                  sizeof((const token[]){__VA_ARGS__}) / sizeof(token))

/* ---- tokens ---- */

static void vocabulary_has_what_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *description;
        size_t vocabulary;
        token value;
        const char *name;
    } cases[] = {
        {"performance", 389, 387, "VELOCITY 31"},
        {"performance", 389, 388, "END"},
        {"performance", 389, 389, "UNKNOWN 389"},
        {"performance programs", 517, 388, "PROGRAM 0"},
        {"performance programs", 517, 515, "PROGRAM 127"},
        {"performance programs", 517, 516, "END"},
        {"performance drums", 517, 388, "DRUM 0"},
        {"performance drums", 517, 515, "DRUM 127"},
        {"performance programs drums", 645, 515, "PROGRAM 127"},
        {"performance programs drums", 645, 516, "DRUM 0"},
        {"performance programs drums", 645, 643, "DRUM 127"},
        {"performance programs drums", 645, 644, "END"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct encoding *encoding = test_encoding(cases[i].description);
        char text[ENCODING_TOKEN_NAME];
        assert_int_equal(encoding->vocabulary, cases[i].vocabulary);
        assert_int_equal(encoding->end, cases[i].vocabulary - 1);
        assert_string_equal(
            encoding->token_name(encoding, cases[i].value, text, sizeof text),
            cases[i].name);
        encoding_free(encoding);
    }
}

static void each_has_its_own_hash(void **state)
{
    (void)state;
    uint64_t hashes[NAMES + 1];
    for (int i = 0; i <= NAMES; i++) {
        struct encoding *encoding = test_encoding(i < NAMES ? names[i] : "performance");
        hashes[i] = encoding_hash(encoding);
        for (int j = 0; j < i; j++)
            assert_true(hashes[j] != hashes[i]);
        encoding_free(encoding);
    }
    assert_true(hashes[NAMES] == 0x76320717c5bf931a); /* older datasets */
}

static void pianoroll_refuses_to_keep_instruments(void **state)
{
    (void)state;
    struct encoding *encoding = NULL;
    struct options options;
    options_defaults(&options);
    options.data.encoding = ENCODING_PIANOROLL;
    options.data.programs = PROGRAMS_KEEP;
    assert_int_equal(encoding_from_options(&options, &encoding), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "data.programs = keep: the pianoroll"));
    options.data.programs = PROGRAMS_MERGE;
    options.data.drums = DRUMS_KEEP;
    assert_int_equal(encoding_from_options(&options, &encoding), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "data.drums = keep: the pianoroll"));
    assert_null(encoding);
}

/* In a step, each program's NOTE_OFFs and NOTE_ONs follow each other, beginning with the
 * program in force. */
static void programs_change_rarely(void **state)
{
    (void)state;
    struct notes notes = {0};
    struct encoding *encoding = test_encoding("performance programs drums");
    add(&notes, 0, 1, 60, 40, 0);
    add(&notes, 0, 1, 48, 7, 1);
    add(&notes, 0, 0.5, 36, 0, PERCUSSION_CHANNEL);
    add(&notes, 1, 1, 62, 40, 0);
    add(&notes, 1, 1, 50, 7, 1);
    add(&notes, 1, 0.5, 38, 0, PERCUSSION_CHANNEL);
    add(&notes, 2, 0.5, 38, 24, PERCUSSION_CHANNEL); /* the kit does not matter */
    ASSERT_TOKENS(encoding, &notes, PROGRAM + 7, VELOCITY + 19, 48, PROGRAM + 40, 60,
                  DRUM + 36, SHIFT + 100, OFF + 60, 62, DRUM + 38, PROGRAM + 7, OFF + 48,
                  50, SHIFT + 100, OFF + 50, PROGRAM + 40, OFF + 62, DRUM + 38);
    encoding_free(encoding);
    encoding = test_encoding("performance drums");
    ASSERT_TOKENS(encoding, &notes, VELOCITY + 19, 48, 60, HIT + 36, SHIFT + 100,
                  OFF + 48, OFF + 60, 50, 62, HIT + 38, SHIFT + 100, OFF + 50, OFF + 62,
                  HIT + 38);
    encoding_free(encoding);
    notes_free(&notes);
}

/* Two channels of one program are one instrument; other programs can play the pitch. */
static void instruments_are_programs(void **state)
{
    (void)state;
    struct notes notes = {0};
    struct encoding *encoding = test_encoding("performance programs");
    add(&notes, 0, 3, 60, 5, 0);
    add(&notes, 1, 1, 60, 5, 1);
    add(&notes, 2, 1, 60, 6, 2);
    ASSERT_TOKENS(encoding, &notes, PROGRAM + 5, VELOCITY + 19, 60, SHIFT + 100, OFF + 60,
                  60, SHIFT + 100, PROGRAM + 6, 60, SHIFT + 100, OFF + 60, PROGRAM + 5,
                  OFF + 60);
    encoding_free(encoding);
    notes_free(&notes);
}

/* Equal hits are merged; a hit has no length. */
static void a_hit_is_one_token(void **state)
{
    (void)state;
    struct notes notes = {0};
    struct encoding *encoding = test_encoding("performance drums");
    add(&notes, 1, 9, 36, 0, PERCUSSION_CHANNEL);
    add(&notes, 1.004, 0, 36, 1, PERCUSSION_CHANNEL);
    notes.items[1].velocity = 100;
    add(&notes, 1.05, 0, 36, 1, PERCUSSION_CHANNEL);
    ASSERT_TOKENS(encoding, &notes, VELOCITY + 24, HIT + 36, SHIFT + 5, VELOCITY + 19,
                  HIT + 36);
    encoding_free(encoding);
    notes_free(&notes);
}

/* ---- properties ---- */

struct expected_note {
    long start, end;
    int pitch, velocity, program; /* -1: percussion */
    int channel;
};

static int compare_expected(const void *left, const void *right)
{
    const struct expected_note *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->program != b->program)
        return a->program < b->program ? -1 : 1;
    return (a->pitch > b->pitch) - (a->pitch < b->pitch);
}

static bool same_voice(const struct expected_note *a, const struct expected_note *b)
{
    return a->program == b->program && a->pitch == b->pitch;
}

/* The notes on the grid, before pitches are merged; returns their number. */
static size_t quantise(const struct encoding *encoding, const struct notes *notes,
                       struct expected_note *out)
{
    size_t count = 0;
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        long start = lround(note->start * 100);
        long end = lround((note->start + note->duration) * 100);
        int program = note->percussion           ? -1
                      : encoding->keeps_programs ? note->program
                                                 : 0;
        if (note->percussion && !encoding->keeps_drums)
            continue;
        out[count++] =
            (struct expected_note){start,       end > start ? end : start + 1,
                                   note->pitch, (note->velocity - 1) / 4 * 4 + 2,
                                   program,     16 * note->port + note->channel};
    }
    return count;
}

/* A key that its channel strikes again, in whatever program, is released. */
static void release_struck_keys(struct expected_note *notes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            if (notes[i].pitch == notes[j].pitch &&
                notes[i].channel == notes[j].channel && notes[j].start > notes[i].start &&
                notes[j].start < notes[i].end)
                notes[i].end = notes[j].start;
}

/* The length of the note of a voice that begins at notes[i]: the voice sounds until the
 * last of its notes that sound then has ended, or a note of it begins. */
static struct expected_note voice_note(const struct expected_note *notes, size_t count,
                                       size_t i)
{
    struct expected_note note = notes[i];
    for (size_t j = 0; j < count; j++)
        if (same_voice(&notes[j], &note) && notes[j].start <= note.start &&
            notes[j].end > note.end)
            note.end = notes[j].end;
    if (note.program < 0)
        note.end = note.start + 10;
    for (size_t j = 0; j < count; j++)
        if (same_voice(&notes[j], &note) && notes[j].start == note.start &&
            notes[j].velocity > note.velocity)
            note.velocity = notes[j].velocity;
    for (size_t j = 0; j < count; j++)
        if (same_voice(&notes[j], &note) && notes[j].start > note.start &&
            notes[j].start < note.end)
            note.end = notes[j].start;
    return note;
}

/* The notes that decode(encode(notes)) must return; returns their number. */
static size_t expect(const struct encoding *encoding, const struct notes *notes,
                     struct expected_note *out)
{
    size_t count = 0;
    long first = -1;
    struct expected_note *all = calloc(notes->count + 1, sizeof *all);
    assert_non_null(all);
    size_t total = quantise(encoding, notes, all);
    release_struck_keys(all, total);
    for (size_t i = 0; i < total; i++) {
        bool merged = false;
        for (size_t j = 0; j < i; j++)
            merged |= same_voice(&all[i], &all[j]) && all[i].start == all[j].start;
        if (!merged)
            out[count++] = voice_note(all, total, i);
        first = first < 0 || all[i].start < first ? all[i].start : first;
    }
    free(all);
    for (size_t i = 0; i < count; i++) {
        out[i].start -= first;
        out[i].end -= first;
    }
    qsort(out, count, sizeof *out, compare_expected);
    return count;
}

/* Decoded notes in the same form and order. */
static void collect(const struct notes *notes, struct expected_note *out)
{
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        out[i] = (struct expected_note){lround(note->start * 100),
                                        lround((note->start + note->duration) * 100),
                                        note->pitch,
                                        note->velocity,
                                        note->percussion ? -1 : note->program,
                                        16 * note->port + note->channel};
        assert_int_equal(note->track, 0);
        assert_true(!note->percussion || note->program == 0);
        assert_int_equal(note->percussion, note->channel == PERCUSSION_CHANNEL);
    }
    qsort(out, notes->count, sizeof *out, compare_expected);
}

/* Few programs, so that several channels share one. */
static void random_instruments(struct dice *dice, size_t count, struct notes *notes)
{
    int programs = 1 + (int)dice_below(dice, 40);
    int low = (int)dice_below(dice, 120);
    random_piece(dice, count, low, low + (int)dice_below(dice, (uint64_t)(128 - low)),
                 notes);
    for (size_t i = 0; i < notes->count; i++)
        notes->items[i].program =
            (uint8_t)(notes->items[i].program % programs * (127 / programs));
    notes_sort(notes);
}

static void assert_same_tokens(const struct encoding *encoding, const struct notes *notes,
                               const struct tokens *expected)
{
    struct tokens tokens = {0};
    assert_int_equal(encoding->encode(encoding, notes, &tokens), STATUS_OK);
    assert_int_equal(tokens.count, expected->count);
    if (tokens.count > 0)
        assert_memory_equal(tokens.items, expected->items, tokens.count * sizeof(token));
    tokens_free(&tokens);
}

static void round_trip(const struct encoding *encoding, struct dice *dice)
{
    size_t count = 1 + dice_below(dice, 300);
    struct notes notes = {0}, back = {0};
    struct tokens tokens = {0};
    struct expected_note *expected = calloc(count, sizeof *expected),
                         *found = calloc(count, sizeof *found);
    random_instruments(dice, count, &notes);
    size_t number = expect(encoding, &notes, expected);
    assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
    assert_int_equal(encoding_count_notes(encoding, tokens.items, tokens.count), number);
    assert_int_equal(encoding->decode(encoding, tokens.items, tokens.count, 0, &back),
                     STATUS_OK);
    assert_int_equal(back.count, number);
    collect(&back, found);
    for (size_t i = 0; i < number; i++) {
        assert_int_equal(found[i].start, expected[i].start);
        assert_int_equal(found[i].end, expected[i].end);
        assert_int_equal(found[i].pitch, expected[i].pitch);
        assert_int_equal(found[i].velocity, expected[i].velocity);
        assert_int_equal(found[i].program, expected[i].program);
    }
    assert_same_tokens(encoding, &back, &tokens);
    free(expected);
    free(found);
    notes_free(&notes);
    notes_free(&back);
    tokens_free(&tokens);
}

static void decode_of_encode_is_quantisation(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed()};
    for (dice.piece = 0; dice.piece < 300; dice.piece++) {
        struct encoding *encoding = test_encoding(names[dice.piece % NAMES]);
        dice.drawn = 0;
        round_trip(encoding, &dice);
        encoding_free(encoding);
    }
}

/* The sorted order of notes depends on their channels. */
static void tokens_do_not_depend_on_channel_numbers(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 1000};
    for (; dice.piece < 1060; dice.piece++) {
        struct encoding *encoding = test_encoding(names[dice.piece % NAMES]);
        struct notes notes = {0};
        struct tokens tokens = {0};
        random_instruments(&dice, 200, &notes);
        assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
        for (size_t i = 0; i < notes.count; i++)
            notes.items[i].channel = (uint8_t)(notes.items[i].channel * 5 % 16);
        notes_sort(&notes);
        assert_same_tokens(encoding, &notes, &tokens);
        notes_free(&notes);
        tokens_free(&tokens);
        encoding_free(encoding);
    }
}

/* With one program, only a first PROGRAM is added. */
static void one_program_is_the_plain_encoding(void **state)
{
    (void)state;
    struct encoding *plain = test_encoding("performance"),
                    *programs = test_encoding("performance programs");
    struct dice dice = {.seed = test_seed(), .piece = 2000};
    for (; dice.piece < 2100; dice.piece++) {
        struct notes notes = {0};
        struct tokens tokens = {0};
        random_piece(&dice, 200, 30, 90, &notes);
        for (size_t i = 0; i < notes.count; i++)
            notes.items[i].program = 56;
        assert_int_equal(tokens_append(&tokens, PROGRAM + 56), STATUS_OK);
        assert_int_equal(plain->encode(plain, &notes, &tokens), STATUS_OK);
        assert_same_tokens(programs, &notes, &tokens);
        notes_free(&notes);
        tokens_free(&tokens);
    }
    encoding_free(plain);
    encoding_free(programs);
}

/* ---- decoding ---- */

static void assert_note(const struct note *note, double start, double end, int pitch,
                        int program, int channel)
{
    assert_true(fabs(note->start - start) < 1e-9);
    assert_true(fabs(note->start + note->duration - end) < 1e-9);
    assert_int_equal(note->pitch, pitch);
    assert_int_equal(note->program, program);
    assert_int_equal(note->channel, channel);
    assert_int_equal(note->percussion, channel == PERCUSSION_CHANNEL);
}

static void malformed_sequences_are_decoded(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("performance programs drums");
    const token tokens[] = {
        60,           PROGRAM + 3, PROGRAM + 3, SHIFT + 10, OFF + 60,    /* not its own */
        DRUM + 40,    DRUM + 40,   SHIFT + 5,   DRUM + 40,  PROGRAM + 9, /* no event */
        VELOCITY + 1, SHIFT + 100, 999,         END};
    struct notes notes = {0};
    assert_int_equal(
        encoding->decode(encoding, tokens, sizeof tokens / sizeof *tokens, 0, &notes),
        STATUS_OK);
    assert_int_equal(notes.count, 3);
    assert_note(&notes.items[0], 0, 1.15, 60, 0, 0);
    assert_note(&notes.items[1], 0.1, 0.15, 40, 0, 9); /* until it is hit again */
    assert_note(&notes.items[2], 0.15, 0.25, 40, 0, 9);
    assert_int_equal(notes.items[0].velocity, ENCODING_VELOCITY);
    notes_free(&notes);
    encoding_free(encoding);
}

/* A hit at the very end has its length. */
static void last_hit_has_its_length(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("performance drums");
    const token tokens[] = {VELOCITY + 9, HIT + 35, SHIFT + 50, HIT + 35};
    struct notes notes = {0};
    assert_int_equal(encoding->decode(encoding, tokens, 4, 0, &notes), STATUS_OK);
    assert_int_equal(notes.count, 2);
    assert_note(&notes.items[0], 0, 0.1, 35, 0, 9);
    assert_note(&notes.items[1], 0.5, 0.6, 35, 0, 9);
    notes_free(&notes);
    encoding_free(encoding);
}

/* After a primer its program and velocity remain in force. */
static void decoding_continues_a_primer(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("performance programs drums");
    const token tokens[] = {PROGRAM + 20, VELOCITY + 30, 60,      DRUM + 1, SHIFT + 20,
                            62,           SHIFT + 30,    OFF + 62};
    struct notes notes = {0};
    assert_int_equal(encoding->decode(encoding, tokens, 8, 5, &notes), STATUS_OK);
    assert_int_equal(notes.count, 1);
    assert_note(&notes.items[0], 0, 0.3, 62, 20, 0);
    assert_int_equal(notes.items[0].velocity, 122);
    notes_free(&notes);
    encoding_free(encoding);
}

/* ---- tokens of instruments ---- */

static void percussion_is_not_transposed(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("performance programs drums");
    for (int value = 256; value <= END; value++)
        assert_int_equal(encoding->transpose(encoding, (token)value, 5), value);
    assert_int_equal(encoding->transpose(encoding, 60, 5), 65);
    assert_int_equal(encoding->transpose(encoding, OFF + 60, -5), OFF + 55);
    assert_int_equal(encoding->transpose(encoding, 125, 5), END);
    assert_int_equal(encoding->transpose(encoding, OFF + 2, -5), END);
    for (int value = 0; value <= END; value++) {
        bool velocity = value >= VELOCITY && value < PROGRAM;
        token louder = value < PROGRAM - 1 ? (token)(value + 1) : END;
        assert_int_equal(encoding->shift_velocity(encoding, (token)value, 1),
                         velocity ? louder : value);
        assert_int_equal(encoding->token_sounds(encoding, (token)value),
                         value < OFF || (value >= DRUM && value < END));
        assert_int_equal(encoding->token_pitch(encoding, (token)value),
                         value < OFF ? value : -1);
    }
    encoding_free(encoding);
}

/* ---- the grammar ---- */

static void accept_all(const struct encoding *encoding, struct grammar *grammar,
                       const token *tokens, size_t count)
{
    bool allowed[VOCABULARY_MAX];
    for (size_t i = 0; i < count; i++) {
        encoding->grammar_allowed(encoding, grammar, allowed);
        assert_true(allowed[tokens[i]]);
        encoding->grammar_accept(encoding, grammar, tokens[i]);
    }
}
#define ACCEPT(...)                                                                      \
    accept_all(encoding, &grammar, (const token[]){__VA_ARGS__},                         \
               sizeof((const token[]){__VA_ARGS__}) / sizeof(token))

/* Checks one token of each kind. */
static void assert_kinds(const struct encoding *encoding, const struct grammar *grammar,
                         const char *expected)
{
    static const token values[] = {60,           OFF + 60,  SHIFT + 1, VELOCITY + 3,
                                   PROGRAM + 11, DRUM + 40, END};
    bool allowed[VOCABULARY_MAX];
    char found[] = "ofsvpde";
    encoding->grammar_allowed(encoding, grammar, allowed);
    for (int i = 0; i < 7; i++)
        found[i] = allowed[values[i]] ? found[i] : '-';
    assert_string_equal(found, expected);
}

static void grammar_forbids_invalid_tokens(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("performance programs drums");
    struct grammar grammar;
    encoding->grammar_start(encoding, &grammar);
    assert_kinds(encoding, &grammar, "--svp-e"); /* no program, no velocity yet */
    ACCEPT(VELOCITY + 5);
    assert_kinds(encoding, &grammar, "-----d-");
    ACCEPT(DRUM + 40);
    assert_kinds(encoding, &grammar, "--svp-e"); /* this drum has just been hit */
    ACCEPT(PROGRAM + 10);
    assert_kinds(encoding, &grammar, "o--v---");
    ACCEPT(VELOCITY + 6);
    assert_kinds(encoding, &grammar, "o------");
    ACCEPT(60);
    assert_kinds(encoding, &grammar, "--svp--");
    ACCEPT(SHIFT + 1);
    assert_kinds(encoding, &grammar, "-fsvpd-");
    ACCEPT(PROGRAM + 11);
    assert_kinds(encoding, &grammar, "o--v---"); /* the note is not this program's */
    ACCEPT(60, SHIFT + 1, OFF + 60, PROGRAM + 10);
    assert_kinds(encoding, &grammar, "-f-v---");
    ACCEPT(OFF + 60);
    assert_kinds(encoding, &grammar, "o-svpde");
    encoding_free(encoding);
}

/* GRAMMAR_NOTES notes sound: none can begin, and a program without a note that could end
 * is of no use. */
static void full_table_forbids_notes(void **state)
{
    (void)state;
    struct encoding *encoding = test_encoding("performance programs drums");
    struct grammar grammar;
    bool allowed[VOCABULARY_MAX];
    encoding->grammar_start(encoding, &grammar);
    for (int i = 0; i < GRAMMAR_NOTES; i++) {
        if (i % 128 == 0)
            ACCEPT((token)(PROGRAM + 10 + i / 128), (token)(VELOCITY + i / 128));
        ACCEPT((token)(i % 128));
    }
    encoding->grammar_allowed(encoding, &grammar, allowed);
    for (int value = 0; value <= END; value++)
        assert_int_equal(allowed[value],
                         (value >= 256 && value < PROGRAM && value != VELOCITY + 1) ||
                             (value >= DRUM && value < END));
    ACCEPT(SHIFT + 1);
    encoding->grammar_allowed(encoding, &grammar, allowed);
    assert_true(allowed[PROGRAM + 10] && !allowed[PROGRAM + 9] && allowed[OFF + 9]);
    encoding->grammar_accept(encoding, &grammar, PROGRAM + 9); /* not allowed, counted */
    encoding->grammar_accept(encoding, &grammar, 60);
    assert_int_equal(grammar.onsets, GRAMMAR_NOTES + 1);
    assert_int_equal(grammar.sounding_count, GRAMMAR_NOTES);
    encoding_free(encoding);
}

static token draw(struct dice *dice, const bool *allowed, size_t vocabulary)
{
    size_t candidates = 0;
    for (size_t value = 0; value < vocabulary; value++)
        candidates += allowed[value];
    assert_true(candidates > 0);
    size_t choice = dice_below(dice, candidates);
    for (size_t value = 0;; value++)
        if (allowed[value] && choice-- == 0)
            return (token)value;
}

/* Any tokens, allowed or not, leave a token other than END that is allowed. */
static void malformed_sequences_can_continue(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 3000};
    for (; dice.piece < 3060; dice.piece++) {
        struct encoding *encoding = test_encoding(names[dice.piece % NAMES]);
        struct grammar grammar;
        size_t spread = dice.piece % 2 ? encoding->vocabulary + 2 : 4;
        encoding->grammar_start(encoding, &grammar);
        for (int i = 0; i < 2000; i++) {
            bool allowed[VOCABULARY_MAX];
            static const token some[] = {0, OFF, SHIFT + 1, VELOCITY};
            token kind = some[dice_below(&dice, 4)],
                  any = (token)dice_below(&dice, encoding->vocabulary + 2);
            token value = dice_below(&dice, 2) && spread == 4
                              ? (token)(kind + (token)dice_below(&dice, 30))
                              : any;
            encoding->grammar_accept(encoding, &grammar, value);
            encoding->grammar_allowed(encoding, &grammar, allowed);
            allowed[encoding->end] = false;
            draw(&dice, allowed, encoding->vocabulary); /* there is one */
            encoding->grammar_end_long_notes(encoding, &grammar, 1, allowed);
            draw(&dice, allowed, encoding->vocabulary);
            assert_true(grammar.sounding_count <= GRAMMAR_NOTES);
        }
        encoding_free(encoding);
    }
}

/* Draws a token that ends no note, unless a note is too long or nothing else remains. */
static token draw_without_ends(struct dice *dice, const struct encoding *encoding,
                               const struct grammar *grammar, double longest)
{
    bool allowed[VOCABULARY_MAX], held[VOCABULARY_MAX], any = false;
    encoding->grammar_allowed(encoding, grammar, allowed);
    allowed[encoding->end] = false;
    encoding->grammar_end_long_notes(encoding, grammar, longest, allowed);
    for (size_t value = 0; value < encoding->vocabulary; value++) {
        held[value] = allowed[value] && !is_between((token)value, OFF, OFF + 128);
        any |= held[value];
    }
    return draw(dice, any ? held : allowed, encoding->vocabulary);
}

/* Also those of other programs than the one in force. */
static void long_notes_are_ended(void **state)
{
    (void)state;
    const double longest = 2;
    struct dice dice = {.seed = test_seed(), .piece = 4000};
    for (; dice.piece < 4006; dice.piece++) {
        struct encoding *encoding = test_encoding(names[dice.piece % NAMES]);
        struct grammar grammar;
        struct tokens tokens = {0};
        struct notes notes = {0};
        bool ended = false;
        encoding->grammar_start(encoding, &grammar);
        for (int i = 0; i < 5000; i++) {
            token value = draw_without_ends(&dice, encoding, &grammar, longest);
            encoding->grammar_accept(encoding, &grammar, value);
            assert_int_equal(tokens_append(&tokens, value), STATUS_OK);
        }
        assert_string_equal(well_formed(encoding, tokens.items, tokens.count, 0), "");
        assert_int_equal(
            encoding->decode(encoding, tokens.items, tokens.count, 0, &notes), STATUS_OK);
        for (size_t i = 0; i < notes.count; i++) {
            assert_true(notes.items[i].duration < longest + 1);
            ended |= notes.items[i].duration >= longest;
        }
        assert_true(ended);
        notes_free(&notes);
        tokens_free(&tokens);
        encoding_free(encoding);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vocabulary_has_what_is_kept),
        cmocka_unit_test(each_has_its_own_hash),
        cmocka_unit_test(pianoroll_refuses_to_keep_instruments),
        cmocka_unit_test(programs_change_rarely),
        cmocka_unit_test(instruments_are_programs),
        cmocka_unit_test(a_hit_is_one_token),
        cmocka_unit_test(decode_of_encode_is_quantisation),
        cmocka_unit_test(tokens_do_not_depend_on_channel_numbers),
        cmocka_unit_test(one_program_is_the_plain_encoding),
        cmocka_unit_test(malformed_sequences_are_decoded),
        cmocka_unit_test(last_hit_has_its_length),
        cmocka_unit_test(decoding_continues_a_primer),
        cmocka_unit_test(percussion_is_not_transposed),
        cmocka_unit_test(grammar_forbids_invalid_tokens),
        cmocka_unit_test(full_table_forbids_notes),
        cmocka_unit_test(malformed_sequences_can_continue),
        cmocka_unit_test(long_notes_are_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
