/* checkpoint: a run's whole state in one HDF5 file.
 *
 *   /model/<layer>/<tensor>    weights, with attributes: dimensions, gate_order
 *   /optimizer/<moment>/<layer>/<tensor>   first, second (Adam) or velocity (SGD)
 *   /state/...                 epoch, step, stream rows and cursors, hidden states,
 *                              schedule
 *   /config                    the resolved settings, INI text; what isn't UTF-8, in
 *                              paths, as recorded_path.h has it
 *   /vocabulary/{names, hash}  token names in order
 *   /history/...               one column per figure, one row per epoch
 *   /pairs/{first, second, count}   how often token `second` comes after `first` in the
 *                              training split, see baselines.h; attributes valid_unigram,
 *                              valid_bigram: the baselines of the validation split, nats
 *                              per token. Not in files of older programs
 *   /provenance                attributes: tutti, host, ranks, mpi, hdf5, numerics,
 *                              run: the id in tutti-run.txt of the run's folder
 *   attributes of "/"          format, format_version, weights_hash, dataset_hash, epoch,
 *                              step, parameters
 *
 *   /state    attributes: epoch, step, epoch_step, epoch_loss, epoch_targets,
 *             epoch_correct, best_valid, best_epoch, bad_epochs, plateau_wait, factor,
 *             seed
 *             rows/{epoch, piece, offset}  [batch]   see struct stream_row
 *             cursors/{epoch, next}        [microbatches]  see struct stream_cursor
 *             hidden   [microbatches][state_size]: [layer][h, c][row][hidden]; a GRU has no c
 *
 * For readers who have only the file, attributes explain the numbers in words and
 * formulas (added to the format; files of older programs don't have them):
 *
 *   /model              cell; forward: the order of the layers; initial_state: zero, and
 *                       where END clears it; dropout: rate, place, scaling; precision
 *   /model/<layer>      equations; recurrent layers: biases (one or two); GRU: reset
 *                       (after the product); dense layer: activation
 *   /optimizer          update: with the places of epsilon, bias correction and decay;
 *                       gradient: what it is the mean of, and how it is clipped; beta1,
 *                       beta2, epsilon, weight_decay or momentum
 *   /state/hidden       axes and shape, to which its elements are to be reshaped; meaning
 *   /state              rows_of_batch
 *   /history            units
 *
 * Written under a partial name and published: whatever happens, the file under its name
 * is complete. Hashes are 16 hexadecimal digits.
 */
#ifndef TUTTI_TRAIN_CHECKPOINT_H
#define TUTTI_TRAIN_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "baselines.h"
#include "optimizer.h"
#include "schedule.h"
#include "base/options.h"
#include "base/status.h"
#include "data/dataset.h"
#include "data/stream.h"
#include "encode/encoding.h"
#include "nn/model.h"

enum { CHECKPOINT_FORMAT_VERSION = 1, CHECKPOINT_TEXT = 64 };

struct history_row {
    int64_t epoch, step;
    double train_loss, train_accuracy, valid_loss, valid_accuracy, learning_rate, seconds;
    double tokens_per_second;
    uint64_t weights_hash;
};

struct checkpoint {
    struct options options; /* as resolved */
    struct model_shape shape;
    struct params params;
    struct encoding *encoding;
    uint64_t vocabulary_hash, dataset_hash, weights_hash;
    int64_t epoch;      /* epochs completed */
    int64_t step;       /* steps made */
    int64_t epoch_step; /* steps made in the epoch under way */
    double epoch_loss;  /* sums of the epoch under way: loss, targets, correct */
    int64_t epoch_targets, epoch_correct;
    struct schedule_state schedule;
    float *weights; /* params.total */
    struct optimizer optimizer;
    size_t rows;                    /* global rows, train.batch */
    struct stream_row *stream_rows; /* rows */
    size_t microbatches;
    struct stream_cursor *cursors; /* microbatches */
    size_t state_size;             /* of one microbatch */
    float *states; /* microbatches x state_size: model_get_state of each microbatch */
    struct history_row *history;
    size_t history_count;
    int64_t
        *pairs; /* [V][V] of the training split, see baselines_count; NULL: not known, as
                       in checkpoints of older programs */
    struct baselines baselines; /* of the validation split; meaningful with pairs */
    char core[CHECKPOINT_TEXT]; /* OpenBLAS core type it was trained with */
    char host[CHECKPOINT_TEXT]; /* of rank 0, and how many ranks there were: for people */
    int64_t ranks;
    char run[CHECKPOINT_TEXT]; /* id of the folder it is written for; "": none. Not read
                                  back, see run_listing.h */
};

/* Elements of one microbatch's carried states, as model_state_size has them. */
size_t checkpoint_state_size(const struct model_shape *shape, size_t rows_of_microbatch);

/* Sets weights_hash, writes and publishes. Not collective: one rank does it. Errors (a
 * full disk, a read-only directory) keep the old file. */
enum status checkpoint_write(const char *path, struct checkpoint *checkpoint);

/* To predict or to show leaves optimizer, streams and states out; to show accepts weights
 * that are no numbers, so that one can look at them. */
enum checkpoint_use { CHECKPOINT_TO_PREDICT, CHECKPOINT_TO_TRAIN, CHECKPOINT_TO_SHOW };

/* Reads and checks: format and its version, every checksum of the file, /config,
 * vocabulary and shapes against it, weights hash; that all numbers are such as a run can
 * come to, and fit each other. Memory and time are bounded by the size of the file,
 * whatever it claims. A failure is one line that names the path. Free with
 * checkpoint_free, which isn't needed after a failure. Not collective. */
enum status checkpoint_read(const char *path, enum checkpoint_use use,
                            struct checkpoint *out);
void checkpoint_free(struct checkpoint *checkpoint);

/* Frees stream_rows, cursors and states alone. */
void checkpoint_free_streams(struct checkpoint *checkpoint);

/* A model that holds the checkpoint's weights, for predicting only; see model_create. */
enum status checkpoint_model(const struct checkpoint *checkpoint,
                             const struct matmul_backend *backend, int microbatches,
                             int rows, int steps, struct model **out);

/* STATUS_MISUSE, in words, when the dataset's tokens are not those that the checkpoint at
 * `path` was trained on. */
enum status checkpoint_check_vocabulary(const char *path,
                                        const struct checkpoint *checkpoint,
                                        const struct dataset *dataset);

#endif
