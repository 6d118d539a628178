/* baselines: see the header.
 *
 * Both losses follow from two tables of pair counts, one for the training split and one
 * for the predicted split. Each rank counts some shards; the tables are summed as
 * integers, and every rank computes the same doubles from them in a fixed order.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "baselines.h"

/* Counts the pairs (a, b) of "END piece END". */
struct counter {
    size_t vocabulary;
    token end, previous; /* previous: the token that precedes the next one */
    int64_t *pairs;
};

static void count_chunk(void *context, const token *tokens, size_t count, bool ends_piece)
{
    struct counter *counter = context;
    size_t v = counter->vocabulary;
    token previous = counter->previous;
    for (size_t i = 0; i < count; previous = tokens[i++])
        counter->pairs[previous * v + tokens[i]]++;
    if (ends_piece)
        counter->pairs[previous * v + counter->end]++;
    counter->previous = ends_piece ? counter->end : previous;
}

static enum status count_shard(const struct dataset *dataset, size_t index,
                               enum split split, int64_t *pairs)
{
    const struct encoding *encoding = dataset->encoding;
    struct counter counter = {.vocabulary = encoding->vocabulary,
                              .end = encoding->end,
                              .previous = encoding->end,
                              .pairs = pairs};
    return dataset_visit_shard(dataset, index, split, count_chunk, &counter);
}

static enum status count_shards(struct comm *comm, const struct dataset *dataset,
                                enum split split, int64_t *pairs)
{
    size_t v = dataset->encoding->vocabulary;
    enum status status = STATUS_OK;
    for (size_t shard = (size_t)comm_rank(comm);
         status == STATUS_OK && shard < dataset->shard_count;
         shard += (size_t)comm_size(comm))
        status = count_shard(dataset, shard, split, pairs);
    status = comm_agree(comm, status);
    return status == STATUS_OK ? comm_allreduce_i64(comm, pairs, v * v, 0) : status;
}

enum status baselines_count(struct comm *comm, const struct dataset *dataset,
                            enum split split, int64_t **pairs)
{
    size_t v = dataset->encoding->vocabulary;
    *pairs = calloc(v * v, sizeof **pairs);
    enum status status = STATUS_OK;
    if (!*pairs)
        status = status_fail(STATUS_FAILED, "out of memory for the baselines");
    status = comm_agree(comm, status);
    if (status == STATUS_OK)
        status = count_shards(comm, dataset, split, *pairs);
    if (status != STATUS_OK) {
        free(*pairs);
        *pairs = NULL;
    }
    return status;
}

/* unigram[b] := p(b) of the training split. */
static void unigram_model(size_t v, const int64_t *train, double *unigram)
{
    int64_t total = 0;
    for (size_t b = 0; b < v; b++)
        unigram[b] = 1;
    for (size_t a = 0; a < v; a++)
        for (size_t b = 0; b < v; b++) {
            unigram[b] += (double)train[a * v + b];
            total += train[a * v + b];
        }
    for (size_t b = 0; b < v; b++)
        unigram[b] /= (double)total + (double)v;
}

/* -log p(b|a), summed over the occurrences of all pairs with the same first token a. */
static double bigram_loss(size_t v, const int64_t *train, const double *unigram,
                          const int64_t *pairs)
{
    double count = 0, prior = 1, loss = 0; /* prior: m of baselines.h */
    for (size_t b = 0; b < v; b++) {
        count += (double)train[b];
        prior += train[b] > 0;
    }
    for (size_t b = 0; b < v; b++)
        if (pairs[b])
            loss -= (double)pairs[b] *
                    log(((double)train[b] + prior * unigram[b]) / (count + prior));
    return loss;
}

static void compute_baselines(size_t v, const int64_t *train, const int64_t *pairs,
                              double *unigram, struct baselines *out)
{
    int64_t total = 0;
    *out = (struct baselines){0, 0};
    unigram_model(v, train, unigram);
    for (size_t a = 0; a < v; a++) {
        out->bigram += bigram_loss(v, train + a * v, unigram, pairs + a * v);
        for (size_t b = 0; b < v; b++) {
            total += pairs[a * v + b];
            out->unigram -= (double)pairs[a * v + b] * log(unigram[b]);
        }
    }
    out->unigram = total ? out->unigram / (double)total : (double)NAN;
    out->bigram = total ? out->bigram / (double)total : (double)NAN;
}

enum status baselines_evaluate(struct comm *comm, const struct dataset *dataset,
                               enum split split, const int64_t *train,
                               struct baselines *out)
{
    size_t v = dataset->encoding->vocabulary;
    *out = (struct baselines){(double)NAN, (double)NAN};
    if (dataset->total.pieces[split] == 0)
        return STATUS_OK;
    int64_t *pairs = NULL;
    double *unigram = calloc(v, sizeof *unigram);
    enum status status = STATUS_OK;
    if (!unigram)
        status = status_fail(STATUS_FAILED, "out of memory for the baselines");
    status = comm_agree(comm, status);
    if (status == STATUS_OK)
        status = baselines_count(comm, dataset, split, &pairs);
    if (status == STATUS_OK)
        compute_baselines(v, train, pairs, unigram, out);
    free(pairs);
    free(unigram);
    return status;
}
