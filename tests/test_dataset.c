/* ranks: 1
 * dataset: refusals, detection of damage, and the assignment of shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "corpus.h"
#include "h5/h5.h"

enum { PIECES = 30, SHARDS = 4 };

static struct comm *world;

struct fixture {
    char *folder, *output;
    struct dataset *dataset;
};

static void small_options(struct options *options)
{
    options_defaults(options);
    options->data.shards = SHARDS;
    options->data.split[0] = 0.6;
    options->data.split[1] = 0.2;
    options->data.split[2] = 0.2;
}

static int set_up(void **state)
{
    static struct options options;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    small_options(&options);
    fixture->folder = make_folder(world);
    fixture->output = path_join(fixture->folder, "dataset");
    char *corpus = path_join(fixture->folder, "corpus");
    bool made =
        write_corpus(corpus, 0, PIECES) &&
        make_dataset(world, corpus, fixture->output, &options, NULL) == STATUS_OK &&
        dataset_open(fixture->output, &fixture->dataset) == STATUS_OK;
    free(corpus);
    *state = fixture;
    return made ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    dataset_close(fixture->dataset);
    remove_folder(world, fixture->folder);
    free(fixture->output);
    free(fixture);
    return 0;
}

static void assert_message_contains(const char *what)
{
    if (!strstr(status_message(), what))
        fail_msg("'%s' is not in: %s", what, status_message());
    assert_null(strchr(status_message(), '\n'));
}

/* --- reading ---------------------------------------------------------------------------
 */

static void splits_partition_all_pieces(void **state)
{
    const struct dataset *dataset = ((struct fixture *)*state)->dataset;
    struct hash128 seen[PIECES];
    size_t count = 0;
    for (int split = 0; split < SPLITS; split++) {
        struct shard all = {0}; /* grows shard by shard */
        for (size_t i = 0; i < dataset->shard_count; i++)
            assert_int_equal(dataset_read_shard(dataset, i, (enum split)split, &all),
                             STATUS_OK);
        assert_int_equal(all.piece_count, dataset->total.pieces[split]);
        assert_int_equal(all.token_count, dataset->total.tokens[split]);
        assert_true(all.piece_count > 0);
        size_t tokens = 0;
        for (size_t i = 0; i < all.piece_count; i++) {
            assert_int_equal(all.pieces[i].token_first, tokens);
            tokens += all.pieces[i].token_count;
            for (size_t k = 0; k < count; k++)
                assert_int_not_equal(hash128_compare(seen[k], all.pieces[i].hash), 0);
            seen[count++] = all.pieces[i].hash;
            assert_int_equal(encoding_count_notes(dataset->encoding,
                                                  all.tokens + all.pieces[i].token_first,
                                                  all.pieces[i].token_count) > 0,
                             1);
        }
        shard_free(&all);
    }
    assert_int_equal(count, PIECES);
}

static void verify_accepts_an_intact_dataset(void **state)
{
    const struct fixture *fixture = *state;
    assert_int_equal(dataset_verify(fixture->dataset), STATUS_OK);
}

static void settings_round_trip(void **state)
{
    const struct fixture *fixture = *state;
    static struct options options;
    options_defaults(&options);
    assert_int_equal(options_read_text(&options, fixture->dataset->settings, "settings"),
                     STATUS_OK);
    assert_int_equal(options.data.shards, SHARDS);
    assert_true(options.data.split[1] == 0.2);
}

/* --- not a dataset     ----------------------------------------------------------------
 */

static void assert_refused(const char *path, enum status expected, const char *what)
{
    struct dataset *dataset = NULL;
    assert_int_equal(dataset_open(path, &dataset), expected);
    assert_null(dataset);
    assert_message_contains(what);
    assert_message_contains(path);
}

