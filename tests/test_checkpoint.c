/* checkpoint: everything written is read back; a damaged file is never accepted. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tiny_checkpoint.h"
#include "remove_tree.h"
#include "base/file.h"
#include "base/rng.h"
#include "h5/h5.h"

static char directory[] = "/tmp/tutti-checkpoint-XXXXXX";
static char path[256];

static float random_float(size_t i)
{
    return (float)rng_normal(8, RNG_TEST, i, 0, 0);
}

/* A checkpoint in which every member has a different value. */
static void fill_checkpoint(struct checkpoint *original, int cell, int optimizer,
                            int dense)
{
    assert_int_equal(tiny_checkpoint(original, ENCODING_PERFORMANCE, 3), STATUS_OK);
    free(original->weights);
    free(original->streams.hidden);
    optimizer_free(&original->state.optimizer);
    original->options.model.cell = cell;
    original->options.model.dense = dense;
    original->options.train.optimizer = optimizer;
    original->options.train.average = dense ? AVERAGE_EMA : AVERAGE_NONE;
    original->options.train.learning_rate = 0.1; /* not a binary fraction */
    snprintf(original->options.run.dir, sizeof original->options.run.dir,
             "a run # with \"odd\" name");
    original->shape = model_shape_of(&original->options, original->encoding->vocabulary);
    assert_int_equal(params_layout(&original->shape, &original->params), STATUS_OK);
    assert_int_equal(optimizer_create(&original->options, original->params.total,
                                      &original->state.optimizer),
                     STATUS_OK);
    original->weights = malloc(original->params.total * sizeof *original->weights);
    original->streams.hidden_size = checkpoint_hidden_size(
        &original->shape, original->streams.row_count / original->streams.microbatches);
    original->streams.hidden =
        malloc(original->streams.microbatches * original->streams.hidden_size *
               sizeof *original->streams.hidden);
    assert_true(original->weights && original->streams.hidden);
    for (size_t i = 0; i < original->params.total; i++) {
        original->weights[i] = random_float(3 * i);
        original->state.optimizer.first[i] = random_float(3 * i + 1);
        if (original->state.optimizer.second)
            original->state.optimizer.second[i] = fabsf(random_float(3 * i + 2));
        if (dense)
            original->state.optimizer.average[i] = random_float(5000000 + i);
    }
    for (size_t i = 0; i < original->streams.microbatches * original->streams.hidden_size;
         i++)
        original->streams.hidden[i] = random_float(9000000 + i);
    size_t v = original->encoding->vocabulary;
    original->pairs = calloc(v * v, sizeof *original->pairs);
    assert_non_null(original->pairs);
    for (size_t i = 0; i < v * v; i += 1 + i % 997)
        original->pairs[i] = (int64_t)(i * i + 1);
    original->pairs[v * v - 1] = INT64_C(1) << 52;
    original->baselines = (struct baselines){1.25, 0.5};
    original->state.optimizer.updates = 123;
    original->state.step = 123;
    original->state.epoch_step = 5;
    original->state.history[0].step = 59;
    original->state.history[1].step = 118;
    original->state.epoch_loss = 1.0 / 3;
    original->state.epoch_targets = 600;
    original->state.epoch_correct = 60;
    original->state.history[0].valid_loss = 0.7;
    original->state.history[0].valid_loss_average = dense ? 0.6 : 0;
    original->state.history[1].valid_loss = 0.9;
    original->options.train.schedule = SCHEDULE_PLATEAU;
    original->options.train.plateau_factor = 0.25;
    original->options.train.plateau_patience = 1;
    original->state.schedule = (struct schedule_state){0.7, 1, 1, 0, 0.25};
    original->dataset_hash = 0x0123456789abcdef;
    original->provenance.ranks = 3;
    original->provenance.init_hash = 0xfedcba9876543210;
    strcpy(original->options.train.init_from, "runs/of \xff/another");
    for (size_t i = 0; i < original->streams.row_count; i++)
        original->streams.rows[i] = (struct stream_row){(int64_t)i, 10 + (int64_t)i, 7};
    for (size_t i = 0; i < original->streams.microbatches; i++)
        original->streams.cursors[i] =
            (struct stream_cursor){20 + (int64_t)i, 30 + (int64_t)i};
    original->state.history[1].weights_hash = UINT64_MAX;
    original->state.history[1].valid_accuracy = (double)NAN;
}

