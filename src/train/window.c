/* window: see the header. */
#include "window.h"

static size_t tokens_per_microbatch(const struct window *window)
{
    return (size_t)window->rows * (size_t)window->steps;
}

void window_plan(struct window *window, struct arena *arena)
{
    size_t count = (size_t)window->microbatches,
           all = count * tokens_per_microbatch(window);
    window->inputs = arena_array(arena, all, sizeof *window->inputs);
    window->targets = arena_array(arena, all, sizeof *window->targets);
    window->input_of = arena_array(arena, count, sizeof *window->input_of);
    window->target_of = arena_array(arena, count, sizeof *window->target_of);
    window->losses = arena_array(arena, count, sizeof *window->losses);
    for (int s = 0; window->losses && s < window->microbatches; s++) {
        window->input_of[s] = window_inputs(window, s);
        window->target_of[s] = window_targets(window, s);
    }
}

enum status window_create(int microbatches, int rows, int steps, struct window *out)
{
    *out = (struct window){.microbatches = microbatches, .rows = rows, .steps = steps};
    window_plan(out, &out->arena);
    if (!arena_allocate(&out->arena))
        return status_fail(STATUS_FAILED, "out of memory for a window of %zu tokens",
                           (size_t)microbatches * tokens_per_microbatch(out));
    window_plan(out, &out->arena);
    return STATUS_OK;
}

void window_free(struct window *window)
{
    arena_free(&window->arena);
    *window = (struct window){0};
}

token *window_inputs(struct window *window, int microbatch)
{
    return window->inputs + (size_t)microbatch * tokens_per_microbatch(window);
}

int32_t *window_targets(struct window *window, int microbatch)
{
    return window->targets + (size_t)microbatch * tokens_per_microbatch(window);
}

void window_keep_last_targets(struct window *window)
{
    size_t others = (size_t)(window->steps - 1) * (size_t)window->rows;
    for (int s = 0; s < window->microbatches; s++) {
        int32_t *targets = window_targets(window, s);
        for (size_t i = 0; i < others; i++)
            targets[i] = -1;
    }
}

void window_blank(struct window *window, int microbatch, token end)
{
    token *inputs = window_inputs(window, microbatch);
    int32_t *targets = window_targets(window, microbatch);
    for (size_t i = 0; i < tokens_per_microbatch(window); i++) {
        inputs[i] = end;
        targets[i] = -1;
    }
}
