/* trainer_step: tokens to gradients to one exact sum to the optimizer. Allocates nothing.
 *
 * The sum over the ranks goes on beneath back-propagation: a layer's gradient leaves as
 * soon as all microbatches have added to it, and messages are moved between the time
 * steps of the layers below. What is known last (stop, save) leaves last, with the
 * embedding; so there is one sum a step and nothing else that ranks wait in.
 *
 * The scale of the exact sum. The model gives gradients of the summed loss; with B rows
 * and T steps there are B T targets, so a microbatch's gradient is B T / S times the
 * microbatch's mean per target. Addends of which that mean is up to 2^11 in magnitude are
 * to fit: with S addends the integers reach 2^11 B T 2^bits, which must stay below 2^62.
 * So bits = 62
 * - 11 - ceil(log2(B T)),  within 0 .. 60, a function of the configuration alone. The
 * resolution of the mean gradient is then about 2^-51, far below what Adam's epsilon lets
 * count.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "trainer_internal.h"
#include "trainer_scale.h"
#include "schedule.h"
#include "base/inject.h"
#include "base/phase.h"

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

/* The window of this rank's microbatches. */
static void forward(struct trainer *trainer)
{
    struct window *window = &trainer->window;
    phase_enter(PHASE_FORWARD);
    struct dropout dropout = {.rate = trainer->now.options.model.dropout,
                              .seed = trainer->now.options.train.seed,
                              .step = trainer->now.step,
                              .first_row = (int64_t)trainer->own.first * trainer->rows};
    model_forward(trainer->model, window->input_of, window->target_of, &dropout,
                  window->losses);
}

/* ---- what the backward pass gives ---- */

/* To the float sum. */
static void add_floats(struct trainer *trainer, const struct gradient_block *block)
{
    for (size_t r = 0; r < (size_t)block->rows; r++) {
        float *sum = trainer->gradient + block->first + r * block->pitch;
        const float *values = block->values + r * block->stride;
        for (int j = 0; j < block->width; j++)
            sum[j] += values[j];
    }
}

static void add(struct trainer *trainer, enum exact_mode mode,
                const struct gradient_block *block)
{
    if (is_exact(trainer))
        exact_sum_block(trainer->sum, mode, block->first, block->pitch, block->rows,
                        block->width, block->values, block->stride);
    else
        add_floats(trainer, block);
}

static void add_gradient(void *context, int microbatch,
                         const struct gradient_block *block)
{
    struct trainer *trainer = context;
    const float nan = NAN;
    const struct gradient_block injected = {
        .first = block->first, .rows = 1, .width = 1, .values = &nan};
    phase_enter(PHASE_SUM);
    add(trainer, microbatch == 0 ? EXACT_PUT : EXACT_ADD, block);
    if (microbatch == 0 && inject_due(FAULT_NAN, trainer->now.step + 1))
        add(trainer, EXACT_ADD, &injected);
    phase_enter(PHASE_BACKWARD);
}

static void start_sum(void *context, size_t first)
{
    struct trainer *trainer = context;
    phase_enter(PHASE_SUM);
    enum status status = is_exact(trainer) ? exact_sum_ready(trainer->sum, first)
                                           : buckets_ready(trainer->float_sum, first);
    if (trainer->sum_status == STATUS_OK)
        trainer->sum_status = status;
    phase_enter(PHASE_BACKWARD);
}

static void move_sum(void *context)
{
    struct trainer *trainer = context;
    phase_move();
    if (is_exact(trainer))
        exact_sum_progress(trainer->sum);
    else
        buckets_progress(trainer->float_sum);
}

/* Backward, with this rank's part of the gradient's sum. */
static void backward(struct trainer *trainer)
{
    const struct model_gradients to = {.microbatch = add_gradient,
                                       .complete = start_sum,
                                       .meanwhile = move_sum,
                                       .context = trainer};
    exact_sum_begin(trainer->sum);
    trainer->sum_status = STATUS_OK;
    if (!is_exact(trainer))
        memset(trainer->gradient, 0,
               trainer->now.params.total * sizeof *trainer->gradient);
    phase_enter(PHASE_BACKWARD);
    model_backward(trainer->model, &to);
}

