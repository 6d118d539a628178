/* metrics_lines: see the header. */
#include "metrics_lines.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status check_kind(int descriptor, const char *path)
{
    struct stat st;
    if (fstat(descriptor, &st) != 0)
        return status_fail_errno("%s: can't read", path);
    return S_ISREG(st.st_mode)
               ? STATUS_OK
               : status_fail(STATUS_FAILED, "%s: not a regular file", path);
}

enum status metrics_lines_open(const char *path, struct metrics_lines *out)
{
    *out = (struct metrics_lines){.lines = {.name = path, .max_bytes = METRICS_MAX_LINE}};
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (descriptor < 0)
        return status_fail_errno("%s: can't open", path);
    enum status status = check_kind(descriptor, path);
    if (status == STATUS_OK && !(out->lines.file = fdopen(descriptor, "r")))
        status = status_fail_errno("%s: can't read", path);
    if (status != STATUS_OK)
        close(descriptor);
    return status;
}

bool metrics_lines_next(struct metrics_lines *from)
{
    bool more = false;
    if (from->status == STATUS_OK && text_lines_next(&from->lines, &more) != STATUS_OK)
        from->status = STATUS_FAILED;
    return more;
}

void metrics_lines_rewind(struct metrics_lines *from)
{
    rewind(from->lines.file);
    from->lines.number = 0;
    from->status = STATUS_OK;
}

bool metrics_lines_read_failed(const struct metrics_lines *from)
{
    return from->status != STATUS_OK && ferror(from->lines.file);
}

void metrics_lines_close(struct metrics_lines *from)
{
    fclose(from->lines.file);
    text_lines_free(&from->lines);
}
