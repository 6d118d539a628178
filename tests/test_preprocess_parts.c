/* ranks: 1 2 3 4
 * preprocess: the contents of a dataset, compared with each input file read on its
 * own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "corpus.h"
#include "midi_make.h"
#include "ranks.h"
#include "h5/h5.h"

enum { PIECES = 40, SHARDS = 5 };

static void small_options(struct options *options)
{
    options_defaults(options);
    options->data.shards = SHARDS;
    options->data.split[0] = 0.5;
    options->data.split[1] = 0.25;
    options->data.split[2] = 0.25;
}

/* The piece must be in the shard and split given by its hash, with its tokens. */
static bool contains_piece(const struct dataset *dataset, const struct expected *expected)
{
    struct shard shard = {0};
    bool found = false;
    expect(dataset_read_shard(dataset, expected->shard, expected->split, &shard) ==
           STATUS_OK);
    for (size_t i = 0; i < shard.piece_count; i++) {
        const struct piece *piece = &shard.pieces[i];
        if (i > 0)
            expect(hash128_compare(piece[-1].hash, piece->hash) < 0);
        if (hash128_compare(piece->hash, expected->hash) != 0)
            continue;
        found = true;
        expect(piece->notes == expected->notes.count);
        expect(piece->seconds == notes_duration(&expected->notes));
        expect(piece->token_count == expected->tokens.count);
        expect(memcmp(shard.tokens + piece->token_first, expected->tokens.items,
                      piece->token_count * sizeof *shard.tokens) == 0);
    }
    shard_free(&shard);
    return found;
}

/* Compares the note columns, read by their names. */
static void expect_notes(const char *dataset, const struct expected *expected)
{
    char *path = path_format("%s/shard-%04zu.h5", dataset, expected->shard);
    struct h5_file *file = NULL;
    size_t dims[H5_MAX_RANK] = {0};
    int rank = 0;
    expect(h5_open(path, &file) == STATUS_OK);
    free(path);
    expect(h5_shape(file, "/pieces/hash_low", &rank, dims) == STATUS_OK);
    uint64_t low[PIECES + 1], first[PIECES + 1], count[PIECES + 1];
    expect(h5_read(file, "/pieces/hash_low", H5_U64, 1, dims, low) == STATUS_OK);
    expect(h5_read(file, "/pieces/note_first", H5_U64, 1, dims, first) == STATUS_OK);
    expect(h5_read(file, "/pieces/note_count", H5_U64, 1, dims, count) == STATUS_OK);
    for (size_t i = 0; i < dims[0]; i++) {
        if (low[i] != expected->hash.low)
            continue;
        expect(count[i] == expected->notes.count);
        for (size_t n = 0; n < count[i]; n++) {
            const struct note *note = &expected->notes.items[n];
            double start = -1, duration = -1;
            uint32_t tick = 0, ticks = 0;
            uint8_t pitch = 0, velocity = 0, channel = 99, program = 99;
            uint8_t port = 99, percussion = 99;
            uint16_t track = 999;
            size_t at = first[i] + n;
            h5_read_slice(file, "/notes/start", H5_F64, at, 1, &start);
            h5_read_slice(file, "/notes/duration", H5_F64, at, 1, &duration);
            h5_read_slice(file, "/notes/start_tick", H5_U32, at, 1, &tick);
            h5_read_slice(file, "/notes/duration_ticks", H5_U32, at, 1, &ticks);
            h5_read_slice(file, "/notes/pitch", H5_U8, at, 1, &pitch);
            h5_read_slice(file, "/notes/velocity", H5_U8, at, 1, &velocity);
            h5_read_slice(file, "/notes/channel", H5_U8, at, 1, &channel);
            h5_read_slice(file, "/notes/program", H5_U8, at, 1, &program);
            h5_read_slice(file, "/notes/track", H5_U16, at, 1, &track);
            h5_read_slice(file, "/notes/port", H5_U8, at, 1, &port);
            h5_read_slice(file, "/notes/percussion", H5_U8, at, 1, &percussion);
            expect(start == note->start && duration == note->duration);
            expect(tick == note->start_tick && ticks == note->duration_ticks);
            expect(pitch == note->pitch && velocity == note->velocity);
            expect(channel == note->channel && program == note->program);
            expect(track == note->track);
            expect(port == note->port && percussion == note->percussion);
        }
    }
    h5_abandon(file);
}

