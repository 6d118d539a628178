/* measure: times the parts of a training step on this machine, as input of the simulation
 * (step.c). Prints the lines that step.c reads.
 *
 *   mpirun -n 2 scaling_measure compute REPETITIONS
 *                                      the real model, optimizer and fixed point; all
 *                                      ranks at once, as cores share caches and memory;
 *                                      of a rank with several threads one of them
 *                                      (one_thread.h)
 *   mpirun -n 2 scaling_measure messages  what MPI's messages cost between two ranks
 *
 * Computation is measured in CPU time, part by part: the median of several repetitions.
 * Messages are measured in wall-clock time: the minimum of many.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "one_thread.h"
#include "base/rng.h"
#include "base/team.h"
#include "comm/buckets.h"
#include "comm/comm.h"
#include "comm/comm_allreduce.h"
#include "comm/exact_sum.h"
#include "nn/model.h"
#include "train/optimizer.h"

enum {
    STEPS = 128,
    VOCABULARY = 389,
    HIDDEN = 512,
    EMBEDDING = 256,
    REPETITIONS = 15, /* at most */
    MAX_THREADS = 32,
    MICROBATCH_ROWS = 16, /* at most: larger ones exceed the caches */
    MAX_MICROBATCHES = MAX_THREADS,
    MAX_EVENTS = 64,
    LATENCY_TRIES = 2000,
    MESSAGE_BYTES = 1 << 21, /* half a bucket */
    VECTOR_BYTES = 1 << 25,  /* a gradient, with messages spread all over it */
    EXCHANGE_TRIES = 400,
    MOVED_TRIES = 41,
    POLLS = 10000,
    SUMS = 40,
    MESSAGES = VECTOR_BYTES / MESSAGE_BYTES,
    MAX_REQUESTS = 4
};

static MPI_Status ignored[MAX_REQUESTS]; /* gcc warns about MPICH's STATUSES_IGNORE */

static const struct model_shape shape = {
    CELL_LSTM, 2, HIDDEN, EMBEDDING, 0, ACTIVATION_LINEAR, VOCABULARY, false};

static double clock_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double cpu_seconds(void)
{
    return clock_of(CLOCK_THREAD_CPUTIME_ID);
}

static void require_ok(enum status status)
{
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "scaling_measure: %s\n", status_message());
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* ---- a backward pass as a list of events ---- */

enum kind { PROGRESS, READY };

struct event {
    enum kind kind;
    size_t first, count; /* elements from `first` on are complete; `count` calls */
    double seconds;      /* total computation time before the event or the calls */
    size_t barriers;     /* during that time */
};

struct profile {
    struct event events[MAX_EVENTS];
    size_t count;
    double last_time; /* end of the last event */
    size_t last_barriers;
    struct exact_sum *sum;
};

static void record_event(struct profile *profile, enum kind kind, size_t first,
                         size_t count)
{
    double now = cpu_seconds(), seconds = now - profile->last_time;
    size_t barriers = one_thread_barriers() - profile->last_barriers;
    profile->last_time = now;
    profile->last_barriers += barriers;
    struct event *last = &profile->events[profile->count - 1];
    if (kind == PROGRESS && profile->count > 0 && last->kind == PROGRESS) {
        last->count++;
        last->seconds += seconds;
        last->barriers += barriers;
    } else if (profile->count < MAX_EVENTS) {
        profile->events[profile->count++] =
            (struct event){kind, first, count, seconds, barriers};
    } else {
        require_ok(status_fail(STATUS_FAILED, "more than %d events", MAX_EVENTS));
    }
}

static void add_gradient(void *context, int microbatch,
                         const struct gradient_block *block)
{
    struct profile *profile = context;
    const struct exact_block exact = {.first = block->first,
                                      .ld = block->ld,
                                      .rows = block->rows,
                                      .width = block->width,
                                      .values = block->values,
                                      .ld_values = block->ld_values};
    exact_sum_add_block(profile->sum, microbatch == 0 ? EXACT_OVERWRITE : EXACT_ADD,
                        &exact);
}

static void record_ready(void *context, size_t first)
{
    record_event(context, READY, first, 0);
}

