/* watchdog, processes: identified and examined through /proc.
 *
 * A pid alone doesn't identify a process: other hosts and other containers on this host
 * use the same pids, and pids are reused. So a process is identified by boot id, pid
 * namespace, pid and start time, and is killed only if all of them match.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "watchdog_internal.h"
#include "base/hash.h"

/* Fields of /proc/PID/stat, counted as in proc(5). */
enum { FIELD_STATE = 3, FIELD_START = 22, FIELD_EXIT_CODE = 52, STAT_SIZE = 2048 };

static bool read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, size - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* The start of field `number`, or NULL. The second field is a name in parentheses that
 * may contain anything. */
static const char *stat_field(const char *stat, int number)
{
    const char *at = strrchr(stat, ')');
    for (int field = 2; at && field < number; field++) {
        at = strchr(at, ' ');
        at += at != NULL;
    }
    return at;
}

static bool read_stat(int32_t pid, char *stat, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%" PRId32 "/stat", pid);
    return read_text(path, stat, size) && stat_field(stat, FIELD_START) != NULL;
}

static uint64_t start_time_of(const char *stat)
{
    uint64_t start_time = 0;
    sscanf(stat_field(stat, FIELD_START), "%" SCNu64, &start_time);
    return start_time;
}

/* A hash of the boot id, of this process's namespace at `path`, and of `host`; 0:
 * unknown. */
static uint64_t namespace_hash(const char *path, const char *host)
{
    char text[512];
    int boot_length =
        read_text("/proc/sys/kernel/random/boot_id", text, 64) ? (int)strlen(text) : 0;
    ssize_t length = readlink(path, text + boot_length, 128);
    if (boot_length == 0 || length <= 0)
        return 0;
    size_t used = (size_t)boot_length + (size_t)length;
    used += (size_t)snprintf(text + used, sizeof text - used, "%.*s", WATCHDOG_HOST_SIZE,
                             host);
    return hash64(text, used);
}

uint64_t watchdog_network_id(const char *host)
{
    return namespace_hash("/proc/self/ns/net", host);
}

void watchdog_process_self(struct watchdog_process *out, int rank, const char *host)
{
    char stat[STAT_SIZE];
    *out = (struct watchdog_process){.rank = rank, .pid = (int32_t)getpid()};
    watchdog_copy_text(out->host, sizeof out->host, host);
    uint64_t pid_namespace = namespace_hash("/proc/self/ns/pid", "");
    if (pid_namespace == 0 || !read_stat(out->pid, stat, sizeof stat))
        return;
    out->pid_namespace = pid_namespace;
    out->start_time = start_time_of(stat);
}

/* Reads /proc/PID/stat; false unless the process is in this pid namespace and its start
 * time matches. */
static bool find_process(const struct watchdog_process *process, char *stat, size_t size)
{
    struct watchdog_process self;
    watchdog_process_self(&self, 0, "");
    return self.pid_namespace != 0 && self.pid_namespace == process->pid_namespace &&
           process->pid > 0 && read_stat(process->pid, stat, size) &&
           start_time_of(stat) == process->start_time;
}

struct watchdog_proc watchdog_process_query(const struct watchdog_process *process)
{
    char stat[STAT_SIZE];
    struct watchdog_proc found = {0};
    if (!find_process(process, stat, sizeof stat))
        return found;
    found.state = *stat_field(stat, FIELD_STATE);
    const char *code = stat_field(stat, FIELD_EXIT_CODE);
    if (code)
        sscanf(code, "%d", &found.exit_code);
    return found;
}

extern char **environ;

void watchdog_process_kill_remote(const struct watchdog_process *process, int ranks)
{
    struct watchdog_process self;
    const char *job = getenv("SLURM_JOB_ID"), *step = getenv("SLURM_STEP_ID");
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    char name[64];
    pid_t pid;
    watchdog_process_self(&self, 0, "");
    bool local = self.pid_namespace != 0 && self.pid_namespace == process->pid_namespace;
    if (local || !job || !step || !tasks || atoi(tasks) != ranks)
        return;
    snprintf(name, sizeof name, "%s.%s", job, step);
    char *arguments[] = {(char[]){"scancel"}, (char[]){"--quiet"},
                         (char[]){"--signal=KILL"}, name, NULL};
    posix_spawn_file_actions_t file_actions;
    posix_spawn_file_actions_init(&file_actions); /* hides scancel's errors */
    posix_spawn_file_actions_addopen(&file_actions, STDERR_FILENO, "/dev/null", O_WRONLY,
                                     0);
    posix_spawnp(&pid, arguments[0], &file_actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&file_actions);
}

void watchdog_process_kill(const struct watchdog_process *process)
{
    char stat[STAT_SIZE];
    if (process->pid != (int32_t)getpid() && find_process(process, stat, sizeof stat))
        kill(process->pid, SIGKILL);
}
