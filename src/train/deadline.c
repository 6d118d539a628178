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
#include "base/team.h"
#include "base/text.h"

enum { MAX_INTERVAL_MS = 5 * 60 * 1000, MIN_INTERVAL_MS = 5000, JOB_SIZE = 64 };
static const double min_logged_change = 60; /* seconds; smaller changes are not logged */

struct deadline {
    double setting_end;               /* clock_seconds, by run.time_limit_minutes */
    _Atomic double slurm_end;         /* the same by Slurm */
    char job[JOB_SIZE];               /* as squeue --jobs expects it */
    bool limit_logged, expiry_logged; /* the line, the warning was logged */
    int stop_fd;                      /* event that ends the thread; -1: no thread */
    pthread_t thread;
};

/* ---- the job ---- */

/* squeue expects an array element as ARRAY_INDEX; the id of the first element would stand
 * for the whole array. */
static bool read_job_id(char *job)
{
    const char *array = getenv("SLURM_ARRAY_JOB_ID"),
               *index = getenv("SLURM_ARRAY_TASK_ID");
    const char *id = getenv("SLURM_JOB_ID");
    if (array && index && array[0] && index[0])
        snprintf(job, JOB_SIZE, "%.30s_%.30s", array, index);
    else
        snprintf(job, JOB_SIZE, "%.60s", id ? id : "");
    return job[0] != '\0';
}

/* ---- logging ---- */

static void set_time_left(struct deadline *deadline, double left, const char *source)
{
    char text[64];
    double ends = clock_seconds() + left;
    double previous = atomic_exchange(&deadline->slurm_end, ends);
    if (deadline->limit_logged &&
        (ends == previous || fabs(ends - previous) < min_logged_change))
        return;
    const char *now = deadline->limit_logged ? "now " : "";
    deadline->limit_logged = true;
    if (left < HUGE_VAL)
        log_info(
            "time limit       %s%s left, by %s; shortly before it the run stops with "
            "a checkpoint",
            now, duration_text(left, text, sizeof text), source);
    else
        log_info("time limit       %snone, by %s", now, source);
}

static void log_unknown(struct deadline *deadline, const char *why)
{
    if (!deadline->limit_logged)
        log_info("time limit       not known: squeue --jobs %s %s; "
                 "run.time_limit_minutes sets one",
                 deadline->job, why);
    deadline->limit_logged = true;
}

/* Warns, once, that the job of the Slurm variables has ended. */
static void warn_expired(struct deadline *deadline, const char *how)
{
    atomic_store(&deadline->slurm_end, HUGE_VAL);
    if (!deadline->expiry_logged)
        log_warn(
            "the Slurm variables are left over from job %s, which %s: its time limit "
            "is ignored (to be rid of them: unset \"${!SLURM_@}\")",
            deadline->job, how);
    deadline->expiry_logged = deadline->limit_logged = true;
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
        set_time_left(deadline, difftime((time_t)ends, time(NULL)), "SLURM_JOB_END_TIME");
    }
}

/* ---- queries ---- */

/* squeue omits a job that has just ended. Filters and caches also lead to empty answers,
 * so a known end in the future takes precedence over an empty answer. */
static bool is_no_job(const struct deadline *deadline, enum squeue_result result)
{
    double ends = atomic_load(&deadline->slurm_end);
    bool in_future = ends < HUGE_VAL && ends > clock_seconds();
    return result == SQUEUE_NO_JOB || (result == SQUEUE_EMPTY && !in_future);
}

static bool is_stopping(const struct deadline *deadline)
{
    struct pollfd stop = {.fd = deadline->stop_fd, .events = POLLIN};
    return poll(&stop, 1, 0) != 0;
}

/* Queries once. False: there is no such job, so no further query is needed. */
static bool query(struct deadline *deadline)
{
    double left;
    enum squeue_result result = squeue_time_left(deadline->job, deadline->stop_fd, &left);
    if (result == SQUEUE_OK)
        set_time_left(deadline, left, "squeue");
    else if (is_no_job(deadline, result))
        warn_expired(deadline, "squeue does not know");
    else if (!is_stopping(deadline))
        log_unknown(deadline, result == SQUEUE_NOT_STARTED ? "can't be started"
                              : result == SQUEUE_TIMEOUT   ? "gives no answer"
                                                           : "names none");
    return result == SQUEUE_OK || !is_no_job(deadline, result);
}

/* A few minutes, or less near the end, when limits are likely to be extended. */
static int query_interval_ms(const struct deadline *deadline)
{
    double half = (atomic_load(&deadline->slurm_end) - clock_seconds()) * 1e3 / 2;
    return half > MAX_INTERVAL_MS   ? MAX_INTERVAL_MS
           : half < MIN_INTERVAL_MS ? MIN_INTERVAL_MS
                                    : (int)half;
}

static void *query_loop(void *argument)
{
    struct deadline *deadline = argument;
    struct pollfd stop = {.fd = deadline->stop_fd, .events = POLLIN};
    team_unbind();
    while (query(deadline) && poll(&stop, 1, query_interval_ms(deadline)) == 0)
        ;
    return NULL;
}

/* ---- the caller's side ---- */

static enum status start_thread(struct deadline *deadline)
{
    sigset_t all, old_mask;
    deadline->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (deadline->stop_fd < 0)
        return status_fail_errno("can't watch the time limit");
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old_mask);
    int code = pthread_create(&deadline->thread, NULL, query_loop, deadline);
    pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
    if (code == 0)
        return STATUS_OK;
    close(deadline->stop_fd);
    deadline->stop_fd = -1;
    errno = code;
    return status_fail_errno("can't watch the time limit");
}

enum status deadline_open(double minutes, struct deadline **out)
{
    *out = NULL;
    struct deadline *deadline = calloc(1, sizeof *deadline);
    if (!deadline)
        return status_fail(STATUS_FAILED, "out of memory for the time limit");
    deadline->setting_end = minutes > 0 ? clock_seconds() + 60 * minutes : HUGE_VAL;
    atomic_init(&deadline->slurm_end, HUGE_VAL);
    deadline->stop_fd = -1;
    enum status status = STATUS_OK;
    if (read_job_id(deadline->job)) {
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
    double slurm = atomic_load(&deadline->slurm_end);
    return (slurm < deadline->setting_end ? slurm : deadline->setting_end) -
           clock_seconds();
}

void deadline_close(struct deadline *deadline)
{
    if (!deadline)
        return;
    if (deadline->stop_fd >= 0) {
        const uint64_t one = 1;
        ssize_t written = write(deadline->stop_fd, &one, sizeof one);
        (void)written; /* an eventfd accepts it */
        pthread_join(deadline->thread, NULL);
        close(deadline->stop_fd);
    }
    free(deadline);
}
