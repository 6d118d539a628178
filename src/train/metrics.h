/* metrics: run.dir/metrics.jsonl, one JSON object per line, each line flushed.
 *
 * A line for each step: step, epoch, loss, accuracy, gradient_norm, learning_rate,
 * seconds, tokens_per_second, and weights_hash on request. A line for each epoch: epoch,
 * step, train_loss, train_accuracy, valid_loss, valid_accuracy, with train.average
 * valid_loss_average, valid_unigram, valid_bigram, learning_rate, seconds,
 * tokens_per_second, checkpoint_pause_seconds, checkpoint_seconds, weights_hash. Losses are nats per token. The checkpoint times are
 * the largest since the previous epoch's line; the epoch's own checkpoint is written
 * after its line, so it counts in the next. Finally, a line breaks down the time of the
 * epoch, including checkpoint and samples: epoch, step, seconds_all, seconds_read,
 * seconds_forward, seconds_backward, seconds_sum, seconds_wait, seconds_optimizer,
 * seconds_checkpoint, seconds_validate, seconds_sample (means over the ranks, which add
 * up to seconds_all), and with several ranks slow_rank, slow_host and seconds_waited: how
 * much longer the others waited than that rank did.
 */
#ifndef TUTTI_TRAIN_METRICS_H
#define TUTTI_TRAIN_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "report.h"
#include "step_metrics.h"
#include "checkpoint.h"
#include "evaluate.h"
#include "base/status.h"

struct metrics { /* zero-initialise; nothing is written before metrics_open */
    FILE *file;
    char *path;
    int64_t size; /* of the file, up to the end of the last complete line */
    bool failed;  /* the warning has been logged */
};

/* The longest times of any checkpoint; 0: there was none. */
struct checkpoint_cost {
    double pause;   /* seconds that training waited */
    double writing; /* seconds spent writing it to disk */
};

/* Opens the file for the steps after `step` and the epochs after `epoch`: older lines are
 * kept, later ones dropped, so that a resumed run has each step once. With step 0 the
 * file is emptied. A file with lines of another kind, or that metrics_lines can't read to
 * its end, is moved aside. */
enum status metrics_open(const char *directory, int64_t step, int64_t epoch,
                         struct metrics *out);
void metrics_close(struct metrics *metrics);

/* A line that can't be written causes a warning, which is logged once. */
void metrics_step(struct metrics *metrics, const struct step_metrics *values);
void metrics_epoch(struct metrics *metrics, const struct history_row *row,
                   const struct baselines *baselines, const struct checkpoint_cost *cost);
void metrics_time(struct metrics *metrics, int64_t epoch, int64_t step,
                  const struct time_breakdown *breakdown);
/* For a run that ends within an epoch: step, epoch, valid_loss, valid_accuracy,
 * weights_hash.
 */
void metrics_partial_epoch(struct metrics *metrics, const struct step_metrics *values,
                           const struct evaluation *valid);

#endif
