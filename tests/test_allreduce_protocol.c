/* The protocol of comm_allreduce, model-checked on the real code: all ranks live in this
 * process as struct comm views of one memory, and comm_allreduce_advance is called for
 * them in every order.
 *
 * An explicit-state search (depth first, with a set of visited states) covers all
 * interleavings of the following transitions, for up to six ranks that make two or three
 * allreduces in a row on the same vector:
 *
 *     the caller begins and ends writing the input, and starts the sum;
 *     a rank finds the inputs of a round arrived, combines them, publishes the round;
 *     a rank finds its vector read by all its readers, and the caller takes the result;
 *     MPI, which is a model of nonblocking messages here, buffers or delivers a message.
 *
 * Invariants of every state: no data race, that is, no two concurrent accesses to the
 * same memory with at least one write (writing the input and combining are not atomic:
 * they last from one transition to a later one); a combined input has the value that a
 * sequential run of the schedule gives; no rank has finished an allreduce that another
 * has not started. In every final state each rank has obtained the correct sums, and
 * every other state has a transition (no deadlock). Larger numbers of ranks are explored
 * by random walks. Broken variants of the protocol must be detected.
 *
 * Interleavings are sufficient: comm_allreduce.c explains why weak memory ordering adds
 * no behaviour. The set of visited states holds 64-bit hashes: with 500 000 states the
 * probability of a collision, which would skip a state, is 1e-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "comm/comm_internal.h"

enum {
    MAX_RANKS = 8,
    MAX_COUNT = 12,
    MAX_SUMS = 3,
    MAX_ROUNDS = 12,
    MAX_PACKETS = 16,
    MAX_ACCESSES = 8 * MAX_RANKS + MAX_PACKETS
};

/* ---- what is explored ---- */

enum fault {
    FAULT_NONE,
    FAULT_EARLY_FLAG,   /* publishes a round before it combines the inputs */
    FAULT_NO_WAIT,      /* combines without looking at the peer's flag */
    FAULT_NO_DRAIN,     /* completes although its vector is still being read */
    FAULT_EARLY_START,  /* the caller writes the input after comm_allreduce_start */
    FAULT_LOST_FLAG,    /* rank 0 never publishes a round */
    FAULT_WRONG_ROUND,  /* in its first round rank 0 overwrites instead of adding */
    FAULT_EARLY_RECEIVE /* uses a message that has not arrived */
};

struct setup {
    int ranks, sums;
    size_t count;
    int node_of[MAX_RANKS];
    enum fault fault;
};

enum verdict { CORRECT, RACE, WRONG_INPUT, WRONG_SUM, TOO_FAR_AHEAD, DEADLOCK };
static const char *const verdict_text[] = {
    "correct",
    "two accesses at once",
    "wrong input",
    "wrong sum",
    "a sum was finished that another rank has not started",
    "deadlock",
};

static struct setup setup;
static enum verdict verdict;

static void fail_with(enum verdict failure)
{
    if (verdict == CORRECT)
        verdict = failure;
}

/* ---- the state, which transitions may change ---- */

enum caller { CALLER_IDLE, CALLER_WRITES, CALLER_HAS_WRITTEN, CALLER_WAITS };
enum request { REQUEST_FREE, REQUEST_PENDING, REQUEST_COMPLETE };

struct receive { /* posted and incomplete while its request is pending */
    int64_t *to;
    int from, count;
};

/* A message that has been sent but not received. Messages of one sender to one receiver
 * are kept in order. */
struct packet {
    int from, to, count, request;
    const int64_t *source; /* NULL: buffered in data[], and the send is complete */
    int64_t data[MAX_COUNT];
};

struct rank_state {
    enum caller caller;
    int sums_done;
    enum request requests[COMM_ALLREDUCE_REQUESTS];
    struct receive receives[COMM_ALLREDUCE_REQUESTS];
    /* copies of the allreduce's state, its flag and its memory */
    enum comm_allreduce_state state;
    size_t round;
    uint64_t base, flag;
    MPI_Request handles[COMM_ALLREDUCE_REQUESTS];
    int64_t values[MAX_COUNT], receive_buffer[MAX_COUNT];
};

struct state {
    struct rank_state ranks[MAX_RANKS];
    int packet_count;
    struct packet packets[MAX_PACKETS];
};

static struct state current;

/* ---- the environment, which does not change ---- */

