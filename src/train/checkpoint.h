/* checkpoint: the complete state of a run in one HDF5 file.
 *
 *   /model/<layer>/<tensor>    weights, with attributes: dimensions, gate_order
 *   /optimizer/<moment>/<layer>/<tensor>   first, second (Adam) or velocity (SGD)
 *   /average/<layer>/<tensor>  with train.average: the average of the weights, like
 *                              /model; attribute weights_hash
 *   /state/...                 epoch, step, stream rows and cursors, hidden states,
 *                              schedule
 *   /config                    the resolved settings, INI text; bytes of paths that are
 *                              not UTF-8 are escaped as in path_escape.h
 *   /vocabulary/{names, hash}  token names in order; with data.bpe also merges, see
 *                              data/merges.h
 *   /history/...               one column per metric, one row per epoch;
 *                              valid_loss_average only with train.average
 *   /pairs/{first, second, count}   how often token `second` comes after `first` in the
 *                              training split, see baselines.h; attributes valid_unigram,
 *                              valid_bigram: the baselines of the validation split, nats
 *                              per token. Missing in files of older programs
 *   /provenance                attributes: tutti, host, ranks, mpi, hdf5, numerics,
 *                              run: the id in tutti-run.txt of the run's folder;
 *                              with train.init_from: init_from, that setting, and
 *                              init_weights_hash, of the checkpoint found there;
 *                              matmul: the backend, and what it means for the bits
 *   attributes of "/"          format, format_version, weights_hash, dataset_hash, epoch,
 *                              step, parameters
 *
 *   /state    attributes: epoch, step, epoch_step, epoch_loss, epoch_targets,
 *             epoch_correct, best_valid, best_epoch, bad_epochs, plateau_wait, factor,
 *             seed
 *             rows/{epoch, piece, offset}  [batch]         see struct stream_row
 *             cursors/{epoch, next}        [microbatches]  see struct stream_cursor
 *             hidden   [microbatches][layer, h or c, row, hidden]; a GRU has no c
 *
 * For readers who have only the file, attributes explain the values in words and formulas
 * (a later addition to the format; missing in older files):
 *
 *   /model              cell; forward: the order of the layers; initial_state: zero, and
 *                       where END clears it; dropout: rate, place, scaling; precision
 *   /model/<layer>      equations; recurrent layers: biases (one or two); GRU: reset
 *                       (after the matmul); dense layer: activation
 *   /optimizer          update: the formula, with epsilon, bias correction and decay;
 *                       gradient: what it is averaged over and how it is clipped; beta1,
 *                       beta2, epsilon, weight_decay or momentum
 *   /average            update: the formula
 *   /state/hidden       axes and shape, for reshaping its elements; meaning
 *   /state              rows_of_batch
 *   /history            units
 *
 * The file is written under a temporary name and renamed when complete, so a file under
 * its final name is always complete. Hashes are 16 hexadecimal digits.
 */
#ifndef TUTTI_TRAIN_CHECKPOINT_H
#define TUTTI_TRAIN_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "baselines.h"
#include "state.h"
#include "base/options.h"
#include "base/status.h"
#include "data/dataset.h"
#include "encode/encoding.h"
#include "nn/model.h"

enum { CHECKPOINT_FORMAT_VERSION = 1, CHECKPOINT_TEXT = 64 };

/* Where a checkpoint comes from. */
struct provenance {
    char numerics[CHECKPOINT_TEXT]; /* id of the matmul kernels: equal ids, equal bits */
    char host[CHECKPOINT_TEXT];     /* of rank 0; only informative */
    int64_t ranks;                  /* only informative: no result depends on it */
    uint64_t init_hash;             /* weights hash of train.init_from; 0 without it */
    char run[CHECKPOINT_TEXT];      /* id of the run's folder; "": none. Not read by
                                  checkpoint_read, see run_listing.h */
};

/* The contents of a file. After checkpoint_read all members are owned. checkpoint_write
 * borrows them from its caller. */
struct checkpoint {
    struct options options; /* as resolved */
    struct model_shape shape;
    struct params params;      /* layout of the weights, derived from shape */
    struct encoding *encoding; /* of the tokens */
    uint64_t vocabulary_hash, dataset_hash, weights_hash;
    float *weights;        /* [params.total] */
    uint64_t average_hash; /* weights hash of the average; 0: none */
    struct training_state state;
    struct stream_snapshot streams;
    int64_t *pairs; /* [V][V] of the training split, see baselines_count; NULL: not
                       known, as in checkpoints of older programs */
    struct baselines baselines; /* of the validation split; valid only with pairs */
    struct provenance provenance;
};

/* Elements of one microbatch's hidden states, equal to model_state_size. */
size_t checkpoint_hidden_size(const struct model_shape *shape, size_t rows_of_microbatch);

/* Sets weights_hash and average_hash, writes and publishes. Not collective: one rank
 * calls it. On an error (a full disk, a read-only directory) the old file is kept. */
enum status checkpoint_write(const char *path, struct checkpoint *checkpoint);

/* All but TO_TRAIN skip optimizer, average and streams. TO_INSPECT accepts weights that
 * are not finite. TO_PREDICT_AVERAGE reads the averaged weights as `weights`, and fails
 * with STATUS_MISUSE if there are none. */
enum checkpoint_use {
    CHECKPOINT_TO_PREDICT,
    CHECKPOINT_TO_PREDICT_AVERAGE,
    CHECKPOINT_TO_TRAIN,
    CHECKPOINT_TO_INSPECT
};

/* Reads a file and checks its format and version, every checksum, /config, the vocabulary
 * and shapes against /config, and the weights hash; also that all values can occur in a
 * run and are consistent with each other. Memory and time are bounded by the size of the
 * file, whatever it claims. The error message is one line and names the path. Free with
 * checkpoint_free; a failed read leaves nothing to free. Not collective. */
enum status checkpoint_read(const char *path, enum checkpoint_use use,
                            struct checkpoint *out);
void checkpoint_free(struct checkpoint *checkpoint);

/* A model with the checkpoint's weights, for prediction only; see model_create. The
 * plan's shape, end and training are ignored. */
enum status checkpoint_model(const struct checkpoint *checkpoint,
                             const struct model_plan *plan, struct model **out);

/* STATUS_MISUSE if the dataset's vocabulary is not the one that the checkpoint at `path`
 * was trained on; the message names both encodings. */
enum status checkpoint_check_vocabulary(const char *path,
                                        const struct checkpoint *checkpoint,
                                        const struct dataset *dataset);

/* STATUS_MISUSE if settings that may not change on resume differ. The message, one line:
 * "PATH PROBLEM: a: 1 in the checkpoint, 2 requested; b: ... (REMEDY)". */
enum status checkpoint_check_settings(const char *path, const struct options *saved,
                                      const struct options *requested,
                                      const char *problem, const char *remedy);

#endif
