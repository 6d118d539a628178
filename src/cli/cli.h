/* cli: what the commands share. One file per command; main.c holds the table of commands,
 * prints the one line of a failure and turns the status into the exit code.
 *
 * A command is a description (name, summary, usage, arguments, sections of settings it
 * takes as --key value) and a function. cli_parse does the rest: --help, "did you mean",
 * missing values, ranges. Commands print results to stdout, everything else through log.
 */
#ifndef TUTTI_CLI_CLI_H
#define TUTTI_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"

/* One named argument; exactly one of flag, text, each, integer, number is set and says
 * the type. With `flag` it takes no value; integer and number are checked against [low,
 * high]; `each` is called with the value every time the argument is given. */
struct cli_argument {
    const char *name;        /* "--seconds" */
    const char *placeholder; /* "N"; NULL for a flag */
    const char *help;
    bool *flag;
    const char **text;
    enum status (*each)(const char *text);
    int64_t *integer;
    double *number;
    double low, high;
};

struct cli_command {
    const char *name;
    const char *summary;  /* one line for `tutti --help` */
    const char *usage;    /* "preprocess DIR... -o DATASET [options]" */
    const char *examples; /* runnable lines, shown by --help */
    enum status (*run)(const struct cli_command *self, int argc, char **argv);
};

enum { CLI_POSITIONALS = 4096, CLI_SETTINGS = 256, CLI_EXPANDED = 32 };

/* One setting of the command line, not yet applied. */
struct cli_setting {
    const char *section; /* NULL: `value` is "section.key=value", from --set */
    const char *key, *value;
};

/* What cli_parse fills in besides the arguments' own variables. */
struct cli_request {
    const struct cli_argument *arguments; /* ends with name == NULL */
    unsigned sections; /* SECTION_... whose settings may be given as --key value (looked
                          up in this order: data, model, train, run, sample) */
    bool takes_set;    /* --set section.key=value */
    struct options *options;                  /* NULL if sections == 0 and !takes_set */
    const char *positionals[CLI_POSITIONALS]; /* "-" alone is a positional; "--" ends the
                                                 options */
    size_t positional_count, positional_min, positional_max;
    bool help_shown; /* --help was given and answered: return STATUS_OK at once */
    struct cli_setting settings[CLI_SETTINGS]; /* cli_parse's, for cli_apply_settings */
    size_t setting_count;
};

/* Parses argv[0..argc), the words behind the command's name: "--name value",
 * "--name=value", "-o value", and for yes/no settings "--name" and "--no-name". A value
 * that begins with '-' and is no number has to be given as "--name=value". --help
 * anywhere is answered at once. Settings given on the command line are checked one by one
 * and kept; cli_apply_settings applies them, in their order, so that a command may read
 * its configuration file first. The texts stay in argv. STATUS_MISUSE with a message on a
 * fault. */
enum status cli_parse(const struct cli_command *command, struct cli_request *request,
                      int argc, char **argv);
enum status cli_apply_settings(struct cli_request *request);

/* Starts MPI and lets the ranks agree on what each has found `so_far`, so that none waits
 * for one that has failed. On failure *out is NULL and MPI has ended. Collective. */
enum status cli_open_ranks(enum status so_far, struct comm **out);

/* The settings of a command: those of the configuration `path` (NULL: none) over what
 * request->options holds, then the command line's, then options_check. Rank 0 reads the
 * file, once, so it may be a pipe; the same outcome and message on all ranks. `comm`
 * NULL: this process is alone. Collective. */
enum status cli_read_settings(struct comm *comm, const char *path,
                              struct cli_request *request);

/* cli_open_ranks, then cli_read_settings. On failure *out is NULL and MPI has ended.
 * Collective. */
enum status cli_open_with_settings(const char *path, struct cli_request *request,
                                   struct comm **out);

/* Does this process print what several would print alike? Rank 0 of a launch does, and
 * every process that no launcher has joined with others (see rank.c). Known for certain
 * once MPI has started. */
bool cli_is_first_process(void);
/* The same for the command at work: commands that don't use ranks always print, as their
 * launches are independent. */
bool cli_speaks(void);
/* main sets whether the command it is about to run uses ranks. */
void cli_set_uses_ranks(bool uses_ranks);
/* The rank of this process, as found by other means than the environment. */
void cli_set_rank(int rank);

/* The commands. */
extern const struct cli_command command_preprocess, command_train, command_generate,
    command_evaluate, command_inspect, command_demo, command_doctor, command_bench;

/* Checks an output (see file.h) that the user has named, before there is work on it to
 * lose; NULL: none. If it is standard output, what is printed goes to stderr from now on.
 * STATUS_MISUSE if it can't be written, and if its folder is missing, unless the command
 * makes folders. On ranks other than 0 never a failure. */
enum status cli_check_output(const char *path, bool makes_folders);

/* Checks that the output `path` (NULL: none) is none of the `count` inputs, of which some
 * may be NULL or not exist, nor, unless it is to be one, a MIDI file. STATUS_MISUSE if it
 * is; on ranks other than 0 never a failure. */
enum status cli_check_inputs(const char *path, bool is_midi, const char *const *inputs,
                             size_t count);

/* The same for a result that is printed: STATUS_FAILED if stdout is closed. */
enum status cli_check_stdout(void);

/* Checks that stdout took everything that was printed: STATUS_FAILED on a full disk,
 * STATUS_OK where standard_output_unread. */
enum status cli_flush_output(void);

#endif
