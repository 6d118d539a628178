/* ranks: 1 2 3
 * Duplicates: different files with the same music become one piece of the dataset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "corpus.h"
#include "midi_make.h"
#include "ranks.h"
#include "h5/h5.h"

enum { TUNES = 24, NOTES = 30, SHARDS = 4, ROWS = 200 };

/* A way to save a tune. */
struct form {
    const char *name;
    int format, division;
    uint32_t tempo;
    int header; /* extra bytes in the header chunk */
    int empty_tracks;
    uint32_t lead; /* beats of silence at the start */
};

static const struct form forms[] = {
    {"480", 0, 480, 500000, 0, 0, 0},    {"960", 0, 960, 500000, 0, 0, 0},
    {"tracks", 1, 480, 500000, 0, 1, 0}, {"tempo", 1, 240, 250000, 0, 0, 0},
    {"header", 0, 120, 500000, 4, 0, 0}, {"lead", 1, 480, 500000, 0, 3, 2},
};
enum { FORMS = sizeof forms / sizeof *forms };

/* Forms are equal in seconds or, for the pianoroll, which has no tempo, in beats. */
static void put_tune(struct bytes *bytes, int tune, const struct form *form, bool beats)
{
    uint64_t state = (uint64_t)tune + 77;
    uint32_t tempo = beats ? 500000 : form->tempo;
    uint32_t quarter = (uint32_t)form->division * 500000 / tempo;
    uint32_t wait = form->lead * quarter;
    for (int i = 0; i < NOTES; i++) {
        uint32_t length = quarter / 4 * (1 + draw(&state, 3));
        put_note(bytes, wait, length, 40 + (int)draw(&state, 40));
        wait = quarter / 4 * draw(&state, 2);
    }
}

static bool write_tune(const char *folder, const char *name, int tune,
                       const struct form *form, bool beats)
{
    struct bytes bytes = {0};
    put_header(&bytes, form->format, 1 + form->empty_tracks, form->division);
    set_length(&bytes, 8, 6 + (uint32_t)form->header);
    for (int i = 0; i < form->header; i++)
        PUT(&bytes, 0);
    for (int i = 0; i < form->empty_tracks; i++) {
        size_t empty = begin_track(&bytes);
        end_track(&bytes, empty);
    }
    size_t track = begin_track(&bytes);
    put_tempo(&bytes, 0, form->tempo);
    put_tune(&bytes, tune, form, beats);
    end_track(&bytes, track);
    char *path = path_join(folder, name);
    bool written = file_write(path, bytes.items, bytes.count) == STATUS_OK;
    free(path);
    free_bytes(&bytes);
    return written;
}

/* Every tune in every form; `shift` gives the forms other names, in another order. */
static bool write_tunes(const char *folder, int shift, bool beats)
{
    bool written = file_make_directories(folder) == STATUS_OK;
    for (int tune = 0; tune < TUNES; tune++)
        for (int i = 0; i < FORMS; i++) {
            char *name =
                path_format("%02d-%d-%s.mid", tune, (i + shift) % FORMS, forms[i].name);
            written = written && write_tune(folder, name, tune, &forms[i], beats);
            free(name);
        }
    return written;
}

static void tune_options(struct options *options)
{
    options_defaults(options);
    options->data.shards = SHARDS;
    options->data.split[0] = 0.5;
    options->data.split[1] = 0.25;
    options->data.split[2] = 0.25;
}

/* The number of pieces; their token hashes must all differ. */
static size_t different_tokens(const char *output)
{
    uint64_t seen[ROWS];
    size_t count = 0;
    for (int shard = 0; shard < SHARDS; shard++) {
        char *path = path_format("%s/shard-%04d.h5", output, shard);
        struct h5_file *file = NULL;
        size_t dims[H5_MAX_RANK] = {0};
        int rank = 0;
        uint64_t hashes[ROWS];
        expect(h5_open(path, &file) == STATUS_OK);
        expect(h5_shape(file, "/pieces/token_hash", &rank, dims) == STATUS_OK);
        expect(dims[0] <= ROWS - count);
        expect(h5_read(file, "/pieces/token_hash", H5_U64, 1, dims, hashes) == STATUS_OK);
        for (size_t i = 0; i < dims[0]; i++) {
            for (size_t k = 0; k < count; k++)
                expect(seen[k] != hashes[i]);
            seen[count++] = hashes[i];
        }
        h5_abandon(file);
        free(path);
    }
    return count;
}

