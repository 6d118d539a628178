/* file_internal: shared by file*.c. */
#ifndef TUTTI_BASE_FILE_INTERNAL_H
#define TUTTI_BASE_FILE_INTERNAL_H

#include <sys/stat.h>

#include "file.h"

enum { FILE_NAME_ATTEMPTS = 100 }; /* random names to try before giving up */

/* ---- file_target.c ---- */

/* Where the path of an output leads. Free with file_target_free. */
struct file_target {
    char *path;      /* links followed */
    char *shown;     /* for messages: the path as given, and where it leads */
    int links;       /* followed so far */
    int descriptor;  /* of this process, to which the path refers; -1: none */
    bool is_regular; /* to be replaced as a whole; also true if it does not exist yet */
};

enum status file_target_find(const char *path, struct file_target *target);
void file_target_free(struct file_target *target);

/* ---- file_check.c ---- */

/* Fails for an HDF5 file: checkpoints and datasets are not overwritten. */
enum status file_check_not_h5(const struct file_target *target);

/* ---- file_stdout.c ---- */

/* The descriptor to which data for standard output are written; see
 * file_reserve_stdout. */
int file_stdout_descriptor(void);

/* ---- file_replace.c ---- */

/* The content of a new file. */
struct file_content {
    const void *bytes;
    size_t size;
    file_writer *write; /* called before the bytes are written; NULL: none */
    void *context;
};

/* Writes all bytes, and syncs if the descriptor supports it; -1 with errno. */
int file_write_bytes(int descriptor, const void *bytes, size_t size);

/* close() that changes errno only if it fails. */
int file_close(int descriptor);

/* Writes a new file beside `path` and renames it over the old one (`replaced`; NULL:
 * there is none); -1 with errno. */
int file_replace(const char *path, const struct stat *replaced,
                 const struct file_content *content);

/* Syncs the directory that holds `path`. */
enum status file_sync_directory_of(const char *path);

#endif
