/* matmul_bfloat16: operands rounded to bfloat16, float32 sums. Weights are packed, and
 * rows of x rounded block by block, in the order in which the microkernel reads them
 * (kernels.h). The inputs of a sum are divided into blocks of KB16; the last block is
 * padded with zeros.
 */
#include "matmul_packed.h"

#include <stdio.h>
#include <string.h>

#include "tiling.h"
#include "base/team.h"

enum {
    BLOCK_PAIRS = KB16 / 2,   /* per block of inputs */
    X_BLOCK_ROWS = 256,       /* maximum number of rows of x rounded at a time, */
    X_BLOCK_BYTES = 512 << 10 /* and their maximum size, which fits in the L2 cache */
};

static const real zeros[GRADIENT_ROWS];

static void begin(void)
{
    kernels_bf16()->bf16_begin();
}

static void end(void)
{
    kernels_bf16()->bf16_end();
}

/* A number of inputs or rows, rounded up to whole blocks. */
static size_t padded(int count)
{
    return (size_t)ceil_div(count, KB16) * KB16;
}

/* ---- weights ---- */

/* [padded(k) / 2][NR] pairs */
static size_t panel_bytes(int k)
{
    return padded(k) / 2 * NR * sizeof(struct bf16_pair);
}

/* Leading dimension of the rounded rows of x, padded by one cache line: rows with a
 * power-of-two stride would share few sets of the L1 cache. */
static size_t ldx_of(int k)
{
    return padded(k) + KB16;
}

static int x_block_rows(int k)
{
    int rows = min(X_BLOCK_ROWS, (int)(X_BLOCK_BYTES / (padded(k) * sizeof(bfloat16))));
    return rows > MR16 ? rows / MR16 * MR16 : MR16;
}

/* The calling thread's rounded rows: a block of x, or BLOCK_PAIRS rows of W, which are
 * fewer. */
static bfloat16 *rounded_rows(const struct matmul_weights *weights)
{
    const struct matmul_scratch *scratch = weights->scratch;
    return (bfloat16 *)((char *)scratch->memory + (size_t)team_thread() * scratch->bytes);
}

static void plan_weights(struct matmul_weights *weights, struct arena *arena)
{
    int k = weights->layout.k;
    size_t *bytes = &weights->scratch->bytes;
    packed_plan_weights(weights, arena);
    weights->x_block_rows = x_block_rows(k);
    size_t needed = (size_t)weights->x_block_rows * ldx_of(k) * sizeof(bfloat16);
    *bytes = *bytes > needed ? *bytes : needed;
}

/* y[0..padded(count)) := x[0..count), rounded, then zeros. */
static void round_row(int count, const real *x, bfloat16 *y)
{
    kernels_bf16()->round_bf16((size_t)count, x, y);
    memset(y + count, 0, (padded(count) - (size_t)count) * sizeof *y);
}

/* panel[l][j] := the pair (w[j][2l], w[j][2l + 1]): BLOCK_PAIRS rows of W are rounded,
 * then transposed as pairs. */
static void pack_rows(const struct matmul_weights *weights, const real *w, int width,
                      void *panel)
{
    int k = weights->layout.k;
    size_t pairs = padded(k) / 2;
    struct bf16_pair *rounded = (struct bf16_pair *)rounded_rows(weights);
    for (int first = 0; first < width; first += BLOCK_PAIRS) {
        int rows = min(BLOCK_PAIRS, width - first);
        for (int i = 0; i < rows; i++)
            round_row(k, w + (size_t)(first + i) * (size_t)k,
                      (bfloat16 *)(rounded + (size_t)i * pairs));
        for (size_t l = 0; l < pairs; l += BLOCK_PAIRS)
            kernels_bf16()->transpose_pairs(rows, BLOCK_PAIRS, rounded + l, pairs,
                                            (struct bf16_pair *)panel + l * NR + first,
                                            NR);
    }
}

/* panel[l][j] := the pair (w[2l][j], w[2l + 1][j]) */
static void pack_columns(const struct matmul_weights *weights, const real *w, int width,
                         void *panel)
{
    size_t n = (size_t)weights->layout.n;
    struct bf16_pair *row = panel;
    for (int l = 0; l < weights->layout.k; l += 2, row += NR) {
        const real *even = w + (size_t)l * n;
        kernels_bf16()->round_bf16_pairs(
            (size_t)width, even, l + 1 < weights->layout.k ? even + n : zeros, row);
    }
}

/* ---- matmul ---- */

