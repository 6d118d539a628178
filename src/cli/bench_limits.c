/* bench_limits: what the processor and its memory can do at most. */
#include "bench.h"
#include "base/memory.h"
#include "kernels/kernels.h"

static const size_t beyond_caches = (size_t)1 << 28;

static void nothing(void *context)
{
    (void)context;
}

/* A tile of bfloat16 whose factors stay in the first-level cache. */
enum { BLOCKS16 = 8, INPUTS16 = BLOCKS16 * BLOCK16 };

static void multiply_bfloat16(void *context)
{
    kernels16()->tile16(context);
}

static enum status add_bfloat16(struct bench *bench)
{
    struct pair16 *panel = memory_zeroed(INPUTS16 / 2 * PANEL * sizeof *panel);
    bfloat16 *x = memory_zeroed((size_t)TILE16_ROWS * INPUTS16 * sizeof *x);
    float *y = memory_zeroed((size_t)TILE16_ROWS * PANEL * sizeof *y);
    enum status status = comm_agree(
        bench->comm,
        panel && x && y ? STATUS_OK : status_fail(STATUS_FAILED, "no memory for a tile"));
    struct tile16 tile = {.rows = TILE16_ROWS,
                          .width = PANEL,
                          .blocks = BLOCKS16,
                          .fresh = 1,
                          .panel = panel,
                          .x = x,
                          .pitch = INPUTS16,
                          .soon = panel};
    for (size_t i = 0; status == STATUS_OK && i < TILE16_ROWS; i++)
        tile.y[i] = y + i * PANEL;
    if (status == STATUS_OK) {
        kernels16()->ready16(1);
        double seconds = bench_time(bench, multiply_bfloat16, &tile);
        kernels16()->ready16(0);
        bench_add(bench, "limit", "GFLOP/s",
                  2.0 * TILE16_ROWS * PANEL * INPUTS16 / seconds / 1e9, NULL, 0,
                  "tiles of bfloat16 in cache (%s)", kernels16()->name);
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

/* Eight sums, which compilers make vectors of. */
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
    enum status status =
        comm_agree(bench->comm, words ? STATUS_OK
                                      : status_fail(STATUS_FAILED,
                                                    "no memory to be read: %zu", bytes));
    if (status == STATUS_OK) {
        struct block block = {.words = words, .bytes = bytes / 64 * 64};
        *rate = (double)block.bytes / bench_time(bench, read_block, &block);
    }
    memory_free(words);
    return status;
}

enum status bench_limits(struct bench *bench)
{
    bench_time(bench, nothing, NULL);
    bench_add(bench, "limit", "GFLOP/s", bench->flops / 1e9, NULL, 0,
              "multiply-adds, float32 (%s)", kernels()->name);
    enum status status = add_bfloat16(bench);
    if (status == STATUS_OK)
        status = bench_read_rate(bench, beyond_caches, &bench->memory);
    if (status == STATUS_OK)
        bench_add(bench, "limit", "GB/s", bench->memory / 1e9, NULL, 0,
                  "reading memory, 256 MiB");
    return status;
}
