/* rank: decides which process of a launch prints, before MPI starts and after it has
 * ended.
 *
 * A process is silent only if rank 0 of the same launch prints the same. Before MPI
 * starts, only the environment is known. It may belong to a job step without MPI, or be
 * left over from an earlier launch. A rank therefore counts only if the environment also
 * contains what MPI would use to reach the other ranks:
 *
 *   launcher                              rank        counts if there is
 *   Open MPI's mpirun, srun --mpi=pmix    PMIX_RANK   PMIX_SERVER_URI..., while the
 *                                                     server's folder is there
 *   MPICH's and Intel's mpirun,           PMI_RANK    PMI_FD, an open socket, or PMI_PORT
 *   srun --mpi=pmi2
 *   srun --mpi=none, sbatch               none: SLURM_PROCID numbers single processes
 *   left-over OMPI_COMM_WORLD_RANK, ...   none
 *
 * In doubt, a process prints: a duplicate line is better than a missing one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "base/text.h"

extern char **environ;

static bool command_uses_ranks;
static int rank_override = -1;

void cli_set_uses_ranks(bool uses_ranks)
{
    command_uses_ranks = uses_ranks;
}

void cli_set_rank(int rank)
{
    rank_override = rank;
}

static bool is_positive(const char *variable)
{
    const char *text = getenv(variable);
    int64_t number;
    return text && text_to_integer(text, &number) && number > 0;
}

static bool has_pmix_server(void)
{
    static const char prefix[] = "PMIX_SERVER_URI";
    const char *folder = getenv("PMIX_SERVER_TMPDIR");
    struct stat info;
    if (folder && stat(folder, &info) != 0 && errno == ENOENT)
        return false;
    for (char **variable = environ; *variable; variable++)
        if (strncmp(*variable, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

static bool has_pmi_server(void)
{
    const char *text = getenv("PMI_FD");
    int64_t descriptor;
    struct stat info;
    if (getenv("PMI_PORT"))
        return true;
    return text && text_to_integer(text, &descriptor) && descriptor >= 0 &&
           descriptor < sysconf(_SC_OPEN_MAX) && fstat((int)descriptor, &info) == 0 &&
           S_ISSOCK(info.st_mode);
}

bool cli_is_first_process(void)
{
    if (rank_override >= 0)
        return rank_override == 0;
    if (is_positive("PMIX_RANK") && has_pmix_server())
        return false;
    return !(is_positive("PMI_RANK") && has_pmi_server());
}

bool cli_prints(void)
{
    return !command_uses_ranks || cli_is_first_process();
}
