/* scan: which files a preprocess reads, under which paths they are recorded. */
#ifndef TUTTI_DATA_SCAN_H
#define TUTTI_DATA_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "string_pool.h"
#include "base/status.h"
#include "comm/comm.h"

/* What a row of the list is. Only the first is read; the others are outcomes already. */
enum scan_kind { SCAN_FILE, SCAN_DIRECTORY, SCAN_CLOSED };

/* Besides enum split: where a file's split comes from. */
enum { SCAN_SPLIT_BY_HASH = 254, SCAN_SPLIT_UNLISTED = 255 };

struct scan_input { /* offsets into text */
    uint64_t given; /* as on the command line */
    uint64_t label; /* begins the recorded paths; escaped as they are */
    uint64_t absolute;
};

struct scan_file {
    uint64_t path;  /* recorded: offset into text */
    uint32_t input; /* it was found in */
    uint32_t below; /* length of the recorded path's part that stands for the input */
    int32_t error;  /* SCAN_CLOSED: errno of opening the directory */
    uint8_t kind;   /* enum scan_kind */
    uint8_t split;
};

struct scan { /* zero-initialise; free with scan_free */
    struct scan_input *inputs;
    size_t input_count;
    struct scan_file *files; /* sorted by recorded path */
    size_t file_count, file_capacity;
    struct string_pool text;
};

/* Lists the files of folders and the files named themselves. Folders are searched to any
 * depth for names ending in .mid .midi .kar .rmi .smf (any case), symbolic links
 * followed, no directory entered twice; a file named itself is taken whatever its name.
 * A recorded path is the input's own name and the path below it, escaped where it is no
 * text (recorded_path.h), so it depends neither on the working directory nor on where
 * the corpus lies; inputs of equal name are told apart by as many of their parent
 * directories as that takes. STATUS_MISUSE for an input that isn't there. */
enum status scan_inputs(const char *const *given, size_t count, struct scan *scan);

/* Rank 0's list to all. Collective. */
enum status scan_broadcast(struct comm *comm, struct scan *scan);

const char *scan_path(const struct scan *scan, size_t file); /* as recorded */
char *scan_absolute(const struct scan *scan, size_t file);   /* the caller frees it */

/* The file with this recorded path; SIZE_MAX: none. */
size_t scan_find(const struct scan *scan, const char *path);

void scan_free(struct scan *scan);

/* Gives every file the split that a file of lines "path<TAB>train|valid|test" says, and
 * SCAN_SPLIT_UNLISTED to those it doesn't list; what a path may look like is in
 * data/ingest.h. STATUS_MISUSE with file and line on a fault. */
enum status split_file_read(const char *path, struct scan *scan);

#endif
