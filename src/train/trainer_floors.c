/* trainer_floors: counting the training tokens is a pass over all of them, which takes
 * time where they stay on disk. So checkpoints hold the counts and the floors, for a run
 * that is continued and for evaluations on other datasets.
 */
#include <stdlib.h>

#include "trainer_internal.h"

enum status trainer_floors(struct trainer *trainer)
{
    struct checkpoint *now = &trainer->now;
    enum status status = STATUS_OK;
    if (!now->pairs) { /* no checkpoint, or one of an older program */
        status = floors_count(trainer->comm, trainer->dataset, SPLIT_TRAIN, &now->pairs);
        if (status == STATUS_OK)
            status = floors_evaluate(trainer->comm, trainer->dataset, SPLIT_VALID,
                                     now->pairs, &now->floors);
    }
    trainer->floors = now->floors;
    if (comm_rank(trainer->comm) != 0) { /* rank 0 writes the checkpoints */
        free(now->pairs);
        now->pairs = NULL;
    }
    return status;
}
