/* comm_clock_offset: offsets between the clocks of the ranks. */
#ifndef TUTTI_COMM_COMM_CLOCK_OFFSET_H
#define TUTTI_COMM_COMM_CLOCK_OFFSET_H

#include "comm.h"
#include "base/status.h"

/* *offset: seconds to add to this rank's `clock` to get rank 0's, with an absolute error
 * of at most *error seconds. Rank 0 exchanges a few dozen messages with every rank in
 * turn and uses the fastest round trip; *error is half its duration (Cristian, 1989).
 * Both are 0 on rank 0. Collective. */
enum status comm_clock_offset(struct comm *comm, double (*clock)(void), double *offset,
                              double *error);

#endif
