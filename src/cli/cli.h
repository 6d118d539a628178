/* cli: shared by the commands. Each command has its own file; main.c holds the table of
 * commands, prints the error line of a failure and returns the status as the exit code.
 *
 * A command consists of a description (name, summary, usage, arguments, sections of
 * settings that it accepts as --key value) and a function. cli_parse handles --help, "did
 * you mean", missing values and ranges. Commands print results to stdout; all other
 * output goes through log.
 */
#ifndef TUTTI_CLI_CLI_H
#define TUTTI_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"

/* One named argument. Exactly one of flag, text, each, integer and number is set; it
 * determines the type and receives the value. A flag takes no value. Values of integer
 * and number must lie in [low, high]. `each` is called once per occurrence. */
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

enum { CLI_POSITIONALS_MAX = 4096, CLI_SETTINGS_MAX = 256, CLI_EXPANSIONS_MAX = 32 };

/* The sections that a command may accept as --key value, in lookup order. */
enum { CLI_SECTIONS = 5 };
struct cli_section {
    const char *name;
    unsigned bit; /* SECTION_... */
};
extern const struct cli_section cli_sections[CLI_SECTIONS];

/* A setting from the command line, not yet applied. */
struct cli_setting {
    const char *section; /* NULL: `value` is "section.key=value", from --set */
    const char *key, *value;
};

/* Input and output of cli_parse, in addition to the arguments' own variables. */
struct cli_request {
    const struct cli_argument *arguments; /* ends with name == NULL */
    unsigned sections;       /* SECTION_... whose settings may be given as --key value */
    bool accepts_set;        /* --set section.key=value */
    struct options *options; /* NULL if sections == 0 and !takes_set */
    const char
        *positionals[CLI_POSITIONALS_MAX]; /* "-" alone is a positional; "--" ends the
                                                 options */
    size_t positional_count, positional_min, positional_max;
    bool help_shown; /* --help was given and printed: the command returns STATUS_OK */
    struct cli_setting settings[CLI_SETTINGS_MAX]; /* cli_parse -> cli_apply_settings */
    size_t setting_count;
};

/* Parses argv[0..argc), the words after the command's name: "--name value",
 * "--name=value", "-o value", and for yes/no settings "--name" and "--no-name". A value
 * that begins with '-' and is not a number must be given as "--name=value". --help in any
 * position takes precedence. Settings are checked one by one and stored;
 * cli_apply_settings applies them in order, so that a command can read its configuration
 * file first. The texts remain in argv, which is modified. STATUS_MISUSE with a message
 * if the command line is invalid. */
enum status cli_parse(const struct cli_command *command, struct cli_request *request,
                      int argc, char **argv);
enum status cli_apply_settings(struct cli_request *request);

/* Prints a command's --help text, only on rank 0 if it uses ranks. Called by cli_parse.
 */
enum status cli_print_help(const struct cli_command *command,
                           const struct cli_request *request);

/* Starts MPI. All ranks return the first failure among their `local_status`, so that no
 * rank waits for one that has failed. On failure *out is NULL and MPI has been shut down.
 * Collective. */
enum status cli_open_ranks(enum status local_status, struct comm **out);

/* Merges the settings of a command into request->options: first the configuration `path`
 * (NULL: none), then the command line, then options_check. Only rank 0 reads the file,
 * and only once, so it may be a pipe. All ranks return the same status and message.
 * `comm` NULL: a single process. Collective. */
enum status cli_read_settings(struct comm *comm, const char *path,
                              struct cli_request *request);

/* cli_open_ranks, then cli_read_settings. On failure *out is NULL and MPI has been shut
 * down. Collective. */
enum status cli_open_with_settings(const char *path, struct cli_request *request,
                                   struct comm **out);

/* True on rank 0 of a launch, and in every process that is not part of a launch. Derived
 * from the environment (see rank.c) until MPI provides the rank. */
bool cli_is_first_process(void);
/* True if this process prints on behalf of its launch. Commands that don't use ranks
 * always print: their processes are independent. */
bool cli_prints(void);
/* Called by main before it runs a command. */
void cli_set_uses_ranks(bool uses_ranks);
/* Overrides the rank derived from the environment; rank < 0 removes the override. */
void cli_set_rank(int rank);

/* The commands. */
extern const struct cli_command command_preprocess, command_train, command_generate,
    command_evaluate, command_inspect, command_statistics, command_demo, command_doctor,
    command_bench;

/* Checks an output (see file.h) named by the user before any work is done; NULL: no
 * output. If it is standard output, all further messages go to stderr. STATUS_MISUSE if
 * it can't be written, or if its folder is missing and the command does not create
 * folders. Always STATUS_OK on ranks other than 0. */
enum status cli_check_output(const char *path, bool creates_folders);

/* Checks that the output `path` (NULL: no output) differs from all `count` inputs, some
 * of which may be NULL or not exist, and, unless is_midi, that it does not replace a MIDI
 * file. STATUS_MISUSE otherwise; always STATUS_OK on ranks other than 0. */
enum status cli_check_inputs(const char *path, bool is_midi, const char *const *inputs,
                             size_t count);

/* For commands whose only result is printed: STATUS_FAILED if stdout is closed. */
enum status cli_check_stdout(void);

/* Flushes stdout. STATUS_FAILED if a write failed, for example because the disk is full;
 * STATUS_OK if the reader of a pipe has exited (standard_streams_reader_closed). */
enum status cli_flush_output(void);

#endif
