/* confine: the child process and what its parent makes of its end. The walls around it
 * are in confine_calls.c and confine_files.c.
 *
 * The outcome goes through a shared page, so that it is known what was being read even
 * when the child can't report it any more; the reply goes through a pipe. The parent
 * takes both for input from elsewhere.
 */
#include "confine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "array.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||               \
    __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const uint64_t least_memory = 1 << 30, memory_per_byte = 8;
static const uint64_t least_seconds = 10, bytes_per_second = 1000000;

/* Shared by parent and child; written by the child. */
struct report {
    bool complete; /* the work has come to its end, with: */
    int status;
    char message[STATUS_MESSAGE_SIZE];
    bool computing;      /* the inputs have been read */
    char path[PATH_MAX]; /* that is being read; "": none yet */
};

/* Of the child; NULL in every other process. */
static struct report *own_report;

/* ---- in the child ---- */

void confine_opening(const char *path)
{
    if (own_report)
        snprintf(own_report->path, sizeof own_report->path, "%s", path);
}

/* Lowers the limit: for good, unless confine_computing is to raise it again. */
static void limit(int resource, uint64_t most, bool for_good)
{
    struct rlimit limits;
    if (getrlimit((__rlimit_resource_t)resource, &limits) != 0 || limits.rlim_cur <= most)
        return;
    limits.rlim_cur = (rlim_t)most;
    if (for_good)
        limits.rlim_max = (rlim_t)(resource == RLIMIT_CPU ? most + 1 : most);
    setrlimit((__rlimit_resource_t)resource, &limits);
}

static void lift(int resource)
{
    struct rlimit limits;
    if (getrlimit((__rlimit_resource_t)resource, &limits) != 0)
        return;
    limits.rlim_cur = limits.rlim_max;
    setrlimit((__rlimit_resource_t)resource, &limits);
}

void confine_computing(void)
{
    if (!own_report)
        return;
    own_report->computing = true;
    if (SANITIZED)
        return;
    lift(RLIMIT_DATA);
    lift(RLIMIT_CPU);
}

static bool is_file(int descriptor)
{
    struct stat facts;
    return fstat(descriptor, &facts) == 0 && S_ISREG(facts.st_mode);
}

static void limit_resources(const struct confine_inputs *inputs)
{
    uint64_t stored = confine_stored_bytes(inputs);
    limit(RLIMIT_DATA, least_memory + memory_per_byte * stored, !inputs->computes);
    limit(RLIMIT_CPU, least_seconds + stored / bytes_per_second, !inputs->computes);
    if (!is_file(STDOUT_FILENO) && !is_file(STDERR_FILENO)) /* then it writes no file */
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0});
}

/* A library that is loaded already (UCX, by some MPIs) may have its own report of a
 * crash. */
static void crash_silently(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTRAP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], SIG_DFL);
}

static void enter(const struct confine_inputs *inputs)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (SANITIZED)
        return;
    crash_silently();
    limit_resources(inputs);
    prctl(PR_SET_DUMPABLE, 0); /* no core dump through a pipe, either */
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    confine_files(inputs);
    confine_calls(inputs->computes);
}

/* Exit handlers are those of libraries that may be past working, but the leak check is
 * one of them. */
static _Noreturn void leave(void)
{
    if (SANITIZED)
        exit(0);
    _exit(0);
}

static _Noreturn void be_child(const struct confine_inputs *inputs, confine_work *work,
                               void *context, struct report *report, int pipe)
{
    own_report = report;
    enter(inputs);
    FILE *reply = fdopen(pipe, "wb");
    enum status status =
        reply ? work(context, reply)
              : status_fail(STATUS_FAILED, "%s: out of memory", inputs->paths[0]);
    if (reply && fclose(reply) != 0 && status == STATUS_OK)
        status = status_fail_errno("%s: can't pass on what was read", inputs->paths[0]);
    fflush(stdout);
    report->status = (int)status;
    snprintf(report->message, sizeof report->message, "%s", status_message());
    report->complete = true;
    leave();
}

/* ---- in the parent ---- */

/* All bytes up to the end. No work sends nearly as much as REPLY_MOST. */
static enum status receive(int pipe, struct confine_reply *reply)
{
    enum { PART = 1 << 16, REPLY_MOST = 1 << 30 };
    size_t capacity = 0;
    for (;;) {
        uint8_t *bytes = array_reserve(reply->bytes, &capacity, reply->size + PART, 1);
        if (!bytes)
            return STATUS_FAILED;
        reply->bytes = bytes;
        ssize_t got = read(pipe, bytes + reply->size, PART);
        if (got < 0 && errno != EINTR)
            return status_fail_errno("can't receive what was read");
        if (got == 0)
            return STATUS_OK;
        reply->size += got > 0 ? (size_t)got : 0;
        if (reply->size > REPLY_MOST)
            return status_fail(STATUS_FAILED, "what was read comes to more than %d MiB",
                               REPLY_MOST >> 20);
    }
}

