/* options: the table, configuration files, checks, texts and differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remove_tree.h"
#include "base/file.h"
#include "base/options.h"
#include "base/options_table.h"
#include "base/rng.h"

/* Every member of struct options with its range, listed a second time: detects a row of
 * the table that reads into another member or has another range. */
#define WORDS(X)                                                                         \
    X(data.encoding, ENCODINGS)                                                          \
    X(data.programs, PROGRAM_RULES)                                                      \
    X(data.drums, DRUM_RULES)                                                            \
    X(data.pedal, PEDALS)                                                                \
    X(data.tracks, TRACKS)                                                               \
    X(model.cell, CELLS)                                                                 \
    X(model.dropout_mask, DROPOUT_MASKS)                                                 \
    X(model.activation, ACTIVATIONS)                                                     \
    X(model.init, INITS)                                                                 \
    X(train.windows, WINDOWS_KINDS)                                                      \
    X(train.loss_on, LOSS_ONS)                                                           \
    X(train.optimizer, OPTIMIZERS)                                                       \
    X(train.schedule, SCHEDULES)                                                         \
    X(train.average, AVERAGES)                                                           \
    X(train.reduce, REDUCES)                                                             \
    X(train.matmul, MATMULS)                                                             \
    X(train.precision, PRECISIONS)                                                       \
    X(sample.end, ENDS)
#define INTEGERS(X)                                                                      \
    X(data.bpe, 0, 4096)                                                                 \
    X(data.positions, 1, 48)                                                             \
    X(data.shards, 1, 9999)                                                              \
    X(data.min_notes, 0, INT64_MAX)                                                      \
    X(data.max_notes, 1, INT64_MAX)                                                      \
    X(data.max_bytes, 1, INT64_MAX)                                                      \
    X(model.layers, 1, 16)                                                               \
    X(model.hidden, 1, 16384)                                                            \
    X(model.embedding, 0, 16384)                                                         \
    X(model.dense, 0, 16384)                                                             \
    X(train.epochs, 1, 1000000)                                                          \
    X(train.batch, 1, 1000000)                                                           \
    X(train.microbatches, 1, 4096)                                                       \
    X(train.sequence_length, 1, 65536)                                                   \
    X(train.warmup_steps, 0, 1000000000)                                                 \
    X(train.plateau_patience, 1, 1000000)                                                \
    X(train.early_stop_patience, 0, 1000000)                                             \
    X(train.transpose[0], -127, 0)                                                       \
    X(train.transpose[1], 0, 127)                                                        \
    X(train.velocity_shift, 0, 31)                                                       \
    X(train.bucket, 1, INT32_MAX)                                                        \
    X(train.max_steps, 0, INT64_MAX)                                                     \
    X(train.threads, 0, 1024)                                                            \
    X(run.checkpoint_every, 1, 1000000)                                                  \
    X(run.keep_checkpoints, 1, 1000000)                                                  \
    X(run.samples, 0, 1000)                                                              \
    X(sample.top_k, 0, 65536)                                                            \
    X(sample.cache_context, 0, 10000)                                                    \
    X(sample.best_of, 1, 100)
#define SEEDS(X)                                                                         \
    X(data.seed)                                                                         \
    X(train.seed)                                                                        \
    X(sample.seed)
#define NUMBERS(X)                                                                       \
    X(data.max_seconds, 1e9)                                                             \
    X(data.max_silence_seconds, 1e9)                                                     \
    X(data.memory_mb, 1e9)                                                               \
    X(run.hang_timeout_seconds, 1e6)                                                     \
    X(data.split[0], 1)                                                                  \
    X(data.split[1], 1)                                                                  \
    X(data.split[2], 1)                                                                  \
    X(model.dropout, 1)                                                                  \
    X(model.dropout_input, 1)                                                            \
    X(model.dropout_embedding, 1)                                                        \
    X(model.dropout_recurrent, 1)                                                        \
    X(train.learning_rate, 10)                                                           \
    X(train.beta1, 1)                                                                    \
    X(train.beta2, 1)                                                                    \
    X(train.epsilon, 1)                                                                  \
    X(train.momentum, 1)                                                                 \
    X(train.weight_decay, 1)                                                             \
    X(train.final_lr_ratio, 1)                                                           \
    X(train.plateau_factor, 1)                                                           \
    X(train.average_decay, 1)                                                            \
    X(train.label_smoothing, 1)                                                          \
    X(train.time_stretch, 0.5)                                                           \
    X(train.clip_norm, 1e9)                                                              \
    X(run.checkpoint_minutes, 1e6)                                                       \
    X(run.time_limit_minutes, 1e9)                                                       \
    X(run.sample_seconds, 86400)                                                         \
    X(sample.temperature, 100)                                                           \
    X(sample.min_p, 1)                                                                   \
    X(sample.cache, 1)                                                                   \
    X(sample.repetition_penalty, 100)                                                    \
    X(sample.top_p, 1)                                                                   \
    X(sample.min_seconds, 86400)                                                         \
    X(sample.tempo, 1000)                                                                \
    X(sample.max_silence, 3600)                                                          \
    X(sample.max_note_seconds, 3600)
#define BOOLEANS(X)                                                                      \
    X(data.tempo)                                                                        \
    X(data.time_signatures)                                                              \
    X(data.repeats)                                                                      \
    X(train.allow_mixed_cores)                                                           \
    X(model.tie_embeddings)                                                              \
    X(model.residual)                                                                    \
    X(model.layer_norm)                                                                  \
    X(run.hash_steps)                                                                    \
    X(sample.guard)
