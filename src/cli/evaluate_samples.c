/* evaluate_samples: see the header. */
#include "evaluate_samples.h"

#include "base/sandbox.h"
#include "base/team.h"
#include "generate/samples.h"
#include "statistics/corpus.h"
#include "statistics/excerpt.h"

enum { CONFIGURED_SECONDS_MAX = 600 };

struct comparison {
    const struct dataset *dataset;
    double seconds;
    struct corpus training;
    struct melody melody;               /* of the last piece */
    struct notes notes;                 /* likewise */
    struct piece_group pieces, samples; /* of the dataset; generated */
};

/* Called with a piece of the dataset in comparison->notes; `owner` identifies it. */
typedef enum status use_piece(struct comparison *comparison, uint64_t owner);

static enum status add_to_training(struct comparison *comparison, uint64_t owner)
{
    enum status status = melody_extract(&comparison->notes, &comparison->melody);
    if (status != STATUS_OK)
        return status;
    return corpus_add(&comparison->training, &comparison->melody, owner);
}

static enum status add_excerpt(struct comparison *comparison, uint64_t owner)
{
    excerpt_cut(&comparison->notes, comparison->seconds);
    return piece_group_add(&comparison->pieces, &comparison->notes, &comparison->training,
                           owner);
}

static enum status use_shard(struct comparison *comparison, const struct shard *shard,
                             use_piece *use)
{
    const struct encoding *encoding = comparison->dataset->encoding;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < shard->piece_count && status == STATUS_OK; i++) {
        const struct piece *piece = &shard->pieces[i];
        notes_clear(&comparison->notes);
        status = encoding->decode(encoding, shard->tokens + piece->token_first,
                                  piece->token_count, &comparison->notes);
        if (status == STATUS_OK)
            status = use(comparison, piece->hash.low | 1);
    }
    return status;
}

static enum status use_split(struct comparison *comparison, enum split split,
                             use_piece *use)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < comparison->dataset->shard_count && status == STATUS_OK; i++) {
        struct shard shard = {0};
        status = dataset_read_shard(comparison->dataset, i, split, &shard);
        if (status == STATUS_OK)
            status = use_shard(comparison, &shard, use);
        shard_free(&shard);
    }
    return status;
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
    struct comparison comparison = {.dataset = dataset,
                                    .seconds = choose_seconds(checkpoint, seconds)};
    enum status status = use_split(&comparison, SPLIT_TRAIN, add_to_training);
    for (int split = 0; split < SPLITS && status == STATUS_OK; split++)
        status = use_split(&comparison, (enum split)split, add_excerpt);
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
    notes_free(&comparison.notes);
    melody_free(&comparison.melody);
    corpus_free(&comparison.training);
    return status;
}
