/* rehearsal: a trainer with neither dataset nor files. */
#include "rehearsal.h"

#include <stdlib.h>

#include "trainer_internal.h"
#include "base/rng.h"

struct rehearsal {
    struct trainer trainer;
    struct window window;
};

/* Where a dataset would have been read. */
static void plan(struct trainer *trainer)
{
    const struct options *options = &trainer->now.options;
    trainer->own = slices_of_rank((int)options->train.microbatches, comm_rank(trainer->comm),
                                  comm_size(trainer->comm));
    trainer->rows = (int)(options->train.batch / options->train.microbatches);
    trainer->steps = (int)options->train.sequence_length;
    trainer->steps_per_epoch = trainer->total_steps = INT64_MAX;
}

static void make_up_tokens(struct window *window, size_t vocabulary, uint64_t row)
{
    size_t count = (size_t)(window->slices * window->rows * window->steps);
    for (size_t i = 0; i < count; i++) {
        window->inputs[i] = (token)rng_below(vocabulary - 1, 1, RNG_TEST, row, i, 0);
        window->targets[i] = (int32_t)rng_below(vocabulary - 1, 1, RNG_TEST, row, i, 1);
    }
}

static enum status open_local(struct rehearsal *rehearsal, size_t vocabulary)
{
    struct trainer *trainer = &rehearsal->trainer;
    struct window *window = &rehearsal->window;
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

enum status rehearsal_open(struct comm *comm, const struct options *options,
                           size_t vocabulary, struct rehearsal **out)
{
    struct rehearsal *rehearsal = *out = calloc(1, sizeof *rehearsal);
    if (!rehearsal)
        comm_abort(comm, STATUS_FAILED); /* the others are waiting */
    struct trainer *trainer = &rehearsal->trainer;
    trainer->comm = comm;
    trainer->now.options = *options;
    enum status status = model_choose_products(options);
    plan(trainer);
    if (status == STATUS_OK)
        status = open_local(rehearsal, vocabulary);
    status = comm_agree(comm, status);
    if (status == STATUS_OK)
        status = comm_agree(comm, trainer_open_sum(trainer));
    if (status != STATUS_OK) {
        rehearsal_close(rehearsal);
        *out = NULL;
    }
    return status;
}

void rehearsal_close(struct rehearsal *rehearsal)
{
    if (!rehearsal)
        return;
    trainer_close(&rehearsal->trainer);
    window_free(&rehearsal->window);
    free(rehearsal);
}

enum status rehearsal_step(struct rehearsal *rehearsal)
{
    struct step_facts facts = {0};
    return trainer_learn(&rehearsal->trainer, &facts);
}

double rehearsal_tokens(const struct rehearsal *rehearsal)
{
    const struct window *window = &rehearsal->window;
    return (double)window->slices * window->rows * window->steps;
}

double rehearsal_flop(const struct rehearsal *rehearsal)
{
    return 6 * rehearsal_tokens(rehearsal) *
           (double)model_products_per_token(rehearsal->trainer.model);
}
