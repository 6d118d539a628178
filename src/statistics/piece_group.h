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

struct piece_values {
    double metrics[METRICS];
};

/* Keeps METRICS numbers of a piece, and none of its notes. Zero-initialise; free with
 * piece_group_free. */
struct piece_group {
    struct piece_values *pieces;
    size_t count, capacity;
    struct melody melody; /* of the last piece */
};

/* Adds a piece. `notes` are in the order of notes_sort; `corpus` NULL: no copied_groups;
 * `owner` as for corpus_count_copied. STATUS_FAILED only if out of memory. */
enum status piece_group_add(struct piece_group *group, const struct notes *notes,
                            const struct corpus *corpus, uint64_t owner);
void piece_group_free(struct piece_group *group);

/* A plain value. Distributions are over the pieces for which the metric exists. */
struct group_summary {
    size_t pieces;
    struct distribution metrics[METRICS];
};

enum status piece_group_summarise(const struct piece_group *group,
                                  struct group_summary *summary);

#endif