static void open_refuses_other_paths_with_a_remedy(void **state)
{
    const struct fixture *fixture = *state;
    char *partial = path_format("%s.partial", fixture->output);
    char *slashed = path_format("%s.partial/", fixture->output);
    char *marker = path_format("%s/UNFINISHED", fixture->output);
    char *index = path_format("%s/index.h5", fixture->output);
    assert_refused("/no/such/dataset", STATUS_MISUSE, "tutti preprocess");
    assert_refused(fixture->folder, STATUS_MISUSE, "no index.h5");
    assert_refused(index, STATUS_MISUSE, "not a dataset");
    assert_int_equal(file_write(marker, "", 0), STATUS_OK);
    assert_refused(fixture->output, STATUS_MISUSE, "unfinished preprocess");
    assert_int_equal(unlink(marker), 0);
    assert_int_equal(rename(fixture->output, partial), 0);
    assert_refused(partial, STATUS_MISUSE, "unfinished preprocess");
    assert_refused(slashed, STATUS_MISUSE, "run it again");
    assert_int_equal(rename(partial, fixture->output), 0);
    free(index);
    free(marker);
    free(slashed);
    free(partial);
}

static void open_refuses_newer_versions_and_other_formats(void **state)
{
    const struct fixture *fixture = *state;
    char *index = path_format("%s/index.h5", fixture->output);
    struct h5_file *file = NULL;
    assert_int_equal(h5_create(index, &file), STATUS_OK);
    assert_int_equal(h5_set_text(file, "/", "format", "tutti dataset"), STATUS_OK);
    assert_int_equal(h5_set_i64(file, "/", "format_version", 99), STATUS_OK);
    assert_int_equal(h5_close(file), STATUS_OK);
    assert_refused(fixture->output, STATUS_FAILED, "version 99");
    assert_int_equal(h5_create(index, &file), STATUS_OK);
    assert_int_equal(h5_set_text(file, "/", "format", "a recipe"), STATUS_OK);
    assert_int_equal(h5_close(file), STATUS_OK);
    assert_refused(fixture->output, STATUS_FAILED, "a recipe");
    free(index);
}

static void read_refuses_a_shard_of_another_dataset(void **state)
{
    const struct fixture *fixture = *state;
    char *one = path_format("%s/shard-0001.h5", fixture->output);
    char *two = path_format("%s/shard-0002.h5", fixture->output);
    struct shard shard = {0};
    assert_int_equal(rename(one, two), 0);
    assert_int_equal(dataset_read_shard(fixture->dataset, 2, SPLIT_TRAIN, &shard),
                     STATUS_FAILED);
    assert_message_contains(two);
    assert_int_equal(dataset_read_shard(fixture->dataset, 1, SPLIT_TRAIN, &shard),
                     STATUS_FAILED);
    assert_message_contains(one);
    assert_int_equal(dataset_verify(fixture->dataset), STATUS_FAILED);
    assert_int_equal(shard.piece_count, 0);
    shard_free(&shard);
    free(two);
    free(one);
}

/* --- damage ----------------------------------------------------------------------------
 */

/* Opens, reads and verifies everything; returns the first failure. */
static enum status read_all(const char *path)
{
    struct dataset *dataset = NULL;
    enum status status = dataset_open(path, &dataset);
    for (int split = 0; split < SPLITS; split++)
        for (size_t i = 0; status == STATUS_OK && i < dataset->shard_count; i++) {
            struct shard shard = {0};
            status = dataset_read_shard(dataset, i, (enum split)split, &shard);
            shard_free(&shard);
        }
    if (status == STATUS_OK)
        status = dataset_verify(dataset);
    dataset_close(dataset);
    return status;
}

/* A fingerprint of everything a reader obtains; harmless damage does not change it. */
static uint64_t fingerprint(const char *path)
{
    struct dataset *dataset = NULL;
    struct dataset_files files = {0};
    assert_int_equal(dataset_open(path, &dataset), STATUS_OK);
    assert_int_equal(dataset_read_files(dataset, &files), STATUS_OK);
    uint64_t sum = dataset->dataset_hash ^
                   hash64(&dataset->total, sizeof dataset->total) ^
                   hash64(dataset->settings, strlen(dataset->settings));
    for (size_t i = 0; i < files.count; i++)
        sum = sum * 31 + hash64(files.paths[i], strlen(files.paths[i])) +
              files.outcomes[i] + hash64(files.reasons[i], strlen(files.reasons[i])) +
              files.notes[i];
    for (size_t i = 0; i < dataset->shard_count; i++) {
        struct shard shard = {0};
        for (int split = 0; split < SPLITS; split++)
            assert_int_equal(dataset_read_shard(dataset, i, (enum split)split, &shard),
                             STATUS_OK);
        sum = sum * 31 + hash64(shard.tokens, shard.token_count * sizeof *shard.tokens);
        shard_free(&shard);
    }
    dataset_files_free(&files);
    dataset_close(dataset);
    return sum;
}

