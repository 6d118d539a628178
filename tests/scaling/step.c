/* step: training steps on a simulated cluster, compiled for SMPI by build.sh.
 *
 * Each simulated rank does what a rank of the program does, in the same order, with the
 * program's own buckets, comm_allreduce and schedule. Computation is replaced by the
 * times that measure.c measured on the real model, event by event, so that allreduces
 * start and progress at the same points as in the program; simulated.c charges the CPU
 * cost of messages. Of a rank's threads only the first is simulated, which makes all MPI
 * calls; the others wait for it at the next barrier.
 *
 *   step MEASURED [KEY=VALUE ...]     prints one line of the table (see print below)
 *
 * sum=program   buckets overlapped with the backward pass, as in the program
 *     flat      the same, as if every rank had a host of its own
 *     mpi       MPI_Allreduce of the buckets after the backward pass
 *     none      no allreduce: the time of computation alone
 * type=i64|f32       type of the summed elements
 * network=tcp|rdma   with or without CPU time for messages between hosts
 * For the other keys see struct scenario in scaling.h.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaling.h"
#include "simulated.h"
#include "base/rng.h"
#include "comm/buckets.h"

enum { TIME_STEPS = 128, CHECKED = 1000, MAX_PROGRESS_CALLS = 64 };

struct world {
    struct measured measured;
    struct scenario scenario;
    struct comm *comm;
    int64_t *values; /* [count], as int64 or as float */
    size_t count;
    struct buckets *buckets; /* of sum=program and flat */
    size_t opportunities;    /* to progress, so far */
    double slowness;         /* of this rank in this step: 1 on average */
    double exposed;          /* seconds waited after the backward pass, all steps */
};

void scaling_fail(const char *what, const char *which)
{
    fprintf(stderr, "step: %s: %s\n", what, which);
    MPI_Abort(MPI_COMM_WORLD, 1);
    abort();
}

void scaling_require_ok(enum status status)
{
    if (status != STATUS_OK)
        scaling_fail("failed", status_message());
}

static bool sum_is(const struct world *world, const char *sum)
{
    return strcmp(world->scenario.sum, sum) == 0;
}

static bool is_float(const struct world *world)
{
    return strcmp(world->scenario.type, "f32") == 0;
}

/* ---- set-up ---- */

static struct simulated_machine machine_of(const struct world *world)
{
    const struct measured *measured = &world->measured;
    const struct scenario *scenario = &world->scenario;
    double shared = measured->shared_exchange_byte / 2, tcp = 0;
    struct simulated_machine machine = {.poll = measured->shared_look,
                                        .flat = sum_is(world, "flat")};
    if (scenario->near > 0)
        machine.within.receive = measured->shared_near_byte;
    else
        machine.within = (struct simulated_costs){
            shared, shared, measured->shared_add_byte, measured->shared_moved_bytes};
    if (strcmp(scenario->network, "tcp") == 0) {
        tcp = measured->tcp_exchange_byte / 2;
        machine.between.max_bytes = measured->tcp_moved_bytes;
    }
    machine.between.send = machine.between.receive = tcp;
    machine.between.add = measured->shared_add_byte;
    return machine;
}

static void open_world(int argc, char **argv, struct world *world)
{
    scenario_parse(argv + 2, &world->scenario);
    measured_read(argv[1], &world->scenario, &world->measured);
    world->count = (size_t)world->measured.elements;
    world->values = malloc(world->count * sizeof(int64_t));
    if (!world->values)
        scaling_fail("out of memory", argv[1]);
    struct simulated_machine machine = machine_of(world);
    simulated_prepare(&machine, world->values, world->count * sizeof(int64_t));
    scaling_require_ok(comm_open(&argc, &argv, &world->comm));
    simulated_open();
    size_t bucket = (size_t)world->scenario.bucket;
    if (sum_is(world, "program") || sum_is(world, "flat"))
        scaling_require_ok(
            buckets_create(world->comm, NULL, is_float(world) ? COMM_F32 : COMM_I64,
                           world->values, world->count, bucket, &world->buckets));
    else if (!sum_is(world, "mpi") && !sum_is(world, "none"))
        scaling_fail("no such sum", world->scenario.sum);
}

static void close_world(struct world *world)
{
    buckets_free(world->buckets);
    comm_close(world->comm);
    free(world->values);
}

/* ---- real data, for check=1 ---- */

static int64_t expected(const struct world *world, size_t i)
{
    int64_t ranks = comm_size(world->comm);
    return ranks * (ranks + 1) / 2 * (int64_t)(i % CHECKED + 1);
}

static void fill(struct world *world)
{
    int64_t mine = comm_rank(world->comm) + 1;
    float *floats = (float *)(void *)world->values;
    for (size_t i = 0; i < world->count; i++)
        if (is_float(world))
            floats[i] = (float)(mine * (int64_t)(i % CHECKED + 1));
        else
            world->values[i] = mine * (int64_t)(i % CHECKED + 1);
}

