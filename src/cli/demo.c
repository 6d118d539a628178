/* demo: the whole main job on a corpus that tutti composes itself. The corpus comes from
 * a rule with known probabilities, so the report can say how much of what can be learnt
 * was learnt: the model's nats per token over the true entropy.
 *
 * The steps are run as a user would run them, as programs of their own; each command is
 * shown before it runs and can be copied.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "demo_corpus.h"
#include "launch.h"
#include "base/file.h"
#include "base/log.h"
#include "base/owned_directory.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/standard_streams.h"
#include "train/run_names.h"

enum { MICROBATCHES = 8, DEFAULT_PIECES = 200, DEFAULT_EPOCHS = 20, COMMANDS = 8 };

/* Tuned on this corpus; a GRU learns it in a third of an LSTM's steps. */
static const char settings_format[] =
    "# Made by `tutti demo`: a small GRU for the composed corpus.\n"
    "[data]\n"
    "dataset = %s/dataset\n"
    "encoding = " DEMO_ENCODING "\n"
    "grid = " DEMO_GRID "\n"
    "\n"
    "[model]\n"
    "cell = gru\n"
    "layers = 1\n"
    "hidden = 128\n"
    "embedding = 32\n"
    "dropout = 0\n"
    "\n"
    "[train]\n"
    "epochs = %lld\n"
    "batch = 32\n"
    "slices = %d\n"
    "time = 64\n"
    "learning_rate = 0.015\n"
    "warmup_steps = 50\n"
    "final_factor = 0.01\n"
    "\n"
    "[run]\n"
    "dir = %s/run\n"
    "checkpoint_every = 5\n"
    "sample_seconds = 20\n"
    "samples = 1\n";

struct demo {
    const char *directory;
    struct owned_directory owned; /* the same, locked by this process and its children */
    int64_t pieces, seed, epochs, ranks; /* ranks 0: all cores */
    char ranks_text[16];
    double started;
    struct demo_corpus corpus;
    char *commands[COMMANDS]; /* as they were run */
    int command_count;
    double model, bigram; /* nats per token of the validation pieces */
    double tokens;        /* as evaluated */
};

static char *demo_path(const struct demo *demo, const char *name)
{
    return path_join(demo->directory, name);
}

/* The command with where its output goes, as a line of shell; the caller frees it. */
static char *shown_command(const struct launch *launch, const char *output)
{
    char text[LAUNCH_TEXT], file[LAUNCH_TEXT];
    struct launch target = {0};
    launch_text(launch, text);
    if (!output)
        return strdup(text);
    launch_add(&target, output);
    return path_format("%s > %s", text, launch_text(&target, file));
}

/* Runs a command, shown; a failure of it is our failure. */
static enum status run_shown(struct demo *demo, const struct launch *launch,
                             const char *output)
{
    int code = 0;
    char *text = shown_command(launch, output);
    if (!text)
        return status_fail(STATUS_FAILED, "demo: out of memory");
    demo->commands[demo->command_count++] = text;
    log_info("%s", "");
    log_info("$ %s", text);
    enum status status = launch_run(launch, output, &code);
    if (status || code == 0)
        return status;
    if (code == STATUS_STOPPED)
        return status_fail(STATUS_STOPPED, "demo: stopped; to resume: %s --resume", text);
    return status_fail(code == STATUS_MISUSE ? STATUS_MISUSE : STATUS_FAILED,
                       "demo: exit code %d from: %s", code, text);
}

static const char report_title[] = "What was run, in this order:\n";

/* ---- the folder ---- */

static const char maker[] = "demo", marker_name[] = ".tutti-demo";

/* That an earlier demo, or what a killed one has started, may take to end. */
static const double LOCK_SECONDS = 20;

/* More than there can be: a piece has some 2000 tokens, and a step takes 64 of a row. */
enum { STEPS_PER_PIECE = 64 };

/* All that the demo's commands make: lists as in base/owned_directory.h. */
static const char names_format[] =
    "demo.txt\nsplit.tsv\ntrain.conf\nevaluation.json\nmusic-{1..3}.mid\n"
    "corpus/\ncorpus/piece-{0001..%04lld}.mid\n"
    "dataset/\ndataset/index.h5\ndataset/shard-{0000..0063}.h5\n"
    "dataset.partial/\ndataset.partial/UNFINISHED\ndataset.partial/index.h5\n"
    "dataset.partial/shard-{0000..0063}.h5\ndataset.partial/spill-{0..%d}\n"
    "run/\nrun/" RUN_MARKER "\nrun/lock\nrun/settings.conf\nrun/metrics.jsonl\n"
    "run/root-cause.txt\n"
    "run/checkpoints/\nrun/checkpoints/latest@\nrun/checkpoints/best@\n"
    "run/checkpoints/epoch-{0001..%04lld}.h5\n"
    "run/samples/\nrun/samples/epoch-{0001..%04lld}-1.mid\n"
    "run/samples/epoch/\nrun/samples/epoch/epoch-{0001..%04lld}-1.mid\n";

