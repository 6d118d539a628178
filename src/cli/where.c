/* where: see the header. */
#include "where.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "tutti/trainer.h"

enum status where_print(const char *run_directory)
{
    if (cli_speaks())
        printf("step %" PRId64 " of %s\n", train_saved_step(run_directory),
               run_directory);
    return STATUS_OK;
}