/* What else rides in the sum: losses, and what this rank wants. */
static void add_extras(struct trainer *trainer)
{
    struct exact_sum *sum = trainer->sum;
    for (int s = 0; s < trainer->own.count; s++) {
        const struct microbatch_loss *loss = &trainer->window.losses[s];
        exact_sum_add_extra(sum, SUM_LOSS, loss->loss);
        exact_sum_add_count(sum, SUM_TARGETS, loss->targets);
        exact_sum_add_count(sum, SUM_CORRECT, loss->correct);
    }
    exact_sum_add_count(sum, SUM_STOP, trainer_stop_is_due(trainer));
    exact_sum_add_count(sum, SUM_SAVE, trainer_save_is_due(trainer));
    exact_sum_add_count(sum, SUM_FAILED,
                        trainer->prefetcher &&
                            prefetcher_status(trainer->prefetcher) != STATUS_OK);
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

/* Collective. */
static enum status diverged(struct trainer *trainer, const char *how)
{
    const struct options *options = &trainer->now.options;
    enum status status = trainer_settle(trainer);
    if (status != STATUS_OK)
        return status;
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

/* The norm of the mean gradient, which is `factor` times the sum. */
static double gradient_norm(const struct trainer *trainer, double factor)
{
    if (is_exact(trainer))
        return sqrt(exact_sum_squares(trainer->sum, factor));
    double squares = 0;
    for (size_t i = 0; i < trainer->now.params.total; i++) {
        double value = (double)trainer->gradient[i] * factor;
        squares += value * value;
    }
    return sqrt(squares);
}

/* Updates the weights by `factor` times the sum, in parts that stay in the cache. */
static void update(struct trainer *trainer, double factor, double rate)
{
    enum { PART = 4096 };
    struct checkpoint *now = &trainer->now;
    float part[PART];
    optimizer_begin(&now->optimizer, rate);
    for (size_t first = 0; first < now->params.total; first += PART) {
        size_t left = now->params.total - first, n = left < PART ? left : PART;
        if (is_exact(trainer))
            exact_sum_read(trainer->sum, first, n, factor, part);
        for (size_t i = 0; !is_exact(trainer) && i < n; i++)
            part[i] = (float)((double)trainer->gradient[first + i] * factor);
        optimizer_update(&now->optimizer, first, n, part, now->weights + first);
    }
    model_weights_changed(trainer->model);
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

/* Some rank could not read its window: all learn which, and why. Collective. */
static enum status unread(struct trainer *trainer)
{
    enum status status =
        comm_agree(trainer->comm, prefetcher_status(trainer->prefetcher));
    return status_fail(status, "%s; the last checkpoint is %s%s", status_message(),
                       trainer->saved[0] ? "" : "none", trainer->saved);
}

/* The rest of the sum, and its faults. */
static enum status reduce(struct trainer *trainer)
{
    phase_enter(PHASE_WAIT);
    enum status status = trainer->sum_status;
    if (status == STATUS_OK)
        status = exact_sum_reduce(trainer->sum);
    if (status == STATUS_OK && !is_exact(trainer))
        status = buckets_wait(trainer->float_sum);
    if (status == STATUS_OK && exact_sum_count(trainer->sum, SUM_FAILED) > 0)
        status = unread(trainer);
    if (status == STATUS_OK && exact_sum_bad(trainer->sum))
        status = report_bad(trainer);
    return status;
}

enum status trainer_learn(struct trainer *trainer, struct step_facts *facts)
{
    struct checkpoint *now = &trainer->now;
    forward(trainer);
    backward(trainer);
    add_extras(trainer);
    enum status status = reduce(trainer);
    if (status != STATUS_OK)
        return status;
    phase_enter(PHASE_OPTIMIZER);
    double targets = (double)exact_sum_count(trainer->sum, SUM_TARGETS);
    double clip = now->options.train.clip, factor = 1 / targets;
    double norm = gradient_norm(trainer, factor);
    if (!isfinite(norm))
        return diverged(trainer, "the gradient's norm is not finite");
    double rate = schedule_learning_rate(&now->schedule, &now->options, now->step + 1,
                                         trainer->total_steps);
    update(trainer, clip > 0 && norm > clip ? factor * clip / norm : factor, rate);
    count_step(trainer);
    facts->step = now->step;
    facts->epoch = now->epoch + 1;
    facts->loss = exact_sum_extra(trainer->sum, SUM_LOSS) / targets;
    facts->accuracy = (double)exact_sum_count(trainer->sum, SUM_CORRECT) / targets;
    facts->gradient_norm = norm;
    facts->learning_rate = rate;
    return STATUS_OK;
}

enum status trainer_step(struct trainer *trainer, struct step_facts *facts)
{
    phase_set_step(trainer->now.step + 1);
    phase_enter(PHASE_READ);
    prefetcher_next(trainer->prefetcher,
                    &trainer->window); /* how that went is asked behind the sum */
    return trainer_learn(trainer, facts);
}
