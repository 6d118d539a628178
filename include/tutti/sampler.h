/* sampler: tokens from a model, one row a piece, and notes from the tokens.
 *
 * Piece i of a seed is the same whatever the number of pieces made with it. Every sequence is
 * well formed by the encoding's grammar; notes still sounding at the end are ended there.
 * The guard (can be switched off) keeps the music going: see sampler_settings.
 */
#ifndef TUTTI_SAMPLER_H
#define TUTTI_SAMPLER_H

#include <stdint.h>

#include "tutti/encoding.h"
#include "tutti/model.h"
#include "tutti/notes.h"
#include "tutti/status.h"

struct sampler_settings {
    double temperature; /* > 0; logits are divided by it. 0: the most probable token */
    int64_t top_k;      /* 0: off */
    double top_p;       /* 1: off (Holtzman et al., 2020) */
    uint64_t seed;
    double seconds;     /* length of each piece, after the primer; END is not drawn before */
    int guard;          /* 1: on */
    double max_silence; /* guard: after so many seconds without an onset, time may not move on
                           until a note begins */
    /* guard: a cycle of up to GUARD_PERIOD tokens that holds a NOTE_ON and has been repeated
     * GUARD_REPEATS times may not be continued: the token that would is not drawn. */
};
enum { GUARD_PERIOD = 64, GUARD_REPEATS = 4 };

/* Makes `count` pieces at once with a model of one slice, `count` rows, one step (it is made
 * by the caller with model_create(shape, end, 1, count, 1, 0, ..)). primer[0..primer_count)
 * (may be empty) is fed first and is not part of the output unless keep_primer. tokens_max
 * bounds a piece (0: a bound that follows from `seconds`). pieces[i] is zero-initialised by
 * the caller and freed by it. Not collective. */
enum status sampler_run(struct model *model, const struct encoding *encoding,
                        const struct sampler_settings *settings, const token *primer,
                        size_t primer_count, int keep_primer, int count,
                        struct notes *pieces);

#endif
