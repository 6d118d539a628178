/* live_rows: the forward pass of a window in which only some rows have tokens.
 *
 * In a single pass of a split, rows run out of pieces at different times. The rows that
 * still have tokens, the live ones, are packed into the model's first microbatches, and
 * only these are computed, by all models of an ensemble. The bits of a row's results are
 * the same as without packing; where a model does not promise that
 * (model_rows_are_independent), all rows stay in place.
 *
 * Letters: S microbatches, T time steps, B rows of a microbatch. Row b of microbatch s is
 * row s B + b, of the window or of the model. Not collective.
 */
#ifndef TUTTI_TRAIN_LIVE_ROWS_H
#define TUTTI_TRAIN_LIVE_ROWS_H

#include <stdbool.h>

#include "ensemble.h"
#include "window.h"
#include "base/arena.h"

struct live_rows {
    bool packs;           /* false: all rows stay in place */
    int count;            /* rows of the model in use */
    int *row_of;          /* [S B]: the window's row in each row of the model */
    struct window packed; /* what the model computes */
    /* [S][T][B], of the window's targets that are not -1: */
    double *log_probability; /* nats */
    bool *correct;           /* the target was the most probable token */
};

/* Places the arrays, for windows of the shape of `window`; see base/arena.h. */
void live_rows_plan(struct live_rows *live, const struct window *window,
                    struct arena *arena);

/* Starts a pass with all rows live, in place. */
void live_rows_begin(struct live_rows *live, const struct ensemble *ensemble);

/* Drops the rows without a target at the first time step of the window, which must not
 * have one later in the pass either, and computes the others. Sets the window's losses.
 * `end` fills the rest of the last microbatch. */
void live_rows_forward(struct live_rows *live, const struct ensemble *ensemble,
                       struct window *window, token end);

/* Log-probabilities (nats) of a microbatch of the last window, [T][B]; undefined where
 * the target is -1. */
const double *live_rows_log_probability(const struct live_rows *live, int microbatch);

#endif
