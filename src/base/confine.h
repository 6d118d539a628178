/* confine: work on files from elsewhere in a child process that can do little else.
 *
 * The HDF5 library can be crashed by a crafted file, and a program that can be crashed
 * can sometimes be taken over. So `inspect`, `generate` and `evaluate` leave the reading
 * of checkpoints and datasets to a child process, forked before MPI and before any
 * thread:
 *
 *   inspect    runs in the child as a whole and prints from there.
 *   generate   reads and samples in the child, which returns nothing but notes; the parent
 *              checks them as it writes the MIDI files.
 *   evaluate   needs MPI, whose sockets and shared files can't be confined. A child of the
 *              first rank reads all that the ranks are going to read, before MPI starts;
 *              if it survives, the ranks read the same bytes themselves. That turns a crash
 *              into one message. It doesn't contain a file that crashes nothing.
 *
 * What the child is denied, each as far as the kernel supports it and silently left out
 * where it doesn't:
 *   - new privileges, core dumps, outliving its parent (prctl);
 *   - more memory and processor time than its inputs justify (rlimits): 1 GiB and 10 s,
 *     plus 8 bytes and 1 microsecond for each byte stored;
 *   - every system call but those for reading, computing with threads, and writing to
 *     descriptors that are open already (seccomp; x86-64 and aarch64): no file is opened
 *     for writing, created, renamed or deleted; no sockets, signals to others, programs;
 *   - reading files other than its inputs and, for `generate`, the folders of shared
 *     libraries (Landlock, Linux 5.13).
 * A denied call fails with an error code and doesn't end the child. Sanitizer builds only
 * have the child: their run-time needs what the walls forbid.
 *
 * The child may still write to standard output and error, which are the user's.
 */
#ifndef TUTTI_BASE_CONFINE_H
#define TUTTI_BASE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "status.h"

/* Files, and directories of runs or datasets, that the child reads. paths[0] stands in
 * messages until confine_opening has named a file. A file of a dataset, and `latest` and
 * `best`, stand for their whole folder; links in a folder are followed where they have
 * the name of a file of a run or dataset and lead to a file, or are `checkpoints`. */
struct confine_inputs {
    const char *const *paths;
    size_t count;  /* at least 1 */
    bool computes; /* after reading comes computation: libraries may be loaded from where
                      the loader looks for them, and confine_computing lifts limits */
};

/* In the child. What it writes to `reply` the parent gets as bytes. Its status and
 * message become those of confine_run. */
typedef enum status confine_work(void *context, FILE *reply);

/* Bytes from the child: to be checked like any other input. Freed with free(). */
struct confine_reply {
    uint8_t *bytes;
    size_t size;
};

/* Runs `work` in a confined child and waits for it. A crash is STATUS_FAILED: "FILE:
 * damaged: reading it ended in signal 11 (SIGSEGV) ..."; so is a child that can't be
 * started. A signal that isn't a fault (SIGINT, SIGPIPE ...) and has ended the child ends
 * this process too. If this process ends, the child is killed. On failure *reply is
 * empty; `reply` may be NULL if the work writes nothing to it. Call it from a process
 * without other threads. */
enum status confine_run(const struct confine_inputs *inputs, confine_work *work,
                        void *context, struct confine_reply *reply);

/* The file that the child reads from now on, for messages. Nothing happens in a process
 * that isn't confined. */
void confine_opening(const char *path);

/* All inputs have been read; what follows is computation: lifts the limits on memory and
 * processor time, if inputs->computes. Nothing happens in a process that isn't confined.
 * `generate` comes to an end all the same: it samples at most so many tokens for a second
 * of music (see sampler.h), of at most 600 s if the user asks for no more, and a token
 * costs no more than one pass over the weights that the file stores. */
void confine_computing(void);

#endif