static bool equal_bytes(const void *a, const void *b, size_t size)
{
    return memcmp(a, b, size) == 0;
}

static bool equal_pairs(const struct checkpoint *a, const struct checkpoint *b)
{
    size_t v = a->encoding->vocabulary;
    if (!a->pairs || !b->pairs)
        return !a->pairs && !b->pairs;
    return equal_bytes(a->pairs, b->pairs, v * v * sizeof *a->pairs) &&
           equal_bytes(&a->baselines, &b->baselines, sizeof a->baselines);
}

static bool equal_model(const struct checkpoint *a, const struct checkpoint *b)
{
    return a->params.total == b->params.total && a->weights_hash == b->weights_hash &&
           a->average_hash == b->average_hash &&
           a->vocabulary_hash == b->vocabulary_hash &&
           a->dataset_hash == b->dataset_hash &&
           equal_bytes(a->weights, b->weights, a->params.total * sizeof *a->weights) &&
           a->state.epoch == b->state.epoch && a->state.step == b->state.step &&
           a->state.epoch_step == b->state.epoch_step &&
           equal_bytes(&a->state.epoch_loss, &b->state.epoch_loss,
                       sizeof a->state.epoch_loss) &&
           a->state.epoch_targets == b->state.epoch_targets &&
           a->state.epoch_correct == b->state.epoch_correct &&
           equal_bytes(&a->state.schedule, &b->state.schedule,
                       sizeof a->state.schedule) &&
           a->state.history_count == b->state.history_count &&
           equal_bytes(a->state.history, b->state.history,
                       a->state.history_count * sizeof *a->state.history) &&
           equal_pairs(a, b) &&
           strcmp(a->provenance.numerics, b->provenance.numerics) == 0 &&
           strcmp(a->provenance.host, b->provenance.host) == 0 &&
           a->provenance.ranks == b->provenance.ranks &&
           a->provenance.init_hash == b->provenance.init_hash;
}

static bool equal_options(const struct checkpoint *a, const struct checkpoint *b)
{
    char *one = options_text(&a->options, SECTION_ALL);
    char *other = options_text(&b->options, SECTION_ALL);
    bool equal = one && other && strcmp(one, other) == 0;
    free(one);
    free(other);
    return equal;
}

static bool equal_training(const struct checkpoint *a, const struct checkpoint *b)
{
    const struct optimizer *one = &a->state.optimizer, *other = &b->state.optimizer;
    size_t moments = a->params.total * sizeof(float);
    return one->method == other->method && one->updates == other->updates &&
           equal_bytes(one->first, other->first, moments) &&
           !one->average == !other->average &&
           (!one->average || equal_bytes(one->average, other->average, moments)) &&
           !one->second == !other->second &&
           (!one->second || equal_bytes(one->second, other->second, moments)) &&
           a->streams.row_count == b->streams.row_count &&
           a->streams.microbatches == b->streams.microbatches &&
           a->streams.hidden_size == b->streams.hidden_size &&
           equal_bytes(a->streams.rows, b->streams.rows,
                       a->streams.row_count * sizeof *a->streams.rows) &&
           equal_bytes(a->streams.cursors, b->streams.cursors,
                       a->streams.microbatches * sizeof *a->streams.cursors) &&
           equal_bytes(a->streams.hidden, b->streams.hidden,
                       a->streams.microbatches * a->streams.hidden_size * sizeof(float));
}

static bool equal(const struct checkpoint *a, const struct checkpoint *b)
{
    return equal_model(a, b) && equal_options(a, b) && equal_training(a, b);
}

