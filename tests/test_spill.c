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
    LARGE_PIECE = 2, /* its notes take more than the 1 MiB of the buffer */
    LARGE_NOTES = 33000,
    NOTES_MAX = LARGE_NOTES
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

struct piece {
    struct note note[NOTES_MAX];
    token token[TOKENS];
    size_t notes;
    uint64_t offset;
};

static void make_piece(uint64_t number, struct piece *piece)
{
    memset(piece, 0, sizeof *piece);
    piece->notes = number == LARGE_PIECE ? LARGE_NOTES : NOTES;
    for (uint64_t i = 0; i < piece->notes; i++) {
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
    const struct notes notes = {.items = piece->note, .count = piece->notes};
    const struct tokens tokens = {.items = piece->token, .count = TOKENS};
    return spill_append(spill, &notes, &tokens, &piece->offset);
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

/* The notes from `skip` on, and the tokens after them. */
static void check_piece(struct spill_reader *reader, const struct piece *piece,
                        size_t skip)
{
    static struct note notes[NOTES_MAX];
    token tokens[TOKENS];
    size_t size = (piece->notes - skip) * sizeof *notes;
    uint64_t tokens_offset = piece->offset + piece->notes * sizeof *notes;
    memset(notes, 0, sizeof notes);
    memset(tokens, 0, sizeof tokens);
    assert_int_equal(
        spill_read(reader, 0, piece->offset + skip * sizeof *notes, notes, size),
        STATUS_OK);
    assert_memory_equal(notes, piece->note + skip, size);
    assert_int_equal(spill_read(reader, 0, tokens_offset, tokens, sizeof tokens),
                     STATUS_OK);
    assert_memory_equal(tokens, piece->token, sizeof tokens);
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
    uint8_t bytes[NOTES * sizeof(struct note) + TOKENS * sizeof(token)];
    assert_int_equal(
        spill_read(&reader, 0, pieces[PIECES - 1].offset + 1, bytes, sizeof bytes),
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
