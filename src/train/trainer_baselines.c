/* trainer_baselines: counting the training tokens is a pass over all of them, which takes
 * time where they stay on disk. So checkpoints hold the counts and the baselines, for a
 * run that is continued and for evaluations on other datasets.
 */
#include <stdlib.h>

#include "trainer_internal.h"

enum status trainer_baselines(struct trainer *trainer)
{
    struct checkpoint *now = &trainer->now;
    enum status status = STATUS_OK;
    if (!now->pairs) { /* no checkpoint, or one of an older program */
        status =
            baselines_count(trainer->comm, trainer->dataset, SPLIT_TRAIN, &now->pairs);
        if (status == STATUS_OK)
            status = baselines_evaluate(trainer->comm, trainer->dataset, SPLIT_VALID,
                                        now->pairs, &now->baselines);
    }
    trainer->baselines = now->baselines;
    if (comm_rank(trainer->comm) != 0) { /* rank 0 writes the checkpoints */
        free(now->pairs);
        now->pairs = NULL;
    }
    return status;
}
