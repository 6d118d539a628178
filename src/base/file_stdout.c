/* file_stdout: the descriptor of data written to standard output; see file.h. */
#include "file_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int stdout_descriptor = STDOUT_FILENO;

int file_stdout_descriptor(void)
{
    return stdout_descriptor;
}

enum status file_reserve_stdout(void)
{
    if (stdout_descriptor != STDOUT_FILENO)
        return STATUS_OK;
    fflush(stdout);
    int data = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (data < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        enum status status = status_fail_errno("standard output: can't write");
        if (data >= 0)
            close(data);
        return status;
    }
    stdout_descriptor = data;
    return STATUS_OK;
}
