/* bfloat16: see the header. Sums are taken over blocks of BLOCK16; what is missing of the
 * last one is zero. */
#include "bfloat16.h"

#include <stdlib.h>
#include <string.h>

#include "pieces.h"
#include "base/memory.h"

enum {
    PAIRS = BLOCK16 / 2,      /* of a block */
    ROUNDED_ROWS = 256,       /* of x at a time, or fewer, so that they stay in the */
    ROUNDED_BYTES = 512 << 10 /* second-level cache */
};

/* A number of inputs or rows, filled up to whole blocks. */
static size_t filled(int count)
{
    return (size_t)pieces(count, BLOCK16) * BLOCK16;
}

/* ---- weights ---- */

struct packed16 {
    int n, k;
    int rows;              /* that are rounded at a time */
    struct pair16 *panels; /* ceil(n / PANEL) panels of [filled(k) / 2][PANEL] */
    bfloat16 *x;           /* [rows][x_pitch]: of the product that is being made */
    struct pair16 *w; /* [PAIRS][filled(k) / 2]: rows of W, on their way to a panel */
};

static size_t panel_pairs(const struct packed16 *p)
{
    return filled(p->k) / 2 * PANEL;
}

static size_t panels_bytes(const struct packed16 *p)
{
    return (size_t)pieces(p->n, PANEL) * panel_pairs(p) * sizeof *p->panels;
}

/* A line more than is needed: rows that lie a power of two apart would take few places of
 * the first-level cache. */
static size_t x_pitch(const struct packed16 *p)
{
    return filled(p->k) + BLOCK16;
}

static size_t x_bytes(const struct packed16 *p)
{
    return (size_t)p->rows * x_pitch(p) * sizeof *p->x;
}

static size_t w_bytes(const struct packed16 *p)
{
    return PAIRS * filled(p->k) / 2 * sizeof *p->w;
}

size_t packed16_bytes(const struct packed16 *p)
{
    return panels_bytes(p) + x_bytes(p) + w_bytes(p);
}

enum status packed16_create(const struct packed *packed, struct packed16 **out)
{
    struct packed16 *p = *out = calloc(1, sizeof *p);
    if (!p)
        return status_fail(STATUS_FAILED, "out of memory");
    size_t row = filled(packed->k) * sizeof *p->x; /* but for a line */
    int rows =
        least(ROUNDED_ROWS, (int)(ROUNDED_BYTES / row)) / TILE16_ROWS * TILE16_ROWS;
    *p = (struct packed16){
        .n = packed->n, .k = packed->k, .rows = rows > TILE16_ROWS ? rows : TILE16_ROWS};
    p->panels = memory_zeroed(panels_bytes(p));
    p->x = memory_zeroed(x_bytes(p));
    p->w = memory_zeroed(w_bytes(p));
    if (p->panels && p->x && p->w)
        return STATUS_OK;
    packed16_free(p);
    *out = NULL;
    return status_fail(STATUS_FAILED, "no memory for %d x %d packed weights", packed->n,
                       packed->k);
}

void packed16_free(struct packed16 *p)
{
    if (!p)
        return;
    memory_free(p->panels);
    memory_free(p->x);
    memory_free(p->w);
    free(p);
}

/* A panel of W [n][k]: pairs lie side by side in a row, and go above each other. */
static void pack_rows(struct packed16 *p, const real *w, int width, struct pair16 *panel)
{
    size_t pairs = filled(p->k) / 2, k = (size_t)p->k;
    for (int first = 0; first < width; first += PAIRS) {
        int rows = least(PAIRS, width - first);
        for (size_t i = 0; i < (size_t)rows; i++)
            kernels16()->round16(k, w + ((size_t)first + i) * k,
                                 (bfloat16 *)(p->w + i * pairs));
        for (size_t l = 0; l < pairs; l += PAIRS)
            kernels16()->transpose16(rows, PAIRS, p->w + l, pairs,
                                     panel + l * PANEL + first, PANEL);
    }
}

/* A panel of the transpose of W [k][n]: pairs of two rows. */
static void pack_columns(struct packed16 *p, const real *w, int width,
                         struct pair16 *panel)
{
    static const real zeros[PANEL];
    size_t n = (size_t)p->n;
    for (int l = 0; l < p->k; l += 2, panel += PANEL) {
        const real *even = w + (size_t)l * n;
        kernels16()->round_pairs16((size_t)width, even, l + 1 < p->k ? even + n : zeros,
                                   panel);
    }
}

