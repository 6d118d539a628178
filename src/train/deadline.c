/* deadline: two times on the monotonic clock, one from the settings, one from Slurm; the
 * earlier applies.
 *
 * When the run ends, an event wakes the thread and aborts a query in progress.
 *
 * A shell that has outlived its job still has the job's variables. So an end in the past
 * counts only if squeue confirms it, as in the grace period after the limit
 * (OverTimeLimit), and a job that squeue does not know has no limit.
 */
#include "deadline.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "squeue.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/slurm.h"
#include "base/text.h"

enum { QUERY_MS = 5 * 60 * 1000, QUERY_SOON_MS = 5000, JOB_SIZE = 64 };
static const double least_change = 60; /* seconds; smaller changes are not logged */

struct deadline {
    double ends;          /* clock_seconds, by run.time_limit_minutes */
    _Atomic double slurm; /* the same by Slurm */
    char job[JOB_SIZE];   /* as squeue --jobs expects it */
    bool logged, expired; /* the line, the warning was logged */
    int leave;            /* event that ends the thread; -1: no thread */
    pthread_t thread;
};

/* ---- the job ---- */

/* squeue expects an array element as ARRAY_INDEX; the id of the first element would stand
 * for the whole array. */
static bool find_job(char *job)
{
    const char *array = getenv("SLURM_ARRAY_JOB_ID"), *at = getenv("SLURM_ARRAY_TASK_ID");
    const char *id = getenv("SLURM_JOB_ID");
    if (array && at && array[0] && at[0])
        snprintf(job, JOB_SIZE, "%.30s_%.30s", array, at);
    else
        snprintf(job, JOB_SIZE, "%.60s", id ? id : "");
    return job[0] != '\0';
}

/* ---- logging ---- */

static void set_left(struct deadline *deadline, double left, const char *by)
{
    char text[64];
    double ends = clock_seconds() + left;
    double before = atomic_exchange(&deadline->slurm, ends);
    if (deadline->logged && (ends == before || fabs(ends - before) < least_change))
        return;
    const char *now = deadline->logged ? "now " : "";
    deadline->logged = true;
    if (left < HUGE_VAL)
        log_info(
            "time limit       %s%s left, by %s; shortly before it the run stops with "
            "a checkpoint",
            now, duration_text(left, text, sizeof text), by);
    else
        log_info("time limit       %snone, by %s", now, by);
}

static void log_unknown(struct deadline *deadline, const char *why)
{
    if (!deadline->logged)
        log_info("time limit       not known: squeue --jobs %s %s; "
                 "run.time_limit_minutes sets one",
                 deadline->job, why);
    deadline->logged = true;
}

/* Warns, once, that the job of the Slurm variables has ended. */
static void warn_expired(struct deadline *deadline, const char *how)
{
    atomic_store(&deadline->slurm, HUGE_VAL);
    if (!deadline->expired)
        log_warn(
            "the Slurm variables are left over from job %s, which %s: its time limit "
            "is ignored (to be rid of them: unset \"${!SLURM_@}\")",
            deadline->job, how);
    deadline->expired = deadline->logged = true;
}

static void read_environment(struct deadline *deadline)
{
    const char *text = getenv("SLURM_JOB_END_TIME");
    char how[64] = "";
    struct tm local;
    int64_t ends;
    time_t ended;
    if (slurm_end_time_passed(&ended)) {
        if (localtime_r(&ended, &local))
            strftime(how, sizeof how, "ended on %Y-%m-%d %H:%M", &local);
        warn_expired(deadline, how[0] ? how : "has ended");
    } else if (text && text_to_integer(text, &ends) && ends > 0) {
        set_left(deadline, difftime((time_t)ends, time(NULL)), "SLURM_JOB_END_TIME");
    }
}

/* ---- queries ---- */

/* squeue omits a job that has just ended. Filters and caches also lead to empty answers,
 * so a known end in the future takes precedence over an empty answer. */
static bool is_no_job(const struct deadline *deadline, enum squeue_answer answer)
{
    double ends = atomic_load(&deadline->slurm);
    bool in_future = ends < HUGE_VAL && ends > clock_seconds();
    return answer == SQUEUE_NO_JOB || (answer == SQUEUE_EMPTY && !in_future);
}

static bool is_leaving(const struct deadline *deadline)
{
    struct pollfd leave = {.fd = deadline->leave, .events = POLLIN};
    return poll(&leave, 1, 0) != 0;
}

/* Queries once. False: there is no such job, so no further query is needed. */
static bool query(struct deadline *deadline)
{
    double left;
    enum squeue_answer answer = squeue_time_left(deadline->job, deadline->leave, &left);
    if (answer == SQUEUE_LEFT)
        set_left(deadline, left, "squeue");
    else if (is_no_job(deadline, answer))
        warn_expired(deadline, "squeue does not know");
    else if (!is_leaving(deadline))
        log_unknown(deadline, answer == SQUEUE_NOT_STARTED ? "can't be started"
                              : answer == SQUEUE_SILENT    ? "gives no answer"
                                                           : "names none");
    return answer == SQUEUE_LEFT || !is_no_job(deadline, answer);
}

/* A few minutes, or less near the end, when limits are likely to be extended. */
static int pause_ms(const struct deadline *deadline)
{
    double half = (atomic_load(&deadline->slurm) - clock_seconds()) * 1e3 / 2;
    return half > QUERY_MS ? QUERY_MS : half < QUERY_SOON_MS ? QUERY_SOON_MS : (int)half;
}

static void *keep_querying(void *argument)
{
    struct deadline *deadline = argument;
    struct pollfd leave = {.fd = deadline->leave, .events = POLLIN};
    while (query(deadline) && poll(&leave, 1, pause_ms(deadline)) == 0)
        ;
    return NULL;
}

/* ---- the caller's side ---- */

static enum status start_thread(struct deadline *deadline)
{
    sigset_t all, before;
    deadline->leave = eventfd(0, EFD_CLOEXEC);
    if (deadline->leave < 0)
        return status_fail_errno("can't watch the time limit");
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&deadline->thread, NULL, keep_querying, deadline);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0)
        return STATUS_OK;
    close(deadline->leave);
    deadline->leave = -1;
    errno = code;
    return status_fail_errno("can't watch the time limit");
}

enum status deadline_open(double minutes, struct deadline **out)
{
    *out = NULL;
    struct deadline *deadline = calloc(1, sizeof *deadline);
    if (!deadline)
        return status_fail(STATUS_FAILED, "out of memory for the time limit");
    deadline->ends = minutes > 0 ? clock_seconds() + 60 * minutes : HUGE_VAL;
    atomic_init(&deadline->slurm, HUGE_VAL);
    deadline->leave = -1;
    enum status status = STATUS_OK;
    if (find_job(deadline->job)) {
        read_environment(deadline);
        status = start_thread(deadline);
    }
    if (status == STATUS_OK)
        *out = deadline;
    else
        free(deadline);
    return status;
}

double deadline_left(const struct deadline *deadline)
{
    double slurm = atomic_load(&deadline->slurm);
    return (slurm < deadline->ends ? slurm : deadline->ends) - clock_seconds();
}

void deadline_close(struct deadline *deadline)
{
    if (!deadline)
        return;
    if (deadline->leave >= 0) {
        const uint64_t one = 1;
        ssize_t written = write(deadline->leave, &one, sizeof one);
        (void)written; /* an eventfd accepts it */
        pthread_join(deadline->thread, NULL);
        close(deadline->leave);
    }
    free(deadline);
}
