/* owned_internal: shared by owned_*.c. */
#ifndef TUTTI_BASE_OWNED_INTERNAL_H
#define TUTTI_BASE_OWNED_INTERNAL_H

#include "owned_directory.h"

/* ---- owned_walk.c ---- */

/* STATUS_FAILED: "PATH: out of memory". */
enum status owned_no_memory(const char *path);

/* STATUS_MISUSE: "PATH: WHAT: " and the text of errno. */
enum status owned_misuse_errno(const char *path, const char *what);

struct owned_listing { /* free with owned_listing_free */
    char **names;
    size_t count, capacity;
};

/* All names in the open directory, sorted; `shown` stands for it in messages. */
enum status owned_listing_read(int descriptor, const char *shown,
                               struct owned_listing *listing);
void owned_listing_free(struct owned_listing *listing);

#endif
