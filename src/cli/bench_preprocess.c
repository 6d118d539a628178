/* bench_preprocess: throughput of MIDI bytes in memory to notes, and of notes to tokens.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "base/file.h"
#include "demo/composer.h"
#include "midi/midi.h"

enum { PIECES = 200 };

struct corpus {
    uint8_t *bytes[PIECES];
    size_t sizes[PIECES], size;
    struct midi_file files[PIECES];
    struct tokens tokens;
    const struct encoding *encoding;
    enum status status;
};

/* Composes a piece, writes it to `path` and reads back the bytes. */
static enum status create_piece(const struct composer *composer, const char *path,
                                uint64_t number, struct corpus *corpus)
{
    struct composition piece = {0};
    enum status status = composer_compose(composer, 1, number, &piece);
    if (status == STATUS_OK)
        status = midi_write(path, &piece.notes, COMPOSER_TICKS_PER_BEAT, COMPOSER_TEMPO);
    if (status == STATUS_OK)
        status = file_read(path, 0, &corpus->bytes[number], &corpus->sizes[number]);
    corpus->size += corpus->sizes[number];
    notes_free(&piece.notes);
    return status;
}

static enum status create_corpus(struct corpus *corpus)
{
    char folder[] = "/tmp/tutti-bench-XXXXXX";
    struct composer *composer = NULL;
    if (!mkdtemp(folder))
        return status_fail_errno("%s: can't create the directory", folder);
    char *path = path_join(folder, "piece.mid");
    enum status status =
        path ? composer_create(&composer) : status_fail(STATUS_FAILED, "out of memory");
    for (uint64_t i = 0; status == STATUS_OK && i < PIECES; i++)
        status = create_piece(composer, path, i, corpus);
    if (path)
        unlink(path);
    rmdir(folder);
    free(path);
    composer_free(composer);
    return status;
}

static void record_status(struct corpus *corpus, enum status status)
{
    if (corpus->status == STATUS_OK)
        corpus->status = status;
}

static void read_files(void *context)
{
    static const struct midi_limits no_limits = {0};
    struct corpus *corpus = context;
    for (size_t i = 0; i < PIECES; i++) {
        midi_free(&corpus->files[i]);
        record_status(corpus, midi_read(corpus->bytes[i], corpus->sizes[i], &no_limits,
                                        &corpus->files[i]));
    }
}

static void encode_files(void *context)
{
    struct corpus *corpus = context;
    const struct encoding *encoding = corpus->encoding;
    for (size_t i = 0; i < PIECES; i++) {
        corpus->tokens.count = 0;
        record_status(
            corpus, encoding->encode(encoding, &corpus->files[i].notes, &corpus->tokens));
    }
}

enum status bench_preprocess(struct bench *bench)
{
    static struct corpus corpus; /* large */
    corpus.encoding = bench->encoding;
    enum status status = comm_agree(bench->comm, create_corpus(&corpus));
    if (status == STATUS_OK) {
        double read = bench_time(bench, read_files, &corpus);
        double encode = bench_time(bench, encode_files, &corpus);
        double megabytes = (double)corpus.size / 1e6;
        bench_add(bench, "ingest", "MB/s", megabytes / read, bench_unlimited,
                  "MIDI to notes, in memory");
        bench_add(bench, "ingest", "MB/s", megabytes / encode, bench_unlimited,
                  "notes to tokens (%s)", bench->encoding->name);
        bench_add(bench, "ingest", "MB/s", megabytes / (read + encode), bench_unlimited,
                  "both");
        status = corpus.status;
    }
    for (size_t i = 0; i < PIECES; i++) {
        free(corpus.bytes[i]);
        midi_free(&corpus.files[i]);
    }
    tokens_free(&corpus.tokens);
    return comm_agree(bench->comm, status);
}
