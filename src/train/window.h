/* window: the tokens of one step, for the microbatches of a rank, in the layout that the
 * model expects. */
#ifndef TUTTI_TRAIN_WINDOW_H
#define TUTTI_TRAIN_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "nn/model.h"

struct window { /* S microbatches of B rows and T steps */
    int microbatches, rows, steps;
    token *inputs;          /* [S][T][B] */
    int32_t *targets;       /* [S][T][B]; -1 is not counted */
    const token **input_of; /* [S]: where each microbatch begins */
    const int32_t **target_of;
    struct microbatch_loss *losses; /* [S], of the forward pass */
    struct arena arena;             /* of all arrays after window_create, else empty */
};

enum status window_create(int microbatches, int rows, int steps, struct window *out);
void window_free(struct window *window); /* only after window_create; zero is fine */

/* Places the arrays in another arena, by microbatches, rows and steps; see arena.h. Such
 * a window needs no window_free. */
void window_plan(struct window *window, struct arena *arena);

/* A microbatch's part, [T][B], to be filled. */
token *window_inputs(struct window *window, int microbatch);
int32_t *window_targets(struct window *window, int microbatch);

/* Sets all targets but those of the last time step to -1, for all microbatches. */
void window_keep_last_targets(struct window *window);

/* Fills a microbatch's part with tokens that don't count: inputs `end`, targets -1. */
void window_blank(struct window *window, int microbatch, token end);

#endif
