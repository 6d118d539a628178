/* trainer_parts: the parts of a trainer, put together. Only trainer.c, trainer_setup.c
 * and trainer_epoch.c see the whole; every part knows itself and those it includes. */
#ifndef TUTTI_TRAIN_TRAINER_PARTS_H
#define TUTTI_TRAIN_TRAINER_PARTS_H

#include <stdbool.h>

#include "metrics.h"
#include "report.h"
#include "state.h"
#include "trainer.h"
#include "trainer_data.h"
#include "trainer_persist.h"
#include "trainer_step.h"
#include "trainer_stop.h"
#include "base/options.h"
#include "comm/comm.h"

struct trainer {
    struct comm *comm;
    const struct trainer_request *request;
    struct options options; /* as resolved, [data] as the dataset has it */
    const struct matmul_backend *backend;
    struct training_data data;
    struct step_engine engine;
    struct training_state state;
    struct persistence persistence;
    struct stop_policy stop_policy;
    struct metrics metrics; /* rank 0 */
    struct report report;
    bool stop; /* all ranks have agreed to stop */
};

#endif