static uint64_t sum(const uint64_t counts[SPLITS])
{
    return counts[0] + counts[1] + counts[2];
}

static void check_dataset(const char *output, const char *corpus,
                          const struct options *options,
                          const struct preprocess_summary *summary)
{
    struct dataset *dataset = NULL;
    expect(dataset_open(output, &dataset) == STATUS_OK);
    if (!dataset) {
        print_error("%s\n", status_message());
        return;
    }
    uint64_t notes = 0, tokens = 0, pieces[SPLITS] = {0};
    for (int i = 0; i < PIECES; i++) {
        struct expected expected;
        char *path = path_format("%s/piece-%03d.mid", corpus, i);
        expect(expect_file(path, options, &expected));
        expect(contains_piece(dataset, &expected));
        if (i % 8 == 0)
            expect_notes(output, &expected);
        notes += expected.notes.count;
        tokens += expected.tokens.count;
        pieces[expected.split]++;
        expected_free(&expected);
        free(path);
    }
    expect(memcmp(pieces, dataset->total.pieces, sizeof pieces) == 0);
    expect(sum(dataset->total.notes) == notes && summary->notes == notes);
    expect(sum(dataset->total.tokens) == tokens && summary->tokens == tokens);
    expect(summary->files == PIECES && summary->ok == PIECES);
    expect(summary->pieces == PIECES && summary->bytes > 0);
    enum status verified = dataset_verify(dataset);
    if (verified != STATUS_OK)
        print_error("%s\n", status_message());
    expect(verified == STATUS_OK);
    dataset_close(dataset);
}

static void expect_attribute(const struct h5_file *file, const char *name,
                             const char *attribute, const char *expected)
{
    char text[128] = "";
    if (h5_get_text(file, name, attribute, text, sizeof text) != STATUS_OK)
        expect_text(status_message(), name);
    else if (!strstr(text, expected))
        expect_text(text, expected);
}

/* Every HDF5 dataset of a group must have a description. */
static void expect_described(const struct h5_file *file, const char *group)
{
    char **names = NULL;
    size_t count = 0;
    expect(h5_list(file, group, &names, &count) == STATUS_OK && count > 0);
    for (size_t i = 0; i < count; i++) {
        char *name = path_format("%s/%s", group, names[i]);
        expect_attribute(file, name, "description", "");
        free(name);
        free(names[i]);
    }
    free(names);
}

/* The durations' description states whether they include the sustain pedal. */
static void expect_duration(const char *output, const char *description)
{
    char *path = path_join(output, "shard-0002.h5");
    struct h5_file *file = NULL;
    expect(h5_open(path, &file) == STATUS_OK);
    expect_attribute(file, "/notes/duration", "description", description);
    expect_attribute(file, "/notes/duration_ticks", "description", description);
    h5_abandon(file);
    free(path);
}

static void check_descriptions(const char *output)
{
    static const char *const groups[] = {"/vocabulary", "/shards", "/files",
                                         "/pieces",     "/notes",  NULL};
    static const char *const units[][2] = {
        {"/shards/seconds", "seconds"},
        {"/files/bytes", "bytes"},
        {"/files/seconds", "seconds"},
        {"/pieces/tempo", "microseconds per quarter"},
        {"/pieces/ticks_per_beat", "ticks per quarter"},
        {"/notes/start", "seconds"},
        {"/notes/duration_ticks", "ticks"},
        {NULL, NULL}};
    static const char *const files[] = {"index.h5", "shard-0002.h5"};
    for (int i = 0; i < 2; i++) {
        char *path = path_join(output, files[i]);
        struct h5_file *file = NULL;
        expect(h5_open(path, &file) == STATUS_OK);
        for (const char *const *group = groups; *group; group++)
            if (h5_has(file, *group))
                expect_described(file, *group);
        for (int row = 0; units[row][0]; row++)
            if (h5_has(file, units[row][0]))
                expect_attribute(file, units[row][0], "unit", units[row][1]);
        expect_attribute(file, i ? "/tokens" : "/settings", "description", "");
        if (i)
            expect_attribute(file, "/pieces/split", "description", "2 test");
        h5_abandon(file);
        free(path);
    }
    expect_duration(output, "length, sustain pedal included");
}

