/* resume_command: the command that continues this run, for the moment when it can't say
 * so itself any more. */
#ifndef TUTTI_CLI_RESUME_COMMAND_H
#define TUTTI_CLI_RESUME_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* The command line of this process, as it can be given to a shell: with --resume, without
 * --inject, and with the launcher in front: mpirun's own command line where it can be
 * found, else srun or mpirun with the number of ranks. In a batch job of Slurm that was
 * told --resume a second line has the command that puts the job back into the queue.
 * Returns text. */
const char *resume_command_of_process(int ranks, char *text, size_t size);

/* The same from given command lines, words ended by nulls as in /proc/PID/cmdline; the
 * parent's may be empty. Root's command has what Open MPI's mpirun asks of root. */
struct resume_command_words {
    const char *own, *parent;
    size_t own_size, parent_size;
    bool is_root;
};
const char *resume_command_text(const struct resume_command_words *words, int ranks,
                                char *text, size_t size);

#endif