/* Checkpoints within an epoch, which a training leaves that is stopped. */
static const char stopped_format[] = "run/checkpoints/step-{00000001..%08lld}.h5\n";

/* The list; the caller frees it. */
static char *demo_names(const struct demo *demo, bool trained)
{
    long long steps = (long long)(demo->epochs * demo->pieces * STEPS_PER_PIECE);
    char *stopped = trained ? strdup("") : path_format(stopped_format, steps);
    char *names = path_format(names_format, (long long)demo->pieces, MICROBATCHES - 1,
                              (long long)demo->epochs, (long long)demo->epochs,
                              (long long)demo->epochs);
    char *all = names && stopped ? path_format("%s%s", names, stopped) : NULL;
    free(names);
    free(stopped);
    return all;
}

/* The text of train.conf; the caller frees it. */
static char *settings_text(const struct demo *demo)
{
    return path_format(settings_format, demo->directory, (long long)demo->epochs,
                       MICROBATCHES, demo->directory);
}

/* Does the name survive the way through train.conf and split.tsv? */
static bool can_be_configured(const struct demo *demo)
{
    static struct options options;
    char *text = settings_text(demo), *dataset = demo_path(demo, "dataset");
    options_defaults(&options);
    bool can = text && dataset && demo->directory[0] != '~' &&
               !strpbrk(demo->directory, "\t\r\n") &&
               options_read_text(&options, text, "train.conf") == STATUS_OK &&
               strcmp(options.data.dataset, dataset) == 0;
    free(text);
    free(dataset);
    return can;
}

/* A name such as "new/." would leave folders behind. */
static enum status check_name(const struct demo *demo)
{
    if (strcmp(demo->directory, "-") == 0)
        return status_fail(STATUS_MISUSE, "-o -: a demo is a folder and can't go to "
                                          "standard output; name it");
    if (path_names_no_entry(demo->directory) && !file_exists(demo->directory))
        return status_fail(
            STATUS_MISUSE,
            "%s: names no folder that can be made (expected a name such as "
            "runs/demo)",
            demo->directory);
    if (!can_be_configured(demo))
        return status_fail(STATUS_MISUSE,
                           "%s: can't be the name of a demo's folder, as it can't be "
                           "written in a configuration (expected a name such as "
                           "runs/demo)",
                           demo->directory);
    return STATUS_OK;
}

/* Replaces an earlier demo, and nothing else. */
static enum status prepare_directory(struct demo *demo)
{
    char *names = demo_names(demo, false);
    if (!names)
        return status_fail(STATUS_FAILED, "demo: out of memory");
    enum status status = check_name(demo);
    if (!status && !file_exists(demo->directory))
        status = file_make_directories(demo->directory);
    if (!status)
        status =
            owned_directory_open(demo->directory, true, maker, marker_name, &demo->owned);
    if (!status)
        status = owned_directory_claim(&demo->owned, names, LOCK_SECONDS, true);
    free(names);
    return status;
}

/* A training that was not stopped has left no checkpoints within an epoch: what has such
 * a name from now on is somebody else's. */
static enum status note_trained(struct demo *demo)
{
    char *names = demo_names(demo, true);
    enum status status = names ? owned_directory_write_list(&demo->owned, names)
                               : status_fail(STATUS_FAILED, "demo: out of memory");
    free(names);
    return status;
}

/* ---- the steps ---- */

static enum status compose(struct demo *demo)
{
    char length[32];
    char *folder = demo_path(demo, "corpus"), *split = demo_path(demo, "split.tsv");
    enum status status = STATUS_FAILED;
    if (folder && split)
        status = demo_corpus_write(folder, split, demo->pieces, (uint64_t)demo->seed,
                                   &demo->corpus);
    if (!status)
        log_info("composed %lld pieces (%s of music) into %s", (long long)demo->pieces,
                 duration_text(demo->corpus.seconds, length, sizeof length), folder);
    free(folder);
    free(split);
    return status;
}

static enum status write_settings(const struct demo *demo)
{
    char *path = demo_path(demo, "train.conf");
    char *text = settings_text(demo);
    enum status status = path && text ? file_write_own(path, text, strlen(text))
                                      : status_fail(STATUS_FAILED, "demo: out of memory");
    free(path);
    free(text);
    return status;
}

