/* request: what a generated piece is asked to have: tempo, time signature, instruments.
 * Encodings restrict the tokens that can be drawn accordingly (grammar_restrict); what has
 * no tokens is set in the notes instead (generate/generator.c). */
#ifndef TUTTI_ENCODE_REQUEST_H
#define TUTTI_ENCODE_REQUEST_H

#include "encoding.h"
#include "base/program_set.h"
#include "base/time_signature.h"

/* All zero: anything. */
struct music_request {
    uint32_t tempo;     /* microseconds per quarter note; 0: any */
    struct metre metre; /* numerator 0: any */
    bool restricts_programs;
    struct program_set programs; /* the only ones, if restricts_programs */
};

/* STATUS_MISUSE, in one line, for a time signature or instruments that the encoding does
 * not have. Without tokens for time signatures, remi has 4/4 alone, and encodings without
 * bars accept any. Where programs are merged, one program, the piece's, can be requested. */
enum status request_check(const struct encoding *encoding,
                          const struct music_request *request);

/* The only program of the melody, if the encoding merges programs and one is requested;
 * else -1. */
int request_merged_program(const struct encoding *encoding,
                           const struct music_request *request);

/* True if notes of a program, or of merged programs, are requested. */
bool request_has_program(const struct encoding *encoding,
                         const struct music_request *request, int program);

/* True if percussion is requested. */
bool request_has_drums(const struct music_request *request);

#endif
