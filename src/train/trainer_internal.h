/* What the files of the trainer share: setting up and resuming, saving, and the loop. */
#ifndef TUTTI_TRAIN_TRAINER_INTERNAL_H
#define TUTTI_TRAIN_TRAINER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "data_plan.h"
#include "prefetcher.h"
#include "metrics.h"
#include "report.h"
#include "run_directory.h"
#include "checkpoint.h"
#include "evaluate.h"
#include "baselines.h"
#include "trainer.h"
#include "writer.h"
#include "comm/buckets.h"
#include "comm/comm.h"
#include "comm/exact_sum.h"
#include "comm/microbatches.h"
#include "data/dataset.h"
#include "data/stream.h"
#include "nn/model.h"

/* The longest so far, in this process and since the last epoch's line of metrics: what
 * training waits for a checkpoint, and how long the writer is at it. Rank 0. */
struct save_cost {
    double pause, writing;
    double epoch_pause, epoch_writing;
};

/* Seconds that this process has taken at most so far: for a step; for the end of an
 * epoch, validation to samples; for the samples alone. */
struct pace {
    double step, epoch_end, samples;
};

struct trainer {
    struct comm *comm;
    const struct trainer_request *request;
    struct dataset *dataset;
    struct microbatches own; /* microbatches of this rank */
    int rows, steps;         /* of one microbatch; of one window */
    int *assigned;           /* [shards]: the microbatch of each */
    struct data_plan data_plan;
    struct streams streams; /* of the own microbatches; the prefetcher's */
    struct prefetcher *prefetcher;
    struct window window; /* of this step, borrowed from the prefetcher */
    const struct matmul_backend *backend;
    struct model *model;
    struct exact_sum
        *sum; /* of the gradient over all microbatches, and of losses, wishes */
    enum status sum_status; /* of the sum under way */
    float *gradient;        /* train.reduce = float: [parameters], summed here; or NULL */
    struct comm_memory *float_memory;
    struct buckets *float_sum; /* and over the ranks by these */

    /* All that a checkpoint holds, kept up to date on every rank, except stream_rows,
     * cursors and states: those are gathered on rank 0 when it is written. The weights
     * are the model's, the encoding is the dataset's. */
    struct checkpoint now;
    int64_t steps_per_epoch, total_steps;
    struct baselines baselines;

    struct run_directory run; /* rank 0 */
    struct metrics metrics;   /* rank 0 */
    struct report report;     /* where the time went */
    struct pace pace;
    struct deadline *deadline;  /* rank 0 */
    struct writer *writer;      /* rank 0 */
    struct save_cost save_cost; /* rank 0 */
    /* Rank 0's, and the others' as of the last trainer_settle: */
    char saved[CHECKPOINT_NAME]; /* the last checkpoint on disk or resumed from; or "" */
    bool unsaved;                /* the last attempt to write one failed */
    bool vanished;    /* the last one was removed; `saved` is the newest left */
    bool out_of_time; /* the run stops because of its deadline */
    double saved_at;  /* clock_seconds of the last trainer_save */
    bool stop, save;  /* agreed on by all ranks in the last step */
};

/* Opens everything and resumes; then now.step steps have been made. On failure
 * trainer_close is still to be called. Collective. */
enum status trainer_open(struct trainer *trainer);
void trainer_close(struct trainer *trainer);

/* Counts the training tokens, or takes the counts from the checkpoint resumed; then
 * `baselines` are set, and rank 0's now.pairs. Collective. */
enum status trainer_baselines(struct trainer *trainer);

/* The table of settings and the facts, before the first step. Collective. */
void trainer_print_facts(struct trainer *trainer);

/* Goes on from the newest checkpoint of run.dir, or refuses to start where there is one.
 * Leaves now as it was read and now.weights NULL when there was none. Collective. */
enum status trainer_resume(struct trainer *trainer);

/* Gives the state to the writer, which writes a checkpoint under the name of the moment;
 * waits for the one before. A failure is a warning and remembered in `unsaved`; training
 * goes on. Collective. */
void trainer_save(struct trainer *trainer);

/* The watchdog learns which checkpoint is the newest. */
void trainer_tell_saved(const struct trainer *trainer);
/* Takes note of what the writer has finished; to be called behind every step. Does
 * nothing but on rank 0. Not collective. */
void trainer_hear(struct trainer *trainer);

/* Waits for the writer; then all ranks know `saved`, `unsaved`, `vanished` and
 * `out_of_time`. Collective. */
enum status trainer_settle(struct trainer *trainer);

/* Does this rank's clock ask for a checkpoint? Only rank 0's does, when the writer is
 * free. Not collective. */
bool trainer_save_is_due(const struct trainer *trainer);

/* Has this process been asked to stop, or (rank 0) is its time limit so near that it must
 * stop behind this step? In a step, before its sum. Not collective. */
bool trainer_stop_is_due(struct trainer *trainer);
/* The same between the windows of a validation: is it to be left to the next run? */
bool trainer_stop_is_due_in_validation(struct trainer *trainer);
/* The same behind a validation: may there be samples and another step? */
bool trainer_stop_is_due_before_samples(struct trainer *trainer);

/* The model, its weights and the optimizer, for `vocabulary` tokens of which `end` ends a
 * piece: parts of trainer_open, also for steps on other tokens than a dataset's. */
enum status trainer_open_model(struct trainer *trainer, size_t vocabulary, token end);
enum status trainer_settle_weights(struct trainer *trainer, const float *resumed);
/* Collective. */
enum status trainer_open_sum(struct trainer *trainer);

/* A step on the tokens of trainer->window. Collective. */
enum status trainer_learn(struct trainer *trainer, struct step_facts *facts);

/* One step on all ranks: the prefetcher's next window, and trainer_learn. Collective. */
enum status trainer_step(struct trainer *trainer, struct step_facts *facts);

#endif
