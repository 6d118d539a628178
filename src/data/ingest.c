/* ingest: the steps of a preprocess, in order. Every step ends with all ranks knowing
 * whether all have succeeded, so that they leave together. */
#include "ingest.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest_internal.h"
#include "output.h"
#include "base/log.h"
#include "base/progress.h"

enum status ingest_agree_with_first(struct comm *comm, enum status status)
{
    struct {
        int status;
        char message[STATUS_MESSAGE_SIZE];
    } said = {.status = (int)status};
    if (status != STATUS_OK)
        snprintf(said.message, sizeof said.message, "%s", status_message());
    enum status sent = comm_broadcast(comm, &said, sizeof said);
    if (sent != STATUS_OK)
        return comm_agree(comm, sent);
    if (said.status != STATUS_OK)
        status_set_message(said.message);
    return comm_agree(comm, said.status != STATUS_OK ? (enum status)said.status : status);
}

static enum status list_files(struct ingest *ingest, const struct ingest_request *request)
{
    struct scan *scan = &ingest->scan;
    enum status status = scan_inputs(request->inputs, request->input_count, scan);
    if (status != STATUS_OK)
        return status;
    if (scan->file_count == 0)
        return status_fail(
            STATUS_FAILED,
            "no MIDI files in %s%s (looked for names ending in .mid .midi .kar "
            ".rmi .smf)",
            request->inputs[0], request->input_count > 1 ? " and the others" : "");
    if (request->options->data.split_file[0])
        status = split_file_read(request->options->data.split_file, scan);
    return status;
}

/* All ranks work in the directory that rank 0 has made. */
static enum status share_partial(struct ingest *ingest, const struct output *output)
{
    char path[PATH_MAX] = "";
    if (output->partial)
        snprintf(path, sizeof path, "%s", output->partial);
    enum status status = comm_broadcast(ingest->comm, path, sizeof path);
    ingest->partial = status == STATUS_OK ? strdup(path) : NULL;
    if (status == STATUS_OK && !ingest->partial)
        status = status_fail(STATUS_FAILED, "out of memory");
    return comm_agree(ingest->comm, status);
}

/* Rank 0 alone touches the file system before all have agreed. */
static enum status begin(struct ingest *ingest, const struct ingest_request *request,
                         struct output *output)
{
    enum status status = encoding_of_options(request->options, &ingest->encoding);
    if (comm_rank(ingest->comm) == 0) {
        if (status == STATUS_OK)
            status = output_name(request->output, request->replace, output);
        if (status == STATUS_OK)
            status = output_check(output);
        if (status == STATUS_OK)
            status = list_files(ingest, request);
        if (status == STATUS_OK)
            status = output_begin(output, (size_t)request->options->data.shards,
                                  comm_size(ingest->comm));
    }
    status = ingest_agree_with_first(ingest->comm, status);
    if (status == STATUS_OK)
        status = share_partial(ingest, output);
    return status == STATUS_OK ? scan_broadcast(ingest->comm, &ingest->scan) : status;
}

static enum status finish(struct ingest *ingest, struct output *output)
{
    enum status status = STATUS_OK;
    if (comm_rank(ingest->comm) == 0) {
        spill_remove(ingest->partial, comm_size(ingest->comm));
        status = ingest_write_index(ingest);
    } else {
        status = output_sync(ingest->partial);
    }
    status = comm_agree(ingest->comm, status);
    if (status == STATUS_OK && comm_rank(ingest->comm) == 0)
        status = output_publish(output);
    return ingest_agree_with_first(ingest->comm, status);
}

static void count_outcomes(const struct ingest *ingest, struct ingest_summary *summary)
{
    const struct records *records = &ingest->records;
    uint64_t outcomes[FILE_OUTCOMES] = {0};
    for (size_t i = 0; i < records->count; i++) {
        outcomes[records->items[i].outcome]++;
        summary->bytes += records->items[i].bytes;
    }
    summary->files = records->count;
    summary->ok = outcomes[FILE_OK];
    summary->repaired = outcomes[FILE_REPAIRED];
    summary->skipped = outcomes[FILE_SKIPPED];
    summary->duplicates = outcomes[FILE_DUPLICATE];
}

static enum status summarise(struct ingest *ingest, double started,
                             struct ingest_summary *summary)
{
    memset(summary, 0, sizeof *summary);
    if (comm_rank(ingest->comm) == 0)
        count_outcomes(ingest, summary);
    summary->pieces = ingest->kept_count;
    for (size_t i = 0; i < ingest->kept_count; i++) {
        summary->notes += ingest->kept[i].notes;
        summary->tokens += ingest->kept[i].tokens;
    }
    summary->seconds = clock_seconds() - started;
    return comm_broadcast(ingest->comm, summary, sizeof *summary);
}

static void free_ingest(struct ingest *ingest)
{
    scan_free(&ingest->scan);
    spill_free(&ingest->spill);
    records_free(&ingest->records);
    encoding_free(ingest->encoding);
    free(ingest->partial);
    free(ingest->kept);
    free(ingest->shard_first);
    free(ingest->shards);
    free(ingest->shard_hashes);
}

enum status ingest(struct comm *comm, const struct ingest_request *request,
                   struct ingest_summary *summary)
{
    double started = clock_seconds();
    struct ingest state = {.comm = comm, .options = request->options};
    state.spill.descriptor = -1;
    struct output output = output_none();
    enum status status = begin(&state, request, &output);
    if (status == STATUS_OK)
        status = ingest_read(&state);
    if (status == STATUS_OK)
        status = ingest_plan(&state);
    if (status == STATUS_OK)
        status = ingest_write_shards(&state);
    if (status == STATUS_OK)
        status = finish(&state, &output);
    if (status == STATUS_OK)
        status = summarise(&state, started, summary);
    else
        output_abandon(&output);
    free_ingest(&state);
    output_free(&output);
    return status;
}
