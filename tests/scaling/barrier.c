/* barrier: prints the time in seconds that a barrier of two threads takes (base/team.h):
 * the minimum of many measurements. */
#include <stdio.h>
#include <time.h>

#include "base/team.h"

enum { TRIES = 50, BARRIERS = 1000 };

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void measure(void *context)
{
    double *minimum = context;
    for (int i = 0; i < TRIES; i++) {
        team_barrier();
        double begin = seconds_now();
        for (int j = 0; j < BARRIERS; j++)
            team_barrier();
        double seconds = (seconds_now() - begin) / BARRIERS;
        if (team_thread() == 0 && (i == 0 || seconds < *minimum))
            *minimum = seconds;
    }
}

int main(void)
{
    double minimum = 0;
    team_run(2, measure, &minimum);
    printf("barrier %.3g\n", minimum);
    return 0;
}