static void write_over(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Flips one bit: either the error names the file, or what is read is unchanged. */
static bool flip_is_detected(const struct fixture *fixture, const char *path, size_t byte,
                             int bit, uint64_t expected)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
    bytes[byte % size] ^= (uint8_t)(1 << bit);
    write_over(path, bytes, size);
    enum status status = read_all(fixture->output);
    if (status != STATUS_OK)
        assert_message_contains(path);
    else
        assert_true(fingerprint(fixture->output) == expected);
    bytes[byte % size] ^= (uint8_t)(1 << bit);
    write_over(path, bytes, size);
    free(bytes);
    return status != STATUS_OK;
}

static void flipped_bits_are_detected_or_harmless(void **state)
{
    enum { FLIPS = 60 };
    const struct fixture *fixture = *state;
    struct dice dice = {.seed = test_seed()};
    uint64_t expected = fingerprint(fixture->output);
    int found = 0;
    for (int i = 0; i < FLIPS; i++) {
        int shard = i % (SHARDS + 1);
        char *path = shard == SHARDS
                         ? path_format("%s/index.h5", fixture->output)
                         : path_format("%s/shard-%04d.h5", fixture->output, shard);
        size_t byte = (size_t)dice_below(&dice, 1 << 20);
        found +=
            flip_is_detected(fixture, path, byte, (int)dice_below(&dice, 8), expected);
        free(path);
    }
    print_message("%d of %d flips found, the others in unused bytes\n", found, FLIPS);
    assert_true(found > FLIPS * 3 / 4);
    assert_int_equal(read_all(fixture->output), STATUS_OK);
}

static void truncated_files_are_detected(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const names[] = {"index.h5", "shard-0000.h5", "shard-0003.h5"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = path_join(fixture->output, names[i]);
        uint8_t *bytes = NULL;
        size_t size = 0;
        assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
        static const double parts[] = {0, 0.001, 0.5, 0.99};
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            assert_int_equal(truncate(path, (off_t)((double)size * parts[k])), 0);
            assert_int_equal(read_all(fixture->output), STATUS_FAILED);
            assert_message_contains(names[i]);
        }
        assert_int_equal(file_write(path, bytes, size), STATUS_OK);
        assert_int_equal(unlink(path), 0);
        assert_int_not_equal(read_all(fixture->output), STATUS_OK);
        assert_message_contains(names[i]);
        assert_int_equal(file_write(path, bytes, size), STATUS_OK);
        free(bytes);
        free(path);
    }
    assert_int_equal(read_all(fixture->output), STATUS_OK);
}

/* Copies a column of a shard; `change` modifies its first value. */
static void copy_column(const struct h5_file *from, struct h5_file *to, const char *name,
                        enum h5_type type, bool change)
{
    size_t dims[H5_MAX_RANK] = {0};
    int rank = 0;
    assert_int_equal(h5_shape(from, name, &rank, dims), STATUS_OK);
    uint8_t *values = calloc(dims[0] + 1, 8);
    assert_int_equal(h5_read(from, name, type, rank, dims, values), STATUS_OK);
    values[0] ^= change;
    assert_int_equal(h5_write(to, name, type, rank, dims, values), STATUS_OK);
    free(values);
}