static struct blocking blocking(const struct matmul_weights *w, int rows)
{
    (void)rows;
    return (struct blocking){w->x_block_rows, w->layout.k};
}

static void prepare_rows(const struct matmul_weights *w, int rows, const real *const *x)
{
    bfloat16 *rounded = rounded_rows(w);
    for (int i = 0; i < rows; i++, rounded += ldx_of(w->layout.k))
        round_row(w->layout.k, x[i], rounded);
}

/* The `tiles` microtiles of a panel together prefetch the panel that is used next. A
 * single one prefetches nothing: the hardware prefetcher is then as fast. */
static void prefetch_panel(struct microtile_bf16 *tile, const void *next, int t,
                           int tiles)
{
    /* per block */
    enum { LINES = BLOCK_PAIRS * NR * sizeof(struct bf16_pair) / CACHE_LINE };
    tile->prefetch_lines = tiles > 1 ? LINES / tiles : 0;
    tile->prefetch = (const char *)next + (size_t)t * (size_t)tile->prefetch_lines *
                                              CACHE_LINE * (size_t)tile->blocks;
}

/* Prefetches the results of the microtile that starts at `row` of `count` rows. */
static void prefetch_rows(real *const *y, int row, int count, int first)
{
    for (int i = row; i < min(row + MR16, count); i++)
        prefetch_row(y[i] + first);
}

static void multiply(const struct matmul_weights *w, const struct panel_part *part,
                     const struct panel_part *next, int rows, const real *const *x,
                     real *const *y, enum matmul_output output)
{
    (void)x; /* prepare_rows has rounded it */
    int tiles = ceil_div(rows, MR16);
    bool nontemporal = output == MATMUL_NONTEMPORAL;
    struct microtile_bf16 tile = {.width = part->width,
                                  .blocks = ceil_div(w->layout.k, KB16),
                                  .overwrite = output != MATMUL_ACCUMULATE,
                                  .nontemporal = nontemporal,
                                  .panel = part->panel,
                                  .ldx = ldx_of(w->layout.k)};
    for (int t = 0; t < tiles; t++) {
        int row = t * MR16;
        tile.rows = min(MR16, rows - row);
        tile.x = rounded_rows(w) + (size_t)row * tile.ldx;
        for (int i = 0; i < tile.rows; i++)
            tile.y[i] = y[row + i] + part->first_output;
        if (!nontemporal && t + 1 < tiles)
            prefetch_rows(y, row + MR16, rows, part->first_output);
        else if (!nontemporal)
            prefetch_rows(y, 0, rows, next->first_output);
        prefetch_panel(&tile, next->panel, t, tiles);
        kernels_bf16()->microkernel_bf16(&tile);
    }
}

/* ---- gradients ---- */

/* x: panels of [microbatches][padded(rows) / 2][NR] pairs. */
static size_t microbatch_pairs(struct matmul_batch batch)
{
    return padded(batch.rows) / 2 * NR;
}

static size_t x_panel_pairs(struct matmul_batch batch)
{
    return (size_t)batch.microbatches * microbatch_pairs(batch);
}

static size_t x_panel_bytes(struct matmul_batch batch)
{
    return x_panel_pairs(batch) * sizeof(struct bf16_pair);
}

static void pack_x(struct matmul_workspace *workspace, int panel,
                   const struct gradient_input *input)
{
    struct matmul_batch batch = workspace->batch;
    size_t k = (size_t)input->k, stride = x_panel_pairs(batch);
    struct bf16_pair *panels =
        (struct bf16_pair *)workspace->x_panels + (size_t)panel * stride;
    size_t pairs = (size_t)ceil_div(batch.rows, 2); /* of rows, per microbatch */
    struct team_share share = team_share((size_t)batch.microbatches * pairs, 1);
    for (size_t p = share.first; p < share.end; p++) {
        size_t s = p / pairs, i = p % pairs * 2;
        const real *even = input->x + (s * (size_t)batch.rows + i) * k;
        bool has_odd = i + 1 < (size_t)batch.rows;
        struct bf16_pair *row = panels + s * microbatch_pairs(batch) + i / 2 * NR;
        for (int first = 0; first < input->k; first += NR, row += stride)
            kernels_bf16()->round_bf16_pairs((size_t)min(NR, input->k - first),
                                             even + first,
                                             has_odd ? even + k + first : zeros, row);
    }
}

