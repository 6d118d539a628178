/* train: reads the settings, starts the watchdog and runs the trainer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "resume_command.h"
#include "launch.h"

#include "base/file.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/standard_streams.h"
#include "generate/samples.h"
#include "train/run_listing.h"
#include "train/run_names.h"
#include "train/trainer.h"
#include "watchdog/watchdog.h"

/* Logs a command that can be pasted as it is. */
static void log_command(const char *label, const char *command, const char *first,
                        const char *second, const char *third, const char *fourth)
{
    char text[LAUNCH_TEXT_SIZE];
    struct launch launch = {.count = 0};
    launch_add_words(&launch, launch_self(), command, first, second, third, fourth, NULL);
    log_info("%s %s", label, launch_text(&launch, text));
}

static void suggest_next_commands(const char *directory, const struct dataset *dataset)
{
    log_command("next:", "inspect", directory, NULL, NULL, NULL);
    log_command("     ", "generate", directory, "-o", "music.mid", NULL);
    if (dataset->total.pieces[SPLIT_TEST] > 0)
        log_command("     ", "evaluate", directory, dataset->path, "--split", "test");
}

/* Runs the trainer. The watchdog is closed once all ranks know the status of the run.
 * Collective. */
static enum status train_with_watchdog(struct comm *comm, struct trainer_request *request)
{
    char command[4096];
    const struct watchdog_request watchdog_request = {
        .hang_timeout = request->options->run.hang_timeout_seconds,
        .directory = request->options->run.dir,
        .interface = request->options->run.interface,
        .command = resume_command_of_process(comm_size(comm), command, sizeof command)};
    enum status status = train_check(comm, request);
    if (status == STATUS_OK)
        status = watchdog_open(comm, &watchdog_request, &request->watchdog);
    if (status == STATUS_OK)
        status = comm_agree(comm, train(comm, request));
    watchdog_close(request->watchdog);
    return status;
}

/* Reading a pipe may block; a signal must then end the process immediately. */
static bool is_regular(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* True if the path lies in the folder or in an existing folder below it. */
static bool is_inside(const char *path, const char *folder)
{
    char *parent = path_directory(path), *shown = parent ? realpath(parent, NULL) : NULL;
    char *full = realpath(folder, NULL);
    size_t length = full ? strlen(full) : 0;
    bool inside = shown && full && strncmp(shown, full, length) == 0 &&
                  (shown[length] == '\0' || shown[length] == '/');
    free(parent);
    free(shown);
    free(full);
    return inside;
}

/* The trace must not replace the configuration, nor have the name of any file that the
 * run may write. */
static enum status check_trace(const char *trace, const char *config,
                               const char *directory)
{
    enum status status = cli_check_output(trace, false);
    if (status == STATUS_OK)
        status = cli_check_inputs(trace, false, &config, 1);
    if (status != STATUS_OK || !trace || strcmp(trace, "-") == 0)
        return status;
    char *target = NULL;
    status = path_follow_links(trace, &target);
    if (status == STATUS_OK && run_is_any_output_name(path_base(target)) &&
        is_inside(target, directory))
        status = status_fail(STATUS_MISUSE,
                             "--trace %s: the run in %s writes a file of this name; "
                             "choose another, for example --trace trace.json",
                             trace, directory);
    free(target);
    return status;
}

static enum status train_on_ranks(struct cli_request *settings,
                                  struct trainer_request *request)
{
    struct comm *comm = NULL;
    const char *config = settings->positionals[0];
    bool config_is_file = is_regular(config);
    standard_streams_ignore_sigpipe();
    if (config_is_file)
        train_install_handlers();
    enum status status = cli_open_with_settings(config, settings, &comm);
    if (status != STATUS_OK)
        return status;
    if (!config_is_file)
        train_install_handlers();
    inject_set_rank(comm_rank(comm));
    status =
        comm_agree(comm, check_trace(request->trace, config, request->options->run.dir));
    if (status == STATUS_OK)
        status = inject_check_ranks(comm_size(comm)); /* the same on all ranks */
    if (status == STATUS_OK)
        status = train_with_watchdog(comm, request);
    comm_close(comm);
    return status;
}

/* Prints "step N of DIRECTORY" for job scripts: the step of the newest checkpoint, 0 if
 * there is none. Does not use MPI; only the first process reads the configuration, which
 * may be a pipe. */
static enum status print_newest_step(struct cli_request *request)
{
    if (!cli_prints())
        return STATUS_OK;
    enum status status = cli_read_settings(NULL, request->positionals[0], request);
    if (status == STATUS_OK) {
        const char *directory = request->options->run.dir;
        printable_line(stdout, "step %" PRId64 " of %s", run_newest_step(directory),
                       directory);
    }
    return status;
}

static enum status run(const struct cli_command *self, int argc, char **argv)
{
    bool resume = false, where = false;
    const char *trace = NULL;
    const struct cli_argument arguments[] = {
        {.name = "--resume",
         .flag = &resume,
         .help = "resume from the newest checkpoint in run.dir; start if there is none"},
        {.name = "--where",
         .flag = &where,
         .help = "print run.dir and the step of its newest checkpoint; do not train"},
        {.name = "--inject",
         .placeholder = "FAULT@RANK:STEP",
         .each = inject_add,
         .help = "inject a fault (see below); repeatable"},
        {.name = "--trace",
         .placeholder = "FILE",
         .text = &trace,
         .help = "write a timeline of all ranks, for ui.perfetto.dev or chrome://tracing "
                 "(-: stdout)"},
        {.name = NULL},
    };
    static struct options options; /* large; used once per process */
    options_defaults(&options);
    static struct cli_request request;
    request = (struct cli_request){.arguments = arguments,
                                   .accepts_set = true,
                                   .options = &options,
                                   .positional_min = 1,
                                   .positional_max = 1};
    enum status status = cli_parse(self, &request, argc, argv);
    if (request.help_shown && cli_prints())
        printf("\n%s\n", inject_help());
    if (status != STATUS_OK || request.help_shown)
        return status;
    if (where)
        return print_newest_step(&request);
    struct trainer_request trainer_request = {.options = &options,
                                              .resume = resume,
                                              .samples = samples_write_epoch,
                                              .trace = trace,
                                              .suggest = suggest_next_commands};
    return train_on_ranks(&request, &trainer_request);
}

const struct cli_command command_train = {
    .name = "train",
    .summary = "train a model on a dataset, in one process or under mpirun or srun",
    .usage =
        "train CONFIG [--resume | --where] [--trace FILE] [--inject FAULT]... [--set "
        "SECTION.KEY=VALUE]...",
    .examples = "The same configuration, dataset and seed give the same weights on any "
                "number of\n"
                "ranks. On SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 or SIGXCPU the run "
                "finishes the\n"
                "step, writes a checkpoint and exits with code 75. The same command with "
                "--resume\n"
                "continues it, on any number of ranks. A broken pipe (| head) does not "
                "stop a run.\n"
                "\n"
                "  tutti train configs/keras-tutorial.conf\n"
                "  mpirun -n 4 tutti train run.conf --resume\n"
                "  mpirun -n 4 tutti train run.conf --trace trace.json\n"
                "  tutti train run.conf --set train.learning_rate=0.001 --set "
                "run.dir=runs/second",
    .run = run,
};
