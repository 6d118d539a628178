/* wellformed: an independent check of token sequences, based on the token values in
 * performance.c and pianoroll.c, looking back over the sequence instead of keeping a
 * state. */
#ifndef TUTTI_TESTS_WELLFORMED_H
#define TUTTI_TESTS_WELLFORMED_H

#include <stdio.h>
#include <string.h>

#include "encode/encoding.h"

/* Seconds by which a token of an encoding without state advances time. */
static inline double token_seconds(const struct encoding *encoding, token value)
{
    uint64_t steps = encoding->advance(encoding, NULL, value);
    return (double)steps * encoding->seconds_per_grid_step;
}

static inline int is_between(token value, int low, int high)
{
    return value >= low && value < high;
}

static inline int is_program(const struct encoding *encoding, token value)
{
    return encoding->keeps_programs && is_between(value, 388, 516);
}

static inline int is_drum_token(const struct encoding *encoding, token value)
{
    int first = encoding->keeps_programs ? 516 : 388;
    return encoding->keeps_drums && is_between(value, first, first + 128);
}

/* The program in force before token i: 0 without programs, -1 before the first. */
static inline int program_before(const struct encoding *encoding, const token *tokens,
                                 size_t i)
{
    while (encoding->keeps_programs && i-- > 0)
        if (is_program(encoding, tokens[i]))
            return tokens[i] - 388;
    return encoding->keeps_programs ? -1 : 0;
}

/* The token before token i is a PROGRAM or VELOCITY that awaits another one. */
static inline const char *pending_fault(const struct encoding *encoding,
                                        const token *tokens, size_t i)
{
    token value = tokens[i];
    bool velocity = i > 0 && is_between(tokens[i - 1], 356, 388);
    size_t before = velocity ? i - 1 : i;
    bool program = before > 0 && is_program(encoding, tokens[before - 1]);
    bool begins = value < 128 || (is_drum_token(encoding, value) && !program);
    if (velocity && !begins)
        return "VELOCITY without its note";
    if (program && !velocity && !is_between(value, 0, 256) &&
        !is_between(value, 356, 388))
        return "PROGRAM without its note";
    return NULL;
}

/* The latest event of the pitch decides whether a note can begin or end. */
static inline const char *note_fault(const struct encoding *encoding, const token *tokens,
                                     size_t i)
{
    int program = program_before(encoding, tokens, i);
    token value = tokens[i], pitch = value & 127;
    bool shifted = false;
    if (program < 0)
        return "a note before any PROGRAM";
    for (size_t j = i; j-- > 0;) {
        shifted |= is_between(tokens[j], 256, 356);
        if (tokens[j] >= 256 || (tokens[j] & 127) != pitch ||
            program_before(encoding, tokens, j) != program)
            continue;
        if (tokens[j] < 128)
            return value < 128 ? "NOTE_ON of a sounding pitch"
                               : (shifted ? NULL : "NOTE_OFF at once");
        break;
    }
    return value < 128 ? NULL : "NOTE_OFF without NOTE_ON";
}

static inline const char *drum_fault(const token *tokens, size_t i)
{
    for (size_t j = i; j-- > 0 && !is_between(tokens[j], 256, 356);)
        if (tokens[j] == tokens[i])
            return "a drum is hit twice at once";
    return NULL;
}

static inline const char *velocity_fault(const token *tokens, size_t i)
{
    for (size_t j = i; j-- > 0;)
        if (is_between(tokens[j], 356, 388))
            return tokens[j] == tokens[i] ? "VELOCITY already in force" : NULL;
    return is_between(tokens[i], 356, 388) ? NULL : "a note before any VELOCITY";
}

/* The error in performance token i, given the tokens before it; NULL if there is none. */
static inline const char *performance_fault(const struct encoding *encoding,
                                            const token *tokens, size_t i)
{
    token value = tokens[i];
    bool drum = is_drum_token(encoding, value);
    if (value > 388 + 128 * (encoding->keeps_programs + encoding->keeps_drums))
        return "not in the vocabulary";
    const char *fault = pending_fault(encoding, tokens, i);
    if (!fault && value < 256)
        fault = note_fault(encoding, tokens, i);
    if (!fault && drum)
        fault = drum_fault(tokens, i);
    if (!fault && is_between(value, 356, 388) && !encoding->keeps_drums &&
        program_before(encoding, tokens, i) < 0)
        fault = "VELOCITY before any PROGRAM";
    if (!fault && (value < 128 || is_between(value, 356, 388) || drum))
        fault = velocity_fault(tokens, i);
    if (!fault && is_program(encoding, value) &&
        program_before(encoding, tokens, i) == value - 388)
        fault = "PROGRAM already in force";
    return fault;
}

static inline const char *pianoroll_fault(const token *tokens, size_t i)
{
    if (tokens[i] > 89)
        return "not in the vocabulary";
    bool first = i == 0 || tokens[i - 1] == 88;
    if (tokens[i] == 89 && !first)
        return "END within a step";
    if (tokens[i] < 88 && !first && tokens[i - 1] >= tokens[i])
        return "keys not ascending";
    return NULL;
}

/* The number of notes that sound after tokens[0..count) of the performance encoding. */
static inline int performance_sounding_count(const struct encoding *encoding,
                                             const token *tokens, size_t count)
{
    bool sounding[128][128] = {{0}};
    int program = 0, total = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_program(encoding, tokens[i]))
            program = tokens[i] - 388;
        if (tokens[i] < 256)
            sounding[program][tokens[i] & 127] = tokens[i] < 128;
    }
    for (int i = 0; i < 128; i++)
        for (int pitch = 0; pitch < 128; pitch++)
            total += sounding[i][pitch];
    return total;
}

/* Returns "" if the sequence is well formed (and, if `whole`, is one piece closed by
 * END), else the first error. */
static inline const char *well_formed(const struct encoding *encoding,
                                      const token *tokens, size_t count, int whole)
{
    static char text[128];
    bool performance = strcmp(encoding->name, "performance") == 0;
    for (size_t i = 0; i < count; i++) {
        const char *fault = performance ? performance_fault(encoding, tokens, i)
                                        : pianoroll_fault(tokens, i);
        if (!fault && tokens[i] == encoding->end && !(whole && i == count - 1))
            fault = "END before the end";
        if (fault) {
            snprintf(text, sizeof text, "token %zu is %d: %s", i, tokens[i], fault);
            return text;
        }
    }
    if (whole && (count == 0 || tokens[count - 1] != encoding->end))
        return "no END";
    if (whole && performance && performance_sounding_count(encoding, tokens, count))
        return "a note still sounds at END";
    return "";
}

#endif
