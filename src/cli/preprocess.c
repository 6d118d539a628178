/* preprocess: folders of MIDI files -> a dataset. The summary at the end is read from the
 * dataset on disk. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "inspect.h"
#include "inspect_reasons.h"
#include "launch.h"
#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/standard_streams.h"
#include "data/dataset.h"
#include "data/preprocess.h"

struct arguments {
    const char *output, *config, *list;
    bool replace;
};

/* Prints a path or reason as a field of a TSV file, escaped as in the dataset, so that a
 * path can be copied to a split file. */
static void print_field(FILE *out, const char *text)
{
    size_t size = PRINTABLE_SIZE(strlen(text));
    char *shown = malloc(size);
    if (shown)
        printable_copy(shown, size, text);
    fputs(shown ? shown : "(out of memory)", out);
    free(shown);
}

static void print_files(FILE *out, const struct dataset_files *files)
{
    fputs("path\toutcome\treason\tbytes\tnotes\tseconds\n", out);
    for (size_t i = 0; i < files->count; i++) {
        print_field(out, files->paths[i]);
        fprintf(out, "\t%s\t", file_outcome_name((enum file_outcome)files->outcomes[i]));
        print_field(out, files->reasons[i]);
        fprintf(out, "\t%llu\t%llu\t%.6g\n", (unsigned long long)files->bytes[i],
                (unsigned long long)files->notes[i], files->seconds[i]);
    }
}

/* The table of files as TSV; the caller frees *text. */
static enum status list_text(const struct dataset *dataset, char **text, size_t *size)
{
    struct dataset_files files;
    enum status status = dataset_read_files(dataset, &files);
    if (status != STATUS_OK)
        return status;
    FILE *out = open_memstream(text, size);
    if (out)
        print_files(out, &files);
    if (!out || fclose(out) != 0)
        status = status_fail(STATUS_FAILED, "out of memory for the list of files");
    dataset_files_free(&files);
    return status;
}

static enum status write_list(const struct dataset *dataset, const char *path)
{
    char *text = NULL;
    size_t size = 0;
    struct file_output output;
    enum status status = list_text(dataset, &text, &size);
    if (status == STATUS_OK) /* checked again: it may be a file of the new dataset */
        status = file_check_output(path, &output);
    if (status == STATUS_OK)
        status = file_write(path, text, size);
    if (status != STATUS_OK)
        status = status_fail(status,
                             "%s; the list of files is not written (the dataset %s is "
                             "complete)",
                             status_message(), dataset->path);
    free(text);
    return status;
}

static void print_rates(const struct preprocess_summary *summary, int ranks)
{
    char bytes[INSPECT_COUNT_SIZE], duration[64];
    if (summary->seconds < 60)
        snprintf(duration, sizeof duration, "%.2f s", summary->seconds);
    else
        duration_text(summary->seconds, duration, sizeof duration);
    double seconds = summary->seconds > 1e-9 ? summary->seconds : 1e-9;
    printf("\n%s bytes of MIDI in %s on %d rank%s: %.1f MB/s per rank, %.0f files/s\n",
           inspect_count(summary->bytes, bytes), duration, ranks, ranks == 1 ? "" : "s",
           (double)summary->bytes / 1e6 / seconds / ranks,
           (double)summary->files / seconds);
}

static void print_outcomes(const struct dataset *dataset)
{
    char count[INSPECT_COUNT_SIZE];
    uint64_t files = 0;
    printf("\n  %-10s %12s\n", "outcome", "files");
    for (int outcome = 0; outcome < FILE_OUTCOMES; outcome++) {
        files += dataset->outcomes[outcome];
        printf("  %-10s %12s\n", file_outcome_name((enum file_outcome)outcome),
               inspect_count(dataset->outcomes[outcome], count));
    }
    printf("  %-10s %12s\n", "all", inspect_count(files, count));
}

