/* one_thread: a team of which only one thread exists (one_thread.c). */
#ifndef SCALING_ONE_THREAD_H
#define SCALING_ONE_THREAD_H

#include <stddef.h>

/* The number of barriers that threads of a team of more than one would have waited at so
 * far, the start and the end of team_run included. */
size_t one_thread_barriers(void);

#endif