/* The average as the weights, where there is one. */
static void check_average(const struct checkpoint *original)
{
    struct checkpoint loaded;
    const float *average = original->state.optimizer.average;
    enum status status = checkpoint_read(path, CHECKPOINT_TO_PREDICT_AVERAGE, &loaded);
    assert_int_equal(status, average ? STATUS_OK : STATUS_MISUSE);
    if (!average)
        return;
    assert_memory_equal(loaded.weights, average,
                        original->params.total * sizeof *average);
    assert_int_equal(loaded.weights_hash, params_hash(&original->params, average));
    checkpoint_free(&loaded);
}

static void check_round_trip(int cell, int optimizer, int dense)
{
    struct checkpoint original, loaded;
    fill_checkpoint(&original, cell, optimizer, dense);
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    assert_int_equal(original.weights_hash,
                     params_hash(&original.params, original.weights));
    assert_int_equal(checkpoint_read(path, CHECKPOINT_TO_TRAIN, &loaded), STATUS_OK);
    assert_true(equal(&original, &loaded));
    original.streams.hidden[1] += 1; /* proves that the comparison can fail */
    assert_false(equal(&original, &loaded));
    checkpoint_free(&loaded);
    assert_int_equal(checkpoint_read(path, CHECKPOINT_TO_PREDICT, &loaded), STATUS_OK);
    assert_true(equal_model(&original, &loaded));
    assert_null(loaded.state.optimizer.first);
    assert_null(loaded.streams.hidden);
    checkpoint_free(&loaded);
    check_average(&original);
    checkpoint_free(&original);
}

static void round_trips_every_cell_and_optimizer(void **state)
{
    (void)state;
    check_round_trip(CELL_LSTM, OPTIMIZER_ADAM, 0);
    check_round_trip(CELL_LSTM, OPTIMIZER_SGD, 5);
    check_round_trip(CELL_GRU, OPTIMIZER_ADAMW, 0);
    check_round_trip(CELL_GRU, OPTIMIZER_SGD, 3);
}

/* Older programs wrote checkpoints without the counts of pairs. */
static void round_trips_without_pairs(void **state)
{
    (void)state;
    struct checkpoint original, loaded;
    fill_checkpoint(&original, CELL_LSTM, OPTIMIZER_ADAM, 0);
    free(original.pairs);
    original.pairs = NULL;
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    assert_int_equal(checkpoint_read(path, CHECKPOINT_TO_TRAIN, &loaded), STATUS_OK);
    assert_null(loaded.pairs);
    assert_true(equal(&original, &loaded));
    checkpoint_free(&loaded);
    checkpoint_free(&original);
}

static void equal_states_give_equal_files(void **state)
{
    (void)state;
    struct checkpoint original;
    uint8_t *first = NULL, *second = NULL;
    size_t first_size = 0, second_size = 0;
    fill_checkpoint(&original, CELL_LSTM, OPTIMIZER_ADAM, 0);
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    assert_int_equal(file_read(path, 0, &first, &first_size), STATUS_OK);
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    assert_int_equal(file_read(path, 0, &second, &second_size), STATUS_OK);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    free(first);
    free(second);
    checkpoint_free(&original);
}

/* ---- damage ---- */

enum outcome { REJECTED, INTACT, UNDETECTED, CRASHED };

/* Reads in a child process, as HDF5 may leak or crash on damaged metadata. */
static enum outcome read_in_child(const char *file, const struct checkpoint *expected)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct checkpoint loaded;
        alarm(20);
        if (checkpoint_read(file, CHECKPOINT_TO_TRAIN, &loaded) != STATUS_OK)
            _exit(strstr(status_message(), file) == status_message() ? REJECTED
                                                                     : CRASHED);
        _exit(equal(expected, &loaded) ? INTACT : UNDETECTED);
    }
    int status = 0;
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? (enum outcome)WEXITSTATUS(status) : CRASHED;
}