/* All cores, if ranks can be started here. */
static void choose_ranks(struct demo *demo)
{
    int cores = launch_cores();
    bool asked = demo->ranks > 0;
    if (!asked)
        demo->ranks = cores < MICROBATCHES ? cores : MICROBATCHES;
    if (demo->ranks > 1 && !launch_can_start((int)demo->ranks)) {
        log_warn("%s can't start %lld ranks here; going on with one process",
                 launch_mpirun(), (long long)demo->ranks);
        demo->ranks = 1;
    }
    snprintf(demo->ranks_text, sizeof demo->ranks_text, "%lld", (long long)demo->ranks);
}

static enum status preprocess(struct demo *demo)
{
    struct launch launch = {0};
    char *folder = demo_path(demo, "corpus"), *split = demo_path(demo, "split.tsv");
    char *dataset = demo_path(demo, "dataset");
    launch_add_mpirun(&launch, (int)demo->ranks, demo->ranks_text);
    launch_add_words(&launch, launch_self(), "preprocess", folder, "-o", dataset,
                     "--encoding", DEMO_ENCODING, "--grid", DEMO_GRID, "--split-file",
                     split, NULL);
    enum status status = folder && split && dataset
                             ? run_shown(demo, &launch, NULL)
                             : status_fail(STATUS_FAILED, "demo: out of memory");
    free(folder);
    free(split);
    free(dataset);
    return status;
}

static enum status train_model(struct demo *demo)
{
    struct launch launch = {0};
    char *settings = demo_path(demo, "train.conf");
    launch_add_mpirun(&launch, (int)demo->ranks, demo->ranks_text);
    launch_add_words(&launch, launch_self(), "train", settings, NULL);
    enum status status = settings ? run_shown(demo, &launch, NULL)
                                  : status_fail(STATUS_FAILED, "demo: out of memory");
    free(settings);
    return status ? status : note_trained(demo);
}

static enum status generate(struct demo *demo)
{
    struct launch launch = {0};
    char *model = demo_path(demo, "run"), *music = demo_path(demo, "music.mid");
    launch_add_words(&launch, launch_self(), "generate", model, "-o", music, "--seconds",
                     "60", "--count", "3", NULL);
    enum status status = model && music
                             ? run_shown(demo, &launch, NULL)
                             : status_fail(STATUS_FAILED, "demo: out of memory");
    free(model);
    free(music);
    return status;
}

/* The number behind "key": in JSON text; NaN if there is none. */
static double json_find(const char *json, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(json, quoted);
    char *end = NULL;
    double value = at ? strtod(at + strlen(quoted), &end) : (double)NAN;
    return at && end != at + strlen(quoted) ? value : (double)NAN;
}

static enum status read_evaluation(struct demo *demo, const char *path)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum status status = file_read(path, 1 << 20, &bytes, &size);
    char *text = status ? NULL : calloc(size + 1, 1);
    if (text) {
        memcpy(text, bytes, size);
        demo->model = json_find(text, "nats_per_token");
        demo->bigram = json_find(text, "bigram_baseline");
        demo->tokens = json_find(text, "tokens");
    } else if (!status) {
        status = status_fail(STATUS_FAILED, "demo: out of memory");
    }
    free(text);
    free(bytes);
    if (!status && !(isfinite(demo->model) && isfinite(demo->bigram)))
        status = status_fail(STATUS_FAILED, "%s: holds no evaluation", path);
    if (!status && fabs(demo->tokens - (double)demo->corpus.valid_tokens) > 0.5)
        status = status_fail(STATUS_FAILED,
                             "%s: %.0f validation tokens, but %llu were composed", path,
                             demo->tokens, (unsigned long long)demo->corpus.valid_tokens);
    return status;
}

static enum status evaluate(struct demo *demo)
{
    struct launch launch = {0};
    char *model = demo_path(demo, "run"), *dataset = demo_path(demo, "dataset");
    char *result = demo_path(demo, "evaluation.json");
    enum status status = STATUS_FAILED;
    launch_add_words(&launch, launch_self(), "evaluate", model, dataset, "--split",
                     "valid", "--json", NULL);
    if (model && dataset && result)
        status = run_shown(demo, &launch, result);
    else
        status_fail(STATUS_FAILED, "demo: out of memory");
    if (!status)
        status = read_evaluation(demo, result);
    free(model);
    free(dataset);
    free(result);
    return status;
}

