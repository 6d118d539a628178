/* trainer: trains a model. Ranks train replicas on the shards of their microbatches and
 * sum the gradients (trainer_step.h); rank 0 writes metrics, checkpoints and, through
 * `samples`, MIDI files.
 */
#ifndef TUTTI_TRAIN_TRAINER_H
#define TUTTI_TRAIN_TRAINER_H

#include <stdbool.h>

#include "sample_thread.h"
#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"
#include "data/dataset.h"
#include "watchdog/watchdog.h"

struct trainer_request { /* all borrowed */
    const struct options *options;
    struct watchdog *watchdog; /* receives the name of the newest checkpoint; or NULL */
    bool resume; /* from run.dir's newest checkpoint; start anew if there is none */
    /* Called on rank 0 after each epoch, in a thread beside the next epoch's training:
     * writes that epoch's samples into a temporary folder, from which they are moved to
     * "run.dir/samples". A failure only causes a warning. NULL: no samples. */
    sample_function *samples;
    void *context;
    const char *trace; /* path of the trace, overwritten; NULL: none */
    /* Called on rank 0 at the end of a run, to print suggestions for its use; or NULL. */
    void (*suggest)(const char *directory, const struct dataset *dataset);
};

/* From now on SIGHUP (unless it is ignored), SIGINT, SIGTERM, SIGUSR1, SIGUSR2 and
 * SIGXCPU request a stop of train, even before it is called. If this is not called, train
 * itself starts listening. */
void train_install_handlers(void);

/* Checks run.dir before anything is done: STATUS_MISUSE if a run would have to replace
 * something there that was not made by a run. To be called before the watchdog is opened,
 * which writes its report there. Collective. */
enum status train_check(struct comm *comm, const struct trainer_request *request);

/* STATUS_OK at the end, STATUS_STOPPED after a signal or before the time limit, with a
 * checkpoint. Collective. */
enum status train(struct comm *comm, const struct trainer_request *request);

#endif
