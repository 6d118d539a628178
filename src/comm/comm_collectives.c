/* comm_collectives: blocking collectives on integers and bytes. MPI counts are int, so
 * long vectors are sent in chunks. The result doesn't depend on MPI's choice of
 * algorithm.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "comm_internal.h"
#include "base/phase.h"

enum {
    CHUNK_ELEMENTS = 1 << 20, /* 8 MB of integers per call */
    CHUNK_BYTES = 1 << 24
};

/* ---- integers ---- */

enum status comm_allreduce_i64(struct comm *comm, int64_t *values, size_t count,
                               size_t chunk)
{
    if (comm->size == 1)
        return STATUS_OK;
    if (chunk == 0)
        chunk = CHUNK_ELEMENTS;
    if (chunk > INT_MAX)
        chunk = INT_MAX; /* MPI's counts are int */
    enum phase before = phase_enter(PHASE_WAIT);
    int code = MPI_SUCCESS;
    for (size_t at = 0; at < count && code == MPI_SUCCESS; at += chunk) {
        size_t n = count - at < chunk ? count - at : chunk;
        code = MPI_Allreduce(MPI_IN_PLACE, values + at, (int)n, MPI_INT64_T, MPI_SUM,
                             MPI_COMM_WORLD);
    }
    phase_enter(before);
    return comm_check(code, "allreduce");
}

int64_t comm_max_i64(struct comm *comm, int64_t value)
{
    int64_t largest = value;
    if (comm->size == 1)
        return value;
    enum phase before = phase_enter(PHASE_WAIT);
    comm_check_or_abort(
        MPI_Allreduce(&value, &largest, 1, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD),
        "compare the ranks");
    phase_enter(before);
    return largest;
}

void comm_barrier(struct comm *comm)
{
    if (comm->size == 1)
        return;
    enum phase before = phase_enter(PHASE_WAIT);
    comm_check_or_abort(MPI_Barrier(MPI_COMM_WORLD), "synchronise");
    phase_enter(before);
}

/* ---- bytes ---- */

static size_t chunk_size(size_t at, size_t size)
{
    return size - at < CHUNK_BYTES ? size - at : CHUNK_BYTES;
}

enum status comm_broadcast(struct comm *comm, void *bytes, size_t size)
{
    int code = MPI_SUCCESS;
    enum phase before = phase_enter(PHASE_WAIT);
    for (size_t at = 0; comm->size > 1 && at < size && code == MPI_SUCCESS;
         at += CHUNK_BYTES)
        code = MPI_Bcast((char *)bytes + at, (int)chunk_size(at, size), MPI_BYTE, 0,
                         MPI_COMM_WORLD);
    phase_enter(before);
    return comm_check(code, "broadcast");
}

static enum status send_chunks(const uint8_t *bytes, size_t size)
{
    int code = MPI_SUCCESS;
    for (size_t at = 0; at < size && code == MPI_SUCCESS; at += CHUNK_BYTES)
        code = MPI_Send(bytes + at, (int)chunk_size(at, size), MPI_BYTE, 0, GATHER_TAG,
                        MPI_COMM_WORLD);
    return comm_check(code, "gather");
}

static enum status receive_chunks(int from, uint8_t *bytes, size_t size)
{
    int code = MPI_SUCCESS;
    for (size_t at = 0; at < size && code == MPI_SUCCESS; at += CHUNK_BYTES)
        code = MPI_Recv(bytes + at, (int)chunk_size(at, size), MPI_BYTE, from, GATHER_TAG,
                        MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return comm_check(code, "gather");
}

/* On rank 0: *sizes, the number of bytes of each rank, and *all, a buffer for the bytes
 * of all ranks. */
static enum status gather_sizes(struct comm *comm, size_t size, uint8_t **all,
                                size_t **sizes)
{
    uint64_t mine = size, *size_of = NULL;
    enum status status = STATUS_OK;
    if (comm->rank == 0 && !(size_of = malloc((size_t)comm->size * sizeof *size_of)))
        status = status_fail(STATUS_FAILED, "no memory for %d sizes", comm->size);
    status = comm_agree(comm, status);
    if (status == STATUS_OK)
        status = comm_check(MPI_Gather(&mine, 1, MPI_UINT64_T, size_of, 1, MPI_UINT64_T,
                                       0, MPI_COMM_WORLD),
                            "gather");
    if (status == STATUS_OK && comm->rank == 0) {
        size_t total = 0;
        for (int r = 0; r < comm->size; r++)
            total += size_of[r];
        *all = malloc(total + 1);
        if (!*all)
            status = status_fail(STATUS_FAILED, "no memory for %zu bytes", total);
    }
    _Static_assert(sizeof(size_t) == sizeof(uint64_t), "64 bits");
    *sizes = (size_t *)size_of;
    return comm_agree(comm, status);
}

static enum status receive_all(struct comm *comm, const void *bytes, uint8_t *all,
                               const size_t *sizes)
{
    enum status status = STATUS_OK;
    if (sizes[0] > 0)
        memcpy(all, bytes, sizes[0]);
    all += sizes[0];
    for (int r = 1; r < comm->size && status == STATUS_OK; r++) {
        status = receive_chunks(r, all, sizes[r]);
        all += sizes[r];
    }
    return status;
}

enum status comm_gather(struct comm *comm, const void *bytes, size_t size, uint8_t **all,
                        size_t **sizes)
{
    *all = NULL;
    *sizes = NULL;
    enum phase before = phase_enter(PHASE_WAIT);
    enum status status = gather_sizes(comm, size, all, sizes);
    if (status == STATUS_OK)
        status = comm->rank == 0 ? receive_all(comm, bytes, *all, *sizes)
                                 : send_chunks(bytes, size);
    if (status != STATUS_OK) {
        free(*all);
        free(*sizes);
        *all = NULL;
        *sizes = NULL;
    }
    phase_enter(before);
    return status;
}
