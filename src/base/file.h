/* file: paths, whole files, and publishing a file only when it is complete. */
#ifndef TUTTI_BASE_FILE_H
#define TUTTI_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "status.h"

/* A path made with printf; the caller frees it. NULL without memory. */
char *path_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "dir/name" or "name" when dir is "" or "."; the caller frees it. */
char *path_join(const char *dir, const char *name);

/* The path without slashes at its end, but for "/"; the caller frees it. */
char *path_trim(const char *path);

/* The part behind the last '/'. */
const char *path_base(const char *path);

/* The directory part ("." if there is none); the caller frees it. */
char *path_directory(const char *path);

/* "~" and "~/x" with the home folder, $HOME, in the place of '~', and every other path as
 * it is, into *out, which the caller frees. STATUS_MISUSE with what is wrong for
 * "~user/x", and for "~" without an absolute path in HOME. */
enum status path_expand_home(const char *path, char **out);

/* Where a path leads: itself, or what the link of that name, and each link after it,
 * points to, which need not exist. STATUS_MISUSE if the links lead nowhere. *out is to be
 * freed. */
enum status path_follow_links(const char *path, char **out);

/* True if the path ends in "", "." or "..", so that it names no entry that can be made. */
bool path_names_no_entry(const char *path);

bool file_exists(const char *path);
bool file_is_directory(const char *path);

/* What a file of these mode bits is, for messages: "a link", "a pipe", "a directory". */
const char *file_kind(mode_t mode);

/* Renames what lies at `path`, whatever it is, to the first of "PATH.kept-1",
 * "PATH.kept-2", ... that is free: *kept, which the caller frees. Nothing is followed or
 * replaced. */
enum status file_keep_aside(const char *path, char **kept);

/* Makes the directory and its parents; an existing directory is fine. */
enum status file_make_directories(const char *path);

/* The `size` of a regular file, or less if it is sparse: at most 8 bytes for each byte
 * that is stored, and 16 MiB. What reading a file may cost is reckoned by it, as a hole
 * of any size costs its maker nothing. Moves the descriptor's position. */
uint64_t file_stored_size(int descriptor, uint64_t size);

/* Reads a regular file whole into *bytes (malloc, the caller frees; never NULL on
 * success). A file larger than max_bytes (0: no limit) fails with a message that names
 * the limit. */
enum status file_read(const char *path, uint64_t max_bytes, uint8_t **bytes,
                      size_t *size);

/* True for an input that is read as it comes and once: "-", which is standard input, or a
 * pipe. */
bool file_is_stream(const char *path);

/* Reads an input that the user names: a regular file as file_read does, a stream to its
 * end. A named pipe without a writer is refused, for none may ever come. */
enum status file_read_input(const char *path, uint64_t max_bytes, uint8_t **bytes,
                            size_t *size);

/* Makes a file or directory durable: fsync. */
enum status file_sync(const char *path);

/* A name beside `path` that nobody can predict, and that is free:
 * "PATH.WORD-3fa9c01b72de"; the caller frees it. NULL with errno. */
char *file_fresh_name(const char *path, const char *word);

/* The name that h5_create writes to before file_publish, "DIR/.NAME.partial", so that a
 * second writer finds the first one's lock; the caller frees it. */
char *file_partial_name(const char *path);

/* "DIR/.NAME.3fa9c01b72de.partial": a name beside `path` that nobody else uses or can
 * predict, for what is not complete. A long NAME is cut. The caller frees it. */
char *file_temporary_name(const char *path);

/* From the kernel's source of randomness. */
uint64_t file_random_number(void);

/* Is `name` (without a folder) one of those, with a random number, under which
 * file_write, file_link and h5_create_apart keep what is not complete? A killed process
 * may leave such a file behind. */
bool file_is_left_over(const char *name);

/* fsync(partial), rename(partial, path), fsync of the directory: afterwards `path` is
 * either the old file or the complete new one, whatever happens. Removes partial on
 * failure. */
enum status file_publish(const char *partial, const char *path);

/* An output is a path that the user names for a file to write.
 *   path                          what is done
 *   a file, or no file yet        replaced as a whole, by a file made in its folder; where
 *                                 that is impossible (no right to the folder, a mount
 *                                 point), an existing file is written in place
 *   a link                        followed; a dangling one creates its target
 *   a device, a FIFO              written to
 *   "-"                           standard output
 *   /dev/stdout, /dev/fd/N, ...   this process's descriptor, from where it stands
 *   a directory, "name/", "name/.", a socket: refused
 *   an HDF5 file, such as a checkpoint: refused by file_check_output
 * A FIFO's reader is waited for, which a line of log says if there is none yet. */
struct file_output {
    bool is_regular;   /* a file, or none yet: to be replaced */
    bool is_stdout;    /* "-", /dev/stdout, ... */
    bool lacks_folder; /* folders have to be made first, which is allowed */
};

/* Looks at where an output leads and whether this process may write there, and changes
 * nothing. STATUS_FAILED if it can't be written at all; *output is set all the same. */
enum status file_check_output(const char *path, struct file_output *output);

/* STATUS_MISUSE if the output leads to the file or pipe `input`, which is read: it would
 * be lost. An input that is NULL or does not exist is none. */
enum status file_check_not_input(const char *output, const char *input);

/* STATUS_MISUSE if the output leads to a file that begins as a MIDI file. For outputs of
 * another kind. */
enum status file_check_not_midi(const char *output);

/* Keeps standard output for an output that is_stdout: what the process prints from now on
 * goes to stderr. Call it before other threads print. A second call does nothing. */
enum status file_reserve_stdout(void);

/* Opens an output to be written bit by bit, so not as a whole: a regular file is emptied.
 * Only a regular file (*is_regular) can be sought in. While a FIFO has no reader,
 * `give_up` is asked every 50 ms whether to fail with "PATH: no reader came". The caller
 * closes *descriptor. */
enum status file_open_output(const char *path, bool (*give_up)(void), int *descriptor,
                             bool *is_regular);

/* Writes a whole output. A regular file is replaced atomically: several processes, also
 * on several hosts, may write one path at once, and the last one wins. On failure the old
 * file is as it was and nothing is left beside it. The new file has the mode bits of the
 * old one, and its owner and group where that is allowed, unless the old one is another
 * user's. None of this is promised for a file that has to be written in place: others may
 * see a part of it, and a failure loses the old content. */
enum status file_write(const char *path, const void *bytes, size_t size);

/* The same at a path that the program has chosen, not the user: what lies there is never
 * followed or written into. Anything but a regular file is an error and left alone. */
enum status file_write_own(const char *path, const void *bytes, size_t size);

/* The same with a content that `write` writes to the new file, bit by bit; 0, or -1 with
 * errno. It may be asked again, for another new file. */
typedef int file_writer(int descriptor, void *context);
enum status file_write_own_by(const char *path, file_writer *write, void *context);

/* Points the symbolic link `link` at `target` atomically (new link, then rename). */
enum status file_link(const char *target, const char *link);

#endif
