/* confine_files: what the inputs are on disk: how much they store, and Landlock's rules.
 *
 * A rule names a file or a folder with all below it by an open descriptor, so that later
 * links and renames don't change what is allowed. */
#include "confine_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tutti/file.h"

enum { FOLDERS_DEEP = 2 }; /* a run's folder, and its checkpoints */

/* ---- sizes ---- */

static uint64_t stored_in(const char *folder, int deep)
{
    uint64_t bytes = 0;
    DIR *list = opendir(folder);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        struct stat facts;
        char *path = path_join(folder, entry->d_name);
        bool known = path && entry->d_name[0] != '.' && stat(path, &facts) == 0;
        if (known && S_ISREG(facts.st_mode))
            bytes += (uint64_t)facts.st_size;
        else if (known && S_ISDIR(facts.st_mode) && deep > 1)
            bytes += stored_in(path, deep - 1);
        free(path);
    }
    if (list)
        closedir(list);
    return bytes;
}

uint64_t confine_stored_bytes(const struct confine_inputs *inputs)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < inputs->count; i++) {
        bool is_folder = file_is_directory(inputs->paths[i]);
        char *folder =
            is_folder ? strdup(inputs->paths[i]) : path_directory(inputs->paths[i]);
        if (folder)
            bytes += stored_in(folder, is_folder ? FOLDERS_DEEP : 1);
        free(folder);
    }
    return bytes;
}

/* ---- Landlock ---- */

/* From linux/landlock.h, which older systems lack. */
enum {
    CREATE_RULESET = 444, /* system calls, on every architecture */
    ADD_RULE = 445,
    RESTRICT_SELF = 446,
    ASK_VERSION = 1,
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

/* Allows reading the file, or everything below the folder. */
static void allow(int rules, const char *path)
{
    struct stat facts;
    int descriptor = path ? open(path, O_PATH | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return;
    struct path_rule rule = {.allowed = READ_FILE, .descriptor = descriptor};
    if (fstat(descriptor, &facts) == 0 && S_ISDIR(facts.st_mode))
        rule.allowed |= READ_DIRECTORY;
    syscall(ADD_RULE, rules, PATH_BENEATH, &rule, 0);
    close(descriptor);
}

static void allow_member(int rules, const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    allow(rules, path);
    free(path);
}

/* The folder, and where its links lead: files may be kept elsewhere. */
static void allow_folder(int rules, const char *folder)
{
    struct stat facts;
    allow(rules, folder);
    DIR *list = opendir(folder);
    for (struct dirent *entry; list && (entry = readdir(list));)
        if (fstatat(dirfd(list), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISLNK(facts.st_mode))
            allow_member(rules, folder, entry->d_name);
    if (list)
        closedir(list);
}

/* A run's metrics are beside the folder of its checkpoints. */
static void allow_metrics_beside(int rules, const char *folder)
{
    allow_member(rules, folder, "../metrics.jsonl");
}

static bool stands_for_its_folder(const char *path)
{
    const char *name = path_base(path);
    return strcmp(name, "index.h5") == 0 || strncmp(name, "shard-", 6) == 0 ||
           strcmp(name, "latest") == 0 || strcmp(name, "best") == 0;
}

static void allow_input(int rules, const char *path)
{
    bool is_folder = file_is_directory(path);
    char *folder = is_folder ? strdup(path) : path_directory(path);
    char *checkpoints = folder ? path_join(folder, "checkpoints") : NULL;
    if (!checkpoints) {
        free(folder);
        return;
    }
    allow(rules, path);
    allow_metrics_beside(rules, folder);
    if (is_folder || stands_for_its_folder(path)) {
        allow_folder(rules, folder);
        allow_folder(rules, checkpoints);
        allow_metrics_beside(rules, checkpoints);
    }
    free(checkpoints);
    free(folder);
}

/* What this kernel can deny. Reading file attributes can't be, nor need it be. */
static uint64_t deniable(long version, bool reading)
{
    uint64_t denied = ALL_OF_VERSION_1;
    if (version >= 2)
        denied |= REFER;
    if (version >= 3)
        denied |= TRUNCATE_FILE;
    return reading ? denied : denied & ~(uint64_t)(READ_FILE | READ_DIRECTORY);
}

void confine_files(const struct confine_inputs *inputs)
{
    long version = syscall(CREATE_RULESET, NULL, 0, ASK_VERSION);
    if (version < 1)
        return;
    uint64_t denied = deniable(version, !inputs->others);
    int rules = (int)syscall(CREATE_RULESET, &denied, sizeof denied, 0);
    if (rules < 0)
        return;
    for (size_t i = 0; i < inputs->count && !inputs->others; i++)
        allow_input(rules, inputs->paths[i]);
    syscall(RESTRICT_SELF, rules, 0);
    close(rules);
}
