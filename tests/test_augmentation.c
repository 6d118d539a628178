/* augmentation: the streams' variations of pieces are decoded and compared, note by note,
 * with the original pieces moved by an interval that the test derives from the notes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <math.h>

#include "encodings.h"
#include "pieces.h"
#include "base/rng.h"
#include "data/stream.h"

enum {
    PIECES = 6,
    EPOCHS = 400,
    SEED = 5,
    MICROBATCH = 2,
    LOW = -5,
    HIGH = 6,
    BINS = 2,
    TEMPOS = 5,
    TOKENS_MAX = 8192,
    OFFSETS = HIGH - LOW + 1,
    SHIFTS = 2 * BINS + 1
};

/* ---- pieces ---- */

/* Notes at the encoding's limits, near them, or far from them. */
static const struct {
    int low, high, softest, loudest;
} ranges[PIECES] = {{60, 72, 40, 80},   {0, 127, 1, 127},  {2, 60, 3, 60},
                    {50, 125, 50, 124}, {21, 108, 60, 64}, {23, 105, 6, 122}};

struct original {
    struct tokens tokens;
    struct notes notes; /* decoded from the tokens */
};

static void check(enum status status)
{
    if (status != STATUS_OK)
        fail_msg("unexpected failure: %s", status_message());
}

/* Both pitch limits and both velocity limits occur. */
static struct original make_original(const struct encoding *encoding, size_t index)
{
    struct original original = {.tokens = {0}};
    struct dice dice = {.seed = SEED, .piece = index};
    struct notes notes = {0};
    random_piece(&dice, 40, ranges[index].low, ranges[index].high, &notes);
    int softest = ranges[index].softest, loudest = ranges[index].loudest;
    for (size_t i = 0; i < notes.count; i++) {
        notes.items[i].percussion = false;
        notes.items[i].program %= 3; /* each has its own channel */
        notes.items[i].velocity =
            (uint8_t)(softest +
                      (int)dice_below(&dice, (uint64_t)(loudest - softest + 1)));
    }
    notes.items[0].pitch = (uint8_t)ranges[index].low;
    notes.items[1].pitch = (uint8_t)ranges[index].high;
    notes.items[0].velocity = (uint8_t)softest;
    notes.items[1].velocity = (uint8_t)loudest;
    check(encoding->encode(encoding, &notes, &original.tokens));
    check(encoding->decode(encoding, original.tokens.items, original.tokens.count, 0,
                           &original.notes));
    notes_free(&notes);
    return original;
}

static void make_originals(const struct encoding *encoding, struct original *originals)
{
    for (size_t p = 0; p < PIECES; p++)
        originals[p] = make_original(encoding, p);
}

static void free_originals(struct original *originals)
{
    for (size_t p = 0; p < PIECES; p++) {
        tokens_free(&originals[p].tokens);
        notes_free(&originals[p].notes);
    }
}

static struct stream *make_stream(const struct encoding *encoding,
                                  const struct original *originals, int microbatch,
                                  int rows)
{
    struct shard shard = {.pieces = calloc(PIECES, sizeof *shard.pieces)};
    struct tokens all = {0};
    for (size_t p = 0; p < PIECES; p++) {
        shard.pieces[shard.piece_count++] = (struct piece){
            .token_first = all.count, .token_count = originals[p].tokens.count};
        for (size_t i = 0; i < originals[p].tokens.count; i++)
            check(tokens_append(&all, originals[p].tokens.items[i]));
    }
    shard.tokens = all.items;
    shard.token_count = all.count;
    struct stream *stream = NULL;
    check(stream_from_shard(&shard, encoding->end, microbatch, rows, SEED, &stream));
    const struct augmentation augmentation = {
        .encoding = encoding,
        .transpose_low = LOW,
        .transpose_high = HIGH,
        .velocity_shift = encoding->shift_velocity ? BINS : 0,
        .time_stretch = encoding->longest_shift ? 0.1 : 0};
    stream_augment(stream, &augmentation);
    return stream;
}

