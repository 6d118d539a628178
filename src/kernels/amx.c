/* amx: the kernels of avx512, with the processor's matrix registers for products of
 * bfloat16. Their order of sums is that of the other sets (kernels.h).
 *
 * There are eight registers of 16 rows of 64 bytes: six hold sums, for 32 rows and a panel,
 * one 16 rows of x and one 16 outputs, both of BLOCK16 inputs. The system grants their use
 * to a process that asks.
 */
#if defined(__x86_64__) && defined(__linux__) && !defined(TUTTI_DOUBLE)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "variants.h"

enum { HALF = TILE16_ROWS / 2, LINE = 64 };

/* What a thread's matrix registers are set to: the layout is the processor's. */
struct layout {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static void set_registers(void)
{
    static _Thread_local int done;
    struct layout layout = {.palette = 1};
    if (done)
        return;
    for (int i = 0; i < 8; i++) {
        layout.rows[i] = HALF;
        layout.row_bytes[i] = LINE;
    }
    _tile_loadconfig(&layout);
    done = 1;
}

/* For one to three vectors of results: the sums of the upper 16 rows are registers 0 to 2,
 * of the lower 3 to 5. */
#define FOR_VECTORS(DO, A, B, C)                                                         \
    do {                                                                                 \
        DO(A, 0);                                                                        \
        if (vectors > 1)                                                                 \
            DO(B, 1);                                                                    \
        if (vectors > 2)                                                                 \
            DO(C, 2);                                                                    \
    } while (0)
#define CLEAR(REGISTER, J) _tile_zero(REGISTER)
#define LOAD(REGISTER, J) _tile_loadd(REGISTER, from + VECTOR * (J), PANEL * sizeof(float))
#define STORE(REGISTER, J) _tile_stored(REGISTER, to + VECTOR * (J), PANEL * sizeof(float))
#define MULTIPLY_UPPER(REGISTER, J)                                                      \
    _tile_loadd(7, panel + VECTOR * (J), PANEL * sizeof *panel);                         \
    _tile_dpbf16ps(REGISTER, 6, 7)

/* A panel's 16 outputs serve both halves while they are at hand. */
#define MULTIPLY_BOTH(UPPER, LOWER, J)                                                   \
    _tile_loadd(7, panel + VECTOR * (J), PANEL * sizeof *panel);                         \
    _tile_loadd(6, x, row);                                                              \
    _tile_dpbf16ps(UPPER, 6, 7);                                                         \
    _tile_loadd(6, x + HALF * t->pitch, row);                                            \
    _tile_dpbf16ps(LOWER, 6, 7)

static void fetch(const struct tile16 *t, int block)
{
    const char *soon = (const char *)t->soon + (size_t)block * (size_t)t->lines * LINE;
    for (int i = 0; i < t->lines; i++)
        _mm_prefetch(soon + i * LINE, _MM_HINT_T1);
}

static void multiply_upper(const struct tile16 *t, int vectors)
{
    const struct pair16 *panel = t->panel;
    const bfloat16 *x = t->x;
    size_t row = t->pitch * sizeof *x;
    for (int b = 0; b < t->blocks; b++, x += BLOCK16, panel += BLOCK16 / 2 * PANEL) {
        fetch(t, b);
        _tile_loadd(6, x, row);
        FOR_VECTORS(MULTIPLY_UPPER, 0, 1, 2);
    }
}

static void multiply_both(const struct tile16 *t, int vectors)
{
    const struct pair16 *panel = t->panel;
    const bfloat16 *x = t->x;
    size_t row = t->pitch * sizeof *x;
    for (int b = 0; b < t->blocks; b++, x += BLOCK16, panel += BLOCK16 / 2 * PANEL) {
        fetch(t, b);
        MULTIPLY_BOTH(0, 3, 0);
        if (vectors > 1) {
            MULTIPLY_BOTH(1, 4, 1);
        }
        if (vectors > 2) {
            MULTIPLY_BOTH(2, 5, 2);
        }
    }
}

static void clear_sums(int vectors)
{
    FOR_VECTORS(CLEAR, 0, 1, 2);
    FOR_VECTORS(CLEAR, 3, 4, 5);
}

static void load_sums(const float *from, int vectors)
{
    FOR_VECTORS(LOAD, 0, 1, 2);
    from += HALF * PANEL;
    FOR_VECTORS(LOAD, 3, 4, 5);
}

static void store_sums(float *to, int vectors)
{
    FOR_VECTORS(STORE, 0, 1, 2);
    to += HALF * PANEL;
    FOR_VECTORS(STORE, 3, 4, 5);
}

static inline void copy_row(float *to, const float *from, int width)
{
    for (; width >= VECTOR; width -= VECTOR, from += VECTOR, to += VECTOR)
        _mm512_storeu_ps(to, _mm512_loadu_ps(from));
    __mmask16 rest = (__mmask16)((1u << width) - 1);
    if (rest)
        _mm512_mask_storeu_ps(to, rest, _mm512_maskz_loadu_ps(rest, from));
}

static void tile16(const struct tile16 *t)
{
    _Alignas(64) float sums[TILE16_ROWS * PANEL];
    int vectors = (t->width + VECTOR - 1) / VECTOR;
    set_registers();
    if (t->fresh) {
        clear_sums(vectors);
    } else {
        for (int i = 0; i < t->rows; i++)
            copy_row(sums + i * PANEL, t->y[i], t->width);
        load_sums(sums, vectors);
    }
    if (t->rows > HALF)
        multiply_both(t, vectors);
    else
        multiply_upper(t, vectors);
    store_sums(sums, vectors);
    for (int i = 0; i < t->rows; i++)
        copy_row(t->y[i], sums + i * PANEL, t->width);
}

/* The processor has the instructions, and the system grants the registers. */
static int is_there(void)
{
    enum { REQUEST = 0x1023, MATRIX_REGISTERS = 18, BFLOAT16 = 1 << 22, TILES = 1 << 24 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    return (d & BFLOAT16) && (d & TILES) &&
           syscall(SYS_arch_prctl, REQUEST, MATRIX_REGISTERS) == 0;
}

const struct kernels *kernels_amx(void)
{
    static struct kernels amx;
    if (!amx.name && kernels_named("avx512") && is_there()) {
        amx = kernels_avx512;
        amx.tile16 = tile16;
        amx.name = "amx";
    }
    return amx.name ? &amx : NULL;
}
#else
typedef int kernels_amx_not_built; /* C wants a declaration */
#endif
