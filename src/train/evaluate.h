/* evaluate: how well a model, or an ensemble, predicts a split. */
#ifndef TUTTI_TRAIN_EVALUATE_H
#define TUTTI_TRAIN_EVALUATE_H

#include <stdbool.h>
#include <stdint.h>

#include "ensemble.h"
#include "base/status.h"
#include "comm/comm.h"
#include "data/dataset.h"

struct evaluation {
    double loss;     /* nats per token, END counted as one; NAN for an empty split */
    double accuracy; /* share of tokens predicted as most probable; NAN for none */
    uint64_t tokens; /* END included */
    uint64_t pieces;
    uint64_t notes;  /* in the tokens (encoding_count_notes): without percussion and
                        notes that an encoding merges */
    uint64_t frames; /* pianoroll only: the steps 2 .. T of each piece */
    double seconds;  /* of music */
    /* Nats; 0 if the denominator is 0. per_frame is the metric used in the literature on
     * polyphonic music (Boulanger-Lewandowski, Bengio, Vincent, 2012): -log p of the
     * frames 2 .. T of each piece, without END. */
    double per_note, per_second, per_piece, per_frame;
};

/* Called on every rank between windows: true if this rank wants to stop the pass. One
 * such rank stops it for all. */
struct evaluation_stop {
    bool (*wanted)(void *context);
    void *context;
};

struct evaluation_request { /* all borrowed */
    const struct dataset *dataset;
    enum split split;
    int microbatches; /* of the global batch */
    int rows, steps;  /* of each microbatch */
    uint64_t memory;  /* bytes of this rank for pieces and their tokens, which are then
                         read as they are needed; 0: all tokens are held in memory */
    const struct evaluation_stop *stop; /* NULL: never */
};

/* Feeds each microbatch's pieces once, from cleared states, through the microbatch's
 * rows. The models must be planned for this rank's microbatches (microbatches_of_rank)
 * with the same rows and steps; their carried states are saved and restored. Shards are
 * assigned to microbatches by the tokens of the split; a microbatch may stay empty. Same
 * result on every rank and for any number of ranks. A rank that wants to stop ends its
 * own part at once, the others are informed when they have finished theirs, and there is
 * no result: STATUS_STOPPED. Shows the progress of this rank's part if the log isn't
 * muted. STATUS_FAILED if a shard can't be read or the loss is not finite; STATUS_MISUSE
 * if the memory is too small. Collective. */
enum status evaluate_split(struct comm *comm, const struct evaluation_request *request,
                           const struct ensemble *ensemble, struct evaluation *out);

#endif