static struct comm comms[MAX_RANKS];
static struct comm_memory memories[MAX_RANKS];
static struct comm_allreduce *sums[MAX_RANKS];
static int local_rank_of[MAX_RANKS];
static int acting; /* the rank that calls MPI */

static int64_t *values_of(int rank)
{
    return (int64_t *)(void *)sums[rank]->values;
}

static _Atomic uint64_t *flag_of(int rank)
{
    return comm_memory_counter(&memories[rank], local_rank_of[rank], 0);
}

static bool same_node(int a, int b)
{
    return setup.node_of[a] == setup.node_of[b];
}

/* Copies the state owned by the allreduces to `current`, and back. */
static void capture(void)
{
    for (int r = 0; r < setup.ranks; r++) {
        struct rank_state *rank = &current.ranks[r];
        const struct comm_allreduce *sum = sums[r];
        rank->state = sum->state;
        rank->round = sum->round;
        rank->base = sum->base;
        rank->flag = *flag_of(r);
        memcpy(rank->handles, sum->requests, sizeof rank->handles);
        memcpy(rank->values, sum->values, setup.count * sizeof *rank->values);
        memcpy(rank->receive_buffer, sum->receive_buffer, sizeof rank->receive_buffer);
    }
}

static void restore(const struct state *state)
{
    current = *state;
    for (int r = 0; r < setup.ranks; r++) {
        const struct rank_state *rank = &current.ranks[r];
        struct comm_allreduce *sum = sums[r];
        sum->state = rank->state;
        sum->round = rank->round;
        sum->base = rank->base;
        *flag_of(r) = rank->flag;
        memcpy(sum->requests, rank->handles, sizeof rank->handles);
        memcpy(sum->values, rank->values, setup.count * sizeof *rank->values);
        memcpy(sum->receive_buffer, rank->receive_buffer, sizeof rank->receive_buffer);
    }
}

/* ---- MPI: nonblocking messages ---- */

static int allocate_request(void)
{
    struct rank_state *rank = &current.ranks[acting];
    int slot = 0;
    while (slot < COMM_ALLREDUCE_REQUESTS - 1 && rank->requests[slot] != REQUEST_FREE)
        slot++;
    assert_int_equal(rank->requests[slot], REQUEST_FREE);
    rank->requests[slot] = REQUEST_PENDING;
    return slot;
}

int MPI_Irecv(void *buffer, int count, MPI_Datatype type, int from, int tag,
              MPI_Comm comm, MPI_Request *request)
{
    int slot = allocate_request();
    (void)type;
    (void)tag;
    (void)comm;
    current.ranks[acting].receives[slot] =
        (struct receive){.to = buffer, .from = from, .count = count};
    *request = (MPI_Request)(intptr_t)(slot + 1);
    return MPI_SUCCESS;
}

int MPI_Isend(const void *buffer, int count, MPI_Datatype type, int to, int tag,
              MPI_Comm comm, MPI_Request *request)
{
    int slot = allocate_request(), at = current.packet_count++;
    (void)type;
    (void)tag;
    (void)comm;
    assert_true(at < MAX_PACKETS);
    /* sorted by sender and receiver: the order of unrelated packets is not part of the
     * state */
    for (; at > 0; at--) {
        const struct packet *before = &current.packets[at - 1];
        if (before->from < acting || (before->from == acting && before->to <= to))
            break;
        current.packets[at] = *before;
    }
    struct packet *packet = &current.packets[at];
    memset(packet, 0, sizeof *packet);
    packet->from = acting;
    packet->to = to;
    packet->count = count;
    packet->request = slot;
    packet->source = buffer;
    *request = (MPI_Request)(intptr_t)(slot + 1);
    return MPI_SUCCESS;
}

int MPI_Testall(int count, MPI_Request requests[], int *complete, MPI_Status statuses[])
{
    struct rank_state *rank = &current.ranks[acting];
    (void)statuses;
    *complete = 1;
    for (int i = 0; i < count; i++)
        if (requests[i] != MPI_REQUEST_NULL)
            *complete &= rank->requests[(intptr_t)requests[i] - 1] == REQUEST_COMPLETE;
    for (int i = 0; *complete && i < count; i++) {
        if (requests[i] == MPI_REQUEST_NULL)
            continue;
        rank->requests[(intptr_t)requests[i] - 1] = REQUEST_FREE;
        memset(&rank->receives[(intptr_t)requests[i] - 1], 0, sizeof *rank->receives);
        requests[i] = MPI_REQUEST_NULL;
    }
    return MPI_SUCCESS;
}

