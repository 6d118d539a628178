/* What the files of `tutti doctor` share.
 *
 * Every rank collects facts about its place; rank 0 gathers them, judges them with all of
 * them before it, and speaks. An experiment that needs several ranks (a file that others
 * look for, a message, a sum) leaves what it found in the place too.
 */
#ifndef TUTTI_CLI_DOCTOR_H
#define TUTTI_CLI_DOCTOR_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"

enum {
    DOCTOR_WORD = 64,
    DOCTOR_TEXT = 480,
    DOCTOR_PATH = 1024,
    DOCTOR_FINDINGS = 128,
    DOCTOR_VARIABLES = 16
};

/* A note asks for nothing; a warning costs time or will do harm some day; with a fault
 * the run fails, or is not what was meant. */
enum doctor_level { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_FAULT, DOCTOR_LEVELS };

struct finding {
    enum doctor_level level;
    char check[DOCTOR_WORD]; /* "binding" */
    char text[DOCTOR_TEXT];  /* what was found */
    char cure[DOCTOR_TEXT];  /* what to do about it; "" if nothing */
};

/* The directory as a rank sees it: 0, errno, or text. */
struct directory_facts {
    int seen;             /* 0: the file that rank 0 wrote is here, with what it wrote */
    double seen_after;    /* seconds until it was */
    int flock, fcntl;     /* shared locks, as HDF5 takes them */
    int symlink;          /* rank 0's: 0, or why there are no symbolic links */
    char h5[DOCTOR_TEXT]; /* "": rank 0's HDF5 file can be read */
    uint64_t free_bytes, free_files;
    uint64_t type; /* statfs */
};

/* Plain data; what one rank knows. */
struct place {
    int rank;
    char host[DOCTOR_WORD];
    cpu_set_t cores; /* that it may use */
    int host_cores;
    double share; /* of the container, in cores; 0: no limit */
    char core[DOCTOR_WORD], kernels[DOCTOR_WORD], processor[DOCTOR_WORD];
    char library[DOCTOR_WORD];                     /* Open MPI v4.1.4 */
    char variables[DOCTOR_VARIABLES][DOCTOR_WORD]; /* of doctor_variables; "": not set */
    uint64_t shared_total, shared_free;            /* /dev/shm */
    uint64_t left_bytes;                           /* there, of runs that have ended */
    int left_files;
    int copies; /* errno of process_vm_readv on itself, 0: allowed */
    uint64_t open_files, locked_memory, file_size, core_file; /* ulimit, soft */
    bool infiniband;
    struct directory_facts directory;
    double clock, clock_error; /* rank 0's time of day minus this one's */
    int port;                  /* 0, or why rank 0's port can't be reached */
    double flops, copied;      /* of each second, while all ranks compute */
};

/* The variables of the environment that count, as they were before MPI started. */
enum doctor_variable {
    VARIABLE_OMPI_SIZE,
    VARIABLE_PMIX_RANK,
    VARIABLE_PMI_RANK,
    VARIABLE_HYDRA_RANKS,
    VARIABLE_SLURM_JOB,
    VARIABLE_SLURM_STEP_TASKS,
    VARIABLE_SLURM_TASK,
    VARIABLE_SLURM_TASKS,
    VARIABLE_SLURM_CPUS_PER_TASK,
    VARIABLE_OMP_THREADS,
    VARIABLE_OPENBLAS_THREADS,
    VARIABLE_OPENBLAS_CORE,
    VARIABLE_H5_LOCKING,
    VARIABLES
};
extern const char *const doctor_variables[VARIABLES];

struct doctor {
    struct comm *comm; /* NULL: MPI could not be started as it should; one rank then */
    char launch_fault[STATUS_MESSAGE_SIZE]; /* why; "" else */
    int rank, ranks;
    struct options options;
    size_t parameters, products;       /* of the model; of them, in matrix products */
    char directory[DOCTOR_PATH];       /* that is tried out */
    int directory_errno;               /* rank 0: nothing can be written there */
    char directory_fault[DOCTOR_TEXT]; /* rank 0: what could not be done */
    double sync_seconds;               /* rank 0: a small file, safe on the disk */
    double sum_seconds;                /* one sum of a gradient */
    char addresses[DOCTOR_TEXT];       /* that rank 0's watchdog would listen on */
    struct place here;                 /* this rank's */
    struct place *places;              /* [ranks] on rank 0 */
    struct finding findings[DOCTOR_FINDINGS];
    size_t count;
};

/* Adds a finding; `cure` may be NULL. */
void doctor_find(struct doctor *doctor, enum doctor_level level, const char *check,
                 const char *cure, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* "rank 2 (n2)", "ranks 0-3 (n1), 4-5 (n2)", or "all ranks", of those with which[rank].
 * Returns text. */
const char *doctor_who(const struct doctor *doctor, const bool *which, char *text,
                       size_t size);

/* Is rank r the first of its host? */
bool doctor_first_of_host(const struct doctor *doctor, int r);

/* The place: what needs no other rank. Before MPI starts. */
void place_collect_early(struct place *place);
/* Did srun start this process and give it no way to find the others? Then MPI would end
 * it with words of its own. */
bool place_is_lost(const struct place *place);
void place_collect(struct doctor *doctor);
/* Experiments. Collective. */
enum status doctor_try_directory(struct doctor *doctor);
enum status doctor_try_network(struct doctor *doctor);

/* Rank 0, with all places: one or more findings each. */
void judge_launch(struct doctor *doctor);
void judge_cores(struct doctor *doctor);
void judge_processors(struct doctor *doctor);
void judge_limits(struct doctor *doctor);
void judge_directory(struct doctor *doctor);
void judge_network(struct doctor *doctor);

#endif