static void record_progress(void *context)
{
    record_event(context, PROGRESS, 0, 1);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

/* The median time of every event. All profiles have the same events. */
static struct profile median_profile(const struct profile profiles[], int repetitions)
{
    struct profile result = profiles[0];
    for (size_t i = 0; i < result.count; i++) {
        double seconds[REPETITIONS];
        for (int r = 0; r < repetitions; r++)
            seconds[r] = profiles[r].events[i].seconds;
        result.events[i].seconds = median(seconds, (size_t)repetitions);
    }
    return result;
}

static void print_event(const struct event *event)
{
    switch (event->kind) {
    case PROGRESS:
        printf("move %zu ", event->count);
        break;
    case READY:
        printf("complete %zu ", event->first);
        break;
    }
    printf("%.6f %zu\n", event->seconds, event->barriers);
}

/* ---- computation ---- */

struct bench {
    struct comm *comm;
    struct model *model;
    struct exact_sum *sum;
    struct optimizer optimizer;
    int threads;
    token *inputs;
    int32_t *targets;
    const token *inputs_of[MAX_MICROBATCHES];
    const int32_t *targets_of[MAX_MICROBATCHES];
    size_t total;
};

/* A rank's part of the batch, computed by a team. */
struct rank_shape {
    int threads, rows;
};

static void open_bench(struct bench *bench, struct rank_shape rank)
{
    int rows = rank.rows < MICROBATCH_ROWS ? rank.rows : MICROBATCH_ROWS;
    int microbatches = rank.rows / rows;
    size_t tokens = (size_t)rank.rows * STEPS;
    const struct model_plan plan = {.shape = &shape,
                                    .end = VOCABULARY - 1,
                                    .microbatches = microbatches,
                                    .rows = rows,
                                    .steps = STEPS,
                                    .training = true,
                                    .backend = &matmul_float32,
                                    .threads = rank.threads};
    require_ok(model_create(&plan, &bench->model));
    const struct params *params = model_params(bench->model);
    bench->total = params->total;
    bench->threads = rank.threads;
    params_initialise(&shape, params, INIT_GLOROT, 1, model_weights(bench->model));
    model_weights_changed(bench->model);
    require_ok(
        exact_sum_create(bench->comm, bench->total, 8, 1 << 20, 30, 0, &bench->sum));
    struct options options;
    options_defaults(&options);
    require_ok(optimizer_create(&options, bench->total, &bench->optimizer));
    bench->inputs = calloc(tokens, sizeof *bench->inputs);
    bench->targets = calloc(tokens, sizeof *bench->targets);
    if (!bench->inputs || !bench->targets)
        require_ok(status_fail(STATUS_FAILED, "out of memory"));
    for (int s = 0; s < microbatches; s++) {
        bench->inputs_of[s] = bench->inputs + s * rows * STEPS;
        bench->targets_of[s] = bench->targets + s * rows * STEPS;
    }
    for (size_t i = 0; i < tokens; i++) {
        bench->inputs[i] = (token)rng_below(VOCABULARY - 1, 1, RNG_TEST, 0, i, 0);
        bench->targets[i] = (int32_t)rng_below(VOCABULARY - 1, 1, RNG_TEST, 0, i, 1);
    }
}

static void close_bench(struct bench *bench)
{
    model_free(bench->model);
    exact_sum_free(bench->sum);
    optimizer_free(&bench->optimizer);
    free(bench->inputs);
    free(bench->targets);
}

static double forward(struct bench *bench, int64_t step)
{
    struct microbatch_loss losses[MAX_MICROBATCHES];
    double begin = cpu_seconds();
    model_forward(bench->model, bench->inputs_of, bench->targets_of,
                  &(struct dropout){.rate = 0.3, .seed = 1, .step = step}, losses);
    return cpu_seconds() - begin;
}

static void backward(struct bench *bench, struct profile *profile)
{
    exact_sum_begin(bench->sum);
    *profile = (struct profile){.sum = bench->sum,
                                .last_time = cpu_seconds(),
                                .last_barriers = one_thread_barriers()};
    model_backward(bench->model, &(struct backward_callbacks){add_gradient, record_ready,
                                                              record_progress, profile});
}

enum part { FORWARD, NORM, UPDATE, PACK, PARTS }; /* of a step: all but backward */

/* The same loop as in trainer_step.c. */
static void update_share(void *context)
{
    enum { PART = 4096 };
    struct bench *bench = context;
    float part[PART], *weights = model_weights(bench->model);
    struct team_share share = team_share(bench->total, PART);
    for (size_t first = share.first; first < share.end; first += PART) {
        size_t left = share.end - first, n = left < PART ? left : PART;
        exact_sum_read(bench->sum, first, n, 1e-6, part);
        optimizer_update(&bench->optimizer, first, n, part, weights + first);
    }
}

static void finish(struct bench *bench, double seconds_of[PARTS])
{
    double begin = cpu_seconds();
    struct team_share share = team_share_of(bench->total, 1, 0, bench->threads);
    volatile double squares = exact_sum_squares(bench->sum, 0, share.end, 1e-6);
    (void)squares;
    double norm = cpu_seconds();
    optimizer_begin(&bench->optimizer, 1e-6);
    team_run(bench->threads, update_share, bench);
    double updated = cpu_seconds();
    model_weights_changed(bench->model);
    double packed = cpu_seconds();
    seconds_of[NORM] = norm - begin;
    seconds_of[UPDATE] = updated - norm;
    seconds_of[PACK] = packed - updated;
}

static void print_shape(struct rank_shape rank, const double seconds_of[PARTS],
                        size_t forward_barriers, const struct profile *backward)
{
    printf("share %d %d\nforward %.6f %zu\n", rank.threads, rank.rows,
           seconds_of[FORWARD], forward_barriers);
    for (size_t i = 0; i < backward->count; i++)
        print_event(&backward->events[i]);
    printf("norm %.6f\nupdate %.6f\npack %.6f\nend\n", seconds_of[NORM],
           seconds_of[UPDATE], seconds_of[PACK]);
}

/* Times one step of such a rank, part by part, and prints it. Collective. */
static void measure_shape(struct comm *comm, struct rank_shape rank, int repetitions)
{
    static struct profile profiles[REPETITIONS];
    double samples[PARTS][REPETITIONS], seconds_of[PARTS];
    size_t barriers = 0;
    struct bench bench = {.comm = comm};
    open_bench(&bench, rank);
    for (int i = -1; i < repetitions; i++) { /* the first is warm-up */
        int at = i < 0 ? 0 : i;
        comm_barrier(comm);
        barriers = one_thread_barriers();
        seconds_of[FORWARD] = forward(&bench, i + 1);
        barriers = one_thread_barriers() - barriers;
        backward(&bench, &profiles[at]);
        finish(&bench, seconds_of);
        for (int k = 0; k < PARTS; k++)
            samples[k][at] = seconds_of[k];
    }
    struct profile typical = median_profile(profiles, repetitions);
    for (int k = 0; k < PARTS; k++)
        seconds_of[k] = median(samples[k], (size_t)repetitions);
    if (comm_rank(comm) == 0)
        print_shape(rank, seconds_of, barriers, &typical);
    if (comm_rank(comm) == 0 && rank.threads == 1 && rank.rows == 1)
        printf("elements %zu\n", bench.total);
    close_bench(&bench);
}

/* Rows per thread, with the maximum number of threads per rank. */
static const struct {
    int rows, max_threads;
} shapes[] = {{1, MAX_THREADS}, {4, MAX_THREADS}, {16, MAX_THREADS / 2}, {64, 1}};

static void measure_compute(struct comm *comm, int repetitions)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int threads = 1; threads <= shapes[i].max_threads; threads *= 2)
            measure_shape(comm, (struct rank_shape){threads, shapes[i].rows * threads},
                          shapes[i].rows <= 4 ? repetitions : (repetitions + 1) / 2);
}

