/* amx: products of bfloat16 by the processor's matrix registers, and rounding by its
 * instruction for it. Their order of sums is that of the other sets (kernels.h).
 *
 * There are eight registers of 16 rows of 64 bytes: six hold sums, for 32 rows and a
 * panel; register 6 holds 16 rows of x, and 7 the 16 outputs, both of KB16 inputs.
 * Compilers don't know what the instructions read and write of memory: hence the fences.
 */
#if defined(__x86_64__) && defined(__linux__) && !defined(TUTTI_DOUBLE)
#include "tiling.h"
#include "variants.h"
#include "x86.h"

enum { REGISTERS = 8, REGISTER_ROWS = 16, LINE = 64 };

#define FENCE() __asm__ volatile("" ::: "memory")

/* What the registers are set to: the layout is the processor's. */
struct layout {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static void begin(void)
{
    static const struct layout layout = {
        .palette = 1,
        .row_bytes = {LINE, LINE, LINE, LINE, LINE, LINE, LINE, LINE},
        .rows = {REGISTER_ROWS, REGISTER_ROWS, REGISTER_ROWS, REGISTER_ROWS,
                 REGISTER_ROWS, REGISTER_ROWS, REGISTER_ROWS, REGISTER_ROWS}};
    FENCE();
    _tile_loadconfig(&layout);
}

static void end(void)
{
    FENCE();
    _tile_release();
}

/* DO(R, AT, J) for each register R of sums that is in use: vector J of the upper 16 rows,
 * which lie at UPPER, and with `both` of the lower ones, at LOWER. */
#define FOR_VECTORS(DO, UPPER, LOWER)                                                    \
    do {                                                                                 \
        DO(0, UPPER, 0);                                                                 \
        if (vectors > 1) {                                                               \
            DO(1, UPPER, 1);                                                             \
        }                                                                                \
        if (vectors > 2) {                                                               \
            DO(2, UPPER, 2);                                                             \
        }                                                                                \
        if (both) {                                                                      \
            DO(3, LOWER, 0);                                                             \
        }                                                                                \
        if (both && vectors > 1) {                                                       \
            DO(4, LOWER, 1);                                                             \
        }                                                                                \
        if (both && vectors > 2) {                                                       \
            DO(5, LOWER, 2);                                                             \
        }                                                                                \
    } while (0)
#define CLEAR(R, FROM, J) _tile_zero(R)
#define LOAD(R, FROM, J) _tile_loadd(R, (FROM) + VECTOR * (J), NR * sizeof(float))
#define STORE(R, TO, J) _tile_stored(R, (TO) + VECTOR * (J), NR * sizeof(float))
/* Vector J of the panel times the rows in register 6; the vector stays in 7. */
#define MULTIPLY(SUMS, J)                                                                \
    _tile_loadd(7, panel + VECTOR * (J), NR * sizeof *panel);                            \
    _tile_dpbf16ps(SUMS, 6, 7)

static void fetch(const struct microtile_bf16 *t, int block)
{
    for (int i = 0; i < t->prefetch_lines; i++)
        _mm_prefetch((const char *)t->prefetch +
                         (size_t)(block * t->prefetch_lines + i) * LINE,
                     _MM_HINT_T1);
}

/* The upper rows go over the panel, then the lower ones, which begin with the vector that
 * is at hand. */
static inline __attribute__((always_inline)) void
multiply_blocks(const struct microtile_bf16 *t, int vectors, int both)
{
    const struct bf16_pair *panel = t->panel;
    const bfloat16 *x = t->x, *lower = x + REGISTER_ROWS * t->ldx;
    size_t row = t->ldx * sizeof *x;
    for (int b = 0; b < t->blocks; b++) {
        fetch(t, b);
        _tile_loadd(6, x, row);
        MULTIPLY(0, 0);
        if (vectors > 1) {
            MULTIPLY(1, 1);
        }
        if (vectors > 2) {
            MULTIPLY(2, 2);
        }
        if (both) {
            _tile_loadd(6, lower, row);
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

static void multiply(const struct microtile_bf16 *t, int vectors, int both)
{
    if (vectors == 3 && both) /* most of them: without questions in the loop */
        multiply_blocks(t, 3, 1);
    else if (vectors == 3)
        multiply_blocks(t, 3, 0);
    else
        multiply_blocks(t, vectors, both);
}

static inline void copy_row(float *to, const float *from, int width)
{
    for (; width >= VECTOR; width -= VECTOR, from += VECTOR, to += VECTOR)
        _mm512_storeu_ps(to, _mm512_loadu_ps(from));
    __mmask16 rest = first_lanes((size_t)width);
    if (rest)
        _mm512_mask_storeu_ps(to, rest, _mm512_maskz_loadu_ps(rest, from));
}

static inline void stream_row(float *to, const float *from, int vectors)
{
    for (int j = 0; j < vectors; j++, from += VECTOR, to += VECTOR)
        _mm512_stream_ps(to, _mm512_load_ps(from));
}

static void microkernel_bf16(const struct microtile_bf16 *t)
{
    _Alignas(64) float sums[MR16 * NR];
    float *lower = sums + REGISTER_ROWS * NR;
    int vectors = ceil_div(t->width, VECTOR), both = t->rows > REGISTER_ROWS;
    if (t->overwrite) {
        FOR_VECTORS(CLEAR, sums, lower);
    } else {
        for (int i = 0; i < t->rows; i++)
            copy_row(sums + i * NR, t->y[i], t->width);
        FENCE();
        FOR_VECTORS(LOAD, sums, lower);
    }
    FENCE();
    multiply(t, vectors, both);
    if (t->contiguous) {
        float *upper = t->y[0];
        lower = upper + REGISTER_ROWS * NR;
        FOR_VECTORS(STORE, upper, lower);
        FENCE();
        return;
    }
    FOR_VECTORS(STORE, sums, lower);
    FENCE();
    for (int i = 0; i < t->rows; i++)
        if (t->nontemporal)
            stream_row(t->y[i], sums + i * NR, vectors);
        else
            copy_row(t->y[i], sums + i * NR, t->width);
}

/* The processor's own instruction rounds as round_bf16 says (kernels.h). */
static void round_bf16(size_t n, const float *x, bfloat16 *y)
{
    for (size_t i = 0; i < n; i += VECTOR) {
        __mmask16 mask = first_lanes(n - i);
        __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + i));
        _mm256_mask_storeu_epi16(y + i, mask, (__m256i)rounded);
    }
}

static void round_bf16_pairs(size_t n, const float *even, const float *odd,
                             struct bf16_pair *y)
{
    for (size_t i = 0; i < n; i += VECTOR) {
        __mmask16 mask = first_lanes(n - i);
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
    kernels->bf16_begin = begin;
    kernels->bf16_end = end;
    kernels->microkernel_bf16 = microkernel_bf16;
    kernels->round_bf16 = round_bf16;
    kernels->round_bf16_pairs = round_bf16_pairs;
}
#else
typedef int amx_not_built; /* C wants a declaration */
#endif