static void check(const struct world *world)
{
    const float *floats = (const float *)(const void *)world->values;
    for (size_t i = 0; i < world->count; i++) {
        int64_t sum = is_float(world) ? (int64_t)floats[i] : world->values[i];
        if (sum != expected(world, i)) {
            fprintf(stderr, "rank %d, element %zu: %lld instead of %lld\n",
                    comm_rank(world->comm), i, (long long)sum,
                    (long long)expected(world, i));
            scaling_fail("wrong sum", world->scenario.sum);
        }
    }
}

/* ---- a step ---- */

static void compute(struct world *world, double seconds)
{
    simulated_compute(seconds * world->slowness);
}

static void ready(struct world *world, size_t first)
{
    if (world->scenario.overlap == 0)
        return;
    if (world->buckets)
        scaling_require_ok(buckets_ready(world->buckets, first));
}

static void progress(struct world *world)
{
    if (world->opportunities++ % (size_t)world->scenario.every != 0)
        return;
    if (world->buckets)
        buckets_progress(world->buckets);
}

/* Computes with equally spaced opportunities to progress: as many as in the program, or
 * fewer, as each one slows the simulation. */
static void replay(struct world *world, const struct event *event)
{
    size_t calls = event->count < MAX_PROGRESS_CALLS ? event->count : MAX_PROGRESS_CALLS;
    if (event->kind == 'c') {
        compute(world, event->seconds);
        ready(world, event->first);
    }
    for (size_t i = 0; event->kind == 'm' && i < calls; i++) {
        compute(world, event->seconds / (double)calls);
        progress(world);
    }
}

static void sum_by_mpi(struct world *world)
{
    size_t width = is_float(world) ? sizeof(float) : sizeof(int64_t);
    size_t bucket = (size_t)world->scenario.bucket;
    if (bucket == 0)
        bucket = DEFAULT_BUCKET_ELEMENTS;
    for (size_t at = 0; at < world->count; at += bucket) {
        size_t n = world->count - at < bucket ? world->count - at : bucket;
        MPI_Allreduce(MPI_IN_PLACE, (char *)world->values + at * width, (int)n,
                      is_float(world) ? MPI_FLOAT : MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    }
}

/* Everything after the backward pass except the optimizer. */
static void wait_for_sum(struct world *world)
{
    double begin = MPI_Wtime();
    simulated_set_waiting(true);
    if (world->buckets)
        scaling_require_ok(buckets_wait(world->buckets));
    else if (sum_is(world, "mpi"))
        sum_by_mpi(world);
    simulated_set_waiting(false);
    world->exposed += MPI_Wtime() - begin;
}

static void step(struct world *world, int number)
{
    const struct measured *measured = &world->measured;
    double draw =
        rng_normal(1, RNG_TEST, (uint64_t)comm_rank(world->comm), (uint64_t)number, 0);
    world->slowness = 1 + world->scenario.jitter * draw;
    if (world->scenario.check > 0)
        fill(world);
    compute(world, measured->forward);
    for (size_t i = 0; i < measured->count; i++)
        replay(world, &measured->events[i]);
    wait_for_sum(world);
    compute(world, measured->norm + measured->update + measured->pack);
    if (world->scenario.check > 0)
        check(world);
}

/* The time of a step on one rank alone. */
static double compute_seconds(const struct measured *measured)
{
    double seconds =
        measured->forward + measured->norm + measured->update + measured->pack;
    for (size_t i = 0; i < measured->count; i++)
        seconds += measured->events[i].seconds;
    return seconds;
}

/* label,ranks,threads,rows,sum,type,network,bucket,overlap,every,near,jitter,barrier,
 * seconds,alone,tokens_per_second,exposed */
static void print(const struct world *world, double seconds)
{
    const struct scenario *scenario = &world->scenario;
    double ranks = comm_size(world->comm);
    printf("%s,%.0f,%.0f,%g,%s,%s,%s,%.0f,%.0f,%.0f,%.0f,%g,%g,", scenario->label, ranks,
           scenario->threads, scenario->rows, scenario->sum, scenario->type,
           scenario->network, scenario->bucket, scenario->overlap, scenario->every,
           scenario->near, scenario->jitter, scenario->barrier);
    printf("%.6f,%.6f,%.0f,%.6f\n", seconds, compute_seconds(&world->measured),
           ranks * scenario->rows * TIME_STEPS / seconds,
           world->exposed / scenario->steps);
}

int main(int argc, char **argv)
{
    static struct world world;
    if (argc < 2) {
        fprintf(stderr, "usage: step MEASURED [KEY=VALUE ...]\n");
        return 2;
    }
    open_world(argc, argv, &world);
    MPI_Barrier(MPI_COMM_WORLD);
    if (world.scenario.jitter > 0)
        step(&world, 0); /* so that ranks begin with a realistic skew */
    world.exposed = 0;
    double begin = MPI_Wtime();
    for (int number = 1; number <= (int)world.scenario.steps; number++)
        step(&world, number);
    double seconds = (MPI_Wtime() - begin) / world.scenario.steps;
    if (comm_rank(world.comm) == 0)
        print(&world, seconds);
    close_world(&world);
    return 0;
}