#define STRINGS(X)                                                                       \
    X(data.dataset)                                                                      \
    X(data.split_file)                                                                   \
    X(train.init_from)                                                                   \
    X(run.dir)                                                                           \
    X(run.interface)

static uint64_t seed, drawn;

static uint64_t draw(uint64_t below)
{
    return rng_below(below, seed, RNG_TEST, 0, 0, drawn++);
}

static double draw_unit(void)
{
    return rng_uniform(seed, RNG_TEST, 0, 1, drawn++);
}

/* An end of the range, or a value within it. */
static int64_t draw_integer(int64_t low, int64_t high)
{
    switch (draw(4)) {
    case 0:
        return low;
    case 1:
        return high;
    default:
        return low + (int64_t)draw((uint64_t)(high - low) + 1);
    }
}

/* In (0, high), of any magnitude. */
static double draw_number(double high)
{
    double value = high * draw_unit();
    if (draw(2))
        value *= pow(10, -30 * draw_unit());
    return value > 0 && value < high ? value : high / 2;
}

/* Any bytes except control characters, with characters that are special in INI more
 * often.
 */
static void draw_string(char *text, size_t size)
{
    size_t length = draw(3) ? draw(20) : draw(size);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)draw(256);
        if (draw(2))
            c = (unsigned char)" #\";=[]\\'"[draw(9)];
        text[i] = (char)(c < ' ' || c == 127 ? 'x' : c);
    }
    text[length] = '\0';
}

static void draw_options(struct options *options)
{
    static const char *const grids[] = {"1/4", "3/16", "120 ticks", "10000/1"};
    static const char *const programs[] = {"all", "0-7, 40,drums", "127"};
    static const char *const metres[] = {"any", "3/4", "64/64"};
    static const char *const scales[] = {"chromatic", "F# minor pentatonic", "Bb MAJOR"};
    options_defaults(options);
#define X(member, count) options->member = (int)draw(count);
    WORDS(X)
#undef X
#define X(member, low, high) options->member = draw_integer(low, high);
    INTEGERS(X)
#undef X
#define X(member) options->member = UINT64_MAX - draw(draw(2) ? 3 : UINT64_MAX);
    SEEDS(X)
#undef X
#define X(member, high) options->member = draw_number(high);
    NUMBERS(X)
#undef X
#define X(member) options->member = draw(2);
    BOOLEANS(X)
#undef X
#define X(member) draw_string(options->member, sizeof options->member);
    STRINGS(X)
#undef X
    const double lowest = 0.01; /* of these */
    options->sample.repetition_penalty = fmax(options->sample.repetition_penalty, lowest);
    options->sample.max_silence = fmax(options->sample.max_silence, lowest);
    options->sample.max_note_seconds = fmax(options->sample.max_note_seconds, lowest);
    strcpy(options->data.grid, grids[draw(4)]);
    strcpy(options->data.only_programs, programs[draw(3)]);
    strcpy(options->sample.scale, scales[draw(3)]);
    strcpy(options->sample.programs, programs[draw(3)]);
    strcpy(options->sample.time_signature, metres[draw(3)]);
}

static void assert_same(const struct options *a, const struct options *b)
{
#define X(member, count) assert_int_equal(a->member, b->member);
    WORDS(X)
#undef X
#define X(member, low, high) assert_true(a->member == b->member);
    INTEGERS(X)
#undef X
#define X(member) assert_true(a->member == b->member);
    SEEDS(X)
#undef X
#define X(member, high) assert_true(a->member == b->member);
    NUMBERS(X)
#undef X
#define X(member) assert_int_equal(a->member, b->member);
    BOOLEANS(X)
#undef X
#define X(member) assert_string_equal(a->member, b->member);
    STRINGS(X)
#undef X
    assert_string_equal(a->data.grid, b->data.grid);
    assert_string_equal(a->data.only_programs, b->data.only_programs);
    assert_string_equal(a->sample.scale, b->sample.scale);
    assert_string_equal(a->sample.programs, b->sample.programs);
    assert_string_equal(a->sample.time_signature, b->sample.time_signature);
}

static void text_round_trips(void **state)
{
    (void)state;
    const char *given = getenv("TUTTI_TEST_SEED");
    seed = given ? strtoull(given, NULL, 10) : 1;
    print_message("TUTTI_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (int trial = 0; trial < 500; trial++) {
        struct options before, after;
        draw_options(&before);
        draw_options(&after); /* every member must be overwritten */
        char *text = options_text(&before, SECTION_ALL);
        if (options_read_text(&after, text, "text") != STATUS_OK)
            fail_msg("%s in:\n%s", status_message(), text);
        assert_same(&before, &after);
        free(text);
    }
}

/* Settings that were written before a setting existed have its default. */
static void older_settings_request_nothing(void **state)
{
    (void)state;
    struct options options;
    options_defaults(&options);
    assert_int_equal(
        options_read_text(&options, "[sample]\nscale = D dorian\ntempo = 90\n", "text"),
        STATUS_OK);
    assert_string_equal(options.sample.programs, "all");
    assert_string_equal(options.sample.time_signature, "any");
}

/* The lists at the top are written by hand: a setting missing there would not be
 * tested. */
static void test_covers_every_setting(void **state)
{
    (void)state;
    size_t listed = 5; /* data.grid, data.only_programs, sample.scale, sample.programs,
                          sample.time_signature */
#define X(...) listed++;
    WORDS(X)
    INTEGERS(X)
    SEEDS(X)
    NUMBERS(X)
    BOOLEANS(X)
    STRINGS(X)
#undef X
    assert_int_equal(listed,
                     option_row_count + 3); /* split has 3 elements, transpose 2 */
}

