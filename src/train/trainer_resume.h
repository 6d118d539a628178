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

/* Reads the newest intact checkpoint of run.dir on every rank and checks that it fits;
 * persistence->saved is then its name. If there is none, *out is zeroed and the run
 * starts anew. With RUN_NEW, fails if there are checkpoints. run.dir is unchanged after a
 * failure. The caller owns *out, which is zeroed after a failure. Collective. */
enum status trainer_resume(struct persistence *persistence, enum run_start start,
                           const struct resume_expectation *expected,
                           struct checkpoint *out);

#endif
