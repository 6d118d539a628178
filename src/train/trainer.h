/* trainer: the main job. Ranks train replicas on the shards of their microbatches, with
 * the exact sum of the gradients; rank 0 writes metrics, checkpoints and, through
 * `samples`, MIDI files.
 */
#ifndef TUTTI_TRAIN_TRAINER_H
#define TUTTI_TRAIN_TRAINER_H

#include "checkpoint.h"
#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"
#include "data/dataset.h"
#include "watchdog/watchdog.h"

/* The file that marks a folder as a run's. */
#define TRAIN_MARKER "tutti-run.txt"

/* True if a run writes files or links of this name (without a folder). */
bool train_writes(const char *name);

struct trainer_request {
    const struct options *options;
    struct watchdog *watchdog; /* is told of checkpoints; NULL: none */
    int resume; /* go on from run.dir's newest checkpoint; start anew if there is none */
    /* Called on rank 0 after each epoch with the weights as they are: writes the samples
     * of that epoch, "epoch-0001-1.mid" ..., into the directory, which is a temporary
     * one; they are moved to "run.dir/samples". A failure is reported and the run goes
     * on. */
    enum status (*samples)(const struct checkpoint *now, const char *directory,
                           void *context);
    void *context;
    const char *trace; /* the file of the trace, written anew; NULL: none */
    /* Called on rank 0 at the end of a run, to show what can be done with it; or NULL. */
    void (*suggest)(const char *directory, const struct dataset *dataset);
};

/* From now on SIGHUP (unless it is ignored), SIGINT, SIGTERM, SIGUSR1, SIGUSR2 and
 * SIGXCPU ask train for a stop, also if they come before it is called; train does it
 * otherwise. */
void train_listen(void);

/* Looks at run.dir before anything is done: STATUS_MISUSE if something lies there that a
 * run would have to replace and has not made. To be called before the watchdog is opened,
 * which writes its report there. Collective. */
enum status train_check(struct comm *comm, const struct trainer_request *request);

/* Collective. STATUS_OK at the end, STATUS_STOPPED after a signal and its checkpoint. */
enum status train(struct comm *comm, const struct trainer_request *request);

/* The newest checkpoint in the folder that holds a run's, or the one with the lowest
 * validation loss that the run has seen; the caller frees the path, NULL: there is none.
 * The files are asked, so that neither a missing nor a wrong link misleads. A file that
 * can't be read but is the one by its name is answered all the same. Any process. */
enum train_wanted { TRAIN_NEWEST, TRAIN_BEST };
char *train_find_checkpoint(const char *checkpoints, enum train_wanted wanted);

/* How far the run in a directory has come: the step of its newest checkpoint, of those
 * that can say it; 0 with none. Reads only. Any process. */
int64_t train_saved_step(const char *run_directory);

#endif
