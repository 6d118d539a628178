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

enum { SEGMENTS_MAX = 512 };

/* Open MPI's files in shared memory; some may belong to runs that have ended. */
struct segments {
    int count;
    bool mapped[SEGMENTS_MAX];
    char names[SEGMENTS_MAX][DOCTOR_NAME_SIZE];
    uint64_t bytes[SEGMENTS_MAX];
};

static bool is_open_mpi_segment(const char *name)
{
    static const char *const prefixes[] = {"vader_segment.", "osc_sm.", "sm_segment."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return strlen(name) < DOCTOR_NAME_SIZE;
    return false;
}

/* Lists the segments of this user, which no other user can remove. A segment younger than
 * a minute may belong to a run that is still starting. */
static void list_segments(struct segments *segments)
{
    const time_t min_age = 60;
    DIR *directory = opendir(shared_memory);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct stat info;
        if (segments->count == SEGMENTS_MAX || !is_open_mpi_segment(entry->d_name) ||
            fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            info.st_uid != geteuid() || time(NULL) - info.st_mtime < min_age)
            continue;
        snprintf(segments->names[segments->count], DOCTOR_NAME_SIZE, "%.*s",
                 DOCTOR_NAME_SIZE - 1, entry->d_name);
        segments->bytes[segments->count++] = (uint64_t)info.st_blocks * 512;
    }
    if (directory)
        closedir(directory);
}

/* Marks the segments that the process `pid` has mapped. */
static void mark_mapped(struct segments *segments, const char *pid)
{
    char name[DOCTOR_NAME_SIZE], line[1024];
    snprintf(name, sizeof name, "/proc/%.32s/maps", pid);
    FILE *file = fopen(name, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (!strstr(line, shared_memory))
            continue;
        for (int i = 0; i < segments->count; i++)
            segments->mapped[i] |= strstr(line, segments->names[i]) != NULL;
    }
    if (file)
        fclose(file);
}

static void count_stale_segments(struct rank_report *report)
{
    struct segments *segments = calloc(1, sizeof *segments);
    if (!segments)
        return;
    list_segments(segments);
    DIR *processes = segments->count ? opendir("/proc") : NULL;
    for (struct dirent *entry; processes && (entry = readdir(processes));)
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
            mark_mapped(segments, entry->d_name);
    for (int i = 0; processes && i < segments->count; i++) {
        report->stale_segments += !segments->mapped[i];
        report->stale_bytes += segments->mapped[i] ? 0 : segments->bytes[i];
    }
    if (processes)
        closedir(processes);
    free(segments);
}

static void measure_shared_memory(struct rank_report *report)
{
    struct statvfs space;
    if (statvfs(shared_memory, &space) != 0)
        return;
    report->shm_total = (uint64_t)space.f_blocks * space.f_frsize;
    report->shm_free = (uint64_t)space.f_bavail * space.f_frsize;
    count_stale_segments(report);
}

/* ---- the port ---- */

/* Listens and connects in the same way as the watchdog of a run. Collective. */
static enum status probe_port(struct doctor *doctor)
{
    return watchdog_probe(doctor->comm, doctor->options.run.interface,
                          &doctor->local.port_errno, doctor->addresses,
                          sizeof doctor->addresses);
}

/* ---- the allreduce ---- */

enum { ALLREDUCE_REPEATS = 4 };

static double max_over_ranks(struct doctor *doctor, double seconds)
{
    const double nanosecond = 1e-9;
    return nanosecond *
           (double)comm_max_i64(doctor->comm, (int64_t)(seconds / nanosecond));
}

/* Times the fastest of SUM_ROUNDS - 1 allreduces of a complete gradient, after one
 * warm-up. */
