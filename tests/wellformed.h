/* wellformed: an independent check of token sequences, based on the token values in
 * performance.c and pianoroll.c, and the token names of remi, looking back over the sequence instead of keeping a
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

/* ---- remi: by the names of the tokens ---- */

struct remi_name {
    char kind[ENCODING_TOKEN_NAME];
    int a, b; /* "PITCH 60": 60, 0; "TIME_SIGNATURE 3/4": 3, 4; "PROGRAM drums": 128, 0 */
};

static inline struct remi_name remi_name(const struct encoding *encoding,
                                         const token *tokens, size_t i)
{
    char text[ENCODING_TOKEN_NAME];
    struct remi_name name = {.kind = "END"};
    encoding->token_name(encoding, tokens[i], text, sizeof text);
    sscanf(text, "%31s %d/%d", name.kind, &name.a, &name.b);
    if (strcmp(text, "PROGRAM drums") == 0)
        name.a = 128;
    return name;
}

/* True if the token before i is of one of the kinds in a list such as "BAR TEMPO ". */
static inline int remi_follows(const struct encoding *encoding, const token *tokens,
                               size_t i, const char *kinds)
{
    char word[ENCODING_TOKEN_NAME + 1] = "END ";
    if (i > 0)
        snprintf(word, sizeof word, "%s ", remi_name(encoding, tokens, i - 1).kind);
    const char *found = strstr(kinds, word);
    return found && (found == kinds || found[-1] == ' ');
}

/* Looks back for the latest token of a kind, up to one of kind `until`. */
static inline int remi_latest(const struct encoding *encoding, const token *tokens,
                              size_t i, const char *kind, const char *until,
                              struct remi_name *out)
{
    while (i-- > 0) {
        *out = remi_name(encoding, tokens, i);
        if (strcmp(out->kind, kind) == 0)
            return 1;
        if (strcmp(out->kind, until) == 0)
            return 0;
    }
    return 0;
}

/* Program * 128 + pitch of the latest note of this position; -1: none. */
static inline int remi_latest_key(const struct encoding *encoding, const token *tokens,
                                  size_t i)
{
    struct remi_name found, program;
    for (; i-- > 0;) {
        found = remi_name(encoding, tokens, i);
        if (strcmp(found.kind, "POSITION") == 0 || strcmp(found.kind, "BAR") == 0)
            return -1;
        int drum = strcmp(found.kind, "PITCH_DRUM") == 0;
        if (!drum && strcmp(found.kind, "PITCH") != 0)
            continue;
        int number = drum ? 128 : 0;
        if (remi_latest(encoding, tokens, i, "PROGRAM", "DURATION", &program))
            number = program.a;
        return number * 128 + found.a;
    }
    return -1;
}

/* True if a TEMPO must come before tokens[i]. */
static inline int remi_lacks_tempo(const struct encoding *encoding, const token *tokens,
                                   size_t i)
{
    struct remi_name found;
    return encoding->remi.first[REMI_TEMPO] < encoding->remi.first[REMI_PROGRAM] &&
           !remi_latest(encoding, tokens, i, "TEMPO", "END", &found);
}

static inline const char *remi_position_fault(const struct encoding *encoding,
                                              const token *tokens, size_t i, int position)
{
    struct remi_name found;
    int beats = 4, positions = encoding->remi.positions;
    if (remi_latest(encoding, tokens, i, "TIME_SIGNATURE", "END", &found))
        beats = found.a;
    if (position > 0 && remi_lacks_tempo(encoding, tokens, i))
        return "POSITION before the first TEMPO";
    if (position >= beats * positions)
        return "POSITION after the bar";
    if (remi_latest(encoding, tokens, i, "POSITION", "BAR", &found) &&
        found.a >= position)
        return "POSITIONs not ascending";
    return NULL;
}

