/* resume_command: the command that resumes this run, for the watchdog's report. */
#ifndef TUTTI_CLI_RESUME_COMMAND_H
#define TUTTI_CLI_RESUME_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the command line of this process in shell syntax, with --resume, without
 * --inject, preceded by the launcher: mpirun's own command line if it can be found,
 * otherwise srun or mpirun with the number of ranks. In a Slurm batch job that was
 * started with --resume, a second line requeues the job. Returns text. */
const char *resume_command_of_process(int ranks, char *text, size_t size);

/* The same from given command lines: null-terminated words, as in /proc/PID/cmdline; the
 * parent's command line may be empty. With is_root, Open MPI's mpirun gets
 * --allow-run-as-root. */
struct resume_command_words {
    const char *self, *parent;
    size_t self_size, parent_size;
    bool is_root;
};
const char *resume_command_text(const struct resume_command_words *words, int ranks,
                                char *text, size_t size);

#endif
