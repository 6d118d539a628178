/* resume_command: the command that resumes a run, derived from command lines as in /proc.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../src/cli/resume_command.c" /* of the program, not of the library */
#include "../src/cli/launch.c"
#include "remove_tree.h"

static const char *const variables[] = {
    "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES", "SLURM_CPUS_PER_TASK", "PMIX_RANK",
    "SLURM_JOB_ID",         "SLURM_ARRAY_JOB_ID",   "SLURM_ARRAY_TASK_ID", "ENVIRONMENT",
    "OMPI_COMM_WORLD_SIZE"};

static int forget(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    setenv("PATH", "/nowhere", 1); /* has no mpirun of another MPI */
    return 0;
}

/* Converts space-separated words to such a command line; '~' is a space within a word. */
static size_t line_of(const char *words, char *line)
{
    size_t size = strlen(words) + (*words != '\0');
    memcpy(line, words, strlen(words) + 1);
    for (size_t i = 0; i < size; i++)
        line[i] = (char)(line[i] == ' ' ? '\0' : line[i] == '~' ? ' ' : line[i]);
    return size;
}

static bool is_root;

static void assert_resume_command(const char *own, const char *parent, int ranks,
                                  const char *expected)
{
    char own_line[9000], parent_line[500], text[4096];
    struct resume_command_words words = {
        .self = own_line, .parent = parent_line, .is_root = is_root};
    words.self_size = line_of(own, own_line);
    words.parent_size = line_of(parent, parent_line);
    assert_string_equal(resume_command_text(&words, ranks, text, sizeof text), expected);
}

static void adds_resume_and_drops_inject(void **state)
{
    (void)state;
    assert_resume_command("tutti train a.conf", "-bash", 1,
                          "tutti train a.conf --resume");
    assert_resume_command("tutti train a.conf --resume", "", 1,
                          "tutti train a.conf --resume");
    assert_resume_command(
        "tutti train --resume a.conf --inject kill@1:3 --inject=slow@*:1", "", 1,
        "tutti train --resume a.conf");
    assert_resume_command("tutti train -- -a.conf", "", 1,
                          "tutti train --resume -- -a.conf");
    assert_resume_command("tutti train a~b.conf --set run.dir=it's", "", 1,
                          "tutti train 'a b.conf' --set 'run.dir=it'\\''s' --resume");
    assert_resume_command(
        "tutti train a\033]0;b\007.conf --set run.dir='\\1\n2", "", 1,
        "tutti train $'a\\033]0;b\\007.conf' --set $'run.dir=\\'\\\\1\\0122' --resume");
    assert_resume_command("tutti train \xE2\x80\xAE\xFF\xC3\xA9", "", 1,
                          "tutti train $'\\342\\200\\256\\377\\303\\251' --resume");
    assert_resume_command("tutti train \xC3\xA9", "", 1,
                          "tutti train '\xC3\xA9' --resume");
    char many[9000] = "tutti";
    for (int i = 0; i < 300; i++)
        strcat(many, " --set train.keep=1");
    assert_resume_command(many, "", 1, "the same command with --resume");
}

static void keeps_or_adds_the_launcher(void **state)
{
    (void)state;
    assert_resume_command("tutti train a.conf", "", 4,
                          "mpirun -n 4 tutti train a.conf --resume");
    assert_resume_command(
        "tutti train a.conf --inject kill@1:3",
        "/usr/bin/mpirun --oversubscribe -n 4 tutti train a.conf --inject kill@1:3", 4,
        "/usr/bin/mpirun --oversubscribe -n 4 tutti train a.conf --resume");
    assert_resume_command("tutti train a.conf",
                          "prterun --oversubscribe -n 4 tutti train a.conf", 4,
                          "mpirun --oversubscribe -n 4 tutti train a.conf --resume");
    assert_resume_command("tutti train a.conf",
                          "/nowhere/prterun -n 4 tutti train a.conf", 4,
                          "mpirun -n 4 tutti train a.conf --resume");
    assert_resume_command("tutti train a.conf", "mpiexec.hydra -n 4 tutti train a.conf",
                          4, "mpiexec.hydra -n 4 tutti train a.conf --resume");
    assert_resume_command("tutti train a.conf", "mpirun -n 4 wrapper tutti train a.conf",
                          4, "mpirun -n 4 wrapper tutti train a.conf --resume");
    assert_resume_command("tutti train a.conf", "mpirun -n 4 my-script", 4,
                          "mpirun -n 4 tutti train a.conf --resume");
    assert_resume_command("tutti train a.conf", "bash -c tutti train a.conf", 1,
                          "tutti train a.conf --resume");
    setenv("SLURM_STEP_NUM_TASKS", "4", 1);
    setenv("SLURM_STEP_NUM_NODES", "2", 1);
    setenv("PMIX_RANK", "0", 1);
    assert_resume_command(
        "tutti train a.conf", "slurmstepd: [3.0]", 4,
        "srun --mpi=pmix --kill-on-bad-exit=0 -N 2 -n 4 tutti train a.conf --resume");
    setenv("SLURM_STEP_NUM_TASKS", "2", 1); /* of mpirun's daemons */
    assert_resume_command("tutti train a.conf", "orted -mca", 4,
                          "mpirun -n 4 tutti train a.conf --resume");
}