static void each_section_is_printed_separately(void **state)
{
    (void)state;
    static const char *const names[] = {"[data]", "[model]", "[train]", "[run]",
                                        "[sample]"};
    struct options options;
    options_defaults(&options);
    for (unsigned shown = 0; shown < 5; shown++) {
        char *text = options_text(&options, 1u << shown);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(strstr(text, names[i]) != NULL, i == shown);
        free(text);
    }
}

static void defaults_are_complete_and_valid(void **state)
{
    (void)state;
    struct options options;
    memset(&options, 0xA5, sizeof options);
    options_defaults(&options);
    assert_int_equal(options_check(&options), STATUS_OK);
#define X(member, low, high)                                                             \
    assert_true(options.member >= (low) && options.member <= (high));
    INTEGERS(X)
#undef X
#define X(member, high) assert_true(options.member >= 0 && options.member <= (high));
    NUMBERS(X)
#undef X
#define X(member, count) assert_in_range(options.member, 0, count - 1);
    WORDS(X)
#undef X
    assert_string_equal(options.data.dataset, "");
    assert_string_equal(options.data.grid, "1/4");
    assert_true(options.train.learning_rate == 0.002 && options.train.epsilon == 1e-8);
    assert_true(options.data.split[0] == 0.9 && options.data.split[2] == 0.05);
    assert_int_equal(options.data.max_bytes, 64 << 20);
    assert_int_equal(options.train.optimizer, OPTIMIZER_ADAM);
    assert_int_equal(options.train.schedule, SCHEDULE_COSINE);
}

static struct options read_text(const char *text)
{
    struct options options;
    options_defaults(&options);
    if (options_read_text(&options, text, "a.conf") != STATUS_OK)
        fail_msg("%s in:\n%s", status_message(), text);
    return options;
}

static void parses_settings(void **state)
{
    (void)state;
    struct options options = read_text("\xEF\xBB\xBF# byte order mark, CRLF, blanks\r\n"
                                       "  ; also a comment = x\r\n"
                                       "\r\n"
                                       "[train] # after a section\r\n"
                                       "  batch=64\r\n"
                                       "\tmicrobatches =\t16 # after a value\r\n"
                                       "learning_rate = 5e-3\r\n"
                                       "[data]\r\n"
                                       "split = 0.5\t.25  0.25\r\n"
                                       "dataset = a b#c ; d\r\n"
                                       "split_file = \" # \\\"\\\\ \" # comment\r\n"
                                       "grid = 120 ticks\r\n"
                                       "[train]\r\n"
                                       "warmup-steps = +7\r\n"
                                       "transpose = -5 .. +6\r\n"
                                       "allow_mixed_cores = on");
    assert_int_equal(options.train.batch, 64);
    assert_int_equal(options.train.microbatches, 16);
    assert_true(options.train.learning_rate == 0.005);
    assert_true(options.data.split[0] == 0.5 && options.data.split[1] == 0.25);
    assert_string_equal(options.data.dataset, "a b#c ; d");
    assert_string_equal(options.data.split_file, " # \"\\ ");
    assert_string_equal(options.data.grid, "120 ticks");
    assert_int_equal(options.train.warmup_steps, 7);
    assert_int_equal(options.train.transpose[0], -5);
    assert_int_equal(options.train.transpose[1], 6);
    assert_true(options.train.allow_mixed_cores);
}

static void accepts_four_names_of_yes_and_no(void **state)
{
    (void)state;
    static const char *const words[] = {"yes", "true",  "on",  "1",
                                        "no",  "false", "off", "0"};
    for (int i = 0; i < 8; i++) {
        struct options options;
        options_defaults(&options);
        options.run.hash_steps = i >= 4;
        char assignment[64];
        snprintf(assignment, sizeof assignment, "run.hash_steps=%s", words[i]);
        assert_int_equal(options_set(&options, assignment, "--set"), STATUS_OK);
        assert_int_equal(options.run.hash_steps, i < 4);
    }
}

static void long_lines_are_not_truncated(void **state)
{
    (void)state;
    char text[5000] = "#";
    memset(text + 1, 'x', 3000); /* a long comment is valid */
    strcat(text, "\n[run]\ndir = ");
    size_t start = strlen(text);
    memset(text + start, 'd', 1023);
    struct options options = read_text(text);
    assert_int_equal(strlen(options.run.dir), 1023);
    assert_string_equal(options.run.dir, text + start);
}

