/* ranks: 1 2 3 4
 *
 * evaluate: against models of one row that are fed one piece at a time, whose
 * probabilities are averaged; and against baselines counted by rescanning the training
 * split's text for each token. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ranks.h"
#include "remove_tree.h"
#include "base/file.h"
#include "base/rng.h"
#include "comm/microbatches.h"
#include "data/preprocess.h"
#include "midi/midi.h"
#include "train/evaluate.h"
#include "train/baselines.h"

enum { TUNES = 24, MICROBATCHES = 4, ROWS = 2, STEPS = 7, MAX_TOKENS = 4000, MODELS = 3 };

static char directory[64] = "/tmp/tutti-evaluate-XXXXXX";

/* A tune of 5 to 24 notes, some in chords, and a drum on every beat. The drums are in the
 * note columns but not in the tokens. */
static enum status write_tune(int number)
{
    struct notes notes = {.ticks_per_beat = 96};
    uint64_t n = (uint64_t)number, count = 5 + rng_below(20, 1, RNG_TEST, n, 0, 0);
    enum status status = STATUS_OK;
    for (uint64_t i = 0; status == STATUS_OK && i < count; i++) {
        uint64_t beat = i - (i % 3 == 2); /* every third note joins the previous one */
        struct note note = {
            .start = 0.5 * (double)beat,
            .duration = 0.5,
            .start_tick = (uint32_t)(96 * beat),
            .duration_ticks = 96,
            .pitch = (uint8_t)(40 + 3 * (i % 3) + rng_below(24, 2, RNG_TEST, n, i, 0)),
            .velocity = (uint8_t)(60 + i % 3)};
        struct note drum = note;
        drum.channel = PERCUSSION_CHANNEL;
        drum.pitch = 36;
        status = notes_append(&notes, &note);
        if (status == STATUS_OK && beat == i)
            status = notes_append(&notes, &drum);
    }
    char path[128];
    snprintf(path, sizeof path, "%s/midi/tune-%02d.mid", directory, number);
    if (status == STATUS_OK)
        status = midi_write(path, &notes, 96, 500000);
    notes_free(&notes);
    return status;
}

static enum status write_tunes(void)
{
    char path[128];
    if (!mkdtemp(directory))
        return status_fail_errno("%s", directory);
    snprintf(path, sizeof path, "%s/midi", directory);
    enum status status = file_make_directories(path);
    for (int i = 0; status == STATUS_OK && i < TUNES; i++)
        status = write_tune(i);
    return status;
}

/* Of the dataset in an encoding. */
static void set_path(int encoding, char path[128])
{
    snprintf(path, 128, "%s/data-%d", directory, encoding);
}

/* Makes a dataset of the tunes in the directory. Collective. */
static enum status make_dataset(struct comm *comm, int encoding)
{
    static struct options options;
    char midi[128], path[128];
    const char *inputs[] = {midi};
    struct preprocess_summary summary;
    snprintf(midi, sizeof midi, "%s/midi", directory);
    set_path(encoding, path);
    options_defaults(&options);
    options.data.encoding = encoding;
    options.data.shards = 5;
    options.data.split[0] = 0.5;
    options.data.split[1] = 0.5;
    options.data.split[2] = 0;
    const struct preprocess_request request = {
        .inputs = inputs, .input_count = 1, .output = path, .options = &options};
    return preprocess(comm, &request, &summary);
}

static struct dataset *open_dataset(int encoding)
{
    char path[128];
    struct dataset *dataset = NULL;
    set_path(encoding, path);
    assert_int_equal(dataset_open(path, &dataset), STATUS_OK);
    return dataset;
}

