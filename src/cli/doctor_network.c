/* doctor_network: shared memory on a host, the watchdog's port, the allreduce, clocks,
 * and the speed of each rank while all ranks compute. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "doctor.h"
#include "base/file.h"
#include "base/progress.h"
#include "comm/comm_allreduce.h"
#include "comm/comm_clock_offset.h"
#include "kernels/matmul.h"
#include "watchdog/watchdog.h"

static const char shared_memory[] = "/dev/shm";

/* ---- shared memory ---- */

enum { LEFTOVERS_MAX = 512 };

/* Open MPI's files in shared memory; some may belong to runs that have ended. */
struct leftovers {
    int count;
    bool mapped[LEFTOVERS_MAX];
    char names[LEFTOVERS_MAX][DOCTOR_NAME];
    uint64_t bytes[LEFTOVERS_MAX];
};

static bool is_of_open_mpi(const char *name)
{
    static const char *const beginnings[] = {"vader_segment.", "osc_sm.", "sm_segment."};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
            return strlen(name) < DOCTOR_NAME;
    return false;
}

/* Lists the segments of this user, which no other user can remove. A segment younger than
 * a minute may belong to a run that is still starting. */
static void list_segments(struct leftovers *leftovers)
{
    const time_t young = 60;
    DIR *directory = opendir(shared_memory);
    for (struct dirent *at; directory && (at = readdir(directory));) {
        struct stat facts;
        if (leftovers->count == LEFTOVERS_MAX || !is_of_open_mpi(at->d_name) ||
            fstatat(dirfd(directory), at->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0 ||
            facts.st_uid != geteuid() || time(NULL) - facts.st_mtime < young)
            continue;
        snprintf(leftovers->names[leftovers->count], DOCTOR_NAME, "%.*s", DOCTOR_NAME - 1,
                 at->d_name);
        leftovers->bytes[leftovers->count++] = (uint64_t)facts.st_blocks * 512;
    }
    if (directory)
        closedir(directory);
}

/* Marks the segments that the process `pid` has mapped. */
static void mark_mapped(struct leftovers *leftovers, const char *pid)
{
    char name[DOCTOR_NAME], line[1024];
    snprintf(name, sizeof name, "/proc/%.32s/maps", pid);
    FILE *file = fopen(name, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (!strstr(line, shared_memory))
            continue;
        for (int i = 0; i < leftovers->count; i++)
            leftovers->mapped[i] |= strstr(line, leftovers->names[i]) != NULL;
    }
    if (file)
        fclose(file);
}

static void count_leftovers(struct rank_report *report)
{
    struct leftovers *leftovers = calloc(1, sizeof *leftovers);
    if (!leftovers)
        return;
    list_segments(leftovers);
    DIR *processes = leftovers->count ? opendir("/proc") : NULL;
    for (struct dirent *at; processes && (at = readdir(processes));)
        if (at->d_name[0] >= '0' && at->d_name[0] <= '9')
            mark_mapped(leftovers, at->d_name);
    for (int i = 0; processes && i < leftovers->count; i++) {
        report->leftover_files += !leftovers->mapped[i];
        report->leftover_bytes += leftovers->mapped[i] ? 0 : leftovers->bytes[i];
    }
    if (processes)
        closedir(processes);
    free(leftovers);
}

static void measure_shared_memory(struct rank_report *report)
{
    struct statvfs space;
    if (statvfs(shared_memory, &space) != 0)
        return;
    report->shared_total = (uint64_t)space.f_blocks * space.f_frsize;
    report->shared_free = (uint64_t)space.f_bavail * space.f_frsize;
    count_leftovers(report);
}

/* ---- the port ---- */

/* Listens and connects in the same way as the watchdog of a run. Collective. */
static enum status probe_port(struct doctor *doctor)
{
    return watchdog_probe(doctor->comm, doctor->options.run.interface, &doctor->own.port,
                          doctor->addresses, sizeof doctor->addresses);
}

/* ---- the allreduce ---- */

enum { SUM_ROUNDS = 4 };

static double slowest(struct doctor *doctor, double seconds)
{
    const double nanosecond = 1e-9;
    return nanosecond *
           (double)comm_max_i64(doctor->comm, (int64_t)(seconds / nanosecond));
}

/* Times the fastest of SUM_ROUNDS - 1 allreduces of a complete gradient, after one
 * warm-up. */
static enum status time_sums(struct doctor *doctor, struct comm_allreduce *sum)
{
    enum status status = STATUS_OK;
    for (int round = 0; round < SUM_ROUNDS && status == STATUS_OK; round++) {
        comm_barrier(doctor->comm);
        double began = clock_seconds();
        status = comm_allreduce_start(sum);
        if (status == STATUS_OK)
            status = comm_allreduce_wait(sum);
        double took = slowest(doctor, clock_seconds() - began);
        if (round == 1 || (round > 1 && took < doctor->sum_seconds))
            doctor->sum_seconds = took;
    }
    return status;
}

static enum status probe_sum(struct doctor *doctor)
{
    struct comm_allreduce *sum = NULL;
    struct comm_memory *memory = NULL;
    enum status status =
        comm_agree(doctor->comm,
                   comm_memory_create(doctor->comm, doctor->parameters * sizeof(int64_t),
                                      1, &memory));
    if (status == STATUS_OK)
        status = comm_allreduce_init(doctor->comm, memory, COMM_I64,
                                     comm_memory_block(memory), doctor->parameters, &sum);
    if (status == STATUS_OK)
        status = time_sums(doctor, sum);
    comm_allreduce_free(sum);
    comm_memory_free(memory);
    return status;
}

/* ---- speed ---- */

enum { ROWS = 8, OUTPUTS = 2048, INPUTS = 512, COPIED = 1 << 22 /* floats */ };
static const double speed_seconds = 0.1;

static double time_products(const struct matmul_weights *packed, float *x, float *y)
{
    const float *from[ROWS];
    float *to[ROWS];
    for (int i = 0; i < ROWS; i++) {
        from[i] = x + (size_t)i * INPUTS;
        to[i] = y + (size_t)i * OUTPUTS;
    }
    double began = clock_seconds(), took = 0, flops = 0;
    for (; took < speed_seconds; took = clock_seconds() - began) {
        matmul(packed, ROWS, from, to, MATMUL_ACCUMULATE, false);
        flops += 2.0 * ROWS * OUTPUTS * INPUTS;
    }
    return flops / took;
}

/* Bytes/s read and written by copying buffers that exceed every cache. */
static double time_copies(float *from, float *to)
{
    double began = clock_seconds(), took = 0, bytes = 0;
    for (; took < speed_seconds; took = clock_seconds() - began) {
        memcpy(to, from, COPIED * sizeof *to);
        bytes += 2.0 * COPIED * sizeof *to;
        from[(size_t)bytes % COPIED] += 1; /* so that no copy is optimised away */
    }
    return bytes / took;
}

/* Memory for probe_speed: two halves of COPIED floats, and packed weights. */
static float *plan_speed(struct arena *arena, struct matmul_weights *packed)
{
    matmul_weights_plan(&matmul_float32, OUTPUTS, INPUTS, false, arena, packed);
    return arena_array(arena, 2 * (size_t)COPIED, sizeof(float));
}

static enum status probe_speed(struct doctor *doctor)
{
    struct arena arena = {0};
    struct matmul_weights packed;
    plan_speed(&arena, &packed);
    enum status status = arena_allocate(&arena)
                             ? STATUS_OK
                             : status_fail(STATUS_FAILED, "no memory for the speed test");
    if (doctor->comm)
        status = comm_agree(doctor->comm, status);
    if (status == STATUS_OK) {
        float *block = plan_speed(&arena, &packed);
        matmul_weights_pack(&packed, block);
        if (doctor->comm)
            comm_barrier(doctor->comm);
        doctor->own.flops = time_products(&packed, block, block + (size_t)ROWS * INPUTS);
        doctor->own.copied = time_copies(block, block + COPIED);
    }
    arena_free(&arena);
    return status;
}

/* ---- all probes ---- */

static double time_of_day(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

enum status doctor_probe_network(struct doctor *doctor)
{
    struct rank_report *here = &doctor->own;
    enum status status = STATUS_OK;
    measure_shared_memory(here);
    if (doctor->comm && doctor->ranks > 1) {
        status =
            comm_agree(doctor->comm, comm_clock_offset(doctor->comm, time_of_day,
                                                       &here->clock, &here->clock_error));
        if (status == STATUS_OK)
            status = probe_port(doctor);
        if (status == STATUS_OK)
            status = probe_sum(doctor);
    }
    return status == STATUS_OK ? probe_speed(doctor) : status;
}

/* ---- checks ---- */

/* Open MPI allocates a segment of 4 MB per process (btl_vader_segment_size; Open MPI 5:
 * btl_sm_segment_size). */
static const double segment_bytes = 4 << 20, megabyte = 1e6;

static void check_shared_memory(struct doctor *doctor)
{
    bool fine = true;
    for (int host = 0; host < doctor->ranks; host++) {
        const struct rank_report *report = &doctor->reports[host];
        int ranks = 0;
        if (!doctor_first_of_host(doctor, host))
            continue;
        for (int r = host; r < doctor->ranks; r++)
            ranks += strcmp(doctor->reports[r].host, report->host) == 0;
        /* one process: assume one rank per core */
        double need = segment_bytes * (doctor->ranks == 1 ? report->host_cores : ranks);
        if ((double)report->shared_total < need) {
            fine = false;
            doctor_add(doctor, doctor->ranks == 1 ? DOCTOR_NOTE : DOCTOR_WARNING,
                       "shared memory",
                       "mount -o remount,size=1G /dev/shm; docker --shm-size=1g; or "
                       "OMPI_MCA_btl_vader_backing_directory=/tmp (Open MPI 5: btl_sm)",
                       "%s on %s has %.0f MB, %.0f MB free; Open MPI needs %.0f MB for "
                       "%.0f ranks",
                       shared_memory, report->host,
                       (double)report->shared_total / megabyte,
                       (double)report->shared_free / megabyte, need / megabyte,
                       need / segment_bytes);
        }
        if (report->leftover_files > 0)
            doctor_add(doctor, DOCTOR_NOTE, "shared memory",
                       "rm /dev/shm/vader_segment.* /dev/shm/sm_segment.* "
                       "/dev/shm/osc_sm.*, while no run of yours is on that host",
                       "%d files (%.0f MB) in %s on %s are left over from killed runs",
                       report->leftover_files, (double)report->leftover_bytes / megabyte,
                       shared_memory, report->host);
    }
    if (fine)
        doctor_add(doctor, DOCTOR_OK, "shared memory", NULL, "%s: %.0f MB free of %.0f",
                   shared_memory, (double)doctor->reports[0].shared_free / megabyte,
                   (double)doctor->reports[0].shared_total / megabyte);
}

static void check_copies(struct doctor *doctor, bool *which)
{
    char list[DOCTOR_TEXT / 2];
    int count = 0;
    for (int r = 0; r < doctor->ranks; r++)
        count += which[r] = doctor->reports[r].copies != 0;
    if (count > 0)
        doctor_add(doctor, DOCTOR_NOTE, "shared memory",
                   "docker --cap-add=SYS_PTRACE, or a seccomp profile that allows "
                   "process_vm_readv",
                   "%s can't read another process's memory (process_vm_readv): messages "
                   "on a host are copied twice",
                   doctor_rank_list(doctor, which, list, sizeof list));
}

static void check_port(struct doctor *doctor, bool *which)
{
    char list[DOCTOR_TEXT / 2];
    int count = 0, reason = 0;
    for (int r = 1; r < doctor->ranks; r++) {
        which[r] = doctor->reports[r].port != 0;
        count += which[r];
        reason = which[r] ? doctor->reports[r].port : reason;
    }
    which[0] = false;
    if (count > 0)
        doctor_add(doctor, DOCTOR_WARNING, "ports",
                   "allow TCP connections between the hosts of a job (firewall)",
                   "%s can't connect to a port of rank 0 (%s): %s; a dead or hung rank "
                   "would not be detected",
                   doctor_rank_list(doctor, which, list, sizeof list),
                   doctor->reports[0].host, strerror(reason));
    else
        doctor_add(doctor, DOCTOR_OK, "ports", NULL,
                   "all ranks can connect to rank 0 by TCP (%s)", doctor->addresses);
}

static void check_clocks(struct doctor *doctor)
{
    int worst = 0;
    const double tolerance = 1;
    double apart = 0, at_most = 0;
    for (int r = 1; r < doctor->ranks; r++) {
        double offset = fabs(doctor->reports[r].clock);
        worst = offset > apart ? r : worst;
        apart = fmax(apart, offset);
        at_most = fmax(at_most, offset + doctor->reports[r].clock_error);
    }
    const struct rank_report *report = &doctor->reports[worst];
    if (apart - report->clock_error > tolerance)
        doctor_add(
            doctor, DOCTOR_WARNING, "clocks",
            "synchronise them (chrony, ntpd): times in logs and of files are wrong",
            "rank %d (%s) is %.1f s %s rank 0 (%s)", worst, report->host, apart,
            report->clock < 0 ? "ahead of" : "behind", doctor->reports[0].host);
    else
        doctor_add(doctor, DOCTOR_OK, "clocks", NULL, "at most %.2g ms apart",
                   1e3 * at_most);
}

static int by_value(const void *leftovers, const void *right)
{
    double a = *(const double *)leftovers, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median_flops(const struct doctor *doctor)
{
    double *sorted = malloc((size_t)doctor->ranks * sizeof *sorted);
    if (!sorted)
        return doctor->reports[0].flops;
    for (int r = 0; r < doctor->ranks; r++)
        sorted[r] = doctor->reports[r].flops;
    qsort(sorted, (size_t)doctor->ranks, sizeof *sorted, by_value);
    double median = sorted[doctor->ranks / 2];
    free(sorted);
    return median;
}

static void check_speed(struct doctor *doctor, double median)
{
    const double giga = 1e9, slow = 0.75;
    int last = 0;
    for (int r = 1; r < doctor->ranks; r++)
        if (doctor->reports[r].flops < doctor->reports[last].flops)
            last = r;
    const struct rank_report *report = &doctor->reports[last];
    if (report->flops < slow * median)
        doctor_add(doctor, DOCTOR_WARNING, "speed",
                   "all ranks wait for the slowest: check what else runs there (top), or "
                   "exclude the host (sbatch --exclude)",
                   "rank %d (%s) computes %.0f GFLOP/s, the median is %.0f", last,
                   report->host, report->flops / giga, median / giga);
    else
        doctor_add(doctor, DOCTOR_OK, "speed", NULL,
                   "%.0f GFLOP/s per rank while all compute (slowest: rank %d, %.0f), "
                   "memory copies %.1f GB/s per rank",
                   median / giga, last, report->flops / giga,
                   doctor->reports[0].copied / giga);
}

/* Compares the time of a step's allreduce with its compute time (6 FLOP per matmul weight
 * and token). The two overlap, so the longer one determines the step time. */
static void check_sum(struct doctor *doctor, double median)
{
    const struct options *options = &doctor->options;
    const double limit = 0.5;
    double bytes = (double)doctor->parameters * sizeof(int64_t);
    double tokens =
        (double)(options->train.batch * options->train.sequence_length) / doctor->ranks;
    double compute = 6 * (double)doctor->matmul_parameters * tokens / median;
    double part = doctor->sum_seconds / compute;
    bool dominates = part > limit && doctor->sum_seconds > 1e-3;
    doctor_add(doctor, dominates ? DOCTOR_NOTE : DOCTOR_OK, "sum",
               dominates ? "a larger train.batch, fewer ranks or a faster network" : NULL,
               "allreduce of a gradient of %.1f MB in %.2f ms (%.0f MB/s): %.0f %% of a "
               "step's computation, with which it overlaps",
               bytes / megabyte, 1e3 * doctor->sum_seconds,
               bytes / megabyte / doctor->sum_seconds, 100 * part);
}

void doctor_check_network(struct doctor *doctor)
{
    bool *which = calloc((size_t)doctor->ranks + 1, sizeof *which);
    double median = median_flops(doctor);
    check_shared_memory(doctor);
    if (which)
        check_copies(doctor, which);
    if (which && doctor->ranks > 1) {
        check_clocks(doctor);
        check_port(doctor, which);
        check_sum(doctor, median);
    }
    check_speed(doctor, median);
    free(which);
}
