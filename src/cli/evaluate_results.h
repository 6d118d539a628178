/* evaluate_results: the result of `tutti evaluate`, and its output. */
#ifndef TUTTI_CLI_EVALUATE_RESULTS_H
#define TUTTI_CLI_EVALUATE_RESULTS_H

#include <stdbool.h>

#include "evaluate_samples.h"
#include "base/status.h"
#include "data/dataset.h"
#include "train/baselines.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"

/* A checkpoint of the ensemble. All borrowed. */
struct evaluate_member {
    const char *path; /* of the checkpoint's file */
    const struct checkpoint *checkpoint;
    const char *matmul; /* description of the backend */
};

struct evaluate_results {
    const struct evaluate_member *members; /* [member_count], at least 1 */
    int member_count;
    const struct dataset *dataset;
    enum split split;
    bool average;                                /* the averaged weights were evaluated */
    struct evaluation model;                     /* of the ensemble */
    struct baselines baselines;                  /* NAN if unknown */
    char baselines_unknown[STATUS_MESSAGE_SIZE]; /* why unknown; "" otherwise */
    const struct evaluate_samples *samples;      /* NULL: none */
};

/* Prints to stdout. */
void evaluate_print_table(const struct evaluate_results *results);
enum status evaluate_print_json(const struct evaluate_results *results);

#endif
