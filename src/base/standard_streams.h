/* standard_streams: the descriptors 0, 1 and 2, which the outside world closes, breaks
 * and fills up as it likes.
 */
#ifndef TUTTI_BASE_STANDARD_STREAMS_H
#define TUTTI_BASE_STANDARD_STREAMS_H

#include <stdbool.h>

/* Occupies those of the three that are closed (`tutti ... 2>&-`), so that no file opened
 * later gets a number that log lines are written to. Writing to a stream that was closed
 * still fails with EBADF. To be called before any file is opened. */
void standard_streams_open(void);

/* From now on a write into a pipe or socket without a reader (SIGPIPE), or past the limit
 * on file sizes (SIGXFSZ), fails with an error code and doesn't end the process: for
 * commands that would lose work. Child processes get the default action back on exec. A
 * signal that is ignored already stays so. */
void standard_streams_survive(void);

/* True for a command that survives broken pipes when nobody reads its standard output, a
 * pipe or a socket, any more: what it printed is not missed. */
bool standard_output_unread(void);

#endif
