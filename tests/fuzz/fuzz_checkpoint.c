/* fuzz_checkpoint: all readers of checkpoints, on a checkpoint with modified values and
 * structure. What they accept must be plausible, and training must be able to resume from
 * it.
 *
 * The first byte selects which hashes are repaired and which readers run. It is followed
 * by records of EDIT_RECORD bytes, one edit each: of /config, of the model's shape, or of
 * the file (h5_edits.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "h5_edits.h"
#include "generate/generator.h"
#include "base/hash.h"
#include "base/options_table.h"
#include "cli/inspect.h"
#include "train/checkpoint.h"
#include "train/trainer.h"

enum { /* bits of the first byte: hashes not repaired, and readers that run */
       KEEP_VOCABULARY = 1,
       KEEP_WEIGHTS = 2,
       INSPECTS = 4,
       GENERATES = 8,
       TRAINS = 16
};
enum { EDIT_CONFIG = EDIT_KINDS, EDIT_LINE, EDIT_SHAPE, KINDS };
enum { CONFIG_SIZE = 1 << 16, MAX_PARAMETERS = 1 << 20, VALUE_SIZE = 64 };

static struct fuzz_run run;
static struct fuzz_file original;
static struct h5_names names;

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    fuzz_run_start(&run);
    fuzz_run_remove_checkpoints(&run);
    original = fuzz_file_save(run.checkpoint);
    h5_names_read(run.checkpoint, &names);
    return 0;
}

/* ---- the configuration ---- */

struct config {
    char text[CONFIG_SIZE];
    bool changed;
};

static void start_config(struct config *config)
{
    char *text = options_text(&run.options, SECTION_ALL);
    FUZZ_REQUIRE(text);
    snprintf(config->text, sizeof config->text, "%s", text);
    config->changed = false;
    free(text);
}

/* A number, one of the setting's words, an extreme value, or arbitrary text. */
static void consume_setting(const struct option_row *row, struct fuzz_input *record,
                            char value[VALUE_SIZE])
{
    size_t words = 0, which = fuzz_below(record, 4);
    while (row->words && row->words[words])
        words++;
    if (which == 0) {
        char *text = fuzz_text(record, '\0');
        snprintf(value, VALUE_SIZE, "%s", text);
        free(text);
    } else if (which == 1) {
        snprintf(value, VALUE_SIZE, "%g", fuzz_real(record));
    } else if (words) {
        snprintf(value, VALUE_SIZE, "%s", row->words[fuzz_below(record, words)]);
    } else {
        snprintf(value, VALUE_SIZE, "%lld", (long long)fuzz_number(record));
    }
}

/* Replaces the line that begins at `at` by `line`, or inserts `line` before it. */
static void put_line(struct config *config, char *at, const char *line, bool replaces)
{
    char *rest = strdup(replaces ? at + strcspn(at, "\n") : at);
    FUZZ_REQUIRE(rest);
    size_t available = sizeof config->text - (size_t)(at - config->text);
    snprintf(at, available, "%s%s%s", line, replaces ? "" : "\n", rest);
    config->changed = true;
    free(rest);
}

static void edit_config(struct config *config, struct fuzz_input *record)
{
    const struct option_row *row = &option_rows[fuzz_below(record, option_row_count)];
    char header[VALUE_SIZE], start[VALUE_SIZE], value[VALUE_SIZE], line[3 * VALUE_SIZE];
    consume_setting(row, record, value);
    snprintf(header, sizeof header, "[%s]\n", row->section);
    snprintf(start, sizeof start, "\n%s = ", row->key);
    snprintf(line, sizeof line, "%s%s", start + 1, value);
    char *section = strstr(config->text, header);
    char *at = section ? strstr(section, start) : NULL;
    if (at)
        put_line(config, at + 1, line, true);
}

static void edit_line(struct config *config, struct fuzz_input *record)
{
    size_t first = fuzz_below(record, strlen(config->text) + 1);
    char *line = fuzz_text(record, '\0');
    char *at = config->text + first;
    put_line(config, at, line, false);
    free(line);
}

/* Parses the text with the program's own parser and checks. */
static bool read_config(const struct config *config, struct options *options,
                        struct encoding **encoding)
{
    *encoding = NULL;
    options_defaults(options);
    return options_read_text(options, config->text, "config") == STATUS_OK &&
           options_check(options) == STATUS_OK &&
           encoding_from_options(options, encoding) == STATUS_OK;
}

/* ---- the model ---- */

