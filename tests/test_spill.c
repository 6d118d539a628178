/* spill: appended pieces are read back column by column, even with short and interrupted
 * reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "data/schema.h"
#include "data/spill.h"

enum { PIECES = 3, NOTES = 40, TOKENS = 90, PARTS = NOTE_COLUMNS + 1 };

static size_t read_limit = 1 << 20; /* bytes returned per read */
static int calls;

/* Replaces the system's preadv: short reads, every third one interrupted. */
ssize_t preadv(int descriptor, const struct iovec *parts, int count, off_t offset)
{
    size_t remaining = read_limit, total = 0;
    if (++calls % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    for (int i = 0; i < count && remaining > 0; i++) {
        size_t size = parts[i].iov_len < remaining ? parts[i].iov_len : remaining;
        ssize_t bytes_read =
            pread(descriptor, parts[i].iov_base, size, offset + (off_t)total);
        if (bytes_read < 0)
            return -1;
        total += (size_t)bytes_read;
        remaining -= size;
        if ((size_t)bytes_read < size)
            break;
    }
    return (ssize_t)total;
}

struct piece {
    struct note note[NOTES];
    token token[TOKENS];
    uint64_t offset;
};

static void make_piece(uint64_t number, struct piece *piece)
{
    memset(piece, 0, sizeof *piece);
    for (uint64_t i = 0; i < NOTES; i++) {
        uint64_t draw = rng_below(1 << 30, 1, RNG_TEST, number, i, 0);
        piece->note[i] = (struct note){.start = (double)draw / 7,
                                       .duration = (double)draw / 11,
                                       .start_tick = (uint32_t)draw,
                                       .duration_ticks = (uint32_t)draw / 3,
                                       .track = (uint16_t)draw,
                                       .pitch = (uint8_t)(draw >> 3),
                                       .velocity = (uint8_t)(draw >> 5),
                                       .program = (uint8_t)(draw >> 7),
                                       .channel = (uint8_t)(draw >> 9)};
    }
    for (uint64_t i = 0; i < TOKENS; i++)
        piece->token[i] = (token)rng_below(65536, 1, RNG_TEST, number, i, 1);
}

static enum status append(struct spill_writer *spill, struct piece *piece)
{
    const struct notes notes = {.items = piece->note, .count = NOTES};
    const struct tokens tokens = {.items = piece->token, .count = TOKENS};
    return spill_append(spill, &notes, &tokens, &piece->offset);
}

static size_t column_bytes(int c)
{
    return c < NOTE_COLUMNS ? NOTES * h5_type_size(note_columns[c].type)
                            : TOKENS * sizeof(token);
}

static enum status read_piece(struct spill_reader *reader, uint64_t offset,
                              uint8_t columns[PARTS][NOTES * sizeof(double)])
{
    struct iovec parts[PARTS];
    for (int c = 0; c < PARTS; c++)
        parts[c] = (struct iovec){columns[c], column_bytes(c)};
    return spill_read(reader, 0, offset, parts, PARTS);
}

static void pieces_round_trip_through_short_reads(void **state)
{
    (void)state;
    static struct piece pieces[PIECES];
    static const size_t limits[] = {1, 5, 8, 161, 1 << 20};
    static uint8_t columns[PARTS][NOTES * sizeof(double)], packed[NOTES * sizeof(double)];
    char directory[] = "/tmp/tutti-spill-XXXXXX";
    struct spill_writer spill;
    struct spill_reader reader;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(spill_create(directory, 0, &spill), STATUS_OK);
    for (uint64_t p = 0; p < PIECES; p++) {
        make_piece(p, &pieces[p]);
        assert_int_equal(append(&spill, &pieces[p]), STATUS_OK);
    }
    assert_int_equal(spill_close(&spill), STATUS_OK);
    spill_free(&spill);
    spill_reader_open(directory, &reader);
    for (size_t i = 0; i < PIECES * sizeof limits / sizeof *limits; i++) {
        const struct piece *piece = &pieces[i % PIECES];
        read_limit = limits[i / PIECES];
        memset(columns, 0, sizeof columns);
        assert_int_equal(read_piece(&reader, piece->offset, columns), STATUS_OK);
        for (int c = 0; c < NOTE_COLUMNS; c++) {
            column_pack(&note_columns[c], piece->note, sizeof *piece->note, NOTES,
                        packed);
            assert_memory_equal(columns[c], packed, column_bytes(c));
        }
        assert_memory_equal(columns[NOTE_COLUMNS], piece->token, sizeof piece->token);
    }
    assert_int_equal(read_piece(&reader, pieces[PIECES - 1].offset + 1, columns),
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
