/* base: status, hash, rng, file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remove_tree.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/status.h"

static void message_may_include_itself(void **state)
{
    (void)state;
    status_fail(STATUS_FAILED, "inner %d", 7);
    assert_int_equal(status_fail(STATUS_MISUSE, "outer: %s", status_message()),
                     STATUS_MISUSE);
    assert_string_equal(status_message(), "outer: inner 7");
}

struct two_arrays {
    char *bytes;
    double *numbers;
    void *empty;
};

static size_t resident_bytes(void)
{
    size_t total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%zu %zu", &total, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void memory_is_used_when_written(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    const bool is_measured = false; /* its allocator writes zeros */
#else
    const bool is_measured = true;
#endif
    const size_t large = (size_t)64 << 20, sizes[] = {0, 1, 100, 3 << 20, large};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i / 2], before = resident_bytes();
        char *memory = memory_zeroed(size); /* the second time it may be reused */
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 64, 0);
        if (size == large && is_measured)
            assert_true(resident_bytes() < before + size / 8);
        for (size_t j = 0; j < size; j += 99)
            assert_int_equal(memory[j], 0);
        memset(memory, 1, size);
        if (size == large && is_measured)
            assert_true(resident_bytes() > before + size / 2);
        memory_free(memory);
    }
    memory_free(NULL);
}

static void plan_arrays(struct two_arrays *arrays, struct arena *arena, size_t count)
{
    arrays->bytes = arena_array(arena, 3, 1);
    arrays->numbers = arena_array(arena, count, sizeof(double));
    arrays->empty = arena_array(arena, 0, sizeof(double));
}

static void arena_places_measured_arrays(void **state)
{
    (void)state;
    const size_t counts[] = {1, 100, (1 << 21) / sizeof(double), 1000000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct arena arena = {0};
        struct two_arrays arrays;
        plan_arrays(&arrays, &arena, counts[i]);
        assert_null(arrays.bytes);
        assert_null(arrays.numbers);
        size_t measured = arena.used;
        assert_true(arena_allocate(&arena));
        plan_arrays(&arrays, &arena, counts[i]);
        assert_int_equal(arena.used, measured);
        assert_null(arrays.empty);
        assert_true((char *)arrays.numbers >= arrays.bytes + 3);
        assert_true((char *)(arrays.numbers + counts[i]) <= arena.block + arena.size);
        assert_int_equal((uintptr_t)arrays.numbers % 64, 0);
        for (size_t k = 0; k < counts[i]; k++)
            assert_true(arrays.numbers[k] == 0);
        memset(arrays.numbers, 1, counts[i] * sizeof(double));
        assert_null(arena_array(&arena, 1 << 22, 1)); /* not in the measuring pass */
        arena_free(&arena);
        assert_int_equal(arena.used, 0);
    }
}

static void arena_rejects_overflowing_sizes(void **state)
{
    (void)state;
    struct arena product = {0}, sum = {0}, large = {0};
    arena_array(&product, SIZE_MAX / 2, 4);
    assert_false(arena_allocate(&product));
    arena_array(&sum, SIZE_MAX / 2, 1);
    arena_array(&sum, SIZE_MAX / 2, 1);
    assert_false(arena_allocate(&sum));
    arena_array(&large, SIZE_MAX - 10, 1);
    assert_false(arena_allocate(&large));
}

static void rng_depends_on_every_key_part(void **state)
{
    (void)state;
    struct rng_block base = rng_block(1, RNG_TEST, 2, 3, 4);
    struct rng_block others[] = {
        rng_block(2, RNG_TEST, 2, 3, 4), rng_block(1, RNG_SAMPLE, 2, 3, 4),
        rng_block(1, RNG_TEST, 3, 3, 4), rng_block(1, RNG_TEST, 2, 4, 4),
        rng_block(1, RNG_TEST, 2, 3, 5),
    };
    struct rng_block again = rng_block(1, RNG_TEST, 2, 3, 4);
    assert_memory_equal(&base, &again, sizeof base);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_memory_not_equal(&base, &others[i], sizeof base);
}