static void hashes_determine_shard_and_split(void **state)
{
    struct comm *comm = *state;
    static struct options options;
    struct preprocess_summary summary;
    small_options(&options);
    char *folder = make_folder(comm);
    char *corpus = path_join(folder, "corpus"), *output = path_join(folder, "out/put");
    if (comm_rank(comm) == 0)
        expect(write_corpus(corpus, 0, PIECES));
    enum status status = make_dataset(comm, corpus, output, &options, &summary);
    expect(status == STATUS_OK);
    if (status == STATUS_OK && comm_rank(comm) == 0)
        check_dataset(output, corpus, &options, &summary);
    if (status == STATUS_OK && comm_rank(comm) == 0)
        check_descriptions(output);
    free(output);
    free(corpus);
    remove_folder(comm, folder);
    agree_on_verdict(comm);
}

static void description_states_that_the_pedal_is_ignored(void **state)
{
    struct comm *comm = *state;
    static struct options options;
    small_options(&options);
    options.data.pedal = PEDAL_IGNORE;
    char *folder = make_folder(comm);
    char *corpus = path_join(folder, "corpus"), *output = path_join(folder, "dataset");
    if (comm_rank(comm) == 0)
        expect(write_corpus(corpus, 0, PIECES));
    enum status status = make_dataset(comm, corpus, output, &options, NULL);
    expect(status == STATUS_OK);
    if (status == STATUS_OK && comm_rank(comm) == 0)
        expect_duration(output, "length, sustain pedal ignored");
    free(output);
    free(corpus);
    remove_folder(comm, folder);
    agree_on_verdict(comm);
}

/* The pieces of every shard as text: path, split, shard. */
static char *list_pieces(const char *output)
{
    char *all = strdup("");
    for (int shard = 0; shard < SHARDS; shard++) {
        char *path = path_format("%s/shard-%04d.h5", output, shard), **paths = NULL;
        struct h5_file *file = NULL;
        size_t count = 0;
        uint8_t split[4 * PIECES];
        if (h5_open(path, &file) == STATUS_OK &&
            h5_read_texts(file, "/pieces/path", &count, &paths) == STATUS_OK)
            expect(h5_read(file, "/pieces/split", H5_U8, 1, &count, split) == STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            char *more = path_format("%s%s in shard %d is %s\n", all, paths[i], shard,
                                     split_name((enum split)split[i]));
            free(all);
            all = more;
        }
        free(paths);
        h5_abandon(file);
        free(path);
    }
    return all;
}

static void expect_lines_kept(char *before, const char *after)
{
    int lines = 0;
    for (char *line = strtok(before, "\n"); line; line = strtok(NULL, "\n"), lines++)
        expect(strstr(after, line) != NULL);
    expect(lines == PIECES);
}

static void adding_files_moves_no_piece(void **state)
{
    struct comm *comm = *state;
    static struct options options;
    small_options(&options);
    char *folder = make_folder(comm);
    char *corpus = path_join(folder, "corpus"), *output = path_join(folder, "one"),
         *second = path_join(folder, "two");
    bool first = comm_rank(comm) == 0;
    if (first)
        expect(write_corpus(corpus, 0, PIECES));
    expect(make_dataset(comm, corpus, output, &options, NULL) == STATUS_OK);
    if (first)
        expect(write_corpus(corpus, 100, 20));
    expect(make_dataset(comm, corpus, second, &options, NULL) == STATUS_OK);
    if (first) {
        char *before = list_pieces(output), *after = list_pieces(second);
        expect_lines_kept(before, after);
        free(before);
        free(after);
    }
    free(second);
    free(output);
    free(corpus);
    remove_folder(comm, folder);
    agree_on_verdict(comm);
}

