/* demo_corpus: see the header. Tokens are counted in the dataset's encoding, so that nats
 * per token are comparable between composer and model. */
#include "demo_corpus.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "demo/composer.h"
#include "encode/encoding.h"
#include "midi/midi.h"

struct corpus_writer {
    const char *folder;
    uint64_t seed;
    struct composer *composer;
    struct encoding *encoding;
    struct composition piece;
    struct tokens tokens;
    FILE *split;
};

/* Composes and writes piece `number` (from 1), and leaves it in writer->piece. */
static enum status write_piece(struct corpus_writer *writer, int64_t number, bool valid)
{
    enum status status = composer_compose(writer->composer, writer->seed,
                                          (uint64_t)number, &writer->piece);
    if (status)
        return status;
    char *path = path_format("%s/piece-%04lld.mid", writer->folder, (long long)number);
    if (!path)
        return status_fail(STATUS_FAILED, "demo: out of memory");
    status = midi_write_nofollow(path, &writer->piece.notes, COMPOSER_TICKS_PER_BEAT,
                                 COMPOSER_TEMPO);
    fprintf(writer->split, "%s\t%s\n", path, valid ? "valid" : "train");
    free(path);
    return status;
}

static enum status count_valid(struct corpus_writer *writer, struct demo_corpus *corpus)
{
    writer->tokens.count = 0;
    enum status status =
        writer->encoding->encode(writer->encoding, &writer->piece.notes, &writer->tokens);
    corpus->valid_pieces++;
    corpus->valid_tokens += writer->tokens.count + 1;
    corpus->valid_nll -= writer->piece.log_probability;
    return status;
}

static enum status write_pieces(struct corpus_writer *writer, struct demo_corpus *corpus)
{
    enum status status = STATUS_OK;
    for (int64_t number = 1; number <= corpus->pieces && !status; number++) {
        bool valid = number > corpus->pieces - corpus->pieces / 10;
        status = write_piece(writer, number, valid);
        corpus->seconds += notes_duration(&writer->piece.notes);
        if (!status && valid)
            status = count_valid(writer, corpus);
    }
    return status;
}

static enum status write_corpus(struct corpus_writer *writer, const char *split_path,
                                struct demo_corpus *corpus)
{
    enum status status = composer_create(&writer->composer);
    if (!status)
        status = encoding_create(DEMO_ENCODING, DEMO_GRID, &writer->encoding);
    if (status)
        return status;
    int split =
        open(split_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    writer->split = split < 0 ? NULL : fdopen(split, "w");
    if (!writer->split)
        return status_fail_errno("%s: can't be written", split_path);
    status = write_pieces(writer, corpus);
    bool failed = ferror(writer->split) != 0;
    failed |= fclose(writer->split) != 0;
    if (failed && !status)
        status = status_fail_errno("%s: can't be written", split_path);
    return status;
}

enum status demo_corpus_write(const char *folder, const char *split_path, int64_t pieces,
                              uint64_t seed, struct demo_corpus *out)
{
    struct corpus_writer writer = {.folder = folder, .seed = seed};
    *out = (struct demo_corpus){.pieces = pieces};
    enum status status =
        mkdir(folder, 0777) == 0
            ? STATUS_OK
            : status_fail_errno("%s: can't create the directory", folder);
    if (!status)
        status = write_corpus(&writer, split_path, out);
    notes_free(&writer.piece.notes);
    tokens_free(&writer.tokens);
    encoding_free(writer.encoding);
    composer_free(writer.composer);
    return status;
}
