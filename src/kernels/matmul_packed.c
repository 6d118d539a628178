/* matmul_packed: see the header.
 *
 * Rows of x are processed in blocks that stay in the L2 cache while the weights are
 * streamed, one part of a panel after the other; each part is prefetched while the
 * previous one is in use. Results stay in the cache, too, or bypass it if they are too
 * large.
 *
 * Rows of dy and x often have a power-of-two stride, which maps them to few cache sets.
 * Gradients therefore read packed copies with a padded stride.
 */
#include "matmul_packed.h"

#include <stdint.h>

#include "tiling.h"

enum {
    NONTEMPORAL_BYTES = 16 << 20, /* larger results do not stay in a cache */
    DY_BLOCKS_BYTES = 5 << 18     /* of packed dy: a large part of a 2 MB L2 cache */
};

/* ---- weights ---- */

void packed_plan_weights(struct matmul_weights *weights, struct arena *arena)
{
    const struct packed_format *format = weights->backend->format;
    weights->panels = arena_array(arena, (size_t)ceil_div(weights->n, NR),
                                  format->panel_bytes(weights->k));
}

void packed_pack(struct matmul_weights *weights)
{
    const struct packed_format *format = weights->backend->format;
    size_t k = (size_t)weights->k, bytes = format->panel_bytes(weights->k);
    char *panel = weights->panels;
    for (int first = 0; first < weights->n; first += NR, panel += bytes) {
        int width = min(NR, weights->n - first);
        if (weights->transposed)
            format->pack_columns(weights, weights->w + first, width, panel);
        else
            format->pack_rows(weights, weights->w + (size_t)first * k, width, panel);
    }
}

/* ---- matmul ---- */

/* Part `index` in order of use: all panels with the first `inputs` inputs, then all
 * panels with the next ones. (bfloat16 takes all inputs at once: `first_input` is 0.) */
static struct panel_part panel_part_at(const struct matmul_weights *w, int index,
                                       int inputs, bool reversed)
{
    int panels = ceil_div(w->n, NR), panel = index % panels;
    panel = reversed ? panels - 1 - panel : panel;
    int first_input = index / panels * inputs;
    return (struct panel_part){.first_output = panel * NR,
                               .width = min(NR, w->n - panel * NR),
                               .first_input = first_input,
                               .k = min(inputs, w->k - first_input),
                               .panel =
                                   (const char *)w->panels +
                                   (size_t)panel * w->backend->format->panel_bytes(w->k) +
                                   (size_t)first_input * NR * sizeof(real)};
}

/* The first part of the inputs overwrites y, the following parts accumulate. Only the
 * last stores can be nontemporal. */
static enum matmul_output part_output(const struct panel_part *part, int k,
                                      enum matmul_output output)
{
    if (part->first_input > 0)
        return MATMUL_ACCUMULATE;
    return output == MATMUL_NONTEMPORAL && part->k < k ? MATMUL_OVERWRITE : output;
}

void packed_matmul(const struct matmul_weights *w, int rows, const real *const *x,
                   real *const *y, enum matmul_output output, bool reversed)
{
    const struct packed_format *format = w->backend->format;
    struct blocking block = format->blocking(w, rows);
    int parts = ceil_div(w->n, NR) * ceil_div(w->k, block.inputs);
    format->begin();
    for (int first = 0; first < rows; first += block.rows) {
        int count = min(block.rows, rows - first);
        format->prepare_rows(w, count, x + first);
        for (int p = 0; p < parts; p++) {
            struct panel_part part = panel_part_at(w, p, block.inputs, reversed);
            struct panel_part next =
                panel_part_at(w, min(p + 1, parts - 1), block.inputs, reversed);
            format->multiply(w, &part, &next, count, x + first, y + first,
                             part_output(&part, w->k, output));
        }
    }
    format->end();
}

/* MATMUL_OVERWRITE may become nontemporal. */
static enum matmul_output batched_output(const struct matmul_weights *w, size_t rows,
                                         const real *y, enum matmul_output output)
{
    size_t row = (size_t)w->n * sizeof *y;
    bool aligned = ((uintptr_t)y | row) % CACHE_LINE == 0;
    bool large = rows * row > NONTEMPORAL_BYTES;
    return output == MATMUL_OVERWRITE && aligned && large ? MATMUL_NONTEMPORAL : output;
}

void packed_matmul_batched(const struct matmul_weights *w, struct matmul_batch batch,
                           const real *x, real *y, enum matmul_output output)
{
    enum { CHUNK_ROWS = 256 };
    const real *x_rows[CHUNK_ROWS];
    real *y_rows[CHUNK_ROWS];
    size_t rows = (size_t)batch.microbatches * (size_t)batch.rows;
    output = batched_output(w, rows, y, output);
    for (size_t first = 0; first < rows; first += CHUNK_ROWS) {
        int count = min(CHUNK_ROWS, (int)(rows - first));
        for (size_t i = 0; i < (size_t)count; i++) {
            x_rows[i] = x + (first + i) * (size_t)w->k;
            y_rows[i] = y + (first + i) * (size_t)w->n;
        }
        packed_matmul(w, count, x_rows, y_rows, output, false);
    }
}

