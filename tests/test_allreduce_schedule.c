/* allreduce_schedule, executed for all ranks in one process: every rank ends with the sum
 * of every element, for any number of ranks, any mapping to nodes and any length. Rounds
 * and elements sent over a node's link stay within the header's bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "comm/allreduce_schedule.h"

enum { MAX_RANKS = 40, MAX_COUNT = 300 };

struct world {
    int ranks;
    size_t count, round_count;
    struct allreduce_round *rounds[MAX_RANKS];
    int64_t values[MAX_RANKS][MAX_COUNT];
    size_t sent_internode; /* elements, by all ranks */
};

static int64_t addend(int rank, size_t i)
{
    return (int64_t)rng_block(1, RNG_TEST, (uint64_t)rank, i, 0).word[0] >> 8;
}

static void plan(struct world *world, int ranks, const int *node_of, size_t count)
{
    *world = (struct world){.ranks = ranks, .count = count};
    for (int r = 0; r < ranks; r++) {
        size_t rounds;
        assert_int_equal(
            allreduce_schedule_plan(r, ranks, node_of, count, &world->rounds[r], &rounds),
            0);
        assert_true(r == 0 || rounds == world->round_count);
        world->round_count = rounds;
        for (size_t i = 0; i < count; i++)
            world->values[r][i] = addend(r, i);
    }
}

/* Delivers the messages of one round; each must match what its receiver expects. */
static void execute_round(struct world *world, size_t k, const int *node_of)
{
    static int64_t before[MAX_RANKS][MAX_COUNT];
    memcpy(before, world->values, sizeof before);
    for (int r = 0; r < world->ranks; r++) {
        const struct allreduce_round *to = &world->rounds[r][k];
        const struct allreduce_round *from = &world->rounds[to->from][k];
        assert_int_equal(from->to, r);
        for (int part = 0; part < ROUND_RANGES; part++) {
            struct allreduce_range out = from->send[part], in = to->receive[part];
            assert_int_equal(out.count, in.count);
            if (in.count == 0)
                continue;
            assert_int_equal(out.first, in.first);
            assert_true(in.first + in.count <= world->count);
            if (node_of[to->from] != node_of[r])
                world->sent_internode += in.count;
            for (size_t i = in.first; i < in.first + in.count; i++)
                world->values[r][i] =
                    before[to->from][i] + (to->adds ? world->values[r][i] : 0);
        }
    }
}

static void check_sums(int ranks, const int *node_of, size_t count, struct world *world)
{
    plan(world, ranks, node_of, count);
    for (size_t k = 0; k < world->round_count; k++)
        execute_round(world, k, node_of);
    for (size_t i = 0; i < count; i++) {
        int64_t sum = 0;
        for (int r = 0; r < ranks; r++)
            sum += addend(r, i);
        for (int r = 0; r < ranks; r++)
            assert_true(world->values[r][i] == sum);
    }
    for (int r = 0; r < ranks; r++)
        free(world->rounds[r]);
}

static size_t log2_up(int n)
{
    size_t bits = 0;
    while (1 << bits < n)
        bits++;
    return bits;
}

static const size_t counts[] = {0, 1, 2, 7, 64, 299};
enum { COUNTS = sizeof counts / sizeof *counts };

static void sums_are_correct_for_any_number_of_ranks(void **state)
{
    static struct world world;
    int node_of[MAX_RANKS] = {0};
    (void)state;
    for (int ranks = 1; ranks <= MAX_RANKS; ranks++)
        for (int c = 0; c < COUNTS; c++) {
            check_sums(ranks, node_of, counts[c], &world);
            assert_int_equal(world.round_count, 2 * log2_up(ranks));
            assert_int_equal(world.sent_internode, 0);
        }
}

/* Nodes of equal size, with ranks assigned in blocks or round-robin. */
static void volume_is_minimal_with_equal_nodes(void **state)
{
    static struct world world;
    (void)state;
    for (int nodes = 1; nodes <= 8; nodes++)
        for (int each = 1; nodes * each <= MAX_RANKS; each++)
            for (int round_robin = 0; round_robin < 2; round_robin++) {
                int node_of[MAX_RANKS], ranks = nodes * each;
                for (int r = 0; r < ranks; r++)
                    node_of[r] = 100 + (round_robin ? r % nodes : r / each);
                for (int c = 0; c < COUNTS; c++)
                    check_sums(ranks, node_of, counts[c], &world);
                assert_int_equal(world.round_count,
                                 2 * log2_up(each) + 2 * log2_up(nodes));
                /* each node sends p - 1 of p blocks, twice */
                size_t minimum = (size_t)(2 * (nodes - 1)) * world.count;
                assert_int_equal(world.sent_internode, minimum);
            }
}

static void sums_are_correct_for_unequal_nodes(void **state)
{
    static struct world world;
    (void)state;
    for (uint64_t round = 0; round < 200; round++) {
        int node_of[MAX_RANKS];
        int ranks = 1 + (int)rng_below(MAX_RANKS, 2, RNG_TEST, round, 0, 0);
        for (int r = 0; r < ranks; r++)
            node_of[r] = (int)rng_below(4, 2, RNG_TEST, round, 1, (uint64_t)r);
        check_sums(ranks, node_of, 1 + rng_below(MAX_COUNT - 1, 2, RNG_TEST, round, 2, 0),
                   &world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_correct_for_any_number_of_ranks),
        cmocka_unit_test(volume_is_minimal_with_equal_nodes),
        cmocka_unit_test(sums_are_correct_for_unequal_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
