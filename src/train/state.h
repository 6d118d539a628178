/* state: the state that training changes and that a resumed run needs.
 *
 * Every rank holds the same values. Three parts of a run's state are kept by the modules
 * that use them: the weights and the carried hidden states in the model (nn/model.h), the
 * positions in the training data in the prefetcher. A checkpoint contains all of them.
 */
#ifndef TUTTI_TRAIN_STATE_H
#define TUTTI_TRAIN_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "optimizer.h"
#include "schedule.h"
#include "base/options.h"
#include "base/status.h"
#include "data/stream.h"

struct history_row { /* of a completed epoch */
    int64_t epoch, step;
    double train_loss, train_accuracy, valid_loss, valid_accuracy, learning_rate, seconds;
    double valid_loss_average; /* of the averaged weights; 0 without train.average */
    double tokens_per_second;
    uint64_t weights_hash; /* after the epoch's last step */
};

struct training_state { /* zero-initialise; free with training_state_free */
    int64_t step;       /* optimizer steps completed */
    int64_t epoch;      /* epochs completed */
    int64_t epoch_step; /* steps completed in the current epoch */
    double epoch_loss;  /* nats, summed over the current epoch's targets */
    int64_t epoch_targets, epoch_correct; /* of the current epoch */
    struct schedule_state schedule;
    struct optimizer optimizer;  /* owns moments and average */
    struct history_row *history; /* owned; one row per completed epoch */
    size_t history_count;
};

/* The state before the first step of a run with `parameters` weights. */
enum status training_state_init(const struct options *options, size_t parameters,
                                struct training_state *out);
void training_state_free(struct training_state *state);

/* Rows of history that the run may reach, if it trains train.epochs epochs more. */
size_t training_state_max_rows(const struct training_state *state,
                               const struct options *options);

/* Allocates the history for that many rows. */
enum status training_state_reserve_history(struct training_state *state,
                                           const struct options *options);

/* Adds a step with its sums over the global batch. */
void training_state_add_step(struct training_state *state, double loss, int64_t targets,
                             int64_t correct);

/* Completes the epoch: appends the row, for which memory was reserved, and clears the
 * epoch's sums. */
void training_state_end_epoch(struct training_state *state,
                              const struct history_row *row);

/* The positions in the training data and the hidden states of the whole batch, gathered
 * from the ranks for writing, or read for restoring. */
struct stream_snapshot {           /* zero-initialise; free with stream_snapshot_free */
    size_t row_count;              /* of the global batch, train.batch */
    size_t microbatches;           /* train.microbatches */
    size_t hidden_size;            /* elements of one microbatch's hidden states */
    struct stream_row *rows;       /* [row_count], owned like the next two; NULL: none */
    struct stream_cursor *cursors; /* [microbatches] */
    float *hidden; /* [microbatches][hidden_size]: model_get_state of each */
};

/* Frees the arrays and keeps the sizes. */
void stream_snapshot_free(struct stream_snapshot *snapshot);

#endif
