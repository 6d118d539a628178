/* notes: order, hash, duration. The order is checked against qsort with the header's
 * definition, field by field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "midi_make.h"
#include "midi/notes.h"

static int compare_by_documented_order(const void *left, const void *right)
{
    const struct note *a = left, *b = right;
    int64_t differences[] = {
        (int64_t)a->start_tick - b->start_tick,
        a->channel - b->channel,
        a->pitch - b->pitch,
        (int64_t)a->duration_ticks - b->duration_ticks,
        a->velocity - b->velocity,
        a->program - b->program,
        a->track - b->track,
        a->port - b->port,
        a->percussion - b->percussion,
    };
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++)
        if (differences[i] != 0)
            return differences[i] < 0 ? -1 : 1;
    return 0;
}

static struct note random_note(uint64_t *state, uint32_t ticks, uint32_t values)
{
    return (struct note){
        .start = draw(state, 1000) / 8.0,
        .duration = draw(state, 1000) / 8.0,
        .start_tick = draw(state, ticks),
        .duration_ticks = draw(state, values) * 77777777,
        .track = (uint16_t)(draw(state, values) * 999),
        .pitch = (uint8_t)draw(state, values),
        .velocity = (uint8_t)(1 + draw(state, values)),
        .program = (uint8_t)draw(state, values),
        .channel = (uint8_t)draw(state, values < 16 ? values : 16),
        .port = (uint8_t)(draw(state, 8) ? 0 : draw(state, values)),
        .percussion = draw(state, values) == 1,
    };
}

/* Distribution of the start ticks of a random piece: as in real files, and adversarial.
 */
enum shape { RANDOM, RUNS, ONE_TICK, DESCENDING, ASCENDING, NEARLY_SORTED, SHAPES };

static struct notes random_notes(uint64_t *state, size_t count, enum shape shape)
{
    struct notes notes = {0};
    uint32_t values = 1 + draw(state, 20);
    uint32_t run = 1 + draw(state, 300);
    for (size_t i = 0; i < count; i++) {
        struct note note = random_note(state, 1 + draw(state, 500), values);
        uint32_t tick = (uint32_t)i;
        if (shape == RUNS)
            note.start_tick = tick % run / 4 * 100;
        else if (shape == ONE_TICK)
            note.start_tick = 5;
        else if (shape == DESCENDING)
            note.start_tick = 100000 - tick / 3;
        else if (shape == ASCENDING)
            note.start_tick = 0xFFFF0000 + tick;
        else if (shape == NEARLY_SORTED)
            note.start_tick = draw(state, 40) ? tick / 4 : draw(state, (uint32_t)count);
        assert_int_equal(notes_append(&notes, &note), STATUS_OK);
    }
    return notes;
}

static void sort_follows_the_documented_order(void **state)
{
    (void)state;
    size_t counts[] = {0, 1, 2, 3, 33, 34, 100, 1000, 5000};
    uint64_t seed = 42;
    for (int shape = 0; shape < SHAPES; shape++)
        for (size_t i = 0; i < 4 * sizeof counts / sizeof *counts; i++) {
            size_t count = counts[i / 4];
            struct notes notes = random_notes(&seed, count, (enum shape)shape);
            struct note *expected = calloc(count + 1, sizeof *expected);
            if (count)
                memcpy(expected, notes.items, count * sizeof *expected);
            qsort(expected, count, sizeof *expected, compare_by_documented_order);
            notes_sort(&notes);
            assert_int_equal(notes.count, count);
            for (size_t n = 0; n < count; n++)
                assert_int_equal(
                    compare_by_documented_order(&notes.items[n], &expected[n]), 0);
            free(expected);
            notes_free(&notes);
        }
}

/* 400 000 notes at one tick, descending: quadratic sorting would take hours. */
static void sort_is_not_quadratic(void **state)
{
    (void)state;
    struct notes notes = {0};
    for (uint32_t i = 0; i < 400000; i++) {
        struct note note = {.start_tick = 1, .duration_ticks = 400000 - i, .velocity = 1};
        assert_int_equal(notes_append(&notes, &note), STATUS_OK);
    }
    notes_sort(&notes);
    for (uint32_t i = 0; i < 400000; i++)
        assert_int_equal(notes.items[i].duration_ticks, i + 1);
    notes_free(&notes);
}

static void hash_depends_on_every_field(void **state)
{
    (void)state;
    uint64_t seed = 3;
    struct notes notes = random_notes(&seed, 300, RANDOM);
    notes.ticks_per_beat = 480;
    struct hash128 hashes[60];
    size_t count = 0;
    size_t indices[] = {0, 127, 128, 299};
    hashes[count++] = notes_hash(&notes);
#define WITH(member, value)                                                              \
    do {                                                                                 \
        notes.member += (value);                                                         \
        hashes[count++] = notes_hash(&notes);                                            \
        notes.member -= (value);                                                         \
    } while (0)
    for (size_t i = 0; i < sizeof indices / sizeof *indices; i++) {
        size_t at = indices[i];
        WITH(items[at].start, 1);
        WITH(items[at].duration, 1);
        WITH(items[at].start_tick, 1);
        WITH(items[at].duration_ticks, 1);
        WITH(items[at].track, 1);
        WITH(items[at].pitch, 1);
        WITH(items[at].velocity, 1);
        WITH(items[at].program, 1);
        WITH(items[at].channel, 1);
        WITH(items[at].port, 1);
        notes.items[at].percussion ^= 1;
        hashes[count++] = notes_hash(&notes);
        notes.items[at].percussion ^= 1;
    }
    WITH(ticks_per_beat, 1);
    WITH(ticks_per_second, 1);
    notes.count--;
    hashes[count++] = notes_hash(&notes);
#undef WITH
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(hash128_compare(hashes[i], hashes[j]), 0);
    notes_free(&notes);
}

/* Files without port numbers and unusual percussion keep the hash from before notes
 * had these fields. */
static void default_port_and_percussion_keep_the_old_hash(void **state)
{
    (void)state;
    struct note items[2];
    for (int i = 0; i < 2; i++)
        items[i] = (struct note){.start = 1,
                                 .duration = 2,
                                 .start_tick = 3,
                                 .duration_ticks = 4,
                                 .track = 5,
                                 .pitch = 6,
                                 .velocity = 7,
                                 .program = 8,
                                 .channel = i ? 1 : 9,
                                 .percussion = i ? 0 : 1};
    struct notes notes = {.items = items, .count = 2, .ticks_per_beat = 480};
    struct hash128 hash = notes_hash(&notes);
    assert_int_equal(hash.high, 0x30a16a87697751e5);
    assert_int_equal(hash.low, 0x8f292030675bd61a);
}

static void duration_is_the_latest_end(void **state)
{
    (void)state;
    struct note items[] = {{.start = 1, .duration = 9}, {.start = 2, .duration = 1}};
    struct notes notes = {.items = items, .count = 2};
    assert_true(notes_duration(&notes) == 10);
    notes.count = 0;
    assert_true(notes_duration(&notes) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sort_follows_the_documented_order),
        cmocka_unit_test(sort_is_not_quadratic),
        cmocka_unit_test(hash_depends_on_every_field),
        cmocka_unit_test(default_port_and_percussion_keep_the_old_hash),
        cmocka_unit_test(duration_is_the_latest_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
