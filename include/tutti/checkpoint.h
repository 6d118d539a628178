/* checkpoint: a run's whole state in one HDF5 file.
 *
 *   /model/<layer>/<tensor>    weights, with attributes: dimensions, gate_order
 *   /optimizer/<moment>/<layer>/<tensor>   first, second (Adam) or velocity (SGD)
 *   /state/...                 epoch, step, stream rows and cursors, hidden states, schedule
 *   /config                    the resolved settings, INI text
 *   /vocabulary/{names, hash}  token names in order
 *   /history/...               one column per figure, one row per epoch
 *   /provenance                text attributes: version, host, MPI, OpenBLAS core, ...
 *   attributes of "/"          format, format_version, weights_hash, epoch, step, parameters
 *
 * Written under a partial name and published: whatever happens, the file under its name is
 * complete. The weights hash is checked on loading.
 */
#ifndef TUTTI_CHECKPOINT_H
#define TUTTI_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "tutti/encoding.h"
#include "tutti/model.h"
#include "tutti/optimizer.h"
#include "tutti/options.h"
#include "tutti/schedule.h"
#include "tutti/status.h"
#include "tutti/stream.h"

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
    int64_t epoch;          /* epochs completed */
    int64_t step;           /* steps made */
    int64_t epoch_step;     /* steps made in the epoch under way */
    double epoch_loss;      /* sums of the epoch under way: loss, targets, correct */
    int64_t epoch_targets, epoch_correct;
    struct schedule_state schedule;
    float *weights;         /* params.total */
    struct optimizer optimizer;
    size_t rows;            /* global rows, train.batch */
    struct stream_row *stream_rows; /* rows */
    size_t slices;
    struct stream_cursor *cursors;  /* slices */
    size_t state_size;      /* of one slice */
    float *states;          /* slices x state_size: model_get_state of each slice */
    struct history_row *history;
    size_t history_count;
    char core[32];          /* OpenBLAS core type it was trained with */
};

/* Writes and publishes. Not collective: one rank does it. Errors keep the old file. */
enum status checkpoint_write(const char *path, const struct checkpoint *checkpoint);

/* Reads and checks: checksums, shapes against /config, weights hash. `for_training` = 0 leaves
 * optimizer, streams and states out. Free with checkpoint_free. Not collective. */
enum status checkpoint_read(const char *path, int for_training, struct checkpoint *out);
void checkpoint_free(struct checkpoint *checkpoint);

#endif
