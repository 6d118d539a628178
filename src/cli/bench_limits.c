/* bench_limits: the limits of the processor and its memory. */
#include <string.h>

#include "bench.h"
#include "base/memory.h"
#include "kernels/kernels.h"

static const size_t uncached_bytes = (size_t)1 << 28;

static void no_work(void *context)
{
    (void)context;
}

/* A bfloat16 microkernel on L1-resident data. */
enum { BLOCKS = 8, INPUTS = BLOCKS * KB16 };

static void multiply_bfloat16(void *context)
{
    kernels_bf16()->microkernel_bf16(context);
}

static enum status add_bfloat16(struct bench *bench)
{
    struct bf16_pair *panel = memory_zeroed(INPUTS / 2 * NR * sizeof *panel);
    bfloat16 *x = memory_zeroed((size_t)MR16 * INPUTS * sizeof *x);
    float *y = memory_zeroed((size_t)MR16 * NR * sizeof *y);
    enum status status = comm_agree(
        bench->comm, panel && x && y
                         ? STATUS_OK
                         : status_fail(STATUS_FAILED, "no memory for a microtile"));
    struct microtile_bf16 tile = {.rows = MR16,
                                  .width = NR,
                                  .blocks = BLOCKS,
                                  .overwrite = true,
                                  .panel = panel,
                                  .x = x,
                                  .ldx = INPUTS,
                                  .prefetch = panel};
    for (size_t i = 0; status == STATUS_OK && i < MR16; i++)
        tile.y[i] = y + i * NR;
    if (status == STATUS_OK) {
        kernels_bf16()->bf16_begin();
        double seconds = bench_time(bench, multiply_bfloat16, &tile);
        kernels_bf16()->bf16_end();
        bench_add(bench, "limit", "GFLOP/s", 2.0 * MR16 * NR * INPUTS / seconds / 1e9,
                  bench_unlimited, "bfloat16 microkernel in L1 (%s)",
                  kernels_bf16()->name);
    }
    memory_free(panel);
    memory_free(x);
    memory_free(y);
    return status;
}

struct block {
    const uint64_t *words;
    size_t bytes;
    uint64_t sum;
};

/* Eight accumulators, so that the compiler vectorises the loop. */
static void read_block(void *context)
{
    struct block *block = context;
    uint64_t sums[8] = {0};
    for (size_t i = 0; i < block->bytes / sizeof *block->words; i += 8)
        for (size_t j = 0; j < 8; j++)
            sums[j] ^= block->words[i + j];
    for (size_t j = 0; j < 8; j++)
        block->sum += sums[j];
}

enum status bench_read_rate(struct bench *bench, size_t bytes, double *rate)
{
    uint64_t *words = memory_zeroed(bytes + 64);
    enum status status = comm_agree(
        bench->comm,
        words ? STATUS_OK : status_fail(STATUS_FAILED, "no memory for %zu bytes", bytes));
    if (status == STATUS_OK) {
        memset(words, 1, bytes); /* pages that were never written are all one page */
        struct block block = {.words = words, .bytes = bytes / 64 * 64};
        *rate = (double)block.bytes / bench_time(bench, read_block, &block);
    }
    memory_free(words);
    return status;
}

enum status bench_limits(struct bench *bench)
{
    bench_time(bench, no_work, NULL);
    bench_add(bench, "limit", "GFLOP/s", bench->flops / 1e9, bench_unlimited,
              "peak, float32 multiply-adds (%s)", kernels()->name);
    enum status status = add_bfloat16(bench);
    if (status == STATUS_OK)
        status = bench_read_rate(bench, uncached_bytes, &bench->memory);
    if (status == STATUS_OK)
        bench_add(bench, "limit", "GB/s", bench->memory / 1e9, bench_unlimited,
                  "memory bandwidth, reading 256 MiB");
    return status;
}
