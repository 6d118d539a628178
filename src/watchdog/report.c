/* watchdog, report: the root-cause report, first on stderr and then in a file.
 *
 * The cause may be a file system that doesn't respond, so a separate thread writes the
 * file, and the wait for it is limited to a second. The wait for a terminal or pipe that
 * nobody reads is limited, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "watchdog_internal.h"
#include "base/file.h"
#include "base/printable.h"
#include "base/progress.h"

static const char report_prefix[] = "tutti: root cause: ";

/* ---- the text ---- */

static const struct {
    int number;
    const char *name;
} signals[] = {
    {SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"},
    {SIGILL, "SIGILL"},   {SIGTRAP, "SIGTRAP"}, {SIGABRT, "SIGABRT"},
    {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},   {SIGKILL, "SIGKILL"},
    {SIGUSR1, "SIGUSR1"}, {SIGSEGV, "SIGSEGV"}, {SIGUSR2, "SIGUSR2"},
    {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"},
    {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"}, {SIGSYS, "SIGSYS"},
};

static const char *signal_name(int number)
{
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (signals[i].number == number)
            return signals[i].name;
    return "?";
}

static const char *describe_silence(const struct watchdog_process *process)
{
    switch (watchdog_process_query(process).state) {
    case 'T':
    case 't':
        return "it is stopped (SIGSTOP, or a debugger)";
    case 'D':
        return "it is blocked in the kernel, for example by a file system that doesn't "
               "respond";
    case 'R':
    case 'S':
        return "it is running, but its connection is lost";
    default:
        return "it is stopped, or its host is down";
    }
}

/* `number` is a waitpid status, or 0. */
static int describe_loss(int number, char *text, size_t size)
{
    if (WIFSIGNALED(number))
        return snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(number),
                        signal_name(WTERMSIG(number)));
    if (number != 0)
        return snprintf(text, size, "exited with code %d, without a crash message",
                        WEXITSTATUS(number));
    return snprintf(text, size,
                    "was killed without a crash message: by SIGKILL (a user, the "
                    "out-of-memory killer, the batch system), or its host went down");
}

/* "was killed by signal 9 (SIGKILL)": follows the name of the rank. */
static void describe_cause(const struct watchdog_cause *cause, char *text, size_t size)
{
    int used;
    switch (cause->reason) {
    case CAUSE_SIGNAL:
        snprintf(text, size, "was killed by signal %d (%s)", cause->number,
                 signal_name(cause->number));
        break;
    case CAUSE_EXIT:
        snprintf(text, size, "exited with code %d during the run", cause->number);
        break;
    case CAUSE_FAILED:
        used = snprintf(text, size, "ended the run: ");
        printable_copy(text + used, size - (size_t)used, cause->text);
        break;
    case CAUSE_HANG:
        snprintf(text, size, "hangs: no progress for %.0f s in phase %s", cause->seconds,
                 phase_name(cause->peer->phase));
        break;
    case CAUSE_SILENT:
        snprintf(text, size, "has sent no heartbeat for %.0f s: %s", cause->seconds,
                 describe_silence(&cause->peer->process));
        break;
    case CAUSE_ORPHANED:
        snprintf(text, size, "has lost its launcher: process %d is gone", cause->number);
        break;
    default:
        describe_loss(cause->number, text, size);
        break;
    }
}

size_t watchdog_format_report(const struct watchdog_cause *cause, double now,
                              const char *checkpoint, const char *command, char *text,
                              size_t size)
{
    const struct watchdog_peer *peer = cause->peer;
    char event[WATCHDOG_TEXT_SIZE + 64], subject[WATCHDOG_HOST_SIZE + 64],
        host[WATCHDOG_HOST_SIZE];
    printable_copy(host, sizeof host, peer->process.host);
    snprintf(subject, sizeof subject, "rank %" PRId32 " (%s, pid %" PRId32 ")",
             peer->process.rank, host, peer->process.pid);
    describe_cause(cause, event, sizeof event);
    if (cause->reason == CAUSE_ALL_WAIT) {
        snprintf(subject, sizeof subject, "all ranks have waited for each other");
        snprintf(event, sizeof event, "for %.0f s", cause->seconds);
    }
    int first = (int)strcspn(command, "\n"); /* of at most two lines */
    const char *alternative = command[first] ? command + first + 1 : NULL;
    int length =
        snprintf(text, size,
                 "%s%s %s\n"
                 "  last seen      step %" PRId64 ", %s, %.1f s ago\n"
                 "  checkpoint     %s\n"
                 "  resume with    %.*s\n%s%s%s",
                 report_prefix, subject, event, peer->step, phase_name(peer->phase),
                 now - peer->last_heartbeat, *checkpoint ? checkpoint : "none yet", first,
                 command, alternative ? "  or             " : "",
                 alternative ? alternative : "", alternative ? "\n" : "");
    return (size_t)length < size ? (size_t)length : size - 1;
}

/* ---- stderr ---- */

void watchdog_print(const char *text)
{
    enum { TIMEOUT_MS = 1000, CHUNK = 2048 };    /* a ready pipe accepts a page */
    static const char clear_line[] = "\r\033[K"; /* erases a progress line */
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    size_t remaining = strlen(text);
    if (isatty(STDERR_FILENO) && poll(&ready, 1, TIMEOUT_MS) == 1 &&
        write(STDERR_FILENO, clear_line, sizeof clear_line - 1) < 0)
        return;
    while (remaining > 0 && poll(&ready, 1, TIMEOUT_MS) == 1) {
        ssize_t written =
            write(STDERR_FILENO, text, remaining < CHUNK ? remaining : CHUNK);
        if (written <= 0)
            return;
        text += written;
        remaining -= (size_t)written;
    }
}

/* ---- the file ---- */

enum file_outcome { FILE_PENDING, FILE_CREATED, FILE_EXISTS, FILE_FAILED };

/* The thread's argument; never freed, as the process is about to end. */
struct file_task {
    const char *path;
    char *text;
    bool replaces_existing; /* another rank's report */
    atomic_int outcome;     /* enum file_outcome */
    atomic_bool done;
};

/* Opens a report of another rank, which may still be empty; -1 for any other file. */
static int open_report(const char *path)
{
    char prefix[sizeof report_prefix] = "";
    int file = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : pread(file, prefix, sizeof prefix - 1, 0);
    if (length == 0 || (length > 0 && strcmp(prefix, report_prefix) == 0))
        return file;
    if (file >= 0)
        close(file);
    return -1;
}

/* Creates the file, or truncates another rank's report. Never writes to a link or to a
 * file of another kind. Returns a descriptor or -1; *outcome: FILE_CREATED, FILE_EXISTS
 * or FILE_FAILED. */
static int create_or_replace(const struct file_task *task, int *outcome)
{
    int file =
        open(task->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    bool exists = file < 0 && errno == EEXIST;
    if (exists)
        file = open_report(task->path);
    *outcome = file < 0                             ? FILE_FAILED
               : exists && !task->replaces_existing ? FILE_EXISTS
                                                    : FILE_CREATED;
    if (*outcome == FILE_EXISTS || (exists && file >= 0 && ftruncate(file, 0) != 0)) {
        close(file);
        file = -1;
    }
    return file;
}

static void *write_report_file(void *argument)
{
    struct file_task *task = argument;
    int outcome, file = create_or_replace(task, &outcome);
    atomic_store(&task->outcome, outcome);
    if (file >= 0 && write(file, task->text, strlen(task->text)) >= 0)
        close(file);
    atomic_store(&task->done, true);
    return NULL;
}

static void sleep_1ms(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static struct file_task *start_report_file(struct watchdog *watchdog, const char *text,
                                           bool replaces_existing)
{
    struct file_task *task = calloc(1, sizeof *task);
    char *path = path_join(watchdog->directory, "root-cause.txt");
    pthread_t thread;
    if (!task || !path || !(task->text = strdup(text)))
        return NULL;
    task->path = path;
    task->replaces_existing = replaces_existing;
    if (pthread_create(&thread, NULL, write_report_file, task) != 0)
        return NULL;
    pthread_detach(thread);
    return task;
}

static void wait_for_file(struct file_task *task, double seconds)
{
    double deadline = clock_seconds() + seconds;
    while (task && !atomic_load(&task->done) && clock_seconds() < deadline)
        sleep_1ms();
}

void watchdog_report(struct watchdog *watchdog, const char *text)
{
    watchdog_print(text);
    wait_for_file(start_report_file(watchdog, text, true), 1);
}

void watchdog_report_once(struct watchdog *watchdog, const char *text, bool fallback)
{
    /* the launcher kills this process within a second */
    const double timeout_seconds = 0.5;
    double deadline = clock_seconds() + timeout_seconds;
    struct file_task *task = start_report_file(watchdog, text, false);
    while (task && atomic_load(&task->outcome) == FILE_PENDING &&
           clock_seconds() < deadline)
        sleep_1ms();
    int outcome = task ? atomic_load(&task->outcome) : FILE_FAILED;
    if (outcome == FILE_CREATED || (outcome != FILE_EXISTS && fallback))
        watchdog_print(text);
    wait_for_file(task, timeout_seconds);
}

/* ---- the checkpoint ---- */

struct path_check { /* never freed, like struct file_task */
    char *path;
    atomic_bool missing, done;
};

static void *check_path(void *argument)
{
    struct path_check *task = argument;
    bool missing = access(task->path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);
    atomic_store(&task->missing, missing);
    atomic_store(&task->done, true);
    return NULL;
}

bool watchdog_path_is_missing(const char *path)
{
    const double timeout_seconds = 0.2;
    double deadline = clock_seconds() + timeout_seconds;
    struct path_check *task = calloc(1, sizeof *task);
    pthread_t thread;
    if (!task || !(task->path = strdup(path)) ||
        pthread_create(&thread, NULL, check_path, task) != 0)
        return false;
    pthread_detach(thread);
    while (!atomic_load(&task->done) && clock_seconds() < deadline)
        sleep_1ms();
    return atomic_load(&task->missing);
}