static void copy_attributes(const struct h5_file *from, struct h5_file *to)
{
    char hash[HASH64_TEXT];
    int64_t shard = -1;
    assert_int_equal(h5_get_i64(from, "/", "shard", &shard), STATUS_OK);
    assert_int_equal(h5_get_text(from, "/", "shard_hash", hash, sizeof hash), STATUS_OK);
    assert_int_equal(h5_set_text(to, "/", "format", "tutti dataset shard"), STATUS_OK);
    assert_int_equal(h5_set_i64(to, "/", "format_version", 1), STATUS_OK);
    assert_int_equal(h5_set_i64(to, "/", "shard", shard), STATUS_OK);
    assert_int_equal(h5_set_text(to, "/", "shard_hash", hash), STATUS_OK);
}

/* Rewrites a shard as a well-formed file, with one value changed, or "older":
 * without the columns that were added later. */
static void rewrite_shard(const char *path, const char *changed)
{
    static const struct {
        const char *name;
        enum h5_type type;
    } columns[] = {
        {"/pieces/hash_high", H5_U64},
        {"/pieces/hash_low", H5_U64},
        {"/pieces/token_hash", H5_U64},
        {"/pieces/split", H5_U8},
        {"/pieces/seconds", H5_F64},
        {"/pieces/tempo", H5_F64},
        {"/pieces/ticks_per_beat", H5_F64},
        {"/pieces/ticks_per_second", H5_F64},
        {"/pieces/note_first", H5_U64},
        {"/pieces/note_count", H5_U64},
        {"/pieces/token_first", H5_U64},
        {"/pieces/token_count", H5_U64},
        {"/notes/start", H5_F64},
        {"/notes/duration", H5_F64},
        {"/notes/start_tick", H5_U32},
        {"/notes/duration_ticks", H5_U32},
        {"/notes/pitch", H5_U8},
        {"/notes/velocity", H5_U8},
        {"/notes/program", H5_U8},
        {"/notes/channel", H5_U8},
        {"/notes/track", H5_U16},
        {"/tokens", H5_U16},
        {"/notes/port", H5_U8},
        {"/notes/percussion", H5_U8},
    };
    enum { LATER_COLUMNS = 2 }; /* the last columns, which older datasets lack */
    struct h5_file *from = NULL, *to = NULL;
    bool found = false;
    assert_int_equal(h5_open(path, &from), STATUS_OK);
    assert_int_equal(h5_create(path, &to), STATUS_OK);
    copy_attributes(from, to);
    bool older = strcmp(changed, "older") == 0;
    size_t count = sizeof columns / sizeof *columns - (older ? LATER_COLUMNS : 0);
    for (size_t i = 0; i < count; i++) {
        bool change = strcmp(columns[i].name, changed) == 0;
        copy_column(from, to, columns[i].name, columns[i].type, change);
        found |= change;
    }
    assert_true(found || older || !*changed);
    h5_abandon(from);
    assert_int_equal(h5_close(to), STATUS_OK);
}

/* Beyond checksums: a file that is undamaged but inconsistent. */
static void changed_values_with_valid_checksums_are_detected(void **state)
{
    const struct fixture *fixture = *state;
    char *path = path_format("%s/shard-0000.h5", fixture->output);
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
    rewrite_shard(path, "");
    assert_int_equal(read_all(fixture->output), STATUS_OK);
    static const char *const changed[] = {
        "/pieces/hash_high",      "/pieces/token_hash",    "/pieces/split",
        "/pieces/seconds",        "/pieces/note_count",    "/pieces/note_first",
        "/pieces/token_first",    "/pieces/token_count",   "/notes/start",
        "/notes/duration",        "/notes/start_tick",     "/notes/pitch",
        "/notes/velocity",        "/notes/program",        "/notes/channel",
        "/notes/track",           "/notes/duration_ticks", "/tokens",
        "/pieces/ticks_per_beat", "/notes/port",           "/notes/percussion"};
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        assert_int_equal(file_write(path, bytes, size), STATUS_OK);
        rewrite_shard(path, changed[i]);
        if (read_all(fixture->output) != STATUS_FAILED)
            fail_msg("%s: not found", changed[i]);
        assert_message_contains("damaged");
    }
    free(bytes);
    free(path);
}

/* Datasets without the columns port and percussion: all shards verify except the one with
 * unusual percussion. */