static void errors_state_line_and_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[train]\nbatch = 3x",
         "a.conf:2: train.batch = 3x: expected a whole number from 1 to "
         "1000000"},
        {"\n\n[train]\n# x\nbatch = 1e4",
         "a.conf:5: train.batch = 1e4: expected a whole number "
         "from 1 to 1000000; in digits: 10000"},
        {"[train]\nbatch = 10_000", "a.conf:2: train.batch = 10_000: expected"},
        {"[train]\nbatch = 0x10", "a.conf:2: train.batch = 0x10: expected"},
        {"[train]\nbatch = 0", "a.conf:2: train.batch = 0: expected"},
        {"[train]\nbatch = 1000001", "a.conf:2: train.batch = 1000001: expected"},
        {"[train]\nbatch =", "a.conf:2: train.batch = : expected"},
        {"[train]\nbatch = # 32", "a.conf:2: train.batch = : expected"},
        {"[train]\nmax_steps = 9223372036854775808",
         "expected a whole number, at least 0"},
        {"[train]\nmax_steps = -1", "expected a whole number, at least 0"},
        {"[train]\nseed = 18446744073709551616",
         "expected a whole number from 0 to 18446744073709551615"},
        {"[sample]\nseed = -1", "expected a whole number from 0 to 18446744073709551615"},
        {"[data]\nseed = 1e4", "; in digits: 10000"},
        {"[train]\nlearning_rate = 0", "expected a number above 0, at most 10"},
        {"[train]\nlearning_rate = 10.1", "expected a number above 0, at most 10"},
        {"[train]\nlearning_rate = nan", "expected a number above 0, at most 10"},
        {"[train]\nlearning_rate = 0x1p-3", "expected a number above 0, at most 10"},
        {"[train]\nlearning_rate = 0,1", "expected a number above 0, at most 10"},
        {"[train]\nclip_norm = inf", "expected a number from 0 to 1000000000"},
        {"[train]\nclip_norm = 1e999", "expected a number from 0 to 1000000000"},
        {"[train]\nclip_norm = 1 2", "expected a number from 0 to 1000000000"},
        {"[model]\ndropout = 1", "expected a number from 0 to below 1"},
        {"[model]\ncell = ltsm",
         "a.conf:2: model.cell = ltsm: expected lstm or gru; did you "
         "mean lstm?"},
        {"[train]\noptimizer = none_such", "train.optimizer = none_such: expected "},
        {"[sample]\nguard = maybe", "a.conf:2: sample.guard = maybe: expected yes or no"},
        {"[train]\ntranspose = 5",
         "a.conf:2: train.transpose = 5: expected LOW..HIGH, LOW from -127 to 0, HIGH "
         "from 0 to 127"},
        {"[train]\ntranspose = 1..5", "train.transpose = 1..5: expected LOW..HIGH"},
        {"[train]\ntranspose = -5..-1", "train.transpose = -5..-1: expected LOW..HIGH"},
        {"[train]\ntranspose = -128..1", "train.transpose = -128..1: expected LOW"},
        {"[train]\ntranspose = 0..128", "train.transpose = 0..128: expected LOW"},
        {"[train]\ntranspose = -5..", "train.transpose = -5..: expected LOW..HIGH"},
        {"[train]\ntranspose = ..5", "train.transpose = ..5: expected LOW..HIGH"},
        {"[train]\ntranspose = -5...5", "train.transpose = -5...5: expected LOW..HIGH"},
        {"[data]\nsplit = .5 .5",
         "a.conf:2: data.split = .5 .5: expected 3 numbers from 0 to 1"},
        {"[data]\nsplit = .5 .5 0 0", "expected 3 numbers from 0 to 1"},
        {"[data]\ngrid = 0/4", "a.conf:2: data.grid = 0/4: expected beats as \"1/4\""},
        {"[data]\ngrid = 1/4 beats", "a.conf:2: data.grid = 1/4 beats: expected beats"},
        {"[data]\ngrid = 1/-4", "a.conf:2: data.grid = 1/-4: expected beats"},
        {"[data]\ngrid = 0 ticks", "a.conf:2: data.grid = 0 ticks: expected beats"},
        {"[data]\ngrid = 10001 ticks",
         "a.conf:2: data.grid = 10001 ticks: expected beats"},
        {"[data]\nonly_programs = 0-128",
         "a.conf:2: data.only_programs = 0-128: expected all, or programs from 0 to 127 "
         "and drums, as in 0-7,40,drums"},
        {"[data]\nonly_programs =",
         "a.conf:2: data.only_programs = : expected all, or programs"},
        {"[sample]\nscale = H dorian",
         "a.conf:2: sample.scale = H dorian: expected a tonic and a mode, such as \"D "
         "dorian\": major, minor, ionian, dorian, phrygian, lydian, mixolydian, aeolian, "
         "locrian, harmonic minor, melodic minor, pentatonic, minor pentatonic, blues or "
         "chromatic"},
        {"[sample]\ntime_signature = 3/5", "a.conf:2: sample.time_signature = 3/5: "
                                           "expected any, or a time signature such as "
                                           "3/4"},
        {"[sample]\ntime_signature = 0/4",
         "a.conf:2: sample.time_signature = 0/4: expected"},
        {"[sample]\ntime_signature = 65/4",
         "a.conf:2: sample.time_signature = 65/4: expected"},
        {"[sample]\ntime_signature = 3/128",
         "a.conf:2: sample.time_signature = 3/128: expected"},
        {"[sample]\nprograms = 0-128",
         "a.conf:2: sample.programs = 0-128: expected all, or"},
        {"[data]\ngrid = 120", "a.conf:2: data.grid = 120: expected beats"},
        {"[data]\ndataset = \"x", "a.conf:2: expected a closing '\"'"},
        {"[data]\ndataset = \"x\" y", "a.conf:2: expected nothing but a comment after"},
        {"[train]\nbtach = 3",
         "a.conf:2: unknown key btach in [train]; did you mean batch?"},
        {"[train]\ntop_k = 3",
         "a.conf:2: unknown key top_k in [train]; top_k is a key of "
         "[sample]"},
        {"[train]\nzzzzzz = 3", "a.conf:2: unknown key zzzzzz in [train]"},
        {"[trian]",
         "a.conf:1: unknown section [trian], expected one of [data] [model] [train] "
         "[run] [sample]; did you mean train?"},
        {"[train", "a.conf:1: [train: the ']' is missing"},
        {"[train] x", "a.conf:1: [train] x: expected nothing after the ']'"},
        {"batch = 3", "a.conf:1: batch is before the first [section]"},
        {"[train]\nbatch 3", "a.conf:2: batch 3: expected [section] or key = value"},
        {"[train]\nbatch: 3", "a.conf:2: batch: 3: expected [section] or key = value"},
        {"[train]\n= 3", "a.conf:2: "},
        {"[train]\nbatch = 8\n  64", "a.conf:3: 64: expected [section] or key = value"},
        {"[train]\nbatch = 8\n[run]\n[train]\nbatch = 8",
         "a.conf:5: train.batch is already set "
         "on line 2"},
        {"[run]\ndir = a\tb", "a.conf:2: run.dir = a\\x09b: expected one line"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct options options, untouched;
        options_defaults(&options);
        options_defaults(&untouched);
        enum status status = options_read_text(&options, cases[i].text, "a.conf");
        if (status != STATUS_MISUSE || !strstr(status_message(), cases[i].message))
            fail_msg("%s\ngave %d: %s\nnot: %s", cases[i].text, status, status_message(),
                     cases[i].message);
        assert_null(strchr(status_message(), '\n'));
        assert_memory_equal(&options, &untouched, sizeof options);
    }
}

