/* window: the tokens of one step, for the microbatches of a rank, as the model takes
 * them. */
#ifndef TUTTI_TRAIN_WINDOW_H
#define TUTTI_TRAIN_WINDOW_H

#include <stdint.h>

#include "base/status.h"
#include "nn/model.h"

struct window { /* zero-initialise; free with window_free */
    int microbatches, rows, steps;
    token *inputs;          /* [microbatches][steps][rows] */
    int32_t *targets;       /* likewise */
    const token **input_of; /* [microbatches]: where each begins */
    const int32_t **target_of;
    struct microbatch_loss *losses; /* [microbatches] */
};

enum status window_create(int microbatches, int rows, int steps, struct window *out);
void window_free(struct window *window);

/* Where the microbatch's part begins, to be filled. */
token *window_inputs(struct window *window, int microbatch);
int32_t *window_targets(struct window *window, int microbatch);

/* Nothing in the microbatch's part counts: every input `end`, every target -1. */
void window_blank(struct window *window, int microbatch, token end);

#endif
