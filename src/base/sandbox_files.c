/* sandbox_files: the inputs on disk: their stored size, and the Landlock rules for them.
 *
 * A rule refers to a file, or to a directory with everything below it, by an open
 * descriptor, so later links and renames don't change what is allowed. */
#include "sandbox_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file.h"

/* Files of runs and datasets. Nothing else in a directory is read, so links of other
 * names are not followed: an untrusted archive may contain links to anywhere. */
static bool is_known_name(const char *name)
{
    static const char *const names[] = {"index.h5", "metrics.jsonl", "settings.conf",
                                        "latest", "best"};
    static const char *const prefixes[] = {"shard-", "epoch-", "step-"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* ---- sizes ---- */

/* 0 if the path is not a regular file. */
static uint64_t stored_size(const char *path)
{
    struct stat st;
    int descriptor = path ? open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return 0;
    bool is_file = fstat(descriptor, &st) == 0 && S_ISREG(st.st_mode);
    uint64_t size = is_file ? file_stored_size(descriptor, (uint64_t)st.st_size) : 0;
    close(descriptor);
    return size;
}

/* A run's metrics are read line by line, so their size does not affect memory use. */
static bool takes_memory(const char *name)
{
    return is_known_name(name) && strcmp(name, "metrics.jsonl") != 0;
}

static uint64_t directory_bytes(const char *folder)
{
    uint64_t bytes = 0;
    DIR *list = folder ? opendir(folder) : NULL;
    for (struct dirent *entry; list && (entry = readdir(list));) {
        char *path =
            takes_memory(entry->d_name) ? path_join(folder, entry->d_name) : NULL;
        bytes += stored_size(path);
        free(path);
    }
    if (list)
        closedir(list);
    return bytes;
}

uint64_t sandbox_input_bytes(const struct sandbox_inputs *inputs)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < inputs->count; i++) {
        const char *path = inputs->paths[i];
        bool is_folder = file_is_directory(path);
        char *folder = is_folder ? strdup(path) : path_directory(path);
        char *checkpoints = is_folder ? path_join(path, "checkpoints") : NULL;
        bytes +=
            stored_size(path) + directory_bytes(folder) + directory_bytes(checkpoints);
        free(folder);
        free(checkpoints);
    }
    return bytes;
}

/* ---- Landlock ---- */

/* From linux/landlock.h, which older systems lack. */
enum {
    CREATE_RULESET = 444, /* system calls, on every architecture */
    ADD_RULE = 445,
    RESTRICT_SELF = 446,
    GET_VERSION = 1,
    PATH_BENEATH = 1,
    READ_FILE = 1 << 2,
    READ_DIRECTORY = 1 << 3,
    ALL_OF_VERSION_1 = (1 << 13) - 1,
    REFER = 1 << 13,        /* version 2 */
    TRUNCATE_FILE = 1 << 14 /* version 3 */
};

struct path_rule {
    uint64_t allowed;
    int32_t descriptor;
} __attribute__((packed));

/* Allows reading a file; for a directory, everything below it or only the names of its
 * entries. */
static void add_rule(int ruleset, const char *path, bool recursive)
{
    struct stat st;
    int descriptor = path ? open(path, O_PATH | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return;
    struct path_rule rule = {.allowed = READ_FILE, .descriptor = descriptor};
    if (fstat(descriptor, &st) == 0 && S_ISDIR(st.st_mode))
        rule.allowed = READ_DIRECTORY | (recursive ? READ_FILE : 0);
    syscall(ADD_RULE, ruleset, PATH_BENEATH, &rule, 0);
    close(descriptor);
}

/* `recursive`: the directory is allowed with everything in it, so only a link needs a
 * rule. */
static void allow_member(int ruleset, const char *folder, const char *name,
                         bool recursive)
{
    char *path = path_join(folder, name);
    if (path && (!recursive || path_is_link(path)) && stored_size(path) > 0)
        add_rule(ruleset, path, false);
    free(path);
}

/* The directory, and the targets of links among its files, which may be stored elsewhere.
 * In a directory reached through a link that the user hasn't `named`, only the files of a
 * run are allowed. */
static void allow_folder(int ruleset, const char *folder, bool named)
{
    bool recursive = named || !path_is_link(folder);
    add_rule(ruleset, folder, recursive);
    DIR *list = opendir(folder);
    for (struct dirent *entry; list && (entry = readdir(list));)
        if (is_known_name(entry->d_name))
            allow_member(ruleset, folder, entry->d_name, recursive);
    if (list)
        closedir(list);
}

/* A run's metrics are beside its directory of checkpoints. */
static void allow_metrics(int ruleset, const char *folder)
{
    allow_member(ruleset, folder, "../metrics.jsonl", false);
}

static bool implies_directory(const char *path)
{
    const char *name = path_base(path);
    return strcmp(name, "index.h5") == 0 || strncmp(name, "shard-", 6) == 0 ||
           strcmp(name, "latest") == 0 || strcmp(name, "best") == 0;
}

static void allow_input(int ruleset, const char *path)
{
    bool is_folder = file_is_directory(path);
    char *folder = is_folder ? strdup(path) : path_directory(path);
    char *checkpoints = folder ? path_join(folder, "checkpoints") : NULL;
    if (!checkpoints) {
        free(folder);
        return;
    }
    add_rule(ruleset, path, is_folder);
    allow_metrics(ruleset, folder);
    if (is_folder || implies_directory(path)) {
        allow_folder(ruleset, folder, true);
        allow_folder(ruleset, checkpoints, false);
        allow_metrics(ruleset, checkpoints);
    }
    free(checkpoints);
    free(folder);
}

/* The dynamic loader's directories and files, and the files from which OpenBLAS detects
 * the processor. */
static void allow_libraries(int ruleset)
{
    static const char *const paths[] = {
        "/lib",          "/lib32",        "/lib64",         "/usr/lib",
        "/usr/lib32",    "/usr/lib64",    "/usr/local/lib", "/etc/ld.so.cache",
        "/proc/cpuinfo", "/proc/meminfo", "/proc/self",     "/sys/devices/system"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        add_rule(ruleset, paths[i], true);
    char *library = path_directory(TUTTI_OPENBLAS);
    add_rule(ruleset, library, true);
    free(library);
    const char *more = getenv("LD_LIBRARY_PATH");
    char *list = more ? strdup(more) : NULL, *rest = NULL;
    for (char *at = list ? strtok_r(list, ":;", &rest) : NULL; at;
         at = strtok_r(NULL, ":;", &rest))
        add_rule(ruleset, at, true);
    free(list);
}

/* The accesses that this kernel can deny. Reading file attributes can't be denied, and is
 * harmless. */
static uint64_t handled_accesses(long version)
{
    uint64_t handled = ALL_OF_VERSION_1;
    if (version >= 2)
        handled |= REFER;
    if (version >= 3)
        handled |= TRUNCATE_FILE;
    return handled;
}

void sandbox_restrict_files(const struct sandbox_inputs *inputs)
{
    long version = syscall(CREATE_RULESET, NULL, 0, GET_VERSION);
    if (version < 1)
        return;
    uint64_t handled = handled_accesses(version);
    int ruleset = (int)syscall(CREATE_RULESET, &handled, sizeof handled, 0);
    if (ruleset < 0)
        return;
    for (size_t i = 0; i < inputs->count; i++)
        allow_input(ruleset, inputs->paths[i]);
    if (inputs->computes)
        allow_libraries(ruleset);
    syscall(RESTRICT_SELF, ruleset, 0);
    close(ruleset);
}