void packed16_refresh(const struct packed *packed)
{
    struct packed16 *p = packed->rounded;
    struct pair16 *panel = p->panels;
    for (int first = 0; first < p->n; first += PANEL, panel += panel_pairs(p)) {
        int width = least(PANEL, p->n - first);
        if (packed->transposed)
            pack_columns(p, packed->w + first, width, panel);
        else
            pack_rows(p, packed->w + (size_t)first * (size_t)p->k, width, panel);
    }
}

/* What `tiles` tiles fetch together while they are computed: the panel that is next. One
 * tile alone fetches nothing: the processor does it as fast by itself then. */
static void fetch_panel(struct tile16 *tile, const struct pair16 *next, int t, int tiles)
{
    enum { LINES = PAIRS * PANEL * sizeof(struct pair16) / 64 }; /* of a block */
    tile->lines = tiles > 1 ? LINES / tiles : 0;
    tile->soon =
        (const char *)next + (size_t)t * (size_t)tile->lines * 64 * (size_t)tile->blocks;
}

/* The results of the tile that begins at `row` of `count`, whose panel begins at
 * `first`. */
static void fetch_rows(real *const *y, int row, int count, int first)
{
    for (int i = row; i < least(row + TILE16_ROWS, count); i++)
        fetch_results(y[i] + first);
}

void packed16_multiply(const struct packed *w, int rows, const real *const *x,
                       real *const *y, enum product_results how, int back)
{
    struct packed16 *p = w->rounded;
    size_t pitch = x_pitch(p);
    int panels = pieces(p->n, PANEL);
    int stream = how == PRODUCT_STREAM;
    struct tile16 tile = {.blocks = pieces(p->k, BLOCK16),
                          .fresh = how != PRODUCT_ADD,
                          .stream = stream,
                          .pitch = pitch};
    kernels16()->ready16(1);
    for (int begin = 0; begin < rows; begin += p->rows) {
        int count = least(p->rows, rows - begin), tiles = pieces(count, TILE16_ROWS);
        for (size_t i = 0; i < (size_t)count; i++)
            kernels16()->round16((size_t)p->k, x[(size_t)begin + i], p->x + i * pitch);
        for (int q = 0; q < panels; q++) {
            int panel = back ? panels - 1 - q : q, first = panel * PANEL;
            int next = q + 1 == panels ? panel : back ? panel - 1 : panel + 1;
            tile.width = least(PANEL, p->n - first);
            tile.panel = p->panels + (size_t)panel * panel_pairs(p);
            for (int t = 0; t < tiles; t++) {
                int row = t * TILE16_ROWS;
                tile.rows = least(TILE16_ROWS, count - row);
                tile.x = p->x + (size_t)row * pitch;
                for (int i = 0; i < tile.rows; i++)
                    tile.y[i] = y[begin + row + i] + first;
                if (!stream && t + 1 < tiles)
                    fetch_rows(y + begin, row + TILE16_ROWS, count, first);
                else if (!stream)
                    fetch_rows(y + begin, 0, count, next * PANEL);
                fetch_panel(&tile, p->panels + (size_t)next * panel_pairs(p), t, tiles);
                kernels16()->tile16(&tile);
            }
        }
    }
    kernels16()->ready16(0);
}

/* ---- gradients ---- */

struct gradient16 {
    struct product_rows m;
    int group;
    size_t panels;
    struct pair16 *x;     /* [panels][microbatches] of [filled(rows) / 2][PANEL] */
    struct pair16 *block; /* [group][GRADIENT16_ROWS][block_pitch]: columns of dy */
    struct pair16 *rows;  /* [PAIRS][GRADIENT16_ROWS]: on their way there */
};

static size_t microbatch_panel(struct product_rows m)
{
    return filled(m.rows) / 2 * PANEL;
}

/* A little more than a power of two, as caches like it. */
static size_t block_pitch(struct product_rows m)
{
    return filled(m.rows) / 2 + PAIRS;
}

static size_t gradient_x_bytes(const struct gradient16 *room)
{
    return room->panels * (size_t)room->m.microbatches * microbatch_panel(room->m) *
           sizeof *room->x;
}

/* Pairs of a microbatch's block. */
static size_t block_size(struct product_rows m)
{
    return GRADIENT16_ROWS * block_pitch(m);
}

size_t gradient16_block_bytes(struct product_rows m)
{
    return block_size(m) * sizeof(struct pair16);
}

static size_t gradient_block_bytes(const struct gradient16 *room)
{
    return (size_t)room->group * gradient16_block_bytes(room->m);
}

/* Where that of a microbatch is. */
static struct pair16 *block_at(const struct gradient16 *room, int microbatch)
{
    return room->block + (size_t)(microbatch % room->group) * block_size(room->m);
}