static void make_tensors(hid_t file, const struct params *params, const char *group)
{
    for (size_t i = 0; i < params->count; i++) {
        const struct param *param = &params->list[i];
        char name[PARAM_NAME + 32];
        snprintf(name, sizeof name, "%s/%s", group, param->name);
        const hsize_t dims[] = {param->rows, param->columns};
        h5_edit_make(file, name, H5T_IEEE_F32LE, param->is_vector ? 1 : 2, dims);
    }
}

/* Resizes every tensor and table to the size that the configuration implies, without
 * values. */
static void edit_shape(hid_t file, const struct config *config)
{
    static struct options options;
    struct encoding *encoding;
    struct params params;
    if (read_config(config, &options, &encoding)) {
        struct model_shape shape = model_shape_of(&options, encoding->vocabulary);
        hsize_t rows = (hsize_t)options.train.batch,
                microbatches = (hsize_t)options.train.microbatches;
        hsize_t hidden[] = {
            microbatches, checkpoint_hidden_size(&shape, (size_t)(rows / microbatches))};
        if (params_layout(&shape, &params) == STATUS_OK) {
            make_tensors(file, &params, "/model");
            make_tensors(file, &params, "/optimizer/first");
            make_tensors(file, &params, "/optimizer/second");
            h5_edit_make(file, "/state/hidden", H5T_IEEE_F32LE, 2, hidden);
            h5_edit_make(file, "/state/rows/epoch", H5T_STD_I64LE, 1, &rows);
            h5_edit_make(file, "/state/rows/piece", H5T_STD_I64LE, 1, &rows);
            h5_edit_make(file, "/state/rows/offset", H5T_STD_I64LE, 1, &rows);
            h5_edit_make(file, "/state/cursors/epoch", H5T_STD_I64LE, 1, &microbatches);
            h5_edit_make(file, "/state/cursors/next", H5T_STD_I64LE, 1, &microbatches);
        }
    }
    encoding_free(encoding);
}

/* ---- hashes ---- */

/* At the end of an epoch the last row of the history contains the hash, too. */
static void repair_history(hid_t file, uint64_t hash)
{
    enum { MAX_ROWS = 64 };
    uint64_t hashes[MAX_ROWS];
    size_t rows = h5_edit_count(file, "/history/weights_hash");
    if (rows == 0 || rows > MAX_ROWS ||
        !h5_edit_read(file, "/history/weights_hash", H5T_NATIVE_UINT64, rows, hashes))
        return;
    hashes[rows - 1] = hash;
    h5_edit_write(file, "/history/weights_hash", H5T_NATIVE_UINT64, rows, hashes);
}

static void repair_weights(hid_t file, const struct options *options, size_t vocabulary)
{
    struct params params;
    struct model_shape shape = model_shape_of(options, vocabulary);
    char text[HASH64_TEXT];
    if (params_layout(&shape, &params) != STATUS_OK || params.total > MAX_PARAMETERS)
        return;
    float *weights = calloc(params.total, sizeof *weights);
    FUZZ_REQUIRE(weights);
    bool complete = true;
    for (size_t i = 0; i < params.count; i++) {
        const struct param *param = &params.list[i];
        char name[PARAM_NAME + 32];
        snprintf(name, sizeof name, "/model/%s", param->name);
        complete &= h5_edit_read(file, name, H5T_NATIVE_FLOAT, param->count,
                                 weights + param->offset);
    }
    if (complete) {
        uint64_t hash = params_hash(&params, weights);
        h5_edit_text_attribute(file, "/", "weights_hash", hash64_text(hash, text));
        repair_history(file, hash);
    }
    free(weights);
}

static void repair(hid_t file, const struct config *config, uint8_t flags)
{
    static struct options options;
    struct encoding *encoding;
    char text[HASH64_TEXT];
    if (read_config(config, &options, &encoding)) {
        if (config->changed && !(flags & KEEP_VOCABULARY))
            h5_edit_text(file, "/vocabulary/hash",
                         hash64_text(encoding_hash(encoding), text));
        if (!(flags & KEEP_WEIGHTS))
            repair_weights(file, &options, encoding->vocabulary);
    }
    encoding_free(encoding);
}

static void edit(struct fuzz_input *input, uint8_t flags)
{
    static struct config config;
    hid_t file = h5_edit_open(run.checkpoint);
    start_config(&config);
    for (int i = 0; i < EDITS_MAX && input->size > 0; i++) {
        struct fuzz_input record = h5_edit_record(input);
        uint8_t kind = fuzz_byte(&record) % KINDS;
        if (kind == EDIT_CONFIG)
            edit_config(&config, &record);
        else if (kind == EDIT_LINE)
            edit_line(&config, &record);
        else if (kind == EDIT_SHAPE)
            edit_shape(file, &config);
        else
            h5_edit(file, &names, kind, &record);
    }
    if (config.changed)
        h5_edit_text(file, "/config", config.text);
    repair(file, &config, flags);
    h5_edit_close(file);
}

