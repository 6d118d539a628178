/* allreduce_schedule: the communication schedule of an allreduce: the elements of a
 * vector that each rank sends in each round, and to which rank. Pure arithmetic, no
 * communication.
 *
 * A group of p ranks reduces a vector of p blocks (reduce-scatter: rank i of the group
 * ends up with the sum of block i). A block is open on a rank until the rank has sent it;
 * initially all p blocks are open. In each of ceil(log2 p) rounds a rank sends half of
 * its open blocks, rounded down, to one peer while it receives as many from another. The
 * same rounds in reverse order gather the blocks (allgather). The peers form a circulant
 * graph, for any p; addition must be commutative. J. L. Traeff, "Optimal, Non-pipelined
 * Reduce-scatter and Allreduce Algorithms", 2024, algorithm 1.
 *
 * Two levels: first the ranks of each node reduce among themselves; then, for each block,
 * the ranks of all nodes that hold it; then both levels gather. Thus the network link of
 * a node carries the vector only twice. If the nodes have different numbers of ranks,
 * there is a single level with all ranks.
 *
 * Another schedule can be substituted if it obeys these rules, on which comm_allreduce.c
 * relies:
 * 1. All ranks have the same number of rounds.
 * 2. If q sends to r in round k, r receives the same elements from q in round k.
 * 3. No rank receives in a round an element that it sends in that round.
 * 4. After a rank has sent an element in an adding round, it next receives that element
 *    as the total, which includes its addend. An element sent in any other round is
 *    final.
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

/* Block numbers wrap around modulo p, so consecutive blocks form at most two ranges. */
enum { ROUND_RANGES = 2 };

struct allreduce_round {
    int to, from;                                                     /* ranks */
    struct allreduce_range send[ROUND_RANGES], receive[ROUND_RANGES]; /* may be empty */
    bool adds; /* received elements are added to the vector, else they replace it */
};

/* The rounds of `rank` for a vector of `count` elements. node_of[r] identifies the node
 * of rank r by any integer. At most 4 ceil(log2 ranks) rounds. The caller frees *rounds.
 * STATUS_FAILED if out of memory. Not collective. */
enum status allreduce_schedule_plan(int rank, int ranks, const int *node_of, size_t count,
                                    struct allreduce_round **rounds, size_t *round_count);

#endif
