/* stream: tokens that encode their position check order, coverage and resumption exactly.
 * The expected streams are computed piece by piece (the row that becomes free first gets
 * the next piece), not step by step as in the stream itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "data/stream.h"
#include "data/window_order.h"

enum { END = 65535, SEED = 11, MICROBATCH = 3, STEPS = 2000, LONGEST = 64 };

/* Token `position` of piece `piece`, a unique value. */
static token token_of(size_t piece, size_t position)
{
    return (token)(piece * LONGEST + position);
}

/* Lengths from 0 to LONGEST - 1. */
static size_t length_of(size_t piece)
{
    return piece % 7 == 5 ? 0 : (size_t)rng_below(LONGEST, 1, RNG_TEST, piece, 0, 0);
}

static struct shard make_shard(size_t pieces)
{
    struct shard shard = {.piece_count = pieces};
    shard.pieces = calloc(pieces + 1, sizeof *shard.pieces);
    shard.tokens = calloc(pieces * LONGEST + 1, sizeof *shard.tokens);
    for (size_t p = 0; p < pieces; p++) {
        size_t length = length_of(p);
        shard.pieces[p].token_first = shard.token_count;
        shard.pieces[p].token_count = length;
        for (size_t i = 0; i < length; i++)
            shard.tokens[shard.token_count++] = token_of(p, i);
    }
    return shard;
}

static struct stream *make_stream(size_t pieces, int rows, int microbatch, uint64_t seed)
{
    struct shard shard = make_shard(pieces);
    struct stream *stream = NULL;
    assert_int_equal(stream_from_shard(&shard, END, microbatch, rows, seed, &stream),
                     STATUS_OK);
    assert_null(shard.pieces);
    return stream;
}

/* ---- the expected stream ---- */

struct columns {
    int rows;
    token *inputs;    /* [STEPS * rows] */
    int32_t *targets; /* [STEPS * rows] */
};

static struct columns make_columns(int rows)
{
    size_t count = (size_t)STEPS * (size_t)rows;
    return (struct columns){rows, calloc(count, sizeof(token)), calloc(count, 4)};
}

static void free_columns(struct columns *columns)
{
    free(columns->inputs);
    free(columns->targets);
}

/* The row that becomes free first; of several, the lowest. */
static int first_free(const int *free_at, int rows)
{
    int first = 0;
    for (int r = 1; r < rows; r++)
        if (free_at[r] < free_at[first])
            first = r;
    return first;
}

static void write_piece(struct columns *columns, int row, int from, size_t piece)
{
    size_t length = length_of(piece);
    for (size_t i = 0; i <= length && from + (int)i < STEPS; i++) {
        int at = (from + (int)i) * columns->rows + row;
        columns->inputs[at] = i == 0 ? END : token_of(piece, i - 1);
        columns->targets[at] = i == length ? END : token_of(piece, i);
    }
}

/* Assigns the pieces in the order of their queues, or for one pass in the shard's
 * order. */
static struct columns expected_stream(size_t pieces, int rows, int microbatch,
                                      uint64_t seed, bool once)
{
    struct columns columns = make_columns(rows);
    int *free_at = calloc((size_t)rows, sizeof *free_at);
    uint32_t *queue = calloc(pieces, sizeof *queue);
    for (int i = 0; i < STEPS * rows; i++) {
        columns.inputs[i] = END;
        columns.targets[i] = -1;
    }
    for (uint64_t epoch = 0; epoch == 0 || !once; epoch++) {
        for (size_t i = 0; i < pieces; i++)
            queue[i] = (uint32_t)i;
        if (!once)
            rng_shuffle(queue, pieces, seed, RNG_SHUFFLE, epoch, (uint64_t)microbatch);
        for (size_t i = 0; i < pieces; i++) {
            int row = first_free(free_at, rows);
            write_piece(&columns, row, free_at[row], queue[i]);
            free_at[row] += (int)length_of(queue[i]) + 1;
        }
        if (free_at[first_free(free_at, rows)] >= STEPS)
            break;
    }
    free(queue);
    free(free_at);
    return columns;
}

