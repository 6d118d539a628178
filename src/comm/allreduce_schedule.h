/* allreduce_schedule: which rank sends which part of a vector to which rank, so that in
 * the end every rank has the sum. Pure arithmetic, no messages.
 *
 * A group of p ranks reduces a vector of p blocks (rank i of the group ends up with the
 * sum of block i): in each of ceil(log2 p) rounds a rank sends half of the blocks that
 * are still open to one peer while it receives as many from another. The same rounds in
 * reverse order gather the blocks. The peers form a circulant graph, for any p; addition
 * must be commutative. J. L. Traeff, "Optimal, Non-pipelined Reduce-scatter and Allreduce
 * Algorithms", 2024, algorithm 1.
 *
 * Two levels: first the ranks of each node reduce among themselves; then, for each block,
 * the ranks of all nodes that hold it; then both levels gather. So the network link of a
 * node carries the vector twice. One level with all ranks if the nodes have different
 * numbers of ranks.
 */
#ifndef TUTTI_COMM_ALLREDUCE_SCHEDULE_H
#define TUTTI_COMM_ALLREDUCE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct part { /* elements [first, first + count) */
    size_t first, count;
};

enum { ROUND_PARTS = 2 }; /* blocks form a ring: a run of them may wrap around */

struct round {
    int to, from;                                        /* ranks */
    struct part send[ROUND_PARTS], receive[ROUND_PARTS]; /* empty: no message */
    bool
        adds; /* what is received is added to the vector; else it replaces a part of it */
};

/* The rounds of `rank` for a vector of `count` elements. node_of[r] identifies the node
 * of rank r by any integer. All ranks have the same number of rounds, at most 4 ceil(log2
 * ranks). The caller frees *rounds. STATUS_FAILED without memory. Not collective. */
enum status allreduce_schedule_plan(int rank, int ranks, const int *node_of, size_t count,
                                    struct round **rounds, size_t *round_count);

#endif
