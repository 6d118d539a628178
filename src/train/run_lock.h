/* run_lock: only one run at a time writes into a directory.
 *
 * A compute node may be cut off from its cluster while rank 0 still runs on it, and the
 * job may be requeued elsewhere; both would then write the same checkpoints. The lock is
 * a kernel lock (fcntl, which NFS shares between hosts) on the file `lock`: it is
 * released when the process ends, however it ends, and children do not inherit it. The
 * file names the holder, "HOST, pid PID, job JOB", and is empty after a run that has
 * exited normally. A link, or a file that contains anything else, is never written to.
 */
#ifndef TUTTI_TRAIN_RUN_LOCK_H
#define TUTTI_TRAIN_RUN_LOCK_H

#include "base/status.h"

struct run_lock;

/* Takes the lock of the directory, which exists. If another process holds it, logs this
 * and waits for up to `timeout` seconds, because a killed process may take a while to
 * exit; then fails with STATUS_FAILED and a message that names the holder. On a file
 * system without locks it logs a warning, and *out holds no lock. STATUS_MISUSE: the file
 * is not the lock of a run. A second lock in the same process is not detected. */
enum status run_lock_acquire(const char *directory, double timeout,
                             struct run_lock **out);

/* NULL is fine. */
void run_lock_release(struct run_lock *lock);

#endif
