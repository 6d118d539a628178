/* comm_probe: what is to be known about the ranks besides their results: how their clocks
 * differ. */
#ifndef TUTTI_COMM_COMM_PROBE_H
#define TUTTI_COMM_COMM_PROBE_H

#include "comm.h"
#include "base/status.h"

/* *offset: what has to be added to this rank's `clock` (seconds) to get rank 0's; wrong
 * by *error at most. Rank 0 asks every rank in turn a few dozen times and keeps the
 * quickest answer, which took twice *error (Cristian, 1989). 0 and 0 on rank 0.
 * Collective. */
enum status comm_clock_offset(struct comm *comm, double (*clock)(void), double *offset,
                              double *error);

#endif