enum { ROWS_BYTES = PAIRS * GRADIENT16_ROWS * sizeof(struct pair16) };

size_t gradient16_bytes(const struct gradient16 *room)
{
    return gradient_x_bytes(room) + gradient_block_bytes(room) + ROWS_BYTES;
}

enum status gradient16_create(struct product_rows m, int group, size_t panels,
                              struct gradient16 **out)
{
    struct gradient16 *room = *out = calloc(1, sizeof *room);
    if (!room)
        return status_fail(STATUS_FAILED, "out of memory");
    *room = (struct gradient16){.m = m, .group = group, .panels = panels};
    room->x = memory_zeroed(gradient_x_bytes(room));
    room->block = memory_zeroed(gradient_block_bytes(room));
    room->rows = memory_zeroed(ROWS_BYTES);
    if (room->x && room->block && room->rows)
        return STATUS_OK;
    gradient16_free(room);
    *out = NULL;
    return status_fail(STATUS_FAILED, "no memory for gradients of %d x %d rows",
                       m.microbatches, m.rows);
}

void gradient16_free(struct gradient16 *room)
{
    if (!room)
        return;
    memory_free(room->x);
    memory_free(room->block);
    memory_free(room->rows);
    free(room);
}

void gradient16_input(struct gradient16 *room, int panel, int k, const real *x)
{
    static const real zeros[PANEL];
    struct product_rows m = room->m;
    size_t width = (size_t)k, size = (size_t)m.microbatches * microbatch_panel(m);
    for (size_t s = 0; s < (size_t)m.microbatches; s++)
        for (int i = 0; i < m.rows; i += 2) {
            const real *even = x + (s * (size_t)m.rows + (size_t)i) * width;
            struct pair16 *to = room->x + (size_t)panel * size + s * microbatch_panel(m) +
                                (size_t)i / 2 * PANEL;
            for (int first = 0; first < k; first += PANEL, to += size)
                kernels16()->round_pairs16((size_t)least(PANEL, k - first), even + first,
                                           i + 1 < m.rows ? even + width + first : zeros,
                                           to);
        }
}

void gradient16_block(struct gradient16 *room, int microbatch, int n, int first,
                      int height, const real *dy)
{
    static const real zeros[GRADIENT16_ROWS];
    int rows = room->m.rows;
    size_t pitch = block_pitch(room->m);
    const real *from = dy + (size_t)microbatch * (size_t)rows * (size_t)n + first;
    int pairs = (int)filled(rows) / 2;
    for (int p = 0; p < pairs; p += PAIRS) {
        for (int i = 0; i < PAIRS; i++) {
            int row = 2 * (p + i);
            const real *even = from + (size_t)row * (size_t)n;
            kernels16()->round_pairs16((size_t)height, row < rows ? even : zeros,
                                       row + 1 < rows ? even + n : zeros,
                                       room->rows + i * GRADIENT16_ROWS);
        }
        for (int j = 0; j < height; j += PAIRS)
            kernels16()->transpose16(
                PAIRS, least(PAIRS, height - j), room->rows + j, GRADIENT16_ROWS,
                block_at(room, microbatch) + (size_t)j * pitch + p, pitch);
    }
}

static const struct pair16 *x_at(const struct gradient16 *room,
                                 struct gradient_place place)
{
    size_t microbatches = (size_t)room->m.microbatches;
    return room->x + ((size_t)place.panel * microbatches + (size_t)place.microbatch) *
                         microbatch_panel(room->m);
}

void gradient16_multiply(struct gradient16 *room, struct gradient_place place,
                         struct gradient_place next, int height, int width, real *tiles)
{
    size_t pitch = block_pitch(room->m);
    const struct pair16 *block = block_at(room, place.microbatch);
    int count = pieces(height, TILE16_ROWS);
    struct tile16 tile = {.width = width,
                          .blocks = (int)filled(room->m.rows) / BLOCK16,
                          .fresh = 1,
                          .whole = 1,
                          .panel = x_at(room, place),
                          .pitch = 2 * pitch};
    for (int t = 0; t < count; t++) {
        int row = t * TILE16_ROWS;
        tile.rows = least(TILE16_ROWS, height - row);
        tile.x = (const bfloat16 *)(block + (size_t)row * pitch);
        for (int i = 0; i < tile.rows; i++)
            tile.y[i] = tiles + (size_t)(row + i) * PANEL;
        fetch_panel(&tile, x_at(room, next), t, count);
        kernels16()->tile16(&tile);
    }
}
