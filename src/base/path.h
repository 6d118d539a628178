/* path: paths as text, and the links that they name. */
#ifndef TUTTI_BASE_PATH_H
#define TUTTI_BASE_PATH_H

#include <stdbool.h>

#include "status.h"

/* A path formatted as by printf; the caller frees it. NULL if out of memory. */
char *path_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "dir/name", or "name" if dir is "" or "."; the caller frees it. NULL if out of
 * memory. */
char *path_join(const char *dir, const char *name);

/* The path without trailing slashes, except for "/"; the caller frees it. NULL if out of
 * memory. */
char *path_trim(const char *path);

/* The part after the last '/'. */
const char *path_base(const char *path);

/* The directory part, "." if there is none; the caller frees it. NULL if out of
 * memory. */
char *path_directory(const char *path);

/* Replaces "~" in "~" and "~/x" by the home directory, $HOME; copies every other path.
 * The caller frees *out. STATUS_MISUSE with the cause for "~user/x", and for "~" if HOME
 * is not an absolute path. */
enum status path_expand_home(const char *path, char **out);

/* True if the path ends in "", "." or "..", so that no entry of that name can be
 * created. */
bool path_names_no_entry(const char *path);

/* True for a symbolic link. */
bool path_is_link(const char *path);

/* The target of a link, as a path; the caller frees it. NULL with errno. */
char *path_read_link(const char *path);

enum { PATH_LINKS_MAX = 40 }; /* in a chain, as in the kernel */

/* Follows links: *out, which the caller frees, is the path itself, or the target of the
 * last link, which need not exist. STATUS_MISUSE if the links can't be followed. */
enum status path_follow_links(const char *path, char **out);

#endif
