/* launch: see the header. Open MPI's mpirun needs flags to allow root, to allow more
 * ranks than cores, and to disable binding (it often misdetects the cores of a
 * container). MPICH's mpirun needs no flags.
 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/printable.h"
#include "base/team.h"
#include "base/topology.h"
#include "comm/comm.h"

void launch_add(struct launch *launch, const char *word)
{
    if (launch->count < LAUNCH_WORDS_MAX)
        launch->words[launch->count++] = word;
    launch->words[launch->count] = NULL;
}

void launch_add_words(struct launch *launch, ...)
{
    va_list words;
    va_start(words, launch);
    for (const char *word; (word = va_arg(words, const char *));)
        launch_add(launch, word);
    va_end(words);
}

/* Finds a program in PATH; all links in `path` are resolved. */
static bool find_program(const char *name, char path[PATH_MAX])
{
    const char *folders = getenv("PATH");
    for (const char *at = folders; at && *at; at += strcspn(at, ":"), at += *at == ':') {
        char candidate[PATH_MAX];
        struct stat info;
        int length = (int)strcspn(at, ":");
        snprintf(candidate, sizeof candidate, "%.*s/%s", length, at, name);
        if (access(candidate, X_OK) == 0 && realpath(candidate, path) &&
            stat(path, &info) == 0 && S_ISREG(info.st_mode))
            return true;
    }
    return false;
}

static bool is_open_mpi(void)
{
    return strncmp(comm_library_version(), "Open MPI", strlen("Open MPI")) == 0;
}

/* Hydra is the launcher of MPICH and its derivatives. */
static bool is_launcher_of_our_mpi(const char *path)
{
    const char *base = path_base(path);
    bool hydra = strstr(base, "hydra") || strstr(base, "mpich");
    return hydra != is_open_mpi();
}

const char *launch_mpirun(void)
{
    static const char *const names[] = {"mpirun", "mpirun.openmpi", "mpirun.mpich",
                                        "mpiexec.hydra"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (find_program(names[i], path) && is_launcher_of_our_mpi(path))
            return names[i];
    return names[0];
}

void launch_add_mpirun(struct launch *launch, int ranks, const char *ranks_text)
{
    if (ranks == 1)
        return;
    launch_add(launch, launch_mpirun());
    if (is_open_mpi() && geteuid() == 0)
        launch_add(launch, "--allow-run-as-root");
    if (is_open_mpi()) {
        launch_add(launch, "--oversubscribe");
        launch_add(launch, "--bind-to");
        launch_add(launch, "none");
    }
    launch_add(launch, "-n");
    launch_add(launch, ranks_text);
}

static bool needs_no_quotes(const char *word)
{
    const char *unquoted =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        "-_./=,:+@%";
    return *word && strspn(word, unquoted) == strlen(word);
}

/* Writes one character inside $'...', which bash, ksh and zsh support. Unprintable
 * characters become three octal digits, so that a digit that follows is not parsed as
 * part of the number. */
static int write_escaped(char *to, char c)
{
    if (c == '\'' || c == '\\')
        return sprintf(to, "\\%c", c);
    if (c >= ' ' && c <= '~')
        return sprintf(to, "%c", c);
    return sprintf(to, "\\%03o", (unsigned)(unsigned char)c);
}

/* Writes one character inside '...'. */
static int write_quoted(char *to, char c)
{
    return c == '\'' ? sprintf(to, "'\\''") : sprintf(to, "%c", c);
}

/* Writes a word quoted for the shell, at most 4 * strlen + 4 bytes. */
static size_t write_word(char *to, const char *word)
{
    if (needs_no_quotes(word))
        return (size_t)sprintf(to, "%s", word);
    bool printable = printable_text(word);
    size_t used = (size_t)sprintf(to, "%s'", printable ? "" : "$");
    for (const char *c = word; *c; c++)
        used += (size_t)(printable ? write_quoted : write_escaped)(to + used, *c);
    return used + (size_t)sprintf(to + used, "'");
}

const char *launch_text(const struct launch *launch, char *text)
{
    static const char more[] = " ...";
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < launch->count; i++) {
        const char *word = launch->words[i];
        if (used + 4 * strlen(word) + sizeof more + 4 > LAUNCH_TEXT_SIZE) {
            sprintf(text + used, "%s", more);
            break;
        }
        if (i > 0)
            text[used++] = ' ';
        used += write_word(text + used, word);
    }
    return text;
}

/* Runs in the child, between fork and exec: only async-signal-safe calls are allowed. */
static bool redirect(const char *output, bool quiet)
{
    int input = open("/dev/null", O_RDONLY);
    bool ready = input >= 0 && dup2(input, STDIN_FILENO) >= 0;
    if (input > STDERR_FILENO)
        close(input);
    if (ready && output) {
        bool is_device = strcmp(output, "/dev/null") == 0;
        int flags = is_device ? 0 : O_CREAT | O_EXCL | O_NOFOLLOW;
        int file = open(output, O_WRONLY | flags, 0666);
        ready = file >= 0 && dup2(file, STDOUT_FILENO) >= 0;
        if (file > STDERR_FILENO)
            close(file);
    }
    return ready && (!quiet || dup2(STDOUT_FILENO, STDERR_FILENO) >= 0);
}