/* Model m of an ensemble: its weights and, from m = 1 on, its shape are its own. */
static struct model *make_model(const struct dataset *dataset, int m, int microbatches,
                                int rows, int steps)
{
    const struct model_shape shape = {.cell = m == 1 ? CELL_GRU : CELL_LSTM,
                                      .layers = m == 2 ? 1 : 2,
                                      .hidden = 10 + 3 * m,
                                      .embedding = 6 + m,
                                      .vocabulary = (int)dataset->encoding->vocabulary};
    struct model *model = NULL;
    const struct model_plan plan = {.shape = &shape,
                                    .end = dataset->encoding->end,
                                    .microbatches = microbatches,
                                    .rows = rows,
                                    .steps = steps,
                                    .backend = &matmul_float32};
    assert_int_equal(model_create(&plan, &model), STATUS_OK);
    size_t total = model_params(model)->total;
    for (size_t i = 0; i < total; i++) /* large enough for distinct predictions */
        model_weights(model)[i] =
            (float)(0.4 * rng_normal(3, RNG_TEST, i, (uint64_t)m, 0));
    model_weights_changed(model);
    return model;
}

/* ---- the reference ---- */

struct naive {
    double loss, frame_loss;
    uint64_t tokens, correct, pieces, notes, notes_in_columns, frames;
    double seconds;
};

/* Adds the probabilities of all tokens, [steps][V], that model m predicts for one row in
 * one window. */
static void add_probabilities(const struct dataset *dataset, int m, const token *inputs,
                              int steps, double *sum)
{
    struct model *model = make_model(dataset, m, 1, 1, steps);
    int v = (int)dataset->encoding->vocabulary;
    model_forward(model, (const token *const[]){inputs}, NULL, NULL, NULL);
    const float *logits = model_logits(model, 0);
    for (int i = 0; i < steps; i++, logits += v) {
        double total = 0;
        for (int k = 0; k < v; k++)
            total += exp((double)logits[k]);
        for (int k = 0; k < v; k++)
            sum[i * v + k] += exp((double)logits[k]) / total;
    }
    model_free(model);
}

static int largest(const double *values, int count)
{
    int found = 0;
    for (int i = 1; i < count; i++)
        if (values[i] > values[found])
            found = i;
    return found;
}

/* Predicts one piece with the mean of the probabilities of models 0 .. count - 1. */
static void add_piece(const struct dataset *dataset, const struct shard *shard,
                      const struct piece *piece, int count, struct naive *sum)
{
    const struct encoding *encoding = dataset->encoding;
    const token *tokens = shard->tokens + piece->token_first;
    int n = (int)piece->token_count, frame = 0, v = (int)encoding->vocabulary;
    double *probabilities = calloc((size_t)((n + 1) * v), sizeof *probabilities);
    token inputs[MAX_TOKENS] = {encoding->end};
    assert_true(probabilities && n + 1 <= MAX_TOKENS);
    memcpy(inputs + 1, tokens, (size_t)n * sizeof *inputs);
    for (int m = 0; m < count; m++)
        add_probabilities(dataset, m, inputs, n + 1, probabilities);
    for (int i = 0; i <= n; i++) {
        int target = i < n ? tokens[i] : encoding->end;
        double loss = -log(probabilities[i * v + target] / count);
        sum->loss += loss;
        if (frame > 0 && i < n)
            sum->frame_loss += loss;
        sum->correct += largest(probabilities + i * v, v) == target;
        frame += target == encoding->end - 1; /* pianoroll: STEP */
    }
    sum->frames += frame > 0 ? (uint64_t)frame - 1 : 0;
    sum->tokens += (uint64_t)n + 1;
    sum->pieces++;
    struct notes decoded = {0};
    assert_int_equal(encoding->decode(encoding, tokens, (size_t)n, 0, &decoded),
                     STATUS_OK);
    sum->notes += decoded.count;
    sum->notes_in_columns += piece->notes;
    notes_free(&decoded);
    sum->seconds += piece->seconds;
    free(probabilities);
}

