/* launch: builds command lines, prints them in shell syntax, and runs them; starts ranks
 * on this machine. */
#ifndef TUTTI_CLI_LAUNCH_H
#define TUTTI_CLI_LAUNCH_H

#include <stdbool.h>

#include "base/status.h"

enum { LAUNCH_WORDS_MAX = 256, LAUNCH_TEXT_SIZE = 4096 };

struct launch { /* words are borrowed; words[count] is NULL; excess words are ignored */
    const char *words[LAUNCH_WORDS_MAX + 1];
    int count;
};

void launch_add(struct launch *launch, const char *word);

/* Adds words; the list ends with NULL. */
void launch_add_words(struct launch *launch, ...) __attribute__((sentinel));

/* The name of the launcher of the MPI that this program is linked with: "mpirun", or
 * another launcher in PATH if mpirun belongs to another MPI. Starts no process. */
const char *launch_mpirun(void);

/* Adds `mpirun -n RANKS` with the flags that this machine and this MPI need; adds nothing
 * for one rank. ranks_text is `ranks` as text, borrowed. */
void launch_add_mpirun(struct launch *launch, int ranks, const char *ranks_text);

/* Writes the command as one shell line into text[LAUNCH_TEXT_SIZE], quoted and printable.
 * Ends in " ..." if it does not fit. Returns text. */
const char *launch_text(const struct launch *launch, char *text);

/* Runs the command and waits for it. Its stdout goes to the file `output`, which must not
 * exist, or to this process's stdout if `output` is NULL; its stdin is /dev/null. *code
 * is its exit code. The command is terminated if this process ends, even by SIGKILL. Main
 * thread only. STATUS_FAILED if the command can't be started or is killed by a signal. */
enum status launch_run(const struct launch *launch, const char *output, int *code);

/* Path of this program, relative if it lies below the working directory; "tutti" if
 * unknown. Valid until the next call. */
const char *launch_self(void);

/* Number of cores that this process may use, according to affinity and control group. At
 * least 1. */
int launch_cores(void);

/* True if mpirun can start `ranks` processes on this machine; determined by a test
 * launch. */
bool launch_can_start(int ranks);

#endif
