/* comm_probe: round trips of small messages between rank 0 and the others. */
#include "comm_probe.h"

#include "comm_internal.h"
#include "base/phase.h"

enum { ROUND_TRIPS = 32 };

static int send(double *values, int count, int to)
{
    return MPI_Send(values, count, MPI_DOUBLE, to, PROBE_TAG, MPI_COMM_WORLD);
}

static int receive(double *values, int count, int from)
{
    return MPI_Recv(values, count, MPI_DOUBLE, from, PROBE_TAG, MPI_COMM_WORLD,
                    MPI_STATUS_IGNORE);
}

/* Rank 0's side. found[0]: the offset, found[1]: its error. */
static int measure(int rank, double (*clock)(void), double found[2])
{
    int code = MPI_SUCCESS;
    for (int round = 0; round < ROUND_TRIPS && code == MPI_SUCCESS; round++) {
        double theirs = 0, sent = clock();
        code = send(&theirs, 1, rank);
        if (code == MPI_SUCCESS)
            code = receive(&theirs, 1, rank);
        double took = clock() - sent;
        if (round > 0 && took / 2 >= found[1])
            continue;
        found[0] = sent + took / 2 - theirs;
        found[1] = took / 2;
    }
    return code == MPI_SUCCESS ? send(found, 2, rank) : code;
}

static int reply(double (*clock)(void), double found[2])
{
    int code = MPI_SUCCESS;
    for (int round = 0; round < ROUND_TRIPS && code == MPI_SUCCESS; round++) {
        double own;
        code = receive(&own, 1, 0);
        own = clock();
        if (code == MPI_SUCCESS)
            code = send(&own, 1, 0);
    }
    return code == MPI_SUCCESS ? receive(found, 2, 0) : code;
}

enum status comm_clock_offset(struct comm *comm, double (*clock)(void), double *offset,
                              double *error)
{
    double found[2] = {0, 0};
    int code = MPI_SUCCESS;
    enum phase before = phase_enter(PHASE_WAIT);
    for (int rank = 1; rank < comm_size(comm) && comm_rank(comm) == 0; rank++) {
        if (code == MPI_SUCCESS)
            code = measure(rank, clock, found);
        found[0] = found[1] = 0;
    }
    if (comm_rank(comm) != 0)
        code = reply(clock, found);
    phase_enter(before);
    *offset = found[0];
    *error = found[1];
    return comm_check(code, "compare the clocks");
}