static void copy_file(const char *folder, const char *from, const char *to)
{
    char *source = path_join(folder, from), *target = path_join(folder, to);
    uint8_t *bytes = NULL;
    size_t size = 0;
    expect(file_read(source, 0, &bytes, &size) == STATUS_OK);
    expect(file_write(target, bytes, size) == STATUS_OK);
    free(bytes);
    free(source);
    free(target);
}

static void write_edge_cases(const char *folder)
{
    expect(write_corpus(folder, 0, 3));
    copy_file(folder, "piece-000.mid", "a-copy.MID");
    copy_file(folder, "piece-001.mid", "piece-001 copy.mid");
    copy_file(folder, "piece-002.mid", "not music.txt");
    char *garbage = path_join(folder, "garbage.mid"),
         *pipe = path_join(folder, "pipe.mid"),
         *directory = path_join(folder, "directory.mid"),
         *dangling = path_join(folder, "dangling.mid"), *loop = path_join(folder, "loop"),
         *big = path_join(folder, "big.kar");
    expect(file_write(garbage, "no music", 8) == STATUS_OK);
    expect(mkfifo(pipe, 0600) == 0);
    expect(write_corpus(directory, 10, 1));
    expect(symlink("nowhere.mid", dangling) == 0);
    expect(symlink("..", loop) == 0);
    char zeros[5000] = {0};
    expect(file_write(big, zeros, sizeof zeros) == STATUS_OK);
    free(big);
    free(loop);
    free(dangling);
    free(directory);
    free(pipe);
    free(garbage);
}

static void check_edge_cases(const char *output)
{
    static const struct {
        const char *path;
        enum file_outcome outcome;
        const char *reason; /* text that it contains */
    } expected[] = {
        {"corpus/a-copy.MID", FILE_OK, ""},
        {"corpus/big.kar", FILE_SKIPPED, "5000 bytes, more than the limit of 4000"},
        {"corpus/dangling.mid", FILE_SKIPPED, "can't open: No such file"},
        {"corpus/directory.mid", FILE_SKIPPED, "a folder"},
        {"corpus/directory.mid/piece-010.mid", FILE_OK, ""},
        {"corpus/garbage.mid", FILE_SKIPPED, "MThd"},
        {"corpus/piece-000.mid", FILE_DUPLICATE, "of corpus/a-copy.MID"},
        {"corpus/piece-001 copy.mid", FILE_OK, ""},
        {"corpus/piece-001.mid", FILE_DUPLICATE, "of corpus/piece-001 copy.mid"},
        {"corpus/piece-002.mid", FILE_OK, ""},
        {"corpus/pipe.mid", FILE_SKIPPED, "not a regular file"},
    };
    enum { EXPECTED = sizeof expected / sizeof *expected };
    struct dataset *dataset = NULL;
    struct dataset_files files = {0};
    expect(dataset_open(output, &dataset) == STATUS_OK);
    expect(dataset_read_files(dataset, &files) == STATUS_OK);
    expect(files.count == EXPECTED);
    for (size_t i = 0; i < files.count && i < EXPECTED; i++) {
        expect_text(files.paths[i], expected[i].path);
        expect(files.outcomes[i] == expected[i].outcome);
        if (!strstr(files.reasons[i], expected[i].reason))
            expect_text(files.reasons[i], expected[i].reason);
        expect((files.notes[i] > 0) == (expected[i].outcome != FILE_SKIPPED));
    }
    expect(dataset->outcomes[FILE_OK] == 4 && dataset->outcomes[FILE_DUPLICATE] == 2);
    expect(dataset->outcomes[FILE_SKIPPED] == 5 && dataset->outcomes[FILE_REPAIRED] == 0);
    expect(sum(dataset->total.pieces) == 4);
    dataset_files_free(&files);
    dataset_close(dataset);
}

