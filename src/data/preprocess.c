/* preprocess: the steps in order. At the end of every step all ranks agree on the
 * outcome, so that they return together. */
#include "preprocess.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preprocess_internal.h"
#include "output.h"
#include "base/progress.h"

static enum status list_files(struct preprocess *preprocess,
                              const struct preprocess_request *request)
{
    struct scan *scan = &preprocess->scan;
    enum status status = scan_inputs(request->inputs, request->input_count, scan);
    if (status != STATUS_OK)
        return status;
    if (scan->file_count == 0)
        return status_fail(
            STATUS_FAILED,
            "no MIDI files in %s%s (looked for names ending in .mid .midi .kar "
            ".rmi .smf)",
            request->inputs[0], request->input_count > 1 ? " and the other inputs" : "");
    if (request->options->data.split_file[0])
        status = split_file_read(request->options->data.split_file, scan);
    return status;
}

/* Sends the path of the directory that rank 0 has created to all ranks, which write to
 * it. */
static enum status broadcast_partial(struct preprocess *preprocess,
                                     const struct output *output)
{
    char path[PATH_MAX] = "";
    if (output->partial)
        snprintf(path, sizeof path, "%s", output->partial);
    enum status status = comm_broadcast(preprocess->comm, path, sizeof path);
    preprocess->partial = status == STATUS_OK ? strdup(path) : NULL;
    if (status == STATUS_OK && !preprocess->partial)
        status = status_fail(STATUS_FAILED, "out of memory");
    return comm_agree(preprocess->comm, status);
}

/* Only rank 0 accesses the file system before all ranks have agreed. */
static enum status begin(struct preprocess *preprocess,
                         const struct preprocess_request *request, struct output *output)
{
    enum status status = encoding_from_options(request->options, &preprocess->encoding);
    if (comm_rank(preprocess->comm) == 0) {
        if (status == STATUS_OK)
            status = output_set_paths(request->output, request->replace, output);
        if (status == STATUS_OK)
            status = output_check(output);
        if (status == STATUS_OK)
            status = list_files(preprocess, request);
        if (status == STATUS_OK)
            status = output_begin(output, (size_t)request->options->data.shards,
                                  comm_size(preprocess->comm));
    }
    status = preprocess_broadcast_status(preprocess->comm, status);
    if (status == STATUS_OK)
        status = broadcast_partial(preprocess, output);
    return status == STATUS_OK ? scan_broadcast(preprocess->comm, &preprocess->scan)
                               : status;
}

static enum status finish(struct preprocess *preprocess, struct output *output)
{
    enum status status = STATUS_OK;
    if (comm_rank(preprocess->comm) == 0) {
        spill_remove(preprocess->partial, comm_size(preprocess->comm));
        status = preprocess_write_index(preprocess);
    } else {
        status = output_sync(preprocess->partial);
    }
    status = comm_agree(preprocess->comm, status);
    if (status == STATUS_OK && comm_rank(preprocess->comm) == 0)
        status = output_publish(output);
    return preprocess_broadcast_status(preprocess->comm, status);
}

static void count_outcomes(const struct preprocess *preprocess,
                           struct preprocess_summary *summary)
{
    const struct records *records = &preprocess->records;
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

static enum status summarise(struct preprocess *preprocess, double started,
                             struct preprocess_summary *summary)
{
    memset(summary, 0, sizeof *summary);
    if (comm_rank(preprocess->comm) == 0)
        count_outcomes(preprocess, summary);
    summary->pieces = preprocess->piece_count;
    for (size_t i = 0; i < preprocess->piece_count; i++) {
        summary->notes += preprocess->pieces[i].notes;
        summary->tokens += preprocess->pieces[i].tokens;
    }
    summary->seconds = clock_seconds() - started;
    return comm_broadcast(preprocess->comm, summary, sizeof *summary);
}

static void release(struct preprocess *preprocess)
{
    scan_free(&preprocess->scan);
    spill_free(&preprocess->spill);
    records_free(&preprocess->records);
    encoding_free(preprocess->encoding);
    free(preprocess->partial);
    free(preprocess->pieces);
    free(preprocess->shard_first);
    free(preprocess->shards);
    free(preprocess->shard_hashes);
}

enum status preprocess(struct comm *comm, const struct preprocess_request *request,
                       struct preprocess_summary *summary)
{
    double started = clock_seconds();
    struct preprocess state = {.comm = comm, .options = request->options};
    state.spill.descriptor = -1;
    struct output output = output_none();
    enum status status = begin(&state, request, &output);
    if (status == STATUS_OK)
        status = preprocess_read(&state);
    if (status == STATUS_OK)
        status = preprocess_plan(&state);
    if (status == STATUS_OK)
        status = preprocess_merge(&state);
    if (status == STATUS_OK)
        status = preprocess_write_shards(&state);
    if (status == STATUS_OK)
        status = finish(&state, &output);
    if (status == STATUS_OK)
        status = summarise(&state, started, summary);
    else
        output_abandon(&output);
    release(&state);
    output_free(&output);
    return status;
}