/* ---- what a piece allows ---- */

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* The smallest and largest interval of a piece, from its notes. */
static void find_limits(const struct encoding *encoding, const struct notes *notes,
                        struct variation *low, struct variation *high)
{
    bool keys = strcmp(encoding->name, "pianoroll") == 0;
    int lowest = 127, highest = 0, softest = 127, loudest = 0;
    for (size_t i = 0; i < notes->count; i++) {
        lowest = min_int(lowest, notes->items[i].pitch);
        highest = max_int(highest, notes->items[i].pitch);
        softest = min_int(softest, notes->items[i].velocity);
        loudest = max_int(loudest, notes->items[i].velocity);
    }
    low->semitones = max_int(LOW, (keys ? 21 : 0) - lowest);
    high->semitones = min_int(HIGH, (keys ? 108 : 127) - highest);
    low->velocity_bins = keys ? 0 : max_int(-BINS, -((softest - 1) / 4));
    high->velocity_bins = keys ? 0 : min_int(BINS, (128 - loudest - 1) / 4);
}

/* ---- comparing ---- */

static void check_grammar(const struct encoding *encoding, const token *tokens,
                          size_t count)
{
    struct grammar grammar;
    bool *allowed = calloc(encoding->vocabulary, sizeof *allowed);
    encoding->grammar_start(encoding, &grammar);
    for (size_t i = 0; i <= count; i++) {
        token value = i < count ? tokens[i] : encoding->end;
        encoding->grammar_allowed(encoding, &grammar, allowed);
        assert_true(allowed[value]);
        encoding->grammar_accept(encoding, &grammar, value);
    }
    free(allowed);
}

static const double factors[TEMPOS] = {0.9, 0.95, 1, 1.05, 1.1};

static size_t start_step(const struct note *note)
{
    return (size_t)lround(100 * note->start);
}

static size_t end_step(const struct note *note)
{
    return (size_t)lround(100 * (note->start + note->duration));
}

/* stretched[t]: the step to which starts and ends of notes in step t move: the nearest to
 * factor * t, but after those of earlier steps. Others are 0. */
static size_t *stretch_steps(const struct notes *notes, double factor)
{
    size_t last = 0, earlier = 0;
    for (size_t i = 0; i < notes->count; i++)
        last = end_step(&notes->items[i]) > last ? end_step(&notes->items[i]) : last;
    size_t *stretched = calloc(last + 1, sizeof *stretched);
    for (size_t i = 0; i < notes->count; i++)
        stretched[start_step(&notes->items[i])] = stretched[end_step(&notes->items[i])] =
            1;
    for (size_t t = 1; t <= last; t++) {
        if (!stretched[t])
            continue;
        size_t nearest = (size_t)floor(factor * (double)t + 0.5);
        earlier = stretched[t] = nearest > earlier ? nearest : earlier + 1;
    }
    stretched[0] = 0;
    return stretched;
}

static bool is_stretched(const struct notes *found, const struct notes *original,
                         double factor)
{
    bool same = true;
    size_t *stretched = stretch_steps(original, factor);
    for (size_t i = 0; i < found->count; i++) {
        const struct note *note = &found->items[i], *from = &original->items[i];
        same = same && start_step(note) == stretched[start_step(from)] &&
               end_step(note) == stretched[end_step(from)];
    }
    free(stretched);
    return same;
}

/* The only tempo with which the times of all notes are those of the original. */
static int find_tempo(const struct encoding *encoding, const struct notes *found,
                      const struct notes *original)
{
    int tempo = 0, matches = 0;
    for (int i = 0; i < TEMPOS; i++)
        if ((encoding->longest_shift || factors[i] == 1) &&
            is_stretched(found, original, factors[i])) {
            tempo = i - TEMPOS / 2;
            matches++;
        }
    assert_int_equal(matches, 1);
    return tempo;
}

