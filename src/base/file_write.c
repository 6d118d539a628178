/* file_write: see file.h. A regular file is written beside its final name and renamed.
 *
 * Where the file system can, that file has no name until it is complete, so that not even
 * a kill leaves it behind. Elsewhere (NFS, SMB, exFAT) it is created under a random name
 * that nobody else uses or can predict: not another thread, process or host that writes
 * the same file, and not somebody who plants a link there.
 *
 * Links are followed here, not by the kernel, because the new file has to be made in the
 * folder of the last target; stat comes before each readlink so that the kernel's own
 * rules about links in shared folders (fs.protected_symlinks) still hold.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"
#include "log.h"

enum {
    LINKS_MAX = 40, /* as the kernel */
    NAMES_MAX = 100,
    BASE_MAX = 200, /* bytes of the name, so that the temporary one stays below 255 */
    RANDOM_BITS = 48,
    BEGINNING = 12 /* bytes that tell what a file is */
};

/* Descriptor of the data that go to standard output. */
static int data_descriptor = STDOUT_FILENO;

/* ---- temporary names ---- */

char *file_partial_name(const char *path)
{
    const char *base = path_base(path);
    return path_format("%.*s.%s.partial", (int)(base - path), path, base);
}

/* Does text[0, length) end in `tail`? */
static bool ends_with(const char *text, size_t length, const char *tail)
{
    size_t size = strlen(tail);
    return length > size && memcmp(text + length - size, tail, size) == 0;
}

/* Somebody else's ".movie.partial" is none. */
bool file_is_left_over(const char *name)
{
    size_t length = strlen(name);
    if (name[0] != '.' || !ends_with(name, length, ".partial"))
        return false;
    length -= strlen(".partial");
    size_t random = 0;
    while (random < length && strchr("0123456789abcdef", name[length - 1 - random]))
        random++;
    return random == RANDOM_BITS / 4 && length > random + 2 &&
           name[length - random - 1] == '.';
}

uint64_t file_random_number(void)
{
    static atomic_uint_least64_t calls;
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != sizeof number) { /* in some sandboxes */
        struct timespec now = {0};
        clock_gettime(CLOCK_REALTIME, &now);
        const uint64_t facts[] = {(uint64_t)now.tv_sec, (uint64_t)now.tv_nsec,
                                  (uint64_t)getpid(), calls++};
        number = hash64(facts, sizeof facts);
    }
    return number;
}

char *file_temporary_name(const char *path)
{
    const char *base = path_base(path);
    size_t length = strlen(base);
    if (length > BASE_MAX)
        for (length = BASE_MAX; length > 0 && (base[length] & 0xC0) == 0x80;)
            length--;
    return path_format("%.*s.%.*s.%012llx.partial", (int)(base - path), path, (int)length,
                       base,
                       (unsigned long long)(file_random_number() >> (64 - RANDOM_BITS)));
}

char *file_fresh_name(const char *path, const char *word)
{
    struct stat facts;
    for (int i = 0; i < NAMES_MAX; i++) {
        char *name =
            path_format("%s.%s-%012llx", path, word,
                        (unsigned long long)(file_random_number() >> (64 - RANDOM_BITS)));
        if (!name || (lstat(name, &facts) != 0 && errno == ENOENT))
            return name;
        free(name);
    }
    errno = EEXIST;
    return NULL;
}

/* Calls `make` with random names beside `path` until one is free. Returns the name (the
 * caller frees it), or NULL with errno. */
static char *make_partial(const char *path,
                          int (*make)(const char *partial, void *context), void *context)
{
    for (int i = 0; i < NAMES_MAX; i++) {
        char *partial = file_temporary_name(path);
        if (!partial || make(partial, context) == 0)
            return partial;
        int reason = errno;
        free(partial);
        errno = reason;
        if (reason != EEXIST)
            break;
    }
    return NULL;
}

/* The file that is to take the place of `old`; NULL: there is none, or it is another
 * user's, whose mode bits would lock that user out. */
struct draft {
    const struct stat *old;
    int descriptor;
};

/* Nobody may look into it before it has the rights of the old one. */
static mode_t first_mode(const struct draft *draft)
{
    return draft->old ? 0600 : 0666;
}

