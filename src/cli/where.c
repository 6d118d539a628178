/* where: see the header. */
#include "where.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "base/printable.h"
#include "train/run_listing.h"

enum status where_print(const char *run_directory)
{
    if (cli_speaks())
        printable_line(stdout, "step %" PRId64 " of %s", run_saved_step(run_directory),
                       run_directory);
    return STATUS_OK;
}
