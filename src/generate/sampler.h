/* sampler: draws tokens from a model, one row per piece, and decodes them to notes.
 *
 * Piece i of a seed does not depend on the number of pieces in the batch: token n after
 * the primer uses the random number (seed, RNG_SAMPLE, i, n, attempt), attempts from 0; for
 * its candidate c (best_of) from c * SAMPLER_ATTEMPTS.
 * Every sequence is well formed according to the encoding's grammar.
 *
 * A merged token (encode/bpe.h) is drawn as one, but grammar, guard, scale and repetition
 * penalty apply to each of its base tokens; those after the piece's full length are left
 * out. Elsewhere in this header a token is a base token, except for the number of them
 * that are drawn.
 *
 * A piece ends where END is drawn, which the grammar allows where no note sounds
 * (pianoroll: between two steps; remi: after a complete note), and the sampler not before
 * the piece's first sound. Otherwise it ends at its full length: the last token is the one
 * that advances time to the end or past it, and notes that still sound are truncated
 * exactly there; unless END is forbidden, those of them that begin in the last
 * SAMPLER_ENDING_SECONDS, or in the last quarter of a shorter piece, are removed instead,
 * with all notes that begin after them, so that the notes of the last chord have their own
 * length. `end` selects whether END is drawn. If it is required, a piece that does not end
 * is discarded and begun again, SAMPLER_ATTEMPTS times in all, or once if each token is
 * the most probable one; the last attempt is kept.
 *
 * Sampling terminates for any model. The grammar limits the number of tokens at one
 * instant (performance: 384, with instruments 1536; pianoroll: 89, with data.repeats 177;
 * remi: 772, with programs 66 052), and an attempt ends, with all its notes, after at most
 *   SAMPLER_TOKENS_BASE +
 *     tokens_per_grid_step * (seconds + SAMPLER_SECONDS_BASE) / seconds_per_grid_step
 * tokens after the primer, with the rates of the encoding. For performance that is 1000
 * per second; the densest music averages 112 tokens per second, and has 228 in its
 * densest second.
 */
#ifndef TUTTI_GENERATE_SAMPLER_H
#define TUTTI_GENERATE_SAMPLER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/real.h"
#include "base/status.h"
#include "encode/request.h"
#include "midi/notes.h"
#include "nn/model.h"

/* How a piece ended. */
enum sampler_outcome {
    SAMPLER_UNFINISHED,
    SAMPLER_ENDED,       /* END was drawn */
    SAMPLER_FULL_LENGTH, /* its time was up */
    SAMPLER_TOKEN_LIMIT  /* it has the maximum number of tokens */
};

