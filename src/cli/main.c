/* main: runs the command, prints the error line of a failure and returns the status as
 * the exit code. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "base/log.h"
#include "base/standard_streams.h"
#include "base/text.h"

/* UCX, loaded with MPI, installs its own SIGHUP handler, even under nohup. The
 * disposition saved before library constructors ran is restored. */
static struct sigaction sighup_action;

static void save_sighup_action(void)
{
    sigaction(SIGHUP, NULL, &sighup_action);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const preinit_hook)(void) = save_sighup_action;

static const struct {
    const struct cli_command *command;
    bool uses_ranks;
    bool prints_result; /* printing is its only result */
} commands[] = {
    {&command_demo, .uses_ranks = false},
    {&command_preprocess, .uses_ranks = true},
    {&command_train, .uses_ranks = true},
    {&command_generate, .uses_ranks = false},
    {&command_evaluate, .uses_ranks = true, .prints_result = true},
    {&command_inspect, .uses_ranks = false, .prints_result = true},
    {&command_statistics, .uses_ranks = false, .prints_result = true},
    {&command_doctor, .uses_ranks = true, .prints_result = true},
    {&command_bench, .uses_ranks = true, .prints_result = true},
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_usage(FILE *out)
{
    fprintf(out,
            "tutti %s: data-parallel training of recurrent music models on CPUs\n\n"
            "Usage: tutti COMMAND ...\n\n",
            TUTTI_VERSION);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-12s %s\n", commands[i].command->name,
                commands[i].command->summary);
    fprintf(out, "\nHelp for a command: tutti COMMAND --help. Version: tutti --version.\n"
                 "Exit codes: 0 ok, 1 the run failed, 2 wrong arguments or settings,\n"
                 "75 stopped on request with a checkpoint: resume with --resume.\n");
}

static enum status unknown_command(const char *word)
{
    const char *names[COMMAND_COUNT + 2] = {"help"};
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i + 1] = commands[i].command->name;
    const char *suggestion = text_suggest(word, names);
    char shown[64];
    return status_fail(STATUS_MISUSE, "unknown command %s%s%s%s (see tutti --help)",
                       text_excerpt(word, shown, sizeof shown),
                       suggestion ? "; did you mean " : "", suggestion ? suggestion : "",
                       suggestion ? "?" : "");
}

static enum status run_command(const char *name, int argc, char **argv)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].command->name, name) != 0)
            continue;
        cli_set_uses_ranks(commands[i].uses_ranks);
        if (commands[i].prints_result && cli_check_stdout() != STATUS_OK)
            return STATUS_FAILED;
        return commands[i].command->run(commands[i].command, argc, argv);
    }
    cli_set_uses_ranks(true); /* under mpirun, one error line is enough */
    return unknown_command(name);
}

static enum status help(int argc, char **argv)
{
    char *words[] = {(char[]){"--help"}, NULL};
    if (argc > 0)
        return run_command(argv[0], 1, words);
    if (cli_is_first_process())
        print_usage(stdout);
    return STATUS_OK;
}

static enum status run(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 ||
        strcmp(word, "-h") == 0)
        return help(argc - 2, argv + 2);
    if (strcmp(word, "--version") == 0) {
        if (cli_is_first_process())
            printf("tutti %s\n", TUTTI_VERSION);
        return STATUS_OK;
    }
    if (argc < 2) {
        cli_set_uses_ranks(true);
        if (cli_prints())
            print_usage(stderr);
        return status_fail(STATUS_MISUSE, "no command given");
    }
    return run_command(word, argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    sigaction(SIGHUP, &sighup_action, NULL);
    standard_streams_open();
    enum status status = run(argc, argv);
    if (status == STATUS_OK)
        status = cli_flush_output();
    else
        fflush(stdout);
    if (status == STATUS_OK)
        return STATUS_OK;
    /* A launcher kills all ranks once one has failed. The other ranks wait, so that the
     * printing rank is not killed before it has printed. */
    if (!cli_prints())
        sleep(1);
    else if (status_message()[0])
        log_error("%s", status_message());
    return (int)status;
}
