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
    double seconds;      /* computation before the event, barriers included */
};

struct measured {
    double shared_exchange_byte, shared_moved_bytes, shared_look, shared_add_byte;
    double shared_near_byte;
    double tcp_exchange_byte, tcp_moved_bytes, tcp_look;
    double barrier;  /* seconds of a barrier of two threads */
    double elements; /* gradient elements */
    /* For the requested threads and rows; barriers included: */
    double forward;
    struct event events[MAX_EVENTS];
    size_t count;
    double norm, update, pack; /* gradient norm; optimizer; packing for matmul */
};

struct scenario {
    char sum[16], type[8], network[8], label[64];
    double threads; /* per rank */
    double rows;    /* per rank */
    double bucket;  /* elements; 0: the program's default */
    double overlap; /* 0: all sums start after back-propagation */
    double every;   /* allreduces progress at every n-th opportunity */
    double near;   /* 1: ranks of a host read each other's memory; 0: they use messages */
    double jitter; /* relative standard deviation of a rank's time per step */
    double barrier; /* factor on the cost of barriers */
    double steps;
    double check; /* 1: real data, and the sums are verified */
};

/* KEY=VALUE ... */
void scenario_parse(char **arguments, struct scenario *scenario);

/* Reads the output of measure.sh for the scenario's threads and rows. Times are scaled to
 * the rows from the largest measured number of rows that does not exceed it. Waiting at a
 * barrier takes time in proportion to the number of threads. */
void measured_read(const char *path, const struct scenario *scenario,
                   struct measured *measured);

#endif