/* Requires that all notes are those of the original, moved by one interval. */
static struct variation find_variation(const struct encoding *encoding,
                                       const struct notes *original, const token *tokens,
                                       size_t count)
{
    struct notes notes = {0};
    check(encoding->decode(encoding, tokens, count, 0, &notes));
    assert_int_equal(notes.count, original->count);
    struct variation found = {
        .semitones = notes.items[0].pitch - original->items[0].pitch,
        .velocity_bins = (notes.items[0].velocity - original->items[0].velocity) / 4,
        .tempo = find_tempo(encoding, &notes, original)};
    for (size_t i = 0; i < notes.count; i++) {
        const struct note *from = &original->items[i];
        assert_int_equal(notes.items[i].pitch, from->pitch + found.semitones);
        assert_int_equal(notes.items[i].velocity,
                         from->velocity + 4 * found.velocity_bins);
    }
    notes_free(&notes);
    return found;
}

struct tally { /* of the variations of one piece */
    int semitones[OFFSETS], bins[SHIFTS], tempos[TEMPOS];
    bool semitones_bins[OFFSETS][SHIFTS], semitones_tempo[OFFSETS][TEMPOS],
        bins_tempo[SHIFTS][TEMPOS]; /* seen together */
};

static void count_variation(struct tally *tally, struct variation found)
{
    assert_in_range(found.semitones - LOW, 0, OFFSETS - 1);
    assert_in_range(found.velocity_bins + BINS, 0, SHIFTS - 1);
    int semitones = found.semitones - LOW, bins = found.velocity_bins + BINS,
        tempo = found.tempo + TEMPOS / 2;
    tally->semitones[semitones]++;
    tally->bins[bins]++;
    tally->tempos[tempo]++;
    tally->semitones_bins[semitones][bins] = true;
    tally->semitones_tempo[semitones][tempo] = true;
    tally->bins_tempo[bins][tempo] = true;
}

/* Each value from low to high occurs about equally often, all others never. */
static void check_uniform(const int *counts, int first, int count, int low, int high)
{
    int expected = EPOCHS / (high - low + 1);
    for (int i = 0; i < count; i++) {
        bool allowed = first + i >= low && first + i <= high;
        assert_in_range(counts[i], allowed ? expected / 2 : 0,
                        allowed ? expected * 2 : 0);
    }
}

static size_t count_seen(const bool *seen, size_t count)
{
    size_t number = 0;
    for (size_t i = 0; i < count; i++)
        number += seen[i];
    return number;
}

/* Of a piece that allows everything: of 60, 60 and 25 pairs few have not occurred. */
static void check_independence(const struct tally *tally)
{
    assert_in_range(count_seen(*tally->semitones_bins, OFFSETS * SHIFTS), 50, 60);
    assert_in_range(count_seen(*tally->semitones_tempo, OFFSETS * TEMPOS), 50, 60);
    assert_in_range(count_seen(*tally->bins_tempo, SHIFTS * TEMPOS), 23, 25);
}

static void check_tallies(const struct encoding *encoding,
                          const struct original *originals, const struct tally *tallies)
{
    int tempo = encoding->longest_shift ? TEMPOS / 2 : 0;
    for (size_t p = 0; p < PIECES; p++) {
        struct variation low, high;
        find_limits(encoding, &originals[p].notes, &low, &high);
        check_uniform(tallies[p].semitones, LOW, OFFSETS, low.semitones, high.semitones);
        check_uniform(tallies[p].bins, -BINS, SHIFTS, low.velocity_bins,
                      high.velocity_bins);
        check_uniform(tallies[p].tempos, -(TEMPOS / 2), TEMPOS, -tempo, tempo);
    }
}

