/* ingest_plan: from outcomes to the pieces of each shard.
 *
 * All that is decided here follows from the hashes of the notes and from the order of the
 * recorded paths, so it is the same for any number of ranks; and a piece's shard and
 * split depend on nothing but its own hash (or its line in the split file), so other
 * files coming or going never move it.
 */
#include "ingest_internal.h"

#include <stdlib.h>
#include <string.h>

#include "tutti/rng.h"

static int compare_by_hash(const void *a, const void *b)
{
    const struct record *left = *(const struct record *const *)a;
    const struct record *right = *(const struct record *const *)b;
    int order = hash128_compare(left->hash, right->hash);
    if (order != 0)
        return order;
    return (left->file > right->file) - (left->file < right->file);
}

/* The last split with a share takes what rounding leaves. */
static enum split split_by_hash(const struct options *options, struct hash128 hash)
{
    const double *share = options->data.split;
    double draw = rng_uniform(options->data.seed, RNG_SPLIT, hash.high, hash.low, 0);
    double below = 0;
    enum split last = SPLIT_TRAIN;
    for (int split = 0; split < SPLITS; split++) {
        if (share[split] <= 0)
            continue;
        below += share[split];
        last = (enum split)split;
        if (draw < below)
            return last;
    }
    return last;
}

/* `sorted` has the usable records by hash and file: the first of equal hashes is kept. */
static size_t mark_duplicates(struct record **sorted, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool same =
            kept > 0 && hash128_compare(sorted[kept - 1]->hash, sorted[i]->hash) == 0;
        if (same) {
            sorted[i]->outcome = FILE_DUPLICATE;
            sorted[i]->original = sorted[kept - 1]->file;
        } else {
            sorted[kept++] = sorted[i];
        }
    }
    return kept;
}

static size_t shard_of(const struct ingest *ingest, struct hash128 hash)
{
    return (size_t)(hash.low % (uint64_t)ingest->options->data.shards);
}

/* Copies the kept records, which are in the order of their hashes, shard by shard. */
static enum status place_in_shards(struct ingest *ingest, struct record *const *sorted)
{
    size_t shards = (size_t)ingest->options->data.shards;
    size_t *next = calloc(shards + 1, sizeof *next);
    if (!next)
        return status_fail(STATUS_FAILED, "out of memory");
    for (size_t i = 0; i < ingest->kept_count; i++)
        ingest->shard_first[shard_of(ingest, sorted[i]->hash) + 1]++;
    for (size_t shard = 0; shard < shards; shard++)
        ingest->shard_first[shard + 1] += ingest->shard_first[shard];
    memcpy(next, ingest->shard_first, shards * sizeof *next);
    for (size_t i = 0; i < ingest->kept_count; i++) {
        struct record *record = sorted[i];
        if (record->split == SCAN_SPLIT_BY_HASH)
            record->split = (uint8_t)split_by_hash(ingest->options, record->hash);
        ingest->kept[next[shard_of(ingest, record->hash)]++] = *record;
    }
    free(next);
    return STATUS_OK;
}

static enum status make_plan(struct ingest *ingest)
{
    struct records *records = &ingest->records;
    size_t shards = (size_t)ingest->options->data.shards;
    struct record **sorted = malloc((records->count + 1) * sizeof(struct record *));
    if (!sorted)
        return status_fail(STATUS_FAILED, "out of memory");
    size_t count = 0;
    for (size_t i = 0; i < records->count; i++)
        if (records->items[i].outcome == FILE_OK ||
            records->items[i].outcome == FILE_REPAIRED)
            sorted[count++] = &records->items[i];
    qsort(sorted, count, sizeof(struct record *), compare_by_hash);
    ingest->kept_count = mark_duplicates(sorted, count);
    ingest->kept = malloc((ingest->kept_count + 1) * sizeof *ingest->kept);
    ingest->shard_first = calloc(shards + 1, sizeof *ingest->shard_first);
    enum status status = ingest->kept && ingest->shard_first
                             ? place_in_shards(ingest, sorted)
                             : status_fail(STATUS_FAILED, "out of memory");
    free(sorted);
    if (status == STATUS_OK && ingest->kept_count == 0)
        status = status_fail(
            STATUS_FAILED, "no piece of music in %zu file%s; the first: %s: %s",
            records->count, records->count == 1 ? "" : "s", scan_path(&ingest->scan, 0),
            records->reasons.bytes + records->items[0].reason);
    return status;
}

static enum status share_plan(struct ingest *ingest)
{
    size_t shards = (size_t)ingest->options->data.shards;
    uint64_t count = ingest->kept_count;
    enum status status = comm_broadcast(ingest->comm, &count, sizeof count);
    if (status == STATUS_OK && comm_rank(ingest->comm) != 0) {
        ingest->kept_count = count;
        ingest->kept = malloc((count + 1) * sizeof *ingest->kept);
        ingest->shard_first = calloc(shards + 1, sizeof *ingest->shard_first);
        if (!ingest->kept || !ingest->shard_first)
            status = status_fail(STATUS_FAILED, "out of memory");
    }
    status = comm_agree(ingest->comm, status);
    if (status == STATUS_OK)
        status = comm_broadcast(ingest->comm, ingest->kept, count * sizeof *ingest->kept);
    if (status == STATUS_OK)
        status = comm_broadcast(ingest->comm, ingest->shard_first,
                                (shards + 1) * sizeof *ingest->shard_first);
    return status;
}

enum status ingest_plan(struct ingest *ingest)
{
    enum status status = STATUS_OK;
    if (comm_rank(ingest->comm) == 0)
        status = make_plan(ingest);
    status = ingest_agree_with_first(ingest->comm, status);
    return status == STATUS_OK ? share_plan(ingest) : status;
}