/* Each duplicate must name a kept file of the same tune. */
static void check_files(const struct dataset *dataset)
{
    struct dataset_files files;
    expect(dataset_read_files(dataset, &files) == STATUS_OK);
    expect(files.count == TUNES * FORMS);
    for (size_t i = 0; i < files.count; i++) {
        if (files.outcomes[i] != FILE_DUPLICATE) {
            expect_text(files.reasons[i], "");
            continue;
        }
        bool found = false;
        for (size_t k = 0; k < files.count && !found; k++)
            found = files.outcomes[k] == FILE_OK &&
                    strncmp(files.reasons[i], "of ", 3) == 0 &&
                    strcmp(files.reasons[i] + 3, files.paths[k]) == 0 &&
                    strncmp(files.paths[i], files.paths[k], strlen("tunes/00")) == 0;
        if (!found)
            expect_text(files.reasons[i], files.paths[i]);
    }
    dataset_files_free(&files);
}

static uint64_t check_tunes(const char *output)
{
    struct dataset *dataset = NULL;
    uint64_t hash = 0;
    expect(dataset_open(output, &dataset) == STATUS_OK);
    if (!dataset)
        return 0;
    hash = dataset->dataset_hash;
    expect(dataset->outcomes[FILE_OK] == TUNES);
    expect(dataset->outcomes[FILE_DUPLICATE] == TUNES * (FORMS - 1));
    expect(different_tokens(output) == TUNES);
    check_files(dataset);
    expect(dataset_verify(dataset) == STATUS_OK);
    dataset_close(dataset);
    return hash;
}

static void equivalent_files_become_one_piece(void **state)
{
    struct comm *comm = *state;
    static struct options options;
    for (int encoding = 0; encoding < 2; encoding++) {
        tune_options(&options);
        options.data.encoding = encoding;
        bool beats = encoding == ENCODING_PIANOROLL;
        char *folder = make_folder(comm);
        char *tunes = path_join(folder, "tunes"), *output = path_join(folder, "one"),
             *renamed = path_join(folder, "again/tunes"),
             *second = path_join(folder, "two");
        if (comm_rank(comm) == 0)
            expect(write_tunes(tunes, 0, beats) && write_tunes(renamed, 2, beats));
        expect(make_dataset(comm, tunes, output, &options, NULL) == STATUS_OK);
        expect(make_dataset(comm, renamed, second, &options, NULL) == STATUS_OK);
        if (comm_rank(comm) == 0)
            expect(check_tunes(output) == check_tunes(second));
        free(second);
        free(renamed);
        free(output);
        free(tunes);
        remove_folder(comm, folder);
    }
    agree_on_verdict(comm);
}

/* A file with the notes of a duplicate is a duplicate of the file that is kept. */
static void duplicates_of_duplicates_name_the_kept_file(void **state)
{
    struct comm *comm = *state;
    static struct options options;
    tune_options(&options);
    char *folder = make_folder(comm);
    char *tunes = path_join(folder, "tunes"), *output = path_join(folder, "dataset");
    if (comm_rank(comm) == 0) {
        expect(write_tunes(tunes, 0, false));
        for (int i = 0; i < FORMS; i++) {
            char *name = path_format("00-%d-copy.mid", i);
            expect(write_tune(tunes, name, 0, &forms[i], false));
            free(name);
        }
    }
    expect(make_dataset(comm, tunes, output, &options, NULL) == STATUS_OK);
    if (comm_rank(comm) == 0) {
        struct dataset *dataset = NULL;
        struct dataset_files files = {0};
        const char *kept = NULL;
        expect(dataset_open(output, &dataset) == STATUS_OK);
        expect(dataset_read_files(dataset, &files) == STATUS_OK);
        for (size_t i = 0; i < 2 * FORMS; i++)
            if (files.outcomes[i] == FILE_OK)
                kept = files.paths[i];
        for (size_t i = 0; i < 2 * FORMS; i++)
            if (files.outcomes[i] == FILE_DUPLICATE)
                expect_text(files.reasons[i] + strlen("of "), kept);
        expect(dataset->outcomes[FILE_OK] == TUNES);
        dataset_files_free(&files);
        dataset_close(dataset);
    }
    free(output);
    free(tunes);
    remove_folder(comm, folder);
    agree_on_verdict(comm);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equivalent_files_become_one_piece),
        cmocka_unit_test(duplicates_of_duplicates_name_the_kept_file),
    };
    return run_on_ranks(argc, argv, tests);
}
