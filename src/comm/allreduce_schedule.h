/* rounds: who sends which part of a vector to whom, so that in the end every rank has the
 * sum. Pure arithmetic, no messages.
 *
 * The ranks of a group of p reduce a vector of p blocks (rank i of the group ends up with
 * the sum of block i) by sending, in each of ceil(log2 p) rounds, half of the blocks that
 * are still open to one peer while receiving as many from another; and gather the blocks
 * by the same rounds backwards. The peers form a circulant graph, for any p; addition
 * must be commutative. J. L. Traeff, "Optimal, Non-pipelined Reduce-scatter and Allreduce
 * Algorithms", 2024, algorithm 1.
 *
 * Two levels: first the ranks of each host among themselves; then, for each block, the
 * ranks of all hosts that hold it; then back. So each host's link carries the vector
 * twice. One level, all ranks, when the hosts don't have equally many ranks.
 */
#ifndef TUTTI_COMM_ROUNDS_H
#define TUTTI_COMM_ROUNDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct part { /* elements [first, first + count) */
    size_t first, count;
};

enum { ROUND_PARTS = 2 }; /* blocks are in a ring: a run of them may wrap around */

struct round {
    int to, from;                                        /* ranks */
    struct part send[ROUND_PARTS], receive[ROUND_PARTS]; /* empty: no message */
    bool adds; /* what is received is added to what is there; else it replaces it */
};

/* The rounds of `rank` for a vector of `count` elements; host_of[r] names the host of
 * rank r by any number. All ranks have the same number of rounds. The caller frees
 * *rounds. */
enum status allreduce_schedule_plan(int rank, int ranks, const int *host_of, size_t count,
                                    struct round **rounds, size_t *round_count);

#endif
