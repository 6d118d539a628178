/* trainer_due: what this rank asks the others for in the sum of a step: a checkpoint, or
 * the end of the run.
 *
 * The end is due on a signal, and on rank 0 also when the time that is left could be too
 * short: until the next chance to stop there may pass the longest step so far, the end of
 * an epoch if one comes first, and then the checkpoint, with the one before it if that is
 * still being written. What hasn't been measured yet is estimated from what has. A
 * validation can be left, but then it is made again from its beginning: so it isn't begun
 * when it is likely to take too long, and left when it does nevertheless.
 */
#include <math.h>

#include "deadline.h"
#include "stop.h"
#include "trainer_internal.h"
#include "base/log.h"
#include "base/progress.h"

static const double margin_factor = 1.5, margin_seconds = 5;
static const double slow_disk = 50e6; /* bytes a second: for the first checkpoint */

bool trainer_save_is_due(const struct trainer *trainer)
{
    double minutes = trainer->now.options.run.checkpoint_minutes;
    return trainer->writer && minutes > 0 &&
           clock_seconds() - trainer->saved_at >= 60 * minutes &&
           !writer_is_busy(trainer->writer);
}

/* ---- how long things take ---- */

static double save_seconds(const struct trainer *trainer)
{
    const struct save_cost *cost = &trainer->save_cost;
    double writing = cost->writing;
    if (writing <= 0)
        writing = 3 * sizeof(float) * (double)trainer->now.params.total / slow_disk;
    return cost->pause + (writer_is_busy(trainer->writer) ? 2 : 1) * writing;
}

/* The forward pass alone costs a third of a step; a window that isn't full costs as much
 * as a full one. */
static double epoch_end_seconds(const struct trainer *trainer)
{
    const struct dataset_shard *total = &trainer->dataset->total;
    const struct options *options = &trainer->now.options;
    if (trainer->pace.epoch_end > 0)
        return trainer->pace.epoch_end;
    uint64_t tokens = total->tokens[SPLIT_VALID] + total->pieces[SPLIT_VALID];
    double windows =
        (double)tokens / (double)(options->train.batch * options->train.time);
    return (windows + 1) * trainer->pace.step;
}

static bool time_is_short(struct trainer *trainer, double seconds)
{
    char left_text[64], need_text[64];
    double left = deadline_left(trainer->deadline);
    if (left == HUGE_VAL || trainer->out_of_time)
        return trainer->out_of_time;
    double need = seconds + save_seconds(trainer);
    if (left > margin_factor * need + margin_seconds)
        return false;
    trainer->out_of_time = true;
    log_info("time limit       %s left, and up to %s may pass before the next chance to "
             "stop with a checkpoint: stopping",
             duration_text(left > 0 ? left : 0, left_text, sizeof left_text),
             duration_text(need, need_text, sizeof need_text));
    return true;
}

/* ---- the end ---- */

bool trainer_stop_is_due(struct trainer *trainer)
{
    if (stop_signal() || !trainer->deadline)
        return stop_signal() != 0;
    bool ends_epoch = trainer->now.epoch_step + 1 >= trainer->steps_per_epoch;
    double seconds = 2 * trainer->pace.step; /* the rest of this one, and the next */
    return time_is_short(trainer,
                         seconds + (ends_epoch ? epoch_end_seconds(trainer) : 0));
}

/* A run that begins with a validation leaves it for a signal, but not for its time limit:
 * it has made nothing yet that could be lost, and under a limit that is too short for a
 * validation no run would ever come to the end of one. */
bool trainer_stop_is_due_in_validation(struct trainer *trainer)
{
    bool has_made_steps = trainer->pace.step > 0;
    if (stop_signal() || !trainer->deadline || !has_made_steps)
        return stop_signal() != 0;
    return time_is_short(trainer, trainer->pace.step); /* a window takes less */
}

bool trainer_stop_is_due_before_samples(struct trainer *trainer)
{
    if (stop_signal() || !trainer->deadline)
        return stop_signal() != 0;
    return time_is_short(trainer, trainer->pace.samples + trainer->pace.step);
}
