/* standard_streams: descriptors 0, 1 and 2, which may be closed, broken or full.
 */
#ifndef TUTTI_BASE_STANDARD_STREAMS_H
#define TUTTI_BASE_STANDARD_STREAMS_H

#include <stdbool.h>

/* Opens any of the three that are closed (`tutti ... 2>&-`) on /dev/null, so that no
 * file opened later gets a descriptor to which log lines are written. Use of a stream
 * that was closed still fails with EBADF. Call it before any file is opened. */
void standard_streams_open(void);

/* From now on a write to a pipe or socket without a reader (SIGPIPE), or past the file
 * size limit (SIGXFSZ), fails with an error code instead of ending the process: for
 * commands that would lose work. Child processes get the default action on exec. A signal
 * that is already ignored stays ignored. */
void standard_streams_ignore_sigpipe(void);

/* True if this process called standard_streams_ignore_sigpipe and its standard output is
 * a pipe or socket that the reader has closed, so a failed write is not an error. */
bool standard_streams_reader_closed(void);

#endif
