/* sampler_internal: what the files of the sampler share. sampler.c has the loop over rows
 * and time; sampler_check.c checks settings; sampler_choice.c chooses the next token;
 * sampler_pieces.c makes notes of the tokens.
 */
#ifndef TUTTI_GENERATE_SAMPLER_INTERNAL_H
#define TUTTI_GENERATE_SAMPLER_INTERNAL_H

#include "cache.h"
#include "draw.h"
#include "guard.h"
#include "sampler.h"

static const double time_epsilon = 1e-9; /* sums of steps are not exact in seconds */

struct row {
    struct grammar grammar;
    struct guard guard;
    struct tokens tokens; /* base tokens of the primer and of those drawn */
    struct cache cache;   /* empty if it is off */
    uint64_t position;    /* tokens drawn in this attempt */
    uint64_t attempt;     /* from 0 */
    double surprisal;     /* -log p of this attempt's tokens; only with candidates */
    size_t fed;           /* tokens of the primer that this attempt has received */
    bool sounded;         /* a sound was drawn in this attempt */
    bool finished;
    enum sampler_outcome outcome;
};

struct sampler {
    const struct sampler_source *source;
    const struct encoding *encoding; /* of the model's tokens */
    const struct encoding *base;     /* of the rows' grammar, guard and tokens */
    const struct sampler_settings *settings;
    const struct sampler_batch *batch;
    size_t pieces;
    size_t count;        /* rows: row r is candidate r / pieces of piece r % pieces */
    double end;          /* in the grammar's time, which includes the primer */
    double step_seconds; /* of a grid step at the requested tempo; 0: of the grammar */
    uint64_t max_tokens; /* per attempt, after the primer */
    size_t primer_count; /* base tokens */
    struct row primed;   /* the state of a row after the primer, except its tokens */
    struct row *rows;
    double *surprisals;           /* [best_of] */
    token *inputs;                /* [count] */
    bool *allowed;                /* [vocabulary] */
    bool *restricted;             /* [vocabulary] */
    bool *in_scale;               /* [vocabulary] */
    bool *recent;                 /* [base->vocabulary] */
    real *penalised;              /* [vocabulary] */
    struct candidate *candidates; /* [vocabulary] */
};

/* The time of a piece so far, which includes the primer, in seconds. */
static inline double sampler_seconds(const struct sampler *sampler,
                                     const struct grammar *grammar)
{
    return sampler->step_seconds > 0 ? (double)grammar->time * sampler->step_seconds
                                     : grammar->seconds;
}

/* STATUS_MISUSE for settings out of range, or that the encoding does not have, and for
 * tokens of the primer that it does not have. */
enum status sampler_check(const struct encoding *encoding,
                          const struct sampler_settings *settings,
                          const struct sampler_batch *batch);

/* Draws the next token of row `index`; logits[count][vocabulary]. */
enum status sampler_draw(struct sampler *sampler, size_t index, const real *logits,
                         token *value);

/* Decodes the candidate that is kept for each piece, and sets the outcomes. */
enum status sampler_decode(const struct sampler *sampler, struct notes *pieces);

#endif
