/* comm_clock_offset: round trips of small messages between rank 0 and the others. */
#include "comm_clock_offset.h"

#include "comm_internal.h"
#include "base/phase.h"

enum { EXCHANGES = 32 };

static int send(double *values, int count, int to)
{
    return MPI_Send(values, count, MPI_DOUBLE, to, CLOCK_OFFSET_TAG, MPI_COMM_WORLD);
}

static int receive(double *values, int count, int from)
{
    return MPI_Recv(values, count, MPI_DOUBLE, from, CLOCK_OFFSET_TAG, MPI_COMM_WORLD,
                    MPI_STATUS_IGNORE);
}

/* Rank 0's side. result[0]: the offset, result[1]: its error. */
static int measure_offset(int rank, double (*clock)(void), double result[2])
{
    int code = MPI_SUCCESS;
    for (int i = 0; i < EXCHANGES && code == MPI_SUCCESS; i++) {
        double remote = 0, sent = clock();
        code = send(&remote, 1, rank);
        if (code == MPI_SUCCESS)
            code = receive(&remote, 1, rank);
        double round_trip = clock() - sent;
        if (i > 0 && round_trip / 2 >= result[1])
            continue;
        result[0] = sent + round_trip / 2 - remote;
        result[1] = round_trip / 2;
    }
    return code == MPI_SUCCESS ? send(result, 2, rank) : code;
}

static int answer(double (*clock)(void), double result[2])
{
    int code = MPI_SUCCESS;
    for (int i = 0; i < EXCHANGES && code == MPI_SUCCESS; i++) {
        double now;
        code = receive(&now, 1, 0);
        now = clock();
        if (code == MPI_SUCCESS)
            code = send(&now, 1, 0);
    }
    return code == MPI_SUCCESS ? receive(result, 2, 0) : code;
}

enum status comm_clock_offset(struct comm *comm, double (*clock)(void), double *offset,
                              double *error)
{
    double result[2] = {0, 0};
    int code = MPI_SUCCESS;
    enum phase before = phase_enter(PHASE_WAIT);
    for (int rank = 1; rank < comm_size(comm) && comm_rank(comm) == 0; rank++) {
        if (code == MPI_SUCCESS)
            code = measure_offset(rank, clock, result);
        result[0] = result[1] = 0;
    }
    if (comm_rank(comm) != 0)
        code = answer(clock, result);
    phase_enter(before);
    *offset = result[0];
    *error = result[1];
    return comm_check(code, "compare the clocks");
}