/* MPI may buffer a message before its receive is posted, or never. */
static bool buffer_packet(struct packet *packet)
{
    if (!packet->source)
        return false;
    memcpy(packet->data, packet->source, (size_t)packet->count * sizeof *packet->data);
    packet->source = NULL;
    current.ranks[packet->from].requests[packet->request] = REQUEST_COMPLETE;
    return true;
}

static int find_receive(const struct packet *packet)
{
    const struct rank_state *rank = &current.ranks[packet->to];
    for (int slot = 0; slot < COMM_ALLREDUCE_REQUESTS; slot++)
        if (rank->requests[slot] == REQUEST_PENDING && rank->receives[slot].to &&
            rank->receives[slot].from == packet->from)
            return slot;
    return -1;
}

static bool deliver_packet(int at)
{
    struct packet *packet = &current.packets[at];
    const struct packet *before = packet - 1;
    bool overtakes = at > 0 && before->from == packet->from && before->to == packet->to;
    int slot = overtakes ? -1 : find_receive(packet);
    if (slot < 0)
        return false;
    const struct receive *receive = &current.ranks[packet->to].receives[slot];
    if (receive->count != packet->count)
        fail_with(WRONG_INPUT);
    memcpy(receive->to, packet->source ? packet->source : packet->data,
           (size_t)packet->count * sizeof *receive->to);
    current.ranks[packet->to].requests[slot] = REQUEST_COMPLETE;
    if (packet->source)
        current.ranks[packet->from].requests[packet->request] = REQUEST_COMPLETE;
    current.packet_count--;
    memmove(packet, packet + 1, (size_t)(current.packet_count - at) * sizeof *packet);
    memset(&current.packets[current.packet_count], 0, sizeof *packet);
    return true;
}

/* ---- expected values ---- */

/* Every rank adds to a byte of its own, so a sum shows which addends it contains. */
static int64_t addend(int sum, int rank, size_t i)
{
    int64_t digit = ((int64_t)sum * 37 + (int64_t)i * 5 + rank) % 50 + 1;
    return digit << 8 * rank;
}

static int64_t total(int sum, size_t i)
{
    int64_t all = 0;
    for (int r = 0; r < setup.ranks; r++)
        all += addend(sum, r, i);
    return all;
}

/* expected[s][k]: every rank's vector after k rounds of sum s, one round after
 * another. */
static int64_t expected[MAX_SUMS][MAX_ROUNDS + 1][MAX_RANKS][MAX_COUNT];

static void compute_expected_round(int s, size_t k)
{
    memcpy(expected[s][k + 1], expected[s][k], sizeof expected[s][k]);
    for (int r = 0; r < setup.ranks; r++) {
        const struct allreduce_round *round = &sums[r]->rounds[k];
        for (int p = 0; p < ROUND_RANGES; p++)
            for (size_t i = round->receive[p].first;
                 i < round->receive[p].first + round->receive[p].count; i++)
                expected[s][k + 1][r][i] = expected[s][k][round->from][i] +
                                           (round->adds ? expected[s][k][r][i] : 0);
    }
}

static void compute_expected(void)
{
    assert_true(sums[0]->round_count <= MAX_ROUNDS);
    for (int s = 0; s < setup.sums; s++) {
        for (int r = 0; r < setup.ranks; r++)
            for (size_t i = 0; i < setup.count; i++)
                expected[s][0][r][i] = addend(s, r, i);
        for (size_t k = 0; k < sums[0]->round_count; k++)
            compute_expected_round(s, k);
    }
}

/* The inputs of a rank's round: in the peer's vector, in the receive buffer, or, received
 * in place, in the rank's own vector. */
static const int64_t *input_of(int rank, int part)
{
    const struct allreduce_round *round = &sums[rank]->rounds[sums[rank]->round];
    if (same_node(rank, round->from))
        return values_of(round->from) + round->receive[part].first;
    if (round->adds)
        return (const int64_t *)(const void *)sums[rank]->receive_buffer +
               (part ? round->receive[0].count : 0);
    return values_of(rank) + round->receive[part].first;
}

