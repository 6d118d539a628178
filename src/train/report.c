/* report: see the header. Times are gathered once per interval, after a barrier, so that
 * waiting for the slowest rank belongs to the interval in which it was slow. */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace_file.h"

static const double least_reported = 0.02; /* of the time */

/* ---- the breakdown ---- */

static void find_slow(const struct report_rank *ranks, int count,
                      struct time_breakdown *out)
{
    double others = 0;
    int slow = 0;
    for (int r = 1; r < count; r++)
        if (ranks[r].seconds[PHASE_WAIT] < ranks[slow].seconds[PHASE_WAIT])
            slow = r;
    for (int r = 0; r < count; r++)
        others += r == slow ? 0 : ranks[r].seconds[PHASE_WAIT];
    out->slow_rank = slow;
    out->waited = others / (count - 1) - ranks[slow].seconds[PHASE_WAIT];
    memcpy(out->slow_host, ranks[slow].host, sizeof out->slow_host);
}

struct time_breakdown time_breakdown_of(const struct report_rank *ranks, int count)
{
    struct time_breakdown out = {.slow_rank = -1};
    for (int p = 0; p < PHASES; p++) {
        for (int r = 0; r < count; r++)
            out.seconds[p] += ranks[r].seconds[p] / count;
        out.all += out.seconds[p];
    }
    if (count > 1)
        find_slow(ranks, count, &out);
    return out;
}

/* In metrics and traces PHASE_ALLREDUCE is called "sum". */
static const char *label(enum phase phase)
{
    return phase == PHASE_ALLREDUCE ? "allreduce" : phase_name(phase);
}

const char *time_breakdown_text(const struct time_breakdown *breakdown,
                                char text[REPORT_TEXT])
{
    size_t used = (size_t)snprintf(text, REPORT_TEXT, "time:");
    const char *between = " ";
    for (int p = 0; p < PHASES && breakdown->all > 0; p++) {
        double percent = 100 * breakdown->seconds[p] / breakdown->all;
        if (percent < 0.5)
            continue;
        used += (size_t)snprintf(text + used, REPORT_TEXT - used, "%s%s %.0f %%", between,
                                 label((enum phase)p), percent);
        between = ", ";
    }
    return text;
}

const char *time_breakdown_slowest(const struct time_breakdown *breakdown,
                                   char text[REPORT_TEXT])
{
    text[0] = '\0';
    if (breakdown->slow_rank >= 0 && breakdown->waited > least_reported * breakdown->all)
        snprintf(text, REPORT_TEXT,
                 "slowest rank: %d (%s); the others waited %.1f %% of the time for it",
                 breakdown->slow_rank, breakdown->slow_host,
                 100 * breakdown->waited / breakdown->all);
    return text;
}

/* ---- over the ranks ---- */

enum status report_open(struct comm *comm, const char *trace, struct report *out)
{
    *out = (struct report){.comm = comm};
    return trace ? trace_file_open(comm, trace, &out->trace) : STATUS_OK;
}

void report_begin(struct report *report)
{
    phase_seconds(report->before);
}

enum status report_end(struct report *report, struct time_breakdown *breakdown)
{
    struct report_rank mine = {{0}, {0}};
    uint8_t *all = NULL;
    size_t *sizes = NULL;
    comm_barrier(report->comm);
    double before[PHASES];
    memcpy(before, report->before, sizeof before);
    report_begin(report);
    for (int p = 0; p < PHASES; p++)
        mine.seconds[p] = report->before[p] - before[p];
    snprintf(mine.host, sizeof mine.host, "%s", comm_host(report->comm));
    *breakdown = (struct time_breakdown){.slow_rank = -1};
    enum status status = comm_agree(
        report->comm, comm_gather(report->comm, &mine, sizeof mine, &all, &sizes));
    if (status == STATUS_OK && comm_rank(report->comm) == 0)
        *breakdown =
            time_breakdown_of((const struct report_rank *)all, comm_size(report->comm));
    free(all);
    free(sizes);
    report_trace(report);
    return status;
}

void report_trace(struct report *report)
{
    if (report->trace)
        trace_file_flush(report->trace);
}

void report_close(struct report *report)
{
    trace_file_close(report->trace);
    *report = (struct report){0};
}
