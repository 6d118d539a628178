/* run_lock: only one run at a time writes into a directory.
 *
 * A batch host may lose touch with its cluster while rank 0 lives on there, and the job
 * be started anew elsewhere; two would then write the same checkpoints. The lock is the
 * kernel's (fcntl, which NFS carries to other hosts) on the file `lock`: a process that
 * dies, however it dies, no longer holds it, and its children never do. The file says who
 * holds it: "HOST, pid PID, job JOB"; it is empty after a run that has left in order.
 * A link, or a file that holds anything else, is not written to.
 */
#ifndef TUTTI_TRAIN_RUN_LOCK_H
#define TUTTI_TRAIN_RUN_LOCK_H

#include "base/status.h"

struct run_lock;

/* Takes the lock of the directory, which exists. If another process holds it, waits for
 * `seconds` at most and says so, as who was killed may take a while to die; then
 * STATUS_FAILED names the holder. Where the file system has no locks it is a warning, and
 * *out holds nothing. STATUS_MISUSE: the file is not the lock of a run. Taking it twice
 * in one process is not noticed. */
enum status run_lock_take(const char *directory, double seconds, struct run_lock **out);

/* NULL is fine. */
void run_lock_release(struct run_lock *lock);

#endif
