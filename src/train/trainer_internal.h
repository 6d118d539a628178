/* What the files of the trainer share: setting up and resuming, saving, and the loop. */
#ifndef TUTTI_TRAIN_TRAINER_INTERNAL_H
#define TUTTI_TRAIN_TRAINER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "metrics.h"
#include "report.h"
#include "run_directory.h"
#include "tutti/buckets.h"
#include "tutti/checkpoint.h"
#include "tutti/comm.h"
#include "tutti/dataset.h"
#include "tutti/evaluate.h"
#include "tutti/exact_sum.h"
#include "tutti/model.h"
#include "tutti/slices.h"
#include "tutti/stream.h"
#include "tutti/trainer.h"
#include "window.h"

struct trainer {
    struct comm *comm;
    const struct trainer_request *request;
    struct dataset *dataset;
    struct slices own;       /* slices of this rank */
    int rows, steps;         /* of one slice; of one window */
    int *dealt;              /* [shards]: the slice of each */
    struct stream **streams; /* [own slices] */
    struct window window;
    struct model *model;
    struct exact_sum *sum;  /* of the gradient over all slices, and of losses, wishes */
    enum status sum_status; /* of the sum under way */
    float *gradient;        /* train.reduce = float: [parameters], summed here; or NULL */
    struct buckets *float_sum; /* and over the ranks by these */

    /* All that a checkpoint holds, kept up to date on every rank, except stream_rows,
     * cursors and states: those are gathered on rank 0 when it is written. The weights
     * are the model's, the encoding is the dataset's. */
    struct checkpoint now;
    int64_t steps_per_epoch, total_steps;
    struct floors floors;

    struct run_directory run;    /* rank 0 */
    struct metrics metrics;      /* rank 0 */
    struct report report;        /* where the time went */
    char saved[CHECKPOINT_NAME]; /* the last checkpoint written or resumed from; or "" */
    bool unsaved;                /* the last attempt to write one failed */
    double saved_at;             /* clock_seconds */
    bool stop, save;             /* agreed on by all ranks in the last step */
};

/* Opens everything and resumes; then now.step steps have been made. On failure
 * trainer_close is still to be called. Collective. */
enum status trainer_open(struct trainer *trainer);
void trainer_close(struct trainer *trainer);

/* The table of settings and the facts, before the first step. Collective. */
void trainer_print_facts(struct trainer *trainer);

/* Goes on from the newest checkpoint of run.dir, or refuses to start where there is one.
 * Leaves now as it was read and now.weights NULL when there was none. Collective. */
enum status trainer_resume(struct trainer *trainer);

/* Writes a checkpoint under the name of the moment. A failure is a warning and remembered
 * in unsaved, on every rank; training goes on. Collective. */
void trainer_save(struct trainer *trainer, bool best);

/* The watch learns which checkpoint is the newest. */
void trainer_tell_saved(const struct trainer *trainer);

/* One step on all ranks. Collective. */
enum status trainer_step(struct trainer *trainer, struct step_facts *facts);

#endif