/* Terminates the child when this process ends, even by SIGKILL; a launcher then
 * terminates its ranks. The signal is sent when the *thread* that forked ends. */
static bool terminate_with_parent(pid_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent;
}

/* Executes the program, or sends errno to the pipe `error_pipe`. Ctrl-C is left to the
 * program; the parent ignores it and waits. */
static void execute(char *const *words, const char *output, bool quiet, pid_t parent,
                    int error_pipe)
{
    struct sigaction default_action = {.sa_handler = SIG_DFL};
    sigaction(SIGINT, &default_action, NULL);
    if (!terminate_with_parent(parent))
        _exit(EXIT_FAILURE);
    if (redirect(output, quiet))
        execvp(words[0], words);
    int error = errno;
    (void)!write(error_pipe, &error, sizeof error);
    _exit(EXIT_FAILURE);
}

/* Returns 0 once the program runs, or else the errno of the child, which has been reaped.
 */
static int wait_for_exec(pid_t pid, int error_pipe)
{
    int error = 0;
    ssize_t received;
    do
        received = read(error_pipe, &error, sizeof error);
    while (received < 0 && errno == EINTR);
    if (received != (ssize_t)sizeof error)
        return 0;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return error ? error : EINVAL;
}

/* Starts the command with stdout redirected to the file `output`; with `quiet`, stderr
 * too. Returns 0 or errno. */
static int spawn(const struct launch *launch, const char *output, bool quiet, pid_t *pid)
{
    char *words[LAUNCH_WORDS_MAX + 1];
    for (int i = 0; i <= launch->count; i++)
        words[i] = (char *)(uintptr_t)launch->words[i]; /* exec does not write to them */
    int error_pipe[2];
    pid_t self = getpid();
    if (pipe2(error_pipe, O_CLOEXEC) != 0)
        return errno;
    *pid = fork();
    int failure = *pid < 0 ? errno : 0;
    if (*pid == 0)
        execute(words, output, quiet, self, error_pipe[1]);
    close(error_pipe[1]);
    if (!failure)
        failure = wait_for_exec(*pid, error_pipe[0]);
    close(error_pipe[0]);
    return failure;
}

/* Ignores Ctrl-C while waiting. *state is the status from waitpid. Returns 0 or errno. */
static int spawn_and_wait(const struct launch *launch, const char *output, bool quiet,
                          int *wait_status)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, previous;
    pid_t pid = -1;
    fflush(NULL);
    sigaction(SIGINT, &ignore, &previous);
    int failure = spawn(launch, output, quiet, &pid);
    while (!failure && waitpid(pid, wait_status, 0) < 0)
        failure = errno == EINTR ? 0 : errno;
    sigaction(SIGINT, &previous, NULL);
    return failure;
}

enum status launch_run(const struct launch *launch, const char *output, int *code)
{
    char text[LAUNCH_TEXT_SIZE];
    int wait_status = 0;
    int failure = spawn_and_wait(launch, output, false, &wait_status);
    if (failure)
        return status_fail(STATUS_FAILED, "%s: can't be started: %s", launch->words[0],
                           strerror(failure));
    if (WIFSIGNALED(wait_status))
        return status_fail(STATUS_FAILED, "killed by signal %d (%s): %s",
                           WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)),
                           launch_text(launch, text));
    *code = WEXITSTATUS(wait_status);
    return STATUS_OK;
}

const char *launch_self(void)
{
    static char path[PATH_MAX];
    char working_directory[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0)
        return "tutti";
    path[length] = '\0';
    size_t prefix = getcwd(working_directory, sizeof working_directory)
                        ? strlen(working_directory)
                        : 0;
    if (prefix > 1 && strncmp(path, working_directory, prefix) == 0 &&
        path[prefix] == '/' && strchr(path + prefix + 1, '/'))
        return path + prefix + 1;
    return path;
}

int launch_cores(void)
{
    cpu_set_t set;
    team_cores(&set);
    int cores = CPU_COUNT(&set) ? CPU_COUNT(&set) : 1, limit = topology_cpu_limit("");
    return cores < limit ? cores : limit;
}

bool launch_can_start(int ranks)
{
    char number[16];
    struct launch launch = {0};
    int wait_status = 0;
    snprintf(number, sizeof number, "%d", ranks);
    launch_add_mpirun(&launch, ranks, number);
    launch_add(&launch, "true");
    return spawn_and_wait(&launch, "/dev/null", true, &wait_status) == 0 &&
           WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
}
