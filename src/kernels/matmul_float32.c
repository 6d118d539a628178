/* matmul_float32: float32 panels; every element is one chain of fused multiply-adds. */
#include "matmul_packed.h"

#include <string.h>

#include "tiling.h"
#include "base/team.h"

enum {
    X_BLOCK_ELEMENTS = 1 << 17, /* elements of x per block: 512 kB */
    /* Rows of x and y per block. More rows of y with a power-of-two stride would evict
     * each other, and x. The inputs are divided if a block of all of them would hold
     * fewer rows than the minimum and than the call. */
    BLOCK_ROWS_MAX = 128,
    BLOCK_ROWS_MIN = 64
};

static void no_op(void)
{
}

/* ---- weights ---- */

static size_t panel_bytes(int k)
{
    return (size_t)k * NR * sizeof(real);
}

/* panel[l][j] := w[j][l] for l < k, j < width */
static void pack_rows(const struct matmul_weights *weights, const real *w, int width,
                      void *panel)
{
    int k = weights->layout.k;
    size_t ld = (size_t)k;
    for (int l = 0; l < k; l += VECTOR)
        for (int j = 0; j < width; j += VECTOR)
            kernels()->transpose(min(VECTOR, width - j), min(VECTOR, k - l),
                                 w + (size_t)j * ld + l, ld,
                                 (real *)panel + (size_t)l * NR + j, NR);
}

/* panel[l][j] := w[l][j] */
static void pack_columns(const struct matmul_weights *weights, const real *w, int width,
                         void *panel)
{
    real *row = panel;
    for (int l = 0; l < weights->layout.k; l++, row += NR, w += weights->layout.n) {
        if (width == NR) /* a constant size is copied without a call */
            memcpy(row, w, NR * sizeof *row);
        else
            memcpy(row, w, (size_t)width * sizeof *row);
    }
}

/* ---- matmul ---- */

/* One microtile of `width` columns; through a buffer if `width` is not a multiple of
 * VECTOR. */
static void multiply_tile(const struct microtile *tile, int width)
{
    if (width % VECTOR == 0) {
        kernels()->microkernel(tile);
        return;
    }
    _Alignas(CACHE_LINE) real buffer[MR][NR] = {{0}};
    struct microtile buffered = *tile;
    size_t bytes = (size_t)width * sizeof(real);
    for (int i = 0; i < tile->rows && i < MR; i++) {
        buffered.y[i] = buffer[i];
        if (!tile->overwrite)
            memcpy(buffer[i], tile->y[i], bytes);
    }
    kernels()->microkernel(&buffered);
    for (int i = 0; i < tile->rows && i < MR; i++)
        memcpy(tile->y[i], buffer[i], bytes);
}

static struct blocking blocking(const struct matmul_weights *w, int rows)
{
    int inputs =
        min(w->layout.k, X_BLOCK_ELEMENTS / min(BLOCK_ROWS_MIN, rows > 0 ? rows : 1));
    inputs = min(inputs, kernels()->part_inputs);
    return (struct blocking){min(BLOCK_ROWS_MAX, X_BLOCK_ELEMENTS / inputs), inputs};
}

static void prepare_rows(const struct matmul_weights *w, int rows, const real *const *x)
{
    (void)w, (void)rows, (void)x; /* read in place */
}

/* Microtile t of `tiles` prefetches its share of the `k` rows of the panel used next. */
static void prefetch_panel(struct microtile *tile, const real *panel, int k, int t,
                           int tiles)
{
    size_t bytes = panel_bytes(k) / (size_t)tiles, stride = bytes / (size_t)tile->k;
    tile->prefetch = panel + bytes / sizeof(real) * (size_t)t;
    tile->prefetch_stride = stride < CACHE_LINE ? stride : CACHE_LINE;
}

/* Divides the rows into microtiles of nearly equal height. Each prefetches the results of
 * the following microtile; the last prefetches those of the next part's first microtile.
 */
static void multiply(const struct matmul_weights *w, const struct panel_part *part,
                     const struct panel_part *next, int rows, const real *const *x,
                     real *const *y, enum matmul_output output)
{
    (void)w;
    int tiles = ceil_div(rows, MR);
    bool nontemporal = output == MATMUL_NONTEMPORAL;
    struct microtile tile = {.vectors = ceil_div(part->width, VECTOR),
                             .k = part->k,
                             .overwrite = output != MATMUL_ACCUMULATE,
                             .nontemporal = nontemporal,
                             .panel = part->panel,
                             .ldx = 1};
    for (int t = 0, i = 0; t < tiles; t++, i += tile.rows) {
        tile.rows = (rows - i + tiles - t - 1) / (tiles - t);
        for (int r = 0; r < tile.rows; r++) {
            tile.x[r] = x[i + r] + part->first_input;
            tile.y[r] = y[i + r] + part->first_output;
            if (!nontemporal && i + tile.rows + r < rows)
                prefetch_row(y[i + tile.rows + r] + part->first_output);
            else if (!nontemporal && t + 1 == tiles)
                prefetch_row(y[r] + next->first_output);
        }
        prefetch_panel(&tile, next->panel, next->k, t, tiles);
        multiply_tile(&tile, part->width);
    }
}