static void verify_accepts_older_shards(void **state)
{
    const struct fixture *fixture = *state;
    int verified = 0;
    for (int shard = 0; shard < SHARDS; shard++) {
        char *path = path_format("%s/shard-%04d.h5", fixture->output, shard);
        uint8_t *bytes = NULL;
        size_t size = 0;
        assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
        rewrite_shard(path, "older");
        verified += read_all(fixture->output) == STATUS_OK;
        assert_int_equal(file_write(path, bytes, size), STATUS_OK);
        free(bytes);
        free(path);
    }
    assert_int_equal(verified, SHARDS - 1);
}

/* --- assignment ------------------------------------------------------------------------
 */

/* The same rule by brute force: the largest remaining shard goes to the least loaded
 * microbatch. */
static void assign_by_brute_force(const uint64_t *tokens, size_t shards, int microbatches,
                                  int *assigned)
{
    uint64_t load[64] = {0};
    bool is_assigned[64] = {false};
    for (size_t n = 0; n < shards; n++) {
        size_t largest = SIZE_MAX;
        for (size_t i = 0; i < shards; i++)
            if (!is_assigned[i] && (largest == SIZE_MAX || tokens[i] > tokens[largest]))
                largest = i;
        int smallest = 0;
        for (int microbatch = 1; microbatch < microbatches; microbatch++)
            if (load[microbatch] < load[smallest])
                smallest = microbatch;
        is_assigned[largest] = true;
        load[smallest] += tokens[largest];
        assigned[largest] = smallest;
    }
}

static void shards_are_assigned_largest_first(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 1};
    for (int round = 0; round < 200; round++) {
        struct split_counts shards[64];
        uint64_t tokens[64];
        size_t count = 1 + (size_t)dice_below(&dice, 64);
        int microbatches = 1 + (int)dice_below(&dice, count);
        memset(shards, 0, sizeof shards);
        for (size_t i = 0; i < count; i++) { /* with many ties */
            tokens[i] = 1 + dice_below(&dice, 9);
            shards[i].tokens[SPLIT_TRAIN] = tokens[i];
            shards[i].tokens[SPLIT_VALID] = 100 - i;
        }
        char path[] = "made up";
        struct dataset dataset = {.path = path, .shard_count = count, .shards = shards};
        int assigned[64], expected[64];
        assert_int_equal(dataset_assign(&dataset, microbatches, assigned), STATUS_OK);
        assign_by_brute_force(tokens, count, microbatches, expected);
        assert_memory_equal(assigned, expected, count * sizeof *assigned);
    }
}

static void microbatches_without_training_tokens_are_refused(void **state)
{
    (void)state;
    struct split_counts shards[6] = {0};
    char path[] = "made up";
    struct dataset dataset = {.path = path, .shard_count = 6, .shards = shards};
    int assigned[6];
    shards[5].tokens[SPLIT_VALID] = 7;
    assert_int_equal(dataset_assign(&dataset, 1, assigned), STATUS_MISUSE);
    assert_message_contains("no training tokens");
    shards[1].tokens[SPLIT_TRAIN] = 5;
    shards[2].tokens[SPLIT_TRAIN] = 6;
    shards[4].tokens[SPLIT_TRAIN] = 1;
    assert_int_equal(dataset_assign(&dataset, 4, assigned), STATUS_MISUSE);
    assert_message_contains("train.microbatches to 3");
    assert_int_equal(dataset_assign(&dataset, 3, assigned), STATUS_OK);
    assert_int_equal(assigned[2], 0);
    assert_int_equal(assigned[1], 1);
    assert_int_equal(assigned[4], 2);
}

/* --- the settings of a dataset ---------------------------------------------------------
 */

static void copy_table(const struct h5_file *from, struct h5_file *to, const char *name,
                       enum h5_type type)
{
    size_t dims[H5_MAX_RANK] = {0}, count = 1;
    int rank = 0;
    assert_int_equal(h5_shape(from, name, &rank, dims), STATUS_OK);
    for (int i = 0; i < rank; i++)
        count *= dims[i];
    void *values = calloc(count + 1, sizeof(uint64_t));
    assert_int_equal(h5_read(from, name, type, rank, dims, values), STATUS_OK);
    assert_int_equal(h5_write(to, name, type, rank, dims, values), STATUS_OK);
    free(values);
}

