/* step: training steps on a simulated cluster, compiled for SMPI by build.sh.
 *
 * Each simulated rank does what a rank of the program does, in the same order, with the
 * program's own buckets, comm_allreduce and schedule. Computation is replaced by the
 * times that measure.c measured on the real model, event by event, so that allreduces
 * start and progress at the same points as in the program; simulated.c charges the CPU
 * cost of messages.
 *
 *   step MEASURED [KEY=VALUE ...]     prints one line of the table (see print below)
 *
 * sum=program   buckets overlapped with the backward pass, as in the program
 *     flat      the same, as if every rank had a host of its own
 *     mpi       MPI_Allreduce of the buckets after the backward pass
 *     sharded   reduce-scatter; each rank updates its part of the weights; allgather
 *     none      no allreduce: the time of computation alone
 * type=i64|f32       type of the summed elements
 * network=tcp|rdma   with or without CPU time for messages between hosts
 * For the other keys see struct asked in scaling.h.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaling.h"
#include "simulated.h"
#include "base/rng.h"
#include "comm/buckets.h"

enum { TIME_STEPS = 128, CHECKED = 1000, MOST_MOVES = 64 };

struct world {
    struct measured measured;
    struct asked asked;
    struct comm *comm;
    int64_t *values; /* [count], as int64 or as float */
    float *weights;  /* [count], after `values` */
    size_t count;
    struct buckets *buckets; /* of sum=program and flat */
    struct sharded *sharded;
    size_t opportunities; /* to progress, so far */
    double slowness;      /* of this rank in this step: 1 on average */
    double exposed;       /* seconds waited after the backward pass, all steps */
};

void scaling_fail(const char *what, const char *which)
{
    fprintf(stderr, "step: %s: %s\n", what, which);
    MPI_Abort(MPI_COMM_WORLD, 1);
    abort();
}

void scaling_must(enum status status)
{
    if (status != STATUS_OK)
        scaling_fail("failed", status_message());
}

static bool sums_by(const struct world *world, const char *sum)
{
    return strcmp(world->asked.sum, sum) == 0;
}

static bool in_floats(const struct world *world)
{
    return strcmp(world->asked.type, "f32") == 0;
}

/* ---- set-up ---- */

static struct simulated_machine machine_of(const struct world *world)
{
    const struct measured *measured = &world->measured;
    const struct asked *asked = &world->asked;
    double shared = measured->shared_exchange_byte / 2, tcp = 0;
    struct simulated_machine machine = {.look = measured->shared_look,
                                        .flat = sums_by(world, "flat")};
    if (asked->near > 0)
        machine.within.receive = measured->shared_near_byte;
    else
        machine.within = (struct simulated_costs){
            shared, shared, measured->shared_add_byte,
            asked->most < 0 ? measured->shared_moved_bytes : asked->most};
    if (strcmp(asked->network, "tcp") == 0) {
        tcp = measured->tcp_exchange_byte / 2;
        machine.between.most = measured->tcp_moved_bytes;
    }
    machine.between.send = machine.between.receive = tcp;
    machine.between.add = measured->shared_add_byte;
    return machine;
}

static void open_world(int argc, char **argv, struct world *world)
{
    asked_read(argv + 2, &world->asked);
    measured_read(argv[1], world->asked.rows, &world->measured);
    world->count = (size_t)world->measured.elements;
    world->values = malloc(world->count * (sizeof(int64_t) + sizeof(float)));
    if (!world->values)
        scaling_fail("out of memory", argv[1]);
    world->weights = (float *)(void *)(world->values + world->count);
    struct simulated_machine machine = machine_of(world);
    simulated_prepare(&machine, world->values,
                      world->count * (sizeof(int64_t) + sizeof(float)));
    scaling_must(comm_open(&argc, &argv, &world->comm));
    simulated_open();
    size_t bucket = (size_t)world->asked.bucket;
    if (sums_by(world, "program") || sums_by(world, "flat"))
        scaling_must(buckets_create(world->comm, NULL,
                                    in_floats(world) ? COMM_F32 : COMM_I64, world->values,
                                    world->count, bucket, &world->buckets));
    else if (sums_by(world, "sharded"))
        world->sharded = sharded_create(world->comm, world->values, world->weights,
                                        world->count, bucket);
    else if (!sums_by(world, "mpi") && !sums_by(world, "none"))
        scaling_fail("no such sum", world->asked.sum);
}

static void close_world(struct world *world)
{
    buckets_free(world->buckets);
    sharded_free(world->sharded);
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
        if (in_floats(world))
            floats[i] = (float)(mine * (int64_t)(i % CHECKED + 1));
        else
            world->values[i] = mine * (int64_t)(i % CHECKED + 1);
}

static void check(const struct world *world)
{
    const float *floats =
        world->sharded ? world->weights : (const float *)(const void *)world->values;
    bool in_float = world->sharded || in_floats(world);
    for (size_t i = 0; i < world->count; i++) {
        int64_t sum = in_float ? (int64_t)floats[i] : world->values[i];
        if (sum != expected(world, i)) {
            fprintf(stderr, "rank %d, element %zu: %lld instead of %lld\n",
                    comm_rank(world->comm), i, (long long)sum,
                    (long long)expected(world, i));
            scaling_fail("wrong sum", world->asked.sum);
        }
    }
}

