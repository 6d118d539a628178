/* report: where the time of an epoch went, which rank the others waited for, and the
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

/* Where one rank's time went in an interval. */
struct rank_times {
    double seconds[PHASES];
    char host[REPORT_HOST];
};

/* Where the time of all ranks went. */
struct time_breakdown {
    double seconds[PHASES]; /* mean over the ranks */
    double total;           /* their sum */
    int slow_rank; /* the rank that waited least, or -1 if there is one rank only */
    char slow_host[REPORT_HOST];
    double excess_wait; /* mean seconds that the others waited longer than it, which
                           they would gain if it were as fast as they are */
};

struct time_breakdown time_breakdown_of(const struct rank_times *ranks, int count);

/* "time: forward 31 %, backward 52 %, wait 4 %", without entries that round to 0 %.
 * Returns text. */
const char *time_breakdown_text(const struct time_breakdown *breakdown,
                                char text[REPORT_TEXT]);

/* "slowest rank: 1 (n1); the others waited 3.9 % of the time for it", or "" up to 2 %.
 * Returns text. */
const char *time_breakdown_slowest(const struct time_breakdown *breakdown,
                                   char text[REPORT_TEXT]);

struct trace_file;

struct report {
    struct comm *comm;
    double start_seconds[PHASES]; /* phase_seconds at the start of the interval */
    struct trace_file *trace;     /* NULL: no trace */
};

/* Starts the trace in a new file at the path `trace`; NULL: no trace. Collective. */
enum status report_open(struct comm *comm, const char *trace, struct report *out);

/* Starts an interval. Not collective. */
void report_begin(struct report *report);

/* Ends the interval at a barrier and starts the next. *breakdown is set on rank 0 and
 * empty on the others. Flushes the trace. Collective. */
enum status report_end(struct report *report, struct time_breakdown *breakdown);

/* Flushes the trace, if there is one. A failure only causes a warning. Collective. */
void report_flush_trace(struct report *report);

/* Ends the trace. Does nothing if the report is not open. Collective. */
void report_close(struct report *report);

#endif
