/* lock: one thread at a time in HDF5, which is thread-safe only where it was built to be:
 * a checkpoint is written by a thread of its own while others read shards.
 *
 * Threads are served in the order in which they came (a mutex alone would let one that
 * takes it again at once pass by those that wait), and a thread may take the lock again
 * that it holds. What takes long, the values of a large dataset or the checksums of a
 * whole file, is done in parts and lets the others have their turn between them; waiting
 * for the disk (fsync) is done without the lock.
 */
#include <pthread.h>

#include "h5_internal.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static uint64_t drawn, served; /* numbers given out; the one whose turn it is */
static pthread_t owner;        /* if depth > 0 */
static int depth;

static void take(int times)
{
    uint64_t number = drawn++;
    while (served != number)
        pthread_cond_wait(&turn, &mutex);
    owner = pthread_self();
    depth = times;
}

static void give(void)
{
    depth = 0;
    served++;
    pthread_cond_broadcast(&turn);
}

void h5_lock(void)
{
    pthread_mutex_lock(&mutex);
    if (depth > 0 && pthread_equal(owner, pthread_self()))
        depth++;
    else
        take(1);
    pthread_mutex_unlock(&mutex);
}

void h5_unlock(void)
{
    pthread_mutex_lock(&mutex);
    if (depth > 1)
        depth--;
    else
        give();
    pthread_mutex_unlock(&mutex);
}

void h5_yield(void)
{
    pthread_mutex_lock(&mutex);
    if (drawn > served + 1) { /* somebody waits behind this thread */
        int times = depth;
        give();
        take(times);
    }
    pthread_mutex_unlock(&mutex);
}