static const struct {
    int number;
    const char *name;
} faults[] = {
    {SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"},   {SIGABRT, "SIGABRT"},
    {SIGFPE, "SIGFPE"},   {SIGILL, "SIGILL"},   {SIGSYS, "SIGSYS"},
    {SIGTRAP, "SIGTRAP"}, {SIGXCPU, "SIGXCPU"}, {SIGKILL, "SIGKILL"},
    {SIGXFSZ, "SIGXFSZ"},
};
enum { FAULTS_OF_A_CHILD = sizeof faults / sizeof *faults };

/* NULL: no fault of what ran. */
static const char *fault_name(int number)
{
    for (size_t i = 0; i < FAULTS_OF_A_CHILD; i++)
        if (faults[i].number == number)
            return faults[i].name;
    return NULL;
}

static enum status ended_by(const char *path, bool computing, int number)
{
    const char *name = fault_name(number);
    if (computing)
        return status_fail(STATUS_FAILED, "%s: computing with it ended in signal %d (%s)",
                           path, number, name);
    if (number == SIGXCPU)
        return status_fail(STATUS_FAILED,
                           "%s: damaged: reading it took more processor time than any "
                           "sound file of its size",
                           path);
    if (number == SIGKILL)
        return status_fail(STATUS_FAILED,
                           "%s: reading it was ended by signal 9 (SIGKILL), as when the "
                           "system runs out of memory",
                           path);
    return status_fail(STATUS_FAILED,
                       "%s: damaged: reading it ended in signal %d (%s), in a process of "
                       "its own; nothing else is affected",
                       path, number, name);
}

/* Ends this process as the child has ended: by Ctrl-C, a closed pipe ... */
static void die_alike(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    signal(number, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
}

/* The child may have written anything to the report. */
static enum status outcome(struct report *report, const char *first_path, int state)
{
    report->path[sizeof report->path - 1] = '\0';
    report->message[sizeof report->message - 1] = '\0';
    const char *path = report->path[0] ? report->path : first_path;
    if (WIFSIGNALED(state) && !fault_name(WTERMSIG(state)))
        die_alike(WTERMSIG(state));
    if (WIFSIGNALED(state))
        return ended_by(path, report->computing, WTERMSIG(state));
    if (!report->complete || WEXITSTATUS(state) != 0)
        return status_fail(STATUS_FAILED, "%s: reading it ended with exit code %d", path,
                           WEXITSTATUS(state));
    if (report->status == STATUS_OK)
        return STATUS_OK;
    return status_fail(report->status == STATUS_MISUSE ? STATUS_MISUSE : STATUS_FAILED,
                       "%s", report->message);
}

static enum status attend(pid_t child, int pipe, struct report *report,
                          const char *first_path, struct confine_reply *reply)
{
    int state = 0;
    enum status received = reply ? receive(pipe, reply) : STATUS_OK;
    close(pipe); /* a child that still writes to it ends by that */
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) {
    }
    if (received != STATUS_OK)
        return received;
    return outcome(report, first_path, state);
}

/* If the parent ends, so does the child, also when that happens here and now. */
static void stay_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

static enum status start(const struct confine_inputs *inputs, confine_work *work,
                         void *context, struct report *report,
                         struct confine_reply *reply)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return status_fail_errno("%s: can't be read", inputs->paths[0]);
    fflush(NULL); /* or both would print it */
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        stay_with(parent);
        close(ends[0]);
        be_child(inputs, work, context, report, ends[1]);
    }
    close(ends[1]);
    if (child > 0)
        return attend(child, ends[0], report, inputs->paths[0], reply);
    enum status status =
        status_fail_errno("%s: no process can be started to read it", inputs->paths[0]);
    close(ends[0]);
    return status;
}

enum status confine_run(const struct confine_inputs *inputs, confine_work *work,
                        void *context, struct confine_reply *reply)
{
    struct sigaction standard = {.sa_handler = SIG_DFL}, before;
    if (reply)
        *reply = (struct confine_reply){0};
    struct report *report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        return status_fail_errno("%s: can't be read", inputs->paths[0]);
    sigaction(SIGCHLD, &standard, &before); /* ignored, it would take the child's end */
    enum status status = start(inputs, work, context, report, reply);
    sigaction(SIGCHLD, &before, NULL);
    munmap(report, sizeof *report);
    if (reply && status != STATUS_OK) {
        free(reply->bytes);
        *reply = (struct confine_reply){0};
    }
    return status;
}
