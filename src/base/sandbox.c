/* sandbox: the child process, and how the parent interprets its exit status. The
 * restrictions are in sandbox_syscalls.c and sandbox_files.c.
 *
 * The outcome passes through a shared page, so that the parent knows which file was being
 * read even if the child crashes; the reply passes through a pipe. The parent trusts
 * neither.
 */
#include "sandbox_internal.h"

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

static const uint64_t base_memory = 1 << 30, memory_per_byte = 8;
static const uint64_t base_seconds = 10, bytes_per_second = 1000000;

/* Shared by parent and child; written by the child. */
struct report {
    bool complete; /* `work` has returned; the next two are valid */
    int status;
    char message[STATUS_MESSAGE_SIZE];
    bool computing;      /* the inputs have been read */
    char path[PATH_MAX]; /* being read; "": none yet */
};

/* Set in the child; NULL in every other process. */
static struct report *child_report;

/* ---- in the child ---- */

void sandbox_set_path(const char *path)
{
    if (child_report)
        snprintf(child_report->path, sizeof child_report->path, "%s", path);
}

/* Lowers the soft limit; if `permanent`, the hard limit too, so that
 * sandbox_begin_computing can't raise it again. */
static void lower_limit(int resource, uint64_t value, bool permanent)
{
    struct rlimit limits;
    if (getrlimit((__rlimit_resource_t)resource, &limits) != 0 ||
        limits.rlim_cur <= value)
        return;
    limits.rlim_cur = (rlim_t)value;
    if (permanent)
        limits.rlim_max = (rlim_t)(resource == RLIMIT_CPU ? value + 1 : value);
    setrlimit((__rlimit_resource_t)resource, &limits);
}

static void raise_limit(int resource)
{
    struct rlimit limits;
    if (getrlimit((__rlimit_resource_t)resource, &limits) != 0)
        return;
    limits.rlim_cur = limits.rlim_max;
    setrlimit((__rlimit_resource_t)resource, &limits);
}

void sandbox_begin_computing(void)
{
    if (!child_report)
        return;
    child_report->computing = true;
    if (SANITIZED)
        return;
    raise_limit(RLIMIT_DATA);
    raise_limit(RLIMIT_CPU);
}

static bool is_file(int descriptor)
{
    struct stat st;
    return fstat(descriptor, &st) == 0 && S_ISREG(st.st_mode);
}

static void limit_resources(const struct sandbox_inputs *inputs)
{
    uint64_t stored = sandbox_input_bytes(inputs);
    lower_limit(RLIMIT_DATA, base_memory + memory_per_byte * stored, !inputs->computes);
    lower_limit(RLIMIT_CPU, base_seconds + stored / bytes_per_second, !inputs->computes);
    if (!is_file(STDOUT_FILENO) && !is_file(STDERR_FILENO)) /* no output to files */
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0});
}

/* A library that is already loaded (UCX, by some MPIs) may report crashes itself. */
static void reset_crash_handlers(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTRAP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], SIG_DFL);
}

static void restrict_process(const struct sandbox_inputs *inputs)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (SANITIZED)
        return;
    reset_crash_handlers();
    limit_resources(inputs);
    prctl(PR_SET_DUMPABLE, 0); /* no core dump through a pipe either */
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    sandbox_restrict_files(inputs);
    sandbox_restrict_syscalls(inputs->computes);
}

/* Skips exit handlers, because libraries may be in any state; except in sanitizer builds,
 * whose leak check is an exit handler. */
static _Noreturn void exit_child(void)
{
    if (SANITIZED)
        exit(0);
    _exit(0);
}

static _Noreturn void child_main(const struct sandbox_inputs *inputs, sandbox_work *work,
                                 void *context, struct report *report, int pipe)
{
    child_report = report;
    restrict_process(inputs);
    FILE *reply = fdopen(pipe, "wb");
    enum status status =
        reply ? work(context, reply)
              : status_fail(STATUS_FAILED, "%s: out of memory", inputs->paths[0]);
    if (reply && fclose(reply) != 0 && status == STATUS_OK)
        status = status_fail_errno("%s: can't send what was read", inputs->paths[0]);
    fflush(stdout);
    report->status = (int)status;
    snprintf(report->message, sizeof report->message, "%s", status_message());
    report->complete = true;
    exit_child();
}

/* ---- in the parent ---- */

