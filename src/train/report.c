/* report: see the header. Times are gathered once per interval, after a barrier, so that
 * waiting for the slowest rank belongs to the interval in which it was slow. */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace_file.h"

static const double min_reported_share = 0.02; /* of the time */

/* ---- the breakdown ---- */

static void find_slowest(const struct rank_times *ranks, int count,
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
    out->excess_wait = others / (count - 1) - ranks[slow].seconds[PHASE_WAIT];
    memcpy(out->slow_host, ranks[slow].host, sizeof out->slow_host);
}

struct time_breakdown time_breakdown_of(const struct rank_times *ranks, int count)
{
    struct time_breakdown out = {.slow_rank = -1};
    for (int p = 0; p < PHASES; p++) {
        for (int r = 0; r < count; r++)
            out.seconds[p] += ranks[r].seconds[p] / count;
        out.total += out.seconds[p];
    }
    if (count > 1)
        find_slowest(ranks, count, &out);
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
    for (int p = 0; p < PHASES && breakdown->total > 0; p++) {
        double percent = 100 * breakdown->seconds[p] / breakdown->total;
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
    if (breakdown->slow_rank >= 0 &&
        breakdown->excess_wait > min_reported_share * breakdown->total)
        snprintf(text, REPORT_TEXT,
                 "slowest rank: %d (%s); the others waited %.1f %% of the time for it",
                 breakdown->slow_rank, breakdown->slow_host,
                 100 * breakdown->excess_wait / breakdown->total);
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
    phase_seconds(report->start_seconds);
}

enum status report_end(struct report *report, struct time_breakdown *breakdown)
{
    struct rank_times local = {{0}, {0}};
    uint8_t *all = NULL;
    size_t *sizes = NULL;
    comm_barrier(report->comm);
    double previous[PHASES];
    memcpy(previous, report->start_seconds, sizeof previous);
    report_begin(report);
    for (int p = 0; p < PHASES; p++)
        local.seconds[p] = report->start_seconds[p] - previous[p];
    snprintf(local.host, sizeof local.host, "%s", comm_host(report->comm));
    *breakdown = (struct time_breakdown){.slow_rank = -1};
    enum status status = comm_agree(
        report->comm, comm_gather(report->comm, &local, sizeof local, &all, &sizes));
    if (status == STATUS_OK && comm_rank(report->comm) == 0)
        *breakdown =
            time_breakdown_of((const struct rank_times *)all, comm_size(report->comm));
    free(all);
    free(sizes);
    report_flush_trace(report);
    return status;
}

void report_flush_trace(struct report *report)
{
    if (report->trace)
        trace_file_flush(report->trace);
}

void report_close(struct report *report)
{
    trace_file_close(report->trace);
    *report = (struct report){0};
}
