/* trainer_persist: writes the run's checkpoints: gathers the state from the ranks and
 * passes it to the writer.
 *
 * Training waits for the state to be gathered and copied (writer.h), not for the disk. A
 * periodic checkpoint (run.checkpoint_minutes) is made only while the writer is idle; a
 * checkpoint at the end of an epoch waits for the writer, so it is never skipped.
 */
#ifndef TUTTI_TRAIN_TRAINER_PERSIST_H
#define TUTTI_TRAIN_TRAINER_PERSIST_H

#include <stdbool.h>

#include "checkpoint.h"
#include "local_batch.h"
#include "metrics.h"
#include "prefetcher.h"
#include "run_checkpoints.h"
#include "run_directory.h"
#include "state.h"
#include "writer.h"
#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"
#include "nn/model.h"
#include "watchdog/watchdog.h"

struct persistence { /* zero-initialise; free with persist_close */
    struct comm *comm;
    struct watchdog *watchdog;      /* receives the newest checkpoint; NULL: none */
    struct run_directory directory; /* rank 0 */
    struct writer *writer;          /* rank 0 */

    /* The contents that all checkpoints of this run share. It owns `pairs`; state,
     * weights and streams are filled in for each checkpoint, and are borrowed. */
    struct checkpoint checkpoint;

    /* The longest times of any checkpoint in this process, and since the last
     * persist_epoch_cost. Rank 0. */
    struct checkpoint_cost cost, epoch_cost;
    double saved_at; /* clock_seconds of the last persist_save, or of persist_start */

    /* Up to date on rank 0; on other ranks as of the last persist_sync: */
    char saved[CHECKPOINT_NAME]; /* the last one written or resumed from; "": none */
    bool save_failed;            /* the last attempt to write one failed */
    bool saved_removed; /* the last one was removed; `saved` is the newest left */
};

/* Rank 0 claims, locks and opens run.dir. Not collective. */
enum status persist_open(struct persistence *persistence, struct comm *comm,
                         const struct options *options, enum run_start start);

/* Starts rank 0's writer for checkpoints of `state`, after `checkpoint` was filled in.
 * Not collective. */
enum status persist_start(struct persistence *persistence,
                          const struct training_state *state, float *weights);

void persist_close(struct persistence *persistence);

/* Fills in the current state and weights, without streams. The returned checkpoint
 * borrows everything and is valid until the state changes. Not collective. */
const struct checkpoint *persist_fill_checkpoint(struct persistence *persistence,
                                                 const struct training_state *state,
                                                 float *weights);

/* Where the parts of a run's state are kept. */
struct persist_source {
    const struct training_state *state;
    struct model *model;
    const struct prefetcher *prefetcher;
    const struct local_batch *batch;
};

/* Waits for the previous checkpoint, gathers the state on rank 0 and passes a copy to the
 * writer. A failure causes a warning and sets `save_failed`; training continues.
 * Collective. */
void persist_save(struct persistence *persistence, const struct persist_source *source);

/* Collects the writer's result, if there is one; to be called after every step. Has an
 * effect only on rank 0. Not collective. */
void persist_poll(struct persistence *persistence);

/* Waits for the writer; then all ranks agree on `saved`, `save_failed` and
 * `saved_removed`. Collective. */
enum status persist_sync(struct persistence *persistence);

/* True on rank 0 if it is time for a periodic checkpoint and the writer is idle. Not
 * collective. */
bool persist_save_wanted(const struct persistence *persistence);

/* Estimated seconds until a checkpoint requested now is on disk. Rank 0. */
double persist_estimate_seconds(const struct persistence *persistence);

/* The longest checkpoint times since the last call. */
struct checkpoint_cost persist_epoch_cost(struct persistence *persistence);

/* Sends the path of the newest checkpoint to the watchdog. Has an effect only on rank
 * 0. */
void persist_notify_watchdog(const struct persistence *persistence);

#endif
