/* The figures of small pieces, computed by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pieces.h"
#include "statistics/corpus.h"
#include "statistics/distribution.h"
#include "statistics/excerpt.h"
#include "statistics/melody.h"
#include "statistics/piece_group.h"
#include "statistics/piece_metrics.h"

enum { DIVISION = 16 };

static void assert_close(double actual, double expected)
{
    if (isnan(expected) ? !isnan(actual) : !(fabs(actual - expected) < 1e-12))
        fail_msg("%.17g, expected %.17g", actual, expected);
}

/* Ticks of a sixteenth of a beat, at 120 beats per minute: 1/32 s. */
static void add(struct notes *notes, uint32_t tick, uint32_t ticks, int pitch,
                bool percussion)
{
    const struct note note = {.start_tick = tick,
                              .duration_ticks = ticks,
                              .start = tick / 32.0,
                              .duration = ticks / 32.0,
                              .pitch = (uint8_t)pitch,
                              .velocity = 80,
                              .channel = percussion ? PERCUSSION_CHANNEL : 0,
                              .percussion = percussion};
    notes->ticks_per_beat = DIVISION;
    assert_int_equal(notes_append(notes, &note), STATUS_OK);
}

static void compute(struct notes *notes, const struct corpus *corpus,
                    double values[METRICS])
{
    struct melody melody = {0};
    notes_sort(notes);
    assert_int_equal(melody_extract(notes, &melody), STATUS_OK);
    assert_int_equal(piece_metrics_compute(notes, &melody, corpus, 1, values), STATUS_OK);
    melody_free(&melody);
}

/* A C major chord of a measure, above it C5 D5 D5 F#5, a beat of silence, and C3 C4 for
 * half a beat; a drum on beat 1 and on beat 5, the one of the silence.
 *
 *   beat     0    1    2    3    4    5    6
 *   melody   72   74   74   78        36   60
 *   chord    48 52 55 ........        drum
 */
static void add_piece(struct notes *notes)
{
    static const int melody[] = {72, 74, 74, 78}, chord[] = {48, 52, 55};
    for (uint32_t i = 0; i < 4; i++)
        add(notes, 16 * i, 16, melody[i], false);
    for (int i = 0; i < 3; i++)
        add(notes, 0, 64, chord[i], false);
    add(notes, 16, 1, 36, true);
    add(notes, 83, 2, 36, true);
    add(notes, 96, 8, 48, false);
    add(notes, 96, 8, 60, false);
}

static void test_piece(void **state)
{
    (void)state;
    struct notes notes = {0};
    double values[METRICS];
    add_piece(&notes);
    compute(&notes, NULL, values);
    assert_close(values[METRIC_NOTES], 11);
    assert_close(values[METRIC_SECONDS], 104 / 32.0);
    assert_close(values[METRIC_NOTES_PER_SECOND], 11 / 3.25);
    assert_close(values[METRIC_PITCHES], 7);      /* 48 52 55 60 72 74 78 */
    assert_close(values[METRIC_PITCH_RANGE], 30); /* 78 - 48; the drum has no pitch */
    /* nine notes: C 4, D 2, E, F#, G */
    assert_close(values[METRIC_PITCH_CLASS_ENTROPY],
                 4 / 9.0 * log2(9 / 4.0) + 2 / 9.0 * log2(9 / 2.0) + 3 / 9.0 * log2(9));
    assert_close(values[METRIC_SCALE_CONSISTENCY], 1); /* G major */
    /* four pitches for 64 ticks, two for 8, of 104 */
    assert_close(values[METRIC_POLYPHONY], (4 * 64 + 2 * 8) / 72.0);
    assert_close(values[METRIC_POLYPHONY_RATE], 72 / 104.0);
    /* beats 0 to 6: the notes that end at 64 count for beat 4 */
    assert_close(values[METRIC_EMPTY_BEAT_RATE], 0);
    /* measure 0: 0 16 32 48; measure 1: 19 32. Different: 0 16 19 48 */
    assert_close(values[METRIC_GROOVE_CONSISTENCY], 1 - 4 / 64.0);
    assert_close(values[METRIC_LONGEST_SILENCE], (83 - 64) / 32.0);
    assert_close(values[METRIC_LONGEST_NOTE], 2);
    assert_close(values[METRIC_REPEATED_NOTES], 1 / 4.0); /* 72 74 74 78 60 */
    assert_close(values[METRIC_REPEATED_GROUPS], (double)NAN);
    assert_close(values[METRIC_COPIED_GROUPS], (double)NAN);
    assert_close(values[METRIC_TONIC_ENDING], 1); /* C */
    notes_free(&notes);
}