static void expands_home_in_paths(void **state)
{
    (void)state;
    struct options options;
    options_defaults(&options);
    setenv("HOME", "/home/me", 1);
    const char *text =
        "[data]\ndataset = ~/data\nsplit_file = \"~/s.tsv\"\n[run]\ndir = ~\n";
    assert_int_equal(options_read_text(&options, text, "kept"), STATUS_OK);
    assert_string_equal(options.data.dataset, "~/data"); /* a folder of this name */
    char path[] = "/tmp/tutti-options-XXXXXX";
    int file = mkstemp(path);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    assert_int_equal(options_read_file(&options, path), STATUS_OK);
    unlink(path);
    assert_string_equal(options.data.dataset, "/home/me/data");
    assert_string_equal(options.data.split_file, "/home/me/s.tsv");
    assert_string_equal(options.run.dir, "/home/me");
    assert_int_equal(options_set(&options, "run.dir=~/runs", "--set"), STATUS_OK);
    assert_string_equal(options.run.dir, "/home/me/runs");
    assert_int_equal(options_set(&options, "run.dir=./~/x", "--set"), STATUS_OK);
    assert_string_equal(options.run.dir, "./~/x");

    assert_int_equal(options_set(&options, "run.dir=~you/x", "--set"), STATUS_MISUSE);
    assert_string_equal(status_message(),
                        "--set: run.dir = ~you/x: only ~/ is expanded: write the folder "
                        "of ~you out, or ./~you for a file of this name");
    unsetenv("HOME");
    assert_int_equal(options_set(&options, "run.dir=~/x", "--set"), STATUS_MISUSE);
    assert_string_equal(status_message(), "--set: run.dir = ~/x: ~ is not known, as HOME "
                                          "is not set: write the path out");
    char home[1100] = "/"; /* too long in total, though not by itself */
    memset(home + 1, 'h', 1020);
    setenv("HOME", home, 1);
    assert_int_equal(options_set(&options, "run.dir=~/xyz", "--set"), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "at most 1023 bytes"));
    assert_string_equal(options.run.dir, "./~/x");
}

static void too_long_values_are_rejected(void **state)
{
    (void)state;
    struct options options;
    char text[8192] = "[run]\ndir = ";
    size_t start = strlen(text);
    memset(text + start, 'd', 1024);
    options_defaults(&options);
    assert_int_equal(options_read_text(&options, text, "a.conf"), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "at most 1023 bytes"));
    memset(text + start, 'd', 8000);
    assert_int_equal(options_read_text(&options, text, "a.conf"), STATUS_MISUSE);
    assert_string_equal(status_message(), "a.conf:2: the line is longer than 4096 bytes");
    memset(text + 6, 'k', 3000);
    strcpy(text + 3006, " = 3");
    assert_int_equal(options_read_text(&options, text, "a.conf"), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "a.conf:2: kkkk"));
}

static void rejects_special_files(void **state)
{
    (void)state;
    char directory[] = "/tmp/tutti-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    char *path = path_join(directory, "a.conf");
    struct options options;
    options_defaults(&options);
    assert_int_equal(options_read_file(&options, path), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "a.conf: can't open"));
    assert_int_equal(options_read_file(&options, directory), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "Is a directory"));
    file_write(path, "[run]\nkeep_checkpoints = 7\0\n", 28);
    assert_int_equal(options_read_file(&options, path), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "a.conf:2: a zero byte"));
    file_write(path, "[run]\nkeep_checkpoints = 7\n", 27);
    assert_int_equal(options_read_file(&options, path), STATUS_OK);
    assert_int_equal(options.run.keep_checkpoints, 7);
    file_write(path, "", 0);
    assert_int_equal(options_read_file(&options, path), STATUS_OK);
    file_remove_tree(directory);
    free(path);
}

static void command_line_sets_settings(void **state)
{
    (void)state;
    struct options options;
    options_defaults(&options);
    assert_int_equal(options_set(&options, "data.dataset=a \"#=b", "--set"), STATUS_OK);
    assert_string_equal(options.data.dataset, "a \"#=b");
    assert_int_equal(options_set(&options, "train.batch", "--set"), STATUS_MISUSE);
    assert_int_equal(options_set(&options, "batch=3", "--set"), STATUS_MISUSE);
    assert_int_equal(options_set(&options, "train.btach=3", "--set"), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "did you mean batch?"));
    assert_int_equal(options_set(&options, "tain.batch=3", "--set"), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "did you mean train?"));
    assert_int_equal(options_set(&options, "train.batch=0", "--set"), STATUS_MISUSE);
    assert_int_equal(options.train.batch, 32);
    bool known = true;
    assert_int_equal(options_set_key(&options, "sample", "batch", "3", &known),
                     STATUS_OK);
    assert_false(known);
    assert_int_equal(options_set_key(&options, "sample", "top-k", "3", &known),
                     STATUS_OK);
    assert_true(known);
    assert_int_equal(options.sample.top_k, 3);
    assert_int_equal(options_set_key(&options, "sample", "top-k", "x", &known),
                     STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "--top-k: sample.top_k = x: expected"));
    assert_true(options_is_boolean("run", "hash-steps"));
    assert_false(options_is_boolean("run", "keep_checkpoints"));
    assert_false(options_is_boolean("run", "guard"));
    assert_true(options_has("sample", "guard"));
    assert_false(options_has("sample", "guards"));
    assert_string_equal(options_suggest("sample", "temprature"), "temperature");
    assert_null(options_suggest("sample", "dataset"));
}

