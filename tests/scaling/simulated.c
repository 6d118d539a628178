/* simulated: see the header. A message is split into one piece per call that it takes; a
 * piece is sent when the previous one has arrived and the rank polls. */
#define SCALING_SIMULATED_ITSELF
#include "simulated.h"

#include <smpi/smpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_MESSAGES = 4096, MOST_ALIKE = 8, MOST_SUMS = 256 };

struct message {
    MPI_Request *handle; /* the caller's; set to MPI_REQUEST_NULL on completion */
    MPI_Request piece;   /* in flight */
    bool sends, adds, arrived;
    char *at;
    size_t left, size; /* bytes: remaining, with the piece in flight; of that piece */
    const struct simulated_costs *costs;
    int peer, tag;
    MPI_Comm comm;
};

static struct {
    struct simulated_machine machine;
    const char *values;
    size_t bytes;
    int *host_of;
    int rank;
    bool waiting;
    int idle_polls; /* consecutive calls without progress */
    double owed;    /* seconds of calls not charged yet */
    struct message messages[MOST_MESSAGES];
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
    world.host_of = calloc((size_t)size, sizeof *world.host_of);
    lowest = world.rank;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    MPI_Bcast(&lowest, 1, MPI_INT, 0, host);
    MPI_Comm_free(&host);
    MPI_Allgather(&lowest, 1, MPI_INT, world.host_of, 1, MPI_INT, MPI_COMM_WORLD);
}

void simulated_wait(bool waiting)
{
    world.waiting = waiting;
}

bool simulated_quiet(void)
{
    return world.count == 0;
}

void simulated_compute(double seconds)
{
    seconds += world.owed;
    world.owed = 0;
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
    size_t most = (size_t)message->costs->most;
    message->size = most > 0 && message->left > most ? most : message->left;
    message->arrived = false;
    if (message->sends) {
        simulated_compute((double)message->size * message->costs->send);
        MPI_Isend(message->at, (int)message->size, MPI_BYTE, message->peer, message->tag,
                  message->comm, &message->piece);
    } else {
        MPI_Irecv(message->at, (int)message->size, MPI_BYTE, message->peer, message->tag,
                  message->comm, &message->piece);
    }
}

/* Called when the rank notices that the piece has arrived. */
static void take(struct message *message)
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

/* Distinguishes the pieces of concurrent messages between the same ranks. */
static int tag_of(const struct message *message, int tag)
{
    int alike = 0;
    for (size_t i = 0; i < world.count; i++)
        alike += world.messages[i].peer == message->peer &&
                 world.messages[i].sends == message->sends &&
                 world.messages[i].tag / MOST_ALIKE == tag;
    return tag * MOST_ALIKE + alike;
}

static int begin(struct message message, int count, MPI_Datatype type, int peer, int tag,
                 MPI_Comm comm, MPI_Request *handle)
{
    int width;
    if (world.count == MOST_MESSAGES) {
        fprintf(stderr, "simulated: more than %d messages under way\n", MOST_MESSAGES);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Type_size(type, &width);
    bool within = world.host_of[peer] == world.host_of[world.rank];
    message.handle = handle;
    message.left = (size_t)count * (size_t)width;
    message.costs = within ? &world.machine.within : &world.machine.between;
    message.peer = peer;
    message.tag = tag_of(&message, tag);
    message.comm = comm;
    post(&message);
    *handle = message.piece;
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

/* Sleeps until a piece has arrived. */
static void sleep_until_arrival(void)
{
    static MPI_Request pieces[MOST_MESSAGES];
    int which = MPI_UNDEFINED;
    for (size_t i = 0; i < world.count; i++) {
        if (world.messages[i].arrived)
            return;
        pieces[i] = world.messages[i].piece;
    }
    MPI_Waitany((int)world.count, pieces, &which, MPI_STATUS_IGNORE);
    if (which != MPI_UNDEFINED)
        world.messages[which].arrived = true;
}

/* False if the piece has not arrived, so that polling further messages is useless. */
static bool look(struct message *message)
{
    int arrived = message->arrived;
    if (!arrived && !world.waiting) /* else sleep_until_arrival tests it */
        MPI_Test(&message->piece, &arrived, MPI_STATUS_IGNORE);
    if (arrived)
        take(message);
    return arrived || message->left > message->size;
}

static bool is_of(const struct message *message, int count, const MPI_Request *requests)
{
    return message->handle >= requests && message->handle < requests + count;
}

/* MPI progresses all messages on any call. But a program with several allreduces in
 * flight polls each of them, so unless it waits it is enough to progress the polled
 * ones. */
static void look_at_messages(int count, const MPI_Request *requests)
{
    size_t kept = 0;
    bool hope = true; /* true while all of the round's messages so far have arrived */
    for (size_t i = 0; i < world.count; i++) {
        struct message *message = &world.messages[i];
        if (world.waiting)
            look(message);
        else if (hope && is_of(message, count, requests))
            hope = look(message);
        if (message->left > 0)
            world.messages[kept++] = *message;
    }
    world.count = kept;
}

/* A waiting rank sleeps once polling all of its allreduces has made no progress: until
 * then one of them may have a round to begin. */
int simulated_testall(int count, MPI_Request *requests, int *through,
                      MPI_Status *statuses)
{
    size_t before = world.count;
    (void)statuses;
    look_at_messages(count, requests);
    *through = 1;
    for (int i = 0; i < count; i++)
        *through &= requests[i] == MPI_REQUEST_NULL;
    bool vain = !*through && world.count == before;
    world.idle_polls = vain ? world.idle_polls + 1 : 0;
    if (!world.waiting)
        world.owed += world.machine.look;
    else if (world.idle_polls > MOST_SUMS)
        sleep_until_arrival();
    return MPI_SUCCESS;
}
