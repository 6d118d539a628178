/* remi_vocabulary: the tokens of remi and their values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "remi.h"

/* ---- time signatures: 1/2-4/2, 1/4-12/4, 1/8-16/8 ---- */

static const struct {
    int denominator_log2, numerators;
} metres[] = {{1, 4}, {2, 12}, {3, 16}};
enum { METRES = sizeof metres / sizeof *metres, LONGEST_BAR = 16 /* beats */ };

struct remi_time_signature remi_time_signature(int index)
{
    int m = 0;
    while (index >= metres[m].numerators)
        index -= metres[m++].numerators;
    return (struct remi_time_signature){(uint8_t)(index + 1),
                                        (uint8_t)metres[m].denominator_log2};
}

int remi_find_time_signature(unsigned numerator, unsigned denominator_log2)
{
    const unsigned last = 3; /* eighths */
    int first = 0;
    for (; denominator_log2 > last && numerator % 2 == 0; denominator_log2--)
        numerator /= 2;
    for (int m = 0; m < METRES; first += metres[m++].numerators)
        if (denominator_log2 == (unsigned)metres[m].denominator_log2)
            return numerator >= 1 && numerator <= (unsigned)metres[m].numerators
                       ? first + (int)numerator - 1
                       : -1;
    return -1;
}

uint32_t remi_position_length(const struct encoding *encoding, int signature)
{
    uint32_t beat = 4u * REMI_QUARTER >> remi_time_signature(signature).denominator_log2;
    return beat / (uint32_t)encoding->remi.positions;
}

uint32_t remi_bar_length(int signature)
{
    struct remi_time_signature metre = remi_time_signature(signature);
    return metre.numerator * (4u * REMI_QUARTER >> metre.denominator_log2);
}

/* ---- tempos ---- */

/* Beats per minute, rounded to 1/100 as in MidiTok. */
static double beats_per_minute(int index)
{
    const double slowest = 40, fastest = 250;
    return round((slowest + index * (fastest - slowest) / (REMI_TEMPOS - 1)) * 100) / 100;
}

uint32_t remi_tempo(int index)
{
    return (uint32_t)lround(6e7 / beats_per_minute(index));
}

int remi_nearest_tempo(uint32_t tempo)
{
    int nearest = 0;
    int64_t least = INT64_MAX;
    for (int i = 0; i < REMI_TEMPOS; i++) {
        int64_t distance = llabs((int64_t)tempo - remi_tempo(i));
        if (distance < least) {
            least = distance;
            nearest = i;
        }
    }
    return nearest;
}

/* ---- durations ---- */

enum { FINE_BEATS = 4, LONGEST_BEATS = 12 };

/* Positions between durations beyond FINE_BEATS. */
static int coarse_step(const struct encoding *encoding)
{
    return encoding->remi.positions % 2 ? 1 : 2;
}

static int count_durations(const struct encoding *encoding)
{
    int positions = encoding->remi.positions;
    return FINE_BEATS * positions +
           (LONGEST_BEATS - FINE_BEATS) * positions / coarse_step(encoding);
}

int remi_duration(const struct encoding *encoding, int index)
{
    int fine = FINE_BEATS * encoding->remi.positions;
    return index < fine ? index + 1 : fine + (index - fine + 1) * coarse_step(encoding);
}

int remi_nearest_duration(const struct encoding *encoding, uint64_t positions)
{
    const uint64_t fine = (uint64_t)(FINE_BEATS * encoding->remi.positions),
                   longest = (uint64_t)(LONGEST_BEATS * encoding->remi.positions),
                   step = (uint64_t)coarse_step(encoding);
    if (positions == 0)
        return 0;
    if (positions <= fine)
        return (int)positions - 1;
    if (positions > longest)
        positions = longest;
    return (int)(fine - 1 + (positions - fine + step / 2) / step);
}

/* ---- tokens ---- */

enum status remi_configure(struct encoding *self, const struct options *options)
{
    enum { SHORTEST_BEAT = REMI_QUARTER / 2 };
    int positions = (int)options->data.positions;
    bool programs = options->data.programs == PROGRAMS_KEEP;
    bool drums = options->data.drums == DRUMS_KEEP;
    if (positions < 1 || SHORTEST_BEAT % positions != 0)
        return status_fail(STATUS_MISUSE,
                           "data.positions is %d (expected a divisor of %d, such as 4, "
                           "6, 8, 12, 16 or 24)",
                           positions, SHORTEST_BEAT);
    self->remi.positions = positions;
    const int counts[REMI_END] = {
        [REMI_BAR] = 1,
        [REMI_POSITION] = LONGEST_BAR * positions,
        [REMI_TIME_SIGNATURE] = options->data.time_signatures ? REMI_TIME_SIGNATURES : 0,
        [REMI_TEMPO] = options->data.tempo ? REMI_TEMPOS : 0,
        [REMI_PROGRAM] = programs ? REMI_DRUMS + drums : 0,
        [REMI_PITCH] = PITCHES,
        [REMI_DRUM] = drums ? PITCHES : 0,
        [REMI_VELOCITY] = REMI_VELOCITIES,
        [REMI_DURATION] = count_durations(self),
    };
    int first = 0;
    for (int kind = 0; kind <= REMI_END; kind++) {
        self->remi.first[kind] = (token)first;
        first += kind < REMI_END ? counts[kind] : 1;
    }
    self->end = self->remi.first[REMI_END];
    self->vocabulary = (size_t)self->end + 1;
    self->has_tempos = options->data.tempo;
    self->find_grid_steps = options->data.tempo ? NULL : remi_find_grid_steps;
    return STATUS_OK;
}

enum remi_kind remi_kind_of(const struct encoding *encoding, token value)
{
    if (value >= encoding->vocabulary)
        return REMI_KINDS;
    enum remi_kind kind = REMI_END;
    while (value < encoding->remi.first[kind])
        kind--;
    return kind;
}

static void name_duration(const struct encoding *self, int index, char *text, size_t size)
{
    int positions = self->remi.positions, length = remi_duration(self, index);
    int step = length < FINE_BEATS * positions ? 1 : coarse_step(self);
    snprintf(text, size, "DURATION %d.%d.%d", length / positions,
             length % positions / step, positions / step);
}

const char *remi_token_name(const struct encoding *self, token value, char *text,
                            size_t size)
{
    static const char *const names[REMI_KINDS] = {
        "BAR",   "POSITION",   "TIME_SIGNATURE", "TEMPO",    "PROGRAM",
        "PITCH", "PITCH_DRUM", "VELOCITY",       "DURATION", "END"};
    enum remi_kind kind = remi_kind_of(self, value);
    int index = kind < REMI_KINDS ? value - self->remi.first[kind] : 0;
    struct remi_time_signature signature;
    if (kind == REMI_KINDS) {
        snprintf(text, size, "UNKNOWN %d", value);
    } else if (kind == REMI_BAR || kind == REMI_END) {
        snprintf(text, size, "%s", names[kind]);
    } else if (kind == REMI_TIME_SIGNATURE) {
        signature = remi_time_signature(index);
        snprintf(text, size, "%s %d/%d", names[kind], signature.numerator,
                 1 << signature.denominator_log2);
    } else if (kind == REMI_TEMPO) {
        snprintf(text, size, "%s %.2f", names[kind], beats_per_minute(index));
    } else if (kind == REMI_PROGRAM && index == REMI_DRUMS) {
        snprintf(text, size, "%s drums", names[kind]);
    } else if (kind == REMI_DURATION) {
        name_duration(self, index, text, size);
    } else {
        snprintf(text, size, "%s %d", names[kind], index);
    }
    return text;
}