static enum status time_allreduce(struct doctor *doctor, struct comm_allreduce *allreduce)
{
    enum status status = STATUS_OK;
    for (int round = 0; round < ALLREDUCE_REPEATS && status == STATUS_OK; round++) {
        comm_barrier(doctor->comm);
        double start = clock_seconds();
        status = comm_allreduce_start(allreduce);
        if (status == STATUS_OK)
            status = comm_allreduce_wait(allreduce);
        double elapsed = max_over_ranks(doctor, clock_seconds() - start);
        if (round == 1 || (round > 1 && elapsed < doctor->allreduce_seconds))
            doctor->allreduce_seconds = elapsed;
    }
    return status;
}

static enum status probe_allreduce(struct doctor *doctor)
{
    struct comm_allreduce *allreduce = NULL;
    struct comm_memory *memory = NULL;
    enum status status =
        comm_agree(doctor->comm,
                   comm_memory_create(doctor->comm, doctor->parameters * sizeof(int64_t),
                                      1, &memory));
    if (status == STATUS_OK)
        status =
            comm_allreduce_init(doctor->comm, memory, COMM_I64, comm_memory_block(memory),
                                doctor->parameters, &allreduce);
    if (status == STATUS_OK)
        status = time_allreduce(doctor, allreduce);
    comm_allreduce_free(allreduce);
    comm_memory_free(memory);
    return status;
}

/* ---- speed ---- */

enum { ROWS = 8, OUTPUTS = 2048, INPUTS = 512, COPIED = 1 << 22 /* floats */ };
static const double speed_seconds = 0.1;

static double measure_flops(const struct matmul_weights *packed, float *x, float *y)
{
    const float *from[ROWS];
    float *to[ROWS];
    for (int i = 0; i < ROWS; i++) {
        from[i] = x + (size_t)i * INPUTS;
        to[i] = y + (size_t)i * OUTPUTS;
    }
    double start = clock_seconds(), elapsed = 0, flops = 0;
    for (; elapsed < speed_seconds; elapsed = clock_seconds() - start) {
        matmul(packed, ROWS, from, to, MATMUL_ACCUMULATE, false);
        flops += 2.0 * ROWS * OUTPUTS * INPUTS;
    }
    return flops / elapsed;
}

/* Bytes/s read and written by copying buffers that exceed every cache. */
static double measure_copy_rate(float *from, float *to)
{
    double start = clock_seconds(), elapsed = 0, bytes = 0;
    for (; elapsed < speed_seconds; elapsed = clock_seconds() - start) {
        memcpy(to, from, COPIED * sizeof *to);
        bytes += 2.0 * COPIED * sizeof *to;
        from[(size_t)bytes % COPIED] += 1; /* so that no copy is optimised away */
    }
    return bytes / elapsed;
}

/* Memory for probe_speed: two halves of COPIED floats, and packed weights. */
static float *plan_speed(struct arena *arena, struct matmul_weights *packed)
{
    const struct matmul_layout layout = {OUTPUTS, INPUTS, false, 1, 1};
    matmul_weights_plan(&matmul_float32, &layout, NULL, arena, packed);
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
        memset(block, 0, COPIED * sizeof *block); /* or all of it would be one page */
        matmul_weights_pack(&packed, block);
        if (doctor->comm)
            comm_barrier(doctor->comm);
        doctor->local.flops =
            measure_flops(&packed, block, block + (size_t)ROWS * INPUTS);
        doctor->local.copy_rate = measure_copy_rate(block, block + COPIED);
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
    struct rank_report *report = &doctor->local;
    enum status status = STATUS_OK;
    measure_shared_memory(report);
    if (doctor->comm && doctor->ranks > 1) {
        status = comm_agree(doctor->comm, comm_clock_offset(doctor->comm, time_of_day,
                                                            &report->clock_offset,
                                                            &report->clock_uncertainty));
        if (status == STATUS_OK)
            status = probe_port(doctor);
        if (status == STATUS_OK)
            status = probe_allreduce(doctor);
    }
    return status == STATUS_OK ? probe_speed(doctor) : status;
}

/* ---- checks ---- */

/* Open MPI allocates a segment of 4 MB per process (btl_vader_segment_size; Open MPI 5:
 * btl_sm_segment_size). */
static const double segment_bytes = 4 << 20, megabyte = 1e6;