/* ---- gradients ---- */

/* The number of microbatches whose blocks of dy fit in the L2 cache together, with the
 * sums that their results are added to. */
static int dy_block_count(size_t block_bytes, int microbatches)
{
    size_t blocks = DY_BLOCKS_BYTES / block_bytes;
    return min(microbatches, blocks > 1 ? (int)blocks : 1);
}

/* An upper bound for the number of panels of a gradient's inputs; each input starts a new
 * panel. */
static size_t x_panel_count(size_t inputs)
{
    return inputs / NR + GRADIENT_INPUTS;
}

void packed_plan_workspace(struct matmul_workspace *workspace, struct arena *arena)
{
    const struct packed_format *format = workspace->backend->format;
    struct matmul_batch batch = workspace->batch;
    size_t block = format->dy_block_bytes(batch);
    workspace->dy_block_count = dy_block_count(block, batch.microbatches);
    workspace->x_panels = arena_array(arena, x_panel_count(workspace->inputs),
                                      format->x_panel_bytes(batch));
    workspace->dy_blocks = arena_array(arena, (size_t)workspace->dy_block_count, block);
    workspace->dw = arena_array(arena, GRADIENT_ROWS * NR, sizeof *workspace->dw);
}

void *packed_dy_block(const struct matmul_workspace *workspace, int microbatch)
{
    size_t bytes = workspace->backend->format->dy_block_bytes(workspace->batch);
    return (char *)workspace->dy_blocks +
           (size_t)(microbatch % workspace->dy_block_count) * bytes;
}

/* A part of dW: rows [first_row, first_row + height), of microbatches
 * [first_microbatch, end_microbatch), whose blocks of dy are packed together. */
struct dw_part {
    int first_row, height, first_microbatch, end_microbatch;
};

/* Computes that part of an input's dW, panel by panel, with the microbatches in the inner
 * loop: the sums that the sink adds to stay in the cache. `panel` is the input's first
 * panel. */
static void write_dw(const struct matmul_gradient *g, const struct gradient_input *input,
                     int panel, struct dw_part part)
{
    struct matmul_workspace *workspace = g->workspace;
    size_t k = (size_t)input->k;
    struct gradient_block block = {.first =
                                       input->weight_offset + (size_t)part.first_row * k,
                                   .ld = k,
                                   .rows = part.height,
                                   .values = workspace->dw,
                                   .ld_values = NR};
    for (int column = 0; column < input->k; column += NR, panel++, block.first += NR) {
        block.width = min(NR, input->k - column);
        for (int s = part.first_microbatch; s < part.end_microbatch; s++) {
            struct x_panel_index current = {s, panel}, next = {s + 1, panel};
            if (s + 1 == part.end_microbatch)
                next = (struct x_panel_index){part.first_microbatch, panel + 1};
            workspace->backend->format->multiply_dw(workspace, current, next, part.height,
                                                    block.width);
            g->sink->write(g->sink->context, s, &block);
        }
    }
}

/* Computes that part of the dW of all inputs, and of db. */
static void write_dw_part(const struct matmul_gradient *g, struct dw_part part)
{
    real sums[GRADIENT_ROWS];
    for (int s = part.first_microbatch; s < part.end_microbatch; s++) {
        g->workspace->backend->format->pack_dy(g, s, part.first_row, part.height);
        gradient_write_bias(g, s, part.first_row, part.height, sums);
    }
    for (int i = 0, panel = 0; i < g->count; i++) {
        write_dw(g, &g->inputs[i], panel, part);
        panel += ceil_div(g->inputs[i].k, NR);
    }
}

/* The n rows of dW are divided into parts of equal height, a whole number of pairs of
 * microtiles. */
static int dw_part_height(int n)
{
    int height = ceil_div(n, ceil_div(n, GRADIENT_ROWS));
    return ceil_div(height, 2 * MR) * 2 * MR;
}

void packed_gradient(const struct matmul_gradient *g)
{
    struct matmul_workspace *workspace = g->workspace;
    const struct packed_format *format = workspace->backend->format;
    int height = dw_part_height(g->n), microbatches = g->batch.microbatches;
    for (int i = 0, panel = 0; i < g->count; i++) {
        format->pack_x(workspace, panel, &g->inputs[i]);
        panel += ceil_div(g->inputs[i].k, NR);
    }
    format->begin();
    for (int first = 0; first < g->n; first += height)
        for (int s = 0; s < microbatches; s += workspace->dy_block_count)
            write_dw_part(
                g, (struct dw_part){first, min(height, g->n - first), s,
                                    min(s + workspace->dy_block_count, microbatches)});
    format->end();
}
