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

enum { TIMEOUT_MS = 10 * 1000, POLL_MS = 10, OUTPUT_SIZE = 512, JOB_SIZE = 64 };

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
static pid_t spawn_squeue(const char *job, int output_fd)
{
    char id[JOB_SIZE];
    snprintf(id, sizeof id, "%s", job);
    char *const arguments[] = {"squeue", "--noheader", "--jobs", id, "--format=%L", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t empty;
    pid_t child = -1;
    sigemptyset(&empty);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &empty);
    if (posix_spawnp(&child, arguments[0], &actions, &attributes, arguments, environ) !=
        0)
        child = -1;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return child;
}

/* Reads until end of file. False if it was cancelled or took too long. */
static bool read_output(int from, int cancel_fd, char *output)
{
    size_t filled = 0;
    double deadline = clock_seconds() + TIMEOUT_MS / 1e3;
    struct pollfd wait[] = {{.fd = from, .events = POLLIN},
                            {.fd = cancel_fd, .events = POLLIN}};
    for (;;) {
        double left = deadline - clock_seconds();
        int ready = left > 0 ? poll(wait, 2, (int)(left * 1e3) + 1) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0 || wait[1].revents)
            return false;
        ssize_t received = read(from, output + filled, OUTPUT_SIZE - 1 - filled);
        if (received <= 0)
            break;
        filled += (size_t)received;
    }
    output[filled] = '\0';
    return true;
}

/* Waits for a child that has closed its output, or kills it after a while. Returns its
 * exit code, or -1. */
static int wait_for_exit(pid_t child, int cancel_fd)
{
    struct pollfd wait = {.fd = cancel_fd, .events = POLLIN};
    double deadline = clock_seconds() + TIMEOUT_MS / 1e3;
    int wait_status = -1;
    pid_t ended;
    do
        ended = waitpid(child, &wait_status, WNOHANG);
    while (ended == 0 && clock_seconds() < deadline && poll(&wait, 1, POLL_MS) == 0);
    if (ended == 0) {
        kill(child, SIGKILL);
        waitpid(child, &wait_status, 0);
    }
    return ended > 0 && WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
}

/* The remaining seconds in squeue's output, which may also contain warnings; -1: not
 * found. squeue prints INVALID for a job past its limit. */
static double parse_output(const char *output)
{
    char line[OUTPUT_SIZE];
    for (const char *at = output; *at; at += at[0] == '\n') {
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
static enum squeue_result run_squeue(const char *job, int cancel_fd, char *output,
                                     int *code)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return SQUEUE_NOT_STARTED;
    pid_t child = spawn_squeue(job, fds[1]);
    close(fds[1]);
    bool completed = child > 0 && read_output(fds[0], cancel_fd, output);
    close(fds[0]);
    if (completed) {
        *code = wait_for_exit(child, cancel_fd);
    } else if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return child < 0 ? SQUEUE_NOT_STARTED : completed ? SQUEUE_OK : SQUEUE_TIMEOUT;
}

enum squeue_result squeue_time_left(const char *job, int cancel_fd, double *left)
{
    char output[OUTPUT_SIZE] = "";
    int code = -1;
    enum squeue_result result = run_squeue(job, cancel_fd, output, &code);
    if (result != SQUEUE_OK)
        return result;
    *left = parse_output(output);
    if (*left >= 0)
        return SQUEUE_OK;
    if (strstr(output, "Invalid job id")) /* it ended a while ago */
        return SQUEUE_NO_JOB;
    return code == 0 && output[0] == '\0' ? SQUEUE_EMPTY : SQUEUE_UNPARSABLE;
}
