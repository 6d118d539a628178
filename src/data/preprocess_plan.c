/* preprocess_plan: drops duplicates and assigns the pieces to splits and shards.
 *
 * Every decision here depends only on fingerprints and, among files with equal notes, on
 * the order of the recorded paths, so it is the same for any number of ranks. A piece's
 * shard and split depend only on the hash of its notes (or its line in the split file),
 * so adding or removing other music never moves it.
 *
 * The same music can be represented in many ways, for example with different ticks per
 * beat, or in one track or several. The notes then differ but the tokens are equal, and a
 * model could see the piece in training and again in validation. So pieces with equal
 * tokens are duplicates, too. The one with the smallest notes_hash is kept, which depends
 * neither on names nor on the order of files.
 */
#include "preprocess_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/rng.h"

static int compare_by_hash(const void *a, const void *b)
{
    const struct record *left = *(const struct record *const *)a;
    const struct record *right = *(const struct record *const *)b;
    int order = hash128_compare(left->hash, right->hash);
    if (order != 0)
        return order;
    return (left->file > right->file) - (left->file < right->file);
}

/* The last split with a nonzero fraction absorbs the rounding error. */
static enum split split_by_hash(const struct options *options, struct hash128 hash)
{
    const double *fraction = options->data.split;
    double uniform = rng_uniform(options->data.seed, RNG_SPLIT, hash.high, hash.low, 0);
    double cumulative = 0;
    enum split last = SPLIT_TRAIN;
    for (int split = 0; split < SPLITS; split++) {
        if (fraction[split] <= 0)
            continue;
        cumulative += fraction[split];
        last = (enum split)split;
        if (uniform < cumulative)
            return last;
    }
    return last;
}

static int compare_by_tokens(const void *a, const void *b)
{
    const struct record *left = *(const struct record *const *)a;
    const struct record *right = *(const struct record *const *)b;
    int order = hash128_compare(left->tokens_hash, right->tokens_hash);
    return order != 0 ? order : compare_by_hash(a, b);
}

static bool same_notes(const struct record *a, const struct record *b)
{
    return hash128_compare(a->hash, b->hash) == 0;
}

static bool same_tokens(const struct record *a, const struct record *b)
{
    return hash128_compare(a->tokens_hash, b->tokens_hash) == 0;
}

/* The first of each run of `same` records is kept, the others become its duplicates. */
static void mark_duplicates(struct record *const *sorted, size_t count,
                            bool (*same)(const struct record *, const struct record *))
{
    const struct record *first = NULL;
    for (size_t i = 0; i < count; i++) {
        if (first && same(first, sorted[i])) {
            sorted[i]->outcome = FILE_DUPLICATE;
            sorted[i]->original = first->file;
        } else {
            first = sorted[i];
        }
    }
}

static size_t drop_duplicates(struct record **records, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (records[i]->outcome != FILE_DUPLICATE)
            records[kept++] = records[i];
    return kept;
}

/* `records` are sorted by hash and file, and remain so. */
static enum status find_duplicates(struct record **records, size_t *count)
{
    mark_duplicates(records, *count, same_notes);
    *count = drop_duplicates(records, *count);
    struct record **by_tokens = malloc((*count + 1) * sizeof(struct record *));
    if (!by_tokens)
        return status_fail(STATUS_FAILED, "out of memory");
    memcpy(by_tokens, records, *count * sizeof(struct record *));
    qsort(by_tokens, *count, sizeof(struct record *), compare_by_tokens);
    mark_duplicates(by_tokens, *count, same_tokens);
    free(by_tokens);
    *count = drop_duplicates(records, *count);
    return STATUS_OK;
}

static void warn_of_conflict(const struct preprocess *preprocess,
                             const struct record *first, size_t count)
{
    const struct record *kept = &preprocess->records.items[first->original];
    log_warn(
        "%zu file%s the same music as a file of another split (the first: %s is %s, "
        "%s is %s); only the latter is kept, in its split",
        count, count == 1 ? " has" : "s have", scan_path(&preprocess->scan, first->file),
        split_name((enum split)first->split), scan_path(&preprocess->scan, kept->file),
        split_name((enum split)kept->split));
}

/* Turns a duplicate of a duplicate into a duplicate of the kept file. A piece that the
 * split file lists in two splits is only in the split of the kept file. */
static void resolve_duplicates(const struct preprocess *preprocess)
{
    const struct records *records = &preprocess->records;
    const struct record *first = NULL;
    size_t conflicts = 0;
    for (size_t i = 0; i < records->count; i++) {
        struct record *record = &records->items[i];
        if (record->outcome != FILE_DUPLICATE)
            continue;
        if (records->items[record->original].outcome == FILE_DUPLICATE)
            record->original = records->items[record->original].original;
        if (record->split == records->items[record->original].split)
            continue;
        first = first ? first : record;
        conflicts++;
    }
    if (first)
        warn_of_conflict(preprocess, first, conflicts);
}