static void refused(const char *text, const char *message)
{
    struct options options = read_text(text);
    assert_int_equal(options_check(&options), STATUS_MISUSE);
    if (!strstr(status_message(), message))
        fail_msg("%s\nnot: %s", status_message(), message);
}

static void checks_constraints_between_settings(void **state)
{
    (void)state;
    refused("[train]\nbatch=32\nmicrobatches=5",
            "train.batch = 35 or train.microbatches = 4");
    refused("[train]\nbatch=4\nmicrobatches=8",
            "train.batch = 8 or train.microbatches = 4");
    refused("[train]\nbatch=7\nmicrobatches=2",
            "train.batch = 8 or train.microbatches = 1");
    refused("[data]\nsplit=.5 .3 .1", "data.split = 0.5 0.3 0.1 does not sum to 1");
    refused("[data]\nsplit=0 .5 .5", "leaves nothing to train on");
    refused("[data]\nmin_notes=9\nmax_notes=8", "data.max_notes = 8");
    refused("[run]\ndir =", "run.dir is empty");
    refused(
        "[model]\ntie_embeddings=yes\nembedding=64\nhidden=96",
        "model.tie_embeddings = yes needs model.embedding = model.hidden, the input of "
        "the output layer: set model.embedding = 96, not 64");
    refused("[model]\ntie_embeddings=yes\nembedding=96\nhidden=96\ndense=64",
            "needs model.embedding = model.dense, the input of the output layer: set "
            "model.embedding = 64, not 96");
    refused("[model]\nlayers=1\nresidual=yes",
            "model.residual = yes needs model.layers = 2 or more, not 1");
    refused("[model]\nembedding=0\ntie_embeddings=yes\nhidden=24",
            "needs model.embedding = model.hidden, the input of the output layer: set "
            "model.embedding = 24, not 0");
    refused("[model]\nembedding=0\ndropout_input=.1", "or model.dropout_input = 0");
    refused("[model]\nembedding=0\ndropout_embedding=.1",
            "or model.dropout_embedding = 0");
    refused("[train]\nwindows=independent\ntranspose=-1..0",
            "train.transpose needs train.windows = stream");
    refused("[train]\nwindows=independent\ntranspose=0..2", "train.transpose needs");
    refused("[train]\nwindows=independent\nvelocity_shift=1",
            "train.velocity_shift needs");
    refused("[train]\nwindows=independent\ntime_stretch=.1", "train.time_stretch needs");
    refused("[sample]\nbest_of=100\n[run]\nsamples=50",
            "more than 4096 pieces would be drawn after an epoch");
    refused("[train]\nprecision=bfloat16\nmatmul=openblas",
            "train.matmul = packed or auto");
    struct options fine = read_text("[data]\nsplit = .333333 .333333 .333333\n"
                                    "[train]\nbatch=6\nmicrobatches=6");
    assert_int_equal(options_check(&fine), STATUS_OK);
    fine =
        read_text("[data]\nsplit = 1 0 0\n[train]\nbatch=6\nmicrobatches=3\nthreads=2\n"
                  "matmul=openblas");
    assert_int_equal(options_check(&fine), STATUS_OK);
    fine = read_text("[model]\nembedding=0\ndropout_recurrent=.1\n"
                     "[train]\nwindows=independent\nloss_on=last");
    assert_int_equal(options_check(&fine), STATUS_OK);
    fine = read_text("[train]\nprecision=bfloat16\nmatmul=auto");
    assert_int_equal(options_check(&fine), STATUS_OK);
    assert_int_equal(read_text("").train.matmul, MATMUL_AUTO);
}

static void reports_each_difference_by_key(void **state)
{
    (void)state;
    struct options before = read_text(""), now = read_text("");
    char *report;
    int count;
    options_difference(&before, &now, &report, &count);
    assert_null(report);
    assert_int_equal(count, 0);
    now = read_text("[train]\nepochs=99\nmax_steps=3\nbucket=7\nmatmul=auto\n[run]"
                    "\ndir=x\nkeep_checkpoints=9\n"
                    "[sample]\nseed=4\nguard=no\n[data]\ndataset=moved\n"
                    "max_silence_seconds=60");
    options_difference(&before, &now, &report, &count);
    assert_null(report);
    assert_int_equal(count, 0);
    now = read_text(
        "[train]\nbatch=64\nlearning_rate=0.5\nmatmul=auto\n[run]\nkeep_checkpoints="
        "9\n[model]\ncell=gru");
    options_difference(&before, &now, &report, &count);
    assert_int_equal(count, 3);
    assert_string_equal(report,
                        "model.cell: lstm in the checkpoint, gru requested\n"
                        "train.batch: 32 in the checkpoint, 64 requested\n"
                        "train.learning_rate: 0.002 in the checkpoint, 0.5 requested");
    free(report);
}

