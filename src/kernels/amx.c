/* amx: the bfloat16 microkernel on AMX tile registers, and hardware rounding to bfloat16.
 * Sums are accumulated in the same order as in the other sets (kernels.h).
 *
 * The eight tile registers have 16 rows of 64 bytes (docs/design.md draws them).
 * Registers 0 to 2 accumulate the 16 upper rows, one register for each of the panel's
 * three vectors; registers 3 to 5 accumulate the 16 lower rows. Register 6 holds 16 rows
 * of x, register 7 one vector of the panel, both KB16 inputs deep.
 *
 * The compiler does not know which memory the tile instructions access, hence the
 * compiler barriers.
 */
#if defined(__x86_64__) && defined(__linux__) && !defined(TUTTI_DOUBLE)
#include "tiling.h"
#include "kernel_sets.h"
#include "x86.h"

enum { TILE_ROWS = 16 };

#define COMPILER_BARRIER() __asm__ volatile("" ::: "memory")

/* The processor's format of a tile configuration. */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static void load_tile_config(void)
{
    static const struct tile_config config = {
        .palette = 1,
        .row_bytes = {CACHE_LINE, CACHE_LINE, CACHE_LINE, CACHE_LINE, CACHE_LINE,
                      CACHE_LINE, CACHE_LINE, CACHE_LINE},
        .rows = {TILE_ROWS, TILE_ROWS, TILE_ROWS, TILE_ROWS, TILE_ROWS, TILE_ROWS,
                 TILE_ROWS, TILE_ROWS}};
    COMPILER_BARRIER();
    _tile_loadconfig(&config);
}

static void release_tiles(void)
{
    COMPILER_BARRIER();
    _tile_release();
}

/* DO(R, AT, J) for each accumulator register R in use: vector J of the 16 upper rows,
 * stored at UPPER, and with `has_lower` also of the lower rows, stored at LOWER. */
#define FOR_VECTORS(DO, UPPER, LOWER)                                                    \
    do {                                                                                 \
        DO(0, UPPER, 0);                                                                 \
        if (vectors > 1) {                                                               \
            DO(1, UPPER, 1);                                                             \
        }                                                                                \
        if (vectors > 2) {                                                               \
            DO(2, UPPER, 2);                                                             \
        }                                                                                \
        if (has_lower) {                                                                 \
            DO(3, LOWER, 0);                                                             \
        }                                                                                \
        if (has_lower && vectors > 1) {                                                  \
            DO(4, LOWER, 1);                                                             \
        }                                                                                \
        if (has_lower && vectors > 2) {                                                  \
            DO(5, LOWER, 2);                                                             \
        }                                                                                \
    } while (0)
#define CLEAR(R, SRC, J) _tile_zero(R)
#define LOAD(R, SRC, J) _tile_loadd(R, (SRC) + VECTOR * (J), NR * sizeof(float))
#define STORE(R, DST, J) _tile_stored(R, (DST) + VECTOR * (J), NR * sizeof(float))
/* SUMS += the rows in register 6 times vector J of the panel, which remains in register
 * 7. */
#define MULTIPLY(SUMS, J)                                                                \
    _tile_loadd(7, panel + VECTOR * (J), NR * sizeof *panel);                            \
    _tile_dpbf16ps(SUMS, 6, 7)

static void prefetch_block(const struct microtile_bf16 *t, int block)
{
    for (int i = 0; i < t->prefetch_lines; i++)
        _mm_prefetch((const char *)t->prefetch +
                         (size_t)(block * t->prefetch_lines + i) * CACHE_LINE,
                     _MM_HINT_T1);
}

/* For each block of inputs: the upper rows times all vectors of the panel, then the lower
 * rows, starting with the vector that is still in register 7. */
