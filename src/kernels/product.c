/* product: loops over tiles, and what they read brought into the order in which they read
 * it. The same source for every instruction set: only the tile differs (kernels.h).
 *
 * Over time, a panel is packed when it is needed and used for all rows, a chunk of inputs
 * at a time; so the weights are read once a product and nothing of it is written to
 * memory. A gradient's blocks of dy are copied side by side for the same reason: rows of
 * dy lie a power of two apart, where caches keep but few of them.
 */
#include "tutti/product.h"

#include <stdlib.h>
#include <string.h>

#include "tutti/gemm.h"
#include "tutti/kernels.h"
#include "tutti/memory.h"

enum {
    CHUNK = 512, /* inputs of a panel at a time: 96 kB, for the second-level cache */
    GRADIENT_ROWS = 128 /* of dW at a time */
};

struct product_room {
    enum product_engine engine;
    size_t rows, inputs, weights;
    real *panel;    /* [CHUNK][PANEL] */
    real *x;        /* panels of [rows][PANEL] that hold [inputs] */
    real *block;    /* [GRADIENT_ROWS / TILE_ROWS][rows][TILE_ROWS]: columns of dy */
    real *tiles;    /* [GRADIENT_ROWS][PANEL]: a slice's sums */
    real *gradient; /* PRODUCT_OPENBLAS: [weights] */
};

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int vectors_for(int width)
{
    return (width + VECTOR - 1) / VECTOR;
}

/* ---- packing ---- */

/* panel[l][j] := w[j][l] for l < k, j < width; w's rows are `stride` apart. A line of each
 * row at a time, so that few lines of the panel are being written. */
static void pack_rows(real *panel, const real *w, size_t stride, int k, int width)
{
    for (int first = 0; first < k; first += VECTOR) {
        int n = least(VECTOR, k - first);
        for (int j = 0; j < width; j++) {
            const real *from = w + (size_t)j * stride + first;
            real *to = panel + (size_t)first * PANEL + j;
            for (int l = 0; l < n; l++)
                to[(size_t)l * PANEL] = from[l];
        }
    }
}

/* panel[l][j] := w[l][j] */
static void pack_columns(real *panel, const real *w, size_t stride, int k, int width)
{
    for (int l = 0; l < k; l++) {
        if (width == PANEL) /* a constant size is copied without a call */
            memcpy(panel + (size_t)l * PANEL, w + (size_t)l * stride,
                   PANEL * sizeof *panel);
        else
            memcpy(panel + (size_t)l * PANEL, w + (size_t)l * stride,
                   (size_t)width * sizeof *panel);
    }
}

/* Zeros behind the columns of a panel that isn't full: its tiles are whole vectors. */
static void pad(real *panel, int k, int width)
{
    for (int l = 0; width % VECTOR && l < k; l++)
        memset(panel + (size_t)l * PANEL + width, 0,
               (size_t)(PANEL - width) * sizeof *panel);
}

enum status packed_create(int n, int k, struct packed *out)
{
    size_t panels = ((size_t)n + PANEL - 1) / PANEL;
    *out = (struct packed){.n = n, .k = k};
    out->panels = memory_zeroed(panels * PANEL * (size_t)k * sizeof(real));
    if (!out->panels)
        return status_fail(STATUS_FAILED, "no memory for %d x %d packed weights", n, k);
    return STATUS_OK;
}

void packed_free(struct packed *packed)
{
    memory_free(packed->panels);
    packed->panels = NULL;
}

void packed_set(struct packed *packed, const real *w, int transposed)
{
    size_t n = (size_t)packed->n, k = (size_t)packed->k;
    for (size_t first = 0; first < n; first += PANEL) {
        int width = least(PANEL, (int)(n - first));
        if (transposed)
            pack_columns(packed->panels + first * k, w + first, n, packed->k, width);
        else
            pack_rows(packed->panels + first * k, w + first * k, k, packed->k, width);
    }
}

/* ---- tiles ---- */

/* Rows of a tile and where they begin. */
struct rows {
    int count;
    const real *x[TILE_ROWS];
    real *y[TILE_ROWS];
};

