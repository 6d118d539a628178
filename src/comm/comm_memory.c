/* comm_memory: memory that the ranks of a host see of each other.
 *
 * One POSIX shared-memory object for each block, made by the host's lowest rank and
 * unlinked as soon as all have mapped it, so that nothing is left whatever happens. Each
 * rank reserves and touches its own part, which then lies near it; a host without room
 * (a container's small /dev/shm) says so there, and all its ranks do with private memory.
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

enum { LINE = 64, PAGE = 4096, NAME_SIZE = 64 };

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* A rank's part: the marks of its sums, each in a line of its own, then the block. */
static size_t marks_size(const struct comm_memory *memory)
{
    return round_up(memory->slots * LINE, PAGE);
}

static char *part_of(const struct comm_memory *memory, int place)
{
    return memory->map + (size_t)place * memory->stride;
}

_Atomic uint64_t *comm_memory_mark(const struct comm_memory *memory, int place,
                                   size_t slot)
{
    return (_Atomic uint64_t *)(void *)(part_of(memory, place) + slot * LINE);
}

char *comm_memory_peer(const struct comm_memory *memory, int place, const void *mine)
{
    const char *own = memory->block;
    return part_of(memory, place) + marks_size(memory) + ((const char *)mine - own);
}

/* The object, by this rank if it is the host's first, under a name that it tells. */
static int open_object(struct comm *comm, char name[NAME_SIZE], size_t size)
{
    int file = -1;
    if (comm->place == 0) {
        snprintf(name, NAME_SIZE, "/tutti-%ld-%d", (long)getpid(), comm->memory_count);
        file = shm_open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        if (file < 0 || ftruncate(file, (off_t)size) != 0)
            name[0] = '\0'; /* the others needn't try */
    }
    MPI_Bcast(name, NAME_SIZE, MPI_CHAR, 0, comm->neighbours);
    if (comm->place != 0 && name[0])
        file = shm_open(name, O_RDWR | O_CLOEXEC, 0);
    return file;
}

/* Maps all parts and makes sure of the room for the own one. */
static bool map(struct comm_memory *memory, int file, int place)
{
    off_t first = (off_t)((size_t)place * memory->stride);
    if (file < 0 || posix_fallocate(file, first, (off_t)memory->stride) != 0)
        return false;
    void *map = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    memory->map = map == MAP_FAILED ? NULL : map;
    return memory->map != NULL;
}

/* True if all ranks of the host have it. */
static bool share(struct comm *comm, struct comm_memory *memory, size_t bytes)
{
    char name[NAME_SIZE] = "";
    memory->stride = marks_size(memory) + round_up(bytes, PAGE);
    memory->size = memory->stride * (size_t)comm->places;
    int file = open_object(comm, name, memory->size);
    int mapped = map(memory, file, comm->place), all = 0;
    if (file >= 0)
        close(file);
    MPI_Allreduce(&mapped, &all, 1, MPI_INT, MPI_MIN, comm->neighbours);
    if (comm->place == 0 && name[0])
        shm_unlink(name);
    if (all)
        return true;
    if (memory->map)
        munmap(memory->map, memory->size);
    memory->map = NULL;
    return false;
}

enum status comm_memory_create(struct comm *comm, size_t bytes, size_t sums,
                               struct comm_memory **out)
{
    struct comm_memory *memory = *out = calloc(1, sizeof *memory);
    if (!memory) {
        comm_abort(comm, STATUS_FAILED); /* the others are waiting */
    }
    memory->slots = sums;
    comm->memory_count++;
    if (comm->places > 1 && share(comm, memory, bytes)) {
        memory->block = part_of(memory, comm->place) + marks_size(memory);
        memset(part_of(memory, comm->place), 0, memory->stride);
        MPI_Barrier(comm->neighbours); /* all marks are 0 */
    } else {
        memory->block = memory_zeroed(bytes);
    }
    if (memory->block)
        return STATUS_OK;
    comm_memory_free(memory);
    *out = NULL;
    return status_fail(STATUS_FAILED, "no memory for a sum of %zu bytes", bytes);
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