/* Reads the next piece of a stream of one row. Returns its number of tokens. */
static size_t read_piece(struct stream *stream, token tokens[TOKENS_MAX])
{
    for (size_t i = 0;; i++) {
        int32_t target;
        token input;
        check(stream_next(stream, 1, &input, &target));
        assert_int_equal(input, i == 0 ? stream_end(stream) : tokens[i - 1]);
        if (target == stream_end(stream))
            return i;
        assert_true(i < TOKENS_MAX);
        tokens[i] = (token)target;
    }
}

static void check_encoding(const char *name)
{
    struct encoding *encoding = test_encoding(name);
    struct original originals[PIECES];
    struct tally tallies[PIECES] = {{.bins = {0}}};
    token tokens[TOKENS_MAX];
    make_originals(encoding, originals);
    struct stream *stream = make_stream(encoding, originals, MICROBATCH, 1);
    int equal = 0; /* epochs in which the first and the fifth piece move by the same */
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        struct variation found[PIECES];
        uint32_t queue[PIECES] = {0, 1, 2, 3, 4, 5};
        rng_shuffle(queue, PIECES, SEED, RNG_SHUFFLE, epoch, MICROBATCH);
        for (size_t i = 0; i < PIECES; i++) {
            const struct original *original = &originals[queue[i]];
            size_t count = read_piece(stream, tokens);
            check_grammar(encoding, tokens, count);
            found[queue[i]] = find_variation(encoding, &original->notes, tokens, count);
            count_variation(&tallies[queue[i]], found[queue[i]]);
        }
        equal += found[0].semitones == found[4].semitones;
    }
    assert_in_range(equal, EPOCHS / OFFSETS / 2, EPOCHS / OFFSETS * 2);
    check_tallies(encoding, originals, tallies);
    if (encoding->longest_shift)
        check_independence(&tallies[0]);
    stream_close(stream);
    free_originals(originals);
    encoding_free(encoding);
}

/* ---- tests ---- */

static void performances_are_moved_as_a_whole(void **state)
{
    (void)state;
    check_encoding("performance");
}

static void instruments_are_moved_as_a_whole(void **state)
{
    (void)state;
    check_encoding("performance programs");
}

static void pianorolls_are_moved_as_a_whole(void **state)
{
    (void)state;
    check_encoding("pianoroll");
}

static void bars_are_moved_as_a_whole(void **state)
{
    (void)state;
    check_encoding("remi");
}

enum { ROWS = 3, WINDOW = 50, WINDOWS = 200, WINDOW_TOKENS = ROWS * WINDOW };

struct columns {
    token inputs[WINDOW_TOKENS];
    int32_t targets[WINDOW_TOKENS];
};

/* A stream resumed in the middle of its pieces, by another stream, continues exactly. */
static void a_restored_stream_continues_exactly(void **state)
{
    (void)state;
    struct encoding *encoding;
    struct original originals[PIECES];
    check(encoding_create("performance", "", &encoding));
    make_originals(encoding, originals);
    struct stream *whole = make_stream(encoding, originals, MICROBATCH, ROWS);
    struct stream *resumed = make_stream(encoding, originals, MICROBATCH, ROWS);
    for (int w = 0; w < WINDOWS; w++) {
        struct columns expected = {.inputs = {0}}, found = {.inputs = {0}};
        struct stream_row rows[ROWS];
        struct stream_cursor cursor;
        stream_save(resumed, rows, &cursor);
        if (w % 3 == 0) { /* at times in a new stream, at times in one that moved on */
            stream_close(resumed);
            resumed = make_stream(encoding, originals, MICROBATCH, ROWS);
        } else {
            check(stream_next(resumed, WINDOW, found.inputs, found.targets));
        }
        check(stream_restore(resumed, rows, &cursor));
        check(stream_next(resumed, WINDOW, found.inputs, found.targets));
        check(stream_next(whole, WINDOW, expected.inputs, expected.targets));
        assert_memory_equal(&found, &expected, sizeof found);
    }
    stream_close(whole);
    stream_close(resumed);
    free_originals(originals);
    encoding_free(encoding);
}

