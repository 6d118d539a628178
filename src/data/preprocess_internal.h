/* Shared by preprocess*.c: one record per file, and the steps in their order. */
#ifndef TUTTI_DATA_PREPROCESS_INTERNAL_H
#define TUTTI_DATA_PREPROCESS_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "scan.h"
#include "spill.h"
#include "string_pool.h"
#include "dataset.h"
#include "preprocess.h"
#include "base/hash.h"
#include "base/options.h"
#include "comm/comm.h"
#include "comm/comm_counter.h"
#include "encode/encoding.h"

/* One file's outcome and the location of its piece. Plain values, sent between ranks. */
struct record {
    uint64_t file;              /* index into the scan's list */
    struct hash128 hash;        /* of the notes */
    struct hash128 tokens_hash; /* of the tokens; equal for the same music */
    uint64_t token_hash;        /* hash64 of the tokens, for the shard */
    uint64_t bytes;             /* file size, if it was read */
    uint64_t spill_offset;      /* in the spill of `rank` */
    uint64_t spilled_tokens;    /* of the spill, before they are merged */
    uint64_t notes, tokens;
    uint64_t filtered; /* notes left out by the filters, not counted in `notes` */
    struct lost_notes lost;
    uint64_t reason;   /* offset into the reasons */
    uint64_t original; /* duplicate: index of the file that is kept */
    double seconds, tempo, ticks_per_beat, ticks_per_second;
    uint32_t rank;
    uint8_t outcome; /* enum file_outcome */
    uint8_t split;   /* enum split; SCAN_SPLIT_BY_HASH until computed */
};

struct records { /* zero-initialise; free with records_free */
    struct record *items;
    size_t count, capacity;
    struct string_pool reasons;
};

void records_free(struct records *records);

/* The state of a preprocess on each rank. */
struct preprocess {
    struct comm *comm;
    const struct options *options;
    struct encoding *encoding;
    char *partial; /* the output directory until it is complete */
    struct scan scan;
    struct spill_writer spill; /* this rank's */
    struct records records; /* while reading: this rank's; then on rank 0: all, by file */
    struct record *pieces;  /* every rank: the kept records, by shard and hash */
    size_t piece_count;
    size_t *shard_first; /* [shards + 1]: first index into `pieces` of each shard */
    struct split_counts *shards;
    uint64_t *shard_hashes;
};

/* Reads, encodes and spills the files, each on the rank that fetches it from the counter.
 * Afterwards rank 0 has all records, by file. Collective. */
enum status preprocess_read(struct preprocess *preprocess);

/* Rank 0 finds duplicates, assigns each kept piece its split and sorts by shard; then the
 * plan is broadcast. Collective. */
enum status preprocess_plan(struct preprocess *preprocess);

/* With data.bpe: rank 0 learns merges from the training split, then each rank applies them
 * to the pieces in its spill. Afterwards `encoding` has the merges, and every rank knows
 * the pieces' new tokens and token_hash. Collective. */
enum status preprocess_merge(struct preprocess *preprocess);

/* Writes the shards, each on the rank that fetches it from the counter. Afterwards rank 0
 * has every shard's counts and hash. Collective. */
enum status preprocess_write_shards(struct preprocess *preprocess);

/* Writes index.h5. Rank 0 only. */
enum status preprocess_write_index(const struct preprocess *preprocess);

/* After a step that only rank 0 performs: returns rank 0's outcome on every rank, with
 * its message but without a rank prefix. Collective. */
enum status preprocess_broadcast_status(struct comm *comm, enum status status);

/* Called by a rank that has failed: exhausts the counter, so that no rank gets more work.
 */
void preprocess_stop_counter(struct comm_counter *counter);

#endif
