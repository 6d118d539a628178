/* trainer_step: tokens to gradients to one exact sum to the optimizer. Allocates nothing.
 *
 * The scale of the exact sum. The model gives gradients of the summed loss; with B rows
 * and T steps there are B T targets, so a slice's gradient is B T / S times the slice's
 * mean per target. Addends of which that mean is up to 2^11 in magnitude are to fit: with
 * S addends the integers reach 2^11 B T 2^bits, which must stay below 2^62. So bits = 62
 * - 11 - ceil(log2(B T)),  within 0 .. 60, a function of the configuration alone. The
 * resolution of the mean gradient is then about 2^-51, far below what Adam's epsilon lets
 * count.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "stop.h"
#include "trainer_internal.h"
#include "trainer_scale.h"
#include "tutti/progress.h"
#include "tutti/schedule.h"

enum { HEADROOM_BITS = 11, SUM_BITS = 62, MOST_BITS = 60 };

int trainer_scale_bits(int64_t batch, int64_t time)
{
    int bits = SUM_BITS - HEADROOM_BITS;
    for (int64_t reach = 1; reach < batch * time; reach *= 2)
        bits--;
    return bits < 0 ? 0 : bits > MOST_BITS ? MOST_BITS : bits;
}

static bool is_exact(const struct trainer *trainer)
{
    return trainer->now.options.train.reduce == REDUCE_EXACT;
}

/* Forward and backward of this rank's slices. */
static void compute(struct trainer *trainer)
{
    struct window *window = &trainer->window;
    feed_next(trainer->feed, window); /* how that went is asked behind the sum */
    struct dropout dropout = {.rate = trainer->now.options.model.dropout,
                              .seed = (uint64_t)trainer->now.options.train.seed,
                              .step = trainer->now.step,
                              .first_row = (int64_t)trainer->own.first * trainer->rows};
    model_forward(trainer->model, window->input_of, window->target_of, &dropout,
                  window->losses);
    model_backward(trainer->model);
}

static void add_gradient(struct trainer *trainer, int slice)
{
    size_t count = trainer->now.params.total;
    model_gradient(trainer->model, slice, trainer->slice_gradient);
    if (is_exact(trainer))
        exact_sum_add(trainer->sum, 0, trainer->slice_gradient, count);
    else
        for (size_t i = 0; i < count; i++)
            trainer->gradient[i] += trainer->slice_gradient[i];
}

/* Does rank 0's clock ask for a checkpoint? */
static bool save_is_due(const struct trainer *trainer)
{
    double minutes = trainer->now.options.run.checkpoint_minutes;
    return comm_rank(trainer->comm) == 0 && minutes > 0 &&
           clock_seconds() - trainer->saved_at >= 60 * minutes;
}

/* This rank's part of the sum: gradients, losses, and what it wants. */
static void collect(struct trainer *trainer)
{
    struct exact_sum *sum = trainer->sum;
    exact_sum_clear(sum);
    if (!is_exact(trainer))
        memset(trainer->gradient, 0,
               trainer->now.params.total * sizeof *trainer->gradient);
    for (int s = 0; s < trainer->own.count; s++) {
        const struct slice_loss *loss = &trainer->window.losses[s];
        add_gradient(trainer, s);
        exact_sum_add_extra(sum, SUM_LOSS, loss->loss);
        exact_sum_add_count(sum, SUM_TARGETS, loss->targets);
        exact_sum_add_count(sum, SUM_CORRECT, loss->correct);
    }
    exact_sum_add_count(sum, SUM_STOP, stop_requested());
    exact_sum_add_count(sum, SUM_SAVE, save_is_due(trainer));
    exact_sum_add_count(sum, SUM_FAILED, feed_status(trainer->feed) != STATUS_OK);
}

/* NULL: none holds this element. */
static const char *tensor_at(const struct params *params, int64_t element)
{
    for (size_t i = 0; i < params->count; i++)
        if (element >= 0 &&
            (size_t)element < params->list[i].offset + params->list[i].count)
            return params->list[i].name;
    return NULL;
}

static enum status diverged(const struct trainer *trainer, const char *how)
{
    const struct options *options = &trainer->now.options;
    return status_fail(
        STATUS_FAILED,
        "step %" PRId64 " of epoch %" PRId64
        ": training has diverged: %s; lower train.learning_rate (now %g) or set "
        "train.clip (now %g); the last checkpoint is %s%s",
        trainer->now.step + 1, trainer->now.epoch + 1, how, options->train.learning_rate,
        options->train.clip, trainer->saved[0] ? "" : "none", trainer->saved);
}