static struct shard all_pieces(const struct dataset *dataset, enum split split)
{
    struct shard shard = {0};
    for (size_t s = 0; s < dataset->shard_count; s++)
        assert_int_equal(dataset_read_shard(dataset, s, split, &shard), STATUS_OK);
    return shard;
}

static struct naive naive_evaluation(const struct dataset *dataset, int count)
{
    struct naive sum = {0};
    struct shard shard = all_pieces(dataset, SPLIT_VALID);
    for (size_t i = 0; i < shard.piece_count; i++)
        add_piece(dataset, &shard, &shard.pieces[i], count, &sum);
    shard_free(&shard);
    return sum;
}

/* ---- the tests ---- */

static int is_near(double found, double expected)
{
    return fabs(found - expected) <= 2e-6 * fabs(expected);
}

static void check_figures(const struct evaluation *found, const struct naive *naive,
                          int encoding)
{
    expect(naive->pieces > 5 && naive->pieces < TUNES - 5);
    expect(found->tokens == naive->tokens && found->pieces == naive->pieces);
    expect(found->notes == naive->notes && naive->notes > 50);
    /* the pianoroll merges repeated notes */
    expect(naive->notes_in_columns > naive->notes + 30 || encoding != ENCODING_PIANOROLL);
    expect(is_near(found->seconds, naive->seconds));
    expect(is_near(found->loss, naive->loss / (double)naive->tokens));
    expect(is_near(found->accuracy, (double)naive->correct / (double)naive->tokens));
    expect(is_near(found->per_note, naive->loss / (double)naive->notes));
    expect(is_near(found->per_second, naive->loss / naive->seconds));
    expect(is_near(found->per_piece, naive->loss / (double)naive->pieces));
    if (encoding == ENCODING_PIANOROLL) {
        expect(found->frames == naive->frames && naive->frames > 20);
        expect(is_near(found->per_frame, naive->frame_loss / (double)naive->frames));
    } else {
        expect(found->frames == 0);
    }
}

static struct evaluation_request request_of(const struct dataset *dataset)
{
    return (struct evaluation_request){.dataset = dataset,
                                       .split = SPLIT_VALID,
                                       .microbatches = MICROBATCHES,
                                       .rows = ROWS,
                                       .steps = STEPS};
}

static int own_microbatches(struct comm *comm)
{
    return microbatches_of_rank(MICROBATCHES, comm_rank(comm), comm_size(comm)).count;
}

/* An ensemble of models 0 .. count - 1, with carried states that must be restored. */
static void check_evaluation(struct comm *comm, int encoding, int count)
{
    struct dataset *dataset = open_dataset(encoding);
    const struct evaluation_request request = request_of(dataset);
    int own = own_microbatches(comm);
    struct model *models[MODELS] = {NULL};
    for (int m = 0; m < count; m++)
        models[m] = make_model(dataset, m, own, ROWS, STEPS);
    const struct ensemble ensemble = {.models = models, .count = count};
    size_t size = ensemble_state_size(&ensemble);
    float *before = malloc(size * sizeof *before), *after = malloc(size * sizeof *after);
    for (size_t i = 0; i < size; i++)
        before[i] = (float)(i % 17);
    ensemble_set_state(&ensemble, own - 1, before);
    struct evaluation found;
    expect(evaluate_split(comm, &request, &ensemble, &found) == STATUS_OK);
    ensemble_get_state(&ensemble, own - 1, after);
    expect(memcmp(before, after, size * sizeof *before) == 0);
    struct naive naive = naive_evaluation(dataset, count);
    check_figures(&found, &naive, encoding);
    free(before);
    free(after);
    for (int m = 0; m < count; m++)
        model_free(models[m]);
    dataset_close(dataset);
    agree_on_verdict(comm);
}

static void matches_naive_evaluation_performance(void **state)
{
    check_evaluation(*state, ENCODING_PERFORMANCE, 1);
}

