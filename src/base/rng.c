/* rng: Philox4x64-10 from random123; key (seed, purpose), counter (a, b, c, 0). */
#include "rng.h"

#include <math.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <Random123/philox.h>
#pragma GCC diagnostic pop

struct rng_block rng_block(uint64_t seed, enum rng_purpose purpose, uint64_t a,
                           uint64_t b, uint64_t c)
{
    philox4x64_ctr_t counter = {{a, b, c, 0}};
    philox4x64_key_t key = {{seed, (uint64_t)purpose}};
    philox4x64_ctr_t out = philox4x64(counter, key);
    return (struct rng_block){{out.v[0], out.v[1], out.v[2], out.v[3]}};
}

static double unit(uint64_t word)
{
    return (double)(word >> 11) * 0x1p-53;
}

double rng_uniform(uint64_t seed, enum rng_purpose purpose, uint64_t a, uint64_t b,
                   uint64_t c)
{
    return unit(rng_block(seed, purpose, a, b, c).word[0]);
}

static uint64_t scale_to(uint64_t word, uint64_t n)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)word * n) >> 64);
}

uint64_t rng_below(uint64_t n, uint64_t seed, enum rng_purpose purpose, uint64_t a,
                   uint64_t b, uint64_t c)
{
    return scale_to(rng_block(seed, purpose, a, b, c).word[0], n);
}

double rng_normal(uint64_t seed, enum rng_purpose purpose, uint64_t a, uint64_t b,
                  uint64_t c)
{
    const double two_pi = 6.283185307179586;
    struct rng_block block = rng_block(seed, purpose, a, b, c);
    double radius = sqrt(-2.0 * log(1.0 - unit(block.word[0]))); /* 1 - u is in (0, 1] */
    return radius * cos(two_pi * unit(block.word[1]));
}

/* The natural logarithm of x > 0, to about 1e-16, in IEEE operations only: x = m 2^k with
 * m in [sqrt(1/2), sqrt(2)), and log m = 2 artanh s as a series in s = (m - 1) / (m + 1). */
static double exact_log(double x)
{
    const double half_root = 0.7071067811865476, log_2 = 0.6931471805599453;
    int exponent;
    double m = frexp(x, &exponent); /* in [1/2, 1) */
    if (m < half_root) {
        m *= 2;
        exponent--;
    }
    double s = (m - 1) / (m + 1), square = s * s, sum = 0;
    for (int k = 23; k > 0; k -= 2)
        sum = sum * square + 2.0 / k;
    return sum * s + exponent * log_2;
}

double rng_normal_exact(uint64_t seed, enum rng_purpose purpose, uint64_t a, uint64_t b)
{
    double x, square;
    uint64_t draw = 0;
    do {
        struct rng_block block = rng_block(seed, purpose, a, b, draw++);
        double y = 2 * unit(block.word[1]) - 1;
        x = 2 * unit(block.word[0]) - 1;
        square = x * x + y * y;
    } while (square >= 1 || square <= 0);
    return x * sqrt(-2 * exact_log(square) / square);
}

void rng_shuffle(uint32_t *items, size_t count, uint64_t seed, enum rng_purpose purpose,
                 uint64_t a, uint64_t b)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)rng_below(i, seed, purpose, a, b, i);
        uint32_t swapped = items[i - 1];
        items[i - 1] = items[j];
        items[j] = swapped;
    }
}
