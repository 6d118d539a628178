/* For LD_PRELOAD: RANDOM_FAULT=none simulates a system without random numbers;
 * RANDOM_FAULT=slow delays the nonce of rank 2's watchdog, and so its join, by three
 * seconds. Only the first call of that size waits (libuuid, used by MPI, requests the
 * same size with other flags). */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

enum { NONCE = 16, SECONDS = 3 };

static int is_rank_2(void)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (!rank)
        rank = getenv("PMI_RANK");
    return rank && strcmp(rank, "2") == 0;
}

ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    static ssize_t (*next)(void *, size_t, unsigned);
    static int slept;
    const char *fault = getenv("RANDOM_FAULT");
    if (fault && strcmp(fault, "none") == 0) {
        errno = ENOSYS;
        return -1;
    }
    if (fault && size == NONCE && flags == 0 && is_rank_2() && !slept++)
        sleep(SECONDS);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "getrandom");
    return next(bytes, size, flags);
}
