/* statistics: what MIDI files play, in figures; several folders side by side. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "statistics_table.h"
#include "statistics_training.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "data/piece.h"
#include "data/scan.h"
#include "encode/encoding.h"
#include "midi/midi.h"
#include "statistics/corpus.h"
#include "statistics/dataset_pieces.h"
#include "statistics/excerpt.h"
#include "statistics/piece_group.h"

struct arguments {
    const char *training; /* NULL: none */
    double seconds;       /* 0: whole pieces */
    bool ignore_pedal;
    bool json;
};

/* Called for every file with notes, which it may change and which begin at time 0;
 * `context` is the visitor's. `owner` identifies the piece (see corpus.h): equal pieces in
 * several files are one. */
typedef enum status visit_notes(void *context, struct notes *notes, uint64_t owner);

struct visit {
    visit_notes *function;
    void *context;
    struct midi_limits limits;
    const struct options *options; /* for piece_prepare */
    struct encoding *encoding;     /* the same */
    struct midi_file midi;         /* the last file */
    size_t visited, skipped;
};

static enum status skip_file(struct visit *visit, const char *path, const char *reason)
{
    visit->skipped++;
    log_info("skipped %s: %s", path, reason);
    return STATUS_OK;
}

static enum status visit_bytes(struct visit *visit, const char *path,
                               const uint8_t *bytes, size_t size)
{
    struct midi_file *midi = &visit->midi;
    enum status status = midi_read(bytes, size, &visit->limits, midi);
    if (status != STATUS_OK)
        return status;
    if (midi->outcome == MIDI_SKIPPED)
        return skip_file(visit, path, midi->reason);
    struct piece_changes changes;
    status = piece_prepare(midi, visit->encoding, visit->options, &changes);
    if (status != STATUS_OK)
        return status;
    if (midi->notes.count == 0)
        return skip_file(visit, path, piece_empty_reason(&midi->notes, &changes));
    visit->visited++;
    uint64_t owner = dataset_pieces_owner(notes_hash(&midi->notes));
    excerpt_from_first_note(&midi->notes);
    return visit->function(visit->context, &midi->notes, owner);
}

static enum status visit_file(struct visit *visit, const struct scan *scan, size_t file)
{
    if (scan->files[file].kind == SCAN_DIRECTORY) /* its files are in the list */
        return STATUS_OK;
    const char *recorded = scan_path(scan, file);
    if (scan->files[file].kind == SCAN_UNOPENABLE)
        return skip_file(visit, recorded, strerror(scan->files[file].error));
    char *path = scan_absolute(scan, file);
    if (!path)
        return status_fail(STATUS_FAILED, "out of memory");
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum status status = file_read(path, visit->limits.max_bytes, &bytes, &size);
    status = status == STATUS_OK ? visit_bytes(visit, recorded, bytes, size)
                                 : skip_file(visit, recorded, status_message());
    free(bytes);
    free(path);
    return status;
}

static enum status visit_files(struct visit *visit, const struct scan *scan,
                               const char *path)
{
    struct progress progress;
    enum status status = STATUS_OK;
    progress_begin(&progress, "reading", "files", scan->file_count);
    for (size_t i = 0; i < scan->file_count && status == STATUS_OK; i++) {
        status = visit_file(visit, scan, i);
        progress_update(&progress, i + 1, NULL);
    }
    progress_end(&progress);
    if (status == STATUS_OK && visit->visited == 0)
        status = status_fail(STATUS_FAILED,
                             "%s: no MIDI file with notes (%zu files, %zu skipped)", path,
                             scan->file_count, visit->skipped);
    return status;
}

/* Reads a MIDI file, or all in a folder, as preprocess does. */
static enum status visit_path(const char *path, const struct options *options,
                              struct visit *visit)
{
    visit->options = options;
    visit->limits = (struct midi_limits){.max_bytes = (uint64_t)options->data.max_bytes,
                                         .max_notes = (uint64_t)options->data.max_notes,
                                         .min_notes = 1,
                                         .max_seconds = options->data.max_seconds};
    struct scan scan = {0};
    enum status status = encoding_from_options(options, &visit->encoding);
    if (status == STATUS_OK)
        status = scan_inputs(&path, 1, &scan);
    if (status == STATUS_OK)
        status = visit_files(visit, &scan, path);
    midi_free(&visit->midi);
    encoding_free(visit->encoding);
    scan_free(&scan);
    return status;
}

struct group_builder {
    const struct options *options;
    const struct corpus *corpus; /* NULL: none */
    double seconds;              /* of each piece; 0: all */
    struct piece_group group;
};

static enum status add_to_group(void *context, struct notes *notes, uint64_t owner)
{
    struct group_builder *builder = context;
    if (builder->seconds > 0)
        excerpt_cut(notes, builder->seconds);
    return piece_group_add(&builder->group, notes, builder->corpus, owner);
}

/* `reference` NULL: this is the first column. */
static enum status compute_column(struct group_builder *builder,
                                  const struct group_builder *reference,
                                  struct statistics_column *column)
{
    struct visit visit = {.function = add_to_group, .context = builder};
    enum status status = visit_path(column->name, builder->options, &visit);
    if (status == STATUS_OK)
        status = piece_group_summarise(
            &builder->group, reference ? &reference->group : NULL, &column->summary);
    column->skipped = visit.skipped;
    return status;
}