/* A silence of many beats and measures; then a note that fills it. */
static void test_empty_beats(void **state)
{
    (void)state;
    struct notes notes = {0};
    double values[METRICS];
    add(&notes, 0, 15, 60, false);
    add(&notes, 16 * 72, 8, 61, false);
    compute(&notes, NULL, values);
    assert_close(values[METRIC_EMPTY_BEAT_RATE], 71 / 73.0);
    /* beat 72 begins measure 18: its onset is missing in 17, and that of 0 in 1 */
    assert_close(values[METRIC_GROOVE_CONSISTENCY], 1 - 2 / (18 * 64.0));
    add(&notes, 0, 16 * 72, 40, false); /* covers all beats */
    compute(&notes, NULL, values);
    assert_close(values[METRIC_EMPTY_BEAT_RATE], 0);
    assert_close(values[METRIC_LONGEST_SILENCE], 0);
    notes_free(&notes);
}

static void test_no_pitches(void **state)
{
    (void)state;
    struct notes notes = {0};
    double values[METRICS];
    add(&notes, 16, 4, 36, true);
    compute(&notes, NULL, values);
    for (enum metric metric = METRIC_PITCHES; metric <= METRIC_POLYPHONY_RATE; metric++)
        assert_close(values[metric], (double)NAN);
    assert_close(values[METRIC_LONGEST_NOTE], (double)NAN);
    assert_close(values[METRIC_TONIC_ENDING], (double)NAN);
    assert_close(values[METRIC_NOTES], 1);
    assert_close(values[METRIC_EMPTY_BEAT_RATE], 0.5); /* the first of two */
    notes.ticks_per_beat = 0;                          /* SMPTE division */
    compute(&notes, NULL, values);
    assert_close(values[METRIC_EMPTY_BEAT_RATE], (double)NAN);
    assert_close(values[METRIC_GROOVE_CONSISTENCY], (double)NAN);
    notes_free(&notes);
}

/* Extreme times take no memory and no time. */
static void test_far_notes(void **state)
{
    (void)state;
    struct notes notes = {0};
    double values[METRICS];
    add(&notes, 0, 1, 60, false);
    add(&notes, UINT32_MAX, UINT32_MAX, 62, false);
    notes.ticks_per_beat = 1;
    compute(&notes, NULL, values);
    assert_close(values[METRIC_EMPTY_BEAT_RATE],
                 1 - (2 + (double)UINT32_MAX + 1) / (2 * (double)UINT32_MAX + 1));
    assert_true(values[METRIC_GROOVE_CONSISTENCY] < 1);
    notes_free(&notes);
}

/* Adds a melody of beats from `tick` on. */
static void add_melody(struct notes *notes, uint32_t tick, const int *pitches,
                       size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(notes, tick + 16 * (uint32_t)i, 16, pitches[i], false);
}

static const int tune[] = {60, 62, 64, 65, 67, 65, 64, 60};
static const int higher_tune[] = {63, 65, 67, 68, 70, 68, 67, 63};
static const int other_tune[] = {60, 61, 64, 65, 67, 65, 64, 60};

