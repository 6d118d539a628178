/* trainer_floors: the floors cost a pass over all training tokens, which is nothing beside
 * reading them into memory, but much where they stay on disk. So a run that streams keeps
 * its floors in its directory, for when it is continued:
 *
 *     run.dir/floors.txt   DATASET_HASH UNIGRAM BIGRAM HASH_OF_WHAT_STANDS_BEFORE
 *
 * A file of another dataset, or a damaged one, is as good as none.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer_internal.h"
#include "tutti/file.h"
#include "tutti/hash.h"
#include "tutti/log.h"

enum { LINE_SIZE = 128 };

/* 17 digits give the same double back. */
static void write_line(const struct trainer *trainer, const struct floors *floors,
                       char line[LINE_SIZE])
{
    char hash[HASH64_TEXT];
    int used = snprintf(line, LINE_SIZE, "%016" PRIx64 " %.17g %.17g",
                        trainer->dataset->dataset_hash, floors->unigram, floors->bigram);
    hash64_text(hash64(line, (size_t)used), hash);
    snprintf(line + used, LINE_SIZE - (size_t)used, " %s\n", hash);
}

/* What was kept, if it is just what would be written for it now. */
static bool read_kept(const struct trainer *trainer, const char *path, struct floors *out)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    char line[LINE_SIZE], again[LINE_SIZE] = "";
    if (!file_exists(path) || file_read(path, LINE_SIZE - 1, &bytes, &size) != STATUS_OK)
        return false;
    snprintf(line, sizeof line, "%.*s", (int)size, (const char *)bytes);
    free(bytes);
    if (sscanf(line, "%*16[0-9a-f] %lf %lf", &out->unigram, &out->bigram) == 2)
        write_line(trainer, out, again);
    return strcmp(line, again) == 0;
}

/* Collective. */
static enum status find_kept(const struct trainer *trainer, const char *path, bool *found,
                             struct floors *out)
{
    struct {
        int64_t found;
        struct floors floors;
    } kept = {0};
    if (comm_rank(trainer->comm) == 0)
        kept.found = read_kept(trainer, path, &kept.floors);
    enum status status = comm_broadcast(trainer->comm, &kept, sizeof kept);
    *found = kept.found;
    if (*found)
        *out = kept.floors;
    return status;
}

static void keep(const struct trainer *trainer, const char *path)
{
    char line[LINE_SIZE];
    if (comm_rank(trainer->comm) != 0)
        return;
    write_line(trainer, &trainer->floors, line);
    if (file_write(path, line, strlen(line)) != STATUS_OK)
        log_warn("%s; the next start will count the tokens again", status_message());
}

enum status trainer_floors(struct trainer *trainer)
{
    bool streams = trainer->data_plan.training > 0, found = false;
    char *path = path_format("%s/floors.txt", trainer->now.options.run.dir);
    enum status status = path ? STATUS_OK : status_fail(STATUS_FAILED, "out of memory");
    status = comm_agree(trainer->comm, status);
    if (status == STATUS_OK && streams)
        status = find_kept(trainer, path, &found, &trainer->floors);
    if (status == STATUS_OK && !found) {
        status = evaluate_floors(trainer->comm, trainer->dataset, SPLIT_VALID,
                                 &trainer->floors);
        if (status == STATUS_OK && streams)
            keep(trainer, path);
    }
    free(path);
    return status;
}
