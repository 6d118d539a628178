/* blake2s: see the header. Names and structure follow RFC 7693. */
#include "blake2s.h"

#include <stdint.h>
#include <string.h>

enum { BLOCK = 64, WORD = 4, WORDS = 8, ROUNDS = 10 };

static const uint32_t iv[WORDS] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                   0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

static const uint8_t sigma[ROUNDS][2 * WORDS] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint32_t load(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint32_t rotate(uint32_t x, int bits)
{
    return x >> bits | x << (32 - bits);
}

/* The mixing function G. */
static void mix(uint32_t v[2 * WORDS], int a, int b, int c, int d, uint32_t x, uint32_t y)
{
    v[a] = v[a] + v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] = v[c] + v[d];
    v[b] = rotate(v[b] ^ v[c], 12);
    v[a] = v[a] + v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 8);
    v[c] = v[c] + v[d];
    v[b] = rotate(v[b] ^ v[c], 7);
}

/* The compression function F; `count`: message bytes up to the end of this block. */
static void compress(uint32_t h[WORDS], const uint8_t block[BLOCK], uint64_t count,
                     bool last)
{
    uint32_t v[2 * WORDS], m[2 * WORDS];
    memcpy(v, h, sizeof iv);
    memcpy(v + WORDS, iv, sizeof iv);
    v[12] ^= (uint32_t)count;
    v[13] ^= (uint32_t)(count >> 32);
    if (last)
        v[14] = ~v[14];
    for (int i = 0; i < 2 * WORDS; i++)
        m[i] = load(block + (size_t)i * WORD);
    for (int r = 0; r < ROUNDS; r++) {
        const uint8_t *s = sigma[r];
        for (int i = 0; i < 4; i++) /* columns, then diagonals */
            mix(v, i, i + 4, i + 8, i + 12, m[s[2 * i]], m[s[2 * i + 1]]);
        for (int i = 0; i < 4; i++)
            mix(v, i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12, m[s[8 + 2 * i]],
                m[s[9 + 2 * i]]);
    }
    for (int i = 0; i < WORDS; i++)
        h[i] ^= v[i] ^ v[i + WORDS];
}

void blake2s_hash(void *tag, size_t tag_size, const void *key, size_t key_size,
                  const void *bytes, size_t size)
{
    uint32_t h[WORDS];
    uint8_t block[BLOCK] = {0};
    const uint8_t *at = bytes;
    uint64_t count = 0;
    memcpy(h, iv, sizeof iv);
    h[0] ^= 0x01010000 ^ (uint32_t)key_size << 8 ^ (uint32_t)tag_size;
    if (key_size > 0) {
        memcpy(block, key, key_size);
        count = BLOCK;
        compress(h, block, count, size == 0);
    }
    for (; size > BLOCK; size -= BLOCK, at += BLOCK)
        compress(h, at, count += BLOCK, false);
    if (size > 0 || key_size == 0) {
        memset(block, 0, sizeof block);
        if (size > 0)
            memcpy(block, at, size);
        compress(h, block, count + size, true);
    }
    for (size_t i = 0; i < tag_size; i++)
        ((uint8_t *)tag)[i] = (uint8_t)(h[i / WORD] >> 8 * (i % WORD));
}

bool blake2s_equal(const void *a, const void *b, size_t size)
{
    const volatile uint8_t *left = a, *right = b;
    uint8_t different = 0;
    for (size_t i = 0; i < size; i++)
        different |= left[i] ^ right[i];
    return different == 0;
}
