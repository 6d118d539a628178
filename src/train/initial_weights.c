/* initial_weights: see the header. */
#include "initial_weights.h"

#include <inttypes.h>
#include <stdlib.h>

#include "checkpoint.h"
#include "checkpoint_path.h"
#include "base/log.h"

/* Weights fit any initialisation, kind and rate of dropout, and without a dense layer any
 * activation. */
static enum status check_model(const char *path, const struct options *saved,
                               const struct options *options)
{
    struct options compared = *options;
    compared.model = saved->model;
    compared.model.init = options->model.init;
    compared.model.dropout = options->model.dropout;
    compared.model.dropout_mask = options->model.dropout_mask;
    compared.model.dropout_input = options->model.dropout_input;
    compared.model.dropout_embedding = options->model.dropout_embedding;
    compared.model.dropout_recurrent = options->model.dropout_recurrent;
    if (saved->model.dense == 0)
        compared.model.activation = options->model.activation;
    return checkpoint_check_settings(path, &compared, options,
                                     "has another model than this run",
                                     "train.init_from needs equal ones");
}

static enum status take_weights(const char *path, const struct options *options,
                                const struct dataset *dataset,
                                struct initial_weights *out)
{
    struct checkpoint source;
    enum status status = checkpoint_read(path, CHECKPOINT_TO_PREDICT, &source);
    if (status != STATUS_OK)
        return status;
    status = checkpoint_check_vocabulary(path, &source, dataset);
    if (status == STATUS_OK)
        status = check_model(path, &source.options, options);
    if (status == STATUS_OK) {
        log_info("starting from the weights of %s: weights hash %016" PRIx64, path,
                 source.weights_hash);
        *out = (struct initial_weights){source.weights, source.weights_hash};
        source.weights = NULL;
    }
    checkpoint_free(&source);
    return status;
}

/* The source may be a run in progress, whose best checkpoint changes. */
static enum status check_equal(struct comm *comm, const char *path, uint64_t hash)
{
    uint64_t first = hash;
    enum status status = comm_broadcast(comm, &first, sizeof first);
    if (status == STATUS_OK && first != hash)
        status =
            status_fail(STATUS_FAILED,
                        "%s: weights hash %016" PRIx64 ", but rank 0 has read "
                        "%016" PRIx64 ": the file was replaced while the ranks read it",
                        path, hash, first);
    return comm_agree(comm, status);
}

enum status initial_weights_read(struct comm *comm, const struct options *options,
                                 const struct dataset *dataset,
                                 struct initial_weights *out)
{
    const char *source = options->train.init_from;
    char *path = NULL;
    *out = (struct initial_weights){0};
    enum status status = checkpoint_path_resolve(source, "best", &path);
    if (status == STATUS_OK)
        status = take_weights(path, options, dataset, out);
    free(path);
    status = comm_agree(comm, status);
    return status == STATUS_OK ? check_equal(comm, source, out->hash) : status;
}

void initial_weights_free(struct initial_weights *weights)
{
    free(weights->values);
    *weights = (struct initial_weights){0};
}
