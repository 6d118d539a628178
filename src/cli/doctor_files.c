/* doctor_files: probes the file system of the run's directory, in a temporary directory.
 *
 * Rank 0 writes a file in the way a checkpoint is written (temporary name, fsync, rename,
 * fsync of the directory). Every rank waits for the file, which shows whether the
 * directory is shared, and takes both kinds of lock that HDF5 may use: flock() where the
 * system has it, fcntl() elsewhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "doctor.h"
#include "base/file.h"
#include "base/progress.h"
#include "h5/h5.h"

static const double timeout = 5; /* seconds; NFS caches a directory's contents for 3 s */

/* Paths of the probe; the same on all ranks. */
struct probe_paths {
    char directory[DOCTOR_PATH_SIZE + 96], file[DOCTOR_PATH_SIZE + 128],
        h5[DOCTOR_PATH_SIZE + 128];
    char text[DOCTOR_NAME_SIZE]; /* contents of the file */
};

static void init_probe_paths(const struct doctor *doctor, struct probe_paths *paths)
{
    memset(paths, 0, sizeof *paths);
    snprintf(paths->directory, sizeof paths->directory, "%s/.tutti-doctor-%.32s-%ld",
             doctor->directory, doctor->local.host, (long)getpid());
    snprintf(paths->file, sizeof paths->file, "%.*s/file",
             (int)sizeof paths->directory - 1, paths->directory);
    snprintf(paths->h5, sizeof paths->h5, "%.*s/file.h5",
             (int)sizeof paths->directory - 1, paths->directory);
    snprintf(paths->text, sizeof paths->text, "%ld %.6f", (long)getpid(),
             clock_seconds());
}

static bool has_content(const char *path, const char *text)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    bool same = file_read(path, DOCTOR_NAME_SIZE, &bytes, &size) == STATUS_OK &&
                size == strlen(text) && memcmp(bytes, text, size) == 0;
    free(bytes);
    return same;
}

/* Checks that a file is replaced atomically: a reader that has the old file open must
 * still read its contents. */
