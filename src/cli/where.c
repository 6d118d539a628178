/* where: asks the newest checkpoint for its step, and reads no more of it than that. */
#include "where.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "tutti/file.h"
#include "tutti/h5.h"
#include "tutti/log.h"

/* 0, and a warning, when the file can't say. */
static int64_t step_of(const char *path)
{
    struct h5_file *file = NULL;
    int64_t step = 0;
    enum status status = h5_open(path, &file);
    if (status == STATUS_OK)
        status = h5_get_i64(file, "/", "step", &step);
    if (file)
        h5_abandon(file);
    if (status == STATUS_OK)
        return step;
    log_warn("%s", status_message());
    return 0;
}

enum status where_print(const char *run_directory)
{
    char *path = path_format("%s/checkpoints/latest", run_directory);
    if (!path)
        return status_fail(STATUS_FAILED, "%s: out of memory", run_directory);
    int64_t step = file_exists(path) ? step_of(path) : 0;
    free(path);
    if (cli_speaks())
        printf("step %" PRId64 " of %s\n", step, run_directory);
    return STATUS_OK;
}
