/* one_thread: base/team.h for scaling_measure, in place of base/team.c: a team of any
 * number of threads, of which only thread 0 exists. It computes its share of everything
 * and waits for nobody; barriers are counted. Shares are rounded up, so no other thread
 * of a team has more to do. The results are useless, as the other shares are missing, but
 * the time is that of one thread of a large team, on a machine with few cores.
 */
#include "one_thread.h"

#include "base/team.h"

static int size = 1;
static size_t barriers;

size_t one_thread_barriers(void)
{
    return barriers;
}

void team_run(int threads, void (*body)(void *context), void *context)
{
    int outer = size;
    size = threads;
    team_barrier(); /* starting the threads takes as long as a barrier */
    body(context);
    team_barrier();
    size = outer;
}

int team_thread(void)
{
    return 0;
}

int team_size(void)
{
    return size;
}

void team_barrier(void)
{
    barriers += size > 1;
}

struct team_share team_share_of(size_t count, size_t unit, int thread, int threads)
{
    size_t units = (count + unit - 1) / unit, t = (size_t)thread, all = (size_t)threads;
    size_t first = (units * t + all - 1) / all * unit;
    size_t end = (units * (t + 1) + all - 1) / all * unit;
    return (struct team_share){first < count ? first : count, end < count ? end : count};
}

struct team_share team_share(size_t count, size_t unit)
{
    return team_share_of(count, unit, 0, size);
}

int team_threads(int64_t setting)
{
    return setting > 0 ? (int)setting : 1;
}

void team_cores(cpu_set_t *cores)
{
    CPU_ZERO(cores);
}

void team_unbind(void)
{
}

enum status team_check(int threads)
{
    (void)threads;
    return STATUS_OK;
}
