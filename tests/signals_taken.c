/* For LD_PRELOAD: an MPI whose start takes the signals for itself, as libraries below it
 * may do that handle them. */
#include <signal.h>
#include <stddef.h>

int PMPI_Init_thread(int *argc, char ***argv, int required, int *provided);
int MPI_Init_thread(int *argc, char ***argv, int required, int *provided);

int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    static const int taken[] = {SIGHUP, SIGTERM, SIGUSR2};
    int code = PMPI_Init_thread(argc, argv, required, provided);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        signal(taken[i], SIG_DFL);
    return code;
}