/* With all settings different, exactly the ones that a run depends on are reported. */
static void ignores_settings_that_may_change(void **state)
{
    (void)state;
    static const char *const fixed[] = {"data.encoding",
                                        "data.grid",
                                        "data.programs",
                                        "data.drums",
                                        "data.tempo",
                                        "data.time_signatures",
                                        "data.positions",
                                        "data.bpe",
                                        "data.repeats",
                                        "data.pedal",
                                        "data.only_programs",
                                        "data.tracks",
                                        "data.split",
                                        "data.split_file",
                                        "data.shards",
                                        "data.seed",
                                        "data.min_notes",
                                        "data.max_notes",
                                        "data.max_bytes",
                                        "data.max_seconds",
                                        "data.max_silence_seconds",
                                        "model.cell",
                                        "model.layers",
                                        "model.hidden",
                                        "model.embedding",
                                        "model.dropout",
                                        "model.dropout_input",
                                        "model.dropout_embedding",
                                        "model.dropout_recurrent",
                                        "model.dropout_mask",
                                        "model.dense",
                                        "model.activation",
                                        "model.tie_embeddings",
                                        "model.residual",
                                        "model.layer_norm",
                                        "model.init",
                                        "train.batch",
                                        "train.microbatches",
                                        "train.sequence_length",
                                        "train.windows",
                                        "train.loss_on",
                                        "train.optimizer",
                                        "train.learning_rate",
                                        "train.beta1",
                                        "train.beta2",
                                        "train.epsilon",
                                        "train.momentum",
                                        "train.weight_decay",
                                        "train.schedule",
                                        "train.warmup_steps",
                                        "train.final_lr_ratio",
                                        "train.plateau_factor",
                                        "train.plateau_patience",
                                        "train.average",
                                        "train.average_decay",
                                        "train.label_smoothing",
                                        "train.clip_norm",
                                        "train.init_from",
                                        "train.seed",
                                        "train.transpose",
                                        "train.velocity_shift",
                                        "train.time_stretch",
                                        "train.reduce",
                                        "train.matmul",
                                        "train.precision"};
    struct options before = read_text(""), now = read_text("");
    options_defaults(&now);
#define X(member, count) now.member = (now.member + 1) % count;
    WORDS(X)
#undef X
#define X(member, low, high) now.member++;
    INTEGERS(X)
#undef X
#define X(member) now.member++;
    SEEDS(X)
#undef X
#define X(member, high) now.member += 0.001;
    NUMBERS(X)
#undef X
#define X(member) now.member = !now.member;
    BOOLEANS(X)
#undef X
#define X(member) strcat(now.member, "x");
    STRINGS(X)
#undef X
    strcpy(now.data.grid, "1/8");
    strcpy(now.data.only_programs, "drums");
    char *report;
    int count;
    options_difference(&before, &now, &report, &count);
    assert_int_equal(count, sizeof fixed / sizeof *fixed);
    char *line = strtok(report, "\n");
    for (int i = 0; i < count; i++, line = strtok(NULL, "\n")) {
        assert_non_null(line);
        assert_memory_equal(line, fixed[i], strlen(fixed[i]));
        assert_int_equal(line[strlen(fixed[i])], ':');
    }
    free(report);
}

static void help_and_table_list_every_key(void **state)
{
    (void)state;
    struct options options;
    options_defaults(&options);
    options.train.batch = 8640;
    char *help, *table;
    size_t size;
    FILE *out = open_memstream(&help, &size);
    options_help(SECTION_TRAIN | SECTION_RUN, out);
    fclose(out);
    out = open_memstream(&table, &size);
    options_print(&options, SECTION_TRAIN | SECTION_RUN, out);
    fclose(out);
    assert_non_null(strstr(help, "batch = 32 "));
    assert_non_null(strstr(help, "a whole number from 1 to 1000000; rows\n"));
    assert_non_null(strstr(help, "dir = runs/run "));
    assert_null(strstr(help, "[sample]"));
    assert_non_null(
        strstr(table, "train.batch                8640             rows      32\n"));
    assert_null(strstr(table, " \n"));
    assert_non_null(strstr(table, "train.momentum             0.9\n"));
    assert_null(strstr(table, "model."));
    free(help);
    free(table);
}

/* Reads one of the configurations shipped with the program. */
static void shipped(const char *name, struct options *options)
{
    char *path = path_format("%s/%s", CONFIGS, name);
    options_defaults(options);
    if (options_read_file(options, path) != STATUS_OK ||
        options_check(options) != STATUS_OK)
        fail_msg("%s", status_message());
    assert_true(options->data.dataset[0] != '\0');
    free(path);
}

static void shipped_configurations_are_valid(void **state)
{
    (void)state;
    struct options options;
    shipped("small.conf", &options);
    shipped("nottingham.conf", &options);
    shipped("piano.conf", &options);
    shipped("chorales.conf", &options);
    assert_int_equal(options.data.encoding, ENCODING_PIANOROLL);
    const char *literature[] = {"jsb.conf", "nottingham-frames.conf", "musedata.conf",
                                "piano-midi.conf"};
    for (int i = 0; i < 4; i++) {
        shipped(literature[i], &options);
        assert_int_equal(options.data.encoding, ENCODING_PIANOROLL);
    }
    shipped("keras-tutorial.conf", &options);
    assert_int_equal(options.model.cell, CELL_LSTM);
    assert_int_equal(options.model.layers, 2);
    assert_int_equal(options.model.hidden, 256);
    assert_int_equal(options.model.dense, 128);
    assert_int_equal(options.model.activation, ACTIVATION_LINEAR);
    assert_true(options.model.dropout == 0.3);
    assert_int_equal(options.train.optimizer, OPTIMIZER_ADAM);
    assert_true(options.train.learning_rate == 0.001);
    assert_int_equal(options.train.batch, 32);
    assert_int_equal(options.train.epochs, 50);
    assert_int_equal(options.model.embedding, 0);
    assert_int_equal(options.model.init, INIT_KERAS);
    assert_int_equal(options.train.windows, WINDOWS_INDEPENDENT);
    assert_int_equal(options.train.loss_on, LOSS_ON_LAST);
    assert_int_equal(options.train.schedule, SCHEDULE_CONSTANT);
    assert_int_equal(options.train.warmup_steps, 0);
    assert_true(options.train.clip_norm == 0);
}

