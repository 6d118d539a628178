/* trainer_stop: decides when a run stops before its end: on a signal or, on rank 0, when
 * the remaining time could be too short.
 *
 * It stops if the time left might not suffice for the longest step so far, the end of the
 * epoch if that comes first, and the checkpoint, plus the rest of the previous one if it
 * is still being written. Times that have not been measured yet are estimated from those
 * that have. A stopped validation is repeated from its start, so a validation that would
 * probably take too long is not started, and one that takes longer than expected is
 * stopped.
 */
#ifndef TUTTI_TRAIN_TRAINER_STOP_H
#define TUTTI_TRAIN_TRAINER_STOP_H

#include <stdbool.h>

#include "deadline.h"
#include "trainer_persist.h"
#include "base/status.h"

/* The longest times in this process so far, in seconds. */
struct worst_times {
    double step;
    double epoch_end; /* validation, checkpoint request, waiting for the last samples */
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

/* True if this rank requests a stop: after the current step (`ends_epoch`: it is the last
 * one of its epoch); between the windows of a validation, or while it waits for samples;
 * after a validation, before samples and the next step. Not collective. */
bool stop_policy_in_step(struct stop_policy *policy, bool ends_epoch);
bool stop_policy_while_waiting(struct stop_policy *policy);
bool stop_policy_after_validation(struct stop_policy *policy);

#endif
