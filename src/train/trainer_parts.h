/* trainer_parts: combines the parts of a trainer. Only trainer.c, trainer_setup.c and
 * trainer_epoch.c use all of them; every part knows only itself and the parts it
 * includes. */
#ifndef TUTTI_TRAIN_TRAINER_PARTS_H
#define TUTTI_TRAIN_TRAINER_PARTS_H

#include <stdbool.h>

#include "initial_weights.h"
#include "matmul_choice.h"
#include "metrics.h"
#include "report.h"
#include "sample_thread.h"
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
    struct options options; /* as resolved, with the dataset's [data] */
    const struct matmul_backend *backend;
    char matmul_note[MATMUL_NOTE]; /* see matmul_choice.h */
    struct training_data data;
    struct step_engine engine;
    struct initial_weights initial; /* until they are the model's */
    struct training_state state;
    struct persistence persistence;
    struct stop_policy stop_policy;
    struct metrics metrics;        /* rank 0 */
    struct sample_thread *samples; /* rank 0; NULL: no samples */
    struct report report;
    bool stop; /* all ranks have agreed to stop */
};

#endif
