/* squeue: the remaining time of a Slurm job, as printed by the command `squeue`. %L does
 * not depend on the clocks of hosts.
 */
#ifndef TUTTI_TRAIN_SQUEUE_H
#define TUTTI_TRAIN_SQUEUE_H

enum squeue_result {
    SQUEUE_OK,          /* the time left is known */
    SQUEUE_NO_JOB,      /* an error: no such job */
    SQUEUE_EMPTY,       /* no output, without an error */
    SQUEUE_UNPARSABLE,  /* some other output */
    SQUEUE_TIMEOUT,     /* no answer in time, or cancelled */
    SQUEUE_NOT_STARTED, /* the command could not be run */
};

/* Runs squeue for the job, ID or ARRAY_INDEX. Waits for some seconds, or until the
 * descriptor `cancel_fd` is readable, and then kills it. *left, seconds, is set with
 * SQUEUE_OK only; 0 for a job past its limit. */
enum squeue_result squeue_time_left(const char *job, int cancel_fd, double *left);

/* Slurm's "[days-]hours:minutes:seconds", "minutes:seconds" or "UNLIMITED" (HUGE_VAL) as
 * seconds; -1: another format. */
double squeue_parse(const char *text);

#endif