static void rng_has_expected_moments(void **state)
{
    (void)state;
    enum { N = 100000 };
    double mean = 0, square = 0, normal = 0, normal_square = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = rng_uniform(5, RNG_TEST, i, 0, 0);
        double z = rng_normal(5, RNG_TEST, i, 1, 0);
        assert_true(u >= 0 && u < 1);
        mean += u / N;
        square += u * u / N;
        normal += z / N;
        normal_square += z * z / N;
    }
    /* within five standard errors */
    assert_true(mean > 0.5 - 0.0046 && mean < 0.5 + 0.0046);
    assert_true(square > 1.0 / 3 - 0.0048 && square < 1.0 / 3 + 0.0048);
    assert_true(normal > -0.016 && normal < 0.016);
    assert_true(normal_square > 1 - 0.023 && normal_square < 1 + 0.023);
}

static void hash_text_round_trips(void **state)
{
    (void)state;
    static const char *const others[] = {"",
                                         "0123456789abcde",
                                         "0123456789abcdef0",
                                         "-123456789abcdef",
                                         "+123456789abcdef",
                                         " 123456789abcdef",
                                         "0x23456789abcdef",
                                         "0123456789ABCDEF"};
    uint64_t hash = 0;
    assert_true(hash64_parse("fedcba9876543210", &hash));
    assert_int_equal(hash, UINT64_C(0xfedcba9876543210));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(hash64_parse(others[i], &hash));
}

static void shuffle_is_a_permutation(void **state)
{
    (void)state;
    enum { N = 1000 };
    uint32_t items[N];
    int seen[N] = {0}, moved = 0;
    for (uint32_t i = 0; i < N; i++)
        items[i] = i;
    rng_shuffle(items, N, 9, RNG_SHUFFLE, 1, 2);
    for (uint32_t i = 0; i < N; i++) {
        seen[items[i]]++;
        moved += items[i] != i;
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(seen[i], 1);
    assert_true(moved > 900);
}

static void publish_is_atomic(void **state)
{
    (void)state;
    char directory[] = "/tmp/tutti-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    char *nested = path_join(directory, "a/b/c");
    char *path = path_join(nested, "file");
    assert_int_equal(file_make_directories(nested), STATUS_OK);
    assert_int_equal(file_write(path, "hello", 5), STATUS_OK);
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
    assert_int_equal(size, 5);
    assert_memory_equal(bytes, "hello", 5);
    free(bytes);
    assert_int_equal(file_read(path, 4, &bytes, &size), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "limit of 4"));
    assert_int_equal(file_write("/nonexistent/file", "x", 1), STATUS_FAILED);
    assert_int_equal(file_remove_tree(directory), STATUS_OK);
    assert_false(file_exists(directory));
    free(path);
    free(nested);
}

static void growing_array_keeps_items(void **state)
{
    (void)state;
    uint32_t *items = NULL;
    size_t capacity = 0;
    int moves = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        size_t before = capacity;
        items = array_reserve(items, &capacity, i + 1, sizeof *items);
        assert_non_null(items);
        assert_true(capacity > i);
        moves += capacity != before;
        items[i] = i * i;
    }
    assert_in_range(moves, 1, 20);
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(items[i], i * i);
    size_t held = capacity;
    const size_t impossible[] = {SIZE_MAX / sizeof *items + 1, SIZE_MAX};
    for (size_t i = 0; i < 2; i++) {
        status_set_message("");
        assert_null(array_reserve(items, &capacity, impossible[i], sizeof *items));
        assert_non_null(strstr(status_message(), "no memory for "));
        assert_int_equal(capacity, held);
        assert_int_equal(items[9999], 9999u * 9999u);
    }
    free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growing_array_keeps_items),
        cmocka_unit_test(memory_is_used_when_written),
        cmocka_unit_test(arena_places_measured_arrays),
        cmocka_unit_test(arena_rejects_overflowing_sizes),
        cmocka_unit_test(message_may_include_itself),
        cmocka_unit_test(rng_depends_on_every_key_part),
        cmocka_unit_test(rng_has_expected_moments),
        cmocka_unit_test(hash_text_round_trips),
        cmocka_unit_test(shuffle_is_a_permutation),
        cmocka_unit_test(publish_is_atomic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
