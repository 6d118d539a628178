/* trainer_resume: finds the checkpoint that a run continues from, and checks that it
 * fits. */
#ifndef TUTTI_TRAIN_TRAINER_RESUME_H
#define TUTTI_TRAIN_TRAINER_RESUME_H

#include "trainer_data.h"
#include "trainer_persist.h"
#include "base/options.h"
#include "base/status.h"

struct resume_expectation { /* what a checkpoint must match; all borrowed */
    const struct options *options;
    const struct training_data *data;
    const char *numerics; /* id of this run's matmul kernels */
};

/* Finds the newest intact checkpoint of run.dir: persistence->saved is then its name, ""
 * if there is none. Rank 0 reads it into *out, which the caller owns, also after a
 * failure; it is zeroed on the other ranks. With RUN_NEW, fails if there are checkpoints.
 * Collective. */
enum status trainer_resume_find(struct persistence *persistence, enum run_start start,
                                struct checkpoint *out);

/* After trainer_resume_find: reads the checkpoint on the other ranks, and checks on every
 * rank that it fits. If there is none, *out stays zeroed and the run starts anew. run.dir
 * is unchanged after a failure. Collective. */
enum status trainer_resume_load(struct persistence *persistence, enum run_start start,
                                const struct resume_expectation *expected,
                                struct checkpoint *out);

#endif
