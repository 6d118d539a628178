/* Shared by doctor*.c.
 *
 * Every rank describes its process and host in a report, and takes part in
 * probes that need several ranks (a file that all ranks read, a port, an allreduce). Rank
 * 0 gathers the reports, checks them and prints the findings.
 */
#ifndef TUTTI_CLI_DOCTOR_H
#define TUTTI_CLI_DOCTOR_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/status.h"
#include "base/topology.h"
#include "comm/comm.h"

enum {
    DOCTOR_NAME_SIZE = 64,
    DOCTOR_TEXT_SIZE = 480,
    DOCTOR_PATH_SIZE = 1024,
    DOCTOR_FINDINGS_MAX = 128,
    DOCTOR_VARIABLES = 16
};

/* A note needs no action. A warning costs time or may cause harm. A fault makes the run
 * fail, or makes it a different run from the one intended. */
enum doctor_level { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_FAULT, DOCTOR_LEVELS };

struct finding {
    enum doctor_level level;
    char check[DOCTOR_NAME_SIZE];  /* "binding" */
    char text[DOCTOR_TEXT_SIZE];   /* what was found */
    char remedy[DOCTOR_TEXT_SIZE]; /* how to fix it; "" if none */
};

/* The run's directory as seen by a rank. */
struct directory_report {
    int visible_errno; /* 0: rank 0's file is visible with its contents; else errno */
    double visible_seconds;       /* seconds until it became visible */
    int flock_errno, fcntl_errno; /* shared locks, as HDF5 takes them: 0 or errno */
    int symlink_errno;            /* rank 0: 0, or errno of creating a symbolic link */
    char h5[DOCTOR_TEXT_SIZE];    /* "", or the error in reading rank 0's HDF5 file */
    uint64_t free_bytes, free_files;
    uint64_t type; /* f_type of statfs */
};

/* The report of one rank to rank 0. Plain data, sent as bytes. */
struct rank_report {
    int rank;
    char host[DOCTOR_NAME_SIZE];
    cpu_set_t cpus;           /* hardware threads available to the process */
    cpu_set_t cores;          /* their cores, as of topology_cores */
    cpu_set_t first_thread;   /* hardware threads available to the main thread */
    struct topology topology; /* of cpus */
    int host_cores;
    double cpu_quota; /* limit of the control group, in cores; 0: none */
    char openblas_core[DOCTOR_NAME_SIZE], kernels[DOCTOR_NAME_SIZE],
        processor[DOCTOR_NAME_SIZE];
    char mpi_library[DOCTOR_NAME_SIZE]; /* "Open MPI v4.1.4" */
    char variables[DOCTOR_VARIABLES]
                  [DOCTOR_NAME_SIZE]; /* of doctor_variables; "": not set */
    uint64_t shm_total, shm_free;     /* bytes of /dev/shm */
    uint64_t stale_bytes;             /* in /dev/shm, left by ended runs */
    int stale_segments;
    int vm_readv_errno; /* errno of process_vm_readv on the process itself; 0: allowed */
    uint64_t open_files, locked_memory, file_size, core_file; /* ulimit, soft */
    bool infiniband;
    struct directory_report directory;
    double clock_offset,
        clock_uncertainty;   /* rank 0's time of day minus this rank's, seconds */
    int port_errno;          /* 0, or errno of connecting to rank 0's port */
    double flops, copy_rate; /* FLOP/s and bytes/s, measured on all ranks at once */
};

/* Environment variables as they were before MPI started. */
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
    struct comm *comm; /* NULL: MPI could not be started, and ranks is 1 */
    char launch_error[STATUS_MESSAGE_SIZE]; /* the error; "" otherwise */
    int rank, ranks;
    struct options options; /* with train.matmul = auto resolved, if MPI was started */
    bool chose_openblas;    /* auto did */
    size_t parameters, matmul_parameters; /* of the model; weights that enter a matmul */
    char directory[DOCTOR_PATH_SIZE];     /* the probed directory */
    int directory_errno;                  /* rank 0: 0, or why it is not writable */
    char directory_error[DOCTOR_TEXT_SIZE]; /* rank 0: the failed probe and its error */
    double sync_seconds;              /* rank 0: to write a small file and sync it */
    double allreduce_seconds;         /* for one allreduce of a gradient */
    char addresses[DOCTOR_TEXT_SIZE]; /* rank 0's watchdog would listen on these */
    struct rank_report local;         /* this rank's */
    struct rank_report *reports;      /* [ranks], rank 0 only */
    struct finding findings[DOCTOR_FINDINGS_MAX];
    size_t count;
};

/* Adds a finding; `remedy` may be NULL. Ignored once there are DOCTOR_FINDINGS_MAX
 * findings. */
void doctor_add(struct doctor *doctor, enum doctor_level level, const char *check,
                const char *remedy, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Lists the ranks with affected[rank] as "rank 2 (n2)", "ranks 0-3 (n1), 4-5 (n2)" or
 * "all ranks". Returns text. Rank 0 only. */
const char *doctor_rank_list(const struct doctor *doctor, const bool *affected,
                             char *text, size_t size);

/* Rank 0 only. */
bool doctor_same_host(const struct doctor *doctor, int a, int b);
bool doctor_first_of_host(const struct doctor *doctor, int r);

/* "" or "s". */
const char *doctor_plural(int count);

bool doctor_is_set(const struct rank_report *report, enum doctor_variable variable);
/* True if the rank was started by Open MPI's launcher or by Hydra, MPICH's launcher. */
bool doctor_launched_by_mpirun(const struct rank_report *report);
bool doctor_has_open_mpi(const struct rank_report *report);
/* True with train.matmul = openblas, set or chosen by auto, which makes the bits depend on
 * the processor. */
bool doctor_uses_openblas(const struct doctor *doctor);

/* Host name and environment, before MPI starts. */
void doctor_collect_environment(struct rank_report *report);
/* True if srun started this process without PMI; MPI_Init would then abort the process.
 */
bool doctor_lacks_pmi(const struct rank_report *report);
/* Collects all other properties that need no probe into doctor->local. */
void doctor_collect_host(struct doctor *doctor);
/* Run the probes; results go into doctor->local. Collective. */
enum status doctor_probe_directory(struct doctor *doctor);
enum status doctor_probe_network(struct doctor *doctor);

/* The threads of each rank. */
int doctor_threads(const struct doctor *doctor);
/* The launch, in the words of mpirun and srun, of the layout that suits the model and
 * rank 0's node. Returns text. Rank 0 only. */
/* Hardware threads of a core: srun's --cpus-per-task counts these, mpirun's PE cores. */
int doctor_cpus_per_core(const struct doctor *doctor);

const char *doctor_recommended_launch(const struct doctor *doctor,
                                      char text[DOCTOR_TEXT_SIZE]);

/* Each adds its findings. Rank 0, after all reports have been gathered. */
void doctor_check_launch(struct doctor *doctor);
void doctor_check_cores(struct doctor *doctor);
void doctor_check_layout(struct doctor *doctor);
void doctor_check_processors(struct doctor *doctor);
void doctor_check_limits(struct doctor *doctor);
void doctor_check_directory(struct doctor *doctor);
void doctor_check_network(struct doctor *doctor);

#endif