static inline const char *remi_pitch_fault(const struct encoding *encoding,
                                           const token *tokens, size_t i, int drum,
                                           int pitch)
{
    char name[ENCODING_TOKEN_NAME];
    bool programs = false;
    for (size_t value = 0; value < encoding->vocabulary; value++)
        programs |=
            strncmp(encoding->token_name(encoding, (token)value, name, sizeof name),
                    "PROGRAM", 7) == 0;
    int program = drum ? 128 : 0;
    if (programs && !remi_follows(encoding, tokens, i, "PROGRAM "))
        return "PITCH without its PROGRAM";
    if (!programs && !remi_follows(encoding, tokens, i, "POSITION TEMPO DURATION "))
        return "PITCH at the wrong place";
    if (remi_lacks_tempo(encoding, tokens, i))
        return "PITCH before the first TEMPO";
    if (programs)
        program = remi_name(encoding, tokens, i - 1).a;
    if ((program == 128) != drum)
        return "PITCH of another kind than its PROGRAM";
    return remi_latest_key(encoding, tokens, i) >= program * 128 + pitch
               ? "notes not ascending"
               : NULL;
}

static inline const char *remi_fault(const struct encoding *encoding, const token *tokens,
                                     size_t i)
{
    struct remi_name name = remi_name(encoding, tokens, i), found;
    const char *follows = NULL;
    bool metres =
        encoding->remi.first[REMI_TIME_SIGNATURE] < encoding->remi.first[REMI_TEMPO];
    if (strcmp(name.kind, "UNKNOWN") == 0)
        return "not in the vocabulary";
    if (strcmp(name.kind, "BAR") == 0)
        follows =
            metres ? "END TIME_SIGNATURE TEMPO DURATION " : "END BAR TEMPO DURATION ";
    else if (strcmp(name.kind, "TIME_SIGNATURE") == 0)
        follows = "BAR ";
    else if (strcmp(name.kind, "POSITION") == 0)
        follows = metres ? "TIME_SIGNATURE TEMPO DURATION " : "BAR TEMPO DURATION ";
    else if (strcmp(name.kind, "TEMPO") == 0)
        follows = "POSITION ";
    else if (strcmp(name.kind, "PROGRAM") == 0)
        follows = "POSITION TEMPO DURATION ";
    else if (strcmp(name.kind, "VELOCITY") == 0)
        follows = "PITCH PITCH_DRUM ";
    else if (strcmp(name.kind, "DURATION") == 0)
        follows = "VELOCITY ";
    else if (strcmp(name.kind, "END") == 0)
        follows = "END DURATION ";
    if (follows && !remi_follows(encoding, tokens, i, follows))
        return "at the wrong place";
    if (strcmp(name.kind, "POSITION") == 0)
        return remi_position_fault(encoding, tokens, i, name.a);
    if (strcmp(name.kind, "TEMPO") == 0)
        return remi_latest(encoding, tokens, i, "TEMPO", "END", &found) &&
                       found.a == name.a
                   ? "TEMPO already in force"
                   : NULL;
    if (strcmp(name.kind, "PROGRAM") == 0 && remi_lacks_tempo(encoding, tokens, i))
        return "PROGRAM before the first TEMPO";
    if (strcmp(name.kind, "PROGRAM") == 0)
        return remi_latest_key(encoding, tokens, i) >= name.a * 128 + 127
                   ? "no pitch is left"
                   : NULL;
    if (strncmp(name.kind, "PITCH", 5) == 0)
        return remi_pitch_fault(encoding, tokens, i, name.kind[5] != '\0', name.a);
    return NULL;
}

/* The error in token i of any encoding; NULL if there is none. */
static inline const char *token_fault(const struct encoding *encoding,
                                      const token *tokens, size_t i)
{
    if (strcmp(encoding->name, "remi") == 0)
        return remi_fault(encoding, tokens, i);
    return strcmp(encoding->name, "performance") == 0
               ? performance_fault(encoding, tokens, i)
               : pianoroll_fault(encoding, tokens, i);
}

/* Returns "" if the sequence is well formed (and, if `whole`, is one piece closed by
 * END), else the first error. */
static inline const char *well_formed(const struct encoding *encoding,
                                      const token *tokens, size_t count, int whole)
{
    static char text[128];
    bool performance = strcmp(encoding->name, "performance") == 0;
    for (size_t i = 0; i < count; i++) {
        const char *fault = token_fault(encoding, tokens, i);
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