static void print_splits(const struct dataset *dataset)
{
    char pieces[INSPECT_COUNT_SIZE], notes[INSPECT_COUNT_SIZE],
        tokens[INSPECT_COUNT_SIZE];
    const struct split_counts *total = &dataset->total;
    printf("\n  %-10s %12s %14s %14s %10s\n", "split", "pieces", "notes", "tokens",
           "hours");
    for (int split = 0; split < SPLITS; split++)
        printf("  %-10s %12s %14s %14s %10.2f\n", split_name((enum split)split),
               inspect_count(total->pieces[split], pieces),
               inspect_count(total->notes[split], notes),
               inspect_count(total->tokens[split], tokens), total->seconds[split] / 3600);
}

/* Training needs both a training and a validation split. */
static void warn_of_empty_splits(const struct dataset *dataset)
{
    for (int split = SPLIT_TRAIN; split <= SPLIT_VALID; split++)
        if (dataset->total.pieces[split] == 0)
            log_warn("the %s split is empty: preprocess again with another data.split or "
                     "data.seed",
                     split_name((enum split)split));
}

/* Prints commands that can be pasted as they are, except for CONFIG. */
static void print_next_commands(const char *dataset)
{
    char text[LAUNCH_TEXT_SIZE];
    char *setting = path_format("data.dataset=%s", dataset);
    struct launch inspect = {0}, train = {0};
    launch_add_words(&inspect, launch_self(), "inspect", dataset, NULL);
    printf("more: %s\n", launch_text(&inspect, text));
    launch_add_words(&train, launch_self(), "train", "CONFIG", "--set", setting, NULL);
    printf("next: %s\n", launch_text(&train, text));
    free(setting);
}

static enum status report(const struct preprocess_request *request,
                          const struct preprocess_summary *summary, int ranks,
                          const char *list)
{
    struct dataset *dataset = NULL;
    struct inspect_reasons reasons = {0};
    enum status status = dataset_open(request->output, &dataset);
    if (status == STATUS_OK)
        status = inspect_reasons_read(dataset, &reasons);
    if (status == STATUS_OK) {
        printable_line(stdout, "dataset %s: %zu shards, encoding %s", dataset->path,
                       dataset->shard_count, dataset->encoding->name);
        print_outcomes(dataset);
        inspect_reasons_print(&reasons, FILE_REPAIRED);
        inspect_reasons_print(&reasons, FILE_SKIPPED);
        print_splits(dataset);
        putchar('\n');
        inspect_print_lost_notes(dataset);
        inspect_print_merges(dataset->encoding, request->options->data.bpe);
        print_rates(summary, ranks);
        print_next_commands(dataset->path);
        warn_of_empty_splits(dataset);
        if (list)
            status = write_list(dataset, list);
    }
    inspect_reasons_free(&reasons);
    dataset_close(dataset);
    return status;
}

/* The list must not replace an input: a named file, or a MIDI file in a folder. */
static enum status check_list(const struct cli_request *request,
                              const struct arguments *args)
{
    const char *const inputs[] = {args->config, request->options->data.split_file};
    enum status status = cli_check_inputs(args->list, true, inputs, 2);
    return status == STATUS_OK ? cli_check_inputs(args->list, false, request->positionals,
                                                  request->positional_count)
                               : status;
}

static enum status check_inputs(const struct cli_request *request)
{
    for (size_t i = 0; i < request->positional_count; i++)
        if (strcmp(request->positionals[i], "-") == 0)
            return status_fail(STATUS_MISUSE,
                               "-: a folder of MIDI files can't be read from standard "
                               "input; give its name, for example ~/midi");
    return STATUS_OK;
}

static enum status check_outputs(const struct cli_request *request,
                                 struct arguments *args)
{
    if (!args->output)
        args->output = request->options->data.dataset;
    if (!args->output[0])
        return status_fail(STATUS_MISUSE, "preprocess: no output; add a folder name, for "
                                          "example -o data/mine");
    if (strcmp(args->output, "-") == 0)
        return status_fail(STATUS_MISUSE, "-o -: a dataset is a folder and can't go to "
                                          "standard output; give a name, for example "
                                          "-o data/mine");
    enum status status = check_inputs(request);
    if (status != STATUS_OK)
        return status;
    size_t length = strlen(args->output);
    bool is_inside_output =
        args->list && strncmp(args->list, args->output, length) == 0 &&
        (args->list[length] == '/' || args->output[length - 1] == '/');
    status = cli_check_output(args->list, is_inside_output);
    return status == STATUS_OK ? check_list(request, args) : status;
}