static void check_shared_memory(struct doctor *doctor)
{
    bool sufficient = true;
    for (int host = 0; host < doctor->ranks; host++) {
        const struct rank_report *report = &doctor->reports[host];
        int ranks = 0;
        if (!doctor_first_of_host(doctor, host))
            continue;
        for (int r = host; r < doctor->ranks; r++)
            ranks += strcmp(doctor->reports[r].host, report->host) == 0;
        /* one process: assume one rank per core */
        double need = segment_bytes * (doctor->ranks == 1 ? report->host_cores : ranks);
        if ((double)report->shm_total < need) {
            sufficient = false;
            doctor_add(doctor, doctor->ranks == 1 ? DOCTOR_NOTE : DOCTOR_WARNING,
                       "shared memory",
                       "mount -o remount,size=1G /dev/shm; docker --shm-size=1g; or "
                       "OMPI_MCA_btl_vader_backing_directory=/tmp (Open MPI 5: btl_sm)",
                       "%s on %s has %.0f MB, %.0f MB free; Open MPI needs %.0f MB for "
                       "%.0f ranks",
                       shared_memory, report->host, (double)report->shm_total / megabyte,
                       (double)report->shm_free / megabyte, need / megabyte,
                       need / segment_bytes);
        }
        if (report->stale_segments > 0)
            doctor_add(doctor, DOCTOR_NOTE, "shared memory",
                       "rm /dev/shm/vader_segment.* /dev/shm/sm_segment.* "
                       "/dev/shm/osc_sm.*, while no run of yours is on that host",
                       "%d files (%.0f MB) in %s on %s are left over from killed runs",
                       report->stale_segments, (double)report->stale_bytes / megabyte,
                       shared_memory, report->host);
    }
    if (sufficient)
        doctor_add(doctor, DOCTOR_OK, "shared memory", NULL, "%s: %.0f MB free of %.0f",
                   shared_memory, (double)doctor->reports[0].shm_free / megabyte,
                   (double)doctor->reports[0].shm_total / megabyte);
}

static void check_process_vm_readv(struct doctor *doctor, bool *affected)
{
    char list[DOCTOR_TEXT_SIZE / 2];
    int count = 0;
    for (int r = 0; r < doctor->ranks; r++)
        count += affected[r] = doctor->reports[r].vm_readv_errno != 0;
    if (count > 0)
        doctor_add(doctor, DOCTOR_NOTE, "shared memory",
                   "docker --cap-add=SYS_PTRACE, or a seccomp profile that allows "
                   "process_vm_readv",
                   "%s can't read another process's memory (process_vm_readv): messages "
                   "on a host are copied twice",
                   doctor_rank_list(doctor, affected, list, sizeof list));
}

static void check_port(struct doctor *doctor, bool *affected)
{
    char list[DOCTOR_TEXT_SIZE / 2];
    int count = 0, reason = 0;
    for (int r = 1; r < doctor->ranks; r++) {
        affected[r] = doctor->reports[r].port_errno != 0;
        count += affected[r];
        reason = affected[r] ? doctor->reports[r].port_errno : reason;
    }
    affected[0] = false;
    if (count > 0)
        doctor_add(doctor, DOCTOR_WARNING, "ports",
                   "allow TCP connections between the hosts of a job (firewall)",
                   "%s can't connect to a port of rank 0 (%s): %s; a dead or hung rank "
                   "would not be detected",
                   doctor_rank_list(doctor, affected, list, sizeof list),
                   doctor->reports[0].host, strerror(reason));
    else
        doctor_add(doctor, DOCTOR_OK, "ports", NULL,
                   "all ranks can connect to rank 0 by TCP (%s)", doctor->addresses);
}