static int make_file(const char *partial, void *context)
{
    struct draft *draft = context;
    draft->descriptor = open(
        partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, first_mode(draft));
    return draft->descriptor < 0 ? -1 : 0;
}

/* Gives a file without a name its first one. */
static int make_name(const char *partial, void *context)
{
    const struct draft *draft = context;
    char unnamed[64];
    snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", draft->descriptor);
    return linkat(AT_FDCWD, unnamed, AT_FDCWD, partial, AT_SYMLINK_FOLLOW);
}

static int make_link(const char *partial, void *target)
{
    return symlink(target, partial);
}

/* ---- targets ---- */

/* Where a path leads. */
struct target {
    char *path;      /* links followed */
    char *shown;     /* for messages: the path as given, and where it leads */
    int links;       /* that were followed */
    int descriptor;  /* this process's own that the path stands for; -1: none */
    bool is_regular; /* to be replaced as a whole; also one that does not exist yet */
};

static void target_free(struct target *target)
{
    free(target->path);
    free(target->shown);
}

/* The number N of "/proc/self/fd/N" in any spelling, -1 for another path. */
static int own_descriptor(const char *path)
{
    static const char root[] = "/proc/";
    char *folder = path_directory(path), *end, full[PATH_MAX];
    bool found = folder && realpath(folder, full);
    free(folder);
    if (!found || strncmp(full, root, strlen(root)) != 0 ||
        strcmp(path_base(full), "fd") != 0)
        return -1;
    long process = strtol(full + strlen(root), &end, 10);
    long number = strtol(path_base(path), &end, 10);
    bool ours = process == (long)getpid() && end != path_base(path) && *end == '\0';
    return ours && number >= 0 && number <= INT_MAX ? (int)number : -1;
}

/* A link that the kernel makes up, whose text need not be a path: /proc/PID/fd/N. */
static bool is_kernel_link(const char *path)
{
    struct statfs facts;
    char *folder = path_directory(path);
    bool is = folder && statfs(folder, &facts) == 0 && facts.f_type == PROC_SUPER_MAGIC;
    free(folder);
    return is;
}

/* What the link at `path` points to, as a path; NULL with errno. */
static char *read_link(const char *path)
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

bool path_names_no_entry(const char *path)
{
    const char *base = path_base(path);
    return base[0] == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0;
}

static bool is_link(const char *path)
{
    struct stat own;
    return lstat(path, &own) == 0 && S_ISLNK(own.st_mode);
}