struct sampler_settings {
    double temperature; /* divisor of the logits, > 0; 0: the most probable token */
    int64_t top_k;      /* sample from the k most probable tokens; 0: off */
    double top_p;       /* in (0, 1]: of these, the smallest set that reaches this
                           total probability; 1: off (Holtzman et al., 2020) */
    double min_p;       /* in [0, 1]: of these, the tokens with at least min_p times the
                           largest probability; 0: off (Nguyen et al., 2024) */
    /* In (0, 100]: NOTE_ON and KEY tokens among the last GUARD_PERIOD tokens, those of the
     * primer included, have their logits divided by this, or multiplied if negative, so
     * that they become less probable if it is above 1; 1: off (Keskar et al., 2019) */
    double repetition_penalty;
    /* The cache, which lets phrases return (see cache.h): a token that was drawn, unless it
     * is END, is replaced with probability cache * cache_weight(match, cache_context) by
     * the one that followed the longest match in the primer and the piece so far. Both
     * numbers are drawn independently; with temperature 0 it is replaced if that
     * probability exceeds 1/2. */
    double cache;          /* in [0, 1]; 0: off */
    int64_t cache_context; /* tokens, >= 1 */
    /* The pitch classes of NOTE_ON and KEY, bit 0: C (see base/scale.h); 0: all. It does
     * not apply where it would leave no token. */
    uint16_t pitch_classes;
    uint64_t seed;
    double seconds;     /* in (0, SAMPLER_SECONDS_MAX]: maximum length of each piece after
                           the primer */
    int64_t bars;       /* in [1, SAMPLER_BARS_MAX]: maximum length in bars (has_bars):
                           that of the primer's last one is completed, and the piece is
                           full where one more would begin; 0: seconds apply */
    int end;            /* enum option_end: draw END, forbid it, or require it */
    double min_seconds; /* in [0, seconds], after the primer: END is not drawn before */
    /* In [1, SAMPLER_BEST_OF_MAX]: as many candidates are sampled for each piece, and the
     * most typical is kept: that whose negative log-likelihood per token, under the model
     * alone, is nearest to the median of the candidates (the first of several). Likely
     * pieces are dull and unlikely ones are odd (Meister et al., "Locally typical sampling",
     * 2023). Of the candidates that ended, if END is required and any did. 0: as 1 */
    int best_of;
    double tempo; /* used by generator_run only: beats per minute, 0: of the primer */
    /* What the piece is asked to have: tokens that lead to something else are not drawn,
     * unless that would leave none. With a tempo, which is for encodings with tempos, all
     * notes, those of the primer included, are played at exactly that tempo, and the
     * lengths above are at that tempo. */
    struct music_request request;
    /* Enables the guard, which imposes three restrictions:
     * - From max_silence seconds after the last NOTE_ON or KEY, no token that advances
     *   time is drawn until the next NOTE_ON or KEY.
     * - A cycle of up to GUARD_PERIOD tokens that includes a sound, has occurred
     *   GUARD_REPEATS times in a row or more, and has been repeating for GUARD_SECONDS is
     *   not continued: its next token is not drawn. Repetitions in music, and chords that
     *   the pianoroll holds, are shorter.
     * - A note that has sounded for max_note_seconds is ended before time advances again
     *   (see grammar_end_long_notes).
     * All treat the primer and the piece as one. The first two do not apply where they
     * would leave no token; the third takes precedence over them. */
    bool guard;
    double max_silence;             /* seconds, > 0 */
    double max_note_seconds;        /* > 0 */
    enum sampler_outcome *outcomes; /* if not NULL, receives how each piece ended,
                                       [pieces] */
    int threads; /* for the model of generator_run, at least 1; no bit depends on it */
    const atomic_bool *cancelled; /* if not NULL, checked before every token: once true,
                                     STATUS_STOPPED */
};
enum {
    GUARD_PERIOD = 64,
    GUARD_REPEATS = 4,
    GUARD_SECONDS = 4,
    SAMPLER_SECONDS_MAX = 86400,
    SAMPLER_BARS_MAX = 1000,
    SAMPLER_SECONDS_BASE = 10, /* a short piece can be as dense as the densest passages */
    SAMPLER_TOKENS_BASE = 1000, /* or a single chord */
    SAMPLER_ATTEMPTS = 8,       /* at a piece that must end, the first included */
    SAMPLER_ENDING_SECONDS = 4,
    SAMPLER_BEST_OF_MAX = 100
};

/* A batch of pieces and the primer that they continue. */
struct sampler_batch {
    int count;           /* pieces, >= 1 */
    const token *primer; /* [primer_count], fed first */
    size_t primer_count; /* 0: no primer */
    /* True: the pieces begin with the primer. False: their time 0 is the end of the
     * primer, and notes that began in the primer are not part of them, even if they still
     * sound (in the pianoroll, such a key begins at 0). */
    bool keep_primer;
};

/* The rows that a model or source must have: the candidates for all pieces. */
int sampler_rows(const struct sampler_settings *settings, int count);

/* Generates a batch with a model of one microbatch, sampler_rows rows and one step
 * (model_create of 1 microbatch, so many rows, 1 step, no training); clears its states.
 *
 * Equally probable tokens are ranked by ascending value. pieces[batch->count] is
 * zero-initialised by the caller, who frees it, even after a failure. Errors:
 * STATUS_MISUSE for settings out of range; STATUS_FAILED if out of memory, or if the
 * model's logits are not finite; STATUS_STOPPED if cancelled. Not collective. */
enum status sampler_run(struct model *model, const struct encoding *encoding,
                        const struct sampler_settings *settings,
                        const struct sampler_batch *batch, struct notes *pieces);

/* STATUS_STOPPED if settings->cancelled is set. */
enum status sampler_check_cancelled(const struct sampler_settings *settings);

/* A source of logits. `next` takes one token per row, inputs[rows], and returns the
 * logits of the next token, [rows][vocabulary], valid until the next call. A row's state
 * is reset where its input is END; rows whose piece is finished or begun again receive
 * END. */
struct sampler_source {
    const real *(*next)(void *context, const token *inputs);
    void *context;
};

/* sampler_run with any source of logits. */
enum status sampler_run_source(const struct sampler_source *source,
                               const struct encoding *encoding,
                               const struct sampler_settings *settings,
                               const struct sampler_batch *batch, struct notes *pieces);

#endif
