/* deadline: two times on the monotonic clock, one from the settings, one from Slurm; the
 * earlier counts.
 *
 * squeue's %L, the time left, does not depend on the clocks of hosts. The child process
 * gets a few seconds and is then killed; an event wakes the thread when the run ends, so
 * neither delays the run.
 *
 * A shell that has outlived its job still has the job's variables. So an end in the past
 * counts only if squeue confirms it, as in the grace period after the limit
 * (OverTimeLimit), and a job that squeue does not know has no limit.
 */
#include "deadline.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/progress.h"
#include "base/slurm.h"
#include "base/text.h"

enum {
    QUERY_MS = 5 * 60 * 1000,
    QUERY_SOON_MS = 5000,
    ANSWER_MS = 10 * 1000,
    LOOK_MS = 10,
    ANSWER_SIZE = 512,
    JOB_SIZE = 64
};
static const double least_change = 60; /* seconds; smaller changes are not logged */

extern char **environ;

struct deadline {
    double ends;          /* clock_seconds, by run.minutes */
    _Atomic double slurm; /* the same by Slurm */
    char job[JOB_SIZE];   /* as squeue's --jobs takes it */
    bool logged, expired; /* a line, the warning of an ended job was logged */
    int leave;            /* event that ends the thread; -1: no thread */
    pthread_t thread;
};

/* ---- parsing ---- */

double deadline_parse(const char *text)
{
    int64_t parts[4] = {0}, days = 0; /* parts: between the colons */
    size_t count = 0;
    if (strcmp(text, "UNLIMITED") == 0)
        return HUGE_VAL;
    const char *dash = strchr(text, '-');
    if (dash) {
        char number[24];
        snprintf(number, sizeof number, "%.*s", (int)(dash - text), text);
        if (!text_to_integer(number, &days) || days < 0)
            return -1;
        text = dash + 1;
    }
    while (count < 4) {
        char number[24];
        size_t length = strcspn(text, ":");
        snprintf(number, sizeof number, "%.*s", (int)length, text);
        if (!text_to_integer(number, &parts[count++]) || parts[count - 1] < 0)
            return -1;
        text += length;
        if (*text++ == '\0')
            break;
    }
    if (count == 3)
        return (double)(((days * 24 + parts[0]) * 60 + parts[1]) * 60 + parts[2]);
    return count == 2 && !dash ? (double)(parts[0] * 60 + parts[1]) : -1;
}

/* squeue takes an array element as ARRAY_INDEX; the id of the first element stands for
 * the whole array. */
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
                 "run.minutes sets one",
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
    if (slurm_job_is_past(&ended)) {
        if (localtime_r(&ended, &local))
            strftime(how, sizeof how, "ended on %Y-%m-%d %H:%M", &local);
        warn_expired(deadline, how[0] ? how : "has ended");
    } else if (text && text_to_integer(text, &ends) && ends > 0) {
        set_left(deadline, difftime((time_t)ends, time(NULL)), "SLURM_JOB_END_TIME");
    }
}

/* ---- squeue ---- */

/* Starts squeue with stdout and stderr in a pipe. Returns its process id, or -1. */
static pid_t spawn_squeue(const struct deadline *deadline, int output)
{
    char job[JOB_SIZE];
    snprintf(job, sizeof job, "%s", deadline->job);
    char *const arguments[] = {"squeue", "--noheader",  "--jobs",
                               job,      "--format=%L", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none;
    pid_t child = -1;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&how, &none);
    if (posix_spawnp(&child, arguments[0], &files, &how, arguments, environ) != 0)
        child = -1;
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return child;
}

/* Reads until end of file. False if the run ended or the time was up first. */
static bool read_answer(const struct deadline *deadline, int from, char *answer)
{
    size_t filled = 0;
    double until = clock_seconds() + ANSWER_MS / 1e3;
    struct pollfd wait[] = {{.fd = from, .events = POLLIN},
                            {.fd = deadline->leave, .events = POLLIN}};
    for (;;) {
        double left = until - clock_seconds();
        int ready = left > 0 ? poll(wait, 2, (int)(left * 1e3) + 1) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0 || wait[1].revents)
            return false;
        ssize_t got = read(from, answer + filled, ANSWER_SIZE - 1 - filled);
        if (got <= 0)
            break;
        filled += (size_t)got;
    }
    answer[filled] = '\0';
    return true;
}

/* Waits for a child that has closed its output, or kills it after a while. Returns its
 * exit code, or -1. */
static int wait_for_end(const struct deadline *deadline, pid_t child)
{
    struct pollfd leave = {.fd = deadline->leave, .events = POLLIN};
    double until = clock_seconds() + ANSWER_MS / 1e3;
    int how = -1;
    pid_t ended;
    do
        ended = waitpid(child, &how, WNOHANG);
    while (ended == 0 && clock_seconds() < until && poll(&leave, 1, LOOK_MS) == 0);
    if (ended == 0) {
        kill(child, SIGKILL);
        waitpid(child, &how, 0);
    }
    return ended > 0 && WIFEXITED(how) ? WEXITSTATUS(how) : -1;
}

/* The seconds in squeue's answer, which may have warnings around it; -1: none found.
 * squeue prints INVALID for a job past its limit. */
static double find_seconds(const char *answer)
{
    char line[ANSWER_SIZE];
    for (const char *at = answer; *at; at += at[0] == '\n') {
        size_t length = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, at);
        double left = strcmp(line, "INVALID") == 0 ? 0 : deadline_parse(line);
        if (left >= 0)
            return left;
        at += length;
    }
    return -1;
}

/* squeue omits a job that has just ended, and later doesn't know its id. Filters and caches
 * give empty answers too, so a known end in the future outweighs an empty answer. */
static bool is_no_job(const struct deadline *deadline, const char *answer, int code)
{
    double ends = atomic_load(&deadline->slurm);
    bool in_future = ends < HUGE_VAL && ends > clock_seconds();
    return strstr(answer, "Invalid job id") ||
           (code == 0 && answer[0] == '\0' && !in_future);
}

/* Queries once. False: there is no such job, so no further query is needed. */
static bool query(struct deadline *deadline)
{
    int ends[2], code = -1;
    char answer[ANSWER_SIZE] = "";
    if (pipe2(ends, O_CLOEXEC) != 0)
        return true;
    pid_t child = spawn_squeue(deadline, ends[1]);
    close(ends[1]);
    bool answered = child > 0 && read_answer(deadline, ends[0], answer);
    close(ends[0]);
    if (answered) {
        code = wait_for_end(deadline, child);
    } else if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    double left = answered ? find_seconds(answer) : -1;
    struct pollfd leave = {.fd = deadline->leave, .events = POLLIN};
    bool no_job = answered && left < 0 && is_no_job(deadline, answer, code);
    if (left >= 0)
        set_left(deadline, left, "squeue");
    else if (no_job)
        warn_expired(deadline, "squeue does not know");
    else if (poll(&leave, 1, 0) == 0)
        log_unknown(deadline, child < 0   ? "can't be started"
                              : !answered ? "gives no answer"
                                          : "names none");
    return !no_job;
}

/* A few minutes, and less near the end, when limits are extended. */
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