/* Reads until end of file. Valid replies are far smaller than REPLY_MAX. */
static enum status read_reply(int pipe, struct sandbox_reply *reply)
{
    enum { BLOCK = 1 << 16, REPLY_MAX = 1 << 30 };
    size_t capacity = 0;
    for (;;) {
        uint8_t *bytes = array_reserve(reply->bytes, &capacity, reply->size + BLOCK, 1);
        if (!bytes)
            return STATUS_FAILED;
        reply->bytes = bytes;
        ssize_t got = read(pipe, bytes + reply->size, BLOCK);
        if (got < 0 && errno != EINTR)
            return status_fail_errno("can't receive what was read");
        if (got == 0)
            return STATUS_OK;
        reply->size += got > 0 ? (size_t)got : 0;
        if (reply->size > REPLY_MAX)
            return status_fail(STATUS_FAILED, "what was read exceeds %d MiB",
                               REPLY_MAX >> 20);
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
enum { FAULT_SIGNALS = sizeof faults / sizeof *faults };

/* NULL if the signal does not indicate a fault of the child. */
static const char *fault_name(int number)
{
    for (size_t i = 0; i < FAULT_SIGNALS; i++)
        if (faults[i].number == number)
            return faults[i].name;
    return NULL;
}

static enum status signal_status(const char *path, bool computing, int number)
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

/* Ends this process by the signal that ended the child: Ctrl-C, a closed pipe, ... */
static void raise_with_default_action(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    signal(number, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
}

/* The report is untrusted. */
static enum status child_status(struct report *report, const char *first_path,
                                int wait_status)
{
    report->path[sizeof report->path - 1] = '\0';
    report->message[sizeof report->message - 1] = '\0';
    const char *path = report->path[0] ? report->path : first_path;
    if (WIFSIGNALED(wait_status) && !fault_name(WTERMSIG(wait_status)))
        raise_with_default_action(WTERMSIG(wait_status));
    if (WIFSIGNALED(wait_status))
        return signal_status(path, report->computing, WTERMSIG(wait_status));
    if (!report->complete || WEXITSTATUS(wait_status) != 0)
        return status_fail(STATUS_FAILED, "%s: reading it ended with exit code %d", path,
                           WEXITSTATUS(wait_status));
    if (report->status == STATUS_OK)
        return STATUS_OK;
    return status_fail(report->status == STATUS_MISUSE ? STATUS_MISUSE : STATUS_FAILED,
                       "%s", report->message);
}

static enum status wait_for_child(pid_t child, int pipe, struct report *report,
                                  const char *first_path, struct sandbox_reply *reply)
{
    int wait_status = 0;
    enum status received = reply ? read_reply(pipe, reply) : STATUS_OK;
    close(pipe); /* ends a child that still writes to it */
    while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR) {
    }
    if (received != STATUS_OK)
        return received;
    return child_status(report, first_path, wait_status);
}

/* Makes the child end with its parent, even if the parent has already ended. */
static void set_parent_death_signal(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

static enum status start_child(const struct sandbox_inputs *inputs, sandbox_work *work,
                               void *context, struct report *report,
                               struct sandbox_reply *reply)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return status_fail_errno("%s: can't be read", inputs->paths[0]);
    fflush(NULL); /* otherwise both processes would print it */
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        set_parent_death_signal(parent);
        close(ends[0]);
        child_main(inputs, work, context, report, ends[1]);
    }
    close(ends[1]);
    if (child > 0)
        return wait_for_child(child, ends[0], report, inputs->paths[0], reply);
    enum status status =
        status_fail_errno("%s: can't start a process to read it", inputs->paths[0]);
    close(ends[0]);
    return status;
}

enum status sandbox_run(const struct sandbox_inputs *inputs, sandbox_work *work,
                        void *context, struct sandbox_reply *reply)
{
    struct sigaction default_action = {.sa_handler = SIG_DFL}, previous;
    if (reply)
        *reply = (struct sandbox_reply){0};
    struct report *report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        return status_fail_errno("%s: can't be read", inputs->paths[0]);
    sigaction(SIGCHLD, &default_action,
              &previous); /* SIG_IGN would lose the exit status */
    enum status status = start_child(inputs, work, context, report, reply);
    sigaction(SIGCHLD, &previous, NULL);
    munmap(report, sizeof *report);
    if (reply && status != STATUS_OK) {
        free(reply->bytes);
        *reply = (struct sandbox_reply){0};
    }
    return status;
}
