/* preprocess_merge: byte-pair encoding of the pieces in the spills.
 *
 * Rank 0 alone learns the merges, from the base tokens of the training split in the order
 * of the pieces' hashes. So they do not depend on the number of ranks or shards, nor on
 * which rank has spilled a piece. A corpus of more than TEXT_MAX tokens is represented by
 * its first pieces, which the hash has put in random order. Then every rank replaces the
 * tokens in its own spill. */
#include "preprocess_internal.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/progress.h"
#include "encode/bpe.h"

enum { TEXT_MAX = 1 << 25 }; /* about half a gigabyte while learning */

static enum status out_of_memory(void)
{
    return status_fail(STATUS_FAILED, "out of memory while merging tokens");
}

/* ---- learning, on rank 0 ---- */

static int compare_by_hash(const void *a, const void *b)
{
    const struct record *left = *(const struct record *const *)a;
    const struct record *right = *(const struct record *const *)b;
    return hash128_compare(left->hash, right->hash);
}

/* The pieces to learn from: the first of the training split by hash. *tokens: of all of
 * them, with separators. NULL if out of memory. */
static const struct record **choose_pieces(const struct preprocess *preprocess,
                                           size_t *count, size_t *tokens)
{
    const struct record **pieces = malloc((preprocess->piece_count + 1) * sizeof *pieces);
    size_t found = 0;
    for (size_t i = 0; pieces && i < preprocess->piece_count; i++)
        if (preprocess->pieces[i].split == SPLIT_TRAIN)
            pieces[found++] = &preprocess->pieces[i];
    if (pieces)
        qsort(pieces, found, sizeof *pieces, compare_by_hash);
    *count = *tokens = 0;
    while (*count < found && *tokens + pieces[*count]->tokens < TEXT_MAX)
        *tokens += pieces[(*count)++]->tokens + 1;
    return pieces;
}

static struct spill_piece spilled(const struct record *piece)
{
    return (struct spill_piece){(int)piece->rank, piece->spill_offset,
                                piece->spilled_tokens};
}

static enum status read_text(const struct preprocess *preprocess,
                             const struct record *const *pieces, size_t count,
                             token *text)
{
    struct spill_reader reader;
    enum status status = STATUS_OK;
    spill_reader_open(preprocess->partial, &reader);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const struct spill_piece piece = spilled(pieces[i]);
        status = spill_read_tokens(&reader, &piece, 0, piece.tokens, text);
        text += piece.tokens;
        *text++ = BPE_SEPARATOR;
    }
    spill_reader_close(&reader);
    return status;
}

static enum status learn(const struct preprocess *preprocess, struct token_pair *merges,
                         size_t *learnt)
{
    size_t count, tokens;
    const struct record **pieces = choose_pieces(preprocess, &count, &tokens);
    token *text = pieces ? malloc((tokens + 1) * sizeof *text) : NULL;
    enum status status =
        text ? read_text(preprocess, pieces, count, text) : out_of_memory();
    if (status == STATUS_OK)
        status = bpe_learn(preprocess->encoding, text, tokens,
                           (size_t)preprocess->options->data.bpe, merges, learnt);
    free(text);
    free(pieces);
    return status;
}

/* Sends rank 0's merges to all ranks and adds them to the encoding. */
static enum status adopt(struct preprocess *preprocess, struct token_pair *merges,
                         uint64_t learnt)
{
    struct encoding *merged = NULL;
    enum status status = comm_broadcast(preprocess->comm, &learnt, sizeof learnt);
    if (status == STATUS_OK)
        status = comm_broadcast(preprocess->comm, merges, learnt * sizeof *merges);
    if (status == STATUS_OK && learnt > 0)
        status = bpe_create(preprocess->encoding, merges, learnt, &merged);
    if (merged)
        preprocess->encoding = merged;
    return comm_agree(preprocess->comm, status);
}

/* ---- merging ---- */

struct new_tokens { /* of a piece, as summed over the ranks: 0 but for the spill's rank */
    int64_t count, hash;
};

static enum status merge_piece(struct preprocess *preprocess, struct spill_reader *reader,
                               const struct record *record, struct tokens *tokens,
                               struct new_tokens *out)
{
    const struct spill_piece piece = spilled(record);
    tokens->count = 0;
    if (tokens_reserve(tokens, piece.tokens) != STATUS_OK)
        return STATUS_FAILED;
    size_t count = piece.tokens;
    enum status status = spill_read_tokens(reader, &piece, 0, count, tokens->items);
    if (status == STATUS_OK)
        status = bpe_merge_tokens(preprocess->encoding, tokens->items, &count);
    if (status == STATUS_OK)
        status =
            spill_replace_tokens(&preprocess->spill, piece.offset, tokens->items, count);
    out->count = (int64_t)count;
    out->hash = (int64_t)hash64(tokens->items, count * sizeof *tokens->items);
    return status;
}

static enum status merge_share(struct preprocess *preprocess, struct new_tokens *out)
{
    struct spill_reader reader;
    struct progress progress;
    struct tokens tokens = {0};
    enum status status = spill_reopen(&preprocess->spill);
    if (status != STATUS_OK)
        return status;
    spill_reader_open(preprocess->partial, &reader);
    progress_begin(&progress, "merging", "pieces", preprocess->piece_count);
    for (size_t i = 0; i < preprocess->piece_count && status == STATUS_OK; i++) {
        progress_update(&progress, i, NULL);
        if (preprocess->pieces[i].rank == (uint32_t)comm_rank(preprocess->comm))
            status = merge_piece(preprocess, &reader, &preprocess->pieces[i], &tokens,
                                 &out[i]);
    }
    progress_end(&progress);
    spill_reader_close(&reader);
    enum status closed = spill_close(&preprocess->spill);
    tokens_free(&tokens);
    return status == STATUS_OK ? closed : status;
}

static enum status merge_pieces(struct preprocess *preprocess)
{
    size_t pieces = preprocess->piece_count;
    struct new_tokens *new_tokens = calloc(pieces + 1, sizeof *new_tokens);
    enum status status =
        new_tokens ? merge_share(preprocess, new_tokens) : out_of_memory();
    status = comm_agree(preprocess->comm, status);
    if (status == STATUS_OK)
        status =
            comm_allreduce_i64(preprocess->comm, &new_tokens[0].count, 2 * pieces, 0);
    for (size_t i = 0; i < pieces && status == STATUS_OK; i++) {
        preprocess->pieces[i].tokens = (uint64_t)new_tokens[i].count;
        preprocess->pieces[i].token_hash = (uint64_t)new_tokens[i].hash;
    }
    free(new_tokens);
    return comm_agree(preprocess->comm, status);
}

enum status preprocess_merge(struct preprocess *preprocess)
{
    struct token_pair merges[OPTION_BPE_MAX];
    size_t learnt = 0;
    enum status status = STATUS_OK;
    if (preprocess->options->data.bpe == 0)
        return STATUS_OK;
    if (comm_rank(preprocess->comm) == 0)
        status = learn(preprocess, merges, &learnt);
    status = preprocess_broadcast_status(preprocess->comm, status);
    if (status == STATUS_OK)
        status = adopt(preprocess, merges, learnt);
    return status == STATUS_OK && bpe_base(preprocess->encoding) != preprocess->encoding
               ? merge_pieces(preprocess)
               : status;
}