/* Reads the text stored in a dataset, with a line changed. */
static enum status read_of_dataset(struct options *options, const char *from,
                                   const char *to)
{
    struct options made;
    options_defaults(&made);
    made.data.seed = 5;
    made.data.pedal = PEDAL_IGNORE;
    char *text = options_text(&made, SECTION_DATA), *at = strstr(text, from);
    assert_non_null(at);
    char *changed =
        path_format("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    enum status status = options_read_dataset(options, changed, "kept");
    free(changed);
    free(text);
    return status;
}

static void dataset_sets_its_own_settings(void **state)
{
    (void)state;
    struct options kept, options, expected;
    assert_int_equal(read_of_dataset(&kept, "", ""), STATUS_OK);
    assert_int_equal(kept.data.seed, 5);
    assert_int_equal(kept.data.pedal, PEDAL_IGNORE);
    options_defaults(&options);
    strcpy(options.data.dataset, "here");
    options.data.memory_mb = 7;
    options.data.shards = 3;
    options.train.seed = 8;
    expected = options;
    expected.data.seed = 5;
    expected.data.pedal = PEDAL_IGNORE;
    expected.data.shards = kept.data.shards;
    options_copy_dataset(&options, &kept);
    assert_memory_equal(&options, &expected, sizeof options);
}

static void dataset_rejects_other_settings(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
        {"[data]", "[run]\n[data]",
         "kept:1: [run]: a dataset has settings of [data] only"},
        {"[data]", "[sample]\nseed = 1\n[data]", "kept:1: [sample]: "},
        {"dataset = ", "dataset = x",
         "kept:2: data.dataset = x: not a setting of datasets"},
        {"memory_mb = 0", "memory_mb = 0.5",
         "data.memory_mb = 0.5: not a setting of datasets"},
        {"seed = 5", "seed = 5\nseed = 5", "data.seed is already set on line"},
        {"seed = 5", "saed = 5", "(written by another version of tutti, or changed"},
        {"min_notes = 1", "min_notes = 9999999",
         "kept: data.min_notes = 9999999 is above"},
        {"[data]", "seed = 4\n[data]", "kept:1: seed is before the first [section]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct options options;
        enum status status = read_of_dataset(&options, cases[i].from, cases[i].to);
        if (status != STATUS_FAILED || !strstr(status_message(), cases[i].message))
            fail_msg("%s\ngave %d: %s", cases[i].to, status, status_message());
    }
    struct options options;
    assert_int_equal(options_read_dataset(&options, "", "kept"), STATUS_FAILED);
    assert_string_equal(status_message(), "kept: no settings of [data]");
}

/* `text`, padded with comments to `size` bytes; the difference must be even. */
static char *lengthened(const char *text, size_t size)
{
    size_t length = strlen(text);
    char *whole = malloc(size + 1);
    assert_non_null(whole);
    memcpy(whole, text, length);
    for (size_t i = length; i < size; i++)
        whole[i] = (i - length) % 2 ? '\n' : '#';
    whole[size] = '\0';
    return whole;
}

static void limits_stored_text_as_user_text(void **state)
{
    (void)state;
    enum { MOST = 1 << 20 };
    static const char text[] = "[data]\nseed = 5\n ";
    static const char message[] = "kept: 1048578 bytes of settings (at most 1048576)";
    struct options options;
    char *longest = lengthened(text, MOST), *longer = lengthened(text, MOST + 2);
    options_defaults(&options);
    assert_int_equal(options_read_text(&options, longest, "kept"), STATUS_OK);
    assert_int_equal(options_read_dataset(&options, longest, "kept"), STATUS_OK);
    assert_int_equal(options.data.seed, 5);
    assert_int_equal(options_read_text(&options, longer, "kept"), STATUS_MISUSE);
    assert_string_equal(status_message(), message);
    assert_int_equal(options_read_dataset(&options, longer, "kept"), STATUS_FAILED);
    assert_string_equal(status_message(), message);
    free(longest);
    free(longer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_complete_and_valid),
        cmocka_unit_test(text_round_trips),
        cmocka_unit_test(older_settings_request_nothing),
        cmocka_unit_test(test_covers_every_setting),
        cmocka_unit_test(each_section_is_printed_separately),
        cmocka_unit_test(dataset_sets_its_own_settings),
        cmocka_unit_test(dataset_rejects_other_settings),
        cmocka_unit_test(limits_stored_text_as_user_text),
        cmocka_unit_test(parses_settings),
        cmocka_unit_test(accepts_four_names_of_yes_and_no),
        cmocka_unit_test(long_lines_are_not_truncated),
        cmocka_unit_test(errors_state_line_and_remedy),
        cmocka_unit_test(expands_home_in_paths),
        cmocka_unit_test(too_long_values_are_rejected),
        cmocka_unit_test(rejects_special_files),
        cmocka_unit_test(command_line_sets_settings),
        cmocka_unit_test(checks_constraints_between_settings),
        cmocka_unit_test(reports_each_difference_by_key),
        cmocka_unit_test(ignores_settings_that_may_change),
        cmocka_unit_test(help_and_table_list_every_key),
        cmocka_unit_test(shipped_configurations_are_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