static void write_bytes(const char *file, const uint8_t *bytes, size_t size)
{
    FILE *out = fopen(file, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

static uint8_t *write_and_read_bytes(struct checkpoint *original, size_t *size)
{
    uint8_t *bytes = NULL;
    fill_checkpoint(original, CELL_LSTM, OPTIMIZER_ADAM, 0);
    assert_int_equal(checkpoint_write(path, original), STATUS_OK);
    assert_int_equal(file_read(path, 0, &bytes, size), STATUS_OK);
    return bytes;
}

static void detects_flipped_bits(void **state)
{
    (void)state;
    enum { FLIPS = 200 };
    struct checkpoint original;
    size_t size = 0, count[4] = {0};
    uint8_t *bytes = write_and_read_bytes(&original, &size);
    const char *text = getenv("TUTTI_TEST_SEED");
    uint64_t seed = text ? (uint64_t)strtoull(text, NULL, 10) : (uint64_t)getpid();
    print_message("TUTTI_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (uint64_t i = 0; i < FLIPS; i++) {
        uint64_t bit = rng_below(8 * size, seed, RNG_TEST, i, 0, 0);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        write_bytes(path, bytes, size);
        enum outcome outcome = read_in_child(path, &original);
        if (outcome == UNDETECTED || outcome == CRASHED)
            print_error("bit %llu: %s\n", (unsigned long long)bit,
                        outcome == UNDETECTED ? "not detected" : "crashed");
        count[outcome]++;
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    print_message("%zu rejected, %zu in bytes without meaning\n", count[REJECTED],
                  count[INTACT]);
    assert_int_equal(count[UNDETECTED], 0);
    assert_int_equal(count[CRASHED], 0);
    assert_true(count[REJECTED] > FLIPS / 2);
    write_bytes(path, bytes, size);
    assert_int_equal(read_in_child(path, &original), INTACT);
    free(bytes);
    checkpoint_free(&original);
}

static void rejects_truncated_files(void **state)
{
    (void)state;
    struct checkpoint original;
    size_t size = 0;
    uint8_t *bytes = write_and_read_bytes(&original, &size);
    for (uint64_t i = 0; i < 24; i++) {
        size_t length = i == 0   ? 0
                        : i == 1 ? size - 1
                                 : rng_below(size, 4, RNG_TEST, i, 0, 0);
        write_bytes(path, bytes, length);
        assert_int_equal(read_in_child(path, &original), REJECTED);
    }
    free(bytes);
    checkpoint_free(&original);
}

/* ---- refusals ---- */

static void expect_read_failure(const char *pattern)
{
    struct checkpoint loaded;
    assert_int_equal(checkpoint_read(path, CHECKPOINT_TO_TRAIN, &loaded), STATUS_FAILED);
    if (!strstr(status_message(), pattern))
        print_error("found: %s\n", status_message());
    assert_non_null(strstr(status_message(), pattern));
    assert_ptr_equal(strstr(status_message(), path), status_message());
    assert_null(strchr(status_message(), '\n'));
}

static void rejects_files_of_other_formats(void **state)
{
    (void)state;
    struct h5_file *file = NULL;
    unlink(path);
    expect_read_failure("");
    write_bytes(path, (const uint8_t *)"no checkpoint", 13);
    expect_read_failure("");
    assert_int_equal(h5_create(path, &file), STATUS_OK);
    assert_int_equal(h5_set_text(file, "/", "format", "tutti dataset"), STATUS_OK);
    assert_int_equal(h5_close(file), STATUS_OK);
    expect_read_failure("not a tutti checkpoint");
    assert_int_equal(h5_create(path, &file), STATUS_OK);
    assert_int_equal(h5_set_text(file, "/", "format", "tutti checkpoint"), STATUS_OK);
    assert_int_equal(h5_set_i64(file, "/", "format_version", 2), STATUS_OK);
    assert_int_equal(h5_close(file), STATUS_OK);
    expect_read_failure("newer tutti");
}

/* A file whose parts are intact but inconsistent. */
static void rejects_inconsistent_config(void **state)
{
    (void)state;
    struct checkpoint original;
    fill_checkpoint(&original, CELL_LSTM, OPTIMIZER_ADAM, 0);
    original.options.model.hidden++;
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    expect_read_failure("/model/lstm0/weight_ih");
    original.options.model.hidden--;
    original.options.train.microbatches = 4;
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    expect_read_failure("/state/cursors");
    original.options.train.microbatches = 3; /* does not divide the batch */
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    expect_read_failure("/config");
    original.options.train.microbatches = 2;
    original.options.data.encoding = ENCODING_PIANOROLL;
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    expect_read_failure("vocabulary");
    checkpoint_free(&original);
}

/* ---- values that no run reaches ---- */

static void expect_rejected(struct checkpoint *original, const char *pattern)
{
    assert_int_equal(checkpoint_write(path, original), STATUS_OK);
    expect_read_failure(pattern);
}

/* Replaces one integer by several others: each must be refused, with the pattern in the
 * message. */
static void expect_integers_rejected(struct checkpoint *original, int64_t *at,
                                     size_t count, const int64_t *values,
                                     const char *pattern)
{
    int64_t before = *at;
    for (size_t i = 0; i < count; i++) {
        *at = values[i];
        expect_rejected(original, pattern);
    }
    *at = before;
}

static void expect_doubles_rejected(struct checkpoint *original, double *at,
                                    const char *pattern)
{
    static const double values[] = {(double)NAN, -HUGE_VAL, 1e300, -5};
    double before = *at;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        *at = values[i];
        expect_rejected(original, pattern);
    }
    *at = before;
}

static const int64_t extremes[] = {-1, INT64_MIN, INT64_MAX, (INT64_C(1) << 53) + 1,
                                   INT64_C(1) << 40};
enum { EXTREMES = sizeof extremes / sizeof *extremes };

static void rejects_counters_out_of_range(void **state)
{
    (void)state;
    struct checkpoint original;
    fill_checkpoint(&original, CELL_GRU, OPTIMIZER_ADAM, 0);
    const struct {
        int64_t *at;
        const char *pattern;
    } counters[] = {
        {&original.state.step, "step"},
        {&original.state.epoch, "epoch"},
        {&original.state.epoch_step, "/state: attribute epoch_step: "},
        {&original.state.epoch_targets, "/state: attribute epoch_targets: "},
        {&original.state.epoch_correct, "/state: attribute epoch_correct: "},
        {&original.state.schedule.best_epoch, "/state: attribute best_epoch: "},
        {&original.state.schedule.bad_epochs, "/state: attribute bad_epochs: "},
        {&original.state.schedule.plateau_wait, "/state: attribute plateau_wait: "},
        {&original.state.optimizer.updates, "/optimizer: attribute updates: "},
        {&original.provenance.ranks, "/provenance: attribute ranks: "},
        {&original.state.history[1].epoch, "/history/epoch: "},
        {&original.state.history[1].step, "/history/step: "},
        {&original.streams.cursors[1].epoch, "/state/cursors/epoch: "},
        {&original.streams.cursors[1].next, "/state/cursors/next: "},
        {&original.streams.rows[1].epoch, "/state/rows/epoch: "},
        {&original.streams.rows[1].offset, "/state/rows/offset: "},
    };
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        expect_integers_rejected(&original, counters[i].at, EXTREMES, extremes,
                                 counters[i].pattern);
    expect_integers_rejected(&original, &original.streams.rows[1].piece, EXTREMES - 1,
                             extremes + 1, "/state/rows/piece: "); /* -1 is none yet */
    expect_integers_rejected(&original, &original.pairs[0], 1, &extremes[2],
                             "/pairs/count: ");
    expect_integers_rejected(&original, &original.state.epoch_step, 1, &(int64_t){4},
                             "epoch_step: 4 (expected");
    original.state.epoch_correct = 0;
    expect_integers_rejected(
        &original, &original.state.epoch_targets, 1, &(int64_t){4},
        "epoch_targets: 4 (expected 5 to "); /* a step has one or more */
    original.state.epoch_correct = 60;
    expect_integers_rejected(&original, &original.state.optimizer.updates, 1,
                             &(int64_t){122}, "updates: 122");
    checkpoint_free(&original);
}

static void rejects_metrics_out_of_range(void **state)
{
    (void)state;
    struct checkpoint original, loaded;
    fill_checkpoint(&original, CELL_LSTM, OPTIMIZER_ADAM, 0);
    const struct {
        double *at;
        const char *pattern;
    } metrics[] = {
        {&original.state.epoch_loss, "/state: attribute epoch_loss: "},
        {&original.state.schedule.best_valid, "/state: attribute best_valid: "},
        {&original.state.schedule.factor, "/state: attribute factor: "},
        {&original.state.history[0].train_loss, "/history/train_loss: "},
        {&original.state.history[0].train_accuracy, "/history/train_accuracy: "},
        {&original.state.history[0].learning_rate, "/history/learning_rate: "},
        {&original.state.history[0].seconds, "/history/seconds: "},
        {&original.state.history[0].tokens_per_second, "/history/tokens_per_second: "},
    };
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        expect_doubles_rejected(&original, metrics[i].at, metrics[i].pattern);
    original.state.history[0].valid_loss = -5;
    expect_rejected(&original, "/history/valid_loss: -5 in row 0");
    original.state.history[0].valid_loss = 0.7;
    original.state.history[1].valid_loss = (double)NAN; /* no validation split */
    original.state.schedule.bad_epochs = 0;
    original.state.schedule.factor = 1;
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    assert_int_equal(checkpoint_read(path, CHECKPOINT_TO_TRAIN, &loaded), STATUS_OK);
    checkpoint_free(&loaded);
    checkpoint_free(&original);
}

/* Each value is within its range, but inconsistent with losses and weights. */
static void rejects_state_inconsistent_with_history(void **state)
{
    (void)state;
    struct checkpoint original, loaded;
    fill_checkpoint(&original, CELL_LSTM, OPTIMIZER_ADAM, 0);
    expect_integers_rejected(&original, &original.state.schedule.best_epoch, 2,
                             (int64_t[]){0, 2}, "/state: attribute best_epoch: ");
    expect_integers_rejected(&original, &original.state.schedule.bad_epochs, 2,
                             (int64_t[]){0, 2}, "/state: attribute bad_epochs: ");
    original.state.schedule.best_valid = nextafter(0.7, 1);
    expect_rejected(&original,
                    "/state: attribute best_valid: 0.7 (expected 0.7, by /history)");
    original.state.schedule.best_valid = 0.7;
    original.state.schedule.plateau_wait = 1;
    expect_rejected(&original,
                    "/state: attribute plateau_wait: 1 (expected 0, by /history)");
    original.state.schedule.plateau_wait = 0;
    original.state.schedule.factor = 1;
    expect_rejected(&original,
                    "/state: attribute factor: 1 (expected 0.25, by /history)");
    original.state.history[0].valid_loss = original.state.history[1].valid_loss =
        (double)NAN;
    expect_rejected(&original,
                    "/state: attribute best_epoch: 1 (expected 0, by /history)");
    original.state.schedule = (struct schedule_state){0.7, 0, 0, 0, 1};
    expect_rejected(&original,
                    "/state: attribute best_valid: 0.7 (expected inf, by /history)");
    original.state.schedule.best_valid = (double)INFINITY;
    original.state.epoch_step = original.state.epoch_targets =
        original.state.epoch_correct = 0;
    original.state.history[1].step = original.state.step;
    expect_rejected(&original,
                    "/state: attribute epoch_loss: 0.333333 (expected 0 to 0)");
    original.state.epoch_loss = 0;
    expect_rejected(&original,
                    "/history/weights_hash: ffffffffffffffff in row 1 (expected ");
    original.state.history[1].weights_hash =
        params_hash(&original.params, original.weights);
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    assert_int_equal(checkpoint_read(path, CHECKPOINT_TO_TRAIN, &loaded), STATUS_OK);
    checkpoint_free(&loaded);
    checkpoint_free(&original);
}

static void rejects_values_that_are_not_finite(void **state)
{
    (void)state;
    struct checkpoint original, loaded;
    fill_checkpoint(&original, CELL_LSTM, OPTIMIZER_ADAM, 0);
    struct optimizer *optimizer = &original.state.optimizer;
    const struct {
        float *at, value;
        const char *pattern;
    } values[] = {
        {&optimizer->first[3], NAN, "/optimizer/first/embedding/weight: value 3 is nan"},
        {&optimizer->second[3], HUGE_VALF, "/optimizer/second/embedding/weight: value 3"},
        {&optimizer->second[0], -1, "value 0 is -1 (expected finite numbers, none below"},
        {&original.streams.hidden[1], NAN, "/state/hidden: "},
        {&original.weights[original.params.total - 1], -HUGE_VALF,
         "/model/output/bias: value "},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        float before = *values[i].at;
        *values[i].at = values[i].value;
        expect_rejected(&original, values[i].pattern);
        *values[i].at = before;
    }
    original.weights[7] = NAN;
    expect_rejected(&original, "/model/embedding/weight: value 7 is nan");
    assert_int_equal(checkpoint_read(path, CHECKPOINT_TO_PREDICT, &loaded),
                     STATUS_FAILED);
    assert_int_equal(checkpoint_read(path, CHECKPOINT_TO_INSPECT, &loaded), STATUS_OK);
    checkpoint_free(&loaded);
    checkpoint_free(&original);
}

/* A small file whose metadata claims a large model, or a table of a million rows. */
static void rejects_sizes_beyond_the_file(void **state)
{
    (void)state;
    struct checkpoint original;
    fill_checkpoint(&original, CELL_LSTM, OPTIMIZER_ADAM, 0);
    original.options.model.hidden = 16384;
    expect_rejected(&original, "can hold");
    original.options.model.hidden = 8;
    original.options.train.batch = 1000000;
    expect_rejected(&original, "/state/rows/epoch: 4 rows of 1 (expected 1000000");
    checkpoint_free(&original);
}

static void failed_write_keeps_the_old_file(void **state)
{
    (void)state;
    struct checkpoint original, loaded;
    fill_checkpoint(&original, CELL_GRU, OPTIMIZER_SGD, 0);
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    original.state.step++;
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(checkpoint_write(path, &original), STATUS_FAILED);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(checkpoint_read(path, CHECKPOINT_TO_TRAIN, &loaded), STATUS_OK);
    assert_int_equal(loaded.state.step, original.state.step - 1);
    checkpoint_free(&loaded);
    checkpoint_free(&original);
}

/* The predictable temporary name of older programs is not used. */
static void ignores_a_planted_temporary_name(void **state)
{
    (void)state;
    struct checkpoint original;
    char *planted = file_partial_name(path), victim[256], target[256] = "";
    assert_non_null(planted);
    snprintf(victim, sizeof victim, "%s/victim", directory);
    assert_int_equal(symlink(victim, planted), 0);
    fill_checkpoint(&original, CELL_GRU, OPTIMIZER_SGD, 0);
    assert_int_equal(checkpoint_write(path, &original), STATUS_OK);
    assert_true(readlink(planted, target, sizeof target - 1) > 0);
    assert_string_equal(target, victim);
    assert_int_not_equal(access(victim, F_OK), 0);
    assert_int_equal(unlink(planted), 0);
    free(planted);
    checkpoint_free(&original);
}

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/checkpoint.h5", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    return file_remove_tree(directory) == STATUS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_every_cell_and_optimizer),
        cmocka_unit_test(round_trips_without_pairs),
        cmocka_unit_test(equal_states_give_equal_files),
        cmocka_unit_test(detects_flipped_bits),
        cmocka_unit_test(rejects_truncated_files),
        cmocka_unit_test(rejects_files_of_other_formats),
        cmocka_unit_test(rejects_inconsistent_config),
        cmocka_unit_test(rejects_counters_out_of_range),
        cmocka_unit_test(rejects_metrics_out_of_range),
        cmocka_unit_test(rejects_state_inconsistent_with_history),
        cmocka_unit_test(rejects_values_that_are_not_finite),
        cmocka_unit_test(rejects_sizes_beyond_the_file),
        cmocka_unit_test(failed_write_keeps_the_old_file),
        cmocka_unit_test(ignores_a_planted_temporary_name),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
