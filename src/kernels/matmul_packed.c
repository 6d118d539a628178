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

#include <stdatomic.h>
#include <stdint.h>

#include "tiling.h"
#include "base/team.h"

enum {
    NONTEMPORAL_BYTES = 16 << 20, /* larger results do not stay in a cache */
    DY_BLOCKS_BYTES = 5 << 18     /* of packed dy: a large part of a 2 MB L2 cache */
};

/* ---- weights ---- */

/* The width of the first of the panels that cover `count` outputs. The microkernel is
 * slow with a single vector, so two panels of two vectors end a row, not three and one. */
static int panel_width(int count)
{
    bool is_uneven = count > NR && count <= NR + VECTOR;
    return min(is_uneven ? 2 * VECTOR : NR, count);
}

/* Cuts outputs [first, end) into panels and returns their number. `list` NULL: counts. */
static int cut_panels(int first, int end, struct matmul_panel *list)
{
    int count = 0;
    for (int width; first < end; first += width, count++) {
        width = panel_width(end - first);
        if (list)
            list[count] = (struct matmul_panel){first, width};
    }
    return count;
}

/* The same for one thread's range of every segment. */
static int cut_segments(const struct matmul_layout *layout, int thread,
                        struct matmul_panel *list)
{
    /* the ranges of a single thread adjoin each other */
    int segments = layout->threads > 1 ? layout->segments : 1, count = 0;
    int length = layout->n / segments;
    struct team_share range =
        team_share_of((size_t)length, VECTOR, thread, layout->threads);
    for (int first = 0; first < layout->n; first += length)
        count += cut_panels(first + (int)range.first, first + (int)range.end,
                            list ? list + count : NULL);
    return count;
}

/* The same for all threads, in their order; `ends` is panel_ends, or NULL. */
static int list_panels(const struct matmul_layout *layout, struct matmul_panel *list,
                       int *ends)
{
    int count = 0;
    if (layout->segments == 0)
        return cut_panels(0, layout->n, list);
    for (int thread = 0; thread < layout->threads; thread++) {
        count += cut_segments(layout, thread, list ? list + count : NULL);
        if (ends)
            ends[thread] = count;
    }
    return count;
}

void packed_plan_weights(struct matmul_weights *weights, struct arena *arena)
{
    const struct matmul_layout *layout = &weights->layout;
    int count = list_panels(layout, NULL, NULL);
    weights->panel_count = count;
    weights->panel_list = arena_array(arena, (size_t)count, sizeof *weights->panel_list);
    weights->panel_ends =
        arena_array(arena, layout->segments ? (size_t)layout->threads : 0,
                    sizeof *weights->panel_ends);
    weights->panels = arena_array(arena, (size_t)count,
                                  weights->backend->format->panel_bytes(layout->k));
    list_panels(layout, weights->panel_list, weights->panel_ends);
}

/* The panels that the calling thread multiplies: its own, or with shared rows all. */
static struct team_share panels_to_multiply(const struct matmul_weights *w)
{
    int thread = team_thread();
    if (w->layout.segments == 0)
        return (struct team_share){0, (size_t)w->panel_count};
    return (struct team_share){thread ? (size_t)w->panel_ends[thread - 1] : 0,
                               (size_t)w->panel_ends[thread]};
}

static void *panel_at(const struct matmul_weights *weights, size_t panel)
{
    size_t bytes = weights->backend->format->panel_bytes(weights->layout.k);
    return (char *)weights->panels + panel * bytes;
}

void packed_pack(struct matmul_weights *weights, const real *w)
{
    const struct packed_format *format = weights->backend->format;
    size_t k = (size_t)weights->layout.k;
    struct team_share share = weights->layout.segments
                                  ? panels_to_multiply(weights)
                                  : team_share((size_t)weights->panel_count, 1);
    for (size_t p = share.first; p < share.end; p++) {
        struct matmul_panel panel = weights->panel_list[p];
        size_t first = (size_t)panel.first;
        if (weights->layout.transposed)
            format->pack_columns(weights, w + first, panel.width, panel_at(weights, p));
        else
            format->pack_rows(weights, w + first * k, panel.width, panel_at(weights, p));
    }
}

