/* rng: counter-based random numbers (Philox4x64-10; Salmon, Moraes, Dror, Shaw: "Parallel
 * random numbers: as easy as 1, 2, 3", SC 2011), from the random123 library.
 *
 * There is no generator state: a number is a function of (seed, purpose, a, b, c), where
 * a, b, c identify it within its purpose (for example step, row, position). So results
 * are independent of the calling rank, the order of calls and the number of ranks.
 */
#ifndef TUTTI_BASE_RNG_H
#define TUTTI_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* The purpose of a number: half of the key. Results depend on these values, so only
 * append to them. */
enum rng_purpose {
    RNG_INITIALISE = 1, /* a = tensor index, b = element, c = draw */
    RNG_DROPOUT = 2,    /* a = step, b = layer << 32 | global row, c = block of units;
                         * layer 2^16 is the embedding */
    RNG_SHUFFLE = 3,    /* a = microbatch epoch, b = microbatch, c = draw */
    RNG_SAMPLE = 4,     /* a = piece, b = position */
    RNG_COMPOSE = 5,    /* a = piece, b = draw */
    RNG_SPLIT = 6,      /* a, b = hash of the notes */
    RNG_TEST = 7,       /* tests and benchmarks */
    /* a = microbatch epoch, b = microbatch, c = position in the queue * 4 + property */
    RNG_AUGMENTATION = 8,
    RNG_DROPOUT_EMBEDDING = 9,  /* a = step, c = block of tokens */
    RNG_DROPOUT_RECURRENT = 10, /* a = step, b = layer, c = block of elements */
    /* a = microbatch epoch, b = microbatch, c = round << 32 | half of a number */
    RNG_WINDOW_ORDER = 11
};

struct rng_block {
    uint64_t word[4];
};

/* Four independent uniform 64-bit words. */
struct rng_block rng_block(uint64_t seed, enum rng_purpose purpose, uint64_t a,
                           uint64_t b, uint64_t c);

/* Uniform in [0, 1), 53 bits. */
double rng_uniform(uint64_t seed, enum rng_purpose purpose, uint64_t a, uint64_t b,
                   uint64_t c);

/* Uniform integer in [0, n), n >= 1 (multiply-high; bias below n / 2^64). */
uint64_t rng_below(uint64_t n, uint64_t seed, enum rng_purpose purpose, uint64_t a,
                   uint64_t b, uint64_t c);

/* Standard normal (Box and Muller 1958, on one block). */
double rng_normal(uint64_t seed, enum rng_purpose purpose, uint64_t a, uint64_t b,
                  uint64_t c);

/* Standard normal, computed without the functions of libm, whose last bits differ between
 * systems (polar method: Marsaglia and Bray 1964; draws c, from 0 on, until one is
 * accepted). */
double rng_normal_exact(uint64_t seed, enum rng_purpose purpose, uint64_t a, uint64_t b);

/* Shuffles items[0..count) (Fisher and Yates): the permutation depends only on count and
 * (seed, purpose, a, b). */
void rng_shuffle(uint32_t *items, size_t count, uint64_t seed, enum rng_purpose purpose,
                 uint64_t a, uint64_t b);

#endif
