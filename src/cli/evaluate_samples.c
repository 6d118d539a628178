/* evaluate_samples: see the header. */
#include "evaluate_samples.h"

#include "base/sandbox.h"
#include "base/team.h"
#include "generate/samples.h"
#include "statistics/corpus.h"
#include "statistics/dataset_pieces.h"
#include "statistics/excerpt.h"

enum { CONFIGURED_SECONDS_MAX = 600 };

struct comparison {
    double seconds;
    struct corpus training;
    struct melody melody;               /* of the last piece */
    struct piece_group pieces, samples; /* of the dataset; generated */
};

static enum status add_to_training(void *context, struct notes *notes, uint64_t owner)
{
    struct comparison *comparison = context;
    enum status status = melody_extract(notes, &comparison->melody);
    if (status != STATUS_OK)
        return status;
    return corpus_add(&comparison->training, &comparison->melody, owner);
}

static enum status add_excerpt(void *context, struct notes *notes, uint64_t owner)
{
    struct comparison *comparison = context;
    excerpt_cut(notes, comparison->seconds);
    return piece_group_add(&comparison->pieces, notes, &comparison->training, owner);
}

static enum status add_samples(struct comparison *comparison,
                               const struct checkpoint *checkpoint, int count)
{
    struct samples_request request = {
        .settings = generator_settings(&checkpoint->options), .count = count};
    struct samples_pieces pieces;
    request.settings.seconds = comparison->seconds;
    request.settings.threads = team_threads(0);
    enum status status = samples_generate(checkpoint, &request, &pieces);
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = piece_group_add(&comparison->samples, &pieces.list[i],
                                 &comparison->training, 0);
    samples_free(&pieces);
    return status;
}

static double choose_seconds(const struct checkpoint *checkpoint, double seconds)
{
    double configured = checkpoint->options.run.sample_seconds;
    if (seconds > 0)
        return seconds;
    return configured < CONFIGURED_SECONDS_MAX ? configured : CONFIGURED_SECONDS_MAX;
}

enum status evaluate_samples(const struct checkpoint *checkpoint,
                             const struct dataset *dataset, int count, double seconds,
                             struct evaluate_samples *out)
{
    struct comparison comparison = {.seconds = choose_seconds(checkpoint, seconds)};
    enum status status =
        dataset_pieces_visit(dataset, SPLIT_TRAIN, add_to_training, &comparison);
    for (int split = 0; split < SPLITS && status == STATUS_OK; split++)
        status =
            dataset_pieces_visit(dataset, (enum split)split, add_excerpt, &comparison);
    sandbox_begin_computing();
    if (status == STATUS_OK)
        status = add_samples(&comparison, checkpoint, count);
    out->seconds = comparison.seconds;
    if (status == STATUS_OK)
        status = piece_group_summarise(&comparison.pieces, NULL, &out->dataset);
    if (status == STATUS_OK)
        status =
            piece_group_summarise(&comparison.samples, &comparison.pieces, &out->samples);
    piece_group_free(&comparison.samples);
    piece_group_free(&comparison.pieces);
    melody_free(&comparison.melody);
    corpus_free(&comparison.training);
    return status;
}
