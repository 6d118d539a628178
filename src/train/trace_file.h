/* trace_file: the events of all ranks as one file for chrome://tracing and Perfetto.
 *
 * Trace Event Format (Google): "X" events with `ts` and `dur` in microseconds; ranks are
 * processes, their threads are threads. A regular file is complete JSON after every
 * flush; a pipe or a device gets the closing brackets at the end.
 */
#ifndef TUTTI_TRAIN_TRACE_FILE_H
#define TUTTI_TRAIN_TRACE_FILE_H

#include "base/status.h"
#include "comm/comm.h"

struct trace_file;

/* Starts the trace on all ranks and opens the output on rank 0 (see file.h), emptied. A
 * stop signal ends the wait for a FIFO's reader. Collective. */
enum status trace_file_open(struct comm *comm, const char *path, struct trace_file **out);

/* Appends the events since the last flush. A failed write causes a warning, logged once;
 * the file keeps its previous contents. Collective. */
void trace_file_flush(struct trace_file *file);

/* Flushes and ends the trace. NULL is fine. Collective. */
void trace_file_close(struct trace_file *file);

#endif
