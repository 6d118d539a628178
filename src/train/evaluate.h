/* evaluate: how well a model predicts a split. */
#ifndef TUTTI_TRAIN_EVALUATE_H
#define TUTTI_TRAIN_EVALUATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/comm.h"
#include "data/dataset.h"
#include "nn/model.h"

struct evaluation {
    double loss;     /* nats per token, END counted as one; NAN for an empty split */
    double accuracy; /* share of tokens that were the most probable ones; likewise */
    uint64_t tokens; /* END included */
    uint64_t pieces;
    uint64_t notes;  /* that the tokens hold (encoding_count_notes): percussion and
                        what an encoding merges is not among them */
    uint64_t frames; /* pianoroll only: the steps 2 .. T of each piece */
    double seconds;  /* of music */
    /* Nats; 0 where there is nothing to divide by. per_frame is the literature's figure
     * for polyphonic music (Boulanger-Lewandowski, Bengio, Vincent, 2012): -log p of the
     * frames 2 .. T of each piece, without END. */
    double per_note, per_second, per_piece, per_frame;
};

/* Asked on every rank between windows: is it to be left? Any rank that says so ends the
 * pass for all. */
struct evaluation_leave {
    bool (*wanted)(void *context);
    void *context;
};

/* Each microbatch's pieces go once, from cleared states, through the microbatch's rows.
 * The model is planned for this rank's microbatches (microbatches_of_rank) with `rows`
 * rows and `steps` steps; its carried states are saved and put back. Shards are assigned to
 * microbatches by the tokens of the split; a microbatch may stay empty. Same result on
 * every rank and for any number of ranks. `memory`: bytes of this rank for the pieces and
 * their tokens, which then come from the disk as they are needed; 0: all are held.
 * `leave`: NULL for never; a rank that wants to leaves its own part at once, the others
 * learn of it after theirs, and there is no result: STATUS_STOPPED. The progress of this
 * rank's part is shown, where the log isn't muted. STATUS_FAILED if a shard can't be read
 * or the loss is not finite; STATUS_MISUSE if the memory is too little. Collective. */
enum status evaluate_split(struct comm *comm, const struct dataset *dataset,
                           int microbatches, int rows, int steps, enum split split,
                           uint64_t memory, struct model *model,
                           const struct evaluation_leave *leave, struct evaluation *out);

#endif
