/* resume_command: see the header. The launcher is determined from the parent's command
 * line, if the parent is mpirun, and otherwise from the environment. The parent is the
 * launcher itself in Open MPI 4 and in Open MPI 5 (whose mpirun executes prterun); in
 * MPICH a proxy process lies in between. */
#include "resume_command.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launch.h"
#include "base/file.h"

enum { CMDLINE = 1 << 15, NUMBER = 16 };
static const char prterun[] = "prterun";

/* Splits text into its null-terminated words; false if there are too many. */
static bool split(const char *text, size_t size, struct launch *out)
{
    out->count = 0;
    for (const char *at = text; at < text + size; at += strlen(at) + 1) {
        if (out->count == LAUNCH_WORDS_MAX)
            return false;
        launch_add(out, at);
    }
    return true;
}

static bool is_mpirun(const char *word)
{
    static const char *const names[] = {"mpirun", "mpiexec", "orterun", prterun};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(path_base(word), names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* Adds the launcher's name. prterun is replaced by mpirun from the same folder, or else
 * from PATH: only mpirun reads Open MPI's settings, such as those that allow root. */
static void add_launcher_name(struct launch *launch, const char *word)
{
    static char path[PATH_MAX];
    const char *base = path_base(word);
    int folder = (int)(base - word);
    if (strcmp(base, prterun) != 0) {
        launch_add(launch, word);
        return;
    }
    snprintf(path, sizeof path, "%.*smpirun", folder, word);
    launch_add(launch, folder > 0 && access(path, X_OK) == 0 ? path : launch_mpirun());
}

/* True if the parent is mpirun and its command line ends with this process's command
 * line. */
static bool ends_with(const struct launch *parent, const struct launch *self)
{
    int before = parent->count - self->count;
    for (int i = 0; i < self->count; i++)
        if (before < 1 || strcmp(parent->words[before + i], self->words[i]) != 0)
            return false;
    return self->count > 0 && is_mpirun(parent->words[0]);
}

static void add_srun(struct launch *launch, const char *tasks)
{
    const char *nodes = getenv("SLURM_STEP_NUM_NODES");
    const char *cores = getenv("SLURM_CPUS_PER_TASK");
    launch_add(launch, "srun");
    if (getenv("PMIX_RANK"))
        launch_add(launch, "--mpi=pmix");
    launch_add(launch, "--kill-on-bad-exit=0"); /* exit code 75 is not a failure */
    if (nodes) {
        launch_add(launch, "-N");
        launch_add(launch, nodes);
    }
    if (cores) {
        launch_add(launch, "-c");
        launch_add(launch, cores);
    }
    launch_add(launch, "-n");
    launch_add(launch, tasks);
}

/* Adds --allow-run-as-root for Open MPI unless `words` contain it: the variables that
 * allow root may be unset in the shell where the command is pasted. MPICH needs no flag.
 */
static void add_root_flag(struct launch *launch, const struct launch *words)
{
    static const char *const allow = "--allow-run-as-root";
    for (int i = 0; i < words->count; i++)
        if (strcmp(words->words[i], allow) == 0)
            return;
    if (getenv("OMPI_COMM_WORLD_SIZE"))
        launch_add(launch, allow);
}

static void add_launcher(struct launch *launch, const struct launch *parent,
                         const struct launch *self, const char *ranks_text, bool is_root)
{
    bool multiple = strcmp(ranks_text, "1") != 0;
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    if (ends_with(parent, self)) {
        add_launcher_name(launch, parent->words[0]);
        if (is_root)
            add_root_flag(launch, parent);
        for (int i = 1; i < parent->count - self->count; i++)
            launch_add(launch, parent->words[i]);
    } else if (multiple && tasks && strcmp(tasks, ranks_text) == 0) {
        add_srun(launch, tasks);
    } else if (multiple) {
        launch_add(launch, launch_mpirun());
        if (is_root)
            add_root_flag(launch, launch);
        launch_add(launch, "-n");
        launch_add(launch, ranks_text);
    }
}

/* Adds the words of this process, with --resume and without --inject. */
static void add_self(struct launch *launch, const struct launch *self)
{
    static const char *const resume = "--resume", *const inject = "--inject";
    bool has_resume = false;
    for (int i = 0; i < self->count; i++) {
        const char *word = self->words[i];
        if (strcmp(word, inject) == 0) {
            i++;
            continue;
        }
        if (strncmp(word, inject, strlen(inject)) == 0)
            continue;
        if (strcmp(word, "--") == 0 && !has_resume) {
            launch_add(launch, resume);
            has_resume = true;
        }
        has_resume = has_resume || strcmp(word, resume) == 0;
        launch_add(launch, word);
    }
    if (!has_resume)
        launch_add(launch, resume);
}

static bool has_resume_option(const struct launch *self)
{
    for (int i = 0; i < self->count; i++)
        if (strcmp(self->words[i], "--resume") == 0)
            return true;
    return false;
}

/* A requeued batch script runs unchanged, so it must already contain --resume. */
static void add_requeue(const struct launch *self, char *text, size_t size)
{
    const char *job = getenv("SLURM_JOB_ID"), *array = getenv("SLURM_ARRAY_JOB_ID");
    const char *task = getenv("SLURM_ARRAY_TASK_ID"), *kind = getenv("ENVIRONMENT");
    size_t used = strlen(text);
    char id[3 * NUMBER], line[LAUNCH_TEXT_SIZE];
    struct launch requeue = {.count = 0};
    if (!job || !kind || strcmp(kind, "BATCH") != 0 || !has_resume_option(self))
        return;
    snprintf(id, sizeof id, "%s%s%s", array ? array : job, array && task ? "_" : "",
             array && task ? task : "");
    launch_add_words(&requeue, "scontrol", "requeue", id, NULL);
    snprintf(text + used, size - used, "\n%s", launch_text(&requeue, line));
}

/* True if launch_text has cut the line. */
static bool is_truncated(const char *line)
{
    static const char more[] = " ...";
    size_t length = strlen(line), tail = strlen(more);
    return length >= tail && strcmp(line + length - tail, more) == 0;
}

const char *resume_command_text(const struct resume_command_words *words, int ranks,
                                char *text, size_t size)
{
    struct launch self, parent, launch = {.count = 0};
    char ranks_text[NUMBER], line[LAUNCH_TEXT_SIZE];
    snprintf(ranks_text, sizeof ranks_text, "%d", ranks);
    bool complete = split(words->self, words->self_size, &self) && self.count > 0;
    if (!split(words->parent, words->parent_size, &parent))
        parent.count = 0;
    add_launcher(&launch, &parent, &self, ranks_text, words->is_root);
    add_self(&launch, &self);
    launch_text(&launch, line);
    if (!complete || launch.count == LAUNCH_WORDS_MAX || is_truncated(line))
        snprintf(text, size, "the same command with --resume");
    else
        snprintf(text, size, "%s", line);
    add_requeue(&self, text, size);
    return text;
}

static size_t read_command_line(const char *path, char *text)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t received = 1;
    while (file >= 0 && received > 0 && used < CMDLINE - 1) {
        received = read(file, text + used, CMDLINE - 1 - used);
        used += received > 0 ? (size_t)received : 0;
    }
    if (file >= 0)
        close(file);
    text[used] = '\0';
    return used < CMDLINE - 1 ? used : 0; /* a truncated command would mislead */
}

/* Parent pid of a process; 0 if the process has ended. */
static int parent_pid(int pid)
{
    char path[64], stat[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    size_t received = file ? fread(stat, 1, sizeof stat - 1, file) : 0;
    stat[received] = '\0';
    if (file)
        fclose(file);
    const char *name_end = strrchr(stat, ')');
    int parent = 0;
    return name_end && sscanf(name_end, ") %*c %d", &parent) == 1 ? parent : 0;
}

static size_t read_process(int pid, char *text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    return read_command_line(path, text);
}

/* The command line of the launcher, if it runs on this host. */
static size_t read_launcher(char *text)
{
    static const char proxy[] = "hydra_pmi_proxy"; /* MPICH's, on each host */
    int pid = (int)getppid();
    size_t size = read_process(pid, text);
    if (size > 0 && strcmp(path_base(text), proxy) == 0)
        size = read_process(parent_pid(pid), text);
    return size;
}

const char *resume_command_of_process(int ranks, char *text, size_t size)
{
    static char self[CMDLINE], parent[CMDLINE];
    const struct resume_command_words words = {.self = self,
                                               .parent = parent,
                                               .self_size =
                                                   read_process((int)getpid(), self),
                                               .parent_size = read_launcher(parent),
                                               .is_root = geteuid() == 0};
    return resume_command_text(&words, ranks, text, size);
}
