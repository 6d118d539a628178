/* window: the tokens of one step, for the slices of a rank, as the model takes them. */
#ifndef TUTTI_TRAIN_WINDOW_H
#define TUTTI_TRAIN_WINDOW_H

#include <stdint.h>

#include "base/status.h"
#include "nn/model.h"

struct window { /* zero-initialise; free with window_free */
    int slices, rows, steps;
    token *inputs;          /* [slices][steps][rows] */
    int32_t *targets;       /* likewise */
    const token **input_of; /* [slices]: where each begins */
    const int32_t **target_of;
    struct slice_loss *losses; /* [slices] */
};

enum status window_create(int slices, int rows, int steps, struct window *out);
void window_free(struct window *window);

/* Where the slice's part begins, to be filled. */
token *window_inputs(struct window *window, int slice);
int32_t *window_targets(struct window *window, int slice);

/* Nothing in the slice's part counts: every input `end`, every target -1. */
void window_blank(struct window *window, int slice, token end);

#endif