/* Notes that begin within 30 ms are one note of the melody, the highest. */
static void test_melody(void **state)
{
    (void)state;
    struct notes notes = {0};
    struct melody melody = {0};
    add(&notes, 0, 16, 60, false);
    add(&notes, 0, 16, 67, false);
    add(&notes, 16, 16, 50, false);
    add(&notes, 17, 16, 40, false);
    add(&notes, 18, 16, 90, true);
    for (size_t i = 0; i < notes.count; i++) /* 1.00, 1.02 and 1.04 s after the first */
        if (notes.items[i].start_tick > 0)
            notes.items[i].start = 1 + 0.02 * (notes.items[i].start_tick - 16);
    notes_sort(&notes);
    assert_int_equal(melody_extract(&notes, &melody), STATUS_OK);
    assert_int_equal(melody.count, 2);
    assert_int_equal(melody.pitches[0], 67);
    assert_int_equal(melody.pitches[1], 50);
    assert_close(melody.onsets[1], 1);
    assert_int_equal(melody.group_count, 0);
    melody_free(&melody);
    notes_free(&notes);
}

/* The number of groups that have begun earlier, from the pitches. */
static size_t count_repeated(const struct melody *melody)
{
    size_t repeated = 0;
    for (size_t i = 0; i + MELODY_GROUP <= melody->count; i++) {
        bool found = false;
        for (size_t j = 0; j < i && !found; j++) {
            found = true;
            for (size_t k = 1; k < MELODY_GROUP; k++)
                found = found && melody->pitches[i + k] - melody->pitches[i] ==
                                     melody->pitches[j + k] - melody->pitches[j];
        }
        repeated += found;
    }
    return repeated;
}

static void test_repeated_groups(void **state)
{
    (void)state;
    struct notes notes = {0};
    double values[METRICS];
    add_melody(&notes, 0, tune, 8);
    add_melody(&notes, 1000, higher_tune, 8);
    compute(&notes, NULL, values);
    assert_close(values[METRIC_REPEATED_GROUPS], 1 / 9.0);
    notes_free(&notes);
    struct dice dice = {.seed = test_seed()};
    for (uint32_t i = 0; i < 400; i++)
        add(&notes, 16 * i, 16, 60 + (int)dice_below(&dice, 2), false);
    struct melody melody = {0};
    assert_int_equal(melody_extract(&notes, &melody), STATUS_OK);
    size_t expected = count_repeated(&melody);
    assert_in_range(expected, 100, 350);
    compute(&notes, NULL, values);
    assert_close(values[METRIC_REPEATED_GROUPS], (double)expected / 393);
    melody_free(&melody);
    notes_free(&notes);
}

/* Of the two groups of a piece, one is in the corpus, lower; a piece of the corpus
 * is not compared with itself. */
static void test_copied_groups(void **state)
{
    (void)state;
    struct notes known = {0}, copy = {0};
    struct corpus corpus = {0};
    struct melody melody = {0};
    double values[METRICS];
    add_melody(&known, 0, tune, 8);
    add_melody(&known, 1000, other_tune, 8);
    assert_int_equal(melody_extract(&known, &melody), STATUS_OK);
    assert_int_equal(corpus_add(&corpus, &melody, 2), STATUS_OK);
    assert_int_equal(corpus_add(&corpus, &melody, 2), STATUS_OK);
    add_melody(&copy, 0, higher_tune, 8);
    add(&copy, 500, 16, 100, false);
    compute(&copy, &corpus, values);
    assert_close(values[METRIC_COPIED_GROUPS], 1 / 2.0);
    assert_int_equal(corpus_count_copied(&corpus, &melody, 2), 0);
    assert_int_equal(corpus_count_copied(&corpus, &melody, 0), 9);
    assert_int_equal(melody_extract(&copy, &melody), STATUS_OK);
    assert_int_equal(corpus_add(&corpus, &melody, 3), STATUS_OK);
    assert_int_equal(melody_extract(&known, &melody), STATUS_OK);
    assert_int_equal(corpus_count_copied(&corpus, &melody, 2), 1);
    assert_int_equal(corpus_count_copied(&corpus, &melody, 0), 9);
    melody_free(&melody);
    corpus_free(&corpus);
    notes_free(&known);
    notes_free(&copy);
}

