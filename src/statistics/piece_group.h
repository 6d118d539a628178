/* piece_group: pieces in figures, and their summary. */
#ifndef TUTTI_STATISTICS_PIECE_GROUP_H
#define TUTTI_STATISTICS_PIECE_GROUP_H

#include <stddef.h>

#include "corpus.h"
#include "distribution.h"
#include "melody.h"
#include "piece_metrics.h"
#include "base/status.h"
#include "midi/notes.h"

/* Counted over all notes of all pieces. Times have TIME_BINS_PER_OCTAVE bins for each
 * doubling, from TIME_BIN_FIRST seconds on; longer and shorter ones are in the last and
 * first bin. */
enum piece_histogram {
    HISTOGRAM_ONSET_INTERVAL, /* seconds between neighbouring onsets of the melody */
    HISTOGRAM_NOTE_DURATION,  /* seconds, of melodic notes */
    HISTOGRAM_PITCH_CLASS,    /* 12 bins, of melodic notes */
    HISTOGRAMS
};
enum { TIME_BINS_PER_OCTAVE = 4 };
#define TIME_BIN_FIRST (1.0 / 128)

const char *piece_histogram_name(enum piece_histogram histogram);
/* "octaves", "semitones": of the distance. */
const char *piece_histogram_unit(enum piece_histogram histogram);

enum { HALVES = 2 };

struct piece_values {
    double metrics[METRICS];
    int half; /* 0 or 1, by a hash of the notes */
};

/* Keeps METRICS numbers of a piece, and none of its notes. Zero-initialise; free with
 * piece_group_free. */
struct piece_group {
    struct piece_values *pieces;
    size_t count, capacity;
    double histograms[HALVES][HISTOGRAMS][HISTOGRAM_BINS];
    struct melody melody; /* of the last piece */
};

/* Adds a piece. `notes` are in the order of notes_sort; `corpus` NULL: no copied_groups;
 * `owner` as for corpus_count_copied. STATUS_FAILED only if out of memory. */
enum status piece_group_add(struct piece_group *group, const struct notes *notes,
                            const struct corpus *corpus, uint64_t owner);
void piece_group_free(struct piece_group *group);

/* Between two sets of pieces; see distribution.h. NaN if one of them has no value. */
struct distance {
    double overlap;
    double wasserstein; /* metrics: in their unit; histograms: in piece_histogram_unit */
};

/* A plain value. Distributions are over the pieces for which the metric exists. */
struct group_summary {
    size_t pieces;
    struct distribution metrics[METRICS];
    struct distance metric_distances[METRICS];
    struct distance histogram_distances[HISTOGRAMS];
};

/* The distances are those to `reference`, or, if that is NULL, between the two halves of
 * the group: what to expect of two sets of the same music, of half the size. STATUS_FAILED
 * only if out of memory. */
enum status piece_group_summarise(const struct piece_group *group,
                                  const struct piece_group *reference,
                                  struct group_summary *summary);

#endif
