/* blake2s: test vectors of RFC 7693 and, for keyed hashing, those published by its
 * authors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/blake2s.h"

/* Appendix B. */
static void matches_rfc_example(void **state)
{
    (void)state;
    static const uint8_t expected[BLAKE2S_TAG] = {
        0x50, 0x8C, 0x5E, 0x8C, 0x32, 0x7C, 0x14, 0xE2, 0xE1, 0xA7, 0x2B,
        0xA3, 0x4E, 0xEB, 0x45, 0x2F, 0x37, 0x45, 0x8B, 0x20, 0x9E, 0xD6,
        0x3A, 0x29, 0x4D, 0x99, 0x9B, 0x4C, 0x86, 0x67, 0x59, 0x82};
    uint8_t tag[BLAKE2S_TAG];
    blake2s_hash(tag, sizeof tag, NULL, 0, "abc", 3);
    assert_memory_equal(tag, expected, sizeof tag);
}

/* blake2s-kat.txt: key 00 01 .. 1f; no input, and input 00 01 .. fe. */
static void matches_keyed_vectors(void **state)
{
    (void)state;
    static const uint8_t none[BLAKE2S_TAG] = {
        0x48, 0xa8, 0x99, 0x7d, 0xa4, 0x07, 0x87, 0x6b, 0x3d, 0x79, 0xc0,
        0xd9, 0x23, 0x25, 0xad, 0x3b, 0x89, 0xcb, 0xb7, 0x54, 0xd8, 0x6a,
        0xb7, 0x1a, 0xee, 0x04, 0x7a, 0xd3, 0x45, 0xfd, 0x2c, 0x49};
    static const uint8_t most[BLAKE2S_TAG] = {
        0x3f, 0xb7, 0x35, 0x06, 0x1a, 0xbc, 0x51, 0x9d, 0xfe, 0x97, 0x9e,
        0x54, 0xc1, 0xee, 0x5b, 0xfa, 0xd0, 0xa9, 0xd8, 0x58, 0xb3, 0x31,
        0x5b, 0xad, 0x34, 0xbd, 0xe9, 0x99, 0xef, 0xd7, 0x24, 0xdd};
    uint8_t bytes[255], tag[BLAKE2S_TAG];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    blake2s_hash(tag, sizeof tag, bytes, BLAKE2S_KEY, NULL, 0);
    assert_memory_equal(tag, none, sizeof tag);
    blake2s_hash(tag, sizeof tag, bytes, BLAKE2S_KEY, bytes, sizeof bytes);
    assert_memory_equal(tag, most, sizeof tag);
}

/* Appendix E's bytes: a Fibonacci sequence. */
static void fill(uint8_t *out, size_t size, uint32_t seed)
{
    uint32_t a = 0xDEAD4BAD * seed, b = 1;
    for (size_t i = 0; i < size; i++) {
        uint32_t t = a + b;
        a = b;
        b = t;
        out[i] = (uint8_t)(t >> 24);
    }
}

/* Appendix E: one hash over the hashes of many sizes, with and without a key. */
static void matches_rfc_self_test(void **state)
{
    (void)state;
    static const uint8_t expected[BLAKE2S_TAG] = {
        0x6A, 0x41, 0x1F, 0x08, 0xCE, 0x25, 0xAD, 0xCD, 0xFB, 0x02, 0xAB,
        0xA6, 0x41, 0x45, 0x1C, 0xEC, 0x53, 0xC5, 0x98, 0xB2, 0x4F, 0x4F,
        0xC7, 0x87, 0xFB, 0xDC, 0x88, 0x79, 0x7F, 0x4C, 0x1D, 0xFE};
    static const size_t tags[] = {16, 20, 28, 32};
    static const size_t sizes[] = {0, 3, 64, 65, 255, 1024};
    uint8_t in[1024], key[BLAKE2S_KEY], all[4 * 6 * 2 * BLAKE2S_TAG], tag[BLAKE2S_TAG];
    size_t used = 0;
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 6; j++) {
            fill(in, sizes[j], (uint32_t)sizes[j]);
            blake2s_hash(all + used, tags[i], NULL, 0, in, sizes[j]);
            used += tags[i];
            fill(key, tags[i], (uint32_t)tags[i]);
            blake2s_hash(all + used, tags[i], key, tags[i], in, sizes[j]);
            used += tags[i];
        }
    blake2s_hash(tag, sizeof tag, NULL, 0, all, used);
    assert_memory_equal(tag, expected, sizeof tag);
}

static void equal_compares_every_bit(void **state)
{
    (void)state;
    uint8_t a[16] = {7}, b[16];
    for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
        memcpy(b, a, sizeof a);
        assert_true(blake2s_equal(a, b, sizeof a));
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(blake2s_equal(a, b, sizeof a));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_rfc_example),
        cmocka_unit_test(matches_keyed_vectors),
        cmocka_unit_test(matches_rfc_self_test),
        cmocka_unit_test(equal_compares_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