static void matches_naive_evaluation_pianoroll(void **state)
{
    check_evaluation(*state, ENCODING_PIANOROLL, 1);
}

static void ensembles_match_naive_evaluation(void **state)
{
    check_evaluation(*state, ENCODING_PERFORMANCE, 2);
    check_evaluation(*state, ENCODING_PIANOROLL, MODELS);
}

/* Twice the same model predicts what it predicts alone. */
static void one_model_twice_is_that_model(void **state)
{
    struct comm *comm = *state;
    struct dataset *dataset = open_dataset(ENCODING_PIANOROLL);
    const struct evaluation_request request = request_of(dataset);
    struct model *models[2];
    struct evaluation once, twice;
    for (int i = 0; i < 2; i++)
        models[i] = make_model(dataset, 1, own_microbatches(comm), ROWS, STEPS);
    const struct ensemble one = {.models = models, .count = 1};
    const struct ensemble two = {.models = models, .count = 2};
    expect(evaluate_split(comm, &request, &one, &once) == STATUS_OK);
    expect(evaluate_split(comm, &request, &two, &twice) == STATUS_OK);
    expect(memcmp(&once, &twice, sizeof once) == 0);
    for (int i = 0; i < 2; i++)
        model_free(models[i]);
    dataset_close(dataset);
    agree_on_verdict(comm);
}

/* ---- stopping ---- */

struct stop_after {
    int windows; /* until the stop; < 0: never */
};

static bool window_limit_reached(void *context)
{
    struct stop_after *stop_after = context;
    return stop_after->windows >= 0 && stop_after->windows-- == 0;
}

/* One rank stops after some windows: all ranks have the same outcome, the carried states
 * are restored, and the next pass gives the same result. */
static void stops_on_all_ranks_and_restores_states(void **state)
{
    struct comm *comm = *state;
    struct dataset *dataset = open_dataset(ENCODING_PERFORMANCE);
    struct model *model = make_model(dataset, 0, own_microbatches(comm), ROWS, STEPS);
    const struct ensemble ensemble = {.models = &model, .count = 1};
    size_t size = model_state_size(model);
    float *before = malloc(size * sizeof *before), *after = malloc(size * sizeof *after);
    for (size_t i = 0; i < size; i++)
        before[i] = (float)(i % 13);
    model_set_state(model, 0, before);
    struct evaluation uninterrupted, found;
    struct evaluation_request request = request_of(dataset);
    expect(evaluate_split(comm, &request, &ensemble, &uninterrupted) == STATUS_OK);
    for (int windows = 0; windows < 3; windows++) {
        bool stops = comm_rank(comm) == windows % comm_size(comm);
        struct stop_after stop_after = {.windows = stops ? windows : -1};
        const struct evaluation_stop stop = {.wanted = window_limit_reached,
                                             .context = &stop_after};
        request.stop = &stop;
        expect(evaluate_split(comm, &request, &ensemble, &found) == STATUS_STOPPED);
        model_get_state(model, 0, after);
        expect(memcmp(before, after, size * sizeof *before) == 0);
        stop_after.windows = -1;
        expect(evaluate_split(comm, &request, &ensemble, &found) == STATUS_OK);
        expect(memcmp(&uninterrupted, &found, sizeof uninterrupted) == 0);
    }
    free(before);
    free(after);
    model_free(model);
    dataset_close(dataset);
    agree_on_verdict(comm);
}

/* A split as one text: END piece END piece ... END. */
static size_t text_of(const struct dataset *dataset, enum split split, token *text)
{
    struct shard shard = all_pieces(dataset, split);
    size_t length = 0;
    text[length++] = dataset->encoding->end;
    for (size_t i = 0; i < shard.piece_count; i++) {
        const struct piece *piece = &shard.pieces[i];
        assert_true(length + piece->token_count + 1 <= MAX_TOKENS);
        for (size_t k = 0; k < piece->token_count; k++)
            text[length++] = shard.tokens[piece->token_first + k];
        text[length++] = dataset->encoding->end;
    }
    shard_free(&shard);
    return length;
}

