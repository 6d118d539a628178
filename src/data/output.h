/* output: the directory of a new dataset, "OUT.partial" until it is renamed, and the old
 * dataset that it replaces. Files are deleted by name only: see base/owned_directory.h.
 * Only rank 0 creates, renames and removes the directories, on behalf of all ranks. */
#ifndef TUTTI_DATA_OUTPUT_H
#define TUTTI_DATA_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/owned_directory.h"
#include "base/status.h"

struct output {    /* initialise with output_none(); free with output_free */
    char *path;    /* OUT, with links followed */
    char *partial; /* OUT.partial */
    bool replace;
    struct owned_directory partial_directory; /* OUT.partial, once begun */
    struct owned_directory old; /* the dataset to replace, if there is one */
};

struct output output_none(void);

/* Sets the paths. If OUT is a link, its target is OUT. STATUS_MISUSE for a path that
 * can't be created, such as "x/.". */
enum status output_set_paths(const char *path, bool replace, struct output *output);

/* STATUS_MISUSE if something at OUT must not be replaced: anything without `replace`;
 * with it, anything except an empty directory and a dataset that contains only the files
 * that its index implies. */
enum status output_check(struct output *output);

/* Creates the empty directory OUT.partial for a dataset of `shards` shards, written by
 * `ranks` ranks, or claims the one of an interrupted run; locked while this process
 * lives. STATUS_MISUSE if OUT.partial is anything else. */
enum status output_begin(struct output *output, size_t shards, int ranks);

/* Flushes this host's writes to OUT.partial to disk; called on every rank before
 * OUT.partial is renamed. Uses one syncfs: an fsync per file took several times as
 * long. */
enum status output_sync(const char *partial);

/* Renames OUT.partial to OUT. The writes of the other ranks must be on disk. If, since
 * output_check, a foreign file has been added to the old dataset, or something else has
 * replaced it, it is kept under an unused name, with a warning. */
enum status output_publish(struct output *output);

/* Removes OUT.partial, if it was begun. Preserves the status message. */
void output_abandon(struct output *output);

void output_free(struct output *output);

#endif
