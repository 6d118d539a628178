/* report: how the time of an epoch divides, which rank the others waited for, and the
 * trace of all ranks in one file.
 */
#ifndef TUTTI_TRAIN_REPORT_H
#define TUTTI_TRAIN_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/phase.h"
#include "base/status.h"
#include "comm/comm.h"

enum { REPORT_HOST = 64, REPORT_TEXT = 512 };

/* What one rank has done in a stretch of time. */
struct report_rank {
    double seconds[PHASES];
    char host[REPORT_HOST];
};

/* The same for all ranks. */
struct time_breakdown {
    double seconds[PHASES]; /* mean over the ranks */
    double all;             /* their sum */
    /* The rank that waited least; by how much longer each of the others did, in the mean,
     * so that is what they would have gained had it been as fast as they are. -1 with one
     * rank. */
    int slow_rank;
    char slow_host[REPORT_HOST];
    double waited; /* seconds */
};

struct time_breakdown time_breakdown_of(const struct report_rank *ranks, int count);

/* "time: forward 31 %, backward 52 %, wait 4 %", what rounds to 0 % left out. Returns
 * text. */
const char *time_breakdown_text(const struct time_breakdown *breakdown,
                                char text[REPORT_TEXT]);

/* "slowest rank: 1 (n1), for which others waited 3.9 % of the time", or "" when that is
 * no more than 2 %. Returns text. */
const char *time_breakdown_slowest(const struct time_breakdown *breakdown,
                                   char text[REPORT_TEXT]);

struct trace_file;

struct report {
    struct comm *comm;
    double before[PHASES];    /* phase_seconds when the stretch began */
    struct trace_file *trace; /* NULL: none is asked for */
};

/* Begins the trace in a new file, if `trace` is not NULL. Collective. */
enum status report_open(struct comm *comm, const char *trace, struct report *out);

/* A stretch begins. Not collective. */
void report_begin(struct report *report);

/* All ranks meet; the stretch ends and another begins. The breakdown is rank 0's, zeroed
 * on the others. The trace is brought up to date. Collective. */
enum status report_end(struct report *report, struct time_breakdown *breakdown);

/* Brings the trace up to date, if there is one. A failure is a warning. Collective. */
void report_trace(struct report *report);

/* The end of the trace. Does nothing to a report that was not opened. Collective. */
void report_close(struct report *report);

#endif
