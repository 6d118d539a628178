/* scan: the list of files that a preprocess reads, and their recorded paths. */
#ifndef TUTTI_DATA_SCAN_H
#define TUTTI_DATA_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "string_pool.h"
#include "base/status.h"
#include "comm/comm.h"

/* Only SCAN_FILE is read; the others are only recorded as outcomes: a folder with the
 * name of a MIDI file, and a folder that can't be opened. */
enum scan_kind { SCAN_FILE, SCAN_DIRECTORY, SCAN_UNOPENABLE };

/* Values of a file's split besides enum split. */
enum { SCAN_SPLIT_BY_HASH = 254, SCAN_SPLIT_UNLISTED = 255 };

struct scan_input {    /* offsets into text */
    uint64_t argument; /* as on the command line */
    uint64_t label;    /* prefix of the recorded paths, escaped like them */
    uint64_t absolute;
};

struct scan_file {
    uint64_t path;        /* recorded: offset into text */
    uint32_t input;       /* index */
    uint32_t root_length; /* of the input's label in the recorded path */
    int32_t error;        /* SCAN_UNOPENABLE: errno */
    uint8_t kind;         /* enum scan_kind */
    uint8_t split;
};

struct scan { /* zero-initialise; free with scan_free */
    struct scan_input *inputs;
    size_t input_count;
    struct scan_file *files; /* sorted by recorded path */
    size_t file_count, file_capacity;
    struct string_pool text;
};

/* Lists the inputs that are files and the MIDI files in those that are folders. Folders
 * are searched recursively for names ending in .mid .midi .kar .rmi .smf (any case).
 * Symbolic links are followed; no directory is entered twice. A file given as an input is
 * accepted whatever its name. A recorded path is the input's own name and the path below
 * it, escaped where it is not text (path_escape.h), so it depends neither on the
 * working directory nor on the location of the corpus. Inputs of equal name are
 * distinguished by as many of their parent directories as necessary. STATUS_MISUSE for a
 * missing input. */
enum status scan_inputs(const char *const *arguments, size_t count, struct scan *scan);

/* Broadcasts rank 0's list. Collective. */
enum status scan_broadcast(struct comm *comm, struct scan *scan);

const char *scan_path(const struct scan *scan, size_t file); /* as recorded */
char *scan_absolute(const struct scan *scan, size_t file);   /* the caller frees it */

/* The file with this recorded path; SIZE_MAX: none. */
size_t scan_find(const struct scan *scan, const char *path);

void scan_free(struct scan *scan);

/* Sets every file's split from a file of lines "path<TAB>train|valid|test";
 * SCAN_SPLIT_UNLISTED for files that it does not list. data/preprocess.h defines which
 * paths are accepted. STATUS_MISUSE on an error, with file and line. */
enum status split_file_read(const char *path, struct scan *scan);

#endif
