/* trainer_stop: when a run stops before its end: on a signal, or (rank 0) when the time
 * that is left could be too short.
 *
 * It stops if the time left might not suffice for the longest step so far, the end of the
 * epoch if that comes first, and the checkpoint, plus the rest of the previous one if it
 * is still being written. What has not been measured yet is estimated from what has. A
 * stopped
 * validation is repeated from its start, so none is started that would probably take too
 * long, and one that takes longer than expected is stopped.
 */
#ifndef TUTTI_TRAIN_TRAINER_STOP_H
#define TUTTI_TRAIN_TRAINER_STOP_H

#include <stdbool.h>

#include "deadline.h"
#include "trainer_persist.h"
#include "base/status.h"

/* The longest seconds in this process so far. */
struct worst_times {
    double step;
    double epoch_end; /* validation, checkpoint request and samples */
    double samples;
};

struct stop_policy {           /* zero-initialise; free with stop_policy_close */
    struct deadline *deadline; /* rank 0; NULL elsewhere */
    const struct persistence *persistence;
    double validation_windows; /* over all ranks, in one validation */
    struct worst_times worst;
    bool out_of_time; /* this rank stopped the run because of its deadline */
};

/* Starts the deadline on rank 0; see deadline_open. `persistence` is borrowed. */
enum status stop_policy_open(struct stop_policy *policy,
                             const struct persistence *persistence, double minutes,
                             double validation_windows);
void stop_policy_close(struct stop_policy *policy);

/* True if this rank asks for a stop, none of them collective: after the current step,
 * which `ends_epoch` or not; between the windows of a validation; after a validation,
 * before samples and the next step. */
bool stop_policy_in_step(struct stop_policy *policy, bool ends_epoch);
bool stop_policy_in_validation(struct stop_policy *policy);
bool stop_policy_before_samples(struct stop_policy *policy);

#endif
