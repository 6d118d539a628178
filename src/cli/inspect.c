/* inspect: shows a dataset, a checkpoint or a MIDI file as a table, or with --json as
 * JSON. It does not use MPI. The kind of a file is recognised by its contents. Everything
 * runs in a sandboxed child (see sandbox.h). */
#include "inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "base/sandbox.h"
#include "base/file.h"
#include "h5/h5.h"
#include "midi/midi.h"
#include "train/checkpoint_path.h"

enum kind { KIND_MIDI, KIND_CHECKPOINT, KIND_DATASET };
static const char *const kind_names[] = {"a MIDI file", "a checkpoint", "a dataset"};

static const unsigned char h5_signature[8] = "\x89HDF\r\n\x1a\n";

struct target {
    enum kind kind;
    char *path;  /* owned: the file, or a dataset's directory */
    char *shard; /* owned: name of the given shard of a dataset; else NULL */
};

static enum status no_memory(const char *path)
{
    return status_fail(STATUS_FAILED, "%s: out of memory", path);
}

static bool has_member(const char *directory, const char *name)
{
    char *path = path_join(directory, name);
    bool has = path && file_exists(path);
    free(path);
    return has;
}

static enum status detect_directory(const char *path, struct target *target)
{
    /* dataset_open reports an interrupted preprocess */
    if (has_member(path, "index.h5") || has_member(path, "UNFINISHED")) {
        target->kind = KIND_DATASET;
        target->path = strdup(path);
        return target->path ? STATUS_OK : no_memory(path);
    }
    if (access(path, R_OK | X_OK) != 0)
        return status_fail_errno("%s: can't list the directory", path);
    if (has_member(path, "shard-0000.h5"))
        return status_fail(
            STATUS_FAILED,
            "%s: an incomplete dataset: shards, but no index.h5; run `tutti "
            "preprocess` again",
            path);
    target->kind = KIND_CHECKPOINT;
    enum status status = checkpoint_path_resolve(path, "latest", &target->path);
    if (status == STATUS_OK)
        return STATUS_OK;
    return status_fail(status,
                       "%s: a directory, but neither a dataset (no index.h5) nor a run "
                       "with a checkpoint (none in checkpoints/)",
                       path);
}

/* A file of a dataset selects the dataset in its directory. */
static enum status detect_dataset_file(const char *path, bool is_index,
                                       struct target *target)
{
    target->kind = KIND_DATASET;
    target->path = path_directory(path);
    if (!target->path)
        return no_memory(path);
    if (is_index)
        return STATUS_OK;
    if (!has_member(target->path, "index.h5"))
        return status_fail(
            STATUS_FAILED,
            "%s: a shard of a dataset, but there is no index.h5 next to it; "
            "run `tutti preprocess` again",
            path);
    target->shard = strdup(path_base(path));
    return target->shard ? STATUS_OK : no_memory(path);
}

static enum status detect_h5(const char *path, struct target *target)
{
    struct h5_file *file = NULL;
    enum status status = h5_open(path, &file);
    if (status != STATUS_OK)
        return status;
    bool checkpoint = h5_has(file, "/model") && h5_has(file, "/config");
    bool index = h5_has(file, "/files") && h5_has(file, "/shards");
    bool shard = h5_has(file, "/pieces") && h5_has(file, "/tokens");
    h5_abandon(file);
    if (index || shard)
        return detect_dataset_file(path, index, target);
    if (!checkpoint)
        return status_fail(STATUS_FAILED,
                           "%s: an HDF5 file, but neither a checkpoint (no /model) nor "
                           "part of a dataset (no /pieces)",
                           path);
    target->kind = KIND_CHECKPOINT;
    target->path = strdup(path);
    return target->path ? STATUS_OK : no_memory(path);
}

static bool has_midi_signature(const unsigned char *first)
{
    return memcmp(first, "MThd", 4) == 0 || memcmp(first, "RIFF", 4) == 0;
}

