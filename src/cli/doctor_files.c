/* doctor_files: what the file system under the runs can do, tried out in a directory of
 * its own that is removed again.
 *
 * Rank 0 writes as a checkpoint is written (another name, fsync, rename, fsync of the
 * directory); every rank looks for it, which tells whether the directory is shared, and
 * takes the locks that HDF5 takes. Both kinds: HDF5 asks for flock() where the system has
 * it and for fcntl() elsewhere.
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

static const double patience = 5; /* seconds: NFS keeps a directory's contents for 3 */

/* The names of what is tried; the same on all ranks. */
struct trial {
    char directory[DOCTOR_PATH + 96], file[DOCTOR_PATH + 128], h5[DOCTOR_PATH + 128];
    char words[DOCTOR_WORD]; /* what the file holds */
};

static void name_trial(const struct doctor *doctor, struct trial *trial)
{
    memset(trial, 0, sizeof *trial);
    snprintf(trial->directory, sizeof trial->directory, "%s/.tutti-doctor-%.32s-%ld",
             doctor->directory, doctor->here.host, (long)getpid());
    snprintf(trial->file, sizeof trial->file, "%.*s/file",
             (int)sizeof trial->directory - 1, trial->directory);
    snprintf(trial->h5, sizeof trial->h5, "%.*s/file.h5",
             (int)sizeof trial->directory - 1, trial->directory);
    snprintf(trial->words, sizeof trial->words, "%ld %.6f", (long)getpid(),
             clock_seconds());
}

static bool holds(const char *path, const char *words)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    bool same = file_read(path, DOCTOR_WORD, &bytes, &size) == STATUS_OK &&
                size == strlen(words) && memcmp(bytes, words, size) == 0;
    free(bytes);
    return same;
}

