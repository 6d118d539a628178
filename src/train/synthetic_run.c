/* synthetic_run: a step engine without dataset and files. */
#include "synthetic_run.h"

#include <stdlib.h>

#include "state.h"
#include "trainer_step.h"
#include "window.h"
#include "base/rng.h"

struct synthetic_run {
    struct options options;
    struct step_engine engine;
    struct training_state state;
    struct window window;
};

/* Draws tokens uniformly from all but the last. */
static void draw_tokens(struct window *window, size_t vocabulary, uint64_t row)
{
    size_t count = (size_t)(window->microbatches * window->rows * window->steps);
    for (size_t i = 0; i < count; i++) {
        window->inputs[i] = (token)rng_below(vocabulary - 1, 1, RNG_TEST, row, i, 0);
        window->targets[i] = (int32_t)rng_below(vocabulary - 1, 1, RNG_TEST, row, i, 1);
    }
}

static enum status open_local(struct synthetic_run *run, struct comm *comm,
                              size_t vocabulary)
{
    struct step_engine *engine = &run->engine;
    const struct local_batch *batch = &engine->batch;
    const struct matmul_backend *backend;
    enum status status = model_matmul_backend(&run->options, &backend);
    if (status == STATUS_OK)
        status = step_open(engine, comm, &run->options, backend, vocabulary,
                           (token)(vocabulary - 1));
    if (status != STATUS_OK)
        return status;
    engine->total_steps = INT64_MAX;
    status = step_set_weights(engine, NULL);
    if (status == STATUS_OK)
        status = training_state_init(&run->options, engine->params.total, &run->state);
    if (status == STATUS_OK)
        status = window_create(batch->own.count, batch->rows, batch->steps, &run->window);
    if (status == STATUS_OK)
        draw_tokens(&run->window, vocabulary, (uint64_t)batch->own.first);
    return status;
}

enum status synthetic_run_open(struct comm *comm, const struct options *options,
                               size_t vocabulary, struct synthetic_run **out)
{
    struct synthetic_run *run = *out = calloc(1, sizeof *run);
    if (!run)
        comm_abort(comm, STATUS_FAILED); /* the other ranks are waiting */
    run->options = *options;
    enum status status = comm_agree(comm, open_local(run, comm, vocabulary));
    if (status == STATUS_OK)
        status = comm_agree(comm, step_open_sum(&run->engine));
    if (status != STATUS_OK) {
        synthetic_run_close(run);
        *out = NULL;
    }
    return status;
}

void synthetic_run_close(struct synthetic_run *run)
{
    if (!run)
        return;
    step_close(&run->engine);
    training_state_free(&run->state);
    window_free(&run->window);
    free(run);
}

enum status synthetic_run_step(struct synthetic_run *run)
{
    struct step_flags flags = {0};
    struct step_metrics metrics = {0};
    step_gradient(&run->engine, &run->state, &run->window);
    enum status status = step_reduce(&run->engine, &run->window, &flags);
    return status == STATUS_OK ? step_update(&run->engine, &run->state, &metrics)
                               : status;
}

double synthetic_run_tokens(const struct synthetic_run *run)
{
    const struct window *window = &run->window;
    return (double)window->microbatches * window->rows * window->steps;
}

double synthetic_run_flop(const struct synthetic_run *run)
{
    return 6 * synthetic_run_tokens(run) *
           (double)model_macs_per_token(run->engine.model);
}
