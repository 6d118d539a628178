/* window: one allocation for each kind, with pointers to the microbatches' parts. */
#include "window.h"

#include <stdlib.h>

static size_t cells(const struct window *window)
{
    return (size_t)window->rows * (size_t)window->steps;
}

enum status window_create(int microbatches, int rows, int steps, struct window *out)
{
    *out = (struct window){.microbatches = microbatches, .rows = rows, .steps = steps};
    size_t count = (size_t)microbatches, all = count * cells(out);
    out->inputs = calloc(all, sizeof *out->inputs);
    out->targets = calloc(all, sizeof *out->targets);
    out->input_of = calloc(count, sizeof *out->input_of);
    out->target_of = calloc(count, sizeof *out->target_of);
    out->losses = calloc(count, sizeof *out->losses);
    if (!out->inputs || !out->targets || !out->input_of || !out->target_of ||
        !out->losses) {
        window_free(out);
        return status_fail(STATUS_FAILED, "out of memory for a window of %zu tokens",
                           all);
    }
    for (int s = 0; s < microbatches; s++) {
        out->input_of[s] = window_inputs(out, s);
        out->target_of[s] = window_targets(out, s);
    }
    return STATUS_OK;
}

void window_free(struct window *window)
{
    free(window->inputs);
    free(window->targets);
    free(window->input_of);
    free(window->target_of);
    free(window->losses);
    *window = (struct window){0};
}

token *window_inputs(struct window *window, int microbatch)
{
    return window->inputs + (size_t)microbatch * cells(window);
}

int32_t *window_targets(struct window *window, int microbatch)
{
    return window->targets + (size_t)microbatch * cells(window);
}

void window_blank(struct window *window, int microbatch, token end)
{
    token *inputs = window_inputs(window, microbatch);
    int32_t *targets = window_targets(window, microbatch);
    for (size_t i = 0; i < cells(window); i++) {
        inputs[i] = end;
        targets[i] = -1;
    }
}