static void check_inputs(int rank)
{
    const struct allreduce_round *round = &sums[rank]->rounds[sums[rank]->round];
    for (int p = 0; p < ROUND_RANGES; p++) {
        const struct allreduce_range *part = &round->receive[p];
        const int64_t *correct =
            &expected[current.ranks[rank].sums_done][sums[rank]->round][round->from][0];
        if (memcmp(input_of(rank, p), correct + part->first,
                   part->count * sizeof *correct) != 0)
            fail_with(WRONG_INPUT);
    }
}

static void check_result(int rank)
{
    for (size_t i = 0; i < setup.count; i++)
        if (values_of(rank)[i] != total(current.ranks[rank].sums_done, i))
            fail_with(WRONG_SUM);
}

/* ---- concurrent accesses ---- */

struct access {
    const int64_t *begin, *end;
    bool writes;
    int by; /* rank, or a negative number for each message */
};

static struct access accesses[MAX_ACCESSES];
static int access_count;

static void add_access(const int64_t *begin, size_t count, bool writes, int by)
{
    assert_true(access_count < MAX_ACCESSES);
    if (count > 0)
        accesses[access_count++] = (struct access){begin, begin + count, writes, by};
}

static void add_rank(int r)
{
    const struct rank_state *rank = &current.ranks[r];
    if (rank->caller == CALLER_WRITES)
        add_access(values_of(r), setup.count, true, r);
    for (int slot = 0; slot < COMM_ALLREDUCE_REQUESTS; slot++)
        if (rank->requests[slot] == REQUEST_PENDING && rank->receives[slot].to)
            add_access(rank->receives[slot].to, (size_t)rank->receives[slot].count, true,
                       -1 - access_count);
    if (rank->caller != CALLER_WAITS || sums[r]->state != COMM_ALLREDUCE_COMBINE)
        return;
    for (int p = 0; p < ROUND_RANGES; p++) {
        const struct allreduce_range *part = &sums[r]->rounds[sums[r]->round].receive[p];
        add_access(values_of(r) + part->first, part->count, true, r);
        add_access(input_of(r, p), part->count, false, r);
    }
}

static void check_accesses(void)
{
    access_count = 0;
    for (int r = 0; r < setup.ranks; r++)
        add_rank(r);
    for (int p = 0; p < current.packet_count; p++)
        if (current.packets[p].source)
            add_access(current.packets[p].source, (size_t)current.packets[p].count, false,
                       -1 - access_count);
    for (int i = 0; i < access_count; i++)
        for (int j = 0; j < i; j++) {
            const struct access *a = &accesses[i], *b = &accesses[j];
            if (a->by != b->by && (a->writes || b->writes) && a->begin < b->end &&
                b->begin < a->end)
                fail_with(RACE);
        }
}

static void check_lead(void)
{
    for (int r = 0; r < setup.ranks; r++)
        for (int q = 0; q < setup.ranks; q++)
            if (current.ranks[r].sums_done >
                current.ranks[q].sums_done + (current.ranks[q].caller == CALLER_WAITS))
                fail_with(TOO_FAR_AHEAD);
}

/* ---- transitions ---- */

static void write_input(int rank)
{
    for (size_t i = 0; i < setup.count; i++)
        values_of(rank)[i] = addend(current.ranks[rank].sums_done, rank, i);
}

/* Makes the transition of a broken variant; false if the variant does not differ here. */
static bool advance_with_fault(int rank)
{
    struct comm_allreduce *sum = sums[rank];
    uint64_t early = sum->base + sum->round + 1, flag = *flag_of(rank);
    bool in_node =
        sum->round < sum->round_count && same_node(rank, sum->rounds[sum->round].from);
    if (setup.fault == FAULT_EARLY_FLAG && sum->state == COMM_ALLREDUCE_COMBINE &&
        flag < early) {
        *flag_of(rank) = early;
        return true;
    }
    if ((setup.fault == FAULT_NO_WAIT && sum->state == COMM_ALLREDUCE_RECEIVE &&
         in_node) ||
        (setup.fault == FAULT_EARLY_RECEIVE && sum->state == COMM_ALLREDUCE_RECEIVE &&
         !in_node)) {
        sum->state = COMM_ALLREDUCE_COMBINE;
        return true;
    }
    if (setup.fault == FAULT_NO_DRAIN && sum->state == COMM_ALLREDUCE_DRAIN) {
        sum->state = COMM_ALLREDUCE_DONE;
        return true;
    }
    if (setup.fault == FAULT_LOST_FLAG && sum->state == COMM_ALLREDUCE_PUBLISH &&
        rank == 0) {
        comm_allreduce_advance(sum);
        *flag_of(rank) = flag;
        return true;
    }
    return false;
}

