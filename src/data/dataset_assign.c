/* dataset_assign: assigns shards to microbatches, largest first (Graham's LPT rule:
 * "Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math. 1969; the largest
 * microbatch has at most 4/3 of the tokens of the optimal assignment). */
#include <stdlib.h>

#include "dataset.h"

struct shard_size {
    uint64_t tokens;
    size_t shard;
};

static int compare_sizes(const void *a, const void *b)
{
    const struct shard_size *left = a, *right = b;
    if (left->tokens != right->tokens)
        return left->tokens > right->tokens ? -1 : 1;
    return (left->shard > right->shard) - (left->shard < right->shard);
}

static enum status too_few_shards(const struct dataset *dataset, int microbatches,
                                  size_t nonempty)
{
    if (nonempty == 0)
        return status_fail(STATUS_MISUSE, "%s: no training tokens in it (data.split?)",
                           dataset->path);
    return status_fail(
        STATUS_MISUSE,
        "%s: %d microbatches, but only %zu of its %zu shards hold training tokens: "
        "set train.microbatches to %zu or fewer, or preprocess with more shards or "
        "more music",
        dataset->path, microbatches, nonempty, dataset->shard_count, nonempty);
}

static void assign_sorted(const struct shard_size *sizes, size_t count, int microbatches,
                          uint64_t *load, int *assigned)
{
    for (size_t i = 0; i < count; i++) {
        int smallest = 0;
        for (int microbatch = 1; microbatch < microbatches; microbatch++)
            if (load[microbatch] < load[smallest])
                smallest = microbatch;
        load[smallest] += sizes[i].tokens;
        assigned[sizes[i].shard] = smallest;
    }
}

enum status dataset_assign_split(const struct dataset *dataset, enum split split,
                                 int microbatches, int *assigned)
{
    if (microbatches < 1)
        return status_fail(STATUS_MISUSE, "%d microbatches (at least 1)", microbatches);
    struct shard_size *sizes = malloc(dataset->shard_count * sizeof *sizes);
    uint64_t *load = calloc((size_t)microbatches, sizeof *load);
    enum status status = STATUS_OK;
    if (sizes && load) {
        for (size_t i = 0; i < dataset->shard_count; i++)
            sizes[i] = (struct shard_size){dataset->shards[i].tokens[split], i};
        qsort(sizes, dataset->shard_count, sizeof *sizes, compare_sizes);
        assign_sorted(sizes, dataset->shard_count, microbatches, load, assigned);
    } else {
        status = status_fail(STATUS_FAILED, "out of memory");
    }
    free(load);
    free(sizes);
    return status;
}

/* A microbatch stays empty only if fewer shards than microbatches have tokens. */
enum status dataset_assign(const struct dataset *dataset, int microbatches, int *assigned)
{
    size_t nonempty = 0;
    for (size_t i = 0; i < dataset->shard_count; i++)
        nonempty += dataset->shards[i].tokens[SPLIT_TRAIN] > 0;
    if (microbatches > 0 && nonempty < (size_t)microbatches)
        return too_few_shards(dataset, microbatches, nonempty);
    return dataset_assign_split(dataset, SPLIT_TRAIN, microbatches, assigned);
}
