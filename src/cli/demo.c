/* demo: composes a corpus, then runs preprocess, train, generate and evaluate on it. The
 * corpus is sampled from a probabilistic rule, so its true entropy is known; the report
 * compares the model's loss with it.
 *
 * The steps run as separate programs, as a user would run them. Each command is printed
 * before it runs, ready to be pasted into a shell.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "demo.h"
#include "launch.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/standard_streams.h"

enum { DEFAULT_PIECES = 200, DEFAULT_EPOCHS = 20 };

/* The command with its redirection in shell syntax; the caller frees it. */
static char *command_text(const struct launch *launch, const char *output)
{
    char text[LAUNCH_TEXT_SIZE], file[LAUNCH_TEXT_SIZE];
    struct launch target = {0};
    launch_text(launch, text);
    if (!output)
        return strdup(text);
    launch_add(&target, output);
    return path_format("%s > %s", text, launch_text(&target, file));
}

/* Prints and runs a command. If it fails, the demo fails with the same status. */
static enum status run_command(struct demo *demo, const struct launch *launch,
                               const char *output)
{
    int code = 0;
    char *text = command_text(launch, output);
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
                       "demo: failed with exit code %d: %s", code, text);
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

/* One rank per core, if this machine can start several ranks. */
static void choose_ranks(struct demo *demo)
{
    int cores = launch_cores();
    bool asked = demo->ranks > 0;
    if (!asked)
        demo->ranks = cores < DEMO_MICROBATCHES ? cores : DEMO_MICROBATCHES;
    if (demo->ranks > 1 && !launch_can_start((int)demo->ranks)) {
        log_warn("%s can't start %lld ranks here; continuing with one process",
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
                             ? run_command(demo, &launch, NULL)
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
    enum status status = settings ? run_command(demo, &launch, NULL)
                                  : status_fail(STATUS_FAILED, "demo: out of memory");
    free(settings);
    return status ? status : demo_mark_trained(demo);
}

static enum status generate(struct demo *demo)
{
    struct launch launch = {0};
    char *model = demo_path(demo, "run"), *music = demo_path(demo, "music.mid");
    launch_add_words(&launch, launch_self(), "generate", model, "-o", music, "--seconds",
                     "60", "--count", "3", NULL);
    enum status status = model && music
                             ? run_command(demo, &launch, NULL)
                             : status_fail(STATUS_FAILED, "demo: out of memory");
    free(model);
    free(music);
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
        status = run_command(demo, &launch, result);
    else
        status_fail(STATUS_FAILED, "demo: out of memory");
    if (!status)
        status = demo_read_evaluation(demo, result);
    free(model);
    free(dataset);
    free(result);
    return status;
}

static enum status run_demo(struct demo *demo)
{
    static enum status (*const steps[])(struct demo *) = {
        compose, preprocess, train_model, generate, evaluate};
    demo->start_seconds = clock_seconds();
    enum status status = demo_prepare_directory(demo);
    if (!status)
        status = demo_write_settings(demo);
    if (!status)
        choose_ranks(demo);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !status; i++)
        status = steps[i](demo);
    if (!status)
        status = demo_report(demo);
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
         .help = "output folder; replaces an earlier demo there (default: runs/demo)"},
        {.name = "--ranks",
         .placeholder = "N",
         .integer = &demo.ranks,
         .low = 1,
         .high = DEMO_MICROBATCHES,
         .help = "number of ranks (default: one per core, at most 8)"},
        {.name = "--pieces",
         .placeholder = "N",
         .integer = &demo.pieces,
         .low = 80,
         .high = 9999,
         .help = "number of pieces to compose; a tenth is held out (default: 200)"},
        {.name = "--epochs",
         .placeholder = "N",
         .integer = &demo.epochs,
         .low = 1,
         .high = 100000,
         .help = "number of training epochs (default: 20)"},
        {.name = "--seed",
         .placeholder = "N",
         .integer = &demo.seed,
         .low = 0,
         .high = 9007199254740992.0,
         .help = "random seed of the composer (default: 1)"},
        {.name = NULL},
    };
    static struct cli_request request;
    request = (struct cli_request){.arguments = arguments};
    enum status status = cli_parse(self, &request, argc, argv);
    if (status || request.help_shown)
        return status;
    standard_streams_ignore_sigpipe();
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
    .summary = "compose a small corpus, preprocess it, train a model and generate music",
    .usage = "demo [-o DIR] [options]",
    .examples =
        "The corpus is drawn from a probabilistic rule whose entropy is known; the "
        "report compares\n"
        "the model with it. The demo starts its own ranks: run it without "
        "mpirun.\n"
        "\n"
        "  tutti demo\n"
        "  tutti demo -o /tmp/demo --pieces 400 --ranks 1",
    .run = run,
};
