/* team: the only file compiled with OpenMP.
 *
 * ThreadSanitizer does not see the synchronisation inside libgomp; TSAN_RELEASE and
 * TSAN_ACQUIRE declare it. */
#include "team.h"

#include <ctype.h>
#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
/* Two for barriers: a fast thread may reach the next one before a slow thread leaves. */
static char region_start, region_end, barriers[2];
#define TSAN_RELEASE(edge) __tsan_release(&(edge))
#define TSAN_ACQUIRE(edge) __tsan_acquire(&(edge))
/* A thread reads its arguments, which libgomp passes on, before TSAN_ACQUIRE. */
#define TSAN_UNSEEN __attribute__((no_sanitize("thread")))
#else
#define TSAN_UNSEEN
#define TSAN_RELEASE(edge) (void)0
#define TSAN_ACQUIRE(edge) (void)0
#endif

/* The calling thread in its team. OpenMP's own numbers would be those of the innermost
 * region, which may be another program's that calls the library. */
static _Thread_local struct team_member {
    int thread, size;
    unsigned barriers; /* waited for */
} self = {0, 1, 0};

static void run_alone(void (*body)(void *context), void *context)
{
    struct team_member outer = self;
    self = (struct team_member){0, 1, 0};
    body(context);
    self = outer;
}

static void run_member(void (*body)(void *context), void *context)
{
    struct team_member outer = self;
    self = (struct team_member){omp_get_thread_num(), omp_get_num_threads(), 0};
    body(context);
    self = outer;
}

TSAN_UNSEEN void team_run(int threads, void (*body)(void *context), void *context)
{
    if (threads == 1) {
        run_alone(body, context);
        return;
    }
    int dynamic = omp_get_dynamic();
    omp_set_dynamic(false);
    TSAN_RELEASE(region_start);
#pragma omp parallel num_threads(threads)
    {
        TSAN_ACQUIRE(region_start);
        run_member(body, context);
        TSAN_RELEASE(region_end);
    }
    TSAN_ACQUIRE(region_end);
    omp_set_dynamic(dynamic);
}

int team_thread(void)
{
    return self.thread;
}

int team_size(void)
{
    return self.size;
}

void team_barrier(void)
{
    if (self.size == 1)
        return;
    TSAN_RELEASE(barriers[self.barriers % 2]);
#pragma omp barrier
    TSAN_ACQUIRE(barriers[self.barriers % 2]);
    self.barriers++;
}

struct team_share team_share_of(size_t count, size_t unit, int thread, int threads)
{
    size_t units = (count + unit - 1) / unit, t = (size_t)thread, all = (size_t)threads;
    size_t first = units * t / all * unit, end = units * (t + 1) / all * unit;
    return (struct team_share){first < count ? first : count, end < count ? end : count};
}

struct team_share team_share(size_t count, size_t unit)
{
    return team_share_of(count, unit, team_thread(), team_size());
}

/* The number that begins a variable's value ("4", "4,2"); 0: none. */
static long first_number(const char *variable)
{
    const char *value = getenv(variable);
    return value && isdigit((unsigned char)value[0]) ? strtol(value, NULL, 10) : 0;
}

int team_threads(int64_t setting)
{
    if (setting == 0 && omp_in_parallel()) /* a region of another program */
        return 1;
    long threads = setting ? (long)setting : first_number("OMP_NUM_THREADS");
    if (threads == 0)
        threads = first_number("SLURM_CPUS_PER_TASK");
    return threads < 1 ? 1 : threads > TEAM_THREADS_MAX ? TEAM_THREADS_MAX : (int)threads;
}

static void add_place(int place, cpu_set_t *cores)
{
    int ids[CPU_SETSIZE], count = omp_get_place_num_procs(place);
    if (count > CPU_SETSIZE)
        return;
    omp_get_place_proc_ids(place, ids);
    for (int i = 0; i < count; i++)
        CPU_SET((size_t)ids[i], cores);
}

void team_cores(cpu_set_t *cores)
{
    int places = omp_get_num_places();
    CPU_ZERO(cores);
    if (places == 0 && sched_getaffinity(0, sizeof *cores, cores) == 0)
        return;
    for (int place = 0; place < places; place++)
        add_place(place, cores);
}

void team_unbind(void)
{
    cpu_set_t cores;
    team_cores(&cores);
    if (CPU_COUNT(&cores) > 0) /* if it is refused, the thread shares a core */
        (void)sched_setaffinity(0, sizeof cores, &cores);
}

/* OpenMP binds a thread from the thread that starts it. In the sandbox that has no
 * effect: there a thread can bind only itself. */
static void bind_to_place(void)
{
    int place = omp_get_place_num(); /* below 0: threads are not bound */
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (place < 0)
        return;
    add_place(place, &cores);
    if (CPU_COUNT(&cores) > 0)
        sched_setaffinity(0, sizeof cores, &cores);
}

static void start_thread(void *context)
{
    if (team_thread() == 0)
        *(int *)context = team_size();
    else
        bind_to_place();
}

enum status team_check(int threads)
{
    int started = 1;
    if (threads > 1)
        team_run(threads, start_thread, &started);
    if (started == threads)
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "%d threads were requested, but OpenMP starts only %d "
                       "(OMP_THREAD_LIMIT, OMP_MAX_ACTIVE_LEVELS)",
                       threads, started);
}
