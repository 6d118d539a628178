/* inject: fault injection, for tests and demonstrations.
 *
 * `tutti train --inject FAULT@RANK:STEP[:SECONDS]`, any number of times; see
 * inject_help. The list is global to the process: the command line fills it, and the code
 * in which faults occur queries it.
 */
#ifndef TUTTI_BASE_INJECT_H
#define TUTTI_BASE_INJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

enum fault {
    FAULT_KILL,      /* SIGKILL to itself at the beginning of the step */
    FAULT_SEGFAULT,  /* SIGSEGV */
    FAULT_EXIT,      /* exit(5) */
    FAULT_STOP,      /* SIGSTOP: hangs for ever */
    FAULT_HANG,      /* sleeps for ever, or SECONDS: a file system that hangs */
    FAULT_SLOW,      /* sleeps SECONDS (default 0.1) in this and every later step */
    FAULT_NAN,       /* one NaN in its gradient */
    FAULT_READ,      /* reading the next window at or after the step fails with EIO */
    FAULT_FULL_DISK, /* ENOSPC half-way through the checkpoint written after the step */
    FAULT_IO_ERROR,  /* the same with EIO */
    FAULT_KILL_SAVE, /* SIGKILL half-way through the checkpoint written after the step */
    FAULT_TORN, /* the checkpoint written after the step is cut to half, then SIGKILL */
    FAULTS
};

/* "kill", "segfault", "exit" ... */
const char *inject_name(enum fault fault);

/* Adds one FAULT@RANK:STEP[:SECONDS]; RANK may be "*", STEP counts from 1. STATUS_MISUSE,
 * with the expected form, on a syntax error. */
enum status inject_add(const char *text);

/* STATUS_MISUSE if an entry is for a rank that does not exist. */
enum status inject_check_ranks(int ranks);

/* Sets this process's rank, initially 0. */
void inject_set_rank(int rank);

/* True if the fault occurs here, in this step: once for each entry, in its step
 * (FAULT_SLOW: in every step from its step on). FAULT_READ and the faults of checkpoints
 * occur at the first call at or after STEP, unless STEP precedes the first step of this
 * process (inject_fire). Cheap when the list is empty. From any thread. */
bool inject_triggered(enum fault fault, int64_t step);

/* SECONDS of the entry last found by inject_triggered in this thread; 0 if not given. */
double inject_seconds(void);

/* Carries out kill, segfault, exit, stop, hang and slow in their step. Call it at the
 * beginning of every step, from 1. */
void inject_fire(int64_t step);

/* Text for --help: every fault and its effect. */
const char *inject_help(void);

#endif