static enum status probe_rename(const struct probe_paths *paths)
{
    char old[DOCTOR_NAME_SIZE] = "";
    enum status status = file_write(paths->file, "old", 3);
    if (status != STATUS_OK)
        return status;
    int descriptor = open(paths->file, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return status_fail_errno("%s: can't open", paths->file);
    status = file_write(paths->file, paths->text, strlen(paths->text));
    ssize_t count = pread(descriptor, old, sizeof old - 1, 0);
    close(descriptor);
    if (status != STATUS_OK)
        return status;
    if (count != 3 || strcmp(old, "old") != 0 || !has_content(paths->file, paths->text))
        return status_fail(STATUS_FAILED, "%s: rename does not replace a file atomically",
                           paths->file);
    return STATUS_OK;
}

static enum status probe_h5(const struct probe_paths *paths)
{
    struct h5_file *file = NULL;
    const int64_t value = 1;
    const size_t one = 1;
    enum status status = h5_create(paths->h5, &file);
    if (status == STATUS_OK)
        status = h5_write(file, "value", H5_I64, 1, &one, &value);
    if (status == STATUS_OK)
        return h5_close(file);
    h5_abandon(file);
    return status;
}

/* Returns 0, or errno of creating a link; ENOTSUP if reading it back gives another
 * target.
 */
static int probe_link(const struct probe_paths *paths)
{
    static const char target[] = "file";
    char path[sizeof paths->directory + 8], found[sizeof target + 1] = "";
    snprintf(path, sizeof path, "%s/link", paths->directory);
    if (symlink(target, path) != 0)
        return errno;
    ssize_t length = readlink(path, found, sizeof found - 1);
    return length > 0 && strcmp(found, target) == 0 ? 0 : ENOTSUP;
}

/* Rank 0 only. A failure becomes a finding. */
static void write_probe_files(struct doctor *doctor, const struct probe_paths *paths)
{
    enum status status = STATUS_OK;
    if (mkdir(paths->directory, 0777) != 0) {
        doctor->directory_errno = errno;
        status =
            status_fail_errno("%s: can't create a directory there", doctor->directory);
    }
    double start = clock_seconds();
    if (status == STATUS_OK)
        status = file_write(paths->file, "first", 5);
    doctor->sync_seconds = clock_seconds() - start;
    if (status == STATUS_OK)
        status = probe_rename(paths);
    if (status == STATUS_OK)
        doctor->local.directory.symlink_errno = probe_link(paths);
    if (status == STATUS_OK)
        status = probe_h5(paths);
    if (status != STATUS_OK)
        snprintf(doctor->directory_error, sizeof doctor->directory_error, "%.*s",
                 DOCTOR_TEXT_SIZE - 1, status_message());
}

/* Removes only the files that write_trial has created. */
static void remove_probe_files(const struct probe_paths *paths)
{
    static const char *const names[] = {"file", "file.h5", "link"};
    int directory =
        open(paths->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    for (size_t i = 0; directory >= 0 && i < sizeof names / sizeof *names; i++)
        unlinkat(directory, names[i], 0);
    if (directory >= 0)
        close(directory);
    rmdir(paths->directory);
}

static void wait_for_file(struct directory_report *report,
                          const struct probe_paths *paths)
{
    double start = clock_seconds();
    report->visible_errno = ENOENT;
    while (report->visible_errno && clock_seconds() - start < timeout) {
        int descriptor = open(paths->file, O_RDONLY | O_CLOEXEC);
        report->visible_errno = descriptor < 0                          ? errno
                                : has_content(paths->file, paths->text) ? 0
                                                                        : EIO;
        if (descriptor >= 0)
            close(descriptor);
        if (report->visible_errno)
            usleep(50000);
    }
    report->visible_seconds = clock_seconds() - start;
}

static void probe_locks(struct directory_report *report, const struct probe_paths *paths)
{
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int descriptor = open(paths->file, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return;
    report->flock_errno = flock(descriptor, LOCK_SH | LOCK_NB) == 0 ? 0 : errno;
    report->fcntl_errno = fcntl(descriptor, F_SETLK, &whole) == 0 ? 0 : errno;
    close(descriptor);
}

static void read_h5(struct directory_report *report, const struct probe_paths *paths)
{
    struct h5_file *file = NULL;
    int64_t value = 0;
    const size_t one = 1;
    enum status status = h5_open(paths->h5, &file);
    if (status == STATUS_OK)
        status = h5_read(file, "value", H5_I64, 1, &one, &value);
    if (status != STATUS_OK)
        snprintf(report->h5, sizeof report->h5, "%.*s", DOCTOR_TEXT_SIZE - 1,
                 status_message());
    h5_abandon(file);
}

static void measure_space(struct directory_report *report, const char *directory)
{
    struct statvfs space;
    struct statfs system;
    report->free_bytes = report->free_files = UINT64_MAX;
    if (statvfs(directory, &space) == 0) {
        report->free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
        report->free_files = space.f_files ? space.f_favail : UINT64_MAX;
    }
    if (statfs(directory, &system) == 0)
        report->type = (uint64_t)system.f_type;
}

enum status doctor_probe_directory(struct doctor *doctor)
{
    struct probe_paths paths;
    struct directory_report *report = &doctor->local.directory;
    init_probe_paths(doctor, &paths);
    if (doctor->rank == 0)
        write_probe_files(doctor, &paths);
    measure_space(report, doctor->directory);
    int64_t broken = doctor->directory_error[0] != '\0';
    enum status status = STATUS_OK;
    if (doctor->comm) {
        status =
            comm_agree(doctor->comm, comm_broadcast(doctor->comm, &paths, sizeof paths));
        broken = comm_max_i64(doctor->comm, broken);
    }
    if (status == STATUS_OK && !broken) {
        wait_for_file(report, &paths);
        if (!report->visible_errno) {
            probe_locks(report, &paths);
            read_h5(report, &paths);
        }
    }
    if (doctor->comm)
        comm_barrier(doctor->comm);
    if (doctor->rank == 0 && doctor->directory_errno == 0)
        remove_probe_files(&paths);
    return status;
}

/* ---- checks ---- */

/* f_type, from statfs(2) and the kernel headers of each file system. */
static const struct {
    uint64_t type;
    const char *name;
} file_systems[] = {
    {0xEF53, "ext4"},       {0x58465342, "xfs"},     {0x9123683E, "btrfs"},
    {0x01021994, "tmpfs"},  {0x794c7630, "overlay"}, {0x6969, "NFS"},
    {0x0BD00BD0, "Lustre"}, {0x47504653, "GPFS"},    {0x19830326, "BeeGFS"},
    {0x00C36400, "CephFS"}, {0x2FC12FC1, "ZFS"},     {0xFF534D42, "CIFS"},
    {0x65735546, "FUSE"},   {0x01021997, "9p"},
};

static const char *file_system_name(uint64_t type)
{
    for (size_t i = 0; i < sizeof file_systems / sizeof *file_systems; i++)
        if (file_systems[i].type == type)
            return file_systems[i].name;
    return "unknown";
}

static bool sees_file(const struct rank_report *report)
{
    return report->directory.visible_errno == 0;
}

static bool can_lock(const struct rank_report *report)
{
    return report->directory.flock_errno == 0 && report->directory.fcntl_errno == 0;
}

static bool can_read_h5(const struct rank_report *report)
{
    return report->directory.h5[0] == '\0';
}

/* Marks the ranks for which the predicate is false; returns the first of them, or -1. */
static int mark_failing(const struct doctor *doctor,
                        bool (*passes)(const struct rank_report *), bool *affected)
{
    int first = -1;
    for (int r = doctor->ranks - 1; r >= 0; r--) {
        affected[r] = !passes(&doctor->reports[r]);
        first = affected[r] ? r : first;
    }
    return first;
}

static void check_shared(struct doctor *doctor, bool *affected)
{
    char list[DOCTOR_TEXT_SIZE / 2];
    double longest = 0;
    int first = mark_failing(doctor, sees_file, affected);
    for (int r = 0; r < doctor->ranks; r++)
        if (doctor->reports[r].directory.visible_seconds > longest)
            longest = doctor->reports[r].directory.visible_seconds;
    if (first >= 0)
        doctor_add(doctor, DOCTOR_FAULT, "directory",
                   "--run-dir on a file system shared by all hosts, and the dataset too",
                   "%.200s: a file written by rank 0 (%s) is not visible to %s: %s",
                   doctor->directory, doctor->reports[0].host,
                   doctor_rank_list(doctor, affected, list, sizeof list),
                   strerror(doctor->reports[first].directory.visible_errno));
    else
        doctor_add(doctor, DOCTOR_OK, "directory", NULL,
                   "%.200s (%s): write and fsync of a file in %.0f ms, atomic rename, "
                   "visible to %s within %.0f ms",
                   doctor->directory, file_system_name(doctor->reports[0].directory.type),
                   1e3 * doctor->sync_seconds,
                   doctor->ranks == 1 ? "this rank" : "all ranks", 1e3 * longest);
}

static void check_links(struct doctor *doctor)
{
    int reason = doctor->reports[0].directory.symlink_errno;
    if (reason)
        doctor_add(doctor, DOCTOR_NOTE, "directory", NULL,
                   "no symbolic links (%s): checkpoints/latest and best are not created; "
                   "tutti finds the latest and the best checkpoint without them",
                   strerror(reason));
}

/* tutti takes no lock for reading, and its lock for writing is optional; but HDF5 obeys
 * HDF5_USE_FILE_LOCKING, and other programs take locks. */
static void check_locks(struct doctor *doctor, bool *affected)
{
    char list[DOCTOR_TEXT_SIZE / 2];
    const char *setting = doctor->reports[0].variables[VARIABLE_H5_LOCKING];
    const char *label = setting[0] ? "; HDF5_USE_FILE_LOCKING=" : "";
    const char *remedy = "export HDF5_USE_FILE_LOCKING=FALSE (mpirun -x "
                         "HDF5_USE_FILE_LOCKING), or mount with locks (Lustre: -o flock; "
                         "NFS: its lock service)";
    int first = mark_failing(doctor, can_read_h5, affected);
    if (first >= 0) {
        doctor_add(doctor, DOCTOR_FAULT, "file locks", remedy,
                   "%s: an HDF5 file can't be read: %.200s%s%s",
                   doctor_rank_list(doctor, affected, list, sizeof list),
                   doctor->reports[first].directory.h5, label, setting);
        return;
    }
    first = mark_failing(doctor, can_lock, affected);
    if (first < 0) {
        doctor_add(doctor, DOCTOR_OK, "file locks", NULL,
                   "flock, fcntl and HDF5 files work%s%s", label, setting);
        return;
    }
    const struct directory_report *report = &doctor->reports[first].directory;
    doctor_add(doctor, setting[0] ? DOCTOR_NOTE : DOCTOR_WARNING, "file locks", remedy,
               "%s: %s fails: %s: tutti works without locks, but h5py and h5dump may "
               "not, and two runs in one directory would not be detected%s%s",
               doctor_rank_list(doctor, affected, list, sizeof list),
               report->flock_errno ? "flock" : "fcntl",
               strerror(report->flock_errno ? report->flock_errno : report->fcntl_errno),
               label, setting);
}

/* Weights and both optimizer moments, for run.keep_checkpoints checkpoints plus two: the
 * best one, and the one being written. */
static double bytes_of_checkpoints(const struct doctor *doctor)
{
    return (double)doctor->parameters * sizeof(float) * 3 *
           (double)(doctor->options.run.keep_checkpoints + 2);
}

static void check_space(struct doctor *doctor)
{
    const struct directory_report *report = &doctor->reports[0].directory;
    const double megabyte = 1e6;
    double required = bytes_of_checkpoints(doctor),
           available = (double)report->free_bytes;
    const uint64_t inodes_min = 1000;
    bool scarce = available < required || report->free_files < inodes_min;
    doctor_add(
        doctor,
        available < required / (double)(doctor->options.run.keep_checkpoints + 2)
            ? DOCTOR_FAULT
        : scarce ? DOCTOR_WARNING
                 : DOCTOR_OK,
        "disk space",
        scarce ? "free space, another run.dir, or a smaller run.keep_checkpoints" : NULL,
        "%.0f MB free%s; %lld checkpoints of this model take %.0f MB",
        available / megabyte, report->free_files < inodes_min ? ", but few inodes" : "",
        (long long)doctor->options.run.keep_checkpoints + 2, required / megabyte);
    if (strcmp(file_system_name(report->type), "tmpfs") == 0)
        doctor_add(doctor, DOCTOR_NOTE, "disk space", "--run-dir on a disk",
                   "%.200s is in memory (tmpfs) and is lost on a reboot",
                   doctor->directory);
}

static const char *remedy_for(int reason)
{
    switch (reason) {
    case EROFS:
    case EACCES:
    case EPERM:
        return "another --run-dir, or write permission there";
    case ENOSPC:
    case EDQUOT:
        return "free space or a larger quota, or another --run-dir";
    case ENOENT:
        return "make the directory first (mkdir -p), or correct the path";
    default:
        return "another --run-dir; ask the administrator of the file system";
    }
}

void doctor_check_directory(struct doctor *doctor)
{
    bool *affected = calloc((size_t)doctor->ranks + 1, sizeof *affected);
    if (!affected)
        return;
    if (doctor->directory_error[0]) {
        doctor_add(doctor, DOCTOR_FAULT, "directory",
                   strstr(doctor->directory_error, "HDF5_USE_FILE_LOCKING")
                       ? NULL
                       : remedy_for(doctor->directory_errno),
                   "%.400s", doctor->directory_error);
    } else {
        check_shared(doctor, affected);
        check_links(doctor);
        if (mark_failing(doctor, sees_file, affected) < 0)
            check_locks(doctor, affected);
    }
    if (doctor->directory_errno != ENOENT)
        check_space(doctor);
    free(affected);
}
