/* ranks: 1 2 3 4
 * report and comm_clock_offset: clocks with known offsets and ranks of known slowness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ranks.h"
#include "base/progress.h"
#include "comm/comm_clock_offset.h"
#include "train/report.h"

/* ---- clocks ---- */

static int my_rank;

/* Rank r's clock is 1000 r + 7 seconds ahead of the common clock. */
static double skewed_clock(void)
{
    return clock_seconds() + 1000.0 * my_rank + 7;
}

static void measures_clock_offsets(void **state)
{
    struct comm *comm = *state;
    double offset = -1, error = -1;
    my_rank = comm_rank(comm);
    expect(comm_clock_offset(comm, skewed_clock, &offset, &error) == STATUS_OK);
    expect(error >= 0 && error < 1);
    /* ranks of one host share a clock, so the measured offset is within the error */
    expect(fabs(offset + 1000.0 * my_rank) <= error + 1e-6);
    if (my_rank == 0)
        expect(offset >= 0 && offset <= 0 && error >= 0 && error <= 0);
    agree_on_verdict(comm);
}

/* ---- the breakdown ---- */

static struct rank_times make_rank(double forward, double wait, const char *host)
{
    struct rank_times rank = {{0}, {0}};
    rank.seconds[PHASE_FORWARD] = forward;
    rank.seconds[PHASE_WAIT] = wait;
    snprintf(rank.host, sizeof rank.host, "%s", host);
    return rank;
}

static void names_the_slowest_rank(void **state)
{
    char text[REPORT_TEXT];
    const struct rank_times ranks[] = {make_rank(6, 4, "n0"), make_rank(9, 1, "n1"),
                                       make_rank(5, 5, "n2")};
    struct time_breakdown breakdown = time_breakdown_of(ranks, 3);
    expect(fabs(breakdown.total - 10) < 1e-9);
    expect(fabs(breakdown.seconds[PHASE_FORWARD] - 20.0 / 3) < 1e-9);
    expect(breakdown.slow_rank == 1);
    expect(fabs(breakdown.excess_wait - 3.5) < 1e-9); /* (4 + 5) / 2 - 1 */
    expect_text(time_breakdown_text(&breakdown, text), "time: forward 67 %, wait 33 %");
    expect_text(time_breakdown_slowest(&breakdown, text),
                "slowest rank: 1 (n1); the others waited 35.0 % of the time for it");
    agree_on_verdict(*state);
}

static void omits_small_shares(void **state)
{
    char text[REPORT_TEXT];
    const struct rank_times ranks[] = {make_rank(99.4, 0.6, "n0"),
                                       make_rank(98, 2, "n1")};
    struct time_breakdown breakdown = time_breakdown_of(ranks, 2);
    expect(breakdown.slow_rank == 0);
    expect_text(time_breakdown_slowest(&breakdown, text), ""); /* 1.4 % */
    breakdown = time_breakdown_of(ranks, 1);
    expect(breakdown.slow_rank == -1);
    expect_text(time_breakdown_slowest(&breakdown, text), "");
    expect_text(time_breakdown_text(&breakdown, text), "time: forward 99 %, wait 1 %");
    struct time_breakdown nothing = time_breakdown_of(&(struct rank_times){{0}, {0}}, 1);
    expect_text(time_breakdown_text(&nothing, text), "time:");
    agree_on_verdict(*state);
}

/* One rank computes for 0.4 s while the others wait. */
static void measures_waiting_for_a_slow_rank(void **state)
{
    struct comm *comm = *state;
    struct report report;
    struct time_breakdown breakdown;
    int slow = comm_size(comm) - 1;
    expect(report_open(comm, NULL, &report) == STATUS_OK);
    phase_enter(PHASE_OPTIMIZER);
    comm_barrier(comm);
    report_begin(&report);
    phase_enter(PHASE_FORWARD);
    if (comm_rank(comm) == slow)
        usleep(400000);
    phase_enter(PHASE_OPTIMIZER);
    expect(report_end(&report, &breakdown) == STATUS_OK);
    if (comm_rank(comm) == 0) {
        double mean = 0.4 / comm_size(comm);
        expect(breakdown.total >= 0.39);
        expect(breakdown.seconds[PHASE_FORWARD] >= mean - 0.01);
        expect(breakdown.seconds[PHASE_FORWARD] <= breakdown.total);
        expect(breakdown.slow_rank == (slow ? slow : -1));
        expect(slow == 0 || breakdown.excess_wait > 0.2);
        expect(slow == 0 || strcmp(breakdown.slow_host, comm_host(comm)) == 0);
    } else {
        expect(breakdown.slow_rank == -1 && breakdown.total <= 0);
    }
    struct time_breakdown rest; /* the next interval begins where this one ended */
    expect(report_end(&report, &rest) == STATUS_OK);
    expect(rest.seconds[PHASE_FORWARD] <= 0);
    expect(comm_rank(comm) != 0 || rest.seconds[PHASE_OPTIMIZER] > 0);
    report_close(&report);
    agree_on_verdict(comm);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measures_clock_offsets),
        cmocka_unit_test(names_the_slowest_rank),
        cmocka_unit_test(omits_small_shares),
        cmocka_unit_test(measures_waiting_for_a_slow_rank),
    };
    return run_on_ranks(argc, argv, tests);
}