static void allows_root_for_open_mpi(void **state)
{
    (void)state;
    is_root = true;
    assert_resume_command("tutti train a.conf", "", 1, "tutti train a.conf --resume");
    assert_resume_command("tutti train a.conf", "", 4,
                          "mpirun -n 4 tutti train a.conf --resume");
    setenv("OMPI_COMM_WORLD_SIZE", "4", 1); /* Open MPI's, which refuses root */
    assert_resume_command("tutti train a.conf", "", 4,
                          "mpirun --allow-run-as-root -n 4 tutti train a.conf --resume");
    assert_resume_command(
        "tutti train a.conf", "/usr/bin/mpirun -n 4 tutti train a.conf", 4,
        "/usr/bin/mpirun --allow-run-as-root -n 4 tutti train a.conf --resume");
    assert_resume_command("tutti train a.conf",
                          "mpirun -n 4 --allow-run-as-root tutti train a.conf", 4,
                          "mpirun -n 4 --allow-run-as-root tutti train a.conf --resume");
    is_root = false;
    assert_resume_command("tutti train a.conf", "", 4,
                          "mpirun -n 4 tutti train a.conf --resume");
}

static void requeues_a_batch_job(void **state)
{
    (void)state;
    setenv("SLURM_JOB_ID", "17", 1);
    assert_resume_command("tutti train a.conf --resume", "", 1,
                          "tutti train a.conf --resume");
    setenv("ENVIRONMENT", "BATCH", 1);
    assert_resume_command("tutti train a.conf --resume", "", 1,
                          "tutti train a.conf --resume\nscontrol requeue 17");
    assert_resume_command("tutti train a.conf", "", 1, "tutti train a.conf --resume");
    setenv("SLURM_ARRAY_JOB_ID", "15", 1);
    setenv("SLURM_ARRAY_TASK_ID", "2", 1);
    assert_resume_command("tutti train a.conf --resume", "", 1,
                          "tutti train a.conf --resume\nscontrol requeue 15_2");
}

/* A folder has the execute permission but is not a program. */
static void find_program_skips_directories(void **state)
{
    (void)state;
    char folder[] = "/tmp/tutti-go-on-XXXXXX", path[PATH_MAX], in[64], other[64],
         both[128];
    assert_non_null(mkdtemp(folder));
    snprintf(in, sizeof in, "%s/in", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    snprintf(both, sizeof both, "%s:%s", in, other);
    assert_int_equal(file_make_directories(in), STATUS_OK);
    assert_int_equal(file_make_directories(other), STATUS_OK);
    strcat(in, "/mpirun");
    strcat(other, "/mpirun");
    assert_int_equal(mkdir(in, 0777), 0);
    setenv("PATH", both, 1);
    assert_false(find_program("mpirun", path));
    assert_int_equal(file_write(other, "", 0), STATUS_OK);
    assert_false(find_program("mpirun", path));
    assert_int_equal(chmod(other, 0755), 0);
    assert_true(find_program("mpirun", path));
    assert_string_equal(path, other);
    file_remove_tree(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(adds_resume_and_drops_inject, forget),
        cmocka_unit_test_setup(keeps_or_adds_the_launcher, forget),
        cmocka_unit_test_setup(find_program_skips_directories, forget),
        cmocka_unit_test_setup(allows_root_for_open_mpi, forget),
        cmocka_unit_test_setup(requeues_a_batch_job, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
