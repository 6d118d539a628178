/* synthetic_run: a trainer with neither dataset nor files. */
#include "synthetic_run.h"

#include <stdlib.h>

#include "trainer_internal.h"
#include "base/rng.h"

struct synthetic_run {
    struct trainer trainer;
    struct window window;
};

/* Where a dataset would have been read. */
static void plan(struct trainer *trainer)
{
    const struct options *options = &trainer->now.options;
    trainer->own = microbatches_of_rank(
        (int)options->train.slices, comm_rank(trainer->comm), comm_size(trainer->comm));
    trainer->rows = (int)(options->train.batch / options->train.slices);
    trainer->steps = (int)options->train.time;
    trainer->steps_per_epoch = trainer->total_steps = INT64_MAX;
}

static void make_up_tokens(struct window *window, size_t vocabulary, uint64_t row)
{
    size_t count = (size_t)(window->microbatches * window->rows * window->steps);
    for (size_t i = 0; i < count; i++) {
        window->inputs[i] = (token)rng_below(vocabulary - 1, 1, RNG_TEST, row, i, 0);
        window->targets[i] = (int32_t)rng_below(vocabulary - 1, 1, RNG_TEST, row, i, 1);
    }
}

static enum status open_local(struct synthetic_run *synthetic_run, size_t vocabulary)
{
    struct trainer *trainer = &synthetic_run->trainer;
    struct window *window = &synthetic_run->window;
    enum status status = trainer_open_model(trainer, vocabulary, (token)(vocabulary - 1));
    if (status == STATUS_OK)
        status = trainer_settle_weights(trainer, NULL);
    if (status == STATUS_OK)
        status = window_create(trainer->own.count, trainer->rows, trainer->steps, window);
    if (status != STATUS_OK)
        return status;
    make_up_tokens(window, vocabulary, (uint64_t)trainer->own.first);
    trainer->window = *window;
    return STATUS_OK;
}

enum status synthetic_run_open(struct comm *comm, const struct options *options,
                               size_t vocabulary, struct synthetic_run **out)
{
    struct synthetic_run *synthetic_run = *out = calloc(1, sizeof *synthetic_run);
    if (!synthetic_run)
        comm_abort(comm, STATUS_FAILED); /* the others are waiting */
    struct trainer *trainer = &synthetic_run->trainer;
    trainer->comm = comm;
    trainer->now.options = *options;
    enum status status = model_matmul_backend(options, &trainer->backend);
    plan(trainer);
    if (status == STATUS_OK)
        status = open_local(synthetic_run, vocabulary);
    status = comm_agree(comm, status);
    if (status == STATUS_OK)
        status = comm_agree(comm, trainer_open_sum(trainer));
    if (status != STATUS_OK) {
        synthetic_run_close(synthetic_run);
        *out = NULL;
    }
    return status;
}

void synthetic_run_close(struct synthetic_run *synthetic_run)
{
    if (!synthetic_run)
        return;
    trainer_close(&synthetic_run->trainer);
    window_free(&synthetic_run->window);
    free(synthetic_run);
}

enum status synthetic_run_step(struct synthetic_run *synthetic_run)
{
    struct step_facts facts = {0};
    return trainer_learn(&synthetic_run->trainer, &facts);
}

double synthetic_run_tokens(const struct synthetic_run *synthetic_run)
{
    const struct window *window = &synthetic_run->window;
    return (double)window->microbatches * window->rows * window->steps;
}

double synthetic_run_flop(const struct synthetic_run *synthetic_run)
{
    return 6 * synthetic_run_tokens(synthetic_run) *
           (double)model_macs_per_token(synthetic_run->trainer.model);
}