/* A corpus of many pieces, which grows its table, finds every group and nothing else. */
static void test_large_corpus(void **state)
{
    (void)state;
    enum { PIECES = 200, GROUPS = 50 };
    struct corpus corpus = {0};
    uint64_t groups[GROUPS];
    for (uint64_t piece = 0; piece < PIECES; piece++) {
        for (uint64_t i = 0; i < GROUPS; i++)
            groups[i] = piece * GROUPS + i; /* neighbours, to make runs of probes */
        const struct melody melody = {.groups = groups, .group_count = GROUPS};
        assert_int_equal(corpus_add(&corpus, &melody, piece + 1), STATUS_OK);
    }
    for (uint64_t piece = 0; piece < PIECES; piece++) {
        for (uint64_t i = 0; i < GROUPS; i++)
            groups[i] = piece * GROUPS + i;
        const struct melody known = {.groups = groups, .group_count = GROUPS};
        assert_int_equal(corpus_count_copied(&corpus, &known, 0), GROUPS);
        assert_int_equal(corpus_count_copied(&corpus, &known, piece + 1), 0);
    }
    for (uint64_t i = 0; i < GROUPS; i++)
        groups[i] = PIECES * GROUPS - GROUPS / 2 + i;
    const struct melody last = {.groups = groups, .group_count = GROUPS};
    assert_int_equal(corpus_count_copied(&corpus, &last, 0), GROUPS / 2);
    corpus_free(&corpus);
}

/* A corpus that was received adds to what is there. */
static void test_received_corpus(void **state)
{
    (void)state;
    uint64_t groups[] = {1, 2, 3, 4};
    const struct melody first = {.groups = groups, .group_count = 3};
    const struct melody second = {.groups = groups + 2, .group_count = 2};
    const struct melody all = {.groups = groups, .group_count = 4};
    struct corpus sent = {0}, received = {0};
    char *bytes = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&bytes, &size);
    assert_int_equal(corpus_add(&sent, &first, 5), STATUS_OK);
    assert_int_equal(corpus_add(&received, &second, 2), STATUS_OK);
    assert_int_equal(corpus_send(&sent, stream), STATUS_OK);
    assert_int_equal(fclose(stream), 0);
    const uint8_t *reply = (const uint8_t *)bytes;
    assert_int_equal(corpus_receive(reply, size, &received), STATUS_OK);
    assert_int_equal(corpus_count_copied(&received, &all, 0), 4);
    assert_int_equal(corpus_count_copied(&received, &all, 5), 2); /* 3 has both owners */
    assert_int_equal(corpus_count_copied(&received, &all, 2), 3);
    assert_int_equal(corpus_receive(reply, size - 1, &received), STATUS_FAILED);
    corpus_free(&sent);
    corpus_free(&received);
    free(bytes);
}

/* The key of a minor piece is not that of its relative major. */
static void test_tonic(void **state)
{
    (void)state;
    static const int minor[] = {57, 60, 64, 57, 60, 62, 64, 65, 64, 60, 59, 57};
    struct notes notes = {0};
    double values[METRICS];
    add_melody(&notes, 0, minor, 12);
    compute(&notes, NULL, values);
    assert_close(values[METRIC_TONIC_ENDING], 1);
    add(&notes, 1000, 16, 60, false); /* ends on C, in A minor */
    compute(&notes, NULL, values);
    assert_close(values[METRIC_TONIC_ENDING], 0);
    add(&notes, 900, 200, 45, false); /* above a held A */
    compute(&notes, NULL, values);
    assert_close(values[METRIC_TONIC_ENDING], 1);
    notes_free(&notes);
}

