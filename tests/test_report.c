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
static double odd_clock(void)
{
    return clock_seconds() + 1000.0 * my_rank + 7;
}

static void clocks_are_compared(void **state)
{
    struct comm *comm = *state;
    double offset = -1, error = -1;
    my_rank = comm_rank(comm);
    expect(comm_clock_offset(comm, odd_clock, &offset, &error) == STATUS_OK);
    expect(error >= 0 && error < 1);
    /* ranks of one host share a clock, so the measured offset is within the error */
    expect(fabs(offset + 1000.0 * my_rank) <= error + 1e-6);
    if (my_rank == 0)
        expect(offset >= 0 && offset <= 0 && error >= 0 && error <= 0);
    agree_on_verdict(comm);
}

/* ---- the breakdown ---- */

static struct report_rank rank_with(double forward, double wait, const char *host)
{
    struct report_rank rank = {{0}, {0}};
    rank.seconds[PHASE_FORWARD] = forward;
    rank.seconds[PHASE_WAIT] = wait;
    snprintf(rank.host, sizeof rank.host, "%s", host);
    return rank;
}

static void the_slow_rank_is_named(void **state)
{
    char text[REPORT_TEXT];
    const struct report_rank ranks[] = {rank_with(6, 4, "n0"), rank_with(9, 1, "n1"),
                                        rank_with(5, 5, "n2")};
    struct time_breakdown breakdown = time_breakdown_of(ranks, 3);
    expect(fabs(breakdown.all - 10) < 1e-9);
    expect(fabs(breakdown.seconds[PHASE_FORWARD] - 20.0 / 3) < 1e-9);
    expect(breakdown.slow_rank == 1);
    expect(fabs(breakdown.waited - 3.5) < 1e-9); /* (4 + 5) / 2 - 1 */
    expect_text(time_breakdown_text(&breakdown, text), "time: forward 67 %, wait 33 %");
    expect_text(time_breakdown_slowest(&breakdown, text),
                "slowest rank: 1 (n1); the others waited 35.0 % of the time for it");
    agree_on_verdict(*state);
}

static void little_is_not_said(void **state)
{
    char text[REPORT_TEXT];
    const struct report_rank ranks[] = {rank_with(99.4, 0.6, "n0"),
                                        rank_with(98, 2, "n1")};
    struct time_breakdown breakdown = time_breakdown_of(ranks, 2);
    expect(breakdown.slow_rank == 0);
    expect_text(time_breakdown_slowest(&breakdown, text), ""); /* 1.4 % */
    breakdown = time_breakdown_of(ranks, 1);
    expect(breakdown.slow_rank == -1);
    expect_text(time_breakdown_slowest(&breakdown, text), "");
    expect_text(time_breakdown_text(&breakdown, text), "time: forward 99 %, wait 1 %");
    struct time_breakdown nothing = time_breakdown_of(&(struct report_rank){{0}, {0}}, 1);
    expect_text(time_breakdown_text(&nothing, text), "time:");
    agree_on_verdict(*state);
}

/* One rank computes for 0.4 s while the others wait. */
static void ranks_wait_for_the_slow_one(void **state)
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
        expect(breakdown.all >= 0.39);
        expect(breakdown.seconds[PHASE_FORWARD] >= mean - 0.01);
        expect(breakdown.seconds[PHASE_FORWARD] <= breakdown.all);
        expect(breakdown.slow_rank == (slow ? slow : -1));
        expect(slow == 0 || breakdown.waited > 0.2);
        expect(slow == 0 || strcmp(breakdown.slow_host, comm_host(comm)) == 0);
    } else {
        expect(breakdown.slow_rank == -1 && breakdown.all <= 0);
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
        cmocka_unit_test(clocks_are_compared),
        cmocka_unit_test(the_slow_rank_is_named),
        cmocka_unit_test(little_is_not_said),
        cmocka_unit_test(ranks_wait_for_the_slow_one),
    };
    return run_on_ranks(argc, argv, tests);
}
