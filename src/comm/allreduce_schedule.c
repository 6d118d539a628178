/* allreduce_schedule: each rank numbers the blocks relative to its own: offset j on rank
 * i is block (i + j) mod p.
 */
#include "allreduce_schedule.h"

#include <stdint.h>
#include <stdlib.h>

enum { ROUNDS_MAX = 32 }; /* per group: ceil(log2 p) is smaller for any int p */

/* The ranks that sum one vector. */
struct group {
    int *members;
    int size, self;               /* self: this rank's index among the members */
    struct allreduce_range range; /* the elements that they sum */
};

/* The elements of block b of the group's vector. */
static struct allreduce_range block_range(const struct group *group, int b)
{
    size_t size = (size_t)group->size, count = group->range.count;
    size_t quotient = count / size, rest = count % size, index = (size_t)b;
    return (struct allreduce_range){
        .first = group->range.first + quotient * index + (index < rest ? index : rest),
        .count = quotient + (index < rest),
    };
}

/* The elements of the blocks at offsets [from, to) of member `self`. */
static void block_ranges(const struct group *group, int from, int to,
                         struct allreduce_range ranges[])
{
    int first = (group->self + from) % group->size, count = to - from;
    int tail = first + count <= group->size ? count : group->size - first;
    int runs[ROUND_RANGES][2] = {{first, tail}, {0, count - tail}};
    for (int i = 0; i < ROUND_RANGES; i++) {
        ranges[i] = (struct allreduce_range){0, 0};
        if (runs[i][1] == 0)
            continue;
        struct allreduce_range begin = block_range(group, runs[i][0]);
        struct allreduce_range end = block_range(group, runs[i][0] + runs[i][1] - 1);
        ranges[i] =
            (struct allreduce_range){begin.first, end.first + end.count - begin.first};
    }
}

static int member_at(const struct group *group, int offset)
{
    return group->members[(group->self + offset + group->size) % group->size];
}

/* open[k]: number of blocks open before round k; the last is 1. Returns the number of
 * rounds. */
static int count_open_blocks(int size, int open[ROUNDS_MAX + 1])
{
    int count = 0;
    open[0] = size;
    while (open[count] > 1) {
        open[count + 1] = (open[count] + 1) / 2;
        count++;
    }
    return count;
}

/* Afterwards every member holds the sum of its own block. */
static struct allreduce_round *reduce_scatter(const struct group *group,
                                              struct allreduce_round *next)
{
    int open[ROUNDS_MAX + 1], count = count_open_blocks(group->size, open);
    for (int k = 0; k < count; k++, next++) {
        int kept = open[k + 1];
        *next = (struct allreduce_round){
            .to = member_at(group, kept), .from = member_at(group, -kept), .adds = true};
        block_ranges(group, kept, open[k], next->send);
        block_ranges(group, 0, open[k] - kept, next->receive);
    }
    return next;
}

/* Afterwards every member holds all blocks: the rounds of reduce_scatter in reverse
 * order, with senders and receivers exchanged. */
static struct allreduce_round *allgather(const struct group *group,
                                         struct allreduce_round *next)
{
    int open[ROUNDS_MAX + 1], count = count_open_blocks(group->size, open);
    for (int k = count - 1; k >= 0; k--, next++) {
        int kept = open[k + 1];
        *next = (struct allreduce_round){.to = member_at(group, -kept),
                                         .from = member_at(group, kept)};
        block_ranges(group, 0, open[k] - kept, next->send);
        block_ranges(group, kept, open[k], next->receive);
    }
    return next;
}

/* The ranks with the same key as `rank`: with node_of the ranks of its node, with
 * local_rank_of the ranks with its local rank on all nodes. */
static void fill_group(int rank, int ranks, const int *key, struct group *group)
{
    group->size = 0;
    for (int r = 0; r < ranks; r++) {
        if (key[r] != key[rank])
            continue;
        if (r == rank)
            group->self = group->size;
        group->members[group->size++] = r;
    }
}

/* local_rank_of[r]: number of lower ranks on the node of r. O(ranks^2), once per bucket.
 * True if all nodes have the same number of ranks. */
static bool assign_local_ranks(int ranks, const int *node_of, int *local_rank_of)
{
    bool uniform = true;
    for (int r = 0; r < ranks; r++) {
        local_rank_of[r] = 0;
        for (int lower = 0; lower < r; lower++)
            local_rank_of[r] += node_of[lower] == node_of[r];
    }
    for (int r = 0, first = -1; r < ranks && uniform; r++) {
        int on_node = 0;
        for (int other = 0; other < ranks; other++)
            on_node += node_of[other] == node_of[r];
        first = first < 0 ? on_node : first;
        uniform = on_node == first;
    }
    return uniform;
}

enum status allreduce_schedule_plan(int rank, int ranks, const int *node_of, size_t count,
                                    struct allreduce_round **rounds, size_t *round_count)
{
    size_t all = (size_t)ranks;
    int *buffer = calloc(3 * all, sizeof *buffer), *local_rank_of = buffer;
    *rounds = calloc(4 * ROUNDS_MAX, sizeof **rounds);
    if (!buffer || !*rounds) {
        free(buffer);
        free(*rounds);
        *rounds = NULL;
        return status_fail(STATUS_FAILED, "no memory to plan an allreduce of %d ranks",
                           ranks);
    }
    struct group intranode = {.members = buffer + all, .range = {0, count}};
    struct group internode = {.members = buffer + 2 * all};
    struct allreduce_round *next = *rounds;
    if (assign_local_ranks(ranks, node_of, local_rank_of)) {
        fill_group(rank, ranks, node_of, &intranode);
        fill_group(rank, ranks, local_rank_of, &internode);
        next = reduce_scatter(&intranode, next);
        internode.range = block_range(&intranode, intranode.self);
    } else { /* one level: the group `intranode` stays empty */
        for (int r = 0; r < ranks; r++)
            internode.members[r] = r;
        internode.size = ranks;
        internode.self = rank;
        internode.range = (struct allreduce_range){0, count};
    }
    next = reduce_scatter(&internode, next);
    next = allgather(&internode, next);
    next = allgather(&intranode, next);
    *round_count = (size_t)(next - *rounds);
    free(buffer);
    return STATUS_OK;
}
