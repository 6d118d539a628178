/* rank_layout: recommended ranks and threads for made-up machines and models, compared
 * with expected ones, and their properties on many machines; the remarks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kernels/kernels.h"
#include "train/rank_layout.h"

enum { KB = 1 << 10, MB = 1 << 20 };

/* Nodes of `domains` cache domains with `cores` cores each. */
static struct topology machine(int domains, int cores, int l2_bytes)
{
    return (struct topology){domains * cores, domains * cores, (size_t)l2_bytes,
                             domains,         cores,           1};
}

static struct layout_facts facts_for(struct topology node, int nodes, int hidden,
                                     int rows, int microbatches)
{
    struct options options;
    options_defaults(&options);
    options.model.hidden = hidden;
    options.train.batch = rows;
    options.train.microbatches = microbatches;
    return layout_facts_of(&options, &node, nodes);
}

static void expect_layout(struct layout_facts facts, int ranks, int threads)
{
    struct rank_layout found = rank_layout_recommend(&facts);
    if (found.ranks != ranks || found.threads != threads)
        fail_msg("%d ranks x %d threads, not %d x %d", found.ranks, found.threads, ranks,
                 threads);
}

/* ---- facts ---- */

static void facts_of_a_model(void **state)
{
    (void)state;
    struct topology node = machine(2, 8, MB);
    struct options options;
    options_defaults(&options);
    options.model.hidden = 512;
    options.model.cell = CELL_LSTM;
    struct layout_facts facts = layout_facts_of(&options, &node, 3);
    assert_int_equal(facts.recurrent_bytes, 4 * 512 * 512 * 4);
    assert_int_equal(facts.few_rows, 8);
    assert_int_equal(facts.cores, 16);
    assert_int_equal(facts.domain_divisor, 8);
    assert_int_equal(facts.nodes, 3);
    options.model.cell = CELL_GRU;
    options.train.precision = PRECISION_BFLOAT16;
    facts = layout_facts_of(&options, &node, 3);
    assert_int_equal(facts.recurrent_bytes, 3 * 512 * 512 * 2);
    assert_int_equal(facts.few_rows, strcmp(kernels_bf16()->name, "amx") == 0 ? 16 : 8);
    node = (struct topology){0}; /* the cores are unknown */
    facts = layout_facts_of(&options, &node, 1);
    assert_int_equal(facts.cores, 1);
    expect_layout(facts, 1, 1);
}

static void shares(void **state)
{
    (void)state;
    struct layout_facts facts = {.recurrent_bytes = 4 * MB, .l2_bytes = 2 * MB};
    assert_int_equal(rank_layout_share(&facts, 3), (4 * MB + 2) / 3);
    assert_false(rank_layout_is_cached(&facts, 1)); /* 4 of 2 MB */
    assert_true(rank_layout_is_cached(&facts, 2));  /* 2 of 2 MB */
    facts.l2_bytes = 0;
    assert_false(rank_layout_is_cached(&facts, 1024));
}

/* ---- the recommendation ---- */

/* LSTM 512: 4 MB of W_hh in a layer. */
static void threads_share_weights_of_few_rows(void **state)
{
    (void)state;
    const struct topology intel = machine(1, 16, 2 * MB);
    expect_layout(facts_for(intel, 1, 512, 64, 16), 8, 2);   /* 4 rows of a rank */
    expect_layout(facts_for(intel, 1, 512, 128, 16), 8, 2);  /* 8 */
    expect_layout(facts_for(intel, 1, 512, 144, 16), 16, 1); /* 9: compute-bound */
    expect_layout(facts_for(intel, 1, 256, 64, 16), 16, 1);  /* 1 MB: cached at once */
    expect_layout(facts_for(intel, 1, 1024, 64, 16), 2, 8);  /* 16 MB: 2 MB each */
    expect_layout(facts_for(intel, 1, 2048, 64, 16), 16, 1); /* 64 MB: never cached */
    expect_layout(facts_for(intel, 4, 512, 64, 64), 8, 2);   /* 1 row of a rank */
    expect_layout(facts_for(machine(2, 3, 2 * MB), 1, 512, 24, 6), 2, 3);
}

static void threads_stay_in_a_domain(void **state)
{
    (void)state;
    const struct topology amd = machine(4, 8, 512 * KB), unknown = machine(4, 8, 0);
    expect_layout(facts_for(amd, 1, 544, 128, 32), 32, 1); /* 8 threads: 578 of 512 KB */
    expect_layout(facts_for(amd, 1, 512, 128, 32), 4, 8);  /* 512 of 512 KB */
    expect_layout(facts_for(amd, 1, 256, 128, 32), 16, 2);
    expect_layout(facts_for(unknown, 1, 256, 128, 32), 32, 1);
    struct topology uneven = {13, 13, 2 * MB, 2, 1, 1}; /* domains of 8 and 5 cores */
    expect_layout(facts_for(uneven, 1, 512, 13, 13), 13, 1);
}