static enum status run_preprocess(struct cli_request *request, struct arguments *args)
{
    struct comm *comm = NULL;
    enum status status = cli_open_with_settings(args->config, request, &comm);
    if (status != STATUS_OK)
        return status;
    status = comm_agree(comm, check_outputs(request, args));
    const struct preprocess_request preprocess_request = {.inputs = request->positionals,
                                                          .input_count =
                                                              request->positional_count,
                                                          .output = args->output,
                                                          .replace = args->replace,
                                                          .options = request->options};
    struct preprocess_summary summary;
    if (status == STATUS_OK)
        status = preprocess(comm, &preprocess_request, &summary);
    if (status == STATUS_OK && comm_rank(comm) == 0)
        status = report(&preprocess_request, &summary, comm_size(comm), args->list);
    status = comm_agree(comm, status);
    comm_close(comm);
    return status;
}

static enum status run(const struct cli_command *self, int argc, char **argv)
{
    struct arguments args = {0};
    const struct cli_argument arguments[] = {
        {.name = "-o",
         .placeholder = "DATASET",
         .text = &args.output,
         .help = "dataset folder to write (default: data.dataset of --config)"},
        {.name = "--output",
         .placeholder = "DATASET",
         .text = &args.output,
         .help = "same as -o"},
        {.name = "--config",
         .placeholder = "FILE",
         .text = &args.config,
         .help = "configuration whose [data] section is used"},
        {.name = "--replace",
         .flag = &args.replace,
         .help = "replace DATASET if it exists and is a dataset"},
        {.name = "--list",
         .placeholder = "FILE.tsv",
         .text = &args.list,
         .help = "write a table of the outcome of every input file (-: stdout)"},
        {.name = NULL},
    };
    static struct options options; /* large; used once per process */
    options_defaults(&options);
    static struct cli_request request;
    request = (struct cli_request){.arguments = arguments,
                                   .sections = SECTION_DATA,
                                   .accepts_set = true,
                                   .options = &options,
                                   .positional_min = 1,
                                   .positional_max = sizeof request.positionals /
                                                     sizeof *request.positionals};
    enum status status = cli_parse(self, &request, argc, argv);
    if (status != STATUS_OK || request.help_shown)
        return status;
    standard_streams_ignore_sigpipe();
    return run_preprocess(&request, &args);
}

const struct cli_command command_preprocess = {
    .name = "preprocess",
    .summary = "convert MIDI files to a dataset",
    .usage = "preprocess FOLDER... -o DATASET [options]",
    .examples =
        "Folders are searched for names ending in .mid .midi .kar .rmi .smf; a file "
        "given "
        "by\n"
        "name is read under any name. The dataset records the outcome of every file: "
        "tutti\n"
        "inspect DATASET.\n"
        "\n"
        "Encodings: performance for expressive playing (10 ms, dynamics, no bars);\n"
        "pianoroll for chords on a grid of beats, without dynamics; remi for scores and "
        "bands:\n"
        "bars, positions, dynamics, tempos, time signatures and, with --programs keep\n"
        "--drums keep, every instrument.\n"
        "\n"
        "  tutti preprocess ~/midi -o data/mine\n"
        "  mpirun -n 8 tutti preprocess ~/midi more.mid -o data/mine --replace\n"
        "  tutti preprocess ~/midi -o data/roll --encoding pianoroll --grid 1/4\n"
        "  tutti preprocess ~/midi -o data/roll --encoding pianoroll --repeats\n"
        "  tutti preprocess ~/midi -o data/tunes --tracks melody\n"
        "  tutti preprocess ~/midi -o data/keys --only-programs 0-7,16-23\n"
        "  tutti preprocess ~/midi -o data/band --encoding remi --programs keep --drums "
        "keep\n"
        "  tutti preprocess ~/midi -o data/mine --split '0.8 0.1 0.1' --list files.tsv",
    .run = run,
};