/* ---- the readers ---- */

static void check_history(const struct checkpoint *read)
{
    for (size_t i = 0; i < read->state.history_count; i++) {
        const struct history_row *row = &read->state.history[i];
        FUZZ_REQUIRE(row->epoch >= 0 && row->step >= 0);
        FUZZ_REQUIRE(isfinite(row->seconds) && row->seconds >= 0);
    }
}

/* Every counter has a value that a run can reach. */
static void check_counters(const struct checkpoint *read)
{
    const struct schedule_state *schedule = &read->state.schedule;
    FUZZ_REQUIRE(read->state.epoch >= 0 && read->state.step >= 0 &&
                 read->state.step <= INT64_MAX / 2);
    FUZZ_REQUIRE(read->state.epoch_step >= 0 &&
                 read->state.epoch_step <= read->state.step);
    FUZZ_REQUIRE(read->state.epoch_correct >= 0);
    FUZZ_REQUIRE(read->state.epoch_correct <= read->state.epoch_targets);
    FUZZ_REQUIRE(isfinite(read->state.epoch_loss));
    FUZZ_REQUIRE(!isnan(schedule->best_valid));
    FUZZ_REQUIRE(schedule->best_epoch >= 0 && schedule->best_epoch <= read->state.epoch);
    FUZZ_REQUIRE(schedule->bad_epochs >= 0 && schedule->plateau_wait >= 0);
    FUZZ_REQUIRE(isfinite(schedule->factor));
    FUZZ_REQUIRE(read->provenance.ranks >= 1);
    check_history(read);
}

static void check_training(const struct checkpoint *read)
{
    FUZZ_REQUIRE(read->state.optimizer.updates >= 0);
    FUZZ_REQUIRE(read->state.optimizer.updates <= INT64_MAX / 2);
    for (size_t i = 0; i < read->streams.microbatches; i++)
        FUZZ_REQUIRE(read->streams.cursors[i].epoch >= 0 &&
                     read->streams.cursors[i].next >= 0);
    for (size_t i = 0; i < read->streams.row_count; i++)
        FUZZ_REQUIRE(read->streams.rows[i].epoch >= 0 &&
                     read->streams.rows[i].offset >= 0);
}

/* Reads the part that prediction needs, without the training state. */
static bool read_for_prediction(void)
{
    struct checkpoint read;
    enum status status = checkpoint_read(run.checkpoint, CHECKPOINT_TO_PREDICT, &read);
    fuzz_check_message(status, run.checkpoint);
    if (status != STATUS_OK)
        return false;
    check_counters(&read);
    checkpoint_free(&read);
    return true;
}

/* True if it can be read for training. *readable: true if it can be read for prediction.
 */
static bool read_for_training(bool *readable)
{
    struct checkpoint read;
    enum status status = checkpoint_read(run.checkpoint, CHECKPOINT_TO_TRAIN, &read);
    fuzz_check_message(status, run.checkpoint);
    *readable = status == STATUS_OK || read_for_prediction();
    if (status != STATUS_OK)
        return false;
    check_counters(&read);
    check_training(&read);
    checkpoint_free(&read);
    return true;
}

static void inspect(bool readable)
{
    for (int json = 0; json < 2; json++) {
        const struct inspect_request request = {.path = run.checkpoint, .json = json};
        enum status status = inspect_checkpoint(&request);
        fuzz_check_message(status, run.checkpoint);
        FUZZ_REQUIRE(!readable || status == STATUS_OK); /* inspect also accepts NaN */
    }
}

static void generate(void)
{
    struct checkpoint read;
    struct notes piece = {0};
    fuzz_require_ok(generator_load(run.checkpoint, false, &read));
    struct sampler_settings settings = generator_settings(&read.options);
    if (settings.seconds > 1)
        settings.seconds = 1;
    enum status status = generator_run(&read, &settings, NULL, false, 1, &piece);
    fuzz_check_message(status, NULL);
    notes_free(&piece);
    checkpoint_free(&read);
}

static void read_all(uint8_t flags)
{
    bool readable;
    bool trainable = read_for_training(&readable);
    if (flags & INSPECTS)
        inspect(readable);
    if (flags & GENERATES && readable)
        generate();
    if (flags & TRAINS && trainable) {
        fuzz_check_message(fuzz_run_train(&run, true, FUZZ_RUN_STEPS + 1), NULL);
        fuzz_run_remove_checkpoints(&run);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_input input = {bytes, size};
    uint8_t flags = fuzz_byte(&input);
    fuzz_file_restore(&original);
    edit(&input, flags);
    fuzz_check_leaks(read_all, flags);
    return 0;
}
