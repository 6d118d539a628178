/* simulated: what messages cost the processors, put between the program's own comm_allreduce
 * and SMPI. Included before everything else when src/comm is compiled for the simulation
 * (build.sh); the sources stay as they are.
 *
 * SMPI knows how long a message is on its way. It does not know that
 * - within a host the ranks themselves copy, in the time that they would otherwise compute
 *   in; TCP costs the processor as well;
 * - a message moves on only while its ranks call MPI, and only so far in one call;
 * - received numbers must be added.
 * Within a host the program reads the other rank's memory and sends nothing. Here that is
 * a message too, of which only the receiver's reading costs anything.
 * All of that is charged here, at measured rates (measure.c).
 */
#ifndef SCALING_SIMULATED_H
#define SCALING_SIMULATED_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>

struct simulated_costs {       /* of messages within a host, or between hosts */
    double send, receive, add; /* seconds of processor time a byte */
    double most;               /* bytes that go in one call; 0: any number */
};

struct simulated_machine {
    struct simulated_costs within, between;
    double look; /* seconds of a call that finds nothing done */
    bool flat;   /* pretend that every rank has a host of its own */
};

/* Before MPI is started. `values`: what is summed, `bytes` long; what is received
 * elsewhere is to be added. */
void simulated_prepare(const struct simulated_machine *machine, const void *values,
                       size_t bytes);
/* After MPI has started. Collective. */
void simulated_open(void);

/* True while the rank waits with nothing else to do. Calls then sleep until something
 * comes, as a rank that polls would notice it at once. */
void simulated_wait(bool waiting);

/* Are no messages under way? */
bool simulated_quiet(void);

/* Lets the rank compute for this time, plus the cost of the calls since. */
void simulated_compute(double seconds);

int simulated_isend(const void *from, int count, MPI_Datatype type, int to, int tag,
                    MPI_Comm comm, MPI_Request *request);
int simulated_irecv(void *to, int count, MPI_Datatype type, int from, int tag,
                    MPI_Comm comm, MPI_Request *request);
int simulated_testall(int count, MPI_Request *requests, int *through,
                      MPI_Status *statuses);
int simulated_split(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *out);

#ifndef SCALING_SIMULATED_ITSELF
#define MPI_Isend simulated_isend
#define MPI_Irecv simulated_irecv
#define MPI_Testall simulated_testall
#define MPI_Comm_split_type simulated_split
#endif

#endif