/* ---- a step ---- */

static void compute(struct world *world, double seconds)
{
    simulated_compute(seconds * world->slowness);
}

static void complete(struct world *world, size_t first)
{
    if (world->asked.overlap == 0)
        return;
    if (world->buckets)
        scaling_must(buckets_ready(world->buckets, first));
    if (world->sharded)
        sharded_complete(world->sharded, first);
}

static void move(struct world *world)
{
    if (world->opportunities++ % (size_t)world->asked.every != 0)
        return;
    if (world->buckets)
        buckets_progress(world->buckets);
    if (world->sharded)
        sharded_move(world->sharded);
}

/* Computes with equally spaced opportunities to progress: as many as in the program, or
 * fewer, as each one slows the simulation. */
static void replay(struct world *world, const struct event *event)
{
    size_t moves = event->count < MOST_MOVES ? event->count : MOST_MOVES;
    if (event->kind == 'c')
        complete(world, event->first);
    for (size_t i = 0; event->kind == 'm' && i < moves; i++) {
        compute(world, event->seconds / (double)moves);
        move(world);
    }
}

static void sum_by_mpi(struct world *world)
{
    size_t width = in_floats(world) ? sizeof(float) : sizeof(int64_t);
    size_t bucket = (size_t)world->asked.bucket;
    if (bucket == 0)
        bucket = DEFAULT_BUCKET_ELEMENTS;
    for (size_t at = 0; at < world->count; at += bucket) {
        size_t n = world->count - at < bucket ? world->count - at : bucket;
        MPI_Allreduce(MPI_IN_PLACE, (char *)world->values + at * width, (int)n,
                      in_floats(world) ? MPI_FLOAT : MPI_INT64_T, MPI_SUM,
                      MPI_COMM_WORLD);
    }
}

/* Everything after the backward pass except the optimizer. */
static void wait_for_sum(struct world *world)
{
    double begin = MPI_Wtime();
    simulated_wait(true);
    if (world->buckets && world->asked.together > 0) {
        scaling_must(buckets_ready(world->buckets, 0));
        while (!simulated_quiet())
            buckets_progress(world->buckets);
    }
    if (world->buckets)
        scaling_must(buckets_wait(world->buckets));
    else if (world->sharded)
        sharded_reduce(world->sharded);
    else if (sums_by(world, "mpi"))
        sum_by_mpi(world);
    simulated_wait(false);
    world->exposed += MPI_Wtime() - begin;
}

static void optimize(struct world *world)
{
    const struct measured *measured = &world->measured;
    double own = 1;
    if (world->sharded) { /* the norm takes another allreduce, of one number */
        double squares = 1, all;
        own = sharded_own(world->sharded, world->asked.check > 0);
        compute(world, own * measured->norm);
        MPI_Allreduce(&squares, &all, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        compute(world, own * measured->update);
        simulated_wait(true);
        sharded_gather(world->sharded);
        simulated_wait(false);
        compute(world, measured->pack);
    } else {
        compute(world, measured->norm + measured->update + measured->pack);
    }
}

static void step(struct world *world, int number)
{
    const struct measured *measured = &world->measured;
    double draw =
        rng_normal(1, RNG_TEST, (uint64_t)comm_rank(world->comm), (uint64_t)number, 0);
    world->slowness = 1 + world->asked.jitter * draw;
    if (world->asked.check > 0)
        fill(world);
    compute(world, measured->forward);
    for (size_t i = 0; i < measured->count; i++)
        replay(world, &measured->events[i]);
    wait_for_sum(world);
    optimize(world);
    if (world->asked.check > 0)
        check(world);
}

/* The time of a step on one rank alone. */
static double computation(const struct measured *measured)
{
    double seconds =
        measured->forward + measured->norm + measured->update + measured->pack;
    for (size_t i = 0; i < measured->count; i++)
        seconds += measured->events[i].seconds;
    return seconds;
}

/* label,ranks,rows,sum,type,network,bucket,overlap,every,near,most,together,jitter,seconds,
 * alone,efficiency,tokens_per_second,exposed */
static void print(const struct world *world, double seconds)
{
    const struct asked *asked = &world->asked;
    double alone = computation(&world->measured), ranks = comm_size(world->comm);
    printf("%s,%.0f,%g,%s,%s,%s,%.0f,%.0f,%.0f,%.0f,%.0f,%.0f,%g,", asked->label, ranks,
           asked->rows, asked->sum, asked->type, asked->network, asked->bucket,
           asked->overlap, asked->every, asked->near, asked->most, asked->together,
           asked->jitter);
    printf("%.6f,%.6f,%.4f,%.0f,%.6f\n", seconds, alone, alone / seconds,
           ranks * asked->rows * TIME_STEPS / seconds, world->exposed / asked->steps);
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
    if (world.asked.jitter > 0)
        step(&world, 0); /* so that ranks begin with a realistic skew */
    world.exposed = 0;
    double begin = MPI_Wtime();
    for (int number = 1; number <= (int)world.asked.steps; number++)
        step(&world, number);
    double seconds = (MPI_Wtime() - begin) / world.asked.steps;
    if (comm_rank(world.comm) == 0)
        print(&world, seconds);
    close_world(&world);
    return 0;
}
