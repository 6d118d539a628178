/* path: see the header. */
#include "path.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *path_format(const char *format, ...)
{
    char *path = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&path, format, arguments);
    va_end(arguments);
    return length < 0 ? NULL : path;
}

char *path_join(const char *dir, const char *name)
{
    if (dir[0] == '\0' || strcmp(dir, ".") == 0)
        return strdup(name);
    const char *separator = dir[strlen(dir) - 1] == '/' ? "" : "/";
    return path_format("%s%s%s", dir, separator, name);
}

char *path_trim(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    return strndup(path, length);
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *path_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

enum status path_expand_home(const char *path, char **out)
{
    *out = NULL;
    if (path[0] != '~') {
        *out = strdup(path);
    } else if (path[1] != '\0' && path[1] != '/') {
        return status_fail(STATUS_MISUSE,
                           "only ~/ is expanded: write the folder of %.*s "
                           "out, or ./%.*s for a file of this name",
                           (int)strcspn(path, "/"), path, (int)strcspn(path, "/"), path);
    } else {
        const char *home = getenv("HOME");
        if (!home || home[0] != '/')
            return status_fail(STATUS_MISUSE,
                               "~ is not known, as HOME is %s: write the "
                               "path out",
                               home && home[0] ? "no absolute path" : "not set");
        *out = path[1] && path[2] ? path_join(home, path + 2) : strdup(home);
    }
    return *out ? STATUS_OK : status_fail(STATUS_FAILED, "out of memory");
}

bool path_names_no_entry(const char *path)
{
    const char *base = path_base(path);
    return base[0] == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0;
}

bool path_is_link(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

char *path_read_link(const char *path)
{
    char text[PATH_MAX];
    ssize_t length = readlink(path, text, sizeof text - 1);
    if (length < 0)
        return NULL;
    text[length] = '\0';
    if (text[0] == '/')
        return strdup(text);
    const char *base = path_base(path);
    return path_format("%.*s%s", (int)(base - path), path, text);
}

enum status path_follow_links(const char *path, char **out)
{
    struct stat st;
    char *at = strdup(path);
    for (int i = 0; at && path_is_link(at); i++) {
        bool blocked = stat(at, &st) != 0 && errno != ENOENT;
        if (i == PATH_LINKS_MAX)
            errno = ELOOP;
        char *next = blocked || i == PATH_LINKS_MAX ? NULL : path_read_link(at);
        if (!next) {
            status_fail_errno("%s: can't follow the link", path);
            free(at);
            return STATUS_MISUSE;
        }
        free(at);
        at = next;
    }
    *out = at;
    return at ? STATUS_OK : status_fail(STATUS_FAILED, "%s: out of memory", path);
}
