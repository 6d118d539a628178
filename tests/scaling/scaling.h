/* Shared by the files of the simulated step. */
#ifndef SCALING_H
#define SCALING_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/comm.h"

void scaling_fail(const char *what, const char *which) __attribute__((noreturn));
void scaling_require_ok(enum status status);

/* ---- parameters.c ---- */

enum { MAX_EVENTS = 128 };

struct event {           /* of the backward pass, in execution order */
    char kind;           /* 'm': allreduces may progress; 'c': elements are complete */
    size_t first, count; /* 'c': elements from `first` on; 'm': `count` calls */
    double seconds;      /* 'm': total computation before these calls */
};

struct measured {
    double shared_exchange_byte, shared_moved_bytes, shared_look, shared_add_byte;
    double shared_near_byte;
    double tcp_exchange_byte, tcp_moved_bytes, tcp_look;
    double elements;           /* gradient elements */
    double norm, update, pack; /* gradient norm; optimizer; packing for matmul */
    double forward;            /* for the requested rows, as the events are */
    struct event events[MAX_EVENTS];
    size_t count;
};

/* Reads the output of scaling_measure. Times are scaled to `rows` from the largest
 * measured number of rows that does not exceed it. */
void measured_read(const char *path, double rows, struct measured *measured);

struct scenario {
    char sum[16], type[8], network[8], label[32];
    double rows;    /* per rank */
    double bucket;  /* elements; 0: the program's default */
    double overlap; /* 0: all sums start after back-propagation */
    double every;   /* allreduces progress at every n-th opportunity */
    double near;   /* 1: ranks of a host read each other's memory; 0: they use messages */
    double most;   /* near=0: bytes transferred per call; < 0: as measured */
    double jitter; /* relative standard deviation of a rank's time per step */
    double together; /* 1: after backward all buckets progress at once, not one by one */
    double steps;
    double check; /* 1: real data, and the sums are verified */
};

/* KEY=VALUE ... */
void scenario_parse(char **arguments, struct scenario *scenario);

/* ---- sharded.c ---- */

struct sharded;

/* values: int64 [count]; weights: float [count] */
struct sharded *sharded_create(struct comm *comm, void *values, void *weights,
                               size_t count, size_t bucket);
void sharded_ready(struct sharded *sharded, size_t first);
void sharded_progress(struct sharded *sharded);
void sharded_reduce(struct sharded *sharded);
/* The fraction of the weights that this rank updates. With `check` the weights are set to
 * the sums. */
double sharded_owned_fraction(const struct sharded *sharded, bool check);
void sharded_gather(struct sharded *sharded);
void sharded_free(struct sharded *sharded);

#endif