static const struct bf16_pair *x_panel_at(const struct matmul_workspace *workspace,
                                          struct x_panel_index current)
{
    return (const struct bf16_pair *)workspace->x_panels +
           (size_t)current.panel * x_panel_pairs(workspace->batch) +
           (size_t)current.microbatch * microbatch_pairs(workspace->batch);
}

/* dy: [rows of dW][dy_block_ld] pairs of rows, padded by one block to avoid a
 * power-of-two stride. */
static size_t dy_block_ld(struct matmul_batch batch)
{
    return padded(batch.rows) / 2 + BLOCK_PAIRS;
}

static size_t dy_block_bytes(struct matmul_batch batch, int rows)
{
    return (size_t)rows * dy_block_ld(batch) * sizeof(struct bf16_pair);
}

static void plan_workspace(struct matmul_workspace *workspace, struct arena *arena)
{
    packed_plan_workspace(workspace, arena);
    workspace->dy_pairs = arena_array(arena, (size_t)workspace->threads * DY_PAIRS,
                                      sizeof *workspace->dy_pairs);
}

static void pack_dy(const struct matmul_gradient *g, int microbatch, int first,
                    int height)
{
    struct bf16_pair *pairs = g->workspace->dy_pairs;
    struct bf16_pair *block = packed_dy_block(g->workspace, microbatch);
    int rows = g->batch.rows, pair_count = (int)padded(rows) / 2;
    size_t n = (size_t)g->n, ld = dy_block_ld(g->batch);
    const real *dy = g->dy + (size_t)microbatch * (size_t)rows * n + first;
    for (int p = 0; p < pair_count; p += BLOCK_PAIRS) {
        for (int i = 0; i < BLOCK_PAIRS; i++) {
            int row = 2 * (p + i);
            const real *even = dy + (size_t)row * n;
            kernels_bf16()->round_bf16_pairs((size_t)height, row < rows ? even : zeros,
                                             row + 1 < rows ? even + n : zeros,
                                             pairs + i * GRADIENT_ROWS);
        }
        for (int j = 0; j < height; j += BLOCK_PAIRS)
            kernels_bf16()->transpose_pairs(BLOCK_PAIRS, min(BLOCK_PAIRS, height - j),
                                            pairs + j, GRADIENT_ROWS,
                                            block + (size_t)j * ld + p, ld);
    }
}

static void multiply_dw(struct matmul_workspace *workspace, struct x_panel_index current,
                        struct x_panel_index next, int height, int width)
{
    size_t ld = dy_block_ld(workspace->batch);
    const struct bf16_pair *block = packed_dy_block(workspace, current.microbatch);
    int tiles = ceil_div(height, MR16);
    struct microtile_bf16 tile = {.width = width,
                                  .blocks = ceil_div(workspace->batch.rows, KB16),
                                  .overwrite = true,
                                  .contiguous = true,
                                  .panel = x_panel_at(workspace, current),
                                  .ldx = 2 * ld};
    for (int t = 0; t < tiles; t++) {
        int row = t * MR16;
        tile.rows = min(MR16, height - row);
        tile.x = (const bfloat16 *)(block + (size_t)row * ld);
        for (int i = 0; i < tile.rows; i++)
            tile.y[i] = workspace->dw + (size_t)(row + i) * NR;
        prefetch_panel(&tile, x_panel_at(workspace, next), t, tiles);
        kernels_bf16()->microkernel_bf16(&tile);
    }
}

/* ---- the backend ---- */

static const struct packed_format format = {
    .begin = begin,
    .end = end,
    .panel_bytes = panel_bytes,
    .pack_rows = pack_rows,
    .pack_columns = pack_columns,
    .blocking = blocking,
    .prepare_rows = prepare_rows,
    .multiply = multiply,
    .x_panel_bytes = x_panel_bytes,
    .dy_block_bytes = dy_block_bytes,
    .pack_x = pack_x,
    .pack_dy = pack_dy,
    .multiply_dw = multiply_dw,
};

static const char *description(void)
{
    static char text[64];
    snprintf(text, sizeof text, "%s, in bfloat16", kernels_bf16()->name);
    return text;
}

static const char *numerics(void)
{
    return "bfloat16 " NUMERICS_VERSION;
}

const struct matmul_backend matmul_bfloat16 = {
    .description = description,
    .numerics = numerics,
    .recurrent = &matmul_bfloat16,
    .inference = &matmul_float32,
    .plan_weights = plan_weights,
    .plan_workspace = plan_workspace,
    .pack = packed_pack,
    .matmul = packed_matmul,
    .matmul_batched = packed_matmul_batched,
    .gradient = packed_gradient,
    .format = &format,
};