/* ---- matmul ---- */

/* The calling thread's panels with the first inputs, then its panels with the next ones.
 * (bfloat16 takes all inputs at once.) */
struct part_order {
    struct team_share panels;
    int inputs; /* of a part */
    bool reversed;
};

static int part_count(const struct matmul_weights *w, const struct part_order *order)
{
    return (int)(order->panels.end - order->panels.first) *
           ceil_div(w->layout.k, order->inputs);
}

static struct panel_part part_at(const struct matmul_weights *w,
                                 const struct part_order *order, int index)
{
    int count = (int)(order->panels.end - order->panels.first), i = index % count;
    size_t p = order->panels.first + (size_t)(order->reversed ? count - 1 - i : i);
    int first_input = index / count * order->inputs;
    return (struct panel_part){.first_output = w->panel_list[p].first,
                               .width = w->panel_list[p].width,
                               .first_input = first_input,
                               .k = min(order->inputs, w->layout.k - first_input),
                               .panel = (const char *)panel_at(w, p) +
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
    const struct part_order order = {panels_to_multiply(w), block.inputs, reversed};
    int parts = part_count(w, &order);
    format->begin();
    for (int first = 0; first < rows && parts > 0; first += block.rows) {
        int count = min(block.rows, rows - first);
        format->prepare_rows(w, count, x + first);
        for (int p = 0; p < parts; p++) {
            struct panel_part part = part_at(w, &order, p);
            struct panel_part next = part_at(w, &order, min(p + 1, parts - 1));
            format->multiply(w, &part, &next, count, x + first, y + first,
                             part_output(&part, w->layout.k, output));
        }
    }
    format->end();
}

/* MATMUL_OVERWRITE may become nontemporal; not for segments, which need not be aligned. */
static enum matmul_output batched_output(const struct matmul_weights *w, size_t rows,
                                         const real *y, enum matmul_output output)
{
    size_t row = (size_t)w->layout.n * sizeof *y;
    bool aligned = ((uintptr_t)y | row) % CACHE_LINE == 0;
    bool large = rows * row > NONTEMPORAL_BYTES && w->layout.segments == 0;
    return output == MATMUL_OVERWRITE && aligned && large ? MATMUL_NONTEMPORAL : output;
}

void packed_matmul_batched(const struct matmul_weights *w, struct matmul_batch batch,
                           const real *x, real *y, enum matmul_output output)
{
    enum { CHUNK_ROWS = 256, SHARE_ROWS = 32 };
    const real *x_rows[CHUNK_ROWS];
    real *y_rows[CHUNK_ROWS];
    size_t rows = (size_t)batch.microbatches * (size_t)batch.rows;
    bool shares_outputs = w->layout.segments > 0;
    struct team_share share =
        shares_outputs ? (struct team_share){0, rows} : team_share(rows, SHARE_ROWS);
    output = batched_output(w, rows, y, output);
    for (size_t first = share.first; first < share.end; first += CHUNK_ROWS) {
        int count = min(CHUNK_ROWS, (int)(share.end - first));
        for (size_t i = 0; i < (size_t)count; i++) {
            x_rows[i] = x + (first + i) * (size_t)w->layout.k;
            y_rows[i] = y + (first + i) * (size_t)w->layout.n;
        }
        packed_matmul(w, count, x_rows, y_rows, output, false);
    }
    if (output == MATMUL_NONTEMPORAL)
        atomic_thread_fence(memory_order_seq_cst); /* before others read y */
}

/* ---- gradients ---- */

/* The number of microbatches whose blocks of dy fit in the L2 cache together, with the
 * sums that their results are added to. */
static int dy_block_count(size_t block_bytes, int microbatches)
{
    size_t blocks = DY_BLOCKS_BYTES / block_bytes;
    return min(microbatches, blocks > 1 ? (int)blocks : 1);
}

/* The n rows of dW are divided into parts of equal height, a whole number of pairs of
 * microtiles, with about the same number of parts for each thread. */
static int dw_part_height(int n, int threads)
{
    int parts = threads * ceil_div(n, GRADIENT_ROWS * threads);
    return ceil_div(ceil_div(n, parts), 2 * MR) * 2 * MR;
}

/* The maximum for any number of rows up to n. */
static int dw_rows_max(int n, int threads)
{
    return ceil_div(n, threads) < GRADIENT_ROWS ? dw_part_height(n, threads)
                                                : GRADIENT_ROWS;
}

/* An upper bound for the number of panels of a gradient's inputs; each input starts a new
 * panel. */
static size_t x_panel_count(size_t inputs)
{
    return inputs / NR + GRADIENT_INPUTS;
}

/* Of a thread. */
static size_t dw_elements(const struct matmul_workspace *workspace)
{
    return (size_t)workspace->dw_rows * NR;
}

void packed_plan_workspace(struct matmul_workspace *workspace, struct arena *arena)
{
    const struct packed_format *format = workspace->backend->format;
    struct matmul_batch batch = workspace->batch;
    size_t threads = (size_t)workspace->threads;
    workspace->dw_rows = dw_rows_max(workspace->extent.outputs, workspace->threads);
    size_t block = format->dy_block_bytes(batch, workspace->dw_rows);
    workspace->dy_block_count = dy_block_count(block, batch.microbatches);
    workspace->x_panels = arena_array(arena, x_panel_count(workspace->extent.inputs),
                                      format->x_panel_bytes(batch));
    workspace->dy_blocks =
        arena_array(arena, threads * (size_t)workspace->dy_block_count, block);
    workspace->dw = arena_array(arena, threads * dw_elements(workspace), sizeof(real));
}

static size_t dy_block_bytes(const struct matmul_workspace *workspace)
{
    return workspace->backend->format->dy_block_bytes(workspace->batch,
                                                      workspace->dw_rows);
}

void *packed_dy_block(const struct matmul_workspace *workspace, int microbatch)
{
    size_t block = (size_t)(microbatch % workspace->dy_block_count);
    return (char *)workspace->dy_blocks + block * dy_block_bytes(workspace);
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

/* The calling thread's buffers in the workspace of the team. */
static struct matmul_workspace thread_workspace(const struct matmul_workspace *team)
{
    size_t thread = (size_t)team_thread();
    size_t blocks = (size_t)team->dy_block_count * dy_block_bytes(team);
    struct matmul_workspace own = *team;
    own.dy_blocks = (char *)team->dy_blocks + thread * blocks;
    own.dw += thread * dw_elements(team);
    if (own.dy_pairs)
        own.dy_pairs += thread * DY_PAIRS;
    return own;
}

/* The calling thread's parts of dW. */
static void write_dw_parts(const struct matmul_gradient *g)
{
    int height = dw_part_height(g->n, g->workspace->threads);
    int microbatches = g->batch.microbatches;
    int blocks = g->workspace->dy_block_count;
    for (int first = team_thread() * height; first < g->n; first += team_size() * height)
        for (int s = 0; s < microbatches; s += blocks)
            write_dw_part(g, (struct dw_part){first, min(height, g->n - first), s,
                                              min(s + blocks, microbatches)});
}

void packed_gradient(const struct matmul_gradient *g)
{
    const struct packed_format *format = g->workspace->backend->format;
    struct matmul_workspace workspace = thread_workspace(g->workspace);
    struct matmul_gradient gradient = *g;
    gradient.workspace = &workspace;
    for (int i = 0, panel = 0; i < g->count; i++) {
        format->pack_x(&workspace, panel, &g->inputs[i]);
        panel += ceil_div(g->inputs[i].k, NR);
    }
    team_barrier(); /* all of x is packed */
    format->begin();
    write_dw_parts(&gradient);
    format->end();
    team_barrier();
}
