/* trainer_samples: the samples of each epoch, which a thread writes while the next epoch
 * is trained.
 *
 * Rank 0 waits for them where it needs the thread again: before the next samples, and at
 * the end of the run. A stop cancels them, so that it costs no time. Failures only cause
 * warnings.
 */
#ifndef TUTTI_TRAIN_TRAINER_SAMPLES_H
#define TUTTI_TRAIN_TRAINER_SAMPLES_H

#include "sample_thread.h"
#include "trainer_stop.h"
#include "base/progress.h"

/* In all functions `thread` may be NULL: other ranks, or no samples. None is collective.
 */

/* Logs the result of samples that are complete, if it has not been logged, and clears the
 * line of `progress` before; to be called after every step. */
void trainer_samples_poll(struct sample_thread *thread, struct progress *progress);

/* Waits for the previous samples and starts those of `source`, the state at the end of an
 * epoch. If a stop is requested during the wait, cancels the previous samples and starts
 * none. */
void trainer_samples_start(struct sample_thread *thread, struct stop_policy *policy,
                           const struct checkpoint *source);

/* At the end of the run: waits for the samples under way, or cancels them if a stop is
 * wanted. */
void trainer_samples_finish(struct sample_thread *thread, struct stop_policy *policy);

/* The run stops: cancels the samples under way. */
void trainer_samples_cancel(struct sample_thread *thread);

#endif
