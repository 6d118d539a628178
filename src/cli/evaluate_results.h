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

struct evaluate_results {
    const char *path; /* of the checkpoint's file */
    const struct checkpoint *checkpoint;
    const struct dataset *dataset;
    enum split split;
    bool average;       /* the averaged weights were evaluated */
    const char *matmul; /* description of the backend; borrowed */
    struct evaluation model;
    struct baselines baselines;                  /* NAN if unknown */
    char baselines_unknown[STATUS_MESSAGE_SIZE]; /* why unknown; "" otherwise */
    const struct evaluate_samples *samples;      /* NULL: none */
};

/* Prints to stdout. */
void evaluate_print_table(const struct evaluate_results *results);
enum status evaluate_print_json(const struct evaluate_results *results);

#endif
