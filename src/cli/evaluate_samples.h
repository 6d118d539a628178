/* evaluate_samples: music generated from a checkpoint, compared with its dataset. */
#ifndef TUTTI_CLI_EVALUATE_SAMPLES_H
#define TUTTI_CLI_EVALUATE_SAMPLES_H

#include "base/status.h"
#include "data/dataset.h"
#include "statistics/piece_group.h"
#include "train/checkpoint.h"

/* A plain value, sent from the sandboxed child. */
struct evaluate_samples {
    double seconds; /* of each piece, at most */
    struct group_summary dataset, samples;
};

/* Generates `count` pieces of at most `seconds` seconds (0: the checkpoint's
 * run.sample_seconds, at most 600) with the checkpoint's [sample] settings, and summarises
 * them and the first `seconds` seconds of all pieces of the dataset, both as decoded from
 * tokens. The samples are compared with the dataset; copied_groups counts what stands in
 * its training split. Calls sandbox_begin_computing once it has read the dataset. Errors
 * as for generator_run. */
enum status evaluate_samples(const struct checkpoint *checkpoint,
                             const struct dataset *dataset, int count, double seconds,
                             struct evaluate_samples *out);

#endif