static bool advance_sum(int rank)
{
    struct comm_allreduce *sum = sums[rank];
    if (sum->state == COMM_ALLREDUCE_COMBINE)
        check_inputs(rank);
    if (!advance_with_fault(rank) && !comm_allreduce_advance(sum))
        return false;
    if (sum->state == COMM_ALLREDUCE_DONE) {
        check_result(rank);
        current.ranks[rank].sums_done++;
        current.ranks[rank].caller = CALLER_IDLE;
    }
    return true;
}

static bool advance_rank(int r)
{
    struct rank_state *rank = &current.ranks[r];
    bool early = setup.fault == FAULT_EARLY_START;
    acting = r;
    switch (rank->caller) {
    case CALLER_IDLE:
        if (rank->sums_done == setup.sums)
            return false;
        if (early)
            comm_allreduce_start(sums[r]);
        rank->caller = CALLER_WRITES;
        return true;
    case CALLER_WRITES:
        write_input(r);
        rank->caller = early ? CALLER_WAITS : CALLER_HAS_WRITTEN;
        return true;
    case CALLER_HAS_WRITTEN:
        comm_allreduce_start(sums[r]);
        rank->caller = CALLER_WAITS;
        return true;
    case CALLER_WAITS:
        break;
    }
    return advance_sum(r);
}

/* Transitions are numbered: one for each rank, then two for each packet. */
static int transition_count(void)
{
    return setup.ranks + 2 * current.packet_count;
}

static bool make_transition(int number)
{
    int packet = (number - setup.ranks) / 2;
    if (number < setup.ranks)
        return advance_rank(number);
    return (number - setup.ranks) % 2 ? deliver_packet(packet)
                                      : buffer_packet(&current.packets[packet]);
}

static bool is_final(void)
{
    for (int r = 0; r < setup.ranks; r++)
        if (current.ranks[r].sums_done < setup.sums)
            return false;
    return current.packet_count == 0;
}

/* ---- setting up and freeing a search ---- */

static void create_rank(int r)
{
    struct comm_memory *memory = &memories[r];
    int first = r, local_size = 0;
    for (int q = setup.ranks - 1; q >= 0; q--) {
        first = same_node(q, r) ? q : first;
        local_size += same_node(q, r);
        local_rank_of[r] += q < r && same_node(q, r);
    }
    *memory = (struct comm_memory){.stride = 8192, .slots = 1};
    memory->size = memory->stride * (size_t)local_size;
    memory->map = first == r ? calloc(1, memory->size) : memories[first].map;
    memory->block = comm_memory_peer(memory, local_rank_of[r], NULL);
    comms[r] = (struct comm){.rank = r,
                             .size = setup.ranks,
                             .node_of = setup.node_of,
                             .local_rank_of = local_rank_of};
    assert_int_equal(comm_allreduce_init(&comms[r], memory, COMM_I64, memory->block,
                                         setup.count, &sums[r]),
                     STATUS_OK);
    free(sums[r]->receive_buffer); /* one size for all, so that it can be copied */
    sums[r]->receive_buffer = calloc(MAX_COUNT, sizeof(int64_t));
    for (int i = 0; i < COMM_ALLREDUCE_REQUESTS; i++)
        sums[r]->requests[i] = MPI_REQUEST_NULL;
}

static void create_world(void)
{
    memset(&current, 0, sizeof current);
    memset(local_rank_of, 0, sizeof local_rank_of);
    verdict = CORRECT;
    for (int r = 0; r < setup.ranks; r++)
        create_rank(r);
    if (setup.fault == FAULT_WRONG_ROUND)
        sums[0]->rounds[0].adds = false;
    compute_expected();
}

static void free_world(void)
{
    for (int r = 0; r < setup.ranks; r++) {
        if (local_rank_of[r] == 0)
            free(memories[r].map);
        comm_allreduce_free(sums[r]);
    }
}

/* ---- the set of states visited, by 64-bit hash ---- */

static uint64_t *visited;
static size_t visited_size, visited_count;

static bool insert(uint64_t hash)
{
    size_t at = hash & (visited_size - 1);
    while (visited[at] != 0 && visited[at] != hash)
        at = (at + 1) & (visited_size - 1);
    bool is_new = visited[at] == 0;
    visited[at] = hash;
    visited_count += is_new;
    return is_new;
}

