/* window_order: see the header. */
#include "window_order.h"

#include "base/rng.h"

enum { ROUNDS = 8 };

/* Permutes the numbers of 2 * bits bits. */
static uint64_t permute(const struct window_order *order, int bits, uint64_t number)
{
    uint64_t mask = ((uint64_t)1 << bits) - 1;
    uint64_t left = number >> bits, right = number & mask;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct rng_block block = rng_block(order->seed, RNG_WINDOW_ORDER, order->epoch,
                                           order->microbatch, round << 32 | right);
        uint64_t mixed = left ^ (block.word[0] & mask);
        left = right;
        right = mixed;
    }
    return left << bits | right;
}

uint64_t window_order_at(const struct window_order *order, uint64_t position)
{
    int bits = 1;
    while ((uint64_t)1 << 2 * bits < order->count)
        bits++;
    uint64_t number = position;
    do {
        number = permute(order, bits, number);
    } while (number >= order->count);
    return number;
}
