/* disk: the virtual file driver through which HDF5 writes a file.
 *
 * HDF5's own driver reports failed writes, from which HDF5 1.10 cannot recover: the file
 * can be neither flushed nor closed, its descriptor stays open (so a deleted file keeps
 * its blocks on the full disk), and the exit handler loops or crashes. Here the first
 * failure is recorded in `reason`; from then on nothing is written, but every write is
 * reported to HDF5 as successful, so that the file closes cleanly. The unit checks
 * `reason` after every operation (h5_disk_status). h5.c owns the descriptor.
 */
#include "h5_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/phase.h"

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

struct disk_file {
    H5FD_t common; /* HDF5's part must come first */
    struct disk *disk;
    haddr_t allocated;
};

static H5FD_t *disk_open(const char *name, unsigned flags, hid_t access, haddr_t limit)
{
    (void)name;
    (void)flags;
    (void)limit;
    struct disk *const *disk = H5Pget_driver_info(access);
    struct disk_file *file = disk ? calloc(1, sizeof *file) : NULL;
    if (!file)
        return NULL;
    file->disk = *disk;
    return &file->common;
}

static herr_t disk_close(H5FD_t *common)
{
    free(common);
    return 0;
}

static herr_t disk_query(const H5FD_t *common, unsigned long *features)
{
    (void)common;
    *features = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA |
                H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_AGGREGATE_SMALLDATA |
                H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t disk_get_allocated(const H5FD_t *common, H5FD_mem_t kind)
{
    (void)kind;
    return ((const struct disk_file *)common)->allocated;
}

static herr_t disk_set_allocated(H5FD_t *common, H5FD_mem_t kind, haddr_t end)
{
    (void)kind;
    ((struct disk_file *)common)->allocated = end;
    return 0;
}

static haddr_t disk_get_end(const H5FD_t *common, H5FD_mem_t kind)
{
    (void)kind;
    return ((const struct disk_file *)common)->disk->end;
}

/* Bytes beyond the end of the file are read as zeros, as by HDF5's own driver. */
static herr_t disk_read(H5FD_t *common, H5FD_mem_t kind, hid_t transfer, haddr_t at,
                        size_t size, void *bytes)
{
    (void)kind;
    (void)transfer;
    struct disk *disk = ((struct disk_file *)common)->disk;
    uint8_t *to = bytes;
    while (size > 0) {
        ssize_t got = pread(disk->descriptor, to, size, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0) {
            memset(to, 0, size);
            break;
        }
        to += got;
        at += (haddr_t)got;
        size -= (size_t)got;
    }
    return 0;
}

static int write_fully(int descriptor, const uint8_t *bytes, size_t size, off_t at)
{
    while (size > 0) {
        ssize_t put = pwrite(descriptor, bytes, size, at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? errno : EIO;
        bytes += put;
        at += put;
        size -= (size_t)put;
    }
    return 0;
}

/* The fault of h5_inject_fault occurs in the middle of a write, as real faults do. */
static int write_or_break(struct disk *disk, const uint8_t *bytes, size_t size, off_t at)
{
    if (disk->fail_after == 0 || disk->written + size <= disk->fail_after)
        return write_fully(disk->descriptor, bytes, size, at);
    int reason = write_fully(disk->descriptor, bytes, size / 2, at);
    if (disk->break_reason == 0)
        kill(getpid(), SIGKILL);
    return reason ? reason : disk->break_reason;
}

static herr_t disk_write(H5FD_t *common, H5FD_mem_t kind, hid_t transfer, haddr_t at,
                         size_t size, const void *bytes)
{
    (void)kind;
    (void)transfer;
    struct disk *disk = ((struct disk_file *)common)->disk;
    if (!disk->reason)
        disk->reason = write_or_break(disk, bytes, size, (off_t)at);
    disk->written += size;
    phase_progress(); /* a slow disk is not a hang */
    if (at + size > disk->end)
        disk->end = at + size;
    return 0;
}

static herr_t disk_truncate(H5FD_t *common, hid_t transfer, hbool_t closing)
{
    (void)transfer;
    (void)closing;
    struct disk_file *file = (struct disk_file *)common;
    struct disk *disk = file->disk;
    if (disk->end == file->allocated)
        return 0;
    if (!disk->reason && ftruncate(disk->descriptor, (off_t)file->allocated) != 0)
        disk->reason = errno;
    disk->end = file->allocated;
    return 0;
}

static const H5FD_class_t disk_class = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = 511, /* from the range reserved for testing */
#endif
    .name = "tutti",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct disk *),
    .open = disk_open,
    .close = disk_close,
    .query = disk_query,
    .get_eoa = disk_get_allocated,
    .set_eoa = disk_set_allocated,
    .get_eof = disk_get_end,
    .read = disk_read,
    .write = disk_write,
    .truncate = disk_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* Registered once and never released: when the last reference to a driver is dropped,
 * HDF5 frees the table through which it is about to call `close`. The caller holds the
 * library's lock. */
static hid_t disk_driver(void)
{
    static hid_t driver = H5I_INVALID_HID;
    if (driver < 0)
        driver = H5FDregister(&disk_class);
    return driver;
}

hid_t disk_access(struct disk *disk)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (H5Pset_driver(access, disk_driver(), &disk) < 0) {
        H5Pclose(access);
        access = H5I_INVALID_HID;
    }
    return access;
}
