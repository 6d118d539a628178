/* midi_read on damaged files: for any bytes it reads only within them (checked by the
 * sanitizers) and gives a single, reproducible outcome. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "midi_expect.h"
#include "midi_invariants.h"

static size_t outcomes[3];

static void check(const struct bytes *bytes, const char *what, uint64_t seed,
                  struct midi_file *file)
{
    uint8_t *exact = malloc(bytes->count ? bytes->count : 1);
    if (bytes->count)
        memcpy(exact, bytes->items, bytes->count);
    struct midi_limits limits = {.max_notes = seed % 7 == 0 ? 20 : 0};
    const char *fault = midi_read_fault(exact, bytes->count, &limits, file);
    if (fault)
        fail_msg("%s, seed %d: not %s", what, (int)seed, fault);
    outcomes[file->outcome]++;
    free(exact);
}

static void conforming_files_are_ok(void **state)
{
    (void)state;
    struct midi_file file = {0};
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct bytes bytes = {0};
        put_random_file(&bytes, seed, 0);
        memset(outcomes, 0, sizeof outcomes);
        check(&bytes, "conforming", 7 * seed + 1, &file);
        assert_int_equal(outcomes[MIDI_OK], 1);
        free_bytes(&bytes);
    }
    midi_free(&file);
}

static void truncated_files_have_one_outcome(void **state)
{
    (void)state;
    struct midi_file file = {0};
    memset(outcomes, 0, sizeof outcomes);
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct bytes bytes = {0};
        put_random_file(&bytes, seed, 0);
        for (size_t size = bytes.count; size-- > 0;) {
            bytes.count = size;
            check(&bytes, "cut", seed, &file);
        }
        free_bytes(&bytes);
    }
    assert_int_equal(outcomes[MIDI_OK], 0);
    assert_true(outcomes[MIDI_REPAIRED] > 1000);
    midi_free(&file);
}

/* A few changes as they occur in practice: flipped bits; lost, duplicated and foreign
 * bytes.
 */
static void damage(struct bytes *bytes, uint64_t *state)
{
    for (uint32_t times = 1 + draw(state, 6); times > 0; times--) {
        if (bytes->count < 8)
            return;
        size_t at = draw(state, (uint32_t)bytes->count - 4);
        uint8_t *here = bytes->items + at;
        size_t rest = bytes->count - at - 4;
        switch (draw(state, 5)) {
        case 0:
            here[0] ^= (uint8_t)(1u << draw(state, 8));
            break;
        case 1:
            memmove(here, here + 4, rest);
            bytes->count -= 1 + draw(state, 4);
            break;
        case 2:
            memmove(here + 3, here, rest);
            break;
        case 3:
            memcpy(here, draw(state, 2) ? "MTrk" : "\xFF\x2F\0\0", 4);
            break;
        default:
            memset(here, (int)draw(state, 256), 4);
        }
    }
}

static void damaged_files_have_one_outcome(void **state)
{
    (void)state;
    struct midi_file file = {0};
    memset(outcomes, 0, sizeof outcomes);
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct bytes bytes = {0};
        uint64_t draws = seed;
        put_random_file(&bytes, seed, 0);
        damage(&bytes, &draws);
        check(&bytes, "damaged", seed, &file);
        free_bytes(&bytes);
    }
    assert_true(outcomes[MIDI_REPAIRED] > 1000);
    assert_true(outcomes[MIDI_SKIPPED] > 10);
    midi_free(&file);
}

static void random_bytes_have_one_outcome(void **state)
{
    (void)state;
    struct midi_file file = {0};
    memset(outcomes, 0, sizeof outcomes);
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct bytes bytes = {0};
        uint64_t draws = seed;
        size_t begin = 0;
        if (seed % 4) {
            put_header(&bytes, (int)draw(&draws, 3), 1, 96);
            begin = begin_track(&bytes);
        }
        for (uint32_t count = draw(&draws, 600); count > 0; count--)
            PUT(&bytes, (uint8_t)draw(&draws, 256));
        if (begin)
            end_track(&bytes, begin);
        check(&bytes, "noise", seed, &file);
        free_bytes(&bytes);
    }
    assert_true(outcomes[MIDI_REPAIRED] > 600 && outcomes[MIDI_SKIPPED] >= 250);
    midi_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conforming_files_are_ok),
        cmocka_unit_test(truncated_files_have_one_outcome),
        cmocka_unit_test(damaged_files_have_one_outcome),
        cmocka_unit_test(random_bytes_have_one_outcome),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