/* `first` has at least four bytes, padded with zeros. */
static enum status report_unknown_format(const char *path, const unsigned char *first,
                                         size_t size)
{
    if (size == 0)
        return status_fail(STATUS_FAILED,
                           "%s: empty (expected a dataset, a checkpoint or a MIDI file)",
                           path);
    return status_fail(STATUS_FAILED,
                       "%s: neither a dataset or checkpoint (HDF5) nor a MIDI file: it "
                       "begins with %02x %02x %02x %02x",
                       path, first[0], first[1], first[2], first[3]);
}

/* A file named like a MIDI file is treated as one, even if it is damaged: the reader then
 * reports the damage. */
static enum status detect_file(const char *path, struct target *target)
{
    unsigned char first[8] = {0};
    FILE *file = fopen(path, "rb");
    if (!file)
        return status_fail_errno("%s: can't open", path);
    size_t count = fread(first, 1, sizeof first, file);
    fclose(file);
    if (count == sizeof first && memcmp(first, h5_signature, sizeof first) == 0)
        return detect_h5(path, target);
    if (has_midi_signature(first) || midi_has_extension(path)) {
        target->kind = KIND_MIDI;
        target->path = strdup(path);
        return target->path ? STATUS_OK : no_memory(path);
    }
    return report_unknown_format(path, first, count);
}

static enum status detect_kind(const char *path, struct target *target)
{
    struct stat info;
    *target = (struct target){0};
    char *resolved = checkpoint_path_follow(path);
    if (resolved) {
        enum status status = detect_file(resolved, target);
        free(resolved);
        return status;
    }
    if (stat(path, &info) != 0)
        return status_fail_errno("%s: can't inspect", path);
    if (S_ISDIR(info.st_mode))
        return detect_directory(path, target);
    if (!S_ISREG(info.st_mode))
        return status_fail(STATUS_FAILED, "%s: neither a file nor a directory", path);
    return detect_file(path, target);
}

static void free_target(struct target *target)
{
    free(target->path);
    free(target->shard);
}

static enum status show(const struct target *target,
                        const struct inspect_request *request)
{
    static enum status (*const show_kind[])(const struct inspect_request *) = {
        [KIND_MIDI] = inspect_midi,
        [KIND_CHECKPOINT] = inspect_checkpoint,
        [KIND_DATASET] = inspect_dataset,
    };
    return show_kind[target->kind](request);
}

static enum status show_difference(const struct target *first,
                                   const struct target *second,
                                   struct inspect_request *request)
{
    if (first->kind != second->kind)
        return status_fail(
            STATUS_MISUSE, "inspect: can't compare %s with %s: %s is %s, %s is %s",
            kind_names[first->kind], kind_names[second->kind], first->path,
            kind_names[first->kind], second->path, kind_names[second->kind]);
    request->other = second->path;
    if (first->kind == KIND_CHECKPOINT)
        return inspect_checkpoint_difference(request);
    if (first->kind == KIND_DATASET)
        return inspect_dataset_difference(request);
    return status_fail(STATUS_MISUSE,
                       "inspect: --diff compares checkpoints or datasets; %s is a "
                       "MIDI file",
                       first->path);
}

/* A stream can't be read twice or out of order, so it can only be a MIDI file. */
static enum status inspect_stream(const char *path, struct inspect_request *request)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum status status = file_read_input(path, 0, &bytes, &size);
    if (status != STATUS_OK)
        return status;
    unsigned char first[8] = {0};
    memcpy(first, bytes, size < sizeof first ? size : sizeof first);
    request->path = strcmp(path, "-") == 0 ? "standard input" : path;
    if (memcmp(first, h5_signature, sizeof h5_signature) == 0)
        status =
            status_fail(STATUS_MISUSE,
                        "%s: an HDF5 file can't be read from a stream; give its name "
                        "instead",
                        request->path);
    else if (has_midi_signature(first))
        status = inspect_midi_bytes(request, bytes, size);
    else
        status = report_unknown_format(request->path, first, size);
    free(bytes);
    return status == STATUS_OK ? cli_flush_output() : status;
}

