/* bench_limits: what the processor and its memory can do at most. */
#include "bench.h"
#include "tutti/kernels.h"
#include "tutti/memory.h"

static const size_t beyond_caches = (size_t)1 << 28;

static void nothing(void *context)
{
    (void)context;
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
    enum status status = bench_read_rate(bench, beyond_caches, &bench->memory);
    if (status == STATUS_OK)
        bench_add(bench, "limit", "GB/s", bench->memory / 1e9, NULL, 0,
                  "reading memory, 256 MiB");
    return status;
}