static inline __attribute__((always_inline)) void
multiply_blocks(const struct microtile_bf16 *t, int vectors, bool has_lower)
{
    const struct bf16_pair *panel = t->panel;
    const bfloat16 *x = t->x, *lower = x + TILE_ROWS * t->ldx;
    size_t row_bytes = t->ldx * sizeof *x;
    for (int b = 0; b < t->blocks; b++) {
        prefetch_block(t, b);
        _tile_loadd(6, x, row_bytes);
        MULTIPLY(0, 0);
        if (vectors > 1) {
            MULTIPLY(1, 1);
        }
        if (vectors > 2) {
            MULTIPLY(2, 2);
        }
        if (has_lower) {
            _tile_loadd(6, lower, row_bytes);
            if (vectors == 1)
                _tile_dpbf16ps(3, 6, 7);
            if (vectors == 2)
                _tile_dpbf16ps(4, 6, 7);
            if (vectors == 3)
                _tile_dpbf16ps(5, 6, 7);
            if (vectors > 1) {
                MULTIPLY(3, 0);
            }
            if (vectors > 2) {
                MULTIPLY(4, 1);
            }
        }
        x += KB16;
        lower += KB16;
        panel += KB16 / 2 * NR;
    }
}

static void multiply_panel(const struct microtile_bf16 *t, int vectors, bool has_lower)
{
    if (vectors == 3 && has_lower) /* the common case, without branches in the loop */
        multiply_blocks(t, 3, true);
    else if (vectors == 3)
        multiply_blocks(t, 3, false);
    else
        multiply_blocks(t, vectors, has_lower);
}

static inline void copy_row(float *dst, const float *src, int width)
{
    for (; width >= VECTOR; width -= VECTOR, src += VECTOR, dst += VECTOR)
        _mm512_storeu_ps(dst, _mm512_loadu_ps(src));
    __mmask16 mask = lane_mask((size_t)width);
    if (mask)
        _mm512_mask_storeu_ps(dst, mask, _mm512_maskz_loadu_ps(mask, src));
}

static inline void store_row_nontemporal(float *dst, const float *src, int vectors)
{
    for (int j = 0; j < vectors; j++, src += VECTOR, dst += VECTOR)
        _mm512_stream_ps(dst, _mm512_load_ps(src));
}

static void microkernel_bf16(const struct microtile_bf16 *t)
{
    _Alignas(CACHE_LINE) float sums[MR16 * NR];
    float *lower = sums + TILE_ROWS * NR;
    int vectors = ceil_div(t->width, VECTOR);
    bool has_lower = t->rows > TILE_ROWS;
    if (t->overwrite) {
        FOR_VECTORS(CLEAR, sums, lower);
    } else {
        for (int i = 0; i < t->rows; i++)
            copy_row(sums + i * NR, t->y[i], t->width);
        COMPILER_BARRIER();
        FOR_VECTORS(LOAD, sums, lower);
    }
    COMPILER_BARRIER();
    multiply_panel(t, vectors, has_lower);
    if (t->contiguous) {
        float *upper = t->y[0];
        lower = upper + TILE_ROWS * NR;
        FOR_VECTORS(STORE, upper, lower);
        COMPILER_BARRIER();
        return;
    }
    FOR_VECTORS(STORE, sums, lower);
    COMPILER_BARRIER();
    for (int i = 0; i < t->rows; i++)
        if (t->nontemporal)
            store_row_nontemporal(t->y[i], sums + i * NR, vectors);
        else
            copy_row(t->y[i], sums + i * NR, t->width);
}

/* The instruction rounds and flushes subnormals as kernels.h requires. */
static void round_bf16(size_t n, const float *x, bfloat16 *y)
{
    for (size_t i = 0; i < n; i += VECTOR) {
        __mmask16 mask = lane_mask(n - i);
        __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + i));
        _mm256_mask_storeu_epi16(y + i, mask, (__m256i)rounded);
    }
}

static void round_bf16_pairs(size_t n, const float *even, const float *odd,
                             struct bf16_pair *y)
{
    for (size_t i = 0; i < n; i += VECTOR) {
        __mmask16 mask = lane_mask(n - i);
        __m256bh first = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, even + i)),
                 second = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, odd + i));
        __m512i lower = _mm512_cvtepu16_epi32((__m256i)first),
                upper = _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)second), 16);
        _mm512_mask_storeu_epi32(y + i, mask, _mm512_or_epi32(lower, upper));
    }
}

void kernels_add_amx(struct kernels *kernels)
{
    kernels->name = "amx";
    kernels->bf16_begin = load_tile_config;
    kernels->bf16_end = release_tiles;
    kernels->microkernel_bf16 = microkernel_bf16;
    kernels->round_bf16 = round_bf16;
    kernels->round_bf16_pairs = round_bf16_pairs;
}
#else
typedef int amx_not_built; /* ISO C requires a declaration */
#endif
