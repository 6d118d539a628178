/* allreduce_schedule: which rank sends which elements of a vector to which rank, so that
 * in the end every rank has the sum. Pure arithmetic, no messages.
 *
 * A group of p ranks reduces a vector of p blocks (reduce-scatter: rank i of the group
 * ends up with the sum of block i). A block is open on a rank that has not sent it on
 * yet; at first all p are. In each of ceil(log2 p) rounds a rank sends half of its open
 * blocks, rounded down, to one peer while it receives as many from another. The same
 * rounds in reverse order gather the blocks (allgather). The peers form a circulant
 * graph, for any p; addition must be commutative. J. L. Traeff, "Optimal, Non-pipelined
 * Reduce-scatter and Allreduce Algorithms", 2024, algorithm 1.
 *
 * Two levels: first the ranks of each node reduce among themselves; then, for each block,
 * the ranks of all nodes that hold it; then both levels gather. So the network link of a
 * node carries the vector twice. One level with all ranks if the nodes have different
 * numbers of ranks.
 *
 * A schedule can be replaced. comm_allreduce.c relies on these rules:
 * 1. All ranks have the same number of rounds.
 * 2. If q sends to r in round k, r receives the same elements from q in round k.
 * 3. No rank receives in a round an element that it sends in that round.
 * 4. A rank that has sent an element in an adding round receives it next as the total,
 *    which contains that addend. What it sends in another round is final.
 * 5. Each total is formed on one rank and copied from there, so all ranks hold the same
 *    bits, for floats too.
 */
#ifndef TUTTI_COMM_ALLREDUCE_SCHEDULE_H
#define TUTTI_COMM_ALLREDUCE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct allreduce_range { /* elements [first, first + count) */
    size_t first, count;
};

/* Block numbers are modulo p, so a run of blocks is at most two ranges. */
enum { ROUND_RANGES = 2 };

struct allreduce_round {
    int to, from;                                                     /* ranks */
    struct allreduce_range send[ROUND_RANGES], receive[ROUND_RANGES]; /* may be empty */
    bool adds; /* what is received is added to the vector; else it replaces elements */
};

/* The rounds of `rank` for a vector of `count` elements. node_of[r] identifies the node
 * of rank r by any integer. At most 4 ceil(log2 ranks) rounds. The caller frees *rounds.
 * STATUS_FAILED without memory. Not collective. */
enum status allreduce_schedule_plan(int rank, int ranks, const int *node_of, size_t count,
                                    struct allreduce_round **rounds, size_t *round_count);

#endif
