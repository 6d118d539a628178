/* one_hot: see the header. */
#include "one_hot.h"

#include <string.h>

#include "base/team.h"
#include "kernels/kernels.h"

void one_hot_plan(struct one_hot *one_hot, int threads, struct arena *arena)
{
    size_t g = (size_t)one_hot->outputs, v = (size_t)one_hot->vocabulary;
    one_hot->lookup = arena_array(arena, g * v, sizeof(real));
    one_hot->dweight = arena_array(arena, (size_t)threads * VECTOR * v, sizeof(real));
}

void one_hot_pack(struct one_hot *one_hot, const real *weights)
{
    size_t g = (size_t)one_hot->outputs, v = (size_t)one_hot->vocabulary;
    const real *weight = weights + one_hot->weight_offset;
    struct team_share tokens = team_share(v, VECTOR);
    for (size_t j = 0; j < g; j++)
        for (size_t i = tokens.first; i < tokens.end; i++)
            one_hot->lookup[i * g + j] = weight[j * v + i];
}

void one_hot_forward(const struct one_hot *one_hot, struct batch_shape batch,
                     const token *const *tokens, real *y)
{
    size_t g = (size_t)one_hot->outputs, rows = (size_t)microbatch_rows(batch);
    struct team_share share = team_share(batch_rows(batch), 1);
    for (size_t i = share.first; i < share.end; i++) {
        token input = tokens[i / rows][i % rows];
        memcpy(y + i * g, one_hot->lookup + input * g, g * sizeof *y);
    }
}

/* dweight[outputs][V] := the gradient of some outputs, at most VECTOR; dy begins with
 * the first of them. */
static void add_rows(const struct one_hot *one_hot, const real *dy, const token *tokens,
                     size_t rows, size_t outputs, real *dweight)
{
    size_t g = (size_t)one_hot->outputs, v = (size_t)one_hot->vocabulary;
    memset(dweight, 0, outputs * v * sizeof *dweight);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < outputs; j++)
            dweight[j * v + tokens[i]] += dy[i * g + j];
}

void one_hot_backward(const struct one_hot *one_hot, struct batch_shape batch,
                      const real *dy, const token *const *tokens,
                      const struct gradient_sink *sink)
{
    size_t g = (size_t)one_hot->outputs, v = (size_t)one_hot->vocabulary;
    real *dweight = one_hot->dweight + (size_t)team_thread() * VECTOR * v;
    struct gradient_block block = {
        .ld = v, .width = one_hot->vocabulary, .values = dweight, .ld_values = v};
    struct team_share share = team_share(g, VECTOR);
    for (size_t first = share.first; first < share.end; first += VECTOR) {
        size_t left = share.end - first, outputs = left < VECTOR ? left : VECTOR;
        block.first = one_hot->weight_offset + first * v;
        block.rows = (int)outputs;
        for (int s = 0; s < batch.microbatches; s++) {
            add_rows(one_hot, dy + row_index(batch, s, 0, 0) * g + first, tokens[s],
                     (size_t)microbatch_rows(batch), outputs, dweight);
            sink->write(sink->context, s, &block);
        }
    }
}