/* The key is that of the seconds: three long notes, not many short ones. */
static void test_tonic_of_seconds(void **state)
{
    (void)state;
    static const int short_notes[] = {66, 70, 73}, long_notes[] = {64, 67, 60};
    struct notes notes = {0};
    double values[METRICS];
    for (uint32_t i = 0; i < 60; i++)
        add(&notes, i, 1, short_notes[i % 3], false);
    for (uint32_t i = 0; i < 3; i++)
        add(&notes, 100 + 200 * i, 200, long_notes[i], false);
    compute(&notes, NULL, values);
    assert_close(values[METRIC_TONIC_ENDING], 1);
    notes_free(&notes);
}

static void test_distribution(void **state)
{
    (void)state;
    static const double values[] = {1, 2, 4, 8};
    struct distribution summary = distribution_summary(values, 4);
    assert_close(summary.mean, 3.75);
    assert_close(summary.quartiles[0], 1.75);
    assert_close(summary.quartiles[1], 3);
    assert_close(summary.quartiles[2], 5);
    summary = distribution_summary(values + 2, 1);
    assert_close(summary.quartiles[0], 4);
    assert_close(summary.quartiles[2], 4);
    summary = distribution_summary(values, 0);
    assert_close(summary.mean, (double)NAN);
}

/* Pieces for which a metric does not exist don't count for it. */
static void test_group(void **state)
{
    (void)state;
    struct piece_group group = {0};
    struct group_summary summary;
    struct notes first = {0}, drum = {0};
    add_piece(&first);
    notes_sort(&first);
    add(&drum, 0, 4, 36, true);
    assert_int_equal(piece_group_add(&group, &first, NULL, 0), STATUS_OK);
    assert_int_equal(piece_group_add(&group, &drum, NULL, 0), STATUS_OK);
    assert_int_equal(piece_group_summarise(&group, NULL, &summary), STATUS_OK);
    assert_int_equal(summary.pieces, 2);
    assert_int_equal(summary.metrics[METRIC_NOTES].count, 2);
    assert_close(summary.metrics[METRIC_NOTES].mean, 6);
    assert_int_equal(summary.metrics[METRIC_PITCHES].count, 1);
    assert_close(summary.metrics[METRIC_PITCHES].mean, 7);
    piece_group_free(&group);
    notes_free(&first);
    notes_free(&drum);
}

/* The distance between samples of equal size: the mean difference of the sorted values.
 * Each value of one sample is repeated as often as the other has values. */
static double repeated_distance(const double *a, size_t a_count, const double *b,
                                size_t b_count)
{
    double distance = 0;
    for (size_t i = 0; i < a_count * b_count; i++)
        distance += fabs(a[i / b_count] - b[i / a_count]);
    return distance / (double)(a_count * b_count);
}

static void draw_sorted(struct dice *dice, double *values, size_t count)
{
    double value = (double)dice_below(dice, 20);
    for (size_t i = 0; i < count; i++)
        values[i] = value += (double)dice_below(dice, 3);
}

static void test_wasserstein(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed()};
    double a[20], b[20];
    for (int i = 0; i < 200; i++) {
        size_t a_count = 1 + dice_below(&dice, 20), b_count = 1 + dice_below(&dice, 20);
        draw_sorted(&dice, a, a_count);
        draw_sorted(&dice, b, b_count);
        double expected = repeated_distance(a, a_count, b, b_count);
        assert_true(fabs(distribution_wasserstein(a, a_count, b, b_count) - expected) <
                    1e-9);
    }
    assert_close(distribution_wasserstein(a, 1, b, 0), (double)NAN);
}