static void create_visited(size_t size)
{
    visited = calloc(size, sizeof *visited);
    assert_non_null(visited);
    visited_size = size;
    visited_count = 0;
}

/* True if the state has not been visited before. */
static bool visit(void)
{
    if (2 * visited_count > visited_size) {
        uint64_t *old = visited;
        size_t size = visited_size;
        create_visited(4 * size);
        for (size_t i = 0; i < size; i++)
            if (old[i] != 0)
                insert(old[i]);
        free(old);
    }
    size_t ranks = (size_t)setup.ranks * sizeof *current.ranks;
    size_t packets = (size_t)current.packet_count * sizeof *current.packets;
    uint64_t hash[2] = {hash64(current.ranks, ranks), hash64(current.packets, packets)};
    return insert(hash64(hash, sizeof hash) | 1);
}

/* ---- all interleavings ---- */

struct frame {
    struct state state;
    int next;      /* transition to be tried */
    bool has_next; /* a transition was possible */
};

static struct frame *path;
static size_t path_size, depth, deepest;
static uint64_t transitions;

static void push(void)
{
    if (depth == path_size) {
        path_size = path_size ? 2 * path_size : 64;
        path = realloc(path, path_size * sizeof *path);
        assert_non_null(path);
    }
    path[depth++] = (struct frame){.state = current};
    deepest = depth > deepest ? depth : deepest;
}

/* Makes the next transition of the top frame; false if there is none. */
static bool expand(struct frame *top)
{
    restore(&top->state);
    while (top->next < transition_count() && verdict == CORRECT)
        if (make_transition(top->next++)) {
            transitions++;
            top->has_next = true;
            return true;
        }
    if (!top->has_next && !is_final())
        fail_with(DEADLOCK);
    return false;
}

static void search(void)
{
    depth = deepest = 0;
    transitions = 0;
    create_visited(1 << 16);
    capture();
    visit();
    push();
    while (depth > 0 && verdict == CORRECT) {
        if (!expand(&path[depth - 1])) {
            depth--;
            continue;
        }
        check_accesses();
        check_lead();
        capture();
        if (visit())
            push();
    }
}

static void explore(const struct setup *chosen, const char *what)
{
    setup = *chosen;
    create_world();
    search();
    print_message("%-34s %zu elements, %d sums: %8zu states, %9llu transitions, depth "
                  "%zu: %s\n",
                  what, setup.count, setup.sums, visited_count,
                  (unsigned long long)transitions, deepest, verdict_text[verdict]);
    free(visited);
    free_world();
}

/* ---- the tests ---- */

static const struct {
    const char *what;
    struct setup setup;
} worlds[] = {
    {"1 rank", {.ranks = 1, .sums = 3, .count = 3}},
    {"2 ranks of a node", {.ranks = 2, .sums = 3, .count = 5}},
    {"2 ranks of a node", {.ranks = 2, .sums = 3, .count = 1}},
    {"3 ranks of a node", {.ranks = 3, .sums = 3, .count = 7}},
    {"3 ranks of a node", {.ranks = 3, .sums = 3, .count = 1}},
    {"4 ranks of a node", {.ranks = 4, .sums = 3, .count = 6}},
    {"4 ranks of a node", {.ranks = 4, .sums = 3, .count = 0}},
    {"5 ranks of a node", {.ranks = 5, .sums = 3, .count = 8}},
    {"6 ranks of a node", {.ranks = 6, .sums = 2, .count = 7}},
    {"2 nodes of 1 rank", {.ranks = 2, .sums = 3, .count = 3, .node_of = {0, 1}}},
    {"nodes of 2 and 1 ranks", {.ranks = 3, .sums = 3, .count = 4, .node_of = {0, 0, 2}}},
    {"2 nodes of 2 ranks", {.ranks = 4, .sums = 3, .count = 5, .node_of = {0, 0, 2, 2}}},
    {"2 nodes of 2 ranks, in turn",
     {.ranks = 4, .sums = 3, .count = 5, .node_of = {0, 1, 0, 1}}},
    {"nodes of 3 and 1 ranks",
     {.ranks = 4, .sums = 3, .count = 4, .node_of = {0, 0, 0, 3}}},
};

static void all_interleavings_are_correct(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        explore(&worlds[i].setup, worlds[i].what);
        assert_int_equal(verdict, CORRECT);
    }
}

