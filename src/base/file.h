/* file: reads whole files, and publishes a file only once it is complete. POSIX; no state
 * is kept between calls, except by file_reserve_stdout. */
#ifndef TUTTI_BASE_FILE_H
#define TUTTI_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "path.h"
#include "status.h"

/* ---- file.c: queries and reading ---- */

bool file_exists(const char *path);
bool file_is_directory(const char *path);

/* The type of a file with these mode bits, for messages: "a link", "a pipe", "a
 * directory". */
const char *file_kind(mode_t mode);

/* Creates the directory and its parents; an existing directory is fine. */
enum status file_make_directories(const char *path);

/* The `size` of a regular file, or less if the file is sparse: at most 8 bytes for each
 * byte stored, plus 16 MiB. Limits on the cost of reading a file are computed from this
 * value, because a hole of any size costs its creator nothing. Moves the descriptor's
 * offset. */
uint64_t file_stored_size(int descriptor, uint64_t size);

/* Reads a whole regular file into *bytes (malloc, the caller frees; never NULL on
 * success). A file larger than max_bytes (0: no limit) fails with a message that states
 * the limit. */
enum status file_read(const char *path, uint64_t max_bytes, uint8_t **bytes,
                      size_t *size);

/* True for an input that can be read only once and in order: "-", which is standard
 * input, or a pipe. */
bool file_is_stream(const char *path);

/* Reads an input named by the user: a regular file as file_read does, a stream to its
 * end. A named pipe without a writer is an error, as a writer may never open it. */
enum status file_read_input(const char *path, uint64_t max_bytes, uint8_t **bytes,
                            size_t *size);

/* Makes a file or directory durable: fsync. */
enum status file_sync(const char *path);

/* ---- file_names.c: temporary names ---- */

/* The name that h5_create writes to before file_publish, "DIR/.NAME.partial": fixed, so
 * that a second writer finds the first one's lock. The caller frees it; NULL if out of
 * memory. */
char *file_partial_name(const char *path);

/* "DIR/.NAME.3fa9c01b72de.partial": an unpredictable, unique name beside `path` for
 * incomplete content. A long NAME is truncated. The caller frees it; NULL if out of
 * memory. */
char *file_temporary_name(const char *path);

/* Parses a name of either form above, without directory and *length bytes long: returns
 * where NAME begins in it and sets *length to the length of NAME. NULL, with *length
 * unchanged, for any other name. `name` must be zero-terminated, possibly after further
 * text. */
const char *file_final_name(const char *name, size_t *length, bool *is_random);

/* True for a name (without directory) of the second form, under which file_write,
 * file_symlink and h5_create_unique keep incomplete content. A killed process may leave
 * such a file. */
bool file_is_temporary_name(const char *name);

/* An unpredictable unused name beside `path`: "PATH.WORD-3fa9c01b72de"; the caller frees
 * it. NULL with errno. */
char *file_unused_name(const char *path, const char *word);

/* Renames the entry at `path`, of any type, to the first unused name of "PATH.kept-1",
 * "PATH.kept-2", ...: *kept, which the caller frees. No link is followed and nothing is
 * replaced. */
enum status file_move_aside(const char *path, char **kept);

/* A number from the kernel's random number generator. */
uint64_t file_random_number(void);

/* ---- file_replace.c: paths chosen by the program ---- */

/* fsync(partial), rename(partial, path), fsync of the directory: afterwards `path` is
 * either the old file or the complete new one, even after a crash. Removes `partial` on
 * failure. */
enum status file_publish(const char *partial, const char *path);

/* Writes a whole file, as file_write does, at a path chosen by the program, not the user:
 * a link there is not followed, and an existing file is replaced, not overwritten. An
 * existing entry that is not a regular file is an error and left unchanged. */
enum status file_write_nofollow(const char *path, const void *bytes, size_t size);

/* The same with content that `write` writes incrementally to the new file; it returns 0,
 * or -1 with errno. It may be called a second time, for another new file. */
typedef int file_writer(int descriptor, void *context);
enum status file_write_nofollow_callback(const char *path, file_writer *write,
                                         void *context);

/* Points the symbolic link `link` at `target` atomically (new link, then rename). */
enum status file_symlink(const char *target, const char *link);

/* ---- file_check.c, file_output.c: outputs ----
 *
 * An output is a path that the user names for a file to write.
 *   path                          action
 *   a file, or no file yet        replaced as a whole by a file created in its directory;
 *                                 where that is impossible (no permission for the
 *                                 directory, a mount point), an existing file is
 *                                 overwritten in place
 *   a link                        followed; a dangling link creates its target
 *   a device, a FIFO              written to
 *   "-"                           standard output
 *   /dev/stdout, /dev/fd/N, ...   this process's descriptor, from its current offset
 *   a directory, "name/", "name/.", a socket: error
 *   an HDF5 file, such as a checkpoint: rejected by file_check_output
 * Opening a FIFO waits for its reader, with one log line if there is none yet. */
struct file_output {
    bool is_regular;        /* a file, or none yet: to be replaced */
    bool is_stdout;         /* "-", /dev/stdout, ... */
    bool missing_directory; /* directories must be created first, which is allowed */
};

/* Resolves an output and checks whether this process may write to it; changes nothing.
 * STATUS_FAILED if it can't be written at all; *output is set in any case. */
enum status file_check_output(const char *path, struct file_output *output);

/* STATUS_MISUSE if the output is the same file or pipe as `input`, whose content would be
 * lost. No check if `input` is NULL or does not exist. */
enum status file_check_not_input(const char *output, const char *input);

/* STATUS_MISUSE if the output exists and begins like a MIDI file. For outputs in other
 * formats. */
enum status file_check_not_midi(const char *output);

/* Reserves standard output for an output with is_stdout: from now on, everything else
 * that the process prints goes to stderr. Call it before other threads print. A second
 * call does nothing. */
enum status file_reserve_stdout(void);

/* Opens an output for incremental writing, not atomic: a regular file is truncated. Only
 * a regular file (*is_regular) is seekable. While a FIFO has no reader, `is_cancelled`
 * (NULL: never) is called every 50 ms; if it returns true, the call fails with "PATH: no
 * reader". The caller closes *descriptor. */
enum status file_open_output(const char *path, bool (*is_cancelled)(void),
                             int *descriptor, bool *is_regular);

/* Writes a whole output. A regular file is replaced atomically: several processes, even
 * on different hosts, may write the same path at the same time, and the last one wins. On
 * failure the old file is unchanged and no temporary file is left. The new file has the
 * mode bits of the old one, and its owner and group where that is permitted, unless the
 * old one is another user's. None of this holds for a file that has to be overwritten in
 * place: others may see part of it, and a failure loses the old content. */
enum status file_write(const char *path, const void *bytes, size_t size);

#endif