static void every_file_has_an_outcome_and_a_reason(void **state)
{
    struct comm *comm = *state;
    static struct options options;
    small_options(&options);
    options.data.max_bytes = 4000;
    char *folder = make_folder(comm);
    char *corpus = path_join(folder, "corpus"), *output = path_join(folder, "dataset");
    if (comm_rank(comm) == 0)
        write_edge_cases(corpus);
    struct preprocess_summary summary;
    enum status status = make_dataset(comm, corpus, output, &options, &summary);
    expect(status == STATUS_OK);
    if (status == STATUS_OK && comm_rank(comm) == 0)
        check_edge_cases(output);
    expect(summary.skipped == 5 && summary.duplicates == 2 && summary.ok == 4);
    free(output);
    free(corpus);
    remove_folder(comm, folder);
    agree_on_verdict(comm);
}

/* Consecutive notes of 20 ms, written byte by byte. */
static bool write_long(const char *path, int count)
{
    struct bytes track = {0}, file = {0};
    for (int i = 0; i < count; i++) {
        put_event(&track, 0, 0x90, 21 + i % 88, 1 + i % 127);
        put_event(&track, 20, 0x80, 21 + i % 88, 0);
    }
    PUT(&track, 0, 0xff, 0x2f, 0);
    put_bytes(&file, "MThd", 4);
    put_32(&file, 6);
    put_16(&file, 0);
    put_16(&file, 1);
    put_16(&file, 500); /* ticks in half a second */
    put_bytes(&file, "MTrk", 4);
    put_32(&file, (uint32_t)track.count);
    put_bytes(&file, track.items, track.count);
    enum status status = file_write(path, file.items, file.count);
    free(track.items);
    free(file.items);
    return status == STATUS_OK;
}

/* A piece larger than a chunk is written in several parts. */
static void pieces_longer_than_a_chunk_are_complete(void **state)
{
    enum { NOTES = 150000 };
    struct comm *comm = *state;
    static struct options options;
    small_options(&options);
    char *folder = make_folder(comm);
    char *corpus = path_join(folder, "corpus"), *output = path_join(folder, "dataset");
    char *path = path_join(corpus, "long.mid");
    if (comm_rank(comm) == 0) {
        expect(write_corpus(corpus, 0, 4));
        expect(write_long(path, NOTES));
    }
    enum status status = make_dataset(comm, corpus, output, &options, NULL);
    expect(status == STATUS_OK);
    if (status == STATUS_OK && comm_rank(comm) == 0) {
        struct dataset *dataset = NULL;
        struct expected expected;
        expect(dataset_open(output, &dataset) == STATUS_OK);
        expect(expect_file(path, &options, &expected));
        expect(expected.notes.count == NOTES);
        expect(contains_piece(dataset, &expected));
        expect(dataset_verify(dataset) == STATUS_OK);
        expected_free(&expected);
        dataset_close(dataset);
    }
    free(path);
    free(output);
    free(corpus);
    remove_folder(comm, folder);
    agree_on_verdict(comm);
}

