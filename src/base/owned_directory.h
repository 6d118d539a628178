/* owned_directory: a directory that this program has made, and what it may delete of it.
 *
 * Such a directory holds a marker, a regular file:
 *
 *     tutti demo 1                     kind and version
 *     train.conf                       a file, relative to the directory
 *     corpus/                          a directory
 *     corpus/piece-{0001..0200}.mid    files, numbered as printf's %04lld numbers them
 *     run/checkpoints/latest@          a symbolic link
 *     end
 *
 * The list names exactly what the program makes there. Only what is on it, and is of the
 * kind that it is there, is ever deleted; besides, under the name of what is listed, what
 * is left of making it by a kill: ".NAME.<12 hex digits>.partial", of a file or link also
 * ".NAME.partial". Everything else is somebody's: it stays, and is named in the message.
 * Nothing is followed through a symbolic link, and nothing on another file system,
 * mounted there, is touched: all work is relative to the opened directory. */
#ifndef TUTTI_BASE_OWNED_DIRECTORY_H
#define TUTTI_BASE_OWNED_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>

#include "status.h"

enum owned_kind { OWNED_FILE, OWNED_FOLDER, OWNED_LINK, OWNED_OTHER };

/* True if the list, lines as in the marker, has `path` as something of that kind, or as
 * what is left of writing it. */
bool owned_names_have(const char *names, const char *path, enum owned_kind kind);

struct owned_directory { /* free with owned_directory_close */
    char *path;          /* for messages */
    int descriptor;      /* of the directory; -1: not open */
    int marker;          /* of the marker, locked where the file system can; -1: none */
    const char *maker;   /* the command that makes such directories, "demo" */
    const char *marker_name;
    char *names; /* the list */
};

/* A value without resources, which may be closed. */
struct owned_directory owned_directory_none(void);

/* Opens a directory. A link at `path` is followed only if `follow`: the user has named
 * it. `maker` and `marker_name` are borrowed. STATUS_MISUSE if it is no directory. */
enum status owned_directory_open(const char *path, bool follow, const char *maker,
                                 const char *marker_name, struct owned_directory *out);

/* Makes the open directory this process's own: puts the marker with the list `names` into
 * an empty one, or locks the marker that is there, deletes what it lists, and gives it
 * the new list. Waits up to `seconds` for the lock. The marker's descriptor is inherited
 * by child processes if `inherit`, so that the lock outlasts this process if it is
 * killed. STATUS_MISUSE, and nothing is changed, if something is in the way: no marker or
 * another kind of one, anything that its list doesn't have, another process at work in
 * it. */
enum status owned_directory_claim(struct owned_directory *directory, const char *names,
                                  double seconds, bool inherit);

/* Gives the marker of a claimed directory another list. */
enum status owned_directory_list(struct owned_directory *directory, const char *names);

/* Takes the list from the marker, without a lock. *found is false if there is none.
 * STATUS_MISUSE for a file of that name that is no such marker. */
enum status owned_directory_read(struct owned_directory *directory, bool *found);

/* Takes the list from elsewhere. */
enum status owned_directory_set_names(struct owned_directory *directory,
                                      const char *names);

/* STATUS_MISUSE, naming it, if the directory holds something that is not on the list. */
enum status owned_directory_check(const struct owned_directory *directory);

/* Appends the remedy to the message, and returns `status`. */
enum status owned_directory_refuse(enum status status);

/* Deletes all that is on the list, but not the marker. STATUS_MISUSE, naming it, if
 * something else was there, which stays. */
enum status owned_directory_empty(const struct owned_directory *directory);

/* Deletes the marker, whose lock lasts until owned_directory_close. */
enum status owned_directory_unmark(const struct owned_directory *directory);

/* True if it is this directory that lies at `path`, itself and not through a link. */
bool owned_directory_is_at(const struct owned_directory *directory, const char *path);

/* Ends the lock, also that of child processes. */
void owned_directory_close(struct owned_directory *directory);

#endif