/* Of the first piece in the first queue of a microbatch. */
static struct variation first_variation(const struct encoding *encoding,
                                        const struct original *originals, int microbatch)
{
    uint32_t queue[PIECES] = {0, 1, 2, 3, 4, 5};
    token tokens[TOKENS_MAX];
    rng_shuffle(queue, PIECES, SEED, RNG_SHUFFLE, 0, (uint64_t)microbatch);
    const struct original *original = &originals[queue[0]];
    struct stream *stream = make_stream(encoding, originals, microbatch, 1);
    size_t count = read_piece(stream, tokens);
    stream_close(stream);
    return find_variation(encoding, &original->notes, tokens, count);
}

static void microbatches_draw_independently(void **state)
{
    (void)state;
    struct encoding *encoding;
    struct original originals[PIECES];
    int seen[OFFSETS] = {0}, distinct = 0;
    check(encoding_create("performance", "", &encoding));
    make_originals(encoding, originals);
    for (int m = 0; m < 100; m++)
        seen[first_variation(encoding, originals, m).semitones - LOW]++;
    for (int i = 0; i < OFFSETS; i++)
        distinct += seen[i] > 0;
    assert_int_equal(distinct, OFFSETS);
    free_originals(originals);
    encoding_free(encoding);
}

static void offsets_beyond_a_piece_are_refused(void **state)
{
    (void)state;
    struct encoding *encoding;
    struct original originals[PIECES];
    token tokens[TOKENS_MAX], input;
    int32_t target;
    check(encoding_create("performance", "", &encoding));
    make_originals(encoding, originals);
    struct stream *stream = make_stream(encoding, originals, MICROBATCH, 1);
    const struct stream_cursor cursor = {.next = 1};
    struct stream_row row = {.offset = (int64_t)read_piece(stream, tokens) + 1};
    check(stream_restore(stream, &row, &cursor));
    check(stream_next(stream, 1, &input, &target));
    assert_int_equal(input, encoding->end);
    row.offset++;
    check(stream_restore(stream, &row, &cursor));
    assert_int_equal(stream_next(stream, 1, &input, &target), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "doesn't fit its 6 pieces"));
    stream_close(stream);
    free_originals(originals);
    encoding_free(encoding);
}

static void check_pass(struct stream *stream, const struct original *originals)
{
    for (size_t p = 0; p < PIECES; p++)
        for (size_t i = 0; i <= originals[p].tokens.count; i++) {
            token input;
            int32_t target;
            int64_t counted;
            check(stream_pass_next(stream, 1, &input, &target, &counted));
            assert_int_equal(input,
                             i ? originals[p].tokens.items[i - 1] : stream_end(stream));
        }
}

/* Also after the endless rows have begun pieces in several variations. */
static void the_single_pass_reads_the_originals(void **state)
{
    (void)state;
    struct encoding *encoding;
    struct original originals[PIECES];
    check(encoding_create("performance", "", &encoding));
    make_originals(encoding, originals);
    struct stream *stream = make_stream(encoding, originals, MICROBATCH, 1);
    for (int pass = 0; pass < 5; pass++) {
        check(stream_next(stream, WINDOW_TOKENS, (token[WINDOW_TOKENS]){0},
                          (int32_t[WINDOW_TOKENS]){0}));
        check_pass(stream, originals);
        stream_rewind(stream);
    }
    stream_close(stream);
    free_originals(originals);
    encoding_free(encoding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(performances_are_moved_as_a_whole),
        cmocka_unit_test(instruments_are_moved_as_a_whole),
        cmocka_unit_test(pianorolls_are_moved_as_a_whole),
        cmocka_unit_test(bars_are_moved_as_a_whole),
        cmocka_unit_test(a_restored_stream_continues_exactly),
        cmocka_unit_test(microbatches_draw_independently),
        cmocka_unit_test(offsets_beyond_a_piece_are_refused),
        cmocka_unit_test(the_single_pass_reads_the_originals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