/* Names the first tensor, over all ranks, whose gradient could not be summed. Collective.
 */
static enum status report_bad(struct trainer *trainer)
{
    char how[PARAM_NAME + 96];
    size_t mine = exact_sum_first_bad(trainer->sum);
    int64_t first = mine == SIZE_MAX ? INT64_MAX : (int64_t)mine;
    first = -comm_max_i64(trainer->comm, -first);
    const char *tensor = tensor_at(&trainer->now.params, first);
    if (!tensor)
        return diverged(trainer, "the loss is not finite or too large");
    snprintf(how, sizeof how,
             "the gradient of %s is not finite or too large (%" PRId64 " values)", tensor,
             exact_sum_bad(trainer->sum));
    return diverged(trainer, how);
}

/* gradient := factor * gradient; returns the sum of squares of the products. */
static double scale(float *gradient, size_t count, double factor)
{
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        double value = (double)gradient[i] * factor;
        squares += value * value;
        gradient[i] = (float)value;
    }
    return squares;
}

/* The mean gradient, clipped by its global norm. Returns the norm before clipping. */
static double mean_gradient(struct trainer *trainer, double targets)
{
    size_t count = trainer->now.params.total;
    double clip = trainer->now.options.train.clip, factor = 1 / targets;
    double squares = is_exact(trainer)
                         ? exact_sum_read(trainer->sum, factor, trainer->gradient)
                         : scale(trainer->gradient, count, factor);
    double norm = sqrt(squares);
    if (clip > 0 && norm > clip) {
        if (is_exact(trainer))
            exact_sum_read(trainer->sum, factor * clip / norm, trainer->gradient);
        else
            scale(trainer->gradient, count, clip / norm);
    }
    return norm;
}

static void count_step(struct trainer *trainer)
{
    struct checkpoint *now = &trainer->now;
    now->step++;
    now->epoch_step++;
    now->epoch_loss += exact_sum_extra(trainer->sum, SUM_LOSS);
    now->epoch_targets += exact_sum_count(trainer->sum, SUM_TARGETS);
    now->epoch_correct += exact_sum_count(trainer->sum, SUM_CORRECT);
    trainer->stop = exact_sum_count(trainer->sum, SUM_STOP) > 0;
    trainer->save = exact_sum_count(trainer->sum, SUM_SAVE) > 0;
}

static enum status reduce(struct trainer *trainer)
{
    const struct options *options = &trainer->now.options;
    size_t bucket = (size_t)options->train.bucket;
    enum status status = exact_sum_reduce(trainer->sum, trainer->comm, bucket);
    if (status == STATUS_OK && !is_exact(trainer))
        status = comm_sum_f32(trainer->comm, trainer->gradient, trainer->now.params.total,
                              bucket);
    if (status == STATUS_OK && exact_sum_count(trainer->sum, SUM_FAILED) > 0)
        status = comm_agree(trainer->comm, feed_status(trainer->feed));
    if (status == STATUS_OK && exact_sum_bad(trainer->sum))
        status = report_bad(trainer);
    return status;
}

enum status trainer_step(struct trainer *trainer, struct step_facts *facts)
{
    struct checkpoint *now = &trainer->now;
    compute(trainer);
    collect(trainer);
    enum status status = reduce(trainer);
    if (status != STATUS_OK)
        return status;
    double targets = (double)exact_sum_count(trainer->sum, SUM_TARGETS);
    double norm = mean_gradient(trainer, targets);
    if (!isfinite(norm))
        return diverged(trainer, "the gradient's norm is not finite");
    double rate = schedule_learning_rate(&now->schedule, &now->options, now->step + 1,
                                         trainer->total_steps);
    optimizer_update(&now->optimizer, rate, trainer->gradient, now->weights);
    model_weights_changed(trainer->model);
    count_step(trainer);
    facts->step = now->step;
    facts->epoch = now->epoch + 1;
    facts->loss = exact_sum_extra(trainer->sum, SUM_LOSS) / targets;
    facts->accuracy = (double)exact_sum_count(trainer->sum, SUM_CORRECT) / targets;
    facts->gradient_norm = norm;
    facts->learning_rate = rate;
    return STATUS_OK;
}
