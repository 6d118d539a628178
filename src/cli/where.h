/* where: how far a run has come, for scripts that decide whether to go on with it. */
#ifndef TUTTI_CLI_WHERE_H
#define TUTTI_CLI_WHERE_H

#include "base/status.h"

/* Prints "step N of DIRECTORY": the step of the newest checkpoint, 0 if there is none
 * yet. One process, no MPI. */
enum status where_print(const char *run_directory);

#endif