/* p(b), by scanning. */
static double naive_unigram(const token *text, size_t length, size_t vocabulary, token b)
{
    size_t count = 1;
    for (size_t i = 1; i < length; i++)
        count += text[i] == b;
    return (double)count / ((double)(length - 1) + (double)vocabulary);
}

/* p(b|a), by scanning. */
static double naive_bigram(const token *text, size_t length, size_t vocabulary, token a,
                           token b)
{
    double pairs = 0, context = 0, distinct = 1;
    bool seen[1 << 16] = {false};
    for (size_t i = 1; i < length; i++) {
        if (text[i - 1] != a)
            continue;
        context++;
        pairs += text[i] == b;
        distinct += !seen[text[i]];
        seen[text[i]] = true;
    }
    return (pairs + distinct * naive_unigram(text, length, vocabulary, b)) /
           (context + distinct);
}

static void baselines_match_naive_counts(void **state)
{
    struct comm *comm = *state;
    struct dataset *dataset = open_dataset(ENCODING_PERFORMANCE);
    static token train[MAX_TOKENS], valid[MAX_TOKENS];
    size_t train_length = text_of(dataset, SPLIT_TRAIN, train);
    size_t valid_length = text_of(dataset, SPLIT_VALID, valid);
    size_t v = dataset->encoding->vocabulary;
    double unigram = 0, bigram = 0;
    for (size_t i = 1; i < valid_length; i++) {
        unigram -= log(naive_unigram(train, train_length, v, valid[i]));
        bigram -= log(naive_bigram(train, train_length, v, valid[i - 1], valid[i]));
    }
    struct baselines baselines;
    int64_t *pairs = NULL;
    expect(baselines_count(comm, dataset, SPLIT_TRAIN, &pairs) == STATUS_OK);
    expect(baselines_evaluate(comm, dataset, SPLIT_VALID, pairs, &baselines) ==
           STATUS_OK);
    expect(fabs(baselines.unigram - unigram / (double)(valid_length - 1)) < 1e-10);
    expect(fabs(baselines.bigram - bigram / (double)(valid_length - 1)) < 1e-10);
    expect(baselines.bigram < baselines.unigram);
    struct baselines empty;
    expect(baselines_evaluate(comm, dataset, SPLIT_TEST, pairs, &empty) == STATUS_OK);
    expect(isnan(empty.unigram) && isnan(empty.bigram));
    free(pairs);
    dataset_close(dataset);
    agree_on_verdict(comm);
}

int main(int argc, char **argv)
{
    struct comm *comm = NULL;
    if (comm_open(&argc, &argv, &comm) != STATUS_OK)
        return 1;
    enum status status = comm_rank(comm) == 0 ? write_tunes() : STATUS_OK;
    status = comm_agree(comm, status);
    if (status == STATUS_OK)
        status = comm_broadcast(comm, directory, sizeof directory);
    if (status == STATUS_OK)
        status = make_dataset(comm, ENCODING_PERFORMANCE);
    if (status == STATUS_OK)
        status = make_dataset(comm, ENCODING_PIANOROLL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(matches_naive_evaluation_performance, comm),
        cmocka_unit_test_prestate(matches_naive_evaluation_pianoroll, comm),
        cmocka_unit_test_prestate(ensembles_match_naive_evaluation, comm),
        cmocka_unit_test_prestate(one_model_twice_is_that_model, comm),
        cmocka_unit_test_prestate(stops_on_all_ranks_and_restores_states, comm),
        cmocka_unit_test_prestate(baselines_match_naive_counts, comm),
    };
    int failed = status == STATUS_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
    comm_barrier(comm);
    if (comm_rank(comm) == 0)
        file_remove_tree(directory);
    comm_close(comm);
    return failed;
}
