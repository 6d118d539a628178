/* squeue: see the header. */
#include "squeue.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/progress.h"
#include "base/text.h"

enum { ANSWER_MS = 10 * 1000, CHECK_MS = 10, ANSWER_SIZE = 512, JOB_SIZE = 64 };

extern char **environ;

/* ---- parsing ---- */

double squeue_parse(const char *text)
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

/* ---- the child process ---- */

/* Starts squeue with stdout and stderr in a pipe. Returns its process id, or -1. */
static pid_t spawn_squeue(const char *job, int output)
{
    char id[JOB_SIZE];
    snprintf(id, sizeof id, "%s", job);
    char *const arguments[] = {"squeue", "--noheader", "--jobs", id, "--format=%L", NULL};
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

/* Reads until end of file. False if it was cancelled or took too long. */
static bool read_answer(int from, int cancel, char *answer)
{
    size_t filled = 0;
    double until = clock_seconds() + ANSWER_MS / 1e3;
    struct pollfd wait[] = {{.fd = from, .events = POLLIN},
                            {.fd = cancel, .events = POLLIN}};
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
static int wait_for_end(pid_t child, int cancel)
{
    struct pollfd wait = {.fd = cancel, .events = POLLIN};
    double until = clock_seconds() + ANSWER_MS / 1e3;
    int how = -1;
    pid_t ended;
    do
        ended = waitpid(child, &how, WNOHANG);
    while (ended == 0 && clock_seconds() < until && poll(&wait, 1, CHECK_MS) == 0);
    if (ended == 0) {
        kill(child, SIGKILL);
        waitpid(child, &how, 0);
    }
    return ended > 0 && WIFEXITED(how) ? WEXITSTATUS(how) : -1;
}

/* The remaining seconds in squeue's answer, which may also contain warnings; -1: not
 * found. squeue prints INVALID for a job past its limit. */
static double find_seconds(const char *answer)
{
    char line[ANSWER_SIZE];
    for (const char *at = answer; *at; at += at[0] == '\n') {
        size_t length = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, at);
        double left = strcmp(line, "INVALID") == 0 ? 0 : squeue_parse(line);
        if (left >= 0)
            return left;
        at += length;
    }
    return -1;
}

/* Runs squeue. Its exit code is -1 if it did not exit by itself. */
static enum squeue_answer run(const char *job, int cancel, char *answer, int *code)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return SQUEUE_NOT_STARTED;
    pid_t child = spawn_squeue(job, ends[1]);
    close(ends[1]);
    bool answered = child > 0 && read_answer(ends[0], cancel, answer);
    close(ends[0]);
    if (answered) {
        *code = wait_for_end(child, cancel);
    } else if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return child < 0 ? SQUEUE_NOT_STARTED : answered ? SQUEUE_LEFT : SQUEUE_SILENT;
}

enum squeue_answer squeue_time_left(const char *job, int cancel, double *left)
{
    char answer[ANSWER_SIZE] = "";
    int code = -1;
    enum squeue_answer got = run(job, cancel, answer, &code);
    if (got != SQUEUE_LEFT)
        return got;
    *left = find_seconds(answer);
    if (*left >= 0)
        return SQUEUE_LEFT;
    if (strstr(answer, "Invalid job id")) /* it ended a while ago */
        return SQUEUE_NO_JOB;
    return code == 0 && answer[0] == '\0' ? SQUEUE_EMPTY : SQUEUE_UNCLEAR;
}
