/* metrics: run.dir/metrics.jsonl, one JSON object a line, each line flushed.
 *
 * A line for each step: step, epoch, loss, accuracy, gradient_norm, learning_rate,
 * seconds, tokens_per_second, and weights_hash on request. A line for each epoch: epoch,
 * step, train_loss, train_accuracy, valid_loss, valid_accuracy, valid_unigram,
 * valid_bigram, learning_rate, seconds, tokens_per_second, checkpoint_pause_seconds,
 * checkpoint_seconds, weights_hash. Losses are nats per token. The checkpoints' figures
 * are the largest since the line of the epoch before, so the epoch's own checkpoint,
 * which is written behind its line, counts in the next. And a line for how the time of an
 * epoch divides, its checkpoint and samples included, which is why it is one of its own
 * and comes last: epoch, step, seconds_all, seconds_read, seconds_forward,
 * seconds_backward, seconds_sum, seconds_wait, seconds_optimizer, seconds_checkpoint,
 * seconds_validate, seconds_sample (means over the ranks, in sum seconds_all), and with
 * several ranks slow_rank, slow_host and seconds_waited: how much longer the others
 * waited than that rank did.
 */
#ifndef TUTTI_TRAIN_METRICS_H
#define TUTTI_TRAIN_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "report.h"
#include "checkpoint.h"
#include "evaluate.h"
#include "base/status.h"

struct metrics { /* zero-initialise: then nothing is written */
    FILE *file;
    char *path;
    int64_t size; /* of the file, up to the end of the last whole line */
    bool failed;  /* a warning has been given */
};

struct step_facts {
    int64_t step, epoch; /* from 1 */
    double loss, accuracy, gradient_norm, learning_rate, seconds, tokens_per_second;
    bool hashed;
    uint64_t weights_hash;
};

/* Of the checkpoints since the last epoch; 0 if there was none. */
struct checkpoint_cost {
    double pause;   /* seconds that training waited */
    double writing; /* seconds until it was on disk */
};

/* Opens the file for the steps after `step` and the epochs after `epoch`: older lines are
 * kept, lines beyond are dropped, so that after a resume each step is there once. With
 * step 0 the file is empty. A file with lines of another kind, or with what ends the
 * reading of metrics_lines, is kept aside. */
enum status metrics_open(const char *directory, int64_t step, int64_t epoch,
                         struct metrics *out);
void metrics_close(struct metrics *metrics);

/* A line that can't be written is a warning, given once. */
void metrics_step(struct metrics *metrics, const struct step_facts *facts);
void metrics_epoch(struct metrics *metrics, const struct history_row *row,
                   const struct baselines *baselines, const struct checkpoint_cost *cost);
void metrics_time(struct metrics *metrics, int64_t epoch, int64_t step,
                  const struct time_breakdown *breakdown);
/* A run that ends within an epoch: step, epoch, valid_loss, valid_accuracy, weights_hash.
 */
void metrics_part(struct metrics *metrics, const struct step_facts *facts,
                  const struct evaluation *valid);

#endif
