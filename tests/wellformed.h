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

/* The error in performance token i, given the tokens before it; NULL if there is none. */
static inline const char *performance_fault(const token *tokens, size_t i)
{
    token value = tokens[i];
    bool pending = i > 0 && is_between(tokens[i - 1], 356, 388);
    bool shifted = false;
    if (value > 388)
        return "not in the vocabulary";
    if (pending && value >= 128)
        return "VELOCITY without its NOTE_ON";
    for (size_t j = i; value < 256 && j-- > 0;) { /* the pitch's last event decides */
        token pitch = value & 127;
        shifted |= is_between(tokens[j], 256, 356);
        if (tokens[j] == pitch) {
            if (value < 128)
                return "NOTE_ON of a sounding pitch";
            return shifted ? NULL : "NOTE_OFF at once";
        }
        if (tokens[j] == 128 + pitch)
            break;
    }
    if (is_between(value, 128, 256))
        return "NOTE_OFF without NOTE_ON";
    if (value >= 128 && value < 356)
        return NULL;
    for (size_t j = i; value != 388 && j-- > 0;)
        if (is_between(tokens[j], 356, 388))
            return tokens[j] == value ? "VELOCITY already in force" : NULL;
    return value < 128 ? "NOTE_ON before any VELOCITY" : NULL;
}

/* True if the key is listed in the step before that of token i. */
static inline bool sounded_in_last_step(const token *tokens, size_t i, token key)
{
    int steps = 0;
    while (i-- > 0 && steps < 2) {
        steps += tokens[i] == 88;
        if (steps == 1 && tokens[i] == key)
            return true;
    }
    return false;
}

/* With data.repeats, 89 is REPEAT and 90 END. */
static inline const char *pianoroll_fault(const struct encoding *encoding,
                                          const token *tokens, size_t i)
{
    bool repeats = encoding->repeats;
    token end = repeats ? 90 : 89;
    if (tokens[i] > end)
        return "not in the vocabulary";
    bool pending = repeats && i > 0 && tokens[i - 1] == 89;
    if (pending && tokens[i] >= 88)
        return "REPEAT without its key";
    if (pending && !sounded_in_last_step(tokens, i, tokens[i]))
        return "REPEAT of a key that did not sound";
    size_t last = i - (size_t)pending; /* the token after the last key, if any */
    bool first = last == 0 || tokens[last - 1] == 88;
    if (tokens[i] == end && !first)
        return "END within a step";
    if (tokens[i] < 88 && !first && tokens[last - 1] >= tokens[i])
        return "keys not ascending";
    if (repeats && tokens[i] == 89) {
        for (token key = first ? 0 : (token)(tokens[last - 1] + 1); key < 88; key++)
            if (sounded_in_last_step(tokens, i, key))
                return NULL;
        return "REPEAT without a key to repeat";
    }
    return NULL;
}

/* The number of pitches that sound after tokens[0..count) of the performance encoding. */
static inline int performance_sounding_count(const token *tokens, size_t count)
{
    int sounding = 0;
    for (int pitch = 0; pitch < 128; pitch++)
        for (size_t j = count; j-- > 0;)
            if (tokens[j] == pitch || tokens[j] == 128 + pitch) {
                sounding += tokens[j] == pitch;
                break;
            }
    return sounding;
}

/* Returns "" if the sequence is well formed (and, if `whole`, is one piece closed by
 * END), else the first error. */
static inline const char *well_formed(const struct encoding *encoding,
                                      const token *tokens, size_t count, int whole)
{
    static char text[128];
    bool performance = strcmp(encoding->name, "performance") == 0;
    for (size_t i = 0; i < count; i++) {
        const char *fault = performance ? performance_fault(tokens, i)
                                        : pianoroll_fault(encoding, tokens, i);
        if (!fault && tokens[i] == encoding->end && !(whole && i == count - 1))
            fault = "END before the end";
        if (fault) {
            snprintf(text, sizeof text, "token %zu is %d: %s", i, tokens[i], fault);
            return text;
        }
    }
    if (whole && (count == 0 || tokens[count - 1] != encoding->end))
        return "no END";
    if (whole && performance && performance_sounding_count(tokens, count))
        return "a note still sounds at END";
    return "";
}

#endif