/* ---- gradients ---- */

/* x: panels of [M][NR], each followed by one row of padding. */
static size_t x_panel_elements(struct matmul_batch batch)
{
    return ((size_t)batch.microbatches * (size_t)batch.rows + 1) * NR;
}

static size_t x_panel_bytes(struct matmul_batch batch)
{
    return x_panel_elements(batch) * sizeof(real);
}

/* Row by row, so that memory is read sequentially. */
static void pack_x(struct matmul_workspace *workspace, int panel,
                   const struct gradient_input *input)
{
    struct matmul_batch batch = workspace->batch;
    struct team_share rows =
        team_share((size_t)batch.microbatches * (size_t)batch.rows, 1);
    size_t stride = x_panel_elements(batch);
    int full_panels = input->k / NR, remainder = input->k % NR;
    real *panels = (real *)workspace->x_panels + (size_t)panel * stride;
    const real *x = input->x + rows.first * (size_t)input->k;
    for (size_t i = rows.first; i < rows.end; i++) {
        real *row = panels + i * NR;
        for (int p = 0; p < full_panels; p++, x += NR, row += stride)
            memcpy(row, x, NR * sizeof *row);
        if (remainder)
            memcpy(row, x, (size_t)remainder * sizeof *row);
        x += remainder;
    }
}

static const real *x_panel_at(const struct matmul_workspace *workspace,
                              struct x_panel_index current)
{
    return (const real *)workspace->x_panels +
           (size_t)current.panel * x_panel_elements(workspace->batch) +
           (size_t)current.microbatch * (size_t)workspace->batch.rows * NR;
}

/* dy: strips of MR columns, [rows][MR], each followed by two rows of padding. */
static size_t strip_elements(struct matmul_batch batch)
{
    return ((size_t)batch.rows + 2) * MR;
}

static size_t dy_block_bytes(struct matmul_batch batch, int rows)
{
    return (size_t)(rows / MR) * strip_elements(batch) * sizeof(real);
}

static void pack_dy(const struct matmul_gradient *g, int microbatch, int first,
                    int height)
{
    size_t rows = (size_t)g->batch.rows, n = (size_t)g->n;
    size_t stride = strip_elements(g->batch);
    const real *dy = g->dy + (size_t)microbatch * rows * n + first;
    real *block = packed_dy_block(g->workspace, microbatch);
    for (size_t i = 0; i < rows; i++, dy += n) {
        real *strip = block + i * MR;
        int j = 0;
        for (; j + MR <= height; j += MR, strip += stride)
            memcpy(strip, dy + j, MR * sizeof *strip);
        if (j < height)
            memcpy(strip, dy + j, (size_t)(height - j) * sizeof *strip);
    }
}

static void multiply_dw(struct matmul_workspace *workspace, struct x_panel_index current,
                        struct x_panel_index next, int height, int width)
{
    const int rows = workspace->batch.rows, tiles = ceil_div(height, MR),
              block_rows = kernels()->part_inputs;
    const real *block = packed_dy_block(workspace, current.microbatch);
    const real *panel = x_panel_at(workspace, current);
    for (int i = 0; i < rows; i += block_rows) {
        const real *next_block = i + block_rows < rows
                                     ? panel + (size_t)(i + block_rows) * NR
                                     : x_panel_at(workspace, next);
        struct microtile tile = {.vectors = ceil_div(width, VECTOR),
                                 .k = min(block_rows, rows - i),
                                 .overwrite = i == 0,
                                 .panel = panel + (size_t)i * NR,
                                 .ldx = MR};
        for (int t = 0; t < tiles; t++) {
            int first = t * MR;
            const real *strip = block + (size_t)t * strip_elements(workspace->batch);
            tile.rows = min(MR, height - first);
            for (int r = 0; r < tile.rows; r++) {
                tile.x[r] = strip + (size_t)i * MR + r;
                tile.y[r] = workspace->dw + (first + r) * NR;
            }
            prefetch_panel(&tile, next_block, tile.k, t, tiles);
            kernels()->microkernel(&tile);
        }
    }
}

/* ---- the backend ---- */

static const struct packed_format format = {
    .begin = no_op,
    .end = no_op,
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
    return kernels()->name;
}

static const char *numerics(void)
{
    return "packed " NUMERICS_VERSION;
}

const struct matmul_backend matmul_float32 = {
    .description = description,
    .numerics = numerics,
    .recurrent = &matmul_float32,
    .inference = &matmul_float32,
    .plan_weights = packed_plan_weights,
    .plan_workspace = packed_plan_workspace,
    .pack = packed_pack,
    .matmul = packed_matmul,
    .matmul_batched = packed_matmul_batched,
    .gradient = packed_gradient,
    .format = &format,
};
