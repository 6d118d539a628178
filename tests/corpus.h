/* corpus: a folder of MIDI files for the tests of datasets, a dataset made of it, and its
 * expected contents, computed from the files one by one. Include it after cmocka.h. */
#ifndef TUTTI_TESTS_CORPUS_H
#define TUTTI_TESTS_CORPUS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pieces.h"
#include "remove_tree.h"
#include "base/file.h"
#include "comm/comm.h"
#include "data/dataset.h"
#include "data/preprocess.h"
#include "midi/midi.h"

/* FOLDER/piece-000.mid ...: writes `count` random pieces, numbered from `first`. Piece 1
 * has percussion on an unusual channel. */
static inline bool write_corpus(const char *folder, int first, int count)
{
    bool written = file_make_directories(folder) == STATUS_OK;
    for (int i = first; i < first + count && written; i++) {
        struct dice dice = {.seed = 7, .piece = (uint64_t)i};
        struct notes notes = {0};
        for (int n = 0; n < 20 + i; n++) {
            double start = 0.25 * n + 0.01 * (double)dice_below(&dice, 20);
            notes_append(
                &notes,
                &(struct note){.start = start,
                               .duration = 0.1 + 0.01 * (double)dice_below(&dice, 50),
                               .pitch = (uint8_t)(40 + dice_below(&dice, 40)),
                               .velocity = (uint8_t)(1 + dice_below(&dice, 127)),
                               .channel = (uint8_t)(n % 3),
                               .percussion = i == 1 && n % 7 == 3});
        }
        char *path = path_format("%s/piece-%03d.mid", folder, i);
        written = midi_write(path, &notes, 480, 500000) == STATUS_OK;
        free(path);
        notes_free(&notes);
    }
    return written;
}

/* The expected contents of the dataset for one piece. */
struct expected {
    struct notes notes;
    struct tokens tokens;
    struct hash128 hash;
    size_t shard;
    enum split split;
};

/* Reads a file as the documentation describes: pedal, hash, encoding; shard and split
 * from the hash. */
static inline bool expect_file(const char *path, const struct options *options,
                               struct expected *expected)
{
    struct midi_file midi = {0};
    struct midi_limits no_limits = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct encoding *encoding = NULL;
    *expected = (struct expected){0};
    bool ok = file_read(path, 0, &bytes, &size) == STATUS_OK &&
              midi_read(bytes, size, &no_limits, &midi) == STATUS_OK &&
              midi_apply_pedal(&midi) == STATUS_OK &&
              encoding_create("performance", "", &encoding) == STATUS_OK &&
              encoding->encode(encoding, &midi.notes, &expected->tokens) == STATUS_OK;
    expected->notes = midi.notes;
    midi.notes = (struct notes){0};
    expected->hash = notes_hash(&expected->notes);
    expected->shard = (size_t)(expected->hash.low % (uint64_t)options->data.shards);
    double draw = rng_uniform(options->data.seed, RNG_SPLIT, expected->hash.high,
                              expected->hash.low, 0);
    const double *share = options->data.split;
    expected->split = draw < share[0]              ? SPLIT_TRAIN
                      : draw < share[0] + share[1] ? SPLIT_VALID
                                                   : SPLIT_TEST;
    encoding_free(encoding);
    midi_free(&midi);
    free(bytes);
    return ok;
}

static inline void expected_free(struct expected *expected)
{
    notes_free(&expected->notes);
    tokens_free(&expected->tokens);
}

/* Collective. */
static inline enum status make_dataset(struct comm *comm, const char *input,
                                       const char *output, const struct options *options,
                                       struct preprocess_summary *summary)
{
    struct preprocess_summary ignored;
    const char *inputs[] = {input};
    struct preprocess_request request = {
        .inputs = inputs, .input_count = 1, .output = output, .options = options};
    return preprocess(comm, &request, summary ? summary : &ignored);
}

/* Rank 0 creates a new folder for one test; returns its name on all ranks. The caller
 * frees it.
 */
static inline char *make_folder(struct comm *comm)
{
    char name[] = "/tmp/tutti-test-XXXXXX";
    if (comm_rank(comm) == 0 && !mkdtemp(name))
        abort();
    if (comm_broadcast(comm, name, sizeof name) != STATUS_OK)
        abort();
    return strdup(name);
}

/* Collective. */
static inline void remove_folder(struct comm *comm, char *folder)
{
    comm_barrier(comm);
    if (comm_rank(comm) == 0)
        file_remove_tree(folder);
    free(folder);
}

#endif