static void explore_fault(enum fault fault, const char *what, const struct setup *world)
{
    struct setup broken = *world;
    broken.fault = fault;
    explore(&broken, what);
}

static void broken_variants_are_detected(void **state)
{
    (void)state;
    const struct setup pair = {.ranks = 2, .sums = 2, .count = 5};
    const struct setup four = {.ranks = 4, .sums = 2, .count = 5};
    const struct setup nodes = {.ranks = 2, .sums = 2, .count = 3, .node_of = {0, 1}};
    const struct setup *in_node[] = {&pair, &four};
    for (int i = 0; i < 2; i++) {
        explore_fault(FAULT_EARLY_FLAG, "flag before the write", in_node[i]);
        assert_true(verdict == RACE || verdict == WRONG_INPUT);
        explore_fault(FAULT_NO_WAIT, "no wait for the flag", in_node[i]);
        assert_true(verdict == RACE || verdict == WRONG_INPUT);
        explore_fault(FAULT_NO_DRAIN, "no wait for the readers", in_node[i]);
        assert_true(verdict == RACE || verdict == WRONG_INPUT);
        explore_fault(FAULT_EARLY_START, "start before the write", in_node[i]);
        assert_true(verdict == RACE || verdict == WRONG_INPUT);
        explore_fault(FAULT_LOST_FLAG, "a flag that is never raised", in_node[i]);
        assert_int_equal(verdict, DEADLOCK);
        explore_fault(FAULT_WRONG_ROUND, "a wrong schedule", in_node[i]);
        assert_int_equal(verdict, WRONG_SUM);
    }
    explore_fault(FAULT_EARLY_RECEIVE, "no wait for a message", &nodes);
    assert_true(verdict == RACE || verdict == WRONG_INPUT);
}

/* A random walk from the initial to a final state. */
static void walk(uint64_t seed, uint64_t number)
{
    create_world();
    for (uint64_t length = 0; verdict == CORRECT && !is_final(); length++) {
        int count = transition_count(), tried = 0;
        int first = (int)rng_below((uint64_t)count, seed, RNG_TEST, number, length, 0);
        while (tried < count && !make_transition((first + tried) % count))
            tried++;
        if (tried == count)
            fail_with(DEADLOCK);
        transitions++;
        check_accesses();
        check_lead();
    }
    free_world();
}

static void random_walks_in_larger_worlds_are_correct(void **state)
{
    (void)state;
    enum { WALKS = 300 };
    const char *text = getenv("TUTTI_TEST_SEED");
    const uint64_t seed = text ? strtoull(text, NULL, 10) : 1;
    static const struct setup larger[] = {
        {.ranks = 5, .sums = 3, .count = 11},
        {.ranks = 6, .sums = 3, .count = 7},
        {.ranks = 7, .sums = 3, .count = 12},
        {.ranks = 8, .sums = 3, .count = 11},
        {.ranks = 6, .sums = 3, .count = 8, .node_of = {0, 0, 0, 3, 3, 3}},
        {.ranks = 8, .sums = 3, .count = 9, .node_of = {0, 1, 0, 1, 0, 1, 0, 1}},
        {.ranks = 6, .sums = 3, .count = 8, .node_of = {0, 0, 2, 2, 4, 4}},
        {.ranks = 7, .sums = 3, .count = 10, .node_of = {0, 0, 0, 3, 3, 5, 5}},
    };
    transitions = 0;
    verdict = CORRECT;
    for (size_t i = 0; i < sizeof larger / sizeof *larger; i++) {
        setup = larger[i];
        for (uint64_t n = 0; n < WALKS && verdict == CORRECT; n++)
            walk(seed, n);
        if (verdict != CORRECT)
            print_error("world %zu, TUTTI_TEST_SEED=%llu: %s\n", i,
                        (unsigned long long)seed, verdict_text[verdict]);
        assert_int_equal(verdict, CORRECT);
    }
    print_message("%d walks each in %zu larger worlds: %llu transitions\n", WALKS,
                  sizeof larger / sizeof *larger, (unsigned long long)transitions);
}

static int free_path(void **state)
{
    (void)state;
    free(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_interleavings_are_correct),
        cmocka_unit_test(broken_variants_are_detected),
        cmocka_unit_test(random_walks_in_larger_worlds_are_correct),
    };
    return cmocka_run_group_tests(tests, NULL, free_path);
}