static void copy_attribute(const struct h5_file *from, struct h5_file *to,
                           const char *name, const char *attribute)
{
    char text[64];
    assert_int_equal(h5_get_text(from, name, attribute, text, sizeof text), STATUS_OK);
    assert_int_equal(h5_set_text(to, name, attribute, text), STATUS_OK);
}

static void copy_number(const struct h5_file *from, struct h5_file *to,
                        const char *attribute)
{
    int64_t number = 0;
    assert_int_equal(h5_get_i64(from, "/", attribute, &number), STATUS_OK);
    assert_int_equal(h5_set_i64(to, "/", attribute, number), STATUS_OK);
}

/* HASH_ABSENT: as in older versions. */
enum settings_hash { HASH_UNCHANGED, HASH_ABSENT, HASH_INTEGER };

/* Rewrites the index with other settings. */
static void rewrite_index(const char *path, const char *settings,
                          enum settings_hash settings_hash)
{
    struct h5_file *from = NULL, *to = NULL;
    char *hash = NULL;
    assert_int_equal(h5_open(path, &from), STATUS_OK);
    assert_int_equal(h5_create(path, &to), STATUS_OK);
    copy_attribute(from, to, "/", "format");
    copy_attribute(from, to, "/", "dataset_hash");
    if (settings_hash == HASH_UNCHANGED)
        copy_attribute(from, to, "/", "settings_hash");
    else if (settings_hash == HASH_INTEGER)
        assert_int_equal(h5_set_i64(to, "/", "settings_hash", 1), STATUS_OK);
    assert_int_equal(h5_set_i64(to, "/", "format_version", 1), STATUS_OK);
    assert_int_equal(h5_write_text(to, "/settings", settings), STATUS_OK);
    assert_int_equal(h5_read_text(from, "/vocabulary/hash", &hash), STATUS_OK);
    assert_int_equal(h5_write_text(to, "/vocabulary/hash", hash), STATUS_OK);
    copy_attribute(from, to, "/vocabulary", "encoding");
    copy_attribute(from, to, "/vocabulary", "grid");
    copy_table(from, to, "/shards/pieces", H5_U64);
    copy_table(from, to, "/shards/notes", H5_U64);
    copy_table(from, to, "/shards/tokens", H5_U64);
    copy_table(from, to, "/shards/seconds", H5_F64);
    copy_table(from, to, "/shards/hash", H5_U64);
    copy_table(from, to, "/files/outcome", H5_U8);
    copy_number(from, to, "files");
    copy_number(from, to, "pieces");
    copy_number(from, to, "notes");
    copy_number(from, to, "tokens");
    free(hash);
    h5_abandon(from);
    assert_int_equal(h5_close(to), STATUS_OK);
}

/* A copy of `text` with `old` replaced. */
static char *replace_text(const char *text, const char *old, const char *by)
{
    const char *at = strstr(text, old);
    assert_non_null(at);
    return path_format("%.*s%s%s", (int)(at - text), text, by, at + strlen(old));
}

