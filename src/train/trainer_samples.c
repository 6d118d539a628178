/* trainer_samples: see the header. */
#include "trainer_samples.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/phase.h"

static const double poll_seconds = 0.05; /* between looks at the stop policy */

static void log_result(const struct sample_result *result)
{
    if (result->status == STATUS_OK)
        log_info("%s", result->message);
    else if (result->status == STATUS_STOPPED)
        log_info("no samples of epoch %" PRId64 ": the run is stopping", result->epoch);
    else
        log_warn("no samples of epoch %" PRId64 ": %s", result->epoch, result->message);
}

void trainer_samples_poll(struct sample_thread *thread, struct progress *progress)
{
    struct sample_result result;
    if (!thread || !sample_thread_collect(thread, &result))
        return;
    progress_end(progress);
    log_result(&result);
}

/* False if the samples were cancelled, because a stop is wanted. */
static bool wait_for_samples(struct sample_thread *thread, struct stop_policy *policy)
{
    struct sample_result result;
    bool stop = false;
    while (!sample_thread_wait(thread, poll_seconds))
        if (!stop && stop_policy_while_waiting(policy)) {
            sample_thread_cancel(thread);
            stop = true;
        }
    if (sample_thread_collect(thread, &result))
        log_result(&result);
    return !stop;
}

void trainer_samples_start(struct sample_thread *thread, struct stop_policy *policy,
                           const struct checkpoint *source)
{
    if (!thread)
        return;
    enum phase before = phase_enter(PHASE_SAMPLE);
    if (wait_for_samples(thread, policy))
        sample_thread_start(thread, source);
    phase_enter(before);
}

void trainer_samples_finish(struct sample_thread *thread, struct stop_policy *policy)
{
    if (!thread)
        return;
    enum phase before = phase_enter(PHASE_SAMPLE);
    wait_for_samples(thread, policy);
    phase_enter(before);
}

void trainer_samples_cancel(struct sample_thread *thread)
{
    if (thread)
        sample_thread_cancel(thread);
}
