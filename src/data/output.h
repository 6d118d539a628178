/* output: the directory of a dataset in the making, "OUT.partial", until it gets its
 * name; and the dataset whose place it takes. What is deleted, is deleted by name: see
 * base/owned_directory.h. Rank 0 works on the directories, for all ranks. */
#ifndef TUTTI_DATA_OUTPUT_H
#define TUTTI_DATA_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/owned_directory.h"
#include "base/status.h"

struct output {    /* output_none() at first; free with output_free */
    char *path;    /* OUT, links followed */
    char *partial; /* OUT.partial */
    bool replace;
    struct owned_directory making; /* OUT.partial, once begun */
    struct owned_directory old;    /* the dataset to be replaced, if there is one */
};

struct output output_none(void);

/* The names. If OUT is a link, what it leads to is OUT. STATUS_MISUSE for a path that
 * names nothing that can be made, such as "x/.". */
enum status output_name(const char *path, bool replace, struct output *output);

/* STATUS_MISUSE if something is at OUT that may not be replaced: anything without
 * `replace`; else all but an empty directory and a dataset that holds nothing but the
 * files that its index counts. */
enum status output_check(struct output *output);

/* Makes the empty directory OUT.partial for a dataset of so many shards, made by so many
 * ranks, or takes over what an interrupted run has left; locked while this process lives.
 * STATUS_MISUSE if OUT.partial is anything else. */
enum status output_begin(struct output *output, size_t shards, int ranks);

/* Makes durable what this machine has written into OUT.partial: every rank, before the
 * directory gets its name. One syncfs: an fsync for each of the many files took several
 * times as long. */
enum status output_sync(const char *partial);

/* Gives the directory its name. What other ranks have written must be durable. If the old
 * dataset has got anything since output_check that is not of it, or if something else has
 * taken its place, that is kept under a fresh name, which a warning tells. */
enum status output_publish(struct output *output);

/* Removes what was made in OUT.partial, if it was begun. Keeps the status message. */
void output_abandon(struct output *output);

void output_free(struct output *output);

#endif
