/* watchdog_example RANK|none: a run without training in which that rank, if any, calls
 * comm_abort; test_watchdog.sh checks the report. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/phase.h"
#include "comm/comm.h"
#include "watchdog/watchdog.h"

int main(int argc, char **argv)
{
    const struct watchdog_request request = {
        .hang_timeout = 60, .directory = ".", .command = "the same again"};
    struct comm *comm;
    struct watchdog *watchdog;
    if (argc != 2 || comm_open(&argc, &argv, &comm) != STATUS_OK ||
        watchdog_open(comm, &request, &watchdog) != STATUS_OK)
        return STATUS_FAILED;
    if (strcmp(argv[1], "none") != 0 && comm_rank(comm) == atoi(argv[1])) {
        status_fail(STATUS_FAILED, "aborted on purpose");
        comm_abort(comm, STATUS_FAILED);
    }
    comm_barrier(comm);
    watchdog_close(watchdog);
    comm_close(comm);
    return STATUS_OK;
}
