/* What the files of comm share. */
#ifndef TUTTI_PARALLEL_COMM_INTERNAL_H
#define TUTTI_PARALLEL_COMM_INTERNAL_H

#include <mpi.h>

#include "tutti/comm.h"

struct comm {
    int rank, size;
    char host[MPI_MAX_PROCESSOR_NAME];
    int *host_of;  /* [size]: the lowest rank on the host of each rank */
    MPI_Comm sums; /* the ranks again, for the messages of comm_sum */
    int sum_count; /* sums planned so far: each has its own tag */
};

/* STATUS_FAILED with MPI's words: "MPI can't WHAT: ...". */
enum status comm_check(int code, const char *what);

#endif