static void settings_other_than_valid_data_settings_are_refused(void **state)
{
    static const struct {
        const char *old, *by, *message;
    } cases[] = {
        {"[data]\n", "[run]\ndir = stolen\n[data]\n", "/settings:1: [run]: "},
        {"[data]\n", "[train]\nbatch = 10\n[data]\n", "/settings:1: [train]: "},
        {"[data]\n", "[model]\n[data]\n", "/settings:1: [model]: "},
        {"[data]\n", "[sample]\nseed = 3\n[data]\n", "/settings:1: [sample]: "},
        {"[data]\n", "[date]\n[data]\n", "unknown section [date]"},
        {"dataset = \n", "dataset = /etc\n", "data.dataset = /etc: not a setting"},
        {"memory_mb = 0\n", "memory_mb = 1\n", "data.memory_mb = 1: not a setting"},
        {"seed = 1\n", "seed = 1\nseed = 2\n", "data.seed is already set on line"},
        {"seed = 1\n", "sead = 1\n", "unknown key sead in [data]"},
        {"seed = 1\n", "seed = 1\ngroove = 1\n", "(written by another version of tutti"},
        {"seed = 1\n", "seed = -1\n", "data.seed = -1: expected"},
        {"min_notes = 1\n", "min_notes = 2000000\n", "is above data.max_notes"},
        {"split = 0.6 0.2 0.2\n", "split = 0.6 0.2 0.3\n", "data.split = 0.6 0.2 0.3"},
        {"shards = 4\n", "shards = 5\n", "data.shards = 5, but /shards has 4"},
        {"encoding = performance\n", "encoding = pianoroll\n", "are not those of /voc"},
    };
    const struct fixture *fixture = *state;
    char *path = path_format("%s/index.h5", fixture->output);
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = replace_text(fixture->dataset->settings, cases[i].old, cases[i].by);
        rewrite_index(path, text, HASH_ABSENT);
        assert_refused(fixture->output, STATUS_FAILED, cases[i].message);
        assert_int_equal(file_write(path, bytes, size), STATUS_OK);
        free(text);
    }
    rewrite_index(path, "\n", HASH_ABSENT);
    assert_refused(fixture->output, STATUS_FAILED, "/settings: no settings of [data]");
    free(bytes);
    free(path);
}

static void settings_hash_detects_changed_settings(void **state)
{
    const struct fixture *fixture = *state;
    struct dataset *dataset = NULL;
    struct options options;
    char *path = path_format("%s/index.h5", fixture->output);
    char *text = replace_text(fixture->dataset->settings, "seed = 1\n", "seed = 7\n");
    rewrite_index(path, fixture->dataset->settings, HASH_UNCHANGED);
    assert_int_equal(dataset_open(fixture->output, &dataset), STATUS_OK);
    dataset_close(dataset);
    rewrite_index(path, text, HASH_UNCHANGED);
    assert_refused(fixture->output, STATUS_FAILED, "settings_hash: does not match");
    rewrite_index(path, text, HASH_INTEGER);
    assert_refused(fixture->output, STATUS_FAILED, "settings_hash: not one text");
    rewrite_index(path, text, HASH_ABSENT);
    assert_int_equal(dataset_open(fixture->output, &dataset), STATUS_OK);
    assert_int_equal(dataset_settings(dataset, &options), STATUS_OK);
    assert_int_equal(options.data.seed, 7);
    dataset_close(dataset);
    free(text);
    free(path);
}

static void settings_above_the_size_limit_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    char *path = path_format("%s/index.h5", fixture->output);
    char *text = path_format("%s%*s", fixture->dataset->settings, 1 << 20, "\n");
    rewrite_index(path, text, HASH_ABSENT);
    assert_refused(fixture->output, STATUS_FAILED, "index.h5: /settings: a text of 104");
    assert_message_contains("(at most 1048576)");
    free(text);
    free(path);
}

int main(int argc, char **argv)
{
    if (comm_open(&argc, &argv, &world) != STATUS_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
#define WITH_DATASET(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_DATASET(splits_partition_all_pieces),
        WITH_DATASET(verify_accepts_an_intact_dataset),
        WITH_DATASET(settings_round_trip),
        WITH_DATASET(open_refuses_other_paths_with_a_remedy),
        WITH_DATASET(open_refuses_newer_versions_and_other_formats),
        WITH_DATASET(read_refuses_a_shard_of_another_dataset),
        WITH_DATASET(flipped_bits_are_detected_or_harmless),
        WITH_DATASET(truncated_files_are_detected),
        WITH_DATASET(changed_values_with_valid_checksums_are_detected),
        WITH_DATASET(verify_accepts_older_shards),
        WITH_DATASET(settings_other_than_valid_data_settings_are_refused),
        WITH_DATASET(settings_hash_detects_changed_settings),
        WITH_DATASET(settings_above_the_size_limit_are_refused),
        cmocka_unit_test(shards_are_assigned_largest_first),
        cmocka_unit_test(microbatches_without_training_tokens_are_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm_close(world);
    return failed;
}