static void test_overlap(void **state)
{
    (void)state;
    static const double low[] = {0, 0, 1, 9}, high[] = {9.8, 10}, one[] = {3};
    assert_close(distribution_overlap(low, 4, low, 4), 1);
    assert_close(distribution_overlap(low, 4, high, 2), 0); /* bins of 0.5: 0-8, 18, 19 */
    assert_close(distribution_overlap(low, 4, low + 2, 2), 0.5); /* 1/4 of 1, of 9 */
    assert_close(distribution_overlap(one, 1, one, 1), 1);
    assert_close(distribution_overlap(one, 1, one, 0), (double)NAN);
}

/* Matches the sorted points of two sets on a circle in every rotation. */
static double circle_distance(const int *a, const int *b, int count, int bins)
{
    double best = (double)INFINITY;
    for (int shift = 0; shift < count; shift++) {
        int distance = 0;
        for (int i = 0; i < count; i++) {
            int around = abs(a[i] - b[(i + shift) % count]);
            distance += around < bins - around ? around : bins - around;
        }
        best = fmin(best, (double)distance / count);
    }
    return best;
}

static void test_circular_wasserstein(void **state)
{
    (void)state;
    enum { POINTS = 6, BINS = 12 };
    struct dice dice = {.seed = test_seed(), .piece = 1};
    for (int round = 0; round < 200; round++) {
        double bins[2][BINS] = {{0}};
        int points[2][POINTS];
        for (int set = 0; set < 2; set++) {
            for (int i = 0; i < POINTS; i++)
                bins[set][dice_below(&dice, BINS)]++;
            for (int bin = 0, i = 0; bin < BINS; bin++)
                for (int k = 0; k < (int)bins[set][bin]; k++)
                    points[set][i++] = bin;
        }
        double expected = circle_distance(points[0], points[1], POINTS, BINS);
        double found = histogram_wasserstein(bins[0], bins[1], BINS, true);
        assert_true(fabs(found - expected) < 1e-9);
    }
}

/* A piece of eight notes of `ticks` ticks, one every 2 * `ticks`. */
static void add_to_group(struct piece_group *group, uint32_t ticks, int pitch)
{
    struct notes notes = {0};
    for (uint32_t i = 0; i < 8; i++)
        add(&notes, 2 * ticks * i, ticks, pitch, false);
    assert_int_equal(piece_group_add(group, &notes, NULL, 0), STATUS_OK);
    notes_free(&notes);
}

static void test_histograms(void **state)
{
    (void)state;
    struct piece_group quick = {0}, slow = {0};
    struct group_summary summary;
    add_to_group(&quick, 8, 71);
    add_to_group(&slow, 32, 60);
    assert_int_equal(piece_group_summarise(&slow, &quick, &summary), STATUS_OK);
    const struct distance *distances = summary.histogram_distances;
    assert_close(distances[HISTOGRAM_NOTE_DURATION].wasserstein, 2);
    assert_close(distances[HISTOGRAM_NOTE_DURATION].overlap, 0);
    assert_close(distances[HISTOGRAM_ONSET_INTERVAL].wasserstein, 2);
    assert_close(distances[HISTOGRAM_PITCH_CLASS].wasserstein, 1); /* B to C */
    assert_close(summary.metric_distances[METRIC_LONGEST_NOTE].wasserstein, 0.75);
    assert_int_equal(piece_group_summarise(&slow, &slow, &summary), STATUS_OK);
    assert_close(distances[HISTOGRAM_PITCH_CLASS].overlap, 1);
    assert_close(distances[HISTOGRAM_PITCH_CLASS].wasserstein, 0);
    assert_int_equal(piece_group_summarise(&slow, NULL, &summary), STATUS_OK);
    assert_close(distances[HISTOGRAM_PITCH_CLASS].overlap, (double)NAN); /* one half */
    piece_group_free(&quick);
    piece_group_free(&slow);
}

