/* ingest: folders of MIDI files -> a dataset, on any number of ranks.
 *
 * The list of files is sorted; ranks take batches of it from a shared counter, read,
 * encode and spill each piece to a file of their own; then outcomes are gathered,
 * duplicates (equal notes_hash) resolved in favour of the first path, and the shards,
 * again handed out by a counter, are gathered from the spills in the order of the pieces'
 * hashes. All of it happens in "OUT.partial"; the directory gets its name last. Which
 * rank did what changes no byte. Memory: the list of files with one small record each, a
 * bounded batch of pieces, and the records of one shard.
 */
#ifndef TUTTI_INGEST_H
#define TUTTI_INGEST_H

#include <stddef.h>

#include "tutti/comm.h"
#include "tutti/options.h"
#include "tutti/status.h"

struct ingest_request {
    const char *const *inputs; /* folders (searched recursively) and files */
    size_t input_count;
    const char *output;            /* must not exist, unless replace */
    int replace;                   /* replace an existing dataset (only a dataset) */
    const struct options *options; /* the [data] section */
};

struct ingest_summary { /* same value on all ranks */
    uint64_t files, ok, repaired, skipped, duplicates;
    uint64_t bytes, pieces, notes, tokens;
    double seconds; /* of work, without starting MPI */
};

/* Collective. Prints progress; the caller prints the summary. */
enum status ingest(struct comm *comm, const struct ingest_request *request,
                   struct ingest_summary *summary);

#endif
