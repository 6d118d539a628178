/* window_order: a random order of the numbers from 0 to count - 1 that takes no memory, so
 * that a run can resume anywhere in it.
 *
 * A Feistel network permutes the numbers of 2 k bits, 4^k >= count, and a number that is
 * not below `count` is permuted again until it is (Black and Rogaway: "Ciphers with
 * arbitrary finite domains", 2002). The round function is rng.h's.
 */
#ifndef TUTTI_DATA_WINDOW_ORDER_H
#define TUTTI_DATA_WINDOW_ORDER_H

#include <stdint.h>

struct window_order {
    uint64_t count; /* from 1 to 2^62 */
    uint64_t seed, epoch, microbatch;
};

/* The number at `position`, from 0 to count - 1; a function of nothing but the arguments.
 */
uint64_t window_order_at(const struct window_order *order, uint64_t position);

#endif