/* All ranks return the failure and its message; nothing remains on disk. */
static void all_ranks_return_a_failure_and_no_files_remain(void **state)
{
    struct comm *comm = *state;
    static struct options options;
    small_options(&options);
    char *folder = make_folder(comm);
    char *empty = path_join(folder, "empty"), *output = path_join(folder, "dataset"),
         *partial = path_join(folder, "dataset.partial"),
         *garbage = path_join(empty, "g.mid");
    if (comm_rank(comm) == 0)
        expect(file_make_directories(empty) == STATUS_OK);
    expect(make_dataset(comm, empty, output, &options, NULL) == STATUS_FAILED);
    expect(strstr(status_message(), "no MIDI files in") != NULL);
    if (comm_rank(comm) == 0)
        expect(file_write(garbage, "nothing", 7) == STATUS_OK);
    expect(make_dataset(comm, empty, output, &options, NULL) == STATUS_FAILED);
    expect(strstr(status_message(), "empty/g.mid") != NULL);
    expect(make_dataset(comm, garbage, folder, &options, NULL) == STATUS_MISUSE);
    expect(strstr(status_message(), "exists") != NULL);
    expect(make_dataset(comm, "/no/such/folder", output, &options, NULL) ==
           STATUS_MISUSE);
    expect(strstr(status_message(), "/no/such/folder") != NULL);
    comm_barrier(comm);
    expect(!file_exists(output) && !file_exists(partial));
    comm_barrier(comm);
    free(garbage);
    free(partial);
    free(output);
    free(empty);
    remove_folder(comm, folder);
    agree_on_verdict(comm);
}

static void limit_file_size(uint64_t bytes)
{
    struct rlimit limit;
    expect(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes ? (rlim_t)bytes : limit.rlim_max;
    expect(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static uint64_t file_size(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    struct stat st = {0};
    expect(stat(path, &st) == 0);
    free(path);
    return (uint64_t)st.st_size;
}

/* A file size limit simulates a full disk, on rank 0 only. */
static void expect_disk_full(struct comm *comm, const char *corpus, const char *output,
                             const struct options *options, uint64_t bytes)
{
    char *partial = path_format("%s.partial", output);
    if (comm_rank(comm) == 0)
        limit_file_size(bytes);
    enum status status = make_dataset(comm, corpus, output, options, NULL);
    if (comm_rank(comm) == 0)
        limit_file_size(0);
    expect(status == STATUS_FAILED);
    if (status != STATUS_OK && !strstr(status_message(), "can't write"))
        expect_text(status_message(), "can't write");
    comm_barrier(comm);
    expect(!file_exists(output) && !file_exists(partial));
    comm_barrier(comm);
    free(partial);
}

static void a_full_disk_fails_on_all_ranks_and_no_files_remain(void **state)
{
    struct comm *comm = *state;
    static struct options options;
    small_options(&options);
    options.data.shards = 1;
    signal(SIGXFSZ, SIG_IGN);
    char *folder = make_folder(comm);
    char *corpus = path_join(folder, "corpus"), *whole = path_join(folder, "whole"),
         *output = path_join(folder, "dataset");
    if (comm_rank(comm) == 0)
        expect(write_corpus(corpus, 0, 4 * PIECES));
    expect(make_dataset(comm, corpus, whole, &options, NULL) == STATUS_OK);
    uint64_t shard = file_size(whole, "shard-0000.h5"),
             index = file_size(whole, "index.h5");
    expect(shard > 100000 && index > 20000);
    expect_disk_full(comm, corpus, output, &options, index - 500);
    if (comm_size(comm) == 1) { /* else another rank may write it; MPI needs some space */
        expect_disk_full(comm, corpus, output, &options, 1000);
        expect_disk_full(comm, corpus, output, &options, shard - 500);
    }
    expect(make_dataset(comm, corpus, output, &options, NULL) == STATUS_OK);
    free(output);
    free(whole);
    free(corpus);
    remove_folder(comm, folder);
    agree_on_verdict(comm);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_determine_shard_and_split),
        cmocka_unit_test(description_states_that_the_pedal_is_ignored),
        cmocka_unit_test(adding_files_moves_no_piece),
        cmocka_unit_test(every_file_has_an_outcome_and_a_reason),
        cmocka_unit_test(pieces_longer_than_a_chunk_are_complete),
        cmocka_unit_test(a_full_disk_fails_on_all_ranks_and_no_files_remain),
        cmocka_unit_test(all_ranks_return_a_failure_and_no_files_remain),
    };
    return run_on_ranks(argc, argv, tests);
}
