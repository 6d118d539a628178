/* sandbox: processes untrusted files in a sandboxed child process.
 *
 * A crafted file can crash the HDF5 library, and a crash can sometimes be exploited. So
 * `inspect`, `generate` and `evaluate` read checkpoints and datasets in a child process,
 * forked before MPI and before any thread:
 *
 *   inspect    runs entirely in the child, and prints from there.
 *   generate   reads and samples in the child, which returns only notes; the parent
 *              checks them as it writes the MIDI files.
 *   evaluate   needs MPI, whose sockets and shared files can't be sandboxed. A child of
 *              the first rank reads everything that the ranks will read, before MPI
 *              starts; if it succeeds, the ranks read the same bytes themselves. That
 *              turns a crash into one message, but does not contain an exploit that does
 *              not crash. With --samples the child also generates music, like the child of
 *              `generate`, and returns figures, which the first rank only prints.
 *
 * The child is denied the following, as far as the kernel supports it; without support a
 * restriction is silently omitted:
 *   - new privileges, core dumps, outliving its parent (prctl);
 *   - more memory and processor time than its inputs justify (rlimits): 1 GiB and 10 s,
 *     plus 8 bytes and 1 microsecond for each byte stored;
 *   - every system call except those for reading, writing to descriptors that are
 *     already open and, for `generate` and `evaluate --samples`, starting threads
 *     (seccomp; x86-64 and aarch64): it can't open files for writing, create, rename or
 *     delete files, use sockets, start or signal other processes or execute programs;
 *   - reading files other than its inputs and, for these two, the folders of shared
 *     libraries (Landlock, Linux 5.13).
 * Threads that the child starts inherit all of this. A denied call fails with an error
 * code and doesn't end the child. Sanitizer builds run
 * the child without these restrictions, which the sanitizer runtimes do not support.
 *
 * The child may still write to the user's standard output and error.
 */
#ifndef TUTTI_BASE_SANDBOX_H
#define TUTTI_BASE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "status.h"

/* Files, and directories of runs or datasets, that the child reads. paths[0] is used in
 * messages until sandbox_set_path has named a file. A file of a dataset, and `latest` and
 * `best`, stand for their whole directory. Links in a directory are followed if they are
 * named like a file of a run or dataset and point to a file, or if the link is
 * `checkpoints`. */
struct sandbox_inputs {
    const char *const *paths;
    size_t count;  /* at least 1 */
    bool computes; /* computation follows: threads may be started, shared libraries may be
                      loaded from the loader's directories, and sandbox_begin_computing
                      lifts limits */
};

/* Runs in the child. The parent receives the bytes written to `reply`; sandbox_run
 * returns the status and sets the message. */
typedef enum status sandbox_work(void *context, FILE *reply);

/* Bytes from the child, untrusted. The caller frees `bytes`. */
struct sandbox_reply {
    uint8_t *bytes;
    size_t size;
};

/* Runs `work` in a sandboxed child and waits for it. STATUS_FAILED for a crash ("FILE:
 * damaged: reading it ended in signal 11 (SIGSEGV) ..."), and if the child can't be
 * started. If the child is ended by a signal that does not indicate a fault (SIGINT,
 * SIGPIPE, ...), this process ends by the same signal. If this process ends, the child is
 * killed. On failure *reply is empty; `reply` may be NULL if the work writes nothing to
 * it. The process must have no other threads. */
enum status sandbox_run(const struct sandbox_inputs *inputs, sandbox_work *work,
                        void *context, struct sandbox_reply *reply);

/* Names the file that the child reads from now on, for messages. No effect in a process
 * that isn't sandboxed. */
void sandbox_set_path(const char *path);

/* Marks the end of reading: lifts the limits on memory and processor time, if
 * inputs->computes. No effect in a process that isn't sandboxed. The work of `generate`
 * stays bounded: tokens per second of music are limited (see sampler.h), the length of
 * the music is at most 600 s unless the user requests more, and a token costs at most one
 * pass over the weights stored in the file. */
void sandbox_begin_computing(void);

#endif
