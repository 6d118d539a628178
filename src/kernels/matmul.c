/* product: loops over tiles, and what they read brought into the order in which they read
 * it. The same source for every instruction set: only the tile differs (kernels.h).
 *
 * The rows come in blocks that stay in the second-level cache while the weights go by:
 * part of a panel after part, each fetched while the one before it is used. Results stay
 * there too, or go past the caches if they are many. A gradient's blocks of dy are
 * copied side by side, as rows of dy lie a power of two apart, where caches keep but few
 * of them; for the same reason copies are a line more than that apart.
 */
#include "matmul.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bfloat16.h"
#include "tiling.h"
#include "gemm.h"
#include "kernels.h"
#include "base/memory.h"

enum {
    X_BLOCK = 1 << 17, /* numbers of x at a time: 512 kB */
    ROWS = 128, /* of x and y at most: more rows of y that lie a power of two apart would
                   push each other, and x, out of the cache */
    FEW_ROWS = 64,                   /* fewer take all the more inputs at a time */
    STREAM_BYTES = 16 << 20,         /* of results: more would not stay in a cache */
    GRADIENT_CHUNK = 512,            /* rows of a panel of x at a time: 96 kB */
    GRADIENT_ROWS = GRADIENT16_ROWS, /* of dW at a time */
    BLOCK_BYTES = 5 << 18, /* of dy's columns for them: much of a cache of 2 MB */
    LINE = 64              /* bytes that are fetched at once */
};

/* ---- packing ---- */

/* panel[l][j] := w[j][l] for l < k, j < width; w's rows are `stride` apart. */
static void pack_rows(real *panel, const real *w, size_t stride, int k, int width)
{
    for (int l = 0; l < k; l += VECTOR)
        for (int j = 0; j < width; j += VECTOR)
            kernels()->transpose(min(VECTOR, width - j), min(VECTOR, k - l),
                                 w + (size_t)j * stride + l, stride,
                                 panel + (size_t)l * NR + j, NR);
}

/* panel[l][j] := w[l][j] */
static void pack_columns(real *panel, const real *w, size_t stride, int k, int width)
{
    for (int l = 0; l < k; l++) {
        if (width == NR) /* a constant size is copied without a call */
            memcpy(panel + (size_t)l * NR, w + (size_t)l * stride, NR * sizeof *panel);
        else
            memcpy(panel + (size_t)l * NR, w + (size_t)l * stride,
                   (size_t)width * sizeof *panel);
    }
}

enum status matmul_weights_create(enum product_engine engine, const real *w, int n, int k,
                                  int transposed, struct matmul_weights *out)
{
    *out = (struct matmul_weights){
        .engine = engine, .n = n, .k = k, .w = w, .transposed = transposed};
    if (engine == PRODUCT_BFLOAT16)
        return packed16_create(out, &out->rounded);
    if (engine == PRODUCT_OPENBLAS)
        return STATUS_OK;
    out->panels = memory_zeroed(matmul_weights_bytes(out));
    if (!out->panels)
        return status_fail(STATUS_FAILED, "no memory for %d x %d packed weights", n, k);
    return STATUS_OK;
}

void matmul_weights_free(struct matmul_weights *packed)
{
    memory_free(packed->panels);
    packed16_free(packed->rounded);
    packed->panels = NULL;
    packed->rounded = NULL;
}

size_t matmul_weights_bytes(const struct matmul_weights *packed)
{
    if (packed->rounded)
        return packed16_bytes(packed->rounded);
    if (packed->engine == PRODUCT_OPENBLAS)
        return 0;
    return (size_t)ceil_div(packed->n, NR) * NR * (size_t)packed->k * sizeof(real);
}

void matmul_weights_pack(struct matmul_weights *packed)
{
    size_t n = (size_t)packed->n, k = (size_t)packed->k;
    if (packed->rounded)
        packed16_refresh(packed);
    if (!packed->panels)
        return;
    for (size_t first = 0; first < n; first += NR) {
        int width = min(NR, (int)(n - first));
        real *panel = packed->panels + first * k;
        if (packed->transposed)
            pack_columns(panel, packed->w + first, n, packed->k, width);
        else
            pack_rows(panel, packed->w + first * k, k, packed->k, width);
    }
}

