/* spill: appended pieces are read back, also those larger than the buffer, and even with
 * short and interrupted reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/rng.h"
#include "data/spill.h"

enum {
    PIECES = 4,
    NOTES = 40,
    TOKENS = 90,
    SHIFTED_PIECE = 1, /* its ticks do not count from the start of the tempo map */
    LARGE_PIECE = 2,   /* its notes take more than the 1 MiB of the buffer */
    LARGE_NOTES = 70000,
    NOTES_MAX = LARGE_NOTES,
    NOTES_TICKS = 2 * 400000, /* in which the notes of a piece begin, about half of it */
    TEMPO_TICKS = 100000,
    DIVISION = 480
};

static size_t read_limit = 1 << 20; /* bytes returned per read */
static int calls;

/* Replaces the system's pread: short reads, every third one interrupted. */
ssize_t pread(int descriptor, void *bytes, size_t size, off_t offset)
{
    struct iovec part = {bytes, size < read_limit ? size : read_limit};
    if (++calls % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    return preadv(descriptor, &part, 1, offset);
}

static const uint64_t tempos[] = {500000, 250000, 700000, 400001};

/* The first piece has a single tempo; the others have all, each for TEMPO_TICKS. */
static size_t tempo_count(uint64_t number)
{
    return number == 0 ? 1 : sizeof tempos / sizeof *tempos;
}

struct piece {
    struct note note[NOTES_MAX];
    token token[TOKENS];
    size_t notes;
    struct tempo_point points[sizeof tempos / sizeof *tempos];
    struct tempo_map map;
    uint32_t origin;
    struct spill_piece spilled;
};

/* Tick by tempo: microseconds x DIVISION from the start of the map. */
static uint64_t units_at(size_t count, uint64_t tick)
{
    uint64_t units = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t ticks = i + 1 < count && tick > TEMPO_TICKS ? TEMPO_TICKS : tick;
        units += ticks * tempos[i];
        tick -= ticks;
    }
    return units;
}

static void set_seconds(const struct piece *piece, struct note *note)
{
    size_t count = piece->map.count;
    uint64_t origin = units_at(count, piece->origin);
    uint64_t start = units_at(count, (uint64_t)piece->origin + note->start_tick);
    uint64_t end = units_at(count, (uint64_t)piece->origin + note->start_tick +
                                       note->duration_ticks);
    note->start = (double)(start - origin) / (1e6 * DIVISION);
    note->duration = (double)(end - start) / (1e6 * DIVISION);
}

static void make_map(uint64_t number, struct piece *piece)
{
    piece->map = (struct tempo_map){.points = piece->points,
                                    .count = tempo_count(number),
                                    .units_per_second = 1e6 * DIVISION};
    for (uint32_t i = 0; i < piece->map.count; i++)
        piece->points[i] = (struct tempo_point){
            .elapsed = units_at(piece->map.count, (uint64_t)i * TEMPO_TICKS),
            .tick = i * TEMPO_TICKS,
            .units_per_tick = (uint32_t)tempos[i]};
}

static void make_piece(uint64_t number, struct piece *piece)
{
    memset(piece, 0, sizeof *piece);
    make_map(number, piece);
    piece->notes = number == LARGE_PIECE ? LARGE_NOTES : NOTES;
    piece->origin = number == SHIFTED_PIECE ? TEMPO_TICKS + 7 : 0;
    uint32_t tick = 0;
    for (uint64_t i = 0; i < piece->notes; i++) {
        uint64_t draw = rng_below(1 << 30, 1, RNG_TEST, number, i, 0);
        tick += (uint32_t)(draw % (NOTES_TICKS / piece->notes));
        piece->note[i] = (struct note){.start_tick = tick,
                                       .duration_ticks = (uint32_t)(draw >> 12) % 5000,
                                       .track = (uint16_t)draw,
                                       .pitch = (uint8_t)(draw >> 3),
                                       .velocity = (uint8_t)(draw >> 5),
                                       .program = (uint8_t)(draw >> 7),
                                       .channel = (uint8_t)(draw >> 9),
                                       .percussion = draw >> 11 & 1,
                                       .port = (uint8_t)(draw >> 13)};
        set_seconds(piece, &piece->note[i]);
    }
    for (uint64_t i = 0; i < TOKENS; i++)
        piece->token[i] = (token)rng_below(65536, 1, RNG_TEST, number, i, 1);
}

static enum status append(struct spill_writer *spill, struct piece *piece)
{
    const struct notes notes = {.items = piece->note, .count = piece->notes};
    const struct tokens tokens = {.items = piece->token, .count = TOKENS};
    piece->spilled.tokens = TOKENS;
    return spill_append(spill, &notes, &piece->map, piece->origin, &tokens,
                        &piece->spilled.offset);
}

static void write_pieces(const char *directory, struct piece *pieces)
{
    struct spill_writer spill;
    assert_int_equal(spill_create(directory, 0, &spill), STATUS_OK);
    for (uint64_t p = 0; p < PIECES; p++) {
        make_piece(p, &pieces[p]);
        assert_int_equal(append(&spill, &pieces[p]), STATUS_OK);
    }
    assert_int_equal(spill_close(&spill), STATUS_OK);
    spill_free(&spill);
}

/* The notes and the tokens from `skip` on. */
static void check_piece(struct spill_reader *reader, const struct piece *piece,
                        size_t skip)
{
    static struct note notes[NOTES_MAX];
    token tokens[TOKENS];
    size_t count = piece->notes - skip;
    memset(notes, 0, sizeof notes);
    memset(tokens, 0, sizeof tokens);
    assert_int_equal(spill_read_notes(reader, &piece->spilled, skip, count, notes),
                     STATUS_OK);
    assert_memory_equal(notes, piece->note + skip, count * sizeof *notes);
    assert_int_equal(
        spill_read_tokens(reader, &piece->spilled, skip, TOKENS - skip, tokens),
        STATUS_OK);
    assert_memory_equal(tokens, piece->token + skip, (TOKENS - skip) * sizeof *tokens);
}

static void pieces_round_trip_through_short_reads(void **state)
{
    (void)state;
    static struct piece pieces[PIECES];
    static const size_t limits[] = {5, 8, 161, 1 << 20};
    char directory[] = "/tmp/tutti-spill-XXXXXX";
    struct spill_reader reader;
    assert_non_null(mkdtemp(directory));
    write_pieces(directory, pieces);
    spill_reader_open(directory, &reader);
    for (size_t i = 0; i < PIECES * sizeof limits / sizeof *limits; i++) {
        read_limit = limits[i / PIECES];
        check_piece(&reader, &pieces[i % PIECES], i % NOTES);
    }
    struct note notes[NOTES];
    assert_int_equal(
        spill_read_notes(&reader, &pieces[PIECES - 1].spilled, 1, NOTES, notes),
        STATUS_FAILED);
    assert_non_null(strstr(status_message(), "too early"));
    spill_reader_close(&reader);
    spill_remove(directory, 1);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_round_trip_through_short_reads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
