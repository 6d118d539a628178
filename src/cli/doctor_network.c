/* doctor_network: what lies between the ranks: shared memory on a host, connections and
 * the sum across hosts, clocks; and how fast each rank computes while all of them do. */
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
#include "comm/comm_probe.h"
#include "kernels/matmul.h"
#include "watchdog/watchdog.h"

static const char shared_memory[] = "/dev/shm";

/* ---- shared memory ---- */

enum { LEFT_MOST = 512 };

/* Files of Open MPI in shared memory that may belong to runs that have ended. */
struct left {
    int count;
    bool mapped[LEFT_MOST];
    char names[LEFT_MOST][DOCTOR_WORD];
    uint64_t bytes[LEFT_MOST];
};

static bool is_of_open_mpi(const char *name)
{
    static const char *const beginnings[] = {"vader_segment.", "osc_sm.", "sm_segment."};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
            return strlen(name) < DOCTOR_WORD;
    return false;
}

/* Our own ones, as nobody else removes them. A young one may belong to a run that is just
 * starting. */
static void list_left(struct left *left)
{
    const time_t young = 60;
    DIR *directory = opendir(shared_memory);
    for (struct dirent *at; directory && (at = readdir(directory));) {
        struct stat facts;
        if (left->count == LEFT_MOST || !is_of_open_mpi(at->d_name) ||
            fstatat(dirfd(directory), at->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0 ||
            facts.st_uid != geteuid() || time(NULL) - facts.st_mtime < young)
            continue;
        snprintf(left->names[left->count], DOCTOR_WORD, "%.*s", DOCTOR_WORD - 1,
                 at->d_name);
        left->bytes[left->count++] = (uint64_t)facts.st_blocks * 512;
    }
    if (directory)
        closedir(directory);
}

/* Marks those that this process has mapped. */
static void mark_mapped(struct left *left, const char *pid)
{
    char name[DOCTOR_WORD], line[1024];
    snprintf(name, sizeof name, "/proc/%.32s/maps", pid);
    FILE *file = fopen(name, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (!strstr(line, shared_memory))
            continue;
        for (int i = 0; i < left->count; i++)
            left->mapped[i] |= strstr(line, left->names[i]) != NULL;
    }
    if (file)
        fclose(file);
}

static void look_for_left(struct place *place)
{
    struct left *left = calloc(1, sizeof *left);
    if (!left)
        return;
    list_left(left);
    DIR *processes = left->count ? opendir("/proc") : NULL;
    for (struct dirent *at; processes && (at = readdir(processes));)
        if (at->d_name[0] >= '0' && at->d_name[0] <= '9')
            mark_mapped(left, at->d_name);
    for (int i = 0; processes && i < left->count; i++) {
        place->left_files += !left->mapped[i];
        place->left_bytes += left->mapped[i] ? 0 : left->bytes[i];
    }
    if (processes)
        closedir(processes);
    free(left);
}

static void look_at_shared_memory(struct place *place)
{
    struct statvfs space;
    if (statvfs(shared_memory, &space) != 0)
        return;
    place->shared_total = (uint64_t)space.f_blocks * space.f_frsize;
    place->shared_free = (uint64_t)space.f_bavail * space.f_frsize;
    look_for_left(place);
}

/* ---- the port ---- */

/* As the watchdog of a run would. */
static enum status try_port(struct doctor *doctor)
{
    return watchdog_probe(doctor->comm, doctor->options.run.interface, &doctor->here.port,
                          doctor->addresses, sizeof doctor->addresses);
}

/* ---- the sum ---- */

enum { SUM_ROUNDS = 4 };

static double slowest(struct doctor *doctor, double seconds)
{
    const double nanosecond = 1e-9;
    return nanosecond *
           (double)comm_max_i64(doctor->comm, (int64_t)(seconds / nanosecond));
}

/* The quickest of some sums of a whole gradient; the first warms up. */
static enum status time_sums(struct doctor *doctor, struct comm_sum *sum)
{
    enum status status = STATUS_OK;
    for (int round = 0; round < SUM_ROUNDS && status == STATUS_OK; round++) {
        comm_barrier(doctor->comm);
        double began = clock_seconds();
        status = comm_sum_start(sum);
        if (status == STATUS_OK)
            status = comm_sum_wait(sum);
        double took = slowest(doctor, clock_seconds() - began);
        if (round == 1 || (round > 1 && took < doctor->sum_seconds))
            doctor->sum_seconds = took;
    }
    return status;
}

static enum status try_sum(struct doctor *doctor)
{
    struct comm_sum *sum = NULL;
    struct comm_memory *memory = NULL;
    enum status status =
        comm_agree(doctor->comm,
                   comm_memory_create(doctor->comm, doctor->parameters * sizeof(int64_t),
                                      1, &memory));
    if (status == STATUS_OK)
        status = comm_sum_init(doctor->comm, memory, COMM_I64, comm_memory_block(memory),
                               doctor->parameters, &sum);
    if (status == STATUS_OK)
        status = time_sums(doctor, sum);
    comm_sum_free(sum);
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

/* Bytes read and written by copying what no cache holds. */
static double time_copies(float *from, float *to)
{
    double began = clock_seconds(), took = 0, bytes = 0;
    for (; took < speed_seconds; took = clock_seconds() - began) {
        memcpy(to, from, COPIED * sizeof *to);
        bytes += 2.0 * COPIED * sizeof *to;
        from[(size_t)bytes % COPIED] += 1; /* so that each copy is made */
    }
    return bytes / took;
}

/* The memory of try_speed: two halves of COPIED floats, and packed weights. */
static float *plan_speed(struct arena *arena, struct matmul_weights *packed)
{
    matmul_weights_plan(&matmul_float32, OUTPUTS, INPUTS, false, arena, packed);
    return arena_array(arena, 2 * (size_t)COPIED, sizeof(float));
}

static enum status try_speed(struct doctor *doctor)
{
    struct arena arena = {0};
    struct matmul_weights packed;
    plan_speed(&arena, &packed);
    enum status status =
        arena_allocate(&arena)
            ? STATUS_OK
            : status_fail(STATUS_FAILED, "no memory for a test of the speed");
    if (doctor->comm)
        status = comm_agree(doctor->comm, status);
    if (status == STATUS_OK) {
        float *block = plan_speed(&arena, &packed);
        matmul_weights_pack(&packed, block);
        if (doctor->comm)
            comm_barrier(doctor->comm);
        doctor->here.flops = time_products(&packed, block, block + (size_t)ROWS * INPUTS);
        doctor->here.copied = time_copies(block, block + COPIED);
    }
    arena_free(&arena);
    return status;
}

/* ---- all of it ---- */

static double time_of_day(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

enum status doctor_try_network(struct doctor *doctor)
{
    struct place *here = &doctor->here;
    enum status status = STATUS_OK;
    look_at_shared_memory(here);
    if (doctor->comm && doctor->ranks > 1) {
        status =
            comm_agree(doctor->comm, comm_clock_offset(doctor->comm, time_of_day,
                                                       &here->clock, &here->clock_error));
        if (status == STATUS_OK)
            status = try_port(doctor);
        if (status == STATUS_OK)
            status = try_sum(doctor);
    }
    return status == STATUS_OK ? try_speed(doctor) : status;
}

/* ---- judging ---- */

/* Open MPI makes a segment of 4 MB for each process (btl_vader_segment_size; Open MPI 5:
 * btl_sm_segment_size). */
static const double segment_bytes = 4 << 20, megabyte = 1e6;

static void judge_shared_memory(struct doctor *doctor)
{
    bool fine = true;
    for (int host = 0; host < doctor->ranks; host++) {
        const struct place *place = &doctor->places[host];
        int ranks = 0;
        if (!doctor_first_of_host(doctor, host))
            continue;
        for (int r = host; r < doctor->ranks; r++)
            ranks += strcmp(doctor->places[r].host, place->host) == 0;
        /* one process: as many as there may be */
        double need = segment_bytes * (doctor->ranks == 1 ? place->host_cores : ranks);
        if ((double)place->shared_total < need) {
            fine = false;
            doctor_find(doctor, doctor->ranks == 1 ? DOCTOR_NOTE : DOCTOR_WARNING,
                        "shared memory",
                        "mount -o remount,size=1G /dev/shm; docker --shm-size=1g; or "
                        "OMPI_MCA_btl_vader_backing_directory=/tmp (Open MPI 5: btl_sm)",
                        "%s on %s has %.0f MB, %.0f MB free; Open MPI wants %.0f MB for "
                        "%.0f ranks",
                        shared_memory, place->host,
                        (double)place->shared_total / megabyte,
                        (double)place->shared_free / megabyte, need / megabyte,
                        need / segment_bytes);
        }
        if (place->left_files > 0)
            doctor_find(doctor, DOCTOR_NOTE, "shared memory",
                        "rm /dev/shm/vader_segment.* /dev/shm/sm_segment.* "
                        "/dev/shm/osc_sm.*, while none of "
                        "your runs is on that host",
                        "%d files (%.0f MB) in %s on %s are left over from killed runs",
                        place->left_files, (double)place->left_bytes / megabyte,
                        shared_memory, place->host);
    }
    if (fine)
        doctor_find(doctor, DOCTOR_OK, "shared memory", NULL, "%s: %.0f MB free of %.0f",
                    shared_memory, (double)doctor->places[0].shared_free / megabyte,
                    (double)doctor->places[0].shared_total / megabyte);
}

static void judge_copies(struct doctor *doctor, bool *which)
{
    char who[DOCTOR_TEXT / 2];
    int count = 0;
    for (int r = 0; r < doctor->ranks; r++)
        count += which[r] = doctor->places[r].copies != 0;
    if (count > 0)
        doctor_find(doctor, DOCTOR_NOTE, "shared memory",
                    "docker --cap-add=SYS_PTRACE, or a seccomp profile that allows "
                    "process_vm_readv",
                    "%s may not read another process's memory: messages on a host are "
                    "copied twice",
                    doctor_who(doctor, which, who, sizeof who));
}

static void judge_port(struct doctor *doctor, bool *which)
{
    char who[DOCTOR_TEXT / 2];
    int count = 0, reason = 0;
    for (int r = 1; r < doctor->ranks; r++) {
        which[r] = doctor->places[r].port != 0;
        count += which[r];
        reason = which[r] ? doctor->places[r].port : reason;
    }
    which[0] = false;
    if (count > 0)
        doctor_find(doctor, DOCTOR_WARNING, "ports",
                    "let the hosts of a job reach each other's TCP ports (firewall)",
                    "%s can't reach a port of rank 0 (%s): %s; a dead or hung rank would "
                    "not be noticed",
                    doctor_who(doctor, which, who, sizeof who), doctor->places[0].host,
                    strerror(reason));
    else
        doctor_find(doctor, DOCTOR_OK, "ports", NULL,
                    "all ranks reach a TCP port of rank 0 (%s)", doctor->addresses);
}

static void judge_clocks(struct doctor *doctor)
{
    int worst = 0;
    const double bearable = 1;
    double apart = 0, at_most = 0;
    for (int r = 1; r < doctor->ranks; r++) {
        double offset = fabs(doctor->places[r].clock);
        worst = offset > apart ? r : worst;
        apart = fmax(apart, offset);
        at_most = fmax(at_most, offset + doctor->places[r].clock_error);
    }
    const struct place *place = &doctor->places[worst];
    if (apart - place->clock_error > bearable)
        doctor_find(doctor, DOCTOR_WARNING, "clocks",
                    "synchronise them (chrony, ntpd): times in logs and of files mislead",
                    "rank %d (%s) is %.1f s %s rank 0 (%s)", worst, place->host, apart,
                    place->clock < 0 ? "ahead of" : "behind", doctor->places[0].host);
    else
        doctor_find(doctor, DOCTOR_OK, "clocks", NULL, "no more than %.2g ms apart",
                    1e3 * at_most);
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median_flops(const struct doctor *doctor)
{
    double *sorted = malloc((size_t)doctor->ranks * sizeof *sorted);
    if (!sorted)
        return doctor->places[0].flops;
    for (int r = 0; r < doctor->ranks; r++)
        sorted[r] = doctor->places[r].flops;
    qsort(sorted, (size_t)doctor->ranks, sizeof *sorted, by_value);
    double median = sorted[doctor->ranks / 2];
    free(sorted);
    return median;
}

static void judge_speed(struct doctor *doctor, double median)
{
    const double giga = 1e9, slow = 0.75;
    int last = 0;
    for (int r = 1; r < doctor->ranks; r++)
        if (doctor->places[r].flops < doctor->places[last].flops)
            last = r;
    const struct place *place = &doctor->places[last];
    if (place->flops < slow * median)
        doctor_find(doctor, DOCTOR_WARNING, "speed",
                    "all wait for the slowest: look what else runs there (top), or leave "
                    "the host out (sbatch --exclude)",
                    "rank %d (%s) computes %.0f GFLOP/s, the median is %.0f", last,
                    place->host, place->flops / giga, median / giga);
    else
        doctor_find(doctor, DOCTOR_OK, "speed", NULL,
                    "%.0f GFLOP/s a rank while all compute (slowest: rank %d, %.0f), "
                    "copies %.1f GB/s a rank",
                    median / giga, last, place->flops / giga,
                    doctor->places[0].copied / giga);
}

/* What a step's sum takes next to its computing: 6 FLOP for each weight of a product and
 * token. They overlap, so no more than what is longer. */
static void judge_sum(struct doctor *doctor, double median)
{
    const struct options *options = &doctor->options;
    const double much = 0.5;
    double bytes = (double)doctor->parameters * sizeof(int64_t);
    double tokens = (double)(options->train.batch * options->train.time) / doctor->ranks;
    double compute = 6 * (double)doctor->products * tokens / median;
    double part = doctor->sum_seconds / compute;
    bool long_one = part > much && doctor->sum_seconds > 1e-3;
    doctor_find(doctor, long_one ? DOCTOR_NOTE : DOCTOR_OK, "sum",
                long_one ? "a larger train.batch or fewer ranks, if the network can't "
                           "be had faster"
                         : NULL,
                "a gradient of %.1f MB in %.2f ms (%.0f MB/s): %.0f %% of a step's "
                "computing, which it overlaps with",
                bytes / megabyte, 1e3 * doctor->sum_seconds,
                bytes / megabyte / doctor->sum_seconds, 100 * part);
}

void judge_network(struct doctor *doctor)
{
    bool *which = calloc((size_t)doctor->ranks + 1, sizeof *which);
    double median = median_flops(doctor);
    judge_shared_memory(doctor);
    if (which)
        judge_copies(doctor, which);
    if (which && doctor->ranks > 1) {
        judge_clocks(doctor);
        judge_port(doctor, which);
        judge_sum(doctor, median);
    }
    judge_speed(doctor, median);
    free(which);
}
