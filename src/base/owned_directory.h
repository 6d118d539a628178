/* owned_directory: a directory created by this program, and the entries that it may
 * delete there.
 *
 * Such a directory contains a marker, a regular file:
 *
 *     tutti demo 1                     kind and version
 *     train.conf                       a file, relative to the directory
 *     corpus/                          a directory
 *     corpus/piece-{0001..0200}.mid    files, numbered as by printf's %04lld
 *     run/checkpoints/latest@          a symbolic link
 *     end
 *
 * The lines before "end" are the manifest: exactly the entries that the program creates
 * there. Only listed entries of the listed kind are ever deleted, and the temporary files
 * that a killed process left while creating them: ".NAME.<12 hex digits>.partial", for
 * files and links also ".NAME.partial". Everything else is foreign: it is kept, and the
 * message names it. Symbolic links are never followed, and other file systems mounted
 * there are not touched: all operations are relative to the opened directory. */
#ifndef TUTTI_BASE_OWNED_DIRECTORY_H
#define TUTTI_BASE_OWNED_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>

#include "status.h"

enum owned_kind { OWNED_FILE, OWNED_DIRECTORY, OWNED_LINK, OWNED_OTHER };

/* True if the manifest contains `path` with that kind, or the entry
 * for which `path` is a temporary name. */
bool owned_manifest_contains(const char *manifest, const char *path,
                             enum owned_kind kind);

struct owned_directory { /* free with owned_directory_close */
    char *path;          /* for messages */
    int descriptor;      /* of the directory; -1: not open */
    int marker;          /* of the marker, locked where supported; -1: none */
    const char *command; /* the command that creates such directories, "demo" */
    const char *marker_name;
    char *manifest; /* lines as in the marker */
};

/* A closed directory, which holds no resources; closing it is allowed. */
struct owned_directory owned_directory_none(void);

/* Opens a directory. A link at `path` is followed only if `follow`, for paths named by
 * the user. `command` and `marker_name` are borrowed. STATUS_MISUSE if it is not a
 * directory. owned_directory_close frees *out, also after a failure. */
enum status owned_directory_open(const char *path, bool follow, const char *command,
                                 const char *marker_name, struct owned_directory *out);

/* Claims the open directory for this process: creates the marker with the list `manifest`
 * in an empty directory; or locks an existing marker, deletes what it lists, and writes
 * the new list. Waits up to `seconds` for the lock. If `inherit`, child processes inherit
 * the marker's descriptor, so that the lock outlasts this process if it is killed.
 * STATUS_MISUSE, without any change, if a directory without a marker is not empty, if the
 * marker is of another kind, if there are entries that its manifest does not contain, or
 * if another process holds the lock. */
enum status owned_directory_claim(struct owned_directory *directory, const char *manifest,
                                  double seconds, bool inherit);

/* Writes another manifest to the marker of a claimed directory. */
enum status owned_directory_write_manifest(struct owned_directory *directory,
                                           const char *manifest);

/* Reads the manifest from the marker, without a lock. *found is false if there is no
 * marker. STATUS_MISUSE for a file of that name that is not a marker of this kind. */
enum status owned_directory_read_manifest(struct owned_directory *directory, bool *found);

/* Sets the manifest without a marker. */
enum status owned_directory_set_manifest(struct owned_directory *directory,
                                         const char *manifest);

/* STATUS_MISUSE if the directory contains an entry that is not in the manifest; the
 * message names it. */
enum status owned_directory_check(const struct owned_directory *directory);

/* Appends the remedy to the message, and returns `status`. */
enum status owned_directory_add_remedy(enum status status);

/* Deletes everything in the manifest, but not the marker. STATUS_MISUSE if there are
 * other entries, which are kept; the message names one. */
enum status owned_directory_clear(const struct owned_directory *directory);

/* Deletes the marker; its lock lasts until owned_directory_close. */
enum status owned_directory_remove_marker(const struct owned_directory *directory);

/* True if `path` is this directory itself, not a link to it. */
bool owned_directory_is_at(const struct owned_directory *directory, const char *path);

/* Releases the lock, even if child processes have inherited it, and frees everything. */
void owned_directory_close(struct owned_directory *directory);

#endif