/* The halves of a group don't depend on the order of its pieces; each is a group. */
static void test_halves(void **state)
{
    (void)state;
    enum { PIECES = 41 };
    struct piece_group whole = {0}, shuffled = {0}, half[2] = {{0}};
    struct group_summary expected, summary;
    for (int i = 0; i < PIECES; i++) {
        add_to_group(&whole, 4 + (uint32_t)i, 30 + i);
        add_to_group(&shuffled, 4 + (uint32_t)(2 * i % PIECES), 30 + 2 * i % PIECES);
    }
    for (int i = 0; i < PIECES; i++)
        add_to_group(&half[whole.pieces[i].half], 4 + (uint32_t)i, 30 + i);
    assert_in_range(half[0].count, 10, 30);
    assert_int_equal(piece_group_summarise(&half[0], &half[1], &expected), STATUS_OK);
    assert_int_equal(piece_group_summarise(&whole, NULL, &summary), STATUS_OK);
    assert_memory_equal(expected.histogram_distances, summary.histogram_distances,
                        sizeof summary.histogram_distances);
    assert_close(summary.metric_distances[METRIC_SECONDS].wasserstein,
                 expected.metric_distances[METRIC_SECONDS].wasserstein);
    assert_true(summary.metric_distances[METRIC_SECONDS].wasserstein > 0);
    assert_int_equal(piece_group_summarise(&shuffled, NULL, &expected), STATUS_OK);
    assert_close(summary.metric_distances[METRIC_SECONDS].wasserstein,
                 expected.metric_distances[METRIC_SECONDS].wasserstein);
    piece_group_free(&whole);
    piece_group_free(&shuffled);
    piece_group_free(&half[0]);
    piece_group_free(&half[1]);
}

static void test_excerpt(void **state)
{
    (void)state;
    struct notes notes = {0};
    add(&notes, 0, 64, 60, false);
    add(&notes, 0, 40, 60, false); /* 1.25 s */
    add(&notes, 20, 16, 62, false);
    add(&notes, 32, 16, 64, false); /* begins at 1 s */
    notes_sort(&notes);
    excerpt_cut(&notes, 1);
    assert_int_equal(notes.count, 3);
    assert_int_equal(notes.items[1].duration_ticks, 32);
    assert_close(notes.items[1].duration, 1);
    assert_int_equal(notes.items[2].duration_ticks, 12);
    assert_close(notes.items[2].duration, 12 / 32.0);
    notes_free(&notes);
}

static void test_from_first_note(void **state)
{
    (void)state;
    struct notes notes = {.ticks_per_beat = 24};
    const struct note first = {.start = 1.5,
                               .duration = 1,
                               .start_tick = 36,
                               .pitch = 60},
                      second = {.start = 2, .duration = 1, .start_tick = 48, .pitch = 62};
    excerpt_from_first_note(&notes); /* without notes */
    assert_int_equal(notes_append(&notes, &first), STATUS_OK);
    assert_int_equal(notes_append(&notes, &second), STATUS_OK);
    excerpt_from_first_note(&notes);
    assert_close(notes.items[0].start, 0);
    assert_int_equal(notes.items[0].start_tick, 0);
    assert_close(notes.items[1].start, 0.5);
    assert_int_equal(notes.items[1].start_tick, 12);
    notes_free(&notes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_piece),
        cmocka_unit_test(test_from_first_note),
        cmocka_unit_test(test_empty_beats),
        cmocka_unit_test(test_no_pitches),
        cmocka_unit_test(test_far_notes),
        cmocka_unit_test(test_melody),
        cmocka_unit_test(test_repeated_groups),
        cmocka_unit_test(test_copied_groups),
        cmocka_unit_test(test_large_corpus),
        cmocka_unit_test(test_received_corpus),
        cmocka_unit_test(test_tonic),
        cmocka_unit_test(test_tonic_of_seconds),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_wasserstein),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_circular_wasserstein),
        cmocka_unit_test(test_histograms),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_excerpt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
