/* file: paths, whole files, and publishing a file only when it is complete. */
#ifndef TUTTI_FILE_H
#define TUTTI_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tutti/status.h"

/* A path made with printf; the caller frees it. NULL without memory. */
char *path_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "dir/name" or "name" when dir is "" or "."; the caller frees it. */
char *path_join(const char *dir, const char *name);

/* The part behind the last '/'. */
const char *path_base(const char *path);

/* The directory part ("." if there is none); the caller frees it. */
char *path_directory(const char *path);

bool file_exists(const char *path);
bool file_is_directory(const char *path);

/* Makes the directory and its parents; an existing directory is fine. */
enum status file_make_directories(const char *path);

/* Deletes a directory with all it holds, or a file; a missing one is fine. Links are
 * removed, never followed. */
enum status file_remove_tree(const char *path);

/* Reads a regular file whole into *bytes (malloc, the caller frees; never NULL on
 * success). A file larger than max_bytes (0: no limit) fails with a message that names
 * the limit. */
enum status file_read(const char *path, uint64_t max_bytes, uint8_t **bytes,
                      size_t *size);

/* Makes a file or directory durable: fsync. */
enum status file_sync(const char *path);

/* The name to write to before file_publish: "DIR/.NAME.partial"; the caller frees it. */
char *file_partial_name(const char *path);

/* fsync(partial), rename(partial, path), fsync of the directory: afterwards `path` is
 * either the old file or the complete new one, whatever happens. Removes partial on
 * failure. */
enum status file_publish(const char *partial, const char *path);

/* Writes a whole file and publishes it. */
enum status file_write(const char *path, const void *bytes, size_t size);

/* Points the symbolic link `link` at `target` atomically (new link, then rename). */
enum status file_link(const char *target, const char *link);

#endif
