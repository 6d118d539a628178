/* dataset_pieces: see the header. */
#include "dataset_pieces.h"

uint64_t dataset_pieces_owner(struct hash128 notes_hash)
{
    return notes_hash.low | 1;
}

static enum status visit_shard(const struct dataset *dataset, const struct shard *shard,
                               dataset_pieces_visitor *visit, void *context)
{
    struct notes notes = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < shard->piece_count && status == STATUS_OK; i++) {
        const struct piece *piece = &shard->pieces[i];
        notes_clear(&notes);
        status = dataset->encoding->decode(dataset->encoding,
                                           shard->tokens + piece->token_first,
                                           piece->token_count, 0, &notes);
        if (status == STATUS_OK)
            status = visit(context, &notes, dataset_pieces_owner(piece->hash));
    }
    notes_free(&notes);
    return status;
}

enum status dataset_pieces_visit(const struct dataset *dataset, enum split split,
                                 dataset_pieces_visitor *visit, void *context)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < dataset->shard_count && status == STATUS_OK; i++) {
        struct shard shard = {0};
        status = dataset_read_shard(dataset, i, split, &shard);
        if (status == STATUS_OK)
            status = visit_shard(dataset, &shard, visit, context);
        shard_free(&shard);
    }
    return status;
}