static void check_clocks(struct doctor *doctor)
{
    int worst = 0;
    const double tolerance = 1;
    double max_offset = 0, upper_bound = 0;
    for (int r = 1; r < doctor->ranks; r++) {
        double offset = fabs(doctor->reports[r].clock_offset);
        worst = offset > max_offset ? r : worst;
        max_offset = fmax(max_offset, offset);
        upper_bound = fmax(upper_bound, offset + doctor->reports[r].clock_uncertainty);
    }
    const struct rank_report *report = &doctor->reports[worst];
    if (max_offset - report->clock_uncertainty > tolerance)
        doctor_add(
            doctor, DOCTOR_WARNING, "clocks",
            "synchronise them (chrony, ntpd): times in logs and of files are wrong",
            "rank %d (%s) is %.1f s %s rank 0 (%s)", worst, report->host, max_offset,
            report->clock_offset < 0 ? "ahead of" : "behind", doctor->reports[0].host);
    else
        doctor_add(doctor, DOCTOR_OK, "clocks", NULL, "at most %.2g ms apart",
                   1e3 * upper_bound);
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median_flops(const struct doctor *doctor)
{
    double *sorted = malloc((size_t)doctor->ranks * sizeof *sorted);
    if (!sorted)
        return doctor->reports[0].flops;
    for (int r = 0; r < doctor->ranks; r++)
        sorted[r] = doctor->reports[r].flops;
    qsort(sorted, (size_t)doctor->ranks, sizeof *sorted, compare_doubles);
    double median = sorted[doctor->ranks / 2];
    free(sorted);
    return median;
}

static void check_speed(struct doctor *doctor, double median)
{
    const double giga = 1e9, slow = 0.75;
    int slowest = 0;
    for (int r = 1; r < doctor->ranks; r++)
        if (doctor->reports[r].flops < doctor->reports[slowest].flops)
            slowest = r;
    const struct rank_report *report = &doctor->reports[slowest];
    if (report->flops < slow * median)
        doctor_add(doctor, DOCTOR_WARNING, "speed",
                   "all ranks wait for the slowest: check what else runs there (top), or "
                   "exclude the host (sbatch --exclude)",
                   "rank %d (%s) computes %.0f GFLOP/s, the median is %.0f", slowest,
                   report->host, report->flops / giga, median / giga);
    else
        doctor_add(doctor, DOCTOR_OK, "speed", NULL,
                   "%.0f GFLOP/s per rank while all compute (slowest: rank %d, %.0f), "
                   "memory copies %.1f GB/s per rank",
                   median / giga, slowest, report->flops / giga,
                   doctor->reports[0].copy_rate / giga);
}

/* Compares the time of a step's allreduce with its compute time (6 FLOP per matmul weight
 * and token). The two overlap, so the longer one determines the step time. */
static void check_allreduce(struct doctor *doctor, double median)
{
    const struct options *options = &doctor->options;
    const double limit = 0.5;
    double bytes = (double)doctor->parameters * sizeof(int64_t);
    double tokens =
        (double)(options->train.batch * options->train.sequence_length) / doctor->ranks;
    double compute = 6 * (double)doctor->matmul_parameters * tokens / median;
    double fraction = doctor->allreduce_seconds / compute;
    bool is_bottleneck = fraction > limit && doctor->allreduce_seconds > 1e-3;
    doctor_add(doctor, is_bottleneck ? DOCTOR_NOTE : DOCTOR_OK, "sum",
               is_bottleneck ? "a larger train.batch, fewer ranks or a faster network"
                             : NULL,
               "allreduce of a gradient of %.1f MB in %.2f ms (%.0f MB/s): %.0f %% of a "
               "step's computation, with which it overlaps",
               bytes / megabyte, 1e3 * doctor->allreduce_seconds,
               bytes / megabyte / doctor->allreduce_seconds, 100 * fraction);
}

void doctor_check_network(struct doctor *doctor)
{
    bool *affected = calloc((size_t)doctor->ranks + 1, sizeof *affected);
    double median = median_flops(doctor);
    check_shared_memory(doctor);
    if (affected)
        check_process_vm_readv(doctor, affected);
    if (affected && doctor->ranks > 1) {
        check_clocks(doctor);
        check_port(doctor, affected);
        check_allreduce(doctor, median);
    }
    check_speed(doctor, median);
    free(affected);
}
