/* output: the directory of a dataset in the making, "OUT.partial", until it gets its
 * name. */
#ifndef TUTTI_DATA_OUTPUT_H
#define TUTTI_DATA_OUTPUT_H

#include <stdbool.h>

#include "tutti/status.h"

struct output {    /* zero-initialise; free with output_free */
    char *path;    /* OUT */
    char *partial; /* OUT.partial */
    int lock;      /* descriptor of the marker in it, locked; -1: not begun */
    bool replace;
};

/* Names only, on every rank. */
enum status output_name(const char *path, bool replace, struct output *output);

/* May OUT be written? STATUS_MISUSE if there is something that may not be replaced. */
enum status output_check(const struct output *output);

/* Makes the empty directory OUT.partial, in place of what an interrupted run has left;
 * locked while this process lives. */
enum status output_begin(struct output *output);

/* Makes durable what this machine has written: every rank, before the directory gets its
 * name. One syncfs: an fsync for each of the many files took several times as long. */
enum status output_sync(const struct output *output);

/* Gives the directory its name. What other ranks have written must be durable. */
enum status output_publish(struct output *output);

/* Removes OUT.partial, if it was begun. Keeps the status message. */
void output_abandon(struct output *output);

void output_free(struct output *output);

#endif
