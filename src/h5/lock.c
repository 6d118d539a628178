/* lock: serialises calls of HDF5, which is thread-safe only if it was built so: one
 * thread writes a checkpoint while others read shards.
 *
 * A recursive ticket lock: threads are served in the order of their arrival (a plain
 * mutex would let a thread that retakes it at once overtake those that wait). Long
 * operations, such as writing a large dataset or verifying all checksums of a file, run
 * in blocks and yield between them; fsync runs without the lock.
 */
#include <pthread.h>

#include "h5_internal.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static uint64_t next_ticket, serving; /* the ticket to be drawn; the one being served */
static pthread_t owner;               /* if depth > 0 */
static int depth;

static void acquire(int times)
{
    uint64_t ticket = next_ticket++;
    while (serving != ticket)
        pthread_cond_wait(&turn, &mutex);
    owner = pthread_self();
    depth = times;
}

static void release(void)
{
    depth = 0;
    serving++;
    pthread_cond_broadcast(&turn);
}

void h5_lock(void)
{
    pthread_mutex_lock(&mutex);
    if (depth > 0 && pthread_equal(owner, pthread_self()))
        depth++;
    else
        acquire(1);
    pthread_mutex_unlock(&mutex);
}

void h5_unlock(void)
{
    pthread_mutex_lock(&mutex);
    if (depth > 1)
        depth--;
    else
        release();
    pthread_mutex_unlock(&mutex);
}

void h5_yield(void)
{
    pthread_mutex_lock(&mutex);
    if (next_ticket > serving + 1) { /* another thread waits */
        int times = depth;
        release();
        acquire(times);
    }
    pthread_mutex_unlock(&mutex);
}
