/* bfloat16: see the header. Sums are taken over blocks of KB16; what is missing of the
 * last one is zero. */
#include "bfloat16.h"

#include <stdlib.h>
#include <string.h>

#include "tiling.h"
#include "base/memory.h"

enum {
    PAIRS = KB16 / 2,         /* of a block */
    ROUNDED_ROWS = 256,       /* of x at a time, or fewer, so that they stay in the */
    ROUNDED_BYTES = 512 << 10 /* second-level cache */
};

/* A number of inputs or rows, filled up to whole blocks. */
static size_t filled(int count)
{
    return (size_t)ceil_div(count, KB16) * KB16;
}

/* ---- weights ---- */

struct packed16 {
    int n, k;
    int rows;                 /* that are rounded at a time */
    struct bf16_pair *panels; /* ceil(n / NR) panels of [filled(k) / 2][NR] */
    bfloat16 *x;              /* [rows][ldx]: of the product that is being made */
    struct bf16_pair *w; /* [PAIRS][filled(k) / 2]: rows of W, on their way to a panel */
};

static size_t panel_pairs(const struct packed16 *p)
{
    return filled(p->k) / 2 * NR;
}

static size_t panels_bytes(const struct packed16 *p)
{
    return (size_t)ceil_div(p->n, NR) * panel_pairs(p) * sizeof *p->panels;
}

/* A line more than is needed: rows that lie a power of two apart would take few places of
 * the first-level cache. */
static size_t ldx(const struct packed16 *p)
{
    return filled(p->k) + KB16;
}

static size_t x_bytes(const struct packed16 *p)
{
    return (size_t)p->rows * ldx(p) * sizeof *p->x;
}

static size_t w_bytes(const struct packed16 *p)
{
    return PAIRS * filled(p->k) / 2 * sizeof *p->w;
}

size_t packed16_bytes(const struct packed16 *p)
{
    return panels_bytes(p) + x_bytes(p) + w_bytes(p);
}