/* `empty`: a builder without pieces. */
static enum status compute_columns(const struct group_builder *empty,
                                   struct statistics_column *columns, size_t count)
{
    struct group_builder first = *empty;
    enum status status = compute_column(&first, NULL, &columns[0]);
    for (size_t i = 1; i < count && status == STATUS_OK; i++) {
        struct group_builder other = *empty;
        status = compute_column(&other, &first, &columns[i]);
        piece_group_free(&other.group);
    }
    piece_group_free(&first.group);
    return status;
}

static enum status print_json(const struct arguments *args,
                              const struct statistics_column *columns, size_t count)
{
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    json_string(&json, "kind", "statistics");
    json_string(&json, "training", args->training);
    json_number(&json, "excerpt_seconds",
                args->seconds > 0 ? args->seconds : (double)NAN);
    statistics_write_json(&json, columns, count);
    json_close(&json);
    return json_end(&json);
}

static enum status compute_and_print(const struct arguments *args,
                                     const struct group_builder *empty,
                                     struct statistics_column *columns, size_t count)
{
    enum status status = compute_columns(empty, columns, count);
    if (status != STATUS_OK)
        return status;
    if (args->json)
        return print_json(args, columns, count);
    statistics_print_table(columns, count);
    return STATUS_OK;
}

/* The corpus of --training, if given. A dataset determines how files are prepared. */
static enum status read_training(const struct arguments *args, struct options *options,
                                 struct corpus_builder *training)
{
    if (!args->training)
        return STATUS_OK;
    struct visit visit = {.function = corpus_builder_add, .context = training};
    if (!statistics_is_dataset(args->training))
        return visit_path(args->training, options, &visit);
    enum status status =
        statistics_read_training(args->training, &training->corpus, options);
    if (status == STATUS_OK && args->ignore_pedal && options->data.pedal != PEDAL_IGNORE)
        return status_fail(
            STATUS_MISUSE,
            "statistics: --ignore-pedal: the pieces of %s were preprocessed "
            "with data.pedal = extend; leave it out",
            args->training);
    return status;
}

static enum status statistics(const struct arguments *args, const char *const *paths,
                              size_t count)
{
    static struct options options; /* large */
    struct corpus_builder training = {0};
    struct statistics_column *columns = calloc(count, sizeof *columns);
    if (!columns)
        return status_fail(STATUS_FAILED, "no memory for %zu paths", count);
    for (size_t i = 0; i < count; i++)
        columns[i].name = paths[i];
    options_defaults(&options);
    options.data.drums = DRUMS_KEEP; /* a silence is one of all instruments */
    if (args->ignore_pedal)
        options.data.pedal = PEDAL_IGNORE;
    enum status status = read_training(args, &options, &training);
    const struct group_builder empty = {.options = &options,
                                        .corpus =
                                            args->training ? &training.corpus : NULL,
                                        .seconds = args->seconds};
    if (status == STATUS_OK)
        status = compute_and_print(args, &empty, columns, count);
    corpus_builder_free(&training);
    free(columns);
    return status;
}

/* STATUS_MISUSE for a dataset. */
static enum status check_paths(const char *const *paths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (statistics_is_dataset(paths[i]))
            return status_fail(STATUS_MISUSE,
                               "%s is a dataset; give the MIDI files that it was made of",
                               paths[i]);
    return STATUS_OK;
}

static enum status run(const struct cli_command *self, int argc, char **argv)
{
    struct arguments args = {0};
    const struct cli_argument arguments[] = {
        {.name = "--training",
         .placeholder = "PATH",
         .text = &args.training,
         .help = "dataset (its training split), MIDI file or folder: adds copied_groups, "
                 "the share of 8-note groups of the melody that stand in another piece "
                 "there"},
        {.name = "--seconds",
         .placeholder = "N",
         .number = &args.seconds,
         .low = 0.01,
         .high = 1e9,
         .help = "use only the first N seconds of each piece (default: all)"},
        {.name = "--ignore-pedal",
         .flag = &args.ignore_pedal,
         .help = "end notes when their key is released"},
        {.name = "--json", .flag = &args.json, .help = "print JSON instead of a table"},
        {.name = NULL},
    };
    static struct cli_request request;
    request = (struct cli_request){.arguments = arguments,
                                   .positional_min = 1,
                                   .positional_max = CLI_POSITIONALS_MAX};
    enum status status = cli_parse(self, &request, argc, argv);
    if (status != STATUS_OK || request.help_shown)
        return status;
    status = check_paths(request.positionals, request.positional_count);
    return status == STATUS_OK
               ? statistics(&args, request.positionals, request.positional_count)
               : status;
}

const struct cli_command command_statistics = {
    .name = "statistics",
    .summary = "compare what MIDI files play, in figures",
    .usage = "statistics PATH... [options]",
    .examples =
        "PATH is a MIDI file or a folder, searched as by preprocess; each has a column\n"
        "of its own, and the first is the reference of the others. Files that can't be\n"
        "read are skipped with a line on stderr. Pitches are those of melodic notes, "
        "not\n"
        "of percussion; pedal and long silences are treated as by preprocess. "
        "docs/usage.md defines the figures.\n"
        "\n"
        "  tutti statistics corpus runs/first/samples\n"
        "  tutti statistics corpus music.mid --training corpus --json",
    .run = run,
};
