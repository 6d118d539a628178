#include "rank_layout.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kernels/kernels.h"
#include "nn/cell.h"

static int min(int a, int b)
{
    return a < b ? a : b;
}

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

/* bfloat16 halves the bytes, and AMX quarters the time of the multiply-adds. */
static int few_rows(bool bfloat16_weights)
{
    const int rows = 8;
    return bfloat16_weights && strcmp(kernels_bf16()->name, "amx") == 0 ? 2 * rows : rows;
}

struct layout_facts layout_facts_of(const struct options *options,
                                    const struct topology *node, int nodes)
{
    bool is_bfloat16 = options->train.precision == PRECISION_BFLOAT16;
    size_t h = (size_t)options->model.hidden;
    return (struct layout_facts){
        .cores = node->cores > 0 ? node->cores : 1,
        .domain_divisor = node->cores > 0 ? node->domain_divisor : 1,
        .domains = node->domains,
        .l2_bytes = node->l2_bytes,
        .nodes = nodes,
        .microbatches = (int)options->train.microbatches,
        .rows = (int)options->train.batch,
        .few_rows = few_rows(is_bfloat16),
        .recurrent_bytes = (size_t)cell_of(options->model.cell)->gate_count * h * h *
                           (is_bfloat16 ? 2 : 4)};
}

size_t rank_layout_share(const struct layout_facts *facts, int threads)
{
    return (facts->recurrent_bytes + (size_t)threads - 1) / (size_t)threads;
}

bool rank_layout_is_cached(const struct layout_facts *facts, int threads)
{
    return rank_layout_share(facts, threads) <= facts->l2_bytes;
}

/* ---- the recommendation ---- */

/* As many ranks as the cores and the microbatches allow. */
static struct rank_layout layout_with(const struct layout_facts *facts, int threads)
{
    int ranks = min(facts->cores / threads, facts->microbatches / facts->nodes);
    return (struct rank_layout){ranks > 0 ? ranks : 1, threads};
}

static int busiest_rank(const struct layout_facts *facts, struct rank_layout layout)
{
    return ceil_div(facts->microbatches, layout.ranks * facts->nodes);
}

/* The sign of the difference in the work of the busiest thread. */
static int compare_work(const struct layout_facts *facts, struct rank_layout a,
                        struct rank_layout b)
{
    int64_t work_a = (int64_t)busiest_rank(facts, a) * b.threads,
            work_b = (int64_t)busiest_rank(facts, b) * a.threads;
    return (work_a > work_b) - (work_a < work_b);
}

static bool has_few_rows(const struct layout_facts *facts, struct rank_layout layout)
{
    return facts->rows <= (int64_t)facts->few_rows * layout.ranks * facts->nodes;
}

struct rank_layout rank_layout_recommend(const struct layout_facts *facts)
{
    struct rank_layout best = layout_with(facts, 1);
    for (int threads = 2; threads <= facts->domain_divisor; threads++) {
        struct rank_layout other = layout_with(facts, threads);
        if (facts->domain_divisor % threads == 0 && compare_work(facts, other, best) < 0)
            best = other;
    }
    if (!has_few_rows(facts, best))
        return best;
    for (int threads = best.threads; threads <= facts->domain_divisor; threads++) {
        struct rank_layout other = layout_with(facts, threads);
        if (facts->domain_divisor % threads == 0 &&
            rank_layout_is_cached(facts, threads) &&
            compare_work(facts, other, best) == 0)
            return other;
    }
    return best;
}

/* ---- in words ---- */

const char *rank_layout_text(const struct layout_facts *facts, struct rank_layout layout,
                             char text[LAYOUT_TEXT])
{
    snprintf(text, LAYOUT_TEXT, "%d rank%s x %d thread%s%s", layout.ranks,
             layout.ranks == 1 ? "" : "s", layout.threads, layout.threads == 1 ? "" : "s",
             facts->nodes > 1 ? " per node" : "");
    return text;
}

static int used_cores(struct rank_layout layout)
{
    return layout.ranks * layout.threads;
}

/* True if the threads of some rank can't share a cache domain, but others could. */
static bool spans_domains(const struct layout_facts *facts, struct rank_layout layout)
{
    return facts->domains > 1 && facts->domain_divisor % layout.threads != 0;
}

const char *rank_layout_remark(const struct layout_facts *facts,
                               struct rank_layout layout, char text[LAYOUT_TEXT])
{
    const double megabyte = 1e6;
    struct rank_layout best = rank_layout_recommend(facts);
    char now[LAYOUT_TEXT], better[LAYOUT_TEXT];
    int used = used_cores(layout), possible = used_cores(best);
    bool uses = layout.ranks == 1;
    rank_layout_text(facts, layout, now);
    rank_layout_text(facts, best, better);
    text[0] = '\0';
    if (used > facts->cores)
        return text;
    if (used < possible)
        snprintf(text, LAYOUT_TEXT, "%.60s use%s %d of %d cores; %.60s would use %d", now,
                 uses ? "s" : "", used, facts->cores, better, possible);
    else if (compare_work(facts, layout, best) > 0)
        snprintf(text, LAYOUT_TEXT,
                 "%.60s: the busiest rank computes %d of %d microbatches; %.60s would "
                 "share them more evenly",
                 now, busiest_rank(facts, layout), facts->microbatches, better);
    else if (spans_domains(facts, layout) && !spans_domains(facts, best))
        snprintf(text, LAYOUT_TEXT,
                 "%.60s: the threads of a rank span third-level caches or NUMA nodes; "
                 "with %.60s they would not",
                 now, better);
    else if (!rank_layout_is_cached(facts, layout.threads) &&
             rank_layout_is_cached(facts, best.threads))
        snprintf(text, LAYOUT_TEXT,
                 "%.60s; %.60s would keep the recurrent weights in the second-level "
                 "caches (%.2g MB of %.2g MB each)",
                 now, better, (double)rank_layout_share(facts, best.threads) / megabyte,
                 (double)facts->l2_bytes / megabyte);
    return text;
}