enum status packed16_create(const struct matmul_weights *packed, struct packed16 **out)
{
    struct packed16 *p = *out = calloc(1, sizeof *p);
    if (!p)
        return status_fail(STATUS_FAILED, "out of memory");
    size_t row = filled(packed->k) * sizeof *p->x; /* but for a line */
    int rows = min(ROUNDED_ROWS, (int)(ROUNDED_BYTES / row)) / MR16 * MR16;
    *p = (struct packed16){
        .n = packed->n, .k = packed->k, .rows = rows > MR16 ? rows : MR16};
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
static void pack_rows(struct packed16 *p, const real *w, int width,
                      struct bf16_pair *panel)
{
    size_t pairs = filled(p->k) / 2, k = (size_t)p->k;
    for (int first = 0; first < width; first += PAIRS) {
        int rows = min(PAIRS, width - first);
        for (size_t i = 0; i < (size_t)rows; i++)
            kernels_bf16()->round_bf16(k, w + ((size_t)first + i) * k,
                                       (bfloat16 *)(p->w + i * pairs));
        for (size_t l = 0; l < pairs; l += PAIRS)
            kernels_bf16()->transpose_pairs(rows, PAIRS, p->w + l, pairs,
                                            panel + l * NR + first, NR);
    }
}

/* A panel of the transpose of W [k][n]: pairs of two rows. */
static void pack_columns(struct packed16 *p, const real *w, int width,
                         struct bf16_pair *panel)
{
    static const real zeros[NR];
    size_t n = (size_t)p->n;
    for (int l = 0; l < p->k; l += 2, panel += NR) {
        const real *even = w + (size_t)l * n;
        kernels_bf16()->round_bf16_pairs((size_t)width, even,
                                         l + 1 < p->k ? even + n : zeros, panel);
    }
}

void packed16_refresh(const struct matmul_weights *packed)
{
    struct packed16 *p = packed->rounded;
    struct bf16_pair *panel = p->panels;
    for (int first = 0; first < p->n; first += NR, panel += panel_pairs(p)) {
        int width = min(NR, p->n - first);
        if (packed->transposed)
            pack_columns(p, packed->w + first, width, panel);
        else
            pack_rows(p, packed->w + (size_t)first * (size_t)p->k, width, panel);
    }
}

/* What `tiles` tiles fetch together while they are computed: the panel that is next. One
 * tile alone fetches nothing: the processor does it as fast by itself then. */
static void fetch_panel(struct microtile_bf16 *tile, const struct bf16_pair *next, int t,
                        int tiles)
{
    enum { LINES = PAIRS * NR * sizeof(struct bf16_pair) / 64 }; /* of a block */
    tile->prefetch_lines = tiles > 1 ? LINES / tiles : 0;
    tile->prefetch = (const char *)next +
                     (size_t)t * (size_t)tile->prefetch_lines * 64 * (size_t)tile->blocks;
}

/* The results of the tile that begins at `row` of `count`, whose panel begins at
 * `first`. */
static void fetch_rows(real *const *y, int row, int count, int first)
{
    for (int i = row; i < min(row + MR16, count); i++)
        fetch_results(y[i] + first);
}

void packed16_multiply(const struct matmul_weights *w, int rows, const real *const *x,
                       real *const *y, enum matmul_output how, int back)
{
    struct packed16 *p = w->rounded;
    size_t pitch = ldx(p);
    int panels = ceil_div(p->n, NR);
    int nontemporal = how == MATMUL_NONTEMPORAL;
    struct microtile_bf16 tile = {.blocks = ceil_div(p->k, KB16),
                                  .overwrite = how != MATMUL_ACCUMULATE,
                                  .nontemporal = nontemporal,
                                  .ldx = pitch};
    kernels_bf16()->bf16_begin();
    for (int begin = 0; begin < rows; begin += p->rows) {
        int count = min(p->rows, rows - begin), tiles = ceil_div(count, MR16);
        for (size_t i = 0; i < (size_t)count; i++)
            kernels_bf16()->round_bf16((size_t)p->k, x[(size_t)begin + i],
                                       p->x + i * pitch);
        for (int q = 0; q < panels; q++) {
            int panel = back ? panels - 1 - q : q, first = panel * NR;
            int next = q + 1 == panels ? panel : back ? panel - 1 : panel + 1;
            tile.width = min(NR, p->n - first);
            tile.panel = p->panels + (size_t)panel * panel_pairs(p);
            for (int t = 0; t < tiles; t++) {
                int row = t * MR16;
                tile.rows = min(MR16, count - row);
                tile.x = p->x + (size_t)row * pitch;
                for (int i = 0; i < tile.rows; i++)
                    tile.y[i] = y[begin + row + i] + first;
                if (!nontemporal && t + 1 < tiles)
                    fetch_rows(y + begin, row + MR16, count, first);
                else if (!nontemporal)
                    fetch_rows(y + begin, 0, count, next * NR);
                fetch_panel(&tile, p->panels + (size_t)next * panel_pairs(p), t, tiles);
                kernels_bf16()->microkernel_bf16(&tile);
            }
        }
    }
    kernels_bf16()->bf16_end();
}

/* ---- gradients ---- */

struct gradient16 {
    struct matmul_batch m;
    int group;
    size_t panels;
    struct bf16_pair *x;     /* [panels][microbatches] of [filled(rows) / 2][NR] */
    struct bf16_pair *block; /* [group][GRADIENT16_ROWS][block_pitch]: columns of dy */
    struct bf16_pair *rows;  /* [PAIRS][GRADIENT16_ROWS]: on their way there */
};

static size_t microbatch_panel(struct matmul_batch m)
{
    return filled(m.rows) / 2 * NR;
}

/* A little more than a power of two, as caches like it. */
static size_t block_pitch(struct matmul_batch m)
{
    return filled(m.rows) / 2 + PAIRS;
}

static size_t gradient_x_bytes(const struct gradient16 *room)
{
    return room->panels * (size_t)room->m.microbatches * microbatch_panel(room->m) *
           sizeof *room->x;
}

/* Pairs of a microbatch's block. */
static size_t block_size(struct matmul_batch m)
{
    return GRADIENT16_ROWS * block_pitch(m);
}

size_t gradient16_block_bytes(struct matmul_batch m)
{
    return block_size(m) * sizeof(struct bf16_pair);
}

static size_t gradient_block_bytes(const struct gradient16 *room)
{
    return (size_t)room->group * gradient16_block_bytes(room->m);
}

/* Where that of a microbatch is. */
static struct bf16_pair *block_at(const struct gradient16 *room, int microbatch)
{
    return room->block + (size_t)(microbatch % room->group) * block_size(room->m);
}

enum { ROWS_BYTES = PAIRS * GRADIENT16_ROWS * sizeof(struct bf16_pair) };

size_t gradient16_bytes(const struct gradient16 *room)
{
    return gradient_x_bytes(room) + gradient_block_bytes(room) + ROWS_BYTES;
}

enum status gradient16_create(struct matmul_batch m, int group, size_t panels,
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
    static const real zeros[NR];
    struct matmul_batch m = room->m;
    size_t width = (size_t)k, size = (size_t)m.microbatches * microbatch_panel(m);
    for (size_t s = 0; s < (size_t)m.microbatches; s++)
        for (int i = 0; i < m.rows; i += 2) {
            const real *even = x + (s * (size_t)m.rows + (size_t)i) * width;
            struct bf16_pair *to = room->x + (size_t)panel * size +
                                   s * microbatch_panel(m) + (size_t)i / 2 * NR;
            for (int first = 0; first < k; first += NR, to += size)
                kernels_bf16()->round_bf16_pairs(
                    (size_t)min(NR, k - first), even + first,
                    i + 1 < m.rows ? even + width + first : zeros, to);
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
            kernels_bf16()->round_bf16_pairs((size_t)height, row < rows ? even : zeros,
                                             row + 1 < rows ? even + n : zeros,
                                             room->rows + i * GRADIENT16_ROWS);
        }
        for (int j = 0; j < height; j += PAIRS)
            kernels_bf16()->transpose_pairs(
                PAIRS, min(PAIRS, height - j), room->rows + j, GRADIENT16_ROWS,
                block_at(room, microbatch) + (size_t)j * pitch + p, pitch);
    }
}

static const struct bf16_pair *x_at(const struct gradient16 *room,
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
    const struct bf16_pair *block = block_at(room, place.microbatch);
    int count = ceil_div(height, MR16);
    struct microtile_bf16 tile = {.width = width,
                                  .blocks = (int)filled(room->m.rows) / KB16,
                                  .overwrite = 1,
                                  .contiguous = 1,
                                  .panel = x_at(room, place),
                                  .ldx = 2 * pitch};
    for (int t = 0; t < count; t++) {
        int row = t * MR16;
        tile.rows = min(MR16, height - row);
        tile.x = (const bfloat16 *)(block + (size_t)row * pitch);
        for (int i = 0; i < tile.rows; i++)
            tile.y[i] = tiles + (size_t)(row + i) * NR;
        fetch_panel(&tile, x_at(room, next), t, count);
        kernels_bf16()->microkernel_bf16(&tile);
    }
}
