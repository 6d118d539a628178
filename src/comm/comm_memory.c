/* comm_memory: memory that the ranks of a node share.
 *
 * One POSIX shared-memory object per comm_memory, created by the node's lowest rank and
 * unlinked as soon as all its ranks have mapped it, so that no object outlives the run,
 * however it ends. Each rank reserves and touches its own part, which the kernel then
 * places on the rank's NUMA node. If this reservation fails (a container's small
 * /dev/shm), all ranks of the node use private memory instead.
 *
 *     | counters of rank 0 | block of local rank 0 | counters of rank 1 | ...
 *     |<------------------ stride ------------------->|
 *
 * Ranks are numbered within the node. Each progress counter has a cache line of its own.
 * comm_allreduce.c explains how the counters order memory accesses.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "comm_internal.h"
#include "base/memory.h"

enum { CACHE_LINE = 64, PAGE = 4096, NAME_SIZE = 64 };

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static size_t counters_size(const struct comm_memory *memory)
{
    return round_up(memory->slots * CACHE_LINE, PAGE);
}

static char *part_of(const struct comm_memory *memory, int local_rank)
{
    return memory->map + (size_t)local_rank * memory->stride;
}

_Atomic uint64_t *comm_memory_counter(const struct comm_memory *memory, int local_rank,
                                      size_t slot)
{
    return (_Atomic uint64_t *)(void *)(part_of(memory, local_rank) + slot * CACHE_LINE);
}

char *comm_memory_peer(const struct comm_memory *memory, int local_rank,
                       const void *address)
{
    return part_of(memory, local_rank) + counters_size(memory) +
           ((const char *)address - memory->block);
}

/* Opens the shared-memory object: the node's first rank creates it and broadcasts its
 * name. Returns a descriptor or -1. */
static int open_object(struct comm *comm, char name[NAME_SIZE], size_t size)
{
    int fd = -1;
    if (comm->local_rank == 0) {
        snprintf(name, NAME_SIZE, "/tutti-%ld-%d", (long)getpid(), comm->memory_count);
        fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
            name[0] = '\0'; /* the other ranks don't try to open it */
    }
    MPI_Bcast(name, NAME_SIZE, MPI_CHAR, 0, comm->node_comm);
    if (comm->local_rank != 0 && name[0])
        fd = shm_open(name, O_RDWR | O_CLOEXEC, 0);
    return fd;
}

/* Maps the parts of all ranks and reserves this rank's part. */
static bool map(struct comm_memory *memory, int fd, int local_rank)
{
    off_t first = (off_t)((size_t)local_rank * memory->stride);
    if (fd < 0 || posix_fallocate(fd, first, (off_t)memory->stride) != 0)
        return false;
    void *map = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memory->map = map == MAP_FAILED ? NULL : map;
    return memory->map != NULL;
}

/* True if all ranks of the node have mapped it. */
static bool map_shared(struct comm *comm, struct comm_memory *memory, size_t bytes)
{
    char name[NAME_SIZE] = "";
    memory->stride = counters_size(memory) + round_up(bytes, PAGE);
    memory->size = memory->stride * (size_t)comm->local_size;
    int fd = open_object(comm, name, memory->size);
    int mapped = map(memory, fd, comm->local_rank), all_mapped = 0;
    if (fd >= 0)
        close(fd);
    MPI_Allreduce(&mapped, &all_mapped, 1, MPI_INT, MPI_MIN, comm->node_comm);
    if (comm->local_rank == 0 && name[0])
        shm_unlink(name);
    if (all_mapped)
        return true;
    if (memory->map)
        munmap(memory->map, memory->size);
    memory->map = NULL;
    return false;
}

enum status comm_memory_create(struct comm *comm, size_t bytes, size_t allreduces,
                               struct comm_memory **out)
{
    struct comm_memory *memory = *out = calloc(1, sizeof *memory);
    if (!memory)
        comm_abort(comm, STATUS_FAILED); /* the other ranks are in the collective below */
    memory->slots = allreduces;
    comm->memory_count++;
    if (comm->local_size > 1 && map_shared(comm, memory, bytes)) {
        memory->block = part_of(memory, comm->local_rank) + counters_size(memory);
        memset(part_of(memory, comm->local_rank), 0, memory->stride);
        MPI_Barrier(comm->node_comm); /* all counters are 0 */
    } else {
        memory->block = memory_zeroed(bytes);
    }
    if (memory->block)
        return STATUS_OK;
    comm_memory_free(memory);
    *out = NULL;
    return status_fail(STATUS_FAILED, "no memory for an allreduce of %zu bytes", bytes);
}

void *comm_memory_block(const struct comm_memory *memory)
{
    return memory->block;
}

void comm_memory_free(struct comm_memory *memory)
{
    if (!memory)
        return;
    if (memory->map)
        munmap(memory->map, memory->size);
    else
        memory_free(memory->block);
    free(memory);
}