/* Is the file replaced at once? Whoever has the old one open goes on reading it. */
static enum status try_rename(const struct trial *trial)
{
    char old[DOCTOR_WORD] = "";
    enum status status = file_write(trial->file, "old", 3);
    if (status != STATUS_OK)
        return status;
    int descriptor = open(trial->file, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return status_fail_errno("%s: can't open", trial->file);
    status = file_write(trial->file, trial->words, strlen(trial->words));
    ssize_t got = pread(descriptor, old, sizeof old - 1, 0);
    close(descriptor);
    if (status != STATUS_OK)
        return status;
    if (got != 3 || strcmp(old, "old") != 0 || !holds(trial->file, trial->words))
        return status_fail(STATUS_FAILED, "%s: rename does not replace a file at once",
                           trial->file);
    return STATUS_OK;
}

static enum status try_h5(const struct trial *trial)
{
    struct h5_file *file = NULL;
    const int64_t value = 1;
    const size_t one = 1;
    enum status status = h5_create(trial->h5, &file);
    if (status == STATUS_OK)
        status = h5_write(file, "value", H5_I64, 1, &one, &value);
    if (status == STATUS_OK)
        return h5_close(file);
    h5_abandon(file);
    return status;
}

/* 0, or why a link can't be made; ENOTSUP for something else in its place. */
static int try_link(const struct trial *trial)
{
    static const char target[] = "file";
    char path[sizeof trial->directory + 8], found[sizeof target + 1] = "";
    snprintf(path, sizeof path, "%s/link", trial->directory);
    if (symlink(target, path) != 0)
        return errno;
    ssize_t length = readlink(path, found, sizeof found - 1);
    return length > 0 && strcmp(found, target) == 0 ? 0 : ENOTSUP;
}

/* Rank 0's part. A failure is a finding. */
static void write_trial(struct doctor *doctor, const struct trial *trial)
{
    enum status status = STATUS_OK;
    if (mkdir(trial->directory, 0777) != 0) {
        doctor->directory_errno = errno;
        status = status_fail_errno("%s: can't make a directory there", doctor->directory);
    }
    double began = clock_seconds();
    if (status == STATUS_OK)
        status = file_write(trial->file, "first", 5);
    doctor->sync_seconds = clock_seconds() - began;
    if (status == STATUS_OK)
        status = try_rename(trial);
    if (status == STATUS_OK)
        doctor->here.directory.symlink = try_link(trial);
    if (status == STATUS_OK)
        status = try_h5(trial);
    if (status != STATUS_OK)
        snprintf(doctor->directory_fault, sizeof doctor->directory_fault, "%.*s",
                 DOCTOR_TEXT - 1, status_message());
}

/* What write_trial has made, and nothing that came to it. */
static void remove_trial(const struct trial *trial)
{
    static const char *const names[] = {"file", "file.h5", "link"};
    int directory =
        open(trial->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    for (size_t i = 0; directory >= 0 && i < sizeof names / sizeof *names; i++)
        unlinkat(directory, names[i], 0);
    if (directory >= 0)
        close(directory);
    rmdir(trial->directory);
}

static void look_for_file(struct directory_facts *facts, const struct trial *trial)
{
    double began = clock_seconds();
    facts->seen = ENOENT;
    while (facts->seen && clock_seconds() - began < patience) {
        int descriptor = open(trial->file, O_RDONLY | O_CLOEXEC);
        facts->seen = descriptor < 0 ? errno : holds(trial->file, trial->words) ? 0 : EIO;
        if (descriptor >= 0)
            close(descriptor);
        if (facts->seen)
            usleep(50000);
    }
    facts->seen_after = clock_seconds() - began;
}

static void try_locks(struct directory_facts *facts, const struct trial *trial)
{
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int descriptor = open(trial->file, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return;
    facts->flock = flock(descriptor, LOCK_SH | LOCK_NB) == 0 ? 0 : errno;
    facts->fcntl = fcntl(descriptor, F_SETLK, &whole) == 0 ? 0 : errno;
    close(descriptor);
}

static void read_h5(struct directory_facts *facts, const struct trial *trial)
{
    struct h5_file *file = NULL;
    int64_t value = 0;
    const size_t one = 1;
    enum status status = h5_open(trial->h5, &file);
    if (status == STATUS_OK)
        status = h5_read(file, "value", H5_I64, 1, &one, &value);
    if (status != STATUS_OK)
        snprintf(facts->h5, sizeof facts->h5, "%.*s", DOCTOR_TEXT - 1, status_message());
    h5_abandon(file);
}

static void look_at_space(struct directory_facts *facts, const char *directory)
{
    struct statvfs space;
    struct statfs system;
    facts->free_bytes = facts->free_files = UINT64_MAX;
    if (statvfs(directory, &space) == 0) {
        facts->free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
        facts->free_files = space.f_files ? space.f_favail : UINT64_MAX;
    }
    if (statfs(directory, &system) == 0)
        facts->type = (uint64_t)system.f_type;
}

enum status doctor_try_directory(struct doctor *doctor)
{
    struct trial trial;
    struct directory_facts *facts = &doctor->here.directory;
    name_trial(doctor, &trial);
    if (doctor->rank == 0)
        write_trial(doctor, &trial);
    look_at_space(facts, doctor->directory);
    int64_t broken = doctor->directory_fault[0] != '\0';
    enum status status = STATUS_OK;
    if (doctor->comm) {
        status =
            comm_agree(doctor->comm, comm_broadcast(doctor->comm, &trial, sizeof trial));
        broken = comm_max_i64(doctor->comm, broken);
    }
    if (status == STATUS_OK && !broken) {
        look_for_file(facts, &trial);
        if (!facts->seen) {
            try_locks(facts, &trial);
            read_h5(facts, &trial);
        }
    }
    if (doctor->comm)
        comm_barrier(doctor->comm);
    if (doctor->rank == 0 && doctor->directory_errno == 0)
        remove_trial(&trial);
    return status;
}

/* ---- judging ---- */

/* f_type of statfs(2), and of the kernel's headers of each file system. */
static const struct {
    uint64_t type;
    const char *name;
} systems[] = {
    {0xEF53, "ext4"},       {0x58465342, "xfs"},     {0x9123683E, "btrfs"},
    {0x01021994, "tmpfs"},  {0x794c7630, "overlay"}, {0x6969, "NFS"},
    {0x0BD00BD0, "Lustre"}, {0x47504653, "GPFS"},    {0x19830326, "BeeGFS"},
    {0x00C36400, "CephFS"}, {0x2FC12FC1, "ZFS"},     {0xFF534D42, "CIFS"},
    {0x65735546, "FUSE"},   {0x01021997, "9p"},
};

static const char *system_name(uint64_t type)
{
    for (size_t i = 0; i < sizeof systems / sizeof *systems; i++)
        if (systems[i].type == type)
            return systems[i].name;
    return "unknown";
}

static bool sees(const struct place *place)
{
    return place->directory.seen == 0;
}

static bool locks(const struct place *place)
{
    return place->directory.flock == 0 && place->directory.fcntl == 0;
}

static bool reads_h5(const struct place *place)
{
    return place->directory.h5[0] == '\0';
}

/* The ranks for which it does not hold; returns the first of them, or -1. */
static int mark_not(const struct doctor *doctor, bool (*holds_for)(const struct place *),
                    bool *which)
{
    int first = -1;
    for (int r = doctor->ranks - 1; r >= 0; r--) {
        which[r] = !holds_for(&doctor->places[r]);
        first = which[r] ? r : first;
    }
    return first;
}

static void judge_shared(struct doctor *doctor, bool *which)
{
    char who[DOCTOR_TEXT / 2];
    double longest = 0;
    int first = mark_not(doctor, sees, which);
    for (int r = 0; r < doctor->ranks; r++)
        if (doctor->places[r].directory.seen_after > longest)
            longest = doctor->places[r].directory.seen_after;
    if (first >= 0)
        doctor_find(
            doctor, DOCTOR_FAULT, "directory",
            "--run-dir on a file system that all hosts share; and the dataset too",
            "%.200s: a file that rank 0 (%s) writes is not seen by %s: %s",
            doctor->directory, doctor->places[0].host,
            doctor_who(doctor, which, who, sizeof who),
            strerror(doctor->places[first].directory.seen));
    else
        doctor_find(doctor, DOCTOR_OK, "directory", NULL,
                    "%.200s (%s): a file is safe on the disk in %.0f ms, replaced at "
                    "once, and seen by %s within %.0f ms",
                    doctor->directory, system_name(doctor->places[0].directory.type),
                    1e3 * doctor->sync_seconds,
                    doctor->ranks == 1 ? "this rank" : "all ranks", 1e3 * longest);
}

static void judge_links(struct doctor *doctor)
{
    int reason = doctor->places[0].directory.symlink;
    if (reason)
        doctor_find(doctor, DOCTOR_NOTE, "directory", NULL,
                    "no symbolic links (%s): checkpoints/latest and best are left out; "
                    "tutti finds the newest and the best without them",
                    strerror(reason));
}

/* tutti takes no lock to read, and one to write that it can do without; but HDF5 does as
 * HDF5_USE_FILE_LOCKING says, and other programs lock. */
static void judge_locks(struct doctor *doctor, bool *which)
{
    char who[DOCTOR_TEXT / 2];
    const char *setting = doctor->places[0].variables[VARIABLE_H5_LOCKING];
    const char *said = setting[0] ? "; HDF5_USE_FILE_LOCKING=" : "";
    const char *cure = "export HDF5_USE_FILE_LOCKING=FALSE (mpirun -x "
                       "HDF5_USE_FILE_LOCKING), or a mount that has locks (Lustre: -o "
                       "flock; NFS: its lock service)";
    int first = mark_not(doctor, reads_h5, which);
    if (first >= 0) {
        doctor_find(doctor, DOCTOR_FAULT, "file locks", cure,
                    "%s: an HDF5 file can't be read: %.200s%s%s",
                    doctor_who(doctor, which, who, sizeof who),
                    doctor->places[first].directory.h5, said, setting);
        return;
    }
    first = mark_not(doctor, locks, which);
    if (first < 0) {
        doctor_find(doctor, DOCTOR_OK, "file locks", NULL,
                    "flock and fcntl work, HDF5 files too%s%s", said, setting);
        return;
    }
    const struct directory_facts *facts = &doctor->places[first].directory;
    doctor_find(doctor, setting[0] ? DOCTOR_NOTE : DOCTOR_WARNING, "file locks", cure,
                "%s: %s fails: %s: tutti does without, but h5py and h5dump may not, and "
                "two runs in one directory would not be noticed%s%s",
                doctor_who(doctor, which, who, sizeof who),
                facts->flock ? "flock" : "fcntl",
                strerror(facts->flock ? facts->flock : facts->fcntl), said, setting);
}

/* Weights and the optimizer's two moments, for those that are kept and two more. */
static double bytes_of_checkpoints(const struct doctor *doctor)
{
    return (double)doctor->parameters * sizeof(float) * 3 *
           (double)(doctor->options.run.keep + 2);
}

static void judge_space(struct doctor *doctor)
{
    const struct directory_facts *facts = &doctor->places[0].directory;
    const double megabyte = 1e6;
    double need = bytes_of_checkpoints(doctor), have = (double)facts->free_bytes;
    const uint64_t few = 1000;
    bool scarce = have < need || facts->free_files < few;
    doctor_find(doctor,
                have < need / (double)(doctor->options.run.keep + 2) ? DOCTOR_FAULT
                : scarce                                             ? DOCTOR_WARNING
                                                                     : DOCTOR_OK,
                "disk space",
                scarce ? "make room, another run.dir, or a smaller run.keep" : NULL,
                "%.0f MB free%s; %lld checkpoints of this model take %.0f MB",
                have / megabyte, facts->free_files < few ? ", but hardly any inode" : "",
                (long long)doctor->options.run.keep + 2, need / megabyte);
    if (strcmp(system_name(facts->type), "tmpfs") == 0)
        doctor_find(doctor, DOCTOR_NOTE, "disk space", "--run-dir on a disk",
                    "%.200s is in memory (tmpfs): it is gone with the machine",
                    doctor->directory);
}

static const char *cure_of(int reason)
{
    switch (reason) {
    case EROFS:
    case EACCES:
    case EPERM:
        return "another --run-dir, or the right to write there";
    case ENOSPC:
    case EDQUOT:
        return "make room (the quota too), or another --run-dir";
    case ENOENT:
        return "make the directory first, or correct the path";
    default:
        return "another --run-dir; ask who runs the file system";
    }
}

void judge_directory(struct doctor *doctor)
{
    bool *which = calloc((size_t)doctor->ranks + 1, sizeof *which);
    if (!which)
        return;
    if (doctor->directory_fault[0]) {
        doctor_find(doctor, DOCTOR_FAULT, "directory",
                    strstr(doctor->directory_fault, "HDF5_USE_FILE_LOCKING")
                        ? NULL
                        : cure_of(doctor->directory_errno),
                    "%.400s", doctor->directory_fault);
    } else {
        judge_shared(doctor, which);
        judge_links(doctor);
        if (mark_not(doctor, sees, which) < 0)
            judge_locks(doctor, which);
    }
    if (doctor->directory_errno != ENOENT)
        judge_space(doctor);
    free(which);
}