enum status path_follow_links(const char *path, char **out)
{
    struct stat facts;
    char *at = strdup(path);
    for (int i = 0; at && is_link(at); i++) {
        bool blocked = stat(at, &facts) != 0 && errno != ENOENT;
        if (i == LINKS_MAX)
            errno = ELOOP;
        char *next = blocked || i == LINKS_MAX ? NULL : read_link(at);
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

/* access(), with the rights that open() would have. */
static int access_as_writer(const char *path, int wanted)
{
    return faccessat(AT_FDCWD, path, wanted, AT_EACCESS);
}

/* May a file of this kind be written? */
static enum status check_kind(const char *shown, mode_t mode)
{
    if (S_ISDIR(mode))
        return status_fail(STATUS_FAILED, "%s: a directory (expected the name of a file)",
                           shown);
    if (S_ISSOCK(mode))
        return status_fail(STATUS_FAILED,
                           "%s: a socket (expected a file, a device or a pipe)", shown);
    return STATUS_OK;
}

/* Looks at target->path: *link, if it is one that has to be followed. */
static enum status examine(struct target *target, bool *link)
{
    struct stat facts;
    *link = false;
    if (path_names_no_entry(target->path))
        return check_kind(target->shown, S_IFDIR);
    bool exists = stat(target->path, &facts) == 0;
    if (!exists && errno != ENOENT && errno != ENOTDIR)
        return status_fail_errno("%s: can't write", target->shown);
    struct stat own;
    if (lstat(target->path, &own) == 0 && S_ISLNK(own.st_mode)) {
        target->descriptor = own_descriptor(target->path);
        *link = target->descriptor < 0 && !is_kernel_link(target->path);
        target->is_regular = *link;
    } else if (!exists && (target->descriptor = own_descriptor(target->path)) < 0) {
        target->is_regular = true;
    } else {
        target->is_regular = exists && S_ISREG(facts.st_mode);
    }
    if (!exists || *link || target->descriptor >= 0)
        return STATUS_OK;
    return check_kind(target->shown, facts.st_mode);
}

static enum status follow(const char *path, struct target *target)
{
    char *next = read_link(target->path);
    char *shown = next ? path_format("%s (a link to %s)", path, next) : NULL;
    enum status status = STATUS_OK;
    if (!shown)
        status = status_fail_errno("%s: can't write", target->shown);
    free(shown ? target->path : next);
    if (shown) {
        free(target->shown);
        target->path = next;
        target->shown = shown;
    }
    return status;
}

static enum status find_target(const char *path, struct target *target)
{
    bool is_dash = strcmp(path, "-") == 0, link = !is_dash;
    *target = (struct target){.path = strdup(path),
                              .shown = strdup(is_dash ? "standard output" : path),
                              .descriptor = is_dash ? STDOUT_FILENO : -1};
    enum status status = STATUS_OK;
    if (!target->path || !target->shown)
        status = status_fail(STATUS_FAILED, "%s: out of memory", path);
    while (status == STATUS_OK && link) {
        status = examine(target, &link);
        if (status == STATUS_OK && link && target->links == LINKS_MAX) {
            errno = ELOOP;
            status = status_fail_errno("%s: can't write", path);
        } else if (status == STATUS_OK && link) {
            status = follow(path, target);
            target->links++;
        }
    }
    if (status != STATUS_OK)
        target_free(target);
    return status;
}

/* ---- writing ---- */

static int wait_until_writable(int descriptor)
{
    struct pollfd wait = {.fd = descriptor, .events = POLLOUT};
    return poll(&wait, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

/* All bytes, durable as far as there is a disk; -1 with errno. */
static int fill(int descriptor, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t written = write(descriptor, at, size);
        if (written < 0 && errno == EAGAIN && wait_until_writable(descriptor) == 0)
            continue;
        if (written < 0 && errno != EINTR)
            return -1;
        at += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return fsync(descriptor) == 0 || errno == EINVAL ? 0 : -1;
}

/* What a new file is to hold: bytes, or what a function writes. */
struct content {
    const void *bytes;
    size_t size;
    file_writer *write; /* NULL: the bytes */
    void *context;
};

static int fill_with(int descriptor, const struct content *content)
{
    if (content->write && content->write(descriptor, content->context) != 0)
        return -1;
    return fill(descriptor, content->bytes, content->size);
}

static int close_keeping_errno(int descriptor)
{
    int reason = errno;
    int result = close(descriptor);
    if (result == 0)
        errno = reason;
    return result;
}

/* Gives a new file the old one's owner, group and mode bits. The group's bits are for no
 * other group. */
static void inherit(const struct draft *draft)
{
    if (!draft->old)
        return;
    bool kept = fchown(draft->descriptor, draft->old->st_uid, draft->old->st_gid) == 0;
    (void)!fchmod(draft->descriptor, draft->old->st_mode & (kept ? 0777 : 0707));
}

/* A complete file under a temporary name, which it gets last; NULL if this file system
 * has no files without a name. */
static char *write_unnamed(const char *path, const struct stat *old,
                           const struct content *content)
{
    struct draft draft = {.old = old, .descriptor = -1};
    char *folder = path_directory(path), *partial = NULL;
    if (folder)
        draft.descriptor =
            open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, first_mode(&draft));
    free(folder);
    if (draft.descriptor < 0)
        return NULL;
    inherit(&draft);
    if (fill_with(draft.descriptor, content) == 0)
        partial = make_partial(path, make_name, &draft);
    close_keeping_errno(draft.descriptor);
    return partial;
}

/* The same under a temporary name from the beginning; NULL with errno. */
static char *write_named(const char *path, const struct stat *old,
                         const struct content *content)
{
    struct draft draft = {.old = old};
    char *partial = make_partial(path, make_file, &draft);
    if (!partial)
        return NULL;
    inherit(&draft);
    bool failed = fill_with(draft.descriptor, content) != 0;
    failed |= close_keeping_errno(draft.descriptor) != 0;
    if (!failed)
        return partial;
    int reason = errno;
    unlink(partial);
    free(partial);
    errno = reason;
    return NULL;
}

static enum status sync_folder(const char *path)
{
    char *directory = path_directory(path);
    if (!directory)
        return status_fail(STATUS_FAILED, "%s: out of memory", path);
    enum status status = file_sync(directory);
    free(directory);
    return status;
}

/* rename(partial, path), or no partial and errno. */
static int rename_or_remove(const char *partial, const char *path)
{
    if (rename(partial, path) == 0)
        return 0;
    int reason = errno;
    unlink(partial);
    errno = reason;
    return -1;
}

/* Writes the file beside the one it replaces (`facts`; NULL: there is none) and lets it
 * take its place; -1 with errno. */
static int write_and_rename(const char *path, const struct stat *facts,
                            const struct content *content)
{
    bool same_owner = facts && (facts->st_uid == geteuid() || geteuid() == 0);
    const struct stat *old = same_owner ? facts : NULL;
    char *partial = write_unnamed(path, old, content);
    if (!partial)
        partial = write_named(path, old, content);
    if (!partial)
        return -1;
    int result = rename_or_remove(partial, path), reason = errno;
    free(partial);
    errno = reason;
    return result;
}

static bool is_fifo(const struct target *target)
{
    struct stat facts;
    return target->descriptor < 0 && stat(target->path, &facts) == 0 &&
           S_ISFIFO(facts.st_mode);
}

/* Waits for a FIFO's reader. Returns its descriptor, or -1 with errno: EINTR, as give_up
 * (NULL: never) says. A plain open would be taken up again after each signal whose
 * handler only sets a flag. */
static int open_fifo(const struct target *target, bool (*give_up)(void))
{
    const int flags = O_WRONLY | O_NONBLOCK | O_CLOEXEC;
    const struct timespec pause = {.tv_nsec = 50000000};
    for (bool told = false;; told = true) {
        int descriptor = open(target->path, flags);
        if (descriptor >= 0)
            fcntl(descriptor, F_SETFL, O_WRONLY); /* writing waits for the reader again */
        if (descriptor >= 0 || errno != ENXIO)
            return descriptor;
        if (!told)
            log_info("waiting for a reader of %s", target->shown);
        if (give_up && give_up()) {
            errno = EINTR;
            return -1;
        }
        nanosleep(&pause, NULL);
    }
}

static int open_own(int descriptor)
{
    int own = descriptor == STDOUT_FILENO ? data_descriptor : descriptor;
    return fcntl(own, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static enum status open_target(const struct target *target, bool (*give_up)(void),
                               int *descriptor)
{
    const int flags = O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC;
    if (target->descriptor >= 0)
        *descriptor = open_own(target->descriptor);
    else if (is_fifo(target))
        *descriptor = open_fifo(target, give_up);
    else
        *descriptor =
            open(target->path, flags | (target->is_regular ? O_CREAT : 0), 0666);
    if (*descriptor >= 0)
        return STATUS_OK;
    if (errno == EINTR && is_fifo(target))
        return status_fail(STATUS_FAILED, "%s: no reader came", target->shown);
    return status_fail_errno("%s: can't write", target->shown);
}

static enum status write_in_place(const struct target *target, const void *bytes,
                                  size_t size)
{
    int descriptor;
    enum status status = open_target(target, NULL, &descriptor);
    if (status != STATUS_OK)
        return status;
    bool failed = fill(descriptor, bytes, size) != 0;
    failed |= close_keeping_errno(descriptor) != 0;
    if (failed)
        status = status_fail_errno("%s: can't write", target->shown);
    return status;
}

/* The reasons for which a file can't be replaced, but perhaps written: no right to its
 * folder, one that is read-only, a mount point (a file given to a container). */
static bool forbids_replacing(int reason)
{
    return reason == EACCES || reason == EPERM || reason == EROFS || reason == EBUSY;
}

static enum status replace(const struct target *target, const void *bytes, size_t size)
{
    struct stat facts;
    const struct content content = {.bytes = bytes, .size = size};
    bool exists = stat(target->path, &facts) == 0;
    if (write_and_rename(target->path, exists ? &facts : NULL, &content) == 0)
        return sync_folder(target->path);
    struct target existing = *target;
    existing.is_regular = false;
    int reason = errno;
    if (forbids_replacing(reason) && stat(target->path, &facts) == 0)
        return write_in_place(&existing, bytes, size);
    errno = reason;
    return status_fail_errno("%s: can't write", target->shown);
}

/* ---- looking before writing ---- */

/* May the file be replaced by one made beside it? In a folder like /tmp, only one's own. */
static bool can_replace(const char *path, const struct stat *file)
{
    struct stat facts;
    char *folder = path_directory(path);
    bool can =
        folder && stat(folder, &facts) == 0 && access_as_writer(folder, W_OK | X_OK) == 0;
    free(folder);
    uid_t user = geteuid();
    return can && (!(facts.st_mode & S_ISVTX) || user == 0 || user == file->st_uid ||
                   user == facts.st_uid);
}

/* The nearest folder above `path` that exists; NULL with errno. */
static char *existing_folder(const char *path)
{
    struct stat facts;
    char *folder = path_directory(path);
    while (folder && stat(folder, &facts) != 0) {
        int reason = errno;
        char *parent = reason == ENOENT ? path_directory(folder) : NULL;
        free(folder);
        folder = parent;
        errno = reason;
    }
    if (folder && !S_ISDIR(facts.st_mode)) {
        free(folder);
        folder = NULL;
        errno = ENOTDIR;
    }
    return folder;
}

/* May a file be made there, its missing folders before it? */
static enum status check_new(const struct target *target, bool *lacks_folder)
{
    char *folder = path_directory(target->path);
    char *existing = folder ? existing_folder(target->path) : NULL;
    bool may = existing && access_as_writer(existing, W_OK | X_OK) == 0;
    *lacks_folder = may && strcmp(folder, existing) != 0;
    if (*lacks_folder && target->links > 0) { /* which nobody makes */
        may = false;
        errno = ENOENT;
    }
    int reason = errno;
    free(folder);
    free(existing);
    errno = reason;
    return may ? STATUS_OK : status_fail_errno("%s: can't write", target->shown);
}

/* What the regular file at `path` begins with; "" if it can't be read. */
static void read_beginning(const char *path, uint8_t first[BEGINNING])
{
    struct stat facts;
    memset(first, 0, BEGINNING);
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool regular =
        descriptor >= 0 && fstat(descriptor, &facts) == 0 && S_ISREG(facts.st_mode);
    if (!regular || read(descriptor, first, BEGINNING) < 0)
        memset(first, 0, BEGINNING);
    if (descriptor >= 0)
        close(descriptor);
}

/* What took hours to make is no place for anything else. */
static enum status check_not_h5(const struct target *target)
{
    uint8_t first[BEGINNING];
    if (target->descriptor >= 0 || !target->is_regular)
        return STATUS_OK;
    read_beginning(target->path, first);
    if (memcmp(first, "\x89HDF\r\n\x1a\n", 8) != 0)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: an HDF5 file, as checkpoints and datasets are: not replaced; "
                       "choose another name, or remove it first",
                       target->shown);
}

static enum status check_own(const struct target *target)
{
    bool is_stdout = target->descriptor == STDOUT_FILENO;
    int flags = fcntl(is_stdout ? data_descriptor : target->descriptor, F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: closed, or not open for writing",
                       target->shown);
}

static enum status check_rights(const struct target *target, bool *lacks_folder)
{
    struct stat facts;
    *lacks_folder = false;
    if (target->descriptor >= 0)
        return check_own(target);
    if (stat(target->path, &facts) != 0)
        return check_new(target, lacks_folder);
    if ((target->is_regular && can_replace(target->path, &facts)) ||
        access_as_writer(target->path, W_OK) == 0)
        return STATUS_OK;
    return status_fail_errno("%s: can't write", target->shown);
}

/* ---- the public face ---- */

enum status file_check_output(const char *path, struct file_output *output)
{
    struct target target;
    *output = (struct file_output){0};
    enum status status = find_target(path, &target);
    if (status != STATUS_OK)
        return status;
    output->is_regular = target.is_regular;
    output->is_stdout = target.descriptor == STDOUT_FILENO;
    status = check_rights(&target, &output->lacks_folder);
    if (status == STATUS_OK)
        status = check_not_h5(&target);
    target_free(&target);
    return status;
}

/* stat, with "-" as the descriptor of a standard stream. */
static bool look_at(const char *path, int standard, struct stat *facts)
{
    return (strcmp(path, "-") == 0 ? fstat(standard, facts) : stat(path, facts)) == 0;
}

enum status file_check_not_input(const char *output, const char *input)
{
    struct stat written, read;
    if (!input || !look_at(output, data_descriptor, &written) ||
        !look_at(input, STDIN_FILENO, &read) ||
        !(S_ISREG(written.st_mode) || S_ISFIFO(written.st_mode)) ||
        written.st_dev != read.st_dev || written.st_ino != read.st_ino)
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "%s: can't be the output, as it is the input %s; choose another "
                       "name",
                       output, input);
}

enum status file_check_not_midi(const char *output)
{
    uint8_t first[BEGINNING];
    read_beginning(output, first);
    if (memcmp(first, "MThd", 4) != 0 &&
        !(memcmp(first, "RIFF", 4) == 0 && memcmp(first + 8, "RMID", 4) == 0))
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "%s: a MIDI file, and not for this output: not replaced; choose "
                       "another name, or remove it first",
                       output);
}

enum status file_reserve_stdout(void)
{
    if (data_descriptor != STDOUT_FILENO)
        return STATUS_OK;
    fflush(stdout);
    int data = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (data < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        enum status status = status_fail_errno("standard output: can't write");
        if (data >= 0)
            close(data);
        return status;
    }
    data_descriptor = data;
    return STATUS_OK;
}

enum status file_open_output(const char *path, bool (*give_up)(void), int *descriptor,
                             bool *is_regular)
{
    struct target target;
    enum status status = find_target(path, &target);
    if (status != STATUS_OK)
        return status;
    *is_regular = target.is_regular;
    status = check_not_h5(&target);
    if (status == STATUS_OK)
        status = open_target(&target, give_up, descriptor);
    target_free(&target);
    return status;
}

enum status file_write(const char *path, const void *bytes, size_t size)
{
    struct target target;
    enum status status = find_target(path, &target);
    if (status != STATUS_OK)
        return status;
    status = target.is_regular ? replace(&target, bytes, size)
                               : write_in_place(&target, bytes, size);
    target_free(&target);
    return status;
}

static enum status replace_own(const char *path, const struct content *content)
{
    struct stat facts;
    bool exists = lstat(path, &facts) == 0;
    if (exists && !S_ISREG(facts.st_mode))
        return status_fail(STATUS_FAILED, "%s: %s (expected a file, or nothing)", path,
                           file_kind(facts.st_mode));
    if (write_and_rename(path, exists ? &facts : NULL, content) != 0)
        return status_fail_errno("%s: can't write", path);
    return sync_folder(path);
}

enum status file_write_own(const char *path, const void *bytes, size_t size)
{
    return replace_own(path, &(struct content){.bytes = bytes, .size = size});
}

enum status file_write_own_by(const char *path, file_writer *write, void *context)
{
    return replace_own(path, &(struct content){.write = write, .context = context});
}

enum status file_publish(const char *partial, const char *path)
{
    enum status status = file_sync(partial);
    if (status != STATUS_OK) {
        unlink(partial);
        return status;
    }
    if (rename_or_remove(partial, path) != 0)
        return status_fail_errno("%s: can't give the finished file its name", path);
    return sync_folder(path);
}

enum status file_link(const char *target, const char *link)
{
    char *partial = make_partial(link, make_link, (void *)(uintptr_t)target);
    enum status status = STATUS_OK;
    if (!partial || rename(partial, link) != 0) {
        status = status_fail_errno("%s: can't link to %s", link, target);
        if (partial)
            unlink(partial);
    }
    free(partial);
    return status;
}
