/* inject: faults on purpose, for tests and for people who want to see what happens.
 *
 * `tutti train --inject FAULT@RANK:STEP[:SECONDS]`, any number of times; see
 * inject_help. The list is the process's: the command line fills it, the places where
 * such faults strike ask it.
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
    FAULT_HANG,      /* sleeps for ever, or SECONDS: a file system that doesn't answer */
    FAULT_SLOW,      /* sleeps SECONDS (default 0.1) in this step and all after it */
    FAULT_NAN,       /* one NaN in its gradient */
    FAULT_READ,      /* reading the next window at or behind the step fails with EIO */
    FAULT_FULL_DISK, /* the checkpoint written behind the step meets ENOSPC half-way */
    FAULT_IO_ERROR,  /* the same with EIO */
    FAULT_KILL_SAVE, /* SIGKILL half-way through the checkpoint written behind the step */
    FAULT_TORN, /* the checkpoint written behind the step is cut to half, then SIGKILL */
    FAULTS
};

/* "kill", "segfault", "exit" ... */
const char *inject_name(enum fault fault);

/* Adds one FAULT@RANK:STEP[:SECONDS]; RANK may be "*", STEP counts from 1. STATUS_MISUSE
 * says what was expected. */
enum status inject_add(const char *text);

/* STATUS_MISUSE if an entry is for a rank that is not one of `ranks`. */
enum status inject_check_ranks(int ranks);

/* The rank that this process is; until then it is 0. */
void inject_set_rank(int rank);

/* Does the fault strike here now? True once for each entry whose step it is (FAULT_SLOW:
 * from its step on, in every step). FAULT_READ and those that strike when a checkpoint is
 * written strike at the first asked for at or behind STEP, unless STEP lies before the
 * first step that this process has made (inject_strike). Cheap when the list is empty.
 * From any thread. */
bool inject_due(enum fault fault, int64_t step);

/* SECONDS of the entry that inject_due found last in this thread; 0: none given. */
double inject_seconds(void);

/* kill, segfault, exit, stop, hang, slow: strikes if it is due. At the beginning of every
 * step, from 1. */
void inject_strike(int64_t step);

/* Lines for --help: every fault and what it does. */
const char *inject_help(void);

#endif
