/* sampler: tokens from a model, one row a piece, and notes from the tokens.
 *
 * Piece i of a seed is the same whatever the number of pieces made with it: token n
 * behind the primer takes the number (seed, RNG_SAMPLE, i, n). Every sequence is well
 * formed by the encoding's grammar. A piece goes on until its time is up: END is not
 * drawn, the token that moves time to the end or past it is the last, and what still
 * sounds ends exactly there.
 *
 * A piece is finite whatever the model says. The grammar lets only so many tokens pass at
 * one instant (performance: 384, pianoroll: 89). And a piece that has come to
 *   SAMPLER_TOKENS_BASE +
 *     tokens_per_step * (seconds + SAMPLER_SECONDS_BASE) / seconds_per_step
 * tokens after the primer, with the numbers of its encoding, ends there, and what sounds
 * ends with it. In performance that is 1000 for each second; the densest music takes 112,
 * and 228 in its densest second.
 */
#ifndef TUTTI_GENERATE_SAMPLER_H
#define TUTTI_GENERATE_SAMPLER_H

#include <stdint.h>

#include "base/real.h"
#include "base/status.h"
#include "encode/encoding.h"
#include "midi/notes.h"
#include "nn/model.h"

struct sampler_settings {
    double temperature; /* > 0; logits are divided by it. 0: the most probable token */
    int64_t top_k;      /* only the k most probable tokens; 0: off */
    double top_p;       /* in (0, 1]: of these the fewest that together have this
                           probability; 1: off (Holtzman et al., 2020) */
    uint64_t seed;
    double seconds;     /* in (0, SAMPLER_SECONDS_MAX]: length of each piece, behind the
                           primer */
    int guard;          /* 1: on */
    double max_silence; /* > 0; guard: when the last sound (NOTE_ON, KEY) began so many
                           seconds ago, time may not move on until another begins */
    /* guard: a cycle of up to GUARD_PERIOD tokens that holds a sound, has come
     * GUARD_REPEATS times in a row or more, and has been repeating for GUARD_SECONDS may
     * not be continued: the token that would is not drawn. Notes that music repeats, and
     * chords that the pianoroll holds, are shorter than that.
     * The guard looks at the primer too. Where it would leave no token it is not
     * heard. */
    int *cut; /* if not NULL, receives the number of pieces that have come to the limit of
                 tokens before their time was up */
};
enum {
    GUARD_PERIOD = 64,
    GUARD_REPEATS = 4,
    GUARD_SECONDS = 4,
    SAMPLER_SECONDS_MAX = 86400,
    SAMPLER_SECONDS_BASE = 10, /* a short piece may be as dense as the densest moments */
    SAMPLER_TOKENS_BASE = 1000 /* or be a single chord */
};

/* Makes `count` pieces at once with a model of one microbatch, `count` rows, one step (it
 * is made by the caller with model_create(1 microbatch, count rows, 1 step, no training)); its states
 * are cleared.
 *
 * primer[0..primer_count) (may be empty) is fed first. With keep_primer the pieces begin
 * with it. Without, their time 0 is the end of the primer, and a note that began in the
 * primer is not part of them, even if it sounds on (in the pianoroll, a key that does
 * begins at 0).
 *
 * Among equally probable tokens the lower number comes first. pieces[i] is
 * zero-initialised by the caller and freed by it, also after a failure.
 * Errors: STATUS_MISUSE for settings out of range; STATUS_FAILED without memory, or when
 * the model gives logits that are not finite. Not collective. */
enum status sampler_run(struct model *model, const struct encoding *encoding,
                        const struct sampler_settings *settings, const token *primer,
                        size_t primer_count, int keep_primer, int count,
                        struct notes *pieces);

/* What the sampler asks a model for. `next` takes a token for each row, inputs[count],
 * and returns the logits of what may follow, [count][vocabulary], valid until the next
 * call. A row begins anew where its input is END; rows whose piece is finished are given
 * END. */
struct sampler_source {
    const real *(*next)(void *context, const token *inputs);
    void *context;
};

/* sampler_run with any source of logits. */
enum status sampler_run_source(const struct sampler_source *source,
                               const struct encoding *encoding,
                               const struct sampler_settings *settings,
                               const token *primer, size_t primer_count, int keep_primer,
                               int count, struct notes *pieces);

#endif
