/* simulated: see the header. A message is split into one segment per call that it takes;
 * a segment is sent when the previous one has arrived and the rank polls. */
#define SCALING_SIMULATED_ITSELF
#include "simulated.h"

#include <smpi/smpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_MESSAGES = 4096, MAX_CONCURRENT = 8 };

struct message {
    MPI_Request *handle; /* the caller's; set to MPI_REQUEST_NULL on completion */
    MPI_Request segment; /* in flight */
    bool sends, adds, arrived;
    char *at;
    size_t left, size; /* bytes: remaining, with the segment in flight; of that segment */
    const struct simulated_costs *costs;
    int peer, tag;
    MPI_Comm comm;
};

static struct {
    struct simulated_machine machine;
    const char *values;
    size_t bytes;
    int *node_of;
    int rank;
    bool waiting;
    double uncharged_seconds; /* seconds of calls not charged yet */
    struct message messages[MAX_MESSAGES];
    size_t count;
} world;

void simulated_prepare(const struct simulated_machine *machine, const void *values,
                       size_t bytes)
{
    world.machine = *machine;
    world.values = values;
    world.bytes = bytes;
}

void simulated_open(void)
{
    MPI_Comm host;
    int size, lowest;
    MPI_Comm_rank(MPI_COMM_WORLD, &world.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    world.node_of = calloc((size_t)size, sizeof *world.node_of);
    lowest = world.rank;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    MPI_Bcast(&lowest, 1, MPI_INT, 0, host);
    MPI_Comm_free(&host);
    MPI_Allgather(&lowest, 1, MPI_INT, world.node_of, 1, MPI_INT, MPI_COMM_WORLD);
}

void simulated_set_waiting(bool waiting)
{
    world.waiting = waiting;
}

void simulated_compute(double seconds)
{
    seconds += world.uncharged_seconds;
    world.uncharged_seconds = 0;
    if (seconds > 0)
        smpi_execute(seconds);
}

int simulated_split(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *out)
{
    if (world.machine.flat)
        return MPI_Comm_split(comm, world.rank, key, out);
    return MPI_Comm_split_type(comm, type, key, info, out);
}

/* ---- one message ---- */

static void post(struct message *message)
{
    size_t max_bytes = (size_t)message->costs->max_bytes;
    message->size =
        max_bytes > 0 && message->left > max_bytes ? max_bytes : message->left;
    message->arrived = false;
    if (message->sends) {
        simulated_compute((double)message->size * message->costs->send);
        MPI_Isend(message->at, (int)message->size, MPI_BYTE, message->peer, message->tag,
                  message->comm, &message->segment);
    } else {
        MPI_Irecv(message->at, (int)message->size, MPI_BYTE, message->peer, message->tag,
                  message->comm, &message->segment);
    }
}

/* Called when the rank notices that the segment has arrived. */
static void receive_segment(struct message *message)
{
    double byte = message->sends ? 0 : message->costs->receive;
    if (message->adds)
        byte += message->costs->add;
    simulated_compute((double)message->size * byte);
    message->at += message->size;
    message->left -= message->size;
    if (message->left > 0)
        post(message);
    else
        *message->handle = MPI_REQUEST_NULL;
}

/* Distinguishes the segments of concurrent messages between the same ranks. */
static int tag_of(const struct message *message, int tag)
{
    int concurrent = 0;
    for (size_t i = 0; i < world.count; i++)
        concurrent += world.messages[i].peer == message->peer &&
                      world.messages[i].sends == message->sends &&
                      world.messages[i].tag / MAX_CONCURRENT == tag;
    return tag * MAX_CONCURRENT + concurrent;
}

static int begin(struct message message, int count, MPI_Datatype type, int peer, int tag,
                 MPI_Comm comm, MPI_Request *handle)
{
    int width;
    if (world.count == MAX_MESSAGES) {
        fprintf(stderr, "simulated: more than %d messages under way\n", MAX_MESSAGES);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Type_size(type, &width);
    bool within = world.node_of[peer] == world.node_of[world.rank];
    message.handle = handle;
    message.left = (size_t)count * (size_t)width;
    message.costs = within ? &world.machine.within : &world.machine.between;
    message.peer = peer;
    message.tag = tag_of(&message, tag);
    message.comm = comm;
    post(&message);
    *handle = message.segment;
    world.messages[world.count++] = message;
    return MPI_SUCCESS;
}

int simulated_isend(const void *from, int count, MPI_Datatype type, int to, int tag,
                    MPI_Comm comm, MPI_Request *request)
{
    return begin((struct message){.sends = true, .at = (char *)from}, count, type, to,
                 tag, comm, request);
}

int simulated_irecv(void *to, int count, MPI_Datatype type, int from, int tag,
                    MPI_Comm comm, MPI_Request *request)
{
    const char *at = to;
    bool adds = at < world.values || at >= world.values + world.bytes;
    return begin((struct message){.adds = adds, .at = to}, count, type, from, tag, comm,
                 request);
}

/* ---- all messages ---- */

/* Sleeps until a segment has arrived. */
static void sleep_until_arrival(void)
{
    static MPI_Request segments[MAX_MESSAGES];
    int which = MPI_UNDEFINED;
    for (size_t i = 0; i < world.count; i++) {
        if (world.messages[i].arrived)
            return;
        segments[i] = world.messages[i].segment;
    }
    MPI_Waitany((int)world.count, segments, &which, MPI_STATUS_IGNORE);
    if (which != MPI_UNDEFINED)
        world.messages[which].arrived = true;
}

/* False if the segment has not arrived, so that polling further messages is useless. */
static bool poll_message(struct message *message)
{
    int arrived = message->arrived;
    if (!arrived && !world.waiting) /* else sleep_until_arrival tests it */
        MPI_Test(&message->segment, &arrived, MPI_STATUS_IGNORE);
    if (arrived)
        receive_segment(message);
    return arrived || message->left > message->size;
}

static bool is_of(const struct message *message, int count, const MPI_Request *requests)
{
    return message->handle >= requests && message->handle < requests + count;
}

/* MPI progresses all messages on any call. But a program with several allreduces in
 * flight polls each of them, so unless it waits it is enough to progress the polled
 * ones. */
static void poll_messages(int count, const MPI_Request *requests)
{
    size_t remaining = 0;
    bool arriving = true; /* true while all of the round's messages so far have arrived */
    for (size_t i = 0; i < world.count; i++) {
        struct message *message = &world.messages[i];
        if (world.waiting)
            poll_message(message);
        else if (arriving && is_of(message, count, requests))
            arriving = poll_message(message);
        if (message->left > 0)
            world.messages[remaining++] = *message;
    }
    world.count = remaining;
}

int simulated_testall(int count, MPI_Request *requests, int *done, MPI_Status *statuses)
{
    (void)statuses;
    poll_messages(count, requests);
    *done = 1;
    for (int i = 0; i < count; i++)
        *done &= requests[i] == MPI_REQUEST_NULL;
    if (!world.waiting)
        world.uncharged_seconds += world.machine.poll;
    return MPI_SUCCESS;
}

int simulated_yield(void)
{
    sleep_until_arrival();
    return 0;
}