static enum status inspect(const char *path, const char *other,
                           struct inspect_request *request)
{
    if (file_is_stream(path) && !other)
        return inspect_stream(path, request);
    struct target first, second = {0};
    enum status status = detect_kind(path, &first);
    if (status == STATUS_OK && other)
        status = detect_kind(other, &second);
    request->path = first.path;
    request->shard = first.shard;
    if (status == STATUS_OK)
        status =
            other ? show_difference(&first, &second, request) : show(&first, request);
    free_target(&first);
    free_target(&second);
    return status == STATUS_OK ? cli_flush_output() : status;
}

struct inspection {
    const struct cli_request *request;
    struct inspect_request *display;
    const char *other;
};

/* Runs in the sandboxed child. */
static enum status read_and_print(void *context, FILE *reply)
{
    struct inspection *inspection = context;
    const struct cli_request *request = inspection->request;
    (void)reply;
    if (request->positional_count == 1)
        return inspect(request->positionals[0], inspection->other, inspection->display);
    enum status status = inspect_runs(request->positionals, request->positional_count,
                                      inspection->display->json);
    return status == STATUS_OK ? cli_flush_output() : status;
}

static enum status inspect_sandboxed(struct cli_request *request, const char *other,
                                     struct inspect_request *display)
{
    struct inspection inspection = {request, display, other};
    const char *two[] = {request->positionals[0], other};
    const struct sandbox_inputs inputs = {.paths = other ? two : request->positionals,
                                          .count = other ? 2 : request->positional_count};
    return sandbox_run(&inputs, read_and_print, &inspection, NULL);
}

static enum status run(const struct cli_command *self, int argc, char **argv)
{
    struct inspect_request display = {0};
    const char *other = NULL;
    const struct cli_argument arguments[] = {
        {.name = "--json",
         .flag = &display.json,
         .help = "print JSON instead of a table"},
        {.name = "--verify",
         .flag = &display.verify,
         .help = "read and check everything; exit code 1 on damage"},
        {.name = "--diff",
         .placeholder = "OTHER",
         .text = &other,
         .help = "compare with another checkpoint or dataset"},
        {.name = NULL},
    };
    static struct cli_request request; /* large; used once per process */
    request = (struct cli_request){.arguments = arguments,
                                   .positional_min = 1,
                                   .positional_max = CLI_POSITIONALS_MAX};
    enum status status = cli_parse(self, &request, argc, argv);
    if (status != STATUS_OK || request.help_shown)
        return status;
    if (other && display.verify)
        return status_fail(STATUS_MISUSE,
                           "inspect: --verify and --diff are mutually exclusive; use "
                           "one of them");
    if (request.positional_count > 1 && (other || display.verify))
        return status_fail(STATUS_MISUSE,
                           "inspect: %s takes one path (several paths print a table of "
                           "runs)",
                           other ? "--diff" : "--verify");
    return inspect_sandboxed(&request, other, &display);
}

const struct cli_command command_inspect = {
    .name = "inspect",
    .summary = "show a dataset, a checkpoint or a MIDI file; compare runs",
    .usage = "inspect PATH... [--json] [--verify] [--diff OTHER]",
    .examples =
        "PATH is a dataset (its directory, index or a shard), a checkpoint, a run's "
        "directory\n"
        "(its latest checkpoint) or a MIDI file (-: stdin). Several runs are shown in "
        "one "
        "table,\n"
        "sorted by validation loss, with the settings that differ.\n"
        "\n"
        "  tutti inspect runs/first\n"
        "  tutti inspect corpus --verify\n"
        "  tutti inspect runs/first --json | jq .history[-1].valid_loss\n"
        "  tutti inspect runs/first --diff runs/second\n"
        "  tutti inspect runs/sweep/*",
    .run = run,
};
