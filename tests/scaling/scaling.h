/* Shared by the files of the simulated step. */
#ifndef SCALING_H
#define SCALING_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/comm.h"

void scaling_fail(const char *what, const char *which) __attribute__((noreturn));
void scaling_must(enum status status);

/* ---- ingredients.c ---- */

enum { MOST_EVENTS = 128 };

struct event {           /* of the backward pass, in its order */
    char kind;           /* 'm': the sums may be moved; 'c': elements are complete */
    size_t first, count; /* 'c': the first element; 'm': how often */
    double seconds;      /* 'm': of computation before them, in all */
};

struct measured {
    double shared_exchange_byte, shared_moved_bytes, shared_look, shared_add_byte;
    double shared_near_byte;
    double tcp_exchange_byte, tcp_moved_bytes, tcp_look;
    double elements;           /* of the gradient */
    double norm, update, pack; /* of the gradient; of the weights; of products */
    double forward;            /* of the rows asked for, as the events */
    struct event events[MOST_EVENTS];
    size_t count;
};

/* What scaling_measure printed. Times are those of the largest measured number of rows
 * that is not above `rows`, in proportion. */
void measured_read(const char *path, double rows, struct measured *measured);

struct asked {
    char sum[16], type[8], network[8], label[32];
    double rows;    /* of a rank */
    double bucket;  /* elements; 0: the program's default */
    double overlap; /* 0: all sums start after back-propagation */
    double every;   /* sums progress at every n-th opportunity */
    double near; /* 1: ranks of a host read each other's memory; 0: messages there too */
    double most; /* near=0: bytes that a call moves; below 0: as measured */
    double jitter;   /* deviation of a rank's computation from step to step, a fraction */
    double together; /* 1: after back-propagation all buckets progress, not one by one */
    double steps;
    double check; /* 1: real numbers, and the sums are compared */
};

/* KEY=VALUE ... */
void asked_read(char **arguments, struct asked *asked);

/* ---- sharded.c ---- */

struct sharded;

/* values: int64 [count]; weights: float [count] */
struct sharded *sharded_create(struct comm *comm, void *values, void *weights,
                               size_t count, size_t bucket);
void sharded_complete(struct sharded *sharded, size_t first);
void sharded_move(struct sharded *sharded);
void sharded_reduce(struct sharded *sharded);
/* What this rank has to update, as a fraction of all; check: with the sums as weights. */
double sharded_own(const struct sharded *sharded, bool check);
void sharded_gather(struct sharded *sharded);
void sharded_free(struct sharded *sharded);

#endif