/* ---- messages ---- */

static void keep_min(double *minimum, double seconds)
{
    if (*minimum == 0 || seconds < *minimum)
        *minimum = seconds;
}

static double latency(int rank)
{
    double minimum = 0, word = 0;
    for (int i = 0; i < LATENCY_TRIES; i++) {
        double begin = MPI_Wtime();
        if (rank == 0)
            MPI_Send(&word, 1, MPI_DOUBLE, 1, 0, MPI_COMM_WORLD);
        MPI_Recv(&word, 1, MPI_DOUBLE, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (rank == 1)
            MPI_Send(&word, 1, MPI_DOUBLE, 0, 0, MPI_COMM_WORLD);
        keep_min(&minimum, MPI_Wtime() - begin);
    }
    return minimum / 2;
}

static void begin_exchange(int rank, int bytes, char *out, char *in,
                           MPI_Request requests[2])
{
    MPI_Irecv(in, bytes, MPI_BYTE, 1 - rank, 1, MPI_COMM_WORLD, &requests[0]);
    MPI_Isend(out, bytes, MPI_BYTE, 1 - rank, 1, MPI_COMM_WORLD, &requests[1]);
}

/* Seconds per byte when both ranks send to each other simultaneously. */
static double exchange(int rank, char *out, char *in)
{
    double minimum = 0;
    for (int i = 0; i < EXCHANGE_TRIES; i++) {
        MPI_Request requests[2];
        MPI_Barrier(MPI_COMM_WORLD);
        double begin = MPI_Wtime();
        size_t at = (size_t)(i % MESSAGES) * MESSAGE_BYTES;
        begin_exchange(rank, MESSAGE_BYTES, out + at, in + at, requests);
        MPI_Waitall(2, requests, ignored);
        keep_min(&minimum, MPI_Wtime() - begin);
    }
    return minimum / MESSAGE_BYTES;
}

static void compute_for(double seconds)
{
    double begin = cpu_seconds();
    while (cpu_seconds() - begin < seconds)
        ;
}

/* Bytes transferred in each direction per MPI_Testall, with computation between the
 * calls; the median. */
static double bytes_per_call(int rank, int bytes, char *out, char *in, double between)
{
    double tries[MOVED_TRIES];
    for (int i = 0; i < MOVED_TRIES; i++) {
        MPI_Request requests[2];
        int polls = 0, done = 0;
        MPI_Barrier(MPI_COMM_WORLD);
        begin_exchange(rank, bytes, out, in, requests);
        while (!done) {
            compute_for(between);
            MPI_Testall(2, requests, &done, ignored);
            polls++;
        }
        tries[i] = (double)bytes / polls;
    }
    return median(tries, MOVED_TRIES);
}

static double poll(int rank)
{
    MPI_Request requests[MAX_REQUESTS] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL,
                                          MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    double word, minimum = 0;
    int done;
    MPI_Irecv(&word, 1, MPI_DOUBLE, 1 - rank, 2, MPI_COMM_WORLD, &requests[0]);
    for (int i = 0; i < POLLS; i++) {
        double begin = MPI_Wtime();
        for (int j = 0; j < 10; j++)
            MPI_Testall(MAX_REQUESTS, requests, &done, ignored);
        keep_min(&minimum, (MPI_Wtime() - begin) / 10);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    double mine = 0;
    MPI_Send(&mine, 1, MPI_DOUBLE, 1 - rank, 2, MPI_COMM_WORLD);
    MPI_Waitall(MAX_REQUESTS, requests, ignored);
    return minimum;
}

static double add_i64(char *out, const char *in)
{
    double minimum = 0;
    for (int i = 0; i < EXCHANGE_TRIES; i++) {
        size_t at = (size_t)(i % MESSAGES) * MESSAGE_BYTES;
        int64_t *restrict to = (int64_t *)(void *)(out + at);
        const int64_t *restrict from = (const int64_t *)(const void *)(in + at);
        double begin = cpu_seconds();
        for (size_t j = 0; j < MESSAGE_BYTES / sizeof *to; j++)
            to[j] += from[j];
        keep_min(&minimum, cpu_seconds() - begin);
    }
    return minimum / MESSAGE_BYTES;
}

/* Seconds per byte that a rank reads from the other's memory in an allreduce of the two:
 * it adds half of these bytes and copies the other half. */
static double read_peer_memory(struct comm *comm)
{
    struct comm_memory *memory;
    struct buckets *buckets;
    size_t count = VECTOR_BYTES / sizeof(int64_t);
    double minimum = 0;
    require_ok(comm_memory_create(comm, VECTOR_BYTES, buckets_count(count, 0), &memory));
    void *values = comm_memory_block(memory);
    require_ok(buckets_create(comm, memory, COMM_I64, values, count, 0, &buckets));
    for (int i = 0; i < SUMS; i++) {
        memset(values, i % 2, VECTOR_BYTES);
        comm_barrier(comm);
        double begin = MPI_Wtime();
        require_ok(buckets_wait(buckets));
        keep_min(&minimum, MPI_Wtime() - begin);
    }
    buckets_free(buckets);
    comm_memory_free(memory);
    return minimum / VECTOR_BYTES;
}

static void measure_messages(struct comm *comm)
{
    int rank = comm_rank(comm);
    char *out = malloc(VECTOR_BYTES), *in = malloc(VECTOR_BYTES);
    if (comm_size(comm) != 2 || !out || !in)
        require_ok(status_fail(STATUS_MISUSE, "messages are measured between two ranks"));
    memset(out, 1, VECTOR_BYTES);
    memset(in, 1, VECTOR_BYTES);
    double seconds = latency(rank), byte = exchange(rank, out, in);
    double bytes = bytes_per_call(rank, 2 * MESSAGE_BYTES, out, in, 5e-4),
           look = poll(rank);
    double add = add_i64(out, in), near = read_peer_memory(comm);
    if (rank == 0)
        printf("latency %.3g\nexchange_byte %.4g\nmoved_bytes %.0f\nlook %.3g\n"
               "add_byte %.4g\nnear_byte %.4g\n",
               seconds, byte, bytes, look, add, near);
    free(out);
    free(in);
}

int main(int argc, char **argv)
{
    struct comm *comm;
    if (comm_open(&argc, &argv, &comm) != STATUS_OK)
        return 1;
    int repetitions = argc == 3 ? atoi(argv[2]) : 0;
    if (repetitions >= 1 && repetitions <= REPETITIONS && strcmp(argv[1], "compute") == 0)
        measure_compute(comm, repetitions);
    else if (argc == 2 && strcmp(argv[1], "messages") == 0)
        measure_messages(comm);
    else if (comm_rank(comm) == 0)
        fprintf(stderr, "usage: scaling_measure compute REPETITIONS | messages\n");
    comm_close(comm);
    return 0;
}
