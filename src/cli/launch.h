/* launch: runs another program and waits for it; shows what it runs, so that it can be
 * copied; and knows how to start ranks on this machine. */
#ifndef TUTTI_CLI_LAUNCH_H
#define TUTTI_CLI_LAUNCH_H

#include "base/status.h"

enum { LAUNCH_WORDS = 256, LAUNCH_TEXT = 4096 };

struct launch { /* words are borrowed; words[count] is NULL */
    const char *words[LAUNCH_WORDS + 1];
    int count;
};

void launch_add(struct launch *launch, const char *word);

/* Adds words up to a NULL. */
void launch_add_words(struct launch *launch, ...) __attribute__((sentinel));

/* The launcher of the MPI that this program is linked with: mpirun, or another name in
 * the PATH where mpirun belongs to another MPI. Starts nothing. */
const char *launch_mpirun(void);

/* Puts `mpirun -n RANKS ...` in front, with the flags that this machine and this MPI
 * need. Nothing for one rank. */
void launch_add_mpirun(struct launch *launch, int ranks, const char *ranks_text);

/* The command as one line of shell into text[LAUNCH_TEXT]: printable, and the words come
 * back as they are. Ends in "..." where there is no room for all. Returns text. */
const char *launch_text(const struct launch *launch, char *text);

/* Runs it to its end, which comes at the latest with that of this process, even if that
 * is killed; its output goes to the file `output`, or to ours if that is NULL. Call it
 * from the main thread. *code is its exit code. STATUS_FAILED if it could not be started
 * or died of a signal.
 */
enum status launch_run(const struct launch *launch, const char *output, int *code);

/* Path of this very program, relative if it lies below the working directory; "tutti" if
 * the system doesn't say. Valid until the next call. */
const char *launch_self(void);

/* Cores that this process may use: affinity and the container's share. At least 1. */
int launch_cores(void);

/* Can mpirun start so many processes here? */
int launch_can_start(int ranks);

#endif
