/* lock: serialises calls to HDF5, which is thread-safe only if built that way: one thread
 * writes a checkpoint while others read shards.
 *
 * A recursive ticket lock: threads are served in the order of arrival (with a plain
 * mutex, a thread that relocks it immediately would overtake the waiting ones). Long
 * operations, such as writing a large dataset or verifying all checksums of a file, run
 * in blocks and yield between them; fsync runs without the lock.
 */
#include <pthread.h>

#include "h5_internal.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t served = PTHREAD_COND_INITIALIZER;
static uint64_t next_ticket, serving; /* the next to be issued; the one being served */
static pthread_t owner;               /* valid if depth > 0 */
static int depth;

static void acquire(int new_depth)
{
    uint64_t ticket = next_ticket++;
    while (serving != ticket)
        pthread_cond_wait(&served, &mutex);
    owner = pthread_self();
    depth = new_depth;
}

static void release(void)
{
    depth = 0;
    serving++;
    pthread_cond_broadcast(&served);
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
    if (next_ticket > serving + 1) { /* another thread is waiting */
        int saved_depth = depth;
        release();
        acquire(saved_depth);
    }
    pthread_mutex_unlock(&mutex);
}
