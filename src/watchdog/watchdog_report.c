/* watchdog, report: the one block, to stderr first and then to a file.
 *
 * A file system that doesn't answer may be the very thing that is reported, so the file
 * is made by a thread that nobody waits for longer than a second; and a terminal or pipe
 * that nobody reads is not waited for either.
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

static const char report_words[] = "tutti: root cause: ";

/* ---- words ---- */

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

const char *watchdog_signal_name(int number)
{
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (signals[i].number == number)
            return signals[i].name;
    return "?";
}

static const char *stopped_how(const struct watchdog_process *process)
{
    switch (watchdog_process_look(process).state) {
    case 'T':
    case 't':
        return "it is stopped (SIGSTOP, or a debugger)";
    case 'D':
        return "it waits in the kernel, as for a file system that doesn't answer";
    case 'R':
    case 'S':
        return "it is there, but its connection is not";
    default:
        return "it is stopped, or its host is gone";
    }
}

/* `number` is what waitpid would give, or 0. */
static int lost_how(int number, char *text, size_t size)
{
    if (WIFSIGNALED(number))
        return snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(number),
                        watchdog_signal_name(WTERMSIG(number)));
    if (number != 0)
        return snprintf(text, size, "left with exit code %d, without a word",
                        WEXITSTATUS(number));
    return snprintf(text, size,
                    "was killed without a word: by SIGKILL (by hand, for want of memory, "
                    "by the batch system), or its host has gone down");
}

/* "was killed by signal 9 (SIGKILL)", behind the name of the rank. */
static void what_happened(const struct watchdog_cause *cause, char *text, size_t size)
{
    int used;
    switch (cause->reason) {
    case CAUSE_SIGNAL:
        snprintf(text, size, "was killed by signal %d (%s)", cause->number,
                 watchdog_signal_name(cause->number));
        break;
    case CAUSE_EXIT:
        snprintf(text, size, "left with exit code %d in the middle of the run",
                 cause->number);
        break;
    case CAUSE_FAILED:
        used = snprintf(text, size, "ended the run: ");
        printable_copy(text + used, size - (size_t)used, cause->text);
        break;
    case CAUSE_HANGS:
        snprintf(text, size, "hangs: in phase %s since %.0f s",
                 phase_name(cause->member->phase), cause->seconds);
        break;
    case CAUSE_UNHEARD:
        snprintf(text, size, "has not been heard of for %.0f s: %s", cause->seconds,
                 stopped_how(&cause->member->process));
        break;
    case CAUSE_ORPHANED:
        snprintf(text, size, "has lost its launcher: process %d is gone", cause->number);
        break;
    default:
        lost_how(cause->number, text, size);
        break;
    }
}

size_t watchdog_block(const struct watchdog_cause *cause, double now,
                      const char *checkpoint, const char *command, char *text,
                      size_t size)
{
    const struct watchdog_member *member = cause->member;
    char what[WATCHDOG_TEXT + 64], who[WATCHDOG_HOST + 64], host[WATCHDOG_HOST];
    printable_copy(host, sizeof host, member->process.host);
    snprintf(who, sizeof who, "rank %" PRId32 " (%s, pid %" PRId32 ")",
             member->process.rank, host, member->process.pid);
    what_happened(cause, what, sizeof what);
    if (cause->reason == CAUSE_ALL_WAIT) {
        snprintf(who, sizeof who, "all ranks wait for each other");
        snprintf(what, sizeof what, "since %.0f s", cause->seconds);
    }
    int first = (int)strcspn(command, "\n"); /* of at most two ways */
    const char *other = command[first] ? command + first + 1 : NULL;
    int length = snprintf(
        text, size,
        "%s%s %s\n"
        "  last seen      step %" PRId64 ", %s, %.1f s ago\n"
        "  checkpoint     %s\n"
        "  resume with    %.*s\n%s%s%s",
        report_words, who, what, member->step, phase_name(member->phase),
        now - member->heard, *checkpoint ? checkpoint : "none yet", first, command,
        other ? "  or             " : "", other ? other : "", other ? "\n" : "");
    return (size_t)length < size ? (size_t)length : size - 1;
}

/* ---- stderr ---- */

