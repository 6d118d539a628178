/* What the files of comm share. */
#ifndef TUTTI_COMM_COMM_INTERNAL_H
#define TUTTI_COMM_COMM_INTERNAL_H

#include <mpi.h>
#include <stdatomic.h>

#include "comm.h"

struct comm {
    int rank, size;
    char host[MPI_MAX_PROCESSOR_NAME];
    int *host_of;        /* [size]: the lowest rank on the host of each rank */
    int *place_of;       /* [size]: how many ranks before it share its host */
    int place, places;   /* this rank's; how many ranks its host has */
    MPI_Comm neighbours; /* the ranks of this host, in their order */
    MPI_Comm sums;       /* all ranks again, for the messages of comm_sum */
    int sum_count;       /* sums planned so far: each has its own tag */
    int memory_count;    /* comm_memory made so far: each has its own name */
};

struct comm_memory {
    char *map; /* of all ranks of the host, one stride each; NULL: private memory */
    size_t stride, size;
    char *block;  /* this rank's */
    size_t slots; /* marks of each rank */
    size_t used;
};

/* How far the rank at `place` on this host is with the sum of that slot. */
_Atomic uint64_t *comm_memory_mark(const struct comm_memory *memory, int place,
                                   size_t slot);
/* Where the rank at `place` has what this rank has at `mine`. */
char *comm_memory_peer(const struct comm_memory *memory, int place, const void *mine);

/* STATUS_FAILED with MPI's words: "MPI can't WHAT: ...". */
enum status comm_check(int code, const char *what);
/* For the calls that have no status to return: without MPI there is no way on. */
void comm_check_or_abort(int code, const char *what);

#endif
