/* library: initialises HDF5 for this process, and makes messages from its errors. */
#include "h5_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/phase.h"

enum { SYNC_BYTES = 64 << 20 };

void h5_init(void)
{
    static _Thread_local bool started; /* in some builds the error stack is per thread */
    if (started)
        return;
    started = true;
    H5dont_atexit(); /* by then everything is closed or can't be closed */
    H5open();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    /* a file may name any filter, and the library would load it as a plugin */
    unsigned plugins = 0;
    if (H5PLget_loading_state(&plugins) >= 0)
        H5PLset_loading_state(plugins & ~(unsigned)H5PL_FILTER_PLUGIN);
}

const char *h5_library(void)
{
    static char text[32];
    unsigned major, minor, release;
    H5_HOLD_LOCK;
    if (text[0] == '\0' && H5get_libversion(&major, &minor, &release) >= 0)
        snprintf(text, sizeof text, "HDF5 %u.%u.%u", major, minor, release);
    return text;
}

/* HDF5 1.14 hides a filter's own message. The only filter used here is the checksum. */
static bool is_filter_failure(const H5E_error2_t *error)
{
    return error->maj_num == H5E_PLINE && error->min_num == H5E_READERROR;
}

static herr_t copy_innermost(unsigned depth, const H5E_error2_t *error, void *text)
{
    if (depth == 0 && error->desc)
        snprintf(text, H5_ERROR_SIZE, "%s%s",
                 is_filter_failure(error) ? "the checksum is wrong: " : "", error->desc);
    return 0;
}

void h5_error_text(char *text)
{
    snprintf(text, H5_ERROR_SIZE, "unknown cause");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, copy_innermost, text);
    H5Eclear2(H5E_DEFAULT);
}

enum status h5_write_status(const struct h5_file *file)
{
    if (!file->vfd.write_errno)
        return STATUS_OK;
    errno = file->vfd.write_errno;
    return status_fail_errno("%s: can't write", file->path);
}

void h5_yield_and_sync(struct h5_file *file)
{
    struct h5_vfd *vfd = &file->vfd;
    if (vfd->written - vfd->synced < SYNC_BYTES) {
        h5_yield();
        return;
    }
    h5_unlock(); /* only this thread uses this file */
    int result = fdatasync(vfd->descriptor);
    int reason = errno;
    h5_lock();
    phase_progress();
    vfd->synced = vfd->written;
    /* not supported by some file systems */
    if (result != 0 && reason != EINVAL && reason != ENOSYS && !vfd->write_errno)
        vfd->write_errno = reason;
}

enum status h5_fail(const struct h5_file *file, const char *name, const char *what)
{
    char cause[H5_ERROR_SIZE];
    h5_error_text(cause);
    if (file->vfd.write_errno)
        return h5_write_status(file);
    const char *damaged = strstr(cause, "checksum") ? " (the file is damaged)" : "";
    return status_fail(STATUS_FAILED, "%s: %s%s%s: %s%s", file->path, name ? name : "",
                       name ? ": " : "", what, cause, damaged);
}
