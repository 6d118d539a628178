/* sample_thread: writes an epoch's sample files while training continues. Rank 0 only,
 * called by one thread.
 *
 * Training waits only until the weights have been copied in memory. A separate thread
 * generates the samples in a staging folder and publishes them when all are complete
 * (run_samples.h). It has the lowest priority, because a rank that shares its core slows
 * all ranks: it runs on a core that training leaves idle, or else while this rank waits.
 * Only one epoch's samples are under way at a time: there is memory for one copy of the
 * weights, allocated when the run begins.
 */
#ifndef TUTTI_TRAIN_SAMPLE_THREAD_H
#define TUTTI_TRAIN_SAMPLE_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "checkpoint.h"
#include "run_directory.h"
#include "base/status.h"

struct epoch_samples { /* all borrowed */
    /* Options, shape, encoding, weights and state.epoch; without optimizer, history,
     * streams and pairs. */
    const struct checkpoint *checkpoint;
    const char *directory;        /* for the files, "epoch-0001-1.mid" ... */
    const atomic_bool *cancelled; /* once true: return STATUS_STOPPED soon */
};

/* Writes the files; on success `summary` receives one line that describes them. Called in
 * the thread, while the caller's thread trains. */
typedef enum status sample_function(const struct epoch_samples *samples,
                                    char summary[STATUS_MESSAGE_SIZE], void *context);

struct sample_result {
    enum status status; /* STATUS_STOPPED: cancelled; no files */
    int64_t epoch;
    char message[STATUS_MESSAGE_SIZE]; /* the summary, or why there are no files */
};

struct sample_thread;

/* Allocates memory for a copy of the weights of `source`, and starts the thread. `run`,
 * `context` and source->encoding are borrowed until sample_thread_close. */
enum status sample_thread_open(const struct run_directory *run,
                               const struct checkpoint *source, sample_function *function,
                               void *context, struct sample_thread **out);

/* Copies `source` and leaves the samples of its epoch to the thread. The previous samples
 * must be complete and their result collected. */
void sample_thread_start(struct sample_thread *thread, const struct checkpoint *source);

/* Waits at most `seconds` for the samples under way. True if there are none. The samples'
 * progress in that time counts as progress of the caller (phase.h). */
bool sample_thread_wait(struct sample_thread *thread, double seconds);

/* Collects the result of the last samples, once per epoch. False if there is none, or if
 * they are still under way. */
bool sample_thread_collect(struct sample_thread *thread, struct sample_result *out);

/* Makes the samples under way end soon, without files. */
void sample_thread_cancel(struct sample_thread *thread);

/* Cancels the samples under way and waits for the thread. NULL is fine. */
void sample_thread_close(struct sample_thread *thread);

#endif
