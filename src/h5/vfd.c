/* vfd: the virtual file driver through which HDF5 writes a file.
 *
 * HDF5's own driver reports failed writes, from which HDF5 1.10 cannot recover: the file
 * can be neither flushed nor closed, its descriptor stays open (so a deleted file keeps
 * its blocks on the full disk), and the exit handler loops or crashes. Here the first
 * failure is recorded in `write_errno`; from then on nothing is written, but every write
 * is reported to HDF5 as successful, so that the file closes cleanly. The unit checks
 * `write_errno` after every operation (h5_write_status). h5.c owns the descriptor.
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

struct vfd_file {
    H5FD_t common; /* HDF5's part must come first */
    struct h5_vfd *vfd;
    haddr_t eoa;
};

static H5FD_t *vfd_open(const char *name, unsigned flags, hid_t access, haddr_t limit)
{
    (void)name;
    (void)flags;
    (void)limit;
    struct h5_vfd *const *vfd = H5Pget_driver_info(access);
    struct vfd_file *file = vfd ? calloc(1, sizeof *file) : NULL;
    if (!file)
        return NULL;
    file->vfd = *vfd;
    return &file->common;
}

static herr_t vfd_close(H5FD_t *common)
{
    free(common);
    return 0;
}

static herr_t vfd_query(const H5FD_t *common, unsigned long *features)
{
    (void)common;
    *features = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA |
                H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_AGGREGATE_SMALLDATA |
                H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t vfd_get_eoa(const H5FD_t *common, H5FD_mem_t kind)
{
    (void)kind;
    return ((const struct vfd_file *)common)->eoa;
}

static herr_t vfd_set_eoa(H5FD_t *common, H5FD_mem_t kind, haddr_t end)
{
    (void)kind;
    ((struct vfd_file *)common)->eoa = end;
    return 0;
}

static haddr_t vfd_get_eof(const H5FD_t *common, H5FD_mem_t kind)
{
    (void)kind;
    return ((const struct vfd_file *)common)->vfd->eof;
}

/* Bytes beyond the end of the file are read as zeros, as by HDF5's own driver. */
static herr_t vfd_read(H5FD_t *common, H5FD_mem_t kind, hid_t transfer, haddr_t at,
                       size_t size, void *bytes)
{
    (void)kind;
    (void)transfer;
    struct h5_vfd *vfd = ((struct vfd_file *)common)->vfd;
    uint8_t *to = bytes;
    while (size > 0) {
        ssize_t got = pread(vfd->descriptor, to, size, (off_t)at);
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
static int write_or_fault(struct h5_vfd *vfd, const uint8_t *bytes, size_t size, off_t at)
{
    if (vfd->fail_after == 0 || vfd->written + size <= vfd->fail_after)
        return write_fully(vfd->descriptor, bytes, size, at);
    int reason = write_fully(vfd->descriptor, bytes, size / 2, at);
    if (vfd->fault_errno == 0)
        kill(getpid(), SIGKILL);
    return reason ? reason : vfd->fault_errno;
}

static herr_t vfd_write(H5FD_t *common, H5FD_mem_t kind, hid_t transfer, haddr_t at,
                        size_t size, const void *bytes)
{
    (void)kind;
    (void)transfer;
    struct h5_vfd *vfd = ((struct vfd_file *)common)->vfd;
    if (!vfd->write_errno)
        vfd->write_errno = write_or_fault(vfd, bytes, size, (off_t)at);
    vfd->written += size;
    phase_progress(); /* a slow disk is not a hang */
    if (at + size > vfd->eof)
        vfd->eof = at + size;
    return 0;
}

static herr_t vfd_truncate(H5FD_t *common, hid_t transfer, hbool_t closing)
{
    (void)transfer;
    (void)closing;
    struct vfd_file *file = (struct vfd_file *)common;
    struct h5_vfd *vfd = file->vfd;
    if (vfd->eof == file->eoa)
        return 0;
    if (!vfd->write_errno && ftruncate(vfd->descriptor, (off_t)file->eoa) != 0)
        vfd->write_errno = errno;
    vfd->eof = file->eoa;
    return 0;
}

static const H5FD_class_t vfd_class = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = 511, /* from the range reserved for testing */
#endif
    .name = "tutti",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct h5_vfd *),
    .open = vfd_open,
    .close = vfd_close,
    .query = vfd_query,
    .get_eoa = vfd_get_eoa,
    .set_eoa = vfd_set_eoa,
    .get_eof = vfd_get_eof,
    .read = vfd_read,
    .write = vfd_write,
    .truncate = vfd_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* Registered once and never released: when the last reference to a driver is dropped,
 * HDF5 frees the table through which it is about to call `close`. The caller holds the
 * library's lock. */
static hid_t vfd_driver(void)
{
    static hid_t driver = H5I_INVALID_HID;
    if (driver < 0)
        driver = H5FDregister(&vfd_class);
    return driver;
}

hid_t h5_vfd_access(struct h5_vfd *vfd)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (H5Pset_driver(access, vfd_driver(), &vfd) < 0) {
        H5Pclose(access);
        access = H5I_INVALID_HID;
    }
    return access;
}
