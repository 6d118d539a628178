/* comm_counter: a counter shared by all ranks, for dynamic work distribution. */
#ifndef TUTTI_COMM_COMM_COUNTER_H
#define TUTTI_COMM_COMM_COUNTER_H

#include "comm.h"

/* comm_counter_fetch_add adds `increment`, which is positive, and returns the previous
 * value; the initial value is 0. Opening and closing are collective; the other functions
 * are not. No other collective is allowed while the counter is open, because rank 0
 * would not answer requests inside it.
 *
 * On rank 0's node comm_counter_fetch_add is an atomic addition in shared memory: less
 * than 1 us, whatever rank 0 does. On other nodes, and without shared memory, rank 0
 * answers when it next calls a function of the counter. So take several items per call,
 * and call comm_counter_serve between items: it is cheap, and a no-op on all ranks but
 * 0. comm_counter_close on rank 0 answers requests until all other ranks are closing,
 * too.
 */
struct comm_counter;
enum status comm_counter_open(struct comm *comm, struct comm_counter **out);
int64_t comm_counter_fetch_add(struct comm_counter *counter, int64_t increment);
void comm_counter_serve(struct comm_counter *counter);
void comm_counter_close(struct comm_counter *counter); /* NULL is fine */

#endif
