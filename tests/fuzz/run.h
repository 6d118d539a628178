/* run: a tiny dataset and a training run on it, made by the program itself once at the
 * start, and the trainer on files that have been modified since. In one process: rank 0
 * of 1. */
#ifndef TUTTI_TESTS_FUZZ_RUN_H
#define TUTTI_TESTS_FUZZ_RUN_H

#include "fuzz.h"
#include "base/options.h"
#include "comm/comm.h"

enum { FUZZ_RUN_STEPS = 5, FUZZ_RUN_SHARDS = 2 };

struct fuzz_run {
    struct comm *comm;
    char *folder;     /* contains all of the following, and a FIFO called "pipe" */
    char *dataset;    /* with FUZZ_RUN_SHARDS shards */
    char *directory;  /* run.dir */
    char *checkpoint; /* after FUZZ_RUN_STEPS steps, in the second epoch */
    struct options options;
};

/* Starts MPI, mutes log and standard output, makes the dataset and the run. */
void fuzz_run_start(struct fuzz_run *run);

/* Trains up to step `max_steps`, from the newest checkpoint or from scratch. */
enum status fuzz_run_train(struct fuzz_run *run, bool resume, int64_t max_steps);

/* Removes all checkpoints but run->checkpoint. */
void fuzz_run_remove_checkpoints(const struct fuzz_run *run);

/* The contents of a file, to be restored. */
struct fuzz_file {
    char *path;
    uint8_t *bytes;
    size_t size;
};
struct fuzz_file fuzz_file_save(const char *path);
void fuzz_file_restore(const struct fuzz_file *file);

#endif
