/* file_names: temporary names and unused names; see file.h.
 *
 *     .NAME.partial                  one writer at a time, which holds a lock (h5_create)
 *     .NAME.3fa9c01b72de.partial     any number of writers: 48 random bits
 *     NAME.WORD-3fa9c01b72de         the same, for a complete file
 *     NAME.kept-1                    moved aside
 */
#include "file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"

enum {
    BASE_MAX = 200, /* bytes of NAME, so that the temporary name stays below 255 */
    RANDOM_BITS = 48,
    RANDOM_DIGITS = RANDOM_BITS / 4
};

static const char suffix[] = ".partial";

char *file_partial_name(const char *path)
{
    const char *base = path_base(path);
    return path_format("%.*s.%s.partial", (int)(base - path), path, base);
}

const char *file_final_name(const char *name, size_t *length, bool *is_random)
{
    const size_t suffix_length = sizeof suffix - 1;
    if (name[0] != '.' || *length <= suffix_length + 1 ||
        memcmp(name + *length - suffix_length, suffix, suffix_length) != 0)
        return NULL;
    size_t end = *length - suffix_length;
    const size_t digits = end > RANDOM_DIGITS + 2 ? end - RANDOM_DIGITS : 0;
    *is_random = digits > 0 && name[digits - 1] == '.' &&
                 strspn(name + digits, "0123456789abcdef") == RANDOM_DIGITS;
    *length = end - 1 - (*is_random ? RANDOM_DIGITS + 1 : 0);
    return name + 1;
}

/* Without random digits the file may belong to another program: ".movie.partial". */
bool file_is_temporary_name(const char *name)
{
    size_t length = strlen(name);
    bool is_random;
    return file_final_name(name, &length, &is_random) && is_random;
}

uint64_t file_random_number(void)
{
    static atomic_uint_least64_t calls;
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != sizeof number) { /* in some sandboxes */
        struct timespec now = {0};
        clock_gettime(CLOCK_REALTIME, &now);
        const uint64_t entropy[] = {(uint64_t)now.tv_sec, (uint64_t)now.tv_nsec,
                                    (uint64_t)getpid(), calls++};
        number = hash64(entropy, sizeof entropy);
    }
    return number;
}

static unsigned long long random_digits(void)
{
    return file_random_number() >> (64 - RANDOM_BITS);
}

char *file_temporary_name(const char *path)
{
    const char *base = path_base(path);
    size_t length = strlen(base);
    if (length > BASE_MAX)
        for (length = BASE_MAX; length > 0 && (base[length] & 0xC0) == 0x80;)
            length--; /* don't split a UTF-8 character */
    return path_format("%.*s.%.*s.%012llx%s", (int)(base - path), path, (int)length, base,
                       random_digits(), suffix);
}

char *file_unused_name(const char *path, const char *word)
{
    struct stat st;
    for (int i = 0; i < FILE_NAME_ATTEMPTS; i++) {
        char *name = path_format("%s.%s-%012llx", path, word, random_digits());
        if (!name || (lstat(name, &st) != 0 && errno == ENOENT))
            return name;
        free(name);
    }
    errno = EEXIST;
    return NULL;
}

/* Renames `from` to `to` unless `to` exists; -1 with errno. */
static int rename_noreplace(const char *from, const char *to)
{
    struct stat st;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) /* NFS and others */
        return -1;
    if (lstat(to, &st) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

enum status file_move_aside(const char *path, char **kept)
{
    for (int number = 1;; number++) {
        *kept = path_format("%s.kept-%d", path, number);
        if (!*kept)
            return status_fail(STATUS_FAILED, "%s: out of memory", path);
        if (rename_noreplace(path, *kept) == 0)
            return STATUS_OK;
        int reason = errno;
        free(*kept);
        *kept = NULL;
        errno = reason;
        if (reason != EEXIST)
            return status_fail_errno("%s: can't be moved aside", path);
    }
}