/* ---- tiles ---- */

/* One tile, `width` wide. What isn't a whole number of vectors goes through a buffer. */
static void multiply_tile(const struct microtile *tile, int width)
{
    if (width % VECTOR == 0) {
        kernels()->microkernel(tile);
        return;
    }
    _Alignas(LINE) real buffer[MR][NR] = {{0}};
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

/* Part of the weights: outputs [first, first + width), inputs [from, from + k). */
struct part {
    int first, width, from, k;
    const real *panel;
};

/* In the order of use: all panels with `chunk` inputs, then with the next ones. */
static struct part part_of(const struct matmul_weights *w, int number, int chunk,
                           int back)
{
    int panels = ceil_div(w->n, NR), panel = number % panels;
    int first = (back ? panels - 1 - panel : panel) * NR;
    int from = number / panels * chunk;
    return (struct part){.first = first,
                         .width = min(NR, w->n - first),
                         .from = from,
                         .k = min(chunk, w->k - from),
                         .panel = w->panels + (size_t)first * (size_t)w->k +
                                  (size_t)from * NR};
}

/* Tile t of `tiles` fetches its share of the `k` lines of a panel that is used next. */
static void fetch_panel(struct microtile *tile, const real *panel, int k, int t,
                        int tiles)
{
    size_t bytes = (size_t)k * NR * sizeof(real) / (size_t)tiles;
    tile->prefetch = panel + bytes / sizeof(real) * (size_t)t;
    tile->prefetch_stride =
        bytes / (size_t)tile->k < LINE ? bytes / (size_t)tile->k : LINE;
}

/* All rows times a part, in tiles as equal as can be. Results are fetched while the tile
 * before is computed: the last one fetches those of the next part's first tile. */
static void multiply_part(const struct part *part, const struct part *next, int rows,
                          const real *const *x, real *const *y, enum matmul_output how)
{
    int tiles = ceil_div(rows, MR), nontemporal = how == MATMUL_NONTEMPORAL;
    struct microtile tile = {.vectors = ceil_div(part->width, VECTOR),
                             .k = part->k,
                             .overwrite = how != MATMUL_ACCUMULATE,
                             .nontemporal = nontemporal,
                             .panel = part->panel,
                             .ldx = 1};
    for (int t = 0, i = 0; t < tiles; t++, i += tile.rows) {
        tile.rows = (rows - i + tiles - t - 1) / (tiles - t);
        for (int r = 0; r < tile.rows; r++) {
            tile.x[r] = x[i + r] + part->from;
            tile.y[r] = y[i + r] + part->first;
            if (!nontemporal && i + tile.rows + r < rows)
                fetch_results(y[i + tile.rows + r] + part->first);
            else if (!nontemporal && t + 1 == tiles)
                fetch_results(y[r] + next->first);
        }
        fetch_panel(&tile, next->panel, next->k, t, tiles);
        multiply_tile(&tile, part->width);
    }
}

/* The first inputs put what the next ones add to. */
static enum matmul_output results_of(const struct part *part, int k,
                                     enum matmul_output how)
{
    if (part->from > 0)
        return MATMUL_ACCUMULATE;
    return how == MATMUL_NONTEMPORAL && part->k < k ? MATMUL_OVERWRITE : how;
}

void matmul(const struct matmul_weights *w, int rows, const real *const *x,
            real *const *y, enum matmul_output how, int back)
{
    if (w->rounded) {
        packed16_multiply(w, rows, x, y, how, back);
        return;
    }
    int chunk = min(w->k, X_BLOCK / min(FEW_ROWS, rows > 0 ? rows : 1));
    int block = min(ROWS, X_BLOCK / chunk);
    int parts = ceil_div(w->n, NR) * ceil_div(w->k, chunk);
    for (int first = 0; first < rows; first += block)
        for (int p = 0; p < parts; p++) {
            struct part part = part_of(w, p, chunk, back);
            struct part next = part_of(w, p + 1 < parts ? p + 1 : p, chunk, back);
            multiply_part(&part, &next, min(block, rows - first), x + first, y + first,
                          results_of(&part, w->k, how));
        }
}

/* ---- over time ---- */

static enum product_engine chosen = PRODUCT_PACKED;

void product_choose(enum product_engine engine)
{
    chosen = engine;
}

enum product_engine product_chosen(void)
{
    return chosen;
}

enum product_engine product_engine_for(int training)
{
    return chosen == PRODUCT_BFLOAT16 && !training ? PRODUCT_PACKED : chosen;
}

const char *product_core(void)
{
    return chosen == PRODUCT_OPENBLAS   ? gemm_core()
           : chosen == PRODUCT_BFLOAT16 ? "bfloat16"
                                        : "packed 2"; /* 1 began a chain with dh */
}

const char *product_makers(void)
{
    static char text[64];
    if (chosen == PRODUCT_OPENBLAS)
        snprintf(text, sizeof text, "OpenBLAS (%s)", gemm_core());
    else if (chosen == PRODUCT_BFLOAT16)
        snprintf(text, sizeof text, "%s, in bfloat16", kernels_bf16()->name);
    else
        snprintf(text, sizeof text, "%s", kernels()->name);
    return text;
}

/* By OpenBLAS, for one microbatch. */
static void multiply_microbatch(const struct matmul_weights *w, int rows, const real *x,
                                int add, real *y)
{
    enum gemm_transpose order = w->transposed ? GEMM_PLAIN : GEMM_TRANSPOSED;
    gemm(GEMM_PLAIN, order, rows, w->n, w->k, x, w->k, w->w, w->transposed ? w->n : w->k,
         (real)add, y, w->n);
}

static enum matmul_output results_over_time(const struct matmul_weights *w, size_t rows,
                                            int add, const real *y)
{
    size_t row = (size_t)w->n * sizeof *y;
    bool aligned = ((uintptr_t)y | row) % LINE == 0;
    if (add)
        return MATMUL_ACCUMULATE;
    return aligned && rows * row > STREAM_BYTES ? MATMUL_NONTEMPORAL : MATMUL_OVERWRITE;
}

void matmul_batched(const struct matmul_weights *w, struct matmul_batch m, const real *x,
                    int add, real *y)
{
    size_t rows = (size_t)m.rows, all = (size_t)m.microbatches * rows;
    size_t n = (size_t)w->n, k = (size_t)w->k;
    enum { AT_ONCE = 256 };
    const real *from[AT_ONCE];
    real *to[AT_ONCE];
    enum matmul_output how = results_over_time(w, all, add, y);
    bool blas = w->engine == PRODUCT_OPENBLAS;
    for (size_t s = 0; blas && s < (size_t)m.microbatches; s++)
        multiply_microbatch(w, m.rows, x + s * rows * k, add, y + s * rows * n);
    for (size_t first = 0; !blas && first < all; first += AT_ONCE) {
        int count = min(AT_ONCE, (int)(all - first));
        for (size_t i = 0; i < (size_t)count; i++) {
            from[i] = x + (first + i) * k;
            to[i] = y + (first + i) * n;
        }
        matmul(w, count, from, to, how, 0);
    }
}

/* ---- gradients ---- */

struct matmul_workspace {
    enum product_engine engine;
    struct matmul_batch m;
    size_t inputs, weights;
    int group; /* microbatches whose parts of a block of dW are made one behind another */
    real *x;   /* panels of [all rows + 1][NR], each input's behind the other's */
    real *block;                /* [group] strips of [rows + 2][MR]: columns of dy */
    real *tiles;                /* [GRADIENT_ROWS][NR]: a microbatch's sums */
    real *gradient;             /* PRODUCT_OPENBLAS: [weights] */
    struct gradient16 *rounded; /* PRODUCT_BFLOAT16: instead of x and block */
};

/* So many at most for the inputs of a gradient: those of each begin a panel. */
static size_t gradient_panels(size_t inputs)
{
    return inputs / NR + GRADIENT_INPUTS;
}

/* Elements of a panel of room->x, a strip of room->block. */
static size_t panel_of(struct matmul_batch m)
{
    return ((size_t)m.microbatches * (size_t)m.rows + 1) * NR;
}

static size_t strip_of(struct matmul_batch m)
{
    return ((size_t)m.rows + 2) * MR;
}

/* A microbatch's part of room->block. */
static size_t block_of(struct matmul_batch m)
{
    return GRADIENT_ROWS / MR * strip_of(m);
}

/* Of room->x, room->block. */
static size_t x_elements(const struct matmul_workspace *room)
{
    return gradient_panels(room->inputs) * panel_of(room->m);
}

static size_t block_elements(const struct matmul_workspace *room)
{
    return (size_t)room->group * block_of(room->m);
}

/* So many microbatches that their blocks stay in the second-level cache together, and
 * with them the sums that they are added to. */
static int group_of(enum product_engine engine, struct matmul_batch m)
{
    size_t bytes = engine == PRODUCT_BFLOAT16 ? gradient16_block_bytes(m)
                                              : block_of(m) * sizeof(real);
    return min(m.microbatches, bytes < BLOCK_BYTES ? (int)(BLOCK_BYTES / bytes) : 1);
}

static int allocate(struct matmul_workspace *room)
{
    if (room->engine == PRODUCT_OPENBLAS) {
        room->gradient = memory_zeroed(room->weights * sizeof(real));
        return room->gradient != NULL;
    }
    room->tiles = memory_zeroed(GRADIENT_ROWS * NR * sizeof(real));
    if (room->engine == PRODUCT_BFLOAT16)
        return room->tiles &&
               gradient16_create(room->m, room->group, gradient_panels(room->inputs),
                                 &room->rounded) == STATUS_OK;
    room->x = memory_zeroed(x_elements(room) * sizeof(real));
    room->block = memory_zeroed(block_elements(room) * sizeof(real));
    return room->x && room->block && room->tiles;
}

enum status matmul_workspace_create(enum product_engine engine, struct matmul_batch m,
                                    size_t inputs, size_t weights,
                                    struct matmul_workspace **out)
{
    struct matmul_workspace *room = *out = calloc(1, sizeof *room);
    if (!room)
        return status_fail(STATUS_FAILED, "out of memory");
    *room = (struct matmul_workspace){.engine = engine,
                                      .m = m,
                                      .inputs = inputs,
                                      .weights = weights,
                                      .group = group_of(engine, m)};
    if (allocate(room))
        return STATUS_OK;
    matmul_workspace_free(room);
    *out = NULL;
    return status_fail(STATUS_FAILED, "no memory for gradients of %d x %d rows",
                       m.microbatches, m.rows);
}

void matmul_workspace_free(struct matmul_workspace *room)
{
    if (!room)
        return;
    memory_free(room->x);
    memory_free(room->block);
    memory_free(room->tiles);
    memory_free(room->gradient);
    gradient16_free(room->rounded);
    free(room);
}

size_t matmul_workspace_bytes(const struct matmul_workspace *room)
{
    if (!room)
        return 0;
    if (room->engine == PRODUCT_OPENBLAS)
        return room->weights * sizeof(real);
    if (room->engine == PRODUCT_BFLOAT16)
        return GRADIENT_ROWS * NR * sizeof(real) + gradient16_bytes(room->rounded);
    return (GRADIENT_ROWS * NR + block_elements(room) + x_elements(room)) * sizeof(real);
}

/* What matmul_gradient was asked for. */
struct gradient {
    struct matmul_workspace *room;
    struct matmul_batch m;
    int n;
    const real *dy;
    const struct gradient_input *inputs;
    int count;
    size_t bias;
    const struct gradient_sink *sink;
};

/* Where a microbatch's block is. */
static real *block_at(const struct matmul_workspace *room, int microbatch)
{
    return room->block + (size_t)(microbatch % room->group) * block_of(room->m);
}

/* Columns [first, first + width) of a microbatch's dy, in strips of a tile's rows. */
static void copy_block(const struct gradient *g, int microbatch, int first, int width)
{
    size_t rows = (size_t)g->m.rows, n = (size_t)g->n, strip = strip_of(g->m);
    const real *from = g->dy + (size_t)microbatch * rows * n + first;
    for (size_t i = 0; i < rows; i++, from += n) {
        real *to = block_at(g->room, microbatch) + i * MR;
        int j = 0;
        for (; j + MR <= width; j += MR, to += strip)
            memcpy(to, from + j, MR * sizeof *to);
        if (j < width)
            memcpy(to, from + j, (size_t)(width - j) * sizeof *to);
    }
}

/* sums[width] := the sums of columns of values, whose rows are `stride` apart. */
static void sum_columns(const real *values, size_t stride, size_t rows, int width,
                        real *restrict sums)
{
    memset(sums, 0, (size_t)width * sizeof *sums);
    for (size_t i = 0; i < rows; i++, values += stride)
        for (int j = 0; j < width; j++)
            sums[j] += values[j];
}

static void give_bias(const struct gradient *g, int microbatch, int first, int width)
{
    real sums[GRADIENT_ROWS];
    const struct gradient_block block = {
        .first = g->bias + (size_t)first, .rows = 1, .width = width, .values = sums};
    size_t rows = (size_t)g->m.rows, n = (size_t)g->n;
    sum_columns(g->dy + (size_t)microbatch * rows * n + first, n, rows, width, sums);
    g->sink->write(g->sink->context, microbatch, &block);
}

/* All columns of x to panels: row after row, as memory is read best. */
static void pack_x(const struct gradient *g, const struct gradient_input *input,
                   real *panels)
{
    size_t rows = (size_t)g->m.microbatches * (size_t)g->m.rows, panel = panel_of(g->m);
    int whole = input->k / NR, rest = input->k % NR;
    const real *from = input->x;
    for (size_t i = 0; i < rows; i++) {
        real *to = panels + i * NR;
        for (int p = 0; p < whole; p++, from += NR, to += panel)
            memcpy(to, from, NR * sizeof *to);
        if (rest)
            memcpy(to, from, (size_t)rest * sizeof *to);
        from += rest;
    }
}

static const real *panel_at(const struct matmul_workspace *room,
                            struct gradient_place place)
{
    return room->x + (size_t)place.panel * panel_of(room->m) +
           (size_t)place.microbatch * (size_t)room->m.rows * NR;
}

/* tiles[height][NR] := the transpose of a microbatch's block times a panel of its x. */
static void multiply_block(const struct gradient *g, struct gradient_place place,
                           struct gradient_place next, int height, int width)
{
    struct matmul_workspace *room = g->room;
    int rows = g->m.rows, tiles = ceil_div(height, MR);
    const real *block = block_at(room, place.microbatch), *panel = panel_at(room, place);
    for (int at = 0; at < rows; at += GRADIENT_CHUNK) {
        const real *soon = at + GRADIENT_CHUNK < rows
                               ? panel + (size_t)(at + GRADIENT_CHUNK) * NR
                               : panel_at(room, next);
        struct microtile tile = {.vectors = ceil_div(width, VECTOR),
                                 .k = min(GRADIENT_CHUNK, rows - at),
                                 .overwrite = at == 0,
                                 .panel = panel + (size_t)at * NR,
                                 .ldx = MR};
        for (int t = 0; t < tiles; t++) {
            int first = t * MR;
            const real *strip = block + (size_t)t * strip_of(g->m);
            tile.rows = min(MR, height - first);
            for (int r = 0; r < tile.rows; r++) {
                tile.x[r] = strip + (size_t)at * MR + r;
                tile.y[r] = room->tiles + (first + r) * NR;
            }
            fetch_panel(&tile, soon, tile.k, t, tiles);
            kernels()->microkernel(&tile);
        }
    }
}

/* A part of dW: rows [first, first + height), of microbatches [from, to), of one group. */
struct stretch {
    int first, height, from, to;
};

/* That part of an input's dW, panel after panel, whose sums stay in the cache while the
 * microbatches add to them. `panel` is the first of the input's panels. */
static void give_weights(const struct gradient *g, const struct gradient_input *input,
                         int panel, struct stretch at)
{
    struct matmul_workspace *room = g->room;
    size_t k = (size_t)input->k;
    struct gradient_block block = {.first = input->weight + (size_t)at.first * k,
                                   .ld = k,
                                   .rows = at.height,
                                   .values = room->tiles,
                                   .ld_values = NR};
    for (int column = 0; column < input->k; column += NR, panel++) {
        block.width = min(NR, input->k - column);
        for (int s = at.from; s < at.to; s++) {
            struct gradient_place place = {s, panel}, next = {s + 1, panel};
            if (s + 1 == at.to)
                next = (struct gradient_place){at.from, panel + 1};
            if (room->rounded)
                gradient16_multiply(room->rounded, place, next, at.height, block.width,
                                    room->tiles);
            else
                multiply_block(g, place, next, at.height, block.width);
            g->sink->write(g->sink->context, s, &block);
        }
        block.first += NR;
    }
}

/* That part of every dW. */
static void give_rows(const struct gradient *g, struct stretch at)
{
    struct matmul_workspace *room = g->room;
    for (int s = at.from; s < at.to; s++) {
        if (room->rounded)
            gradient16_block(room->rounded, s, g->n, at.first, at.height, g->dy);
        else
            copy_block(g, s, at.first, at.height);
        if (g->bias != NO_BIAS)
            give_bias(g, s, at.first, at.height);
    }
    for (int i = 0, panel = 0; i < g->count; i++) {
        give_weights(g, &g->inputs[i], panel, at);
        panel += ceil_div(g->inputs[i].k, NR);
    }
}

/* By OpenBLAS: the whole matrices of a microbatch at once. */
static void give_microbatch(const struct gradient *g, int microbatch)
{
    struct matmul_workspace *room = g->room;
    size_t row = (size_t)microbatch * (size_t)g->m.rows;
    const real *dy = g->dy + row * (size_t)g->n;
    for (int i = 0; i < g->count; i++) {
        const struct gradient_input *input = &g->inputs[i];
        size_t k = (size_t)input->k;
        const struct gradient_block block = {.first = input->weight,
                                             .ld = k,
                                             .rows = g->n,
                                             .width = input->k,
                                             .values = room->gradient,
                                             .ld_values = k};
        gemm(GEMM_TRANSPOSED, GEMM_PLAIN, g->n, input->k, g->m.rows, dy, g->n,
             input->x + row * k, input->k, 0, room->gradient, input->k);
        g->sink->write(g->sink->context, microbatch, &block);
    }
    const struct gradient_block block = {
        .first = g->bias, .rows = 1, .width = g->n, .values = room->gradient};
    if (g->bias == NO_BIAS)
        return;
    sum_columns(dy, (size_t)g->n, (size_t)g->m.rows, g->n, room->gradient);
    g->sink->write(g->sink->context, microbatch, &block);
}

static void pack_inputs(const struct gradient *g)
{
    struct matmul_workspace *room = g->room;
    for (int i = 0, panel = 0; i < g->count; i++) {
        const struct gradient_input *input = &g->inputs[i];
        if (room->rounded)
            gradient16_input(room->rounded, panel, input->k, input->x);
        else
            pack_x(g, input, room->x + (size_t)panel * panel_of(g->m));
        panel += ceil_div(input->k, NR);
    }
}

void matmul_gradient(struct matmul_workspace *room, int n, const real *dy,
                     const struct gradient_input *inputs, int count, size_t bias,
                     const struct gradient_sink *sink)
{
    struct matmul_batch m = room->m;
    const struct gradient g = {room, m, n, dy, inputs, count, bias, sink};
    int height =
        ceil_div(n, ceil_div(n, GRADIENT_ROWS)); /* all as high, in whole tiles */
    height = ceil_div(height, 2 * MR) * 2 * MR;
    if (room->engine == PRODUCT_OPENBLAS) {
        for (int s = 0; s < m.microbatches; s++)
            give_microbatch(&g, s);
        return;
    }
    pack_inputs(&g);
    if (room->rounded)
        kernels_bf16()->bf16_begin();
    for (int first = 0; first < n; first += height)
        for (int s = 0; s < m.microbatches; s += room->group)
            give_rows(&g, (struct stretch){first, min(height, n - first), s,
                                           min(s + room->group, m.microbatches)});
    if (room->rounded)
        kernels_bf16()->bf16_end();
}
