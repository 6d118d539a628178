/* run_claim: see the header. */
#include "run_claim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_names.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"

enum { MARKER_MAX = 64 << 20 };
static const char header[] = "tutti run 1\n";

struct run_claim {
    char *path, *text; /* of the marker */
    char id[RUN_ID_SIZE];
    bool unsaved; /* `text` has lines that the file lacks */
};

static enum status out_of_memory(const char *path)
{
    return status_fail(STATUS_FAILED, "%s: out of memory", path);
}

/* ---- reading the marker ---- */

/* *text: the text of the marker, owned by the caller, or NULL if there is no marker. */
static enum status read_marker(const char *path, char **text)
{
    struct stat st;
    uint8_t *bytes = NULL;
    size_t size = 0;
    *text = NULL;
    if (!path)
        return out_of_memory(RUN_MARKER);
    if (lstat(path, &st) != 0)
        return STATUS_OK;
    enum status status = file_read(path, MARKER_MAX, &bytes, &size);
    if (status != STATUS_OK)
        return status;
    *text = strndup((char *)bytes, size);
    free(bytes);
    if (!*text)
        return out_of_memory(path);
    if (!**text || strncmp(*text, header, strlen(header)) == 0)
        return STATUS_OK;
    free(*text);
    *text = NULL;
    return status_fail(
        STATUS_MISUSE,
        "%s: does not mark a run of this version of tutti (expected \"%.*s\" "
        "as its first line): set another run.dir",
        path, (int)strlen(header) - 1, header);
}

/* The id in the marker's text; "" if there is none. */
static void copy_id(const char *text, char id[RUN_ID_SIZE])
{
    static const char key[] = "\nid ";
    const char *line = strstr(text, key);
    const char *value = line ? line + strlen(key) : "";
    snprintf(id, RUN_ID_SIZE, "%.*s", (int)strcspn(value, "\n"), value);
}

enum status run_claim_peek(const char *directory, bool *marked, char id[RUN_ID_SIZE])
{
    char *text, *path = path_join(directory, RUN_MARKER);
    enum status status = read_marker(path, &text);
    *marked = text != NULL;
    copy_id(text ? text : "", id);
    free(text);
    free(path);
    return status;
}

/* ---- claiming ---- */

enum status run_claim_mark(const char *directory)
{
    char *path = path_join(directory, RUN_MARKER);
    if (!path)
        return out_of_memory(directory);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    enum status status = STATUS_OK;
    if (file >= 0)
        close(file);
    else if (errno != EEXIST)
        status = status_fail_errno("%s: can't be created", path);
    free(path);
    return status;
}

static enum status write_id(struct run_claim *claim)
{
    char *text = path_format("%sid %016" PRIx64 "\n", header, file_random_number());
    if (!text)
        return out_of_memory(claim->path);
    free(claim->text);
    claim->text = text;
    claim->unsaved = true;
    return run_claim_save(claim);
}

enum status run_claim_open(const char *directory, struct run_claim **out)
{
    struct run_claim *claim = *out = calloc(1, sizeof *claim);
    if (!claim)
        return out_of_memory(directory);
    claim->path = path_join(directory, RUN_MARKER);
    enum status status = read_marker(claim->path, &claim->text);
    if (status == STATUS_OK && (!claim->text || !*claim->text))
        status = write_id(claim);
    if (status == STATUS_OK) {
        copy_id(claim->text, claim->id);
        return STATUS_OK;
    }
    run_claim_close(claim);
    *out = NULL;
    return status;
}

void run_claim_close(struct run_claim *claim)
{
    if (!claim)
        return;
    free(claim->path);
    free(claim->text);
    free(claim);
}

const char *run_claim_id(const struct run_claim *claim)
{
    return claim->id;
}

/* An unreadable marker does not prove that the folder is another run's. */
enum status run_claim_verify(const struct run_claim *claim)
{
    char *text, id[RUN_ID_SIZE] = "";
    if (read_marker(claim->path, &text) == STATUS_OK && text)
        copy_id(text, id);
    free(text);
    if (!id[0] || strcmp(id, claim->id) == 0)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: marks another run: the folder of this one was removed, and a "
                       "new run has begun under its name",
                       claim->path);
}

/* ---- files written by the run ---- */

/* "\nNAME HASH\n", as in the marker; the caller frees it. */
static char *line_of(const char *name, const void *bytes, size_t size)
{
    char hash[HASH64_TEXT];
    return path_format("\n%s %s\n", name, hash64_text(hash64(bytes, size), hash));
}

bool run_claim_has_record(const struct run_claim *claim, const char *name,
                          const void *bytes, size_t size)
{
    char *line = line_of(name, bytes, size);
    bool wrote = line && strstr(claim->text, line);
    free(line);
    return wrote;
}

enum status run_claim_record(struct run_claim *claim, const char *name, const void *bytes,
                             size_t size)
{
    if (run_claim_has_record(claim, name, bytes, size))
        return STATUS_OK;
    char *line = line_of(name, bytes, size);
    char *text = line ? path_format("%s%s", claim->text, line + 1) : NULL;
    free(line);
    if (!text)
        return out_of_memory(claim->path);
    free(claim->text);
    claim->text = text;
    claim->unsaved = true;
    return STATUS_OK;
}

enum status run_claim_save(struct run_claim *claim)
{
    if (!claim->unsaved)
        return STATUS_OK;
    enum status status =
        file_write_nofollow(claim->path, claim->text, strlen(claim->text));
    claim->unsaved = status != STATUS_OK;
    return status;
}

enum status run_move_aside(const char *path)
{
    char *kept;
    enum status status = file_move_aside(path, &kept);
    if (status == STATUS_OK)
        log_info("%s: not written by this run: kept as %s", path, kept);
    free(kept);
    return status;
}
