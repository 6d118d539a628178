/* statistics_training: see the header. */
#include "statistics_training.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/program_set.h"
#include "base/sandbox.h"
#include "statistics/dataset_pieces.h"

bool statistics_is_dataset(const char *path)
{
    char *index = path_join(path, "index.h5");
    bool exists = index && file_exists(index);
    free(index);
    return exists;
}

void corpus_builder_free(struct corpus_builder *builder)
{
    corpus_free(&builder->corpus);
    melody_free(&builder->melody);
}

enum status corpus_builder_add(void *builder, struct notes *notes, uint64_t owner)
{
    struct corpus_builder *to = builder;
    enum status status = melody_extract(notes, &to->melody);
    return status == STATUS_OK ? corpus_add(&to->corpus, &to->melody, owner) : status;
}

/* How files were prepared for the dataset (piece_prepare). */
struct preparation {
    int encoding, drums, pedal, tracks;
    double max_silence_seconds;
    char only_programs[sizeof((struct options *)NULL)->data.only_programs];
};

static enum status send_preparation(const struct dataset *dataset, FILE *reply)
{
    static struct options options; /* large */
    enum status status = dataset_settings(dataset, &options);
    if (status != STATUS_OK)
        return status;
    struct preparation preparation = {.encoding = options.data.encoding,
                                      .drums = options.data.drums,
                                      .pedal = options.data.pedal,
                                      .tracks = options.data.tracks,
                                      .max_silence_seconds =
                                          options.data.max_silence_seconds};
    memcpy(preparation.only_programs, options.data.only_programs,
           sizeof preparation.only_programs);
    return fwrite(&preparation, sizeof preparation, 1, reply) == 1
               ? STATUS_OK
               : status_fail_errno("can't send the settings of the dataset");
}

static bool is_valid(const struct preparation *preparation)
{
    const char *programs = preparation->only_programs;
    struct program_set set;
    return preparation->encoding >= 0 && preparation->encoding < ENCODINGS &&
           preparation->drums >= 0 && preparation->drums < DRUM_RULES &&
           preparation->pedal >= 0 && preparation->pedal < PEDALS &&
           preparation->tracks >= 0 && preparation->tracks < TRACKS &&
           preparation->max_silence_seconds >= 0 &&
           memchr(programs, '\0', sizeof preparation->only_programs) &&
           program_set_parse(programs, &set);
}

static enum status receive(const struct sandbox_reply *reply, struct corpus *corpus,
                           struct options *options)
{
    struct preparation preparation;
    if (reply->size < sizeof preparation)
        return status_fail(STATUS_FAILED, "the dataset's settings are incomplete");
    memcpy(&preparation, reply->bytes, sizeof preparation);
    if (!is_valid(&preparation))
        return status_fail(STATUS_FAILED, "the dataset's settings are out of range");
    options->data.encoding = preparation.encoding;
    options->data.drums = preparation.drums;
    options->data.pedal = preparation.pedal;
    options->data.tracks = preparation.tracks;
    options->data.max_silence_seconds = preparation.max_silence_seconds;
    memcpy(options->data.only_programs, preparation.only_programs,
           sizeof options->data.only_programs);
    return corpus_receive(reply->bytes + sizeof preparation,
                          reply->size - sizeof preparation, corpus);
}

/* Runs in the sandboxed child. */
static enum status read_and_send(void *context, FILE *reply)
{
    const char *const *path = context;
    struct corpus_builder training = {0};
    struct dataset *dataset = NULL;
    enum status status = dataset_open(*path, &dataset);
    if (status == STATUS_OK)
        status = send_preparation(dataset, reply);
    if (status == STATUS_OK)
        status =
            dataset_pieces_visit(dataset, SPLIT_TRAIN, corpus_builder_add, &training);
    if (status == STATUS_OK)
        status = corpus_send(&training.corpus, reply);
    corpus_builder_free(&training);
    dataset_close(dataset);
    return status;
}

enum status statistics_read_training(const char *path, struct corpus *corpus,
                                     struct options *options)
{
    const struct sandbox_inputs inputs = {.paths = &path, .count = 1};
    struct sandbox_reply reply;
    enum status status = sandbox_run(&inputs, read_and_send, &path, &reply);
    if (status == STATUS_OK)
        status = receive(&reply, corpus, options);
    free(reply.bytes);
    return status;
}
