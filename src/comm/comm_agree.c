/* comm_agree: one outcome for all ranks, with the message of the rank that caused it. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "comm_internal.h"
#include "base/hash.h"
#include "base/phase.h"

static int severity(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return 0;
    case STATUS_STOPPED:
        return 1;
    case STATUS_MISUSE:
        return 2;
    case STATUS_FAILED:
        break;
    }
    return 3;
}

static enum status status_of_severity(int64_t severity)
{
    static const enum status statuses[] = {STATUS_OK, STATUS_STOPPED, STATUS_MISUSE,
                                           STATUS_FAILED};
    return statuses[severity];
}

/* A single MPI_MAX reduction gives all three: the worst status and the lowest rank that
 * has it, the largest hash of status and message, and the complement of the smallest
 * hash. The largest and the smallest hash are equal if all ranks have the same status and
 * message. */
struct verdict {
    int64_t worst, hash, complement;
};

static struct verdict verdict_of(const struct comm *comm, enum status mine)
{
    uint64_t hash = hash64(status_message(), strlen(status_message()));
    hash = (hash & ~(uint64_t)3) | (uint64_t)severity(mine);
    return (struct verdict){(int64_t)severity(mine) << 32 | (INT_MAX - comm->rank),
                            (int64_t)hash, (int64_t)~hash};
}

/* Broadcasts the message of rank `from`; it names the rank unless `same_on_all`. */
static enum status broadcast_message(struct comm *comm, int from, bool same_on_all)
{
    char text[STATUS_MESSAGE_SIZE];
    if (same_on_all)
        snprintf(text, sizeof text, "%s", status_message());
    else
        snprintf(text, sizeof text, "rank %d (%.200s): %.1800s", comm->rank, comm->host,
                 status_message());
    enum status status = comm_check(
        MPI_Bcast(text, sizeof text, MPI_CHAR, from, MPI_COMM_WORLD), "broadcast");
    if (status == STATUS_OK)
        status_set_message(text);
    return status;
}

static enum status agree(struct comm *comm, enum status mine)
{
    struct verdict local = verdict_of(comm, mine), global;
    enum status status = comm_check(
        MPI_Allreduce(&local, &global, 3, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD), "agree");
    if (status != STATUS_OK)
        return status;
    enum status agreed = status_of_severity(global.worst >> 32);
    if (agreed == STATUS_OK)
        return agreed;
    int from = INT_MAX - (int)(global.worst & INT_MAX);
    status = broadcast_message(comm, from, global.hash == ~global.complement);
    return status == STATUS_OK ? agreed : status;
}

enum status comm_agree(struct comm *comm, enum status mine)
{
    if (comm->size == 1)
        return mine;
    enum phase before = phase_enter(PHASE_WAIT);
    enum status status = agree(comm, mine);
    phase_enter(before);
    return status;
}
