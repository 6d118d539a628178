/* For LD_PRELOAD: an MPI_Init that replaces signal handlers, as MPI's transport libraries
 * may do. */
#include <signal.h>
#include <stddef.h>

int PMPI_Init_thread(int *argc, char ***argv, int required, int *provided);
int MPI_Init_thread(int *argc, char ***argv, int required, int *provided);

int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    static const int reset[] = {SIGHUP, SIGTERM, SIGUSR2};
    int code = PMPI_Init_thread(argc, argv, required, provided);
    for (size_t i = 0; i < sizeof reset / sizeof *reset; i++)
        signal(reset[i], SIG_DFL);
    return code;
}