/* One tile, `width` wide. What isn't a whole number of vectors goes through a buffer. */
static void multiply_tile(const struct rows *rows, int width, int k, const real *panel,
                          size_t step, int fresh)
{
    if (width % VECTOR == 0) {
        kernels()->tile(rows->count, width / VECTOR, k, panel, rows->x, step, rows->y,
                        fresh);
        return;
    }
    _Alignas(64) real buffer[TILE_ROWS][PANEL] = {{0}};
    real *at[TILE_ROWS] = {0};
    size_t bytes = (size_t)width * sizeof(real);
    for (int i = 0; i < rows->count && i < TILE_ROWS; i++) {
        at[i] = buffer[i];
        if (!fresh)
            memcpy(buffer[i], rows->y[i], bytes);
    }
    kernels()->tile(rows->count, vectors_for(width), k, panel, rows->x, step, at, fresh);
    for (int i = 0; i < rows->count && i < TILE_ROWS; i++)
        memcpy(rows->y[i], buffer[i], bytes);
}

/* What a tile reads first is on its way while the one before is computed. */
static void fetch(const real *y)
{
    for (int j = 0; j < PANEL; j += VECTOR)
        __builtin_prefetch(y + j, 1);
}

void packed_multiply(const struct packed *w, int rows, const real *const *x,
                     real *const *y, int back)
{
    int panels = (w->n + PANEL - 1) / PANEL;
    int tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (int p = 0; p < panels; p++) {
        int first = (back ? panels - 1 - p : p) * PANEL;
        const real *panel = w->panels + (size_t)first * (size_t)w->k;
        for (int t = 0, i = 0; t < tiles; t++) { /* of rows as equal as can be */
            struct rows tile = {.count = (rows - i + tiles - t - 1) / (tiles - t)};
            for (int r = 0; r < tile.count; r++, i++) {
                tile.x[r] = x[i];
                tile.y[r] = y[i] + first;
                fetch(i + tile.count < rows ? y[i + tile.count] + first : tile.y[r]);
            }
            multiply_tile(&tile, least(PANEL, w->n - first), w->k, panel, 1, 0);
        }
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

const char *product_core(void)
{
    return chosen == PRODUCT_PACKED ? "packed" : gemm_core();
}

/* Of room->x. */
static size_t panels_elements(const struct product_room *room)
{
    return (room->inputs + PANEL - 1) / PANEL * PANEL * room->rows;
}

static int allocate(struct product_room *room)
{
    if (room->engine == PRODUCT_OPENBLAS) {
        room->gradient = memory_zeroed(room->weights * sizeof(real));
        return room->gradient != NULL;
    }
    room->panel = memory_zeroed(CHUNK * PANEL * sizeof(real));
    if (room->weights) {
        room->x = memory_zeroed(panels_elements(room) * sizeof(real));
        room->block = memory_zeroed(room->rows * GRADIENT_ROWS * sizeof(real));
        room->tiles = memory_zeroed(GRADIENT_ROWS * PANEL * sizeof(real));
    }
    return room->panel && (!room->weights || (room->x && room->block && room->tiles));
}

enum status product_room_create(size_t rows, size_t inputs, size_t weights,
                                struct product_room **out)
{
    struct product_room *room = *out = calloc(1, sizeof *room);
    if (!room)
        return status_fail(STATUS_FAILED, "out of memory");
    *room = (struct product_room){
        .engine = chosen, .rows = rows, .inputs = inputs, .weights = weights};
    if (allocate(room))
        return STATUS_OK;
    product_room_free(room);
    *out = NULL;
    return status_fail(STATUS_FAILED, "no memory for products of %zu rows", rows);
}

void product_room_free(struct product_room *room)
{
    if (!room)
        return;
    memory_free(room->panel);
    memory_free(room->x);
    memory_free(room->block);
    memory_free(room->tiles);
    memory_free(room->gradient);
    free(room);
}

size_t product_room_bytes(const struct product_room *room)
{
    if (room->engine == PRODUCT_OPENBLAS)
        return room->weights * sizeof(real);
    size_t elements = CHUNK * PANEL;
    if (room->weights)
        elements += GRADIENT_ROWS * (PANEL + room->rows) + panels_elements(room);
    return elements * sizeof(real);
}

/* y[rows][n] +=, or := if fresh, x[rows][k'] times a panel of k' <= CHUNK inputs, of which
 * it makes the columns [first, first + width). Rows of x are `pitch` apart. */
static void multiply_panel(const real *panel, int rows, int n, int first, int width,
                           int k, const real *x, size_t pitch, real *y, int fresh)
{
    for (int i = 0; i < rows;) {
        struct rows tile = {.count = least(TILE_ROWS, rows - i)};
        for (int r = 0; r < tile.count; r++, i++) {
            tile.x[r] = x + (size_t)i * pitch;
            tile.y[r] = y + (size_t)i * (size_t)n + first;
            if (!fresh && i + TILE_ROWS < rows)
                fetch(tile.y[r] + TILE_ROWS * (size_t)n);
        }
        multiply_tile(&tile, width, k, panel, 1, fresh);
    }
}

void packed_forward(const struct packed *w, int rows, const real *x, int add, real *y)
{
    for (int first = 0; first < w->n; first += PANEL)
        multiply_panel(w->panels + (size_t)first * (size_t)w->k, rows, w->n, first,
                       least(PANEL, w->n - first), w->k, x, (size_t)w->k, y, !add);
}

/* y[rows][n] := or += x[rows][k] W^T, W [n][k]; or with `transposed` W's transpose, [k][n].
 */
static void multiply(struct product_room *room, int rows, int n, int k, const real *w,
                     int transposed, const real *x, int add, real *y)
{
    for (int first = 0; first < n; first += PANEL)
        for (int l = 0; l < k; l += CHUNK) {
            int width = least(PANEL, n - first), inputs = least(CHUNK, k - l);
            if (transposed)
                pack_columns(room->panel, w + (size_t)l * (size_t)n + first, (size_t)n,
                             inputs, width);
            else
                pack_rows(room->panel, w + (size_t)first * (size_t)k + l, (size_t)k,
                          inputs, width);
            pad(room->panel, inputs, width);
            multiply_panel(room->panel, rows, n, first, width, inputs, x + l, (size_t)k,
                           y, l == 0 && !add);
        }
}

void product_forward(struct product_room *room, struct product_rows m, int n, int k,
                     const real *w, const real *x, int add, real *y)
{
    size_t rows = (size_t)m.rows;
    if (room->engine == PRODUCT_PACKED)
        multiply(room, m.slices * m.rows, n, k, w, 0, x, add, y);
    else
        for (size_t s = 0; s < (size_t)m.slices; s++)
            gemm(GEMM_PLAIN, GEMM_TRANSPOSED, m.rows, n, k, x + s * rows * (size_t)k, k,
                 w, k, (real)add, y + s * rows * (size_t)n, n);
}

void product_backward(struct product_room *room, struct product_rows m, int n, int k,
                      const real *w, const real *dy, real *dx)
{
    size_t rows = (size_t)m.rows;
    if (room->engine == PRODUCT_PACKED)
        multiply(room, m.slices * m.rows, k, n, w, 1, dy, 0, dx);
    else
        for (size_t s = 0; s < (size_t)m.slices; s++)
            gemm(GEMM_PLAIN, GEMM_PLAIN, m.rows, k, n, dy + s * rows * (size_t)n, n, w, k,
                 0, dx + s * rows * (size_t)k, k);
}

/* ---- gradients ---- */

/* What product_gradient was asked for. */
struct gradient {
    struct product_room *room;
    struct product_rows m;
    int n, k;
    const real *dy, *x;
    size_t weight, bias;
    const struct gradient_sink *sink;
};

/* Columns [first, first + width) of dy, in strips as wide as a tile has rows. */
static void copy_block(const struct gradient *g, int first, int width)
{
    size_t rows = (size_t)g->m.slices * (size_t)g->m.rows;
    const real *from = g->dy + first;
    real *to = g->room->block;
    for (size_t i = 0; i < rows; i++, from += g->n, to += TILE_ROWS) {
        int j = 0;
        for (; j + TILE_ROWS <= width; j += TILE_ROWS)
            memcpy(to + (size_t)j * rows, from + j, TILE_ROWS * sizeof *to);
        if (j < width)
            memcpy(to + (size_t)j * rows, from + j, (size_t)(width - j) * sizeof *to);
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

static void give_bias(const struct gradient *g, int first, int width)
{
    real sums[GRADIENT_ROWS];
    const struct gradient_block block = {
        .first = g->bias + (size_t)first, .rows = 1, .width = width, .values = sums};
    size_t rows = (size_t)g->m.rows, all = (size_t)g->m.slices * rows;
    for (size_t s = 0; s < (size_t)g->m.slices; s++) {
        for (int j = 0; j < width; j += TILE_ROWS)
            sum_columns(g->room->block + (size_t)j * all + s * rows * TILE_ROWS,
                        TILE_ROWS, rows, least(TILE_ROWS, width - j), sums + j);
        g->sink->take(g->sink->context, (int)s, &block);
    }
}

/* room->x := all columns of x, panel by panel. */
static void pack_x(const struct gradient *g)
{
    int rows = g->m.slices * g->m.rows;
    real *panel = g->room->x;
    for (int column = 0; column < g->k; column += PANEL) {
        int width = least(PANEL, g->k - column);
        pack_columns(panel, g->x + column, (size_t)g->k, rows, width);
        pad(panel, rows, width);
        panel += (size_t)rows * PANEL;
    }
}

/* tiles[height][PANEL] := the block's transpose times a panel of x, of one slice. */
static void multiply_block(const struct gradient *g, int slice, int height,
                           const real *panel, int width)
{
    struct product_room *room = g->room;
    size_t rows = (size_t)g->m.slices * (size_t)g->m.rows;
    for (int at = 0; at < g->m.rows; at += CHUNK) {
        size_t row = (size_t)slice * (size_t)g->m.rows + (size_t)at;
        int count = least(CHUNK, g->m.rows - at);
        for (int first = 0; first < height; first += TILE_ROWS) {
            struct rows tile = {.count = least(TILE_ROWS, height - first)};
            for (int r = 0; r < tile.count; r++) {
                tile.x[r] = room->block + (size_t)first * rows + row * TILE_ROWS + r;
                tile.y[r] = room->tiles + (first + r) * PANEL;
            }
            kernels()->tile(tile.count, vectors_for(width), count, panel + row * PANEL,
                            tile.x, TILE_ROWS, tile.y, at == 0);
        }
    }
}

/* Rows [first, first + height) of dW. */
static void give_rows(const struct gradient *g, int first, int height)
{
    size_t rows = (size_t)g->m.slices * (size_t)g->m.rows;
    const real *panel = g->room->x;
    copy_block(g, first, height);
    if (g->bias != NO_BIAS)
        give_bias(g, first, height);
    for (int column = 0; column < g->k; column += PANEL, panel += rows * PANEL) {
        const struct gradient_block block = {
            .first = g->weight + (size_t)first * (size_t)g->k + (size_t)column,
            .pitch = (size_t)g->k,
            .rows = height,
            .width = least(PANEL, g->k - column),
            .values = g->room->tiles,
            .stride = PANEL};
        for (int s = 0; s < g->m.slices; s++) {
            multiply_block(g, s, height, panel, block.width);
            g->sink->take(g->sink->context, s, &block);
        }
    }
}

/* By OpenBLAS: the whole matrix of a slice at once. */
static void give_slice(const struct gradient *g, int slice)
{
    struct product_room *room = g->room;
    size_t row = (size_t)slice * (size_t)g->m.rows;
    const real *dy = g->dy + row * (size_t)g->n;
    struct gradient_block block = {.first = g->weight,
                                   .pitch = (size_t)g->k,
                                   .rows = g->n,
                                   .width = g->k,
                                   .values = room->gradient,
                                   .stride = (size_t)g->k};
    gemm(GEMM_TRANSPOSED, GEMM_PLAIN, g->n, g->k, g->m.rows, dy, g->n,
         g->x + row * (size_t)g->k, g->k, 0, room->gradient, g->k);
    g->sink->take(g->sink->context, slice, &block);
    if (g->bias == NO_BIAS)
        return;
    sum_columns(dy, (size_t)g->n, (size_t)g->m.rows, g->n, room->gradient);
    block.first = g->bias;
    block.rows = 1;
    block.width = g->n;
    g->sink->take(g->sink->context, slice, &block);
}

void product_gradient(struct product_room *room, struct product_rows m, int n, int k,
                      const real *dy, const real *x, size_t weight, size_t bias,
                      const struct gradient_sink *sink)
{
    const struct gradient g = {room, m, n, k, dy, x, weight, bias, sink};
    int blocks = (n + GRADIENT_ROWS - 1) / GRADIENT_ROWS;
    int height = (n + blocks - 1) / blocks; /* all as high, in whole tiles */
    height = (height + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    if (room->engine == PRODUCT_OPENBLAS) {
        for (int s = 0; s < m.slices; s++)
            give_slice(&g, s);
        return;
    }
    pack_x(&g);
    for (int first = 0; first < n; first += height)
        give_rows(&g, first, least(height, n - first));
}
