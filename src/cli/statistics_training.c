/* statistics_training: see the header. */
#include "statistics_training.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/sandbox.h"
#include "statistics/dataset_pieces.h"

bool statistics_is_dataset(const char *path)
{
    char *index = path_join(path, "index.h5");
    bool exists = index && file_exists(index);
    free(index);
    return exists;
}

struct training {
    const char *path;
    struct corpus corpus;
    struct melody melody; /* of the last piece */
};

static enum status add_piece(void *context, struct notes *notes, uint64_t owner)
{
    struct training *training = context;
    enum status status = melody_extract(notes, &training->melody);
    return status == STATUS_OK ? corpus_add(&training->corpus, &training->melody, owner)
                               : status;
}

/* How files were prepared for the dataset (piece_prepare). */
struct preparation {
    int encoding, pedal;
    double max_silence_seconds;
};

static enum status send_preparation(const struct dataset *dataset, FILE *reply)
{
    static struct options options; /* large */
    enum status status = dataset_settings(dataset, &options);
    if (status != STATUS_OK)
        return status;
    const struct preparation preparation = {.encoding = options.data.encoding,
                                            .pedal = options.data.pedal,
                                            .max_silence_seconds =
                                                options.data.max_silence_seconds};
    return fwrite(&preparation, sizeof preparation, 1, reply) == 1
               ? STATUS_OK
               : status_fail_errno("can't send the settings of the dataset");
}

static enum status receive(const struct sandbox_reply *reply, struct corpus *corpus,
                           struct options *options)
{
    struct preparation preparation;
    if (reply->size < sizeof preparation)
        return status_fail(STATUS_FAILED, "the dataset's settings are incomplete");
    memcpy(&preparation, reply->bytes, sizeof preparation);
    if (preparation.encoding < 0 || preparation.encoding >= ENCODINGS ||
        preparation.pedal < 0 || preparation.pedal >= PEDALS ||
        !(preparation.max_silence_seconds >= 0))
        return status_fail(STATUS_FAILED, "the dataset's settings are out of range");
    options->data.encoding = preparation.encoding;
    options->data.pedal = preparation.pedal;
    options->data.max_silence_seconds = preparation.max_silence_seconds;
    return corpus_receive(reply->bytes + sizeof preparation,
                          reply->size - sizeof preparation, corpus);
}

/* Runs in the sandboxed child. */
static enum status read_and_send(void *context, FILE *reply)
{
    struct training *training = context;
    struct dataset *dataset = NULL;
    enum status status = dataset_open(training->path, &dataset);
    if (status == STATUS_OK)
        status = send_preparation(dataset, reply);
    if (status == STATUS_OK)
        status = dataset_pieces_visit(dataset, SPLIT_TRAIN, add_piece, training);
    if (status == STATUS_OK)
        status = corpus_send(&training->corpus, reply);
    corpus_free(&training->corpus);
    melody_free(&training->melody);
    dataset_close(dataset);
    return status;
}

enum status statistics_read_training(const char *path, struct corpus *corpus,
                                     struct options *options)
{
    struct training training = {.path = path};
    const struct sandbox_inputs inputs = {.paths = &path, .count = 1};
    struct sandbox_reply reply;
    enum status status = sandbox_run(&inputs, read_and_send, &training, &reply);
    if (status == STATUS_OK)
        status = receive(&reply, corpus, options);
    free(reply.bytes);
    return status;
}