void watchdog_print(const char *text)
{
    enum { PATIENCE = 1000, PIECE = 2048 }; /* a pipe that is ready takes a page */
    static const char clear[] = "\r\033[K"; /* what is left of a line of progress */
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    size_t left = strlen(text);
    if (isatty(STDERR_FILENO) && poll(&ready, 1, PATIENCE) == 1 &&
        write(STDERR_FILENO, clear, sizeof clear - 1) < 0)
        return;
    while (left > 0 && poll(&ready, 1, PATIENCE) == 1) {
        ssize_t put = write(STDERR_FILENO, text, left < PIECE ? left : PIECE);
        if (put <= 0)
            return;
        text += put;
        left -= (size_t)put;
    }
}

/* ---- the file ---- */

enum { ASKED, MADE, EXISTS, FAILED };

/* What the thread needs; never freed, for the process is about to end. */
struct file_task {
    const char *path;
    char *text;
    bool replaces;   /* another rank's report */
    atomic_int made; /* ASKED, then what became of it */
    atomic_bool done;
};

/* Opens another rank's report, which may still be empty; -1 for anything else. */
static int open_report(const char *path)
{
    char words[sizeof report_words] = "";
    int file = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : pread(file, words, sizeof words - 1, 0);
    if (got == 0 || (got > 0 && strcmp(words, report_words) == 0))
        return file;
    if (file >= 0)
        close(file);
    return -1;
}

/* Creates the file, or empties another rank's report. Neither a link nor a file of
 * another kind is written to. Returns the descriptor or -1, and what became of it. */
static int create_or_replace(const struct file_task *task, int *made)
{
    int file =
        open(task->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    bool exists = file < 0 && errno == EEXIST;
    if (exists)
        file = open_report(task->path);
    *made = file < 0 ? FAILED : exists && !task->replaces ? EXISTS : MADE;
    if (*made == EXISTS || (exists && file >= 0 && ftruncate(file, 0) != 0)) {
        close(file);
        file = -1;
    }
    return file;
}

static void *make_file(void *argument)
{
    struct file_task *task = argument;
    int made, file = create_or_replace(task, &made);
    atomic_store(&task->made, made);
    if (file >= 0 && write(file, task->text, strlen(task->text)) >= 0)
        close(file);
    atomic_store(&task->done, true);
    return NULL;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static struct file_task *start_file(struct watchdog *watchdog, const char *text,
                                    bool replaces)
{
    struct file_task *task = calloc(1, sizeof *task);
    char *path = path_join(watchdog->directory, "root-cause.txt");
    pthread_t thread;
    if (!task || !path || !(task->text = strdup(text)))
        return NULL;
    task->path = path;
    task->replaces = replaces;
    if (pthread_create(&thread, NULL, make_file, task) != 0)
        return NULL;
    pthread_detach(thread);
    return task;
}

static void wait_done(struct file_task *task, double seconds)
{
    double until = clock_seconds() + seconds;
    while (task && !atomic_load(&task->done) && clock_seconds() < until)
        nap();
}

void watchdog_tell(struct watchdog *watchdog, const char *text)
{
    watchdog_print(text);
    wait_done(start_file(watchdog, text, true), 1);
}

void watchdog_tell_once(struct watchdog *watchdog, const char *text, bool fallback)
{
    const double patience = 0.5; /* the launcher leaves no more than a second */
    double until = clock_seconds() + patience;
    struct file_task *task = start_file(watchdog, text, false);
    while (task && atomic_load(&task->made) == ASKED && clock_seconds() < until)
        nap();
    int made = task ? atomic_load(&task->made) : FAILED;
    if (made == MADE || (made != EXISTS && fallback))
        watchdog_print(text);
    wait_done(task, patience);
}

/* ---- is the checkpoint still there? ---- */

struct look { /* never freed, as struct file_task */
    char *path;
    atomic_bool gone, done;
};

static void *look(void *argument)
{
    struct look *task = argument;
    bool gone = access(task->path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);
    atomic_store(&task->gone, gone);
    atomic_store(&task->done, true);
    return NULL;
}

bool watchdog_is_gone(const char *path)
{
    const double patience = 0.2;
    double until = clock_seconds() + patience;
    struct look *task = calloc(1, sizeof *task);
    pthread_t thread;
    if (!task || !(task->path = strdup(path)) ||
        pthread_create(&thread, NULL, look, task) != 0)
        return false;
    pthread_detach(thread);
    while (!atomic_load(&task->done) && clock_seconds() < until)
        nap();
    return atomic_load(&task->gone);
}