/* Reads the stream in windows of changing length. */
static struct columns read_stream(struct stream *stream, int rows, uint64_t key,
                                  bool once)
{
    struct columns columns = make_columns(rows);
    for (int at = 0; at < STEPS;) {
        int steps = 1 + (int)rng_below(150, 2, RNG_TEST, key, (uint64_t)at, 0);
        steps = STEPS - at < steps ? STEPS - at : steps;
        token *inputs = columns.inputs + at * rows;
        int32_t *targets = columns.targets + at * rows;
        int64_t counted;
        assert_int_equal(once ? stream_pass_next(stream, steps, inputs, targets, &counted)
                              : stream_next(stream, steps, inputs, targets),
                         STATUS_OK);
        at += steps;
    }
    return columns;
}

static void assert_equal_columns(const struct columns *a, const struct columns *b)
{
    for (int i = 0; i < STEPS * a->rows; i++)
        if (a->inputs[i] != b->inputs[i] || a->targets[i] != b->targets[i])
            fail_msg("step %d row %d: %d -> %d, expected %d -> %d", i / a->rows,
                     i % a->rows, a->inputs[i], a->targets[i], b->inputs[i],
                     b->targets[i]);
}

/* Few and many pieces, fewer than rows, a single one; one and several rows. */
static const struct {
    size_t pieces;
    int rows;
} shapes[] = {{40, 4}, {200, 7}, {3, 8}, {1, 1}, {1, 5}, {17, 1}, {900, 16}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* ---- tests ---- */

static void rows_read_pieces_in_queue_order(void **state)
{
    (void)state;
    for (size_t s = 0; s < SHAPES; s++) {
        size_t pieces = shapes[s].pieces;
        int rows = shapes[s].rows;
        struct stream *stream = make_stream(pieces, rows, MICROBATCH, SEED);
        struct columns found = read_stream(stream, rows, s, false);
        struct columns expected = expected_stream(pieces, rows, MICROBATCH, SEED, false);
        assert_equal_columns(&found, &expected);
        free_columns(&found);
        free_columns(&expected);
        stream_close(stream);
    }
}

static void targets_are_the_next_inputs(void **state)
{
    (void)state;
    struct stream *stream = make_stream(40, 6, MICROBATCH, SEED);
    struct columns found = read_stream(stream, 6, 1, false);
    for (int i = 0; i < (STEPS - 1) * 6; i++)
        assert_int_equal(found.targets[i], found.inputs[i + 6]);
    free_columns(&found);
    stream_close(stream);
}

/* In every epoch of a microbatch each piece begins once before any begins again, and the
 * order differs between epochs. Checked on the stream alone: a piece's first target
 * identifies it. */
static void each_epoch_contains_each_piece_once(void **state)
{
    (void)state;
    enum { PIECES = 30, ROWS = 5 };
    struct stream *stream = make_stream(PIECES, ROWS, MICROBATCH, SEED);
    struct columns found = read_stream(stream, ROWS, 9, false);
    size_t named = 0, orders = 0, at = 0;
    for (size_t p = 0; p < PIECES; p++)
        named += length_of(p) > 0;
    int seen[PIECES] = {0}, before[PIECES], now[PIECES];
    for (int i = 0; i < STEPS * ROWS; i++) {
        if (found.inputs[i] != END || found.targets[i] == END)
            continue; /* not the beginning of a piece, or an empty piece */
        int piece = found.targets[i] / LONGEST;
        now[at++] = piece;
        assert_int_equal(seen[piece]++, (int)orders);
        if (at < named)
            continue;
        assert_true(orders == 0 || memcmp(before, now, named * sizeof *now) != 0);
        memcpy(before, now, sizeof now);
        orders++;
        at = 0;
    }
    assert_true(orders >= 5);
    free_columns(&found);
    stream_close(stream);
}

static bool same_order(int microbatch_a, uint64_t seed_a, int microbatch_b,
                       uint64_t seed_b)
{
    struct stream *a = make_stream(40, 2, microbatch_a, seed_a);
    struct stream *b = make_stream(40, 2, microbatch_b, seed_b);
    struct columns columns_a = read_stream(a, 2, 1, false);
    struct columns columns_b = read_stream(b, 2, 2, false);
    bool same =
        memcmp(columns_a.inputs, columns_b.inputs, STEPS * 2 * sizeof(token)) == 0;
    free_columns(&columns_a);
    free_columns(&columns_b);
    stream_close(a);
    stream_close(b);
    return same;
}

static void the_order_depends_on_seed_and_microbatch(void **state)
{
    (void)state;
    assert_true(same_order(1, 5, 1, 5));
    assert_false(same_order(1, 5, 2, 5));
    assert_false(same_order(1, 5, 1, 6));
}

/* Saves after a random number of steps and resumes in a new stream, repeatedly. */
static void a_restored_stream_continues_exactly(void **state)
{
    (void)state;
    for (size_t s = 0; s < SHAPES; s++) {
        size_t pieces = shapes[s].pieces;
        int rows = shapes[s].rows;
        struct columns expected = expected_stream(pieces, rows, MICROBATCH, SEED, false);
        struct columns found = make_columns(rows);
        struct stream *stream = make_stream(pieces, rows, MICROBATCH, SEED);
        struct stream_row *saved = calloc((size_t)rows, sizeof *saved);
        struct stream_cursor cursor;
        for (int at = 0; at < STEPS;) {
            int steps = (int)rng_below(60, 3, RNG_TEST, s, (uint64_t)at, 0) + 1;
            steps = STEPS - at < steps ? STEPS - at : steps;
            stream_save(stream, saved, &cursor);
            stream_close(stream);
            stream = make_stream(pieces, rows, MICROBATCH, SEED);
            token other[16 * 16];
            int32_t targets[16 * 16];
            stream_next(stream, at % 16, other, targets); /* from an arbitrary position */
            assert_int_equal(stream_restore(stream, saved, &cursor), STATUS_OK);
            stream_next(stream, steps, found.inputs + at * rows,
                        found.targets + at * rows);
            at += steps;
        }
        assert_equal_columns(&found, &expected);
        free_columns(&found);
        free_columns(&expected);
        free(saved);
        stream_close(stream);
    }
}

static void the_single_pass_covers_all_pieces_once(void **state)
{
    (void)state;
    for (size_t s = 0; s < SHAPES; s++) {
        size_t pieces = shapes[s].pieces > 200 ? 200 : shapes[s].pieces;
        int rows = shapes[s].rows;
        struct stream *stream = make_stream(pieces, rows, MICROBATCH, SEED);
        struct columns expected = expected_stream(pieces, rows, MICROBATCH, SEED, true);
        for (int pass = 0; pass < 2; pass++) {
            stream_next(stream, 3, (token[48]){0}, (int32_t[48]){0}); /* has no effect */
            struct columns found = read_stream(stream, rows, s, true);
            assert_equal_columns(&found, &expected);
            free_columns(&found);
            stream_rewind(stream);
        }
        free_columns(&expected);
        stream_close(stream);
    }
}

static void the_single_pass_counts_its_targets(void **state)
{
    (void)state;
    struct stream *stream = make_stream(40, 4, MICROBATCH, SEED);
    uint64_t counted = 0, total = 0;
    token inputs[7 * 4];
    int32_t targets[7 * 4];
    for (size_t p = 0; p < 40; p++)
        total += length_of(p) + 1;
    for (int64_t more = 1; more > 0; counted += (uint64_t)more) {
        assert_int_equal(stream_pass_next(stream, 7, inputs, targets, &more), STATUS_OK);
        int64_t valid = 0;
        for (int i = 0; i < 7 * 4; i++)
            valid += targets[i] >= 0;
        assert_int_equal(more, valid);
    }
    assert_int_equal(counted, total);
    assert_int_equal(stream_tokens(stream), total);
    int64_t more = 1;
    assert_int_equal(stream_pass_next(stream, 7, inputs, targets, &more), STATUS_OK);
    assert_int_equal(more, 0);
    assert_int_equal(stream_piece_count(stream), 40);
    stream_close(stream);
    stream_close(NULL);
}

static void a_stream_without_pieces_has_no_targets(void **state)
{
    (void)state;
    struct stream *stream = make_stream(0, 3, MICROBATCH, SEED);
    token inputs[6];
    int32_t targets[6];
    stream_next(stream, 2, inputs, targets);
    for (int i = 0; i < 6; i++)
        assert_true(inputs[i] == END && targets[i] == -1);
    int64_t counted = 1;
    assert_int_equal(stream_pass_next(stream, 2, inputs, targets, &counted), STATUS_OK);
    assert_int_equal(counted, 0);
    struct stream_row rows[3];
    struct stream_cursor cursor;
    stream_save(stream, rows, &cursor);
    assert_int_equal(stream_restore(stream, rows, &cursor), STATUS_OK);
    assert_int_equal(stream_tokens(stream), 0);
    stream_close(stream);
}

static void restore_refuses_positions_of_other_data(void **state)
{
    (void)state;
    struct stream *stream = make_stream(40, 2, MICROBATCH, SEED);
    const struct stream_row fine = {.epoch = 1, .piece = 2, .offset = 0};
    const struct stream_cursor at = {.epoch = 1, .next = 5};
    const struct stream_row wrong[] = {
        {.epoch = 1, .piece = 40}, /* no such piece */
        {.epoch = 2, .piece = 3},  /* a queue not reached */
        {.epoch = 1, .piece = 5},  /* a piece not started */
        {.epoch = -1, .piece = 5},
        {.epoch = 1, .piece = 3, .offset = -1},
        {.epoch = 1, .piece = 3, .offset = LONGEST + 1} /* beyond any piece */
    };
    assert_int_equal(
        stream_restore(stream, (struct stream_row[]){fine, {.piece = -1}}, &at),
        STATUS_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct stream_row rows[] = {fine, wrong[i]};
        assert_int_equal(stream_restore(stream, rows, &at), STATUS_FAILED);
        assert_non_null(strstr(status_message(), "another dataset"));
    }
    struct stream_row rows[] = {fine, fine};
    const struct stream_cursor cursors[] = {{1, 41}, {1, -1}, {-1, 0}};
    for (size_t i = 0; i < sizeof cursors / sizeof *cursors; i++)
        assert_int_equal(stream_restore(stream, rows, &cursors[i]), STATUS_FAILED);
    /* a refusal leaves the stream at its start */
    struct columns found = read_stream(stream, 2, 1, false);
    struct columns expected = expected_stream(40, 2, MICROBATCH, SEED, false);
    assert_equal_columns(&found, &expected);
    free_columns(&found);
    free_columns(&expected);
    stream_close(stream);
}

/* ---- independent windows ---- */

static struct stream *make_windows(size_t pieces, int rows, int microbatch)
{
    struct stream *stream = make_stream(pieces, rows, microbatch, SEED);
    assert_int_equal(stream_use_windows(stream), STATUS_OK);
    return stream;
}

/* The piece and the input with which a window ends; false for an empty piece, which has
 * no name. */
static bool last_of_window(token input, int32_t target, size_t *piece, size_t *offset)
{
    *piece = (input == END ? (size_t)target : input) / LONGEST;
    *offset = input == END ? 0 : (size_t)input % LONGEST + 1;
    return input != END || target != END;
}

/* The column that ends at (piece, offset) has its inputs and targets, and before the
 * piece END and -1. Column r of [steps][rows]. */
static void check_window(const token *inputs, const int32_t *targets, int rows, int r,
                         int steps, size_t *piece, size_t *offset)
{
    int at = (steps - 1) * rows + r;
    bool named = last_of_window(inputs[at], targets[at], piece, offset);
    size_t length = named ? length_of(*piece) : 0;
    if (!named)
        *piece = *offset = 0;
    for (int t = steps - 1, i = (int)*offset; t >= 0; t--, i--, at -= rows) {
        assert_int_equal(inputs[at], i <= 0 ? END : (int)token_of(*piece, (size_t)i - 1));
        assert_int_equal(targets[at], i < 0 ? -1
                                      : (size_t)i == length
                                          ? END
                                          : token_of(*piece, (size_t)i));
    }
    *piece = named ? *piece : SIZE_MAX;
}

/* Every target of every piece ends one window of each microbatch epoch, whose order
 * differs from that of the others. */
static void check_window_epochs(size_t pieces, int rows, int steps)
{
    enum { EPOCHS = 3 };
    struct stream *stream = make_windows(pieces, rows, MICROBATCH);
    size_t count = 0, empty = 0, piece, offset;
    for (size_t p = 0; p < pieces; p++) {
        count += length_of(p) + 1;
        empty += length_of(p) == 0;
    }
    int *seen = calloc(pieces * LONGEST, sizeof *seen);
    size_t *order = calloc(EPOCHS * count, sizeof *order), unnamed = 0;
    token *inputs = calloc((size_t)(rows * steps), sizeof *inputs);
    int32_t *targets = calloc((size_t)(rows * steps), sizeof *targets);
    for (size_t i = 0; i < EPOCHS * count; i++) {
        if (i % (size_t)rows == 0)
            assert_int_equal(stream_next(stream, steps, inputs, targets), STATUS_OK);
        check_window(inputs, targets, rows, (int)(i % (size_t)rows), steps, &piece,
                     &offset);
        int epoch = (int)(i / count);
        order[i] = piece == SIZE_MAX ? SIZE_MAX : piece * LONGEST + offset;
        if (piece == SIZE_MAX)
            unnamed++;
        else
            assert_int_equal(seen[piece * LONGEST + offset]++, epoch);
        if ((i + 1) % count == 0)
            assert_int_equal(unnamed, empty * (size_t)(epoch + 1));
    }
    assert_true(count < 8 || memcmp(order, order + count, count * sizeof *order) != 0);
    free(seen);
    free(order);
    free(inputs);
    free(targets);
    stream_close(stream);
}

static void each_epoch_contains_each_window_once(void **state)
{
    (void)state;
    for (size_t s = 0; s < SHAPES; s++) {
        check_window_epochs(shapes[s].pieces, shapes[s].rows, 1);
        check_window_epochs(shapes[s].pieces, shapes[s].rows, 7);
        check_window_epochs(shapes[s].pieces, shapes[s].rows, LONGEST + 9);
    }
}

static void restored_windows_continue_exactly(void **state)
{
    (void)state;
    enum { ROWS = 3, LENGTH = 6, TOKENS = ROWS * LENGTH };
    struct stream *whole = make_windows(17, ROWS, MICROBATCH);
    struct stream *stream = make_windows(17, ROWS, MICROBATCH);
    struct stream *other = make_windows(17, ROWS, MICROBATCH + 1);
    struct stream_row rows[ROWS];
    struct stream_cursor cursor;
    bool differs = false;
    for (int i = 0; i < 1000; i++) {
        token expected[TOKENS], found[TOKENS];
        int32_t expected_targets[TOKENS], targets[TOKENS];
        stream_save(stream, rows, &cursor);
        stream_close(stream);
        stream = make_windows(17, ROWS, MICROBATCH);
        stream_next(stream, i % LENGTH + 1, found, targets);
        assert_int_equal(stream_restore(stream, rows, &cursor), STATUS_OK);
        stream_next(stream, LENGTH, found, targets);
        stream_next(whole, LENGTH, expected, expected_targets);
        assert_memory_equal(found, expected, sizeof found);
        assert_memory_equal(targets, expected_targets, sizeof targets);
        stream_next(other, LENGTH, found, targets);
        differs |= memcmp(found, expected, sizeof found) != 0;
    }
    assert_true(cursor.epoch > 2 && differs);
    stream_close(whole);
    stream_close(stream);
    stream_close(other);
}

static void restore_refuses_windows_of_other_data(void **state)
{
    (void)state;
    struct stream *stream = make_windows(3, 1, MICROBATCH);
    int64_t count = (int64_t)stream_tokens(stream);
    const struct stream_row none = {.piece = -1}, some = {.piece = 0};
    const struct stream_cursor fine = {2, count},
                               wrong[] = {{0, count + 1}, {0, -1}, {-1, 0}};
    assert_int_equal(stream_restore(stream, &none, &fine), STATUS_OK);
    assert_int_equal(stream_restore(stream, &some, &fine), STATUS_FAILED);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(stream_restore(stream, &none, &wrong[i]), STATUS_FAILED);
    stream_close(stream);
}

/* A permutation for every count. */
static void a_window_order_contains_each_number_once(void **state)
{
    (void)state;
    for (uint64_t count = 1; count < 300; count++) {
        bool seen[300] = {false};
        const struct window_order order = {count, SEED, count % 5, MICROBATCH};
        for (uint64_t i = 0; i < count; i++) {
            uint64_t at = window_order_at(&order, i);
            assert_true(at < count && !seen[at]);
            seen[at] = true;
        }
    }
    const struct window_order large = {(uint64_t)1 << 61, SEED, 0, MICROBATCH};
    assert_true(window_order_at(&large, 0) < large.count);
}

/* Over many epochs each number, and each difference of neighbours, is equally frequent:
 * chi-squared, 0.1 % of right orders would exceed the bound. */
static void window_orders_are_uniform(void **state)
{
    (void)state;
    enum { COUNT = 11, EPOCHS = 11000 };
    const double bound_of_10 = 29.59, bound_of_9 = 27.88;
    for (uint64_t position = 0; position < COUNT; position++) {
        double values[COUNT] = {0}, differences[COUNT] = {0}, chi = 0, chi_of_pairs = 0;
        for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
            const struct window_order order = {COUNT, SEED, epoch, MICROBATCH};
            uint64_t a = window_order_at(&order, position);
            uint64_t b = window_order_at(&order, (position + 1) % COUNT);
            values[a]++;
            differences[(a + COUNT - b) % COUNT]++;
        }
        for (int i = 0; i < COUNT; i++) {
            double expected = (double)EPOCHS / COUNT, of_pairs = EPOCHS / (COUNT - 1.0);
            chi += (values[i] - expected) * (values[i] - expected) / expected;
            chi_of_pairs +=
                i ? (differences[i] - of_pairs) * (differences[i] - of_pairs) / of_pairs
                  : 0;
        }
        assert_true(differences[0] == 0);
        if (chi > bound_of_10 || chi_of_pairs > bound_of_9)
            fail_msg("position %d: chi-squared %g, of pairs %g", (int)position, chi,
                     chi_of_pairs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_read_pieces_in_queue_order),
        cmocka_unit_test(targets_are_the_next_inputs),
        cmocka_unit_test(each_epoch_contains_each_piece_once),
        cmocka_unit_test(the_order_depends_on_seed_and_microbatch),
        cmocka_unit_test(a_restored_stream_continues_exactly),
        cmocka_unit_test(the_single_pass_covers_all_pieces_once),
        cmocka_unit_test(the_single_pass_counts_its_targets),
        cmocka_unit_test(a_stream_without_pieces_has_no_targets),
        cmocka_unit_test(restore_refuses_positions_of_other_data),
        cmocka_unit_test(each_epoch_contains_each_window_once),
        cmocka_unit_test(restored_windows_continue_exactly),
        cmocka_unit_test(restore_refuses_windows_of_other_data),
        cmocka_unit_test(a_window_order_contains_each_number_once),
        cmocka_unit_test(window_orders_are_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