static size_t shard_of(const struct preprocess *preprocess, struct hash128 hash)
{
    return (size_t)(hash.low % (uint64_t)preprocess->options->data.shards);
}

/* Copies the kept records shard by shard, by a stable counting sort: they remain in the
 * order of their hashes. */
static enum status sort_into_shards(struct preprocess *preprocess,
                                    struct record *const *sorted)
{
    size_t shards = (size_t)preprocess->options->data.shards;
    size_t *next = calloc(shards + 1, sizeof *next);
    if (!next)
        return status_fail(STATUS_FAILED, "out of memory");
    for (size_t i = 0; i < preprocess->piece_count; i++)
        preprocess->shard_first[shard_of(preprocess, sorted[i]->hash) + 1]++;
    for (size_t shard = 0; shard < shards; shard++)
        preprocess->shard_first[shard + 1] += preprocess->shard_first[shard];
    memcpy(next, preprocess->shard_first, shards * sizeof *next);
    for (size_t i = 0; i < preprocess->piece_count; i++) {
        struct record *record = sorted[i];
        if (record->split == SCAN_SPLIT_BY_HASH)
            record->split = (uint8_t)split_by_hash(preprocess->options, record->hash);
        preprocess->pieces[next[shard_of(preprocess, record->hash)]++] = *record;
    }
    free(next);
    return STATUS_OK;
}

/* The records of files with a piece, sorted by hash and file. NULL if out of memory. */
static struct record **sort_usable(const struct records *records, size_t *count)
{
    struct record **sorted = malloc((records->count + 1) * sizeof(struct record *));
    *count = 0;
    for (size_t i = 0; sorted && i < records->count; i++)
        if (records->items[i].outcome == FILE_OK ||
            records->items[i].outcome == FILE_REPAIRED)
            sorted[(*count)++] = &records->items[i];
    if (sorted)
        qsort(sorted, *count, sizeof(struct record *), compare_by_hash);
    return sorted;
}

static enum status no_piece(const struct preprocess *preprocess)
{
    const struct records *records = &preprocess->records;
    return status_fail(
        STATUS_FAILED, "no piece of music in %zu file%s; the first: %s: %s",
        records->count, records->count == 1 ? "" : "s", scan_path(&preprocess->scan, 0),
        records->reasons.bytes + records->items[0].reason);
}

static enum status make_plan(struct preprocess *preprocess)
{
    size_t shards = (size_t)preprocess->options->data.shards, count;
    struct record **sorted = sort_usable(&preprocess->records, &count);
    enum status status = sorted ? find_duplicates(sorted, &count)
                                : status_fail(STATUS_FAILED, "out of memory");
    if (status == STATUS_OK) {
        resolve_duplicates(preprocess);
        preprocess->piece_count = count;
        preprocess->pieces = malloc((count + 1) * sizeof *preprocess->pieces);
        preprocess->shard_first = calloc(shards + 1, sizeof *preprocess->shard_first);
        status = preprocess->pieces && preprocess->shard_first
                     ? sort_into_shards(preprocess, sorted)
                     : status_fail(STATUS_FAILED, "out of memory");
    }
    free(sorted);
    return status == STATUS_OK && count == 0 ? no_piece(preprocess) : status;
}

static enum status broadcast_plan(struct preprocess *preprocess)
{
    size_t shards = (size_t)preprocess->options->data.shards;
    uint64_t count = preprocess->piece_count;
    enum status status = comm_broadcast(preprocess->comm, &count, sizeof count);
    if (status == STATUS_OK && comm_rank(preprocess->comm) != 0) {
        preprocess->piece_count = count;
        preprocess->pieces = malloc((count + 1) * sizeof *preprocess->pieces);
        preprocess->shard_first = calloc(shards + 1, sizeof *preprocess->shard_first);
        if (!preprocess->pieces || !preprocess->shard_first)
            status = status_fail(STATUS_FAILED, "out of memory");
    }
    status = comm_agree(preprocess->comm, status);
    if (status == STATUS_OK)
        status = comm_broadcast(preprocess->comm, preprocess->pieces,
                                count * sizeof *preprocess->pieces);
    if (status == STATUS_OK)
        status = comm_broadcast(preprocess->comm, preprocess->shard_first,
                                (shards + 1) * sizeof *preprocess->shard_first);
    return status;
}

enum status preprocess_plan(struct preprocess *preprocess)
{
    enum status status = STATUS_OK;
    if (comm_rank(preprocess->comm) == 0)
        status = make_plan(preprocess);
    status = preprocess_broadcast_status(preprocess->comm, status);
    return status == STATUS_OK ? broadcast_plan(preprocess) : status;
}
