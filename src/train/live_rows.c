/* live_rows: see the header. A row that is dropped is replaced by the last one, together
 * with its carried states, so the rows of the model in use are always the first ones. */
#include "live_rows.h"

void live_rows_plan(struct live_rows *live, const struct window *window,
                    struct arena *arena)
{
    size_t rows = (size_t)window->microbatches * (size_t)window->rows;
    live->row_of = arena_array(arena, rows, sizeof *live->row_of);
    live->log_probability =
        arena_array(arena, rows * (size_t)window->steps, sizeof *live->log_probability);
    live->correct =
        arena_array(arena, rows * (size_t)window->steps, sizeof *live->correct);
    live->packed = (struct window){.microbatches = window->microbatches,
                                   .rows = window->rows,
                                   .steps = window->steps};
    window_plan(&live->packed, arena);
}

void live_rows_begin(struct live_rows *live, const struct ensemble *ensemble)
{
    live->packs = ensemble_rows_are_independent(ensemble);
    live->count = live->packed.microbatches * live->packed.rows;
    for (int i = 0; i < live->count; i++)
        live->row_of[i] = i;
}

/* The index of time step 0 of a row in a [S][T][B] array; step t is t B further. */
static size_t start_of(const struct window *window, int row)
{
    int s = row / window->rows, b = row % window->rows;
    return (size_t)(s * window->steps * window->rows + b);
}

static void drop_finished_rows(struct live_rows *live, const struct ensemble *ensemble,
                               const struct window *window)
{
    for (int i = 0; i < live->count;) {
        if (window->targets[start_of(window, live->row_of[i])] >= 0) {
            i++;
            continue;
        }
        int last = --live->count;
        live->row_of[i] = live->row_of[last];
        ensemble_copy_state(ensemble, last, i);
    }
}

/* Copies the window's live rows to their rows of the model. Returns the number of
 * microbatches that contain them. */
static int pack(struct live_rows *live, const struct window *window, token end)
{
    struct window *packed = &live->packed;
    int microbatches = (live->count + window->rows - 1) / window->rows;
    for (int s = 0; s < microbatches; s++)
        window_blank(packed, s, end);
    for (int i = 0; i < live->count; i++) {
        size_t from = start_of(window, live->row_of[i]), to = start_of(packed, i);
        for (int t = 0; t < window->steps; t++) {
            size_t step = (size_t)t * (size_t)window->rows;
            packed->inputs[to + step] = window->inputs[from + step];
            packed->targets[to + step] = window->targets[from + step];
        }
    }
    return microbatches;
}

/* Copies the results back to the window's rows. */
static void unpack(struct live_rows *live, const struct ensemble *ensemble)
{
    int rows = live->packed.rows;
    for (int i = 0; i < live->count; i++) {
        int s = i / rows, b = i % rows;
        const int32_t *targets = live->packed.target_of[s];
        size_t to = start_of(&live->packed, live->row_of[i]);
        for (int j = b; j < b + live->packed.steps * rows;
             j += rows, to += (size_t)rows) {
            if (targets[j] < 0)
                continue;
            live->log_probability[to] = ensemble_target_log_probability(ensemble, s, j);
            live->correct[to] = ensemble_target_correct(ensemble, s, j, targets[j]);
        }
    }
}

/* In the order of time steps and rows, like the model's own losses. */
static struct microbatch_loss loss_of(const struct live_rows *live,
                                      const struct window *window, int s)
{
    struct microbatch_loss sum = {0};
    size_t first = start_of(window, s * window->rows);
    for (size_t i = first; i < first + (size_t)(window->steps * window->rows); i++) {
        if (window->targets[i] < 0)
            continue;
        sum.loss -= live->log_probability[i];
        sum.targets++;
        sum.correct += live->correct[i];
    }
    return sum;
}

void live_rows_forward(struct live_rows *live, const struct ensemble *ensemble,
                       struct window *window, token end)
{
    const struct window *packed = &live->packed;
    if (live->packs)
        drop_finished_rows(live, ensemble, window);
    int microbatches = pack(live, window, end);
    if (microbatches > 0)
        ensemble_forward_first(ensemble, microbatches, packed->input_of,
                               packed->target_of, packed->losses);
    unpack(live, ensemble);
    for (int s = 0; s < window->microbatches; s++)
        window->losses[s] = loss_of(live, window, s);
}

const double *live_rows_log_probability(const struct live_rows *live, int microbatch)
{
    return live->log_probability +
           start_of(&live->packed, microbatch * live->packed.rows);
}
