/* simulated: charges the CPU cost of messages, as a layer between the program's own
 * comm_allreduce and SMPI. Included before everything else when src/comm is compiled for
 * the simulation (build.sh), whose sources are not modified.
 *
 * SMPI models the transfer time of a message. It does not model that
 * - within a host the ranks themselves copy, which takes time from computation, and TCP
 *   takes CPU time, too;
 * - a message progresses only while its ranks call MPI, and only up to a limit per call;
 * - received addends must be added.
 * Within a host the program reads the other rank's memory instead of sending. Here that
 * is a message, too, for which only the receiver is charged. All rates are measured
 * (measure.c).
 */
#ifndef SCALING_SIMULATED_H
#define SCALING_SIMULATED_H

#include <mpi.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

struct simulated_costs {       /* for messages within a host, or between hosts */
    double send, receive, add; /* seconds of CPU time per byte */
    double max_bytes;          /* bytes transferred per call; 0: unlimited */
};

struct simulated_machine {
    struct simulated_costs within, between;
    double poll; /* seconds of a call without progress */
    bool flat;   /* treat every rank as a host of its own */
};

/* To be called before MPI_Init. `values`: the vector to sum, `bytes` long; data received
 * outside of it is charged as added. */
void simulated_prepare(const struct simulated_machine *machine, const void *values,
                       size_t bytes);
/* To be called after MPI_Init. Collective. */
void simulated_open(void);

/* `waiting`: the rank has nothing else to do, and calls cost nothing. */
void simulated_set_waiting(bool waiting);

/* Simulates computation of this duration, plus the cost of the calls since the last
 * one. */
void simulated_compute(double seconds);

int simulated_isend(const void *from, int count, MPI_Datatype type, int to, int tag,
                    MPI_Comm comm, MPI_Request *request);
int simulated_irecv(void *to, int count, MPI_Datatype type, int from, int tag,
                    MPI_Comm comm, MPI_Request *request);
int simulated_testall(int count, MPI_Request *requests, int *done, MPI_Status *statuses);
/* Sleeps until a message arrives: the program yields where it polls in a loop, and would
 * notice the message at once. */
int simulated_yield(void);
int simulated_split(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *out);

#ifndef SCALING_SIMULATED_ITSELF
#define MPI_Isend simulated_isend
#define MPI_Irecv simulated_irecv
#define MPI_Testall simulated_testall
#define MPI_Comm_split_type simulated_split
#define sched_yield simulated_yield
#endif

#endif