static void print_report(const struct demo *demo, FILE *out)
{
    const char *directory = demo->directory;
    double truth = demo->corpus.valid_information / (double)demo->corpus.valid_tokens;
    char took[32];
    fprintf(out, "%s", report_title);
    for (int i = 0; i < demo->command_count; i++)
        printable_line(out, "  %s", demo->commands[i]);
    fprintf(out, "\nWhere things are:\n");
    printable_line(out, "  %s/corpus       %lld composed pieces", directory,
                   (long long)demo->pieces);
    printable_line(out, "  %s/dataset      the same as tokens", directory);
    printable_line(out, "  %s/run          settings, metrics, checkpoints, samples",
                   directory);
    printable_line(out, "  %s/music-1.mid  and -2, -3: what the model plays", directory);
    printable_line(out, "  %s/demo.txt     this report", directory);
    fprintf(out, "\nHow well it was learnt, on %lld pieces held back (%llu tokens):\n",
            (long long)demo->corpus.valid_pieces,
            (unsigned long long)demo->corpus.valid_tokens);
    fprintf(out, "  %.4f nats per token   true entropy of the composer's rule\n", truth);
    fprintf(out, "  %.4f nats per token   the model: %.3f times the true entropy\n",
            demo->model, demo->model / truth);
    fprintf(out, "  %.4f nats per token   counting pairs of tokens (bigram baseline)\n",
            demo->bigram);
    fprintf(out, "\n%lld rank%s, %s in all.\n", (long long)demo->ranks,
            demo->ranks == 1 ? "" : "s",
            duration_text(clock_seconds() - demo->started, took, sizeof took));
}

static enum status report(const struct demo *demo)
{
    char *path = demo_path(demo, "demo.txt"), *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    enum status status = STATUS_OK;
    if (memory) {
        print_report(demo, memory);
        fclose(memory);
    }
    if (!path || !text)
        status = status_fail(STATUS_FAILED, "demo: out of memory");
    if (!status)
        status = file_write_own(path, text, size);
    if (!status)
        printf("\n%s", text);
    free(text);
    free(path);
    return status ? status : cli_flush_output();
}

static enum status run_demo(struct demo *demo)
{
    static enum status (*const steps[])(struct demo *) = {
        compose, preprocess, train_model, generate, evaluate};
    demo->started = clock_seconds();
    enum status status = prepare_directory(demo);
    if (!status)
        status = write_settings(demo);
    if (!status)
        choose_ranks(demo);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !status; i++)
        status = steps[i](demo);
    if (!status)
        status = report(demo);
    for (int i = 0; i < demo->command_count; i++)
        free(demo->commands[i]);
    owned_directory_close(&demo->owned);
    return status;
}

static enum status run(const struct cli_command *self, int argc, char **argv)
{
    struct demo demo = {.directory = "runs/demo",
                        .owned = owned_directory_none(),
                        .pieces = DEFAULT_PIECES,
                        .seed = 1,
                        .epochs = DEFAULT_EPOCHS};
    const struct cli_argument arguments[] = {
        {.name = "-o",
         .placeholder = "DIR",
         .text = &demo.directory,
         .help = "where everything goes; an earlier demo there is replaced "
                 "(default: runs/demo)"},
        {.name = "--ranks",
         .placeholder = "N",
         .integer = &demo.ranks,
         .low = 1,
         .high = MICROBATCHES,
         .help = "processes that train (default: one for each core, at most 8)"},
        {.name = "--pieces",
         .placeholder = "N",
         .integer = &demo.pieces,
         .low = 80,
         .high = 9999,
         .help = "number of pieces to compose (default: 200); a tenth is held out"},
        {.name = "--epochs",
         .placeholder = "N",
         .integer = &demo.epochs,
         .low = 1,
         .high = 100000,
         .help = "of training (default: 20)"},
        {.name = "--seed",
         .placeholder = "N",
         .integer = &demo.seed,
         .low = 0,
         .high = 9007199254740992.0,
         .help = "of the composer: same seed, same pieces (default: 1)"},
        {.name = NULL},
    };
    static struct cli_request request;
    request = (struct cli_request){.arguments = arguments};
    enum status status = cli_parse(self, &request, argc, argv);
    if (status || request.help_shown)
        return status;
    standard_streams_survive();
    char *directory = path_trim(demo.directory);
    if (!directory)
        return status_fail(STATUS_FAILED, "demo: out of memory");
    demo.directory = directory;
    status = run_demo(&demo);
    free(directory);
    return status;
}

const struct cli_command command_demo = {
    .name = "demo",
    .summary = "compose a small corpus, then preprocess, train and generate on it",
    .usage = "demo [-o DIR] [options]",
    .examples = "The corpus is composed by a rule whose entropy is known, so the report "
                "says how much\n"
                "of what can be learnt was learnt. The ranks are started here: run it "
                "without mpirun.\n"
                "\n"
                "  tutti demo\n"
                "  tutti demo -o /tmp/demo --pieces 400 --ranks 1",
    .run = run,
};
