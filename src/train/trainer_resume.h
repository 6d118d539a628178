/* trainer_resume: which checkpoint a run may continue from. */
#ifndef TUTTI_TRAIN_TRAINER_RESUME_H
#define TUTTI_TRAIN_TRAINER_RESUME_H

#include "trainer_data.h"
#include "trainer_persist.h"
#include "base/options.h"
#include "base/status.h"

/* Reads the newest whole checkpoint of run.dir on every rank and checks that `options`,
 * `numerics` (of the matmul backend) and data fit it; persistence->saved is then its name. Without one *out is
 * zeroed: the run starts anew. A run that is not resumed (`start`) is refused where there
 * are checkpoints. run.dir is unchanged after a refusal. The caller owns *out, which is
 * zeroed after a failure. Collective. */
enum status trainer_resume(struct persistence *persistence, enum run_start start,
                           const struct options *options, const char *numerics,
                           const struct training_data *data, struct checkpoint *out);

#endif