static void threads_use_the_cores_that_microbatches_leave(void **state)
{
    (void)state;
    const struct topology big = machine(2, 32, MB), twelve = machine(1, 12, MB);
    expect_layout(facts_for(big, 1, 64, 1024, 64), 64, 1);
    expect_layout(facts_for(big, 1, 64, 1024, 32), 32, 2);
    expect_layout(facts_for(big, 1, 64, 1024, 8), 8, 8);
    expect_layout(facts_for(big, 4, 64, 1024, 8), 2, 32);
    expect_layout(facts_for(big, 16, 64, 1024, 8), 1, 32); /* half of the nodes idle */
    expect_layout(facts_for(big, 1, 64, 1024, 1), 1, 32);  /* not across domains */
    expect_layout(facts_for(twelve, 1, 64, 1024, 8), 4, 3);
    expect_layout(facts_for(twelve, 1, 64, 1024, 7), 1, 12);
    expect_layout(facts_for(twelve, 1, 64, 1024, 12), 12, 1);
    expect_layout(facts_for(twelve, 1, 64, 1024, 18), 6, 2); /* 12 ranks: 2 of 18 each */
}

static void limited_cores(void **state)
{
    (void)state;
    struct topology node = machine(4, 8, 2 * MB);
    topology_apply_limit(&node, 6);
    expect_layout(facts_for(node, 1, 64, 64, 6), 6, 1);
    expect_layout(facts_for(node, 1, 64, 64, 3), 3, 2);
}

/* Over many machines: the recommended layout is possible, keeps to a domain, and no other
 * number of threads within a domain gives the busiest thread less work. */
static void properties(void **state)
{
    (void)state;
    for (int domains = 1; domains <= 4; domains++)
        for (int cores = 1; cores <= 12; cores++)
            for (int microbatches = 1; microbatches <= 24; microbatches++)
                for (int nodes = 1; nodes <= 3 && nodes <= microbatches; nodes++) {
                    struct layout_facts facts = facts_for(
                        machine(domains, cores, MB), nodes, 64 << microbatches % 4,
                        microbatches * (1 + cores % 5), microbatches);
                    struct rank_layout best = rank_layout_recommend(&facts);
                    assert_in_range(best.ranks, 1, microbatches / nodes);
                    assert_in_range(best.ranks * best.threads, 1, domains * cores);
                    assert_int_equal(cores % best.threads, 0);
                    for (int t = 1; t <= cores; t++) {
                        int ranks = domains * cores / t;
                        if (ranks > microbatches / nodes)
                            ranks = microbatches / nodes;
                        int of_rank =
                            (microbatches + ranks * nodes - 1) / (ranks * nodes);
                        int of_best = (microbatches + best.ranks * nodes - 1) /
                                      (best.ranks * nodes);
                        assert_true(cores % t != 0 ||
                                    of_best * t <= of_rank * best.threads);
                    }
                }
}

/* ---- remarks ---- */

static void expect_remark(struct layout_facts facts, int ranks, int threads,
                          const char *expected)
{
    char text[LAYOUT_TEXT];
    assert_string_equal(
        rank_layout_remark(&facts, (struct rank_layout){ranks, threads}, text), expected);
}

static void remarks(void **state)
{
    (void)state;
    const struct topology intel = machine(1, 4, 2 * MB), amd = machine(2, 4, 512 * KB);
    struct layout_facts facts = facts_for(intel, 1, 512, 16, 4);
    expect_remark(facts, 1, 4, "");
    expect_remark(
        facts, 4, 1,
        "4 ranks x 1 thread; 2 ranks x 2 threads would keep the recurrent weights "
        "in the second-level caches (2.1 MB of 2.1 MB each)");
    expect_remark(facts, 1, 1,
                  "1 rank x 1 thread uses 1 of 4 cores; 2 ranks x 2 threads would use 4");
    expect_remark(facts, 3, 1,
                  "3 ranks x 1 thread use 3 of 4 cores; 2 ranks x 2 threads would use 4");
    expect_remark(facts, 4, 2, ""); /* too many threads: another check reports them */
    facts = facts_for(intel, 1, 512, 68, 4);
    expect_remark(facts, 4, 1, "");
    expect_remark(facts, 1, 4, "");
    facts = facts_for(machine(1, 12, MB), 2, 64, 64, 16);
    expect_remark(
        facts, 6, 2,
        "6 ranks x 2 threads per node: the busiest rank computes 2 of 16 "
        "microbatches; 4 ranks x 3 threads per node would share them more evenly");
    facts = facts_for(amd, 1, 64, 64, 8);
    expect_remark(facts, 2, 4, "");
    expect_remark(facts, 1, 8,
                  "1 rank x 8 threads: the threads of a rank span third-level caches or "
                  "NUMA nodes; with 8 ranks x 1 thread they would not");
    struct topology limited = machine(1, 8, MB);
    topology_apply_limit(&limited, 6);
    expect_remark(facts_for(limited, 1, 64, 64, 6), 2, 3, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_of_a_model),
        cmocka_unit_test(shares),
        cmocka_unit_test(threads_share_weights_of_few_rows),
        cmocka_unit_test(threads_stay_in_a_domain),
        cmocka_unit_test(threads_use_the_cores_that_microbatches_leave),
        cmocka_unit_test(limited_cores),
        cmocka_unit_test(properties),
        cmocka_unit_test(remarks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
