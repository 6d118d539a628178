/* remi: bars and beats (Huang and Yang, "Pop Music Transformer", 2020), with programs and
 * time signatures as in REMI+ (von Rütte et al., "FIGARO", 2022); conventions of MidiTok
 * (Fradet et al., 2021) where nothing else is said.
 *
 * Vocabulary, in this order; a kind without tokens under the settings is left out:
 *   BAR                    the start of the next bar, or of the first one
 *   POSITION 0-p           in the bar, in steps of 1/data.positions of a beat; a beat is
 *                          the note of the metre's denominator (6/8: an eighth)
 *   TIME_SIGNATURE n/d     data.time_signatures: 1/2-4/2, 1/4-12/4, 1/8-16/8
 *   TEMPO 40-250           data.tempo: 32 tempos in equal distances, in beats per minute
 *   PROGRAM 0-127, drums   data.programs = keep; drums: if they are kept, too
 *   PITCH 0-127
 *   PITCH_DRUM 0-127       data.drums = keep: pitches of percussion
 *   VELOCITY 0-31          bin (v - 1) / 4, decoded as 4 * bin + 3
 *   DURATION b.p.r         b + p/r beats: up to 4 beats in positions, then up to 12 beats
 *                          in steps of two positions (one, if their number is odd)
 *   END
 *
 * A piece is a sequence of bars: BAR, TIME_SIGNATURE of the bar, then by ascending
 * POSITION: TEMPO if it changes there, then the notes, each as PROGRAM, PITCH or
 * PITCH_DRUM, VELOCITY, DURATION, by ascending program and pitch, percussion last. Notes
 * of a program and pitch at one position are merged, with the largest velocity and
 * duration. The first TEMPO is at POSITION 0 of the first bar. The piece ends with its
 * last note's DURATION: no bars and tempos follow.
 *
 * Bars follow from the time signatures, 4/4 before the first; a change within a bar takes
 * effect at the next one. A signature that is not in the vocabulary is replaced by one
 * with the same bar length and a longer beat (12/16: 6/8), or else ignored. Bars before
 * the first note are dropped, so the time before it is less than a bar. Files with SMPTE
 * division have 4/4 bars of two seconds.
 *
 * Starts are rounded to the nearest position, halves up. Durations are rounded to whole
 * positions and then to the nearest DURATION, halves up, independently of the start. A
 * note may be repeated while it sounds; both are decoded with their durations.
 *
 * Without data.programs = keep, all melody has program 0. With it, a PROGRAM precedes
 * every note, so that the note's pitch depends on the token before it alone.
 *
 * Grid steps are 1/480 of a quarter note. Without data.tempo all music is at 120 beats
 * per minute; otherwise seconds follow from the TEMPOs.
 *
 * The grammar forbids what no piece has: anything out of this order, and notes before the
 * first TEMPO. It allows empty bars. Decoding skips any token that the grammar forbids. */
#include "remi.h"

static bool remi_token_sounds(const struct encoding *self, token value)
{
    enum remi_kind kind = remi_kind_of(self, value);
    return kind == REMI_PITCH || kind == REMI_DRUM;
}

static int remi_token_pitch(const struct encoding *self, token value)
{
    return remi_kind_of(self, value) == REMI_PITCH ? value - self->remi.first[REMI_PITCH]
                                                   : -1;
}

/* The token `by` values higher; `end` if it is not of the same kind. */
static token shift(const struct encoding *self, enum remi_kind kind, token value, int by)
{
    int shifted = value + by;
    return shifted < self->remi.first[kind] || shifted >= self->remi.first[kind + 1]
               ? self->end
               : (token)shifted;
}

static token remi_transpose(const struct encoding *self, token value, int semitones)
{
    bool has_pitch = remi_kind_of(self, value) == REMI_PITCH;
    return has_pitch ? shift(self, REMI_PITCH, value, semitones) : value;
}

static token remi_shift_velocity(const struct encoding *self, token value, int bins)
{
    bool has_velocity = remi_kind_of(self, value) == REMI_VELOCITY;
    return has_velocity ? shift(self, REMI_VELOCITY, value, bins) : value;
}

const struct encoding encoding_remi = {
    .name = "remi",
    .seconds_per_grid_step = 0.5 / REMI_QUARTER, /* at 120 beats per minute */
    .tokens_per_grid_step = 2,
    .has_bars = true,
    .configure = remi_configure,
    .encodes_note = remi_encodes_note,
    .encode = remi_encode,
    .decode = remi_decode,
    .token_name = remi_token_name,
    .advance = remi_advance,
    .token_sounds = remi_token_sounds,
    .token_pitch = remi_token_pitch,
    .transpose = remi_transpose,
    .shift_velocity = remi_shift_velocity,
    .grammar_start = remi_grammar_start,
    .grammar_allowed = remi_grammar_allowed,
    .grammar_end_long_notes = remi_grammar_end_long_notes,
    .grammar_restrict = remi_grammar_restrict,
    .grammar_accept = remi_grammar_accept,
};
