/* statistics_training: see the header. */
#include "statistics_training.h"

#include <stdio.h>
#include <stdlib.h>

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

/* Runs in the sandboxed child. */
static enum status read_and_send(void *context, FILE *reply)
{
    struct training *training = context;
    struct dataset *dataset = NULL;
    enum status status = dataset_open(training->path, &dataset);
    if (status == STATUS_OK)
        status = dataset_pieces_visit(dataset, SPLIT_TRAIN, add_piece, training);
    if (status == STATUS_OK)
        status = corpus_send(&training->corpus, reply);
    corpus_free(&training->corpus);
    melody_free(&training->melody);
    dataset_close(dataset);
    return status;
}

enum status statistics_read_training(const char *path, struct corpus *corpus)
{
    struct training training = {.path = path};
    const struct sandbox_inputs inputs = {.paths = &path, .count = 1};
    struct sandbox_reply reply;
    enum status status = sandbox_run(&inputs, read_and_send, &training, &reply);
    if (status == STATUS_OK)
        status = corpus_receive(reply.bytes, reply.size, corpus);
    free(reply.bytes);
    return status;
}
