/* remi_grammar: which tokens can follow in remi, and the time that they take. */
#include "remi.h"

#include <math.h>
#include <string.h>

enum { NONE = -1 };

static int index_of(const struct encoding *encoding, enum remi_kind kind, token value)
{
    return value - encoding->remi.first[kind];
}

static uint64_t position_time(const struct encoding *encoding,
                              const struct remi_state *state, int position)
{
    return state->bar +
           (uint64_t)position * remi_position_length(encoding, state->signature);
}

static double seconds_of(const struct remi_state *state, uint64_t steps)
{
    return (double)(steps * state->tempo) / (1e6 * REMI_QUARTER);
}

/* ---- the rules ---- */

/* True before the first TEMPO, which is at position 0. */
static bool needs_tempo(const struct encoding *encoding, const struct remi_state *state)
{
    return remi_has(encoding, REMI_TEMPO) && state->tempo_value == NONE;
}

/* True if a note, or its PROGRAM, can begin. */
static bool begins_note(const struct encoding *encoding, const struct remi_state *state)
{
    return (state->last == REMI_POSITION && !needs_tempo(encoding, state)) ||
           state->last == REMI_TEMPO || state->last == REMI_DURATION;
}

static bool allows_position(const struct encoding *encoding,
                            const struct remi_state *state, int position)
{
    bool begins = state->last == REMI_TIME_SIGNATURE || state->last == REMI_TEMPO ||
                  state->last == REMI_DURATION;
    if (position > 0 && needs_tempo(encoding, state))
        return false;
    return begins && position > state->position &&
           position_time(encoding, state, position) <
               state->bar + remi_bar_length(state->signature);
}

static bool allows_pitch(const struct encoding *encoding, const struct remi_state *state,
                         bool drum, int pitch)
{
    int program = drum ? REMI_DRUMS : 0;
    if (remi_has(encoding, REMI_PROGRAM)) {
        if (state->last != REMI_PROGRAM || (state->program == REMI_DRUMS) != drum)
            return false;
        program = state->program;
    } else if (!begins_note(encoding, state)) {
        return false;
    }
    return program * PITCHES + pitch >= state->next_key;
}

bool remi_allows(const struct encoding *encoding, const struct grammar *grammar,
                 enum remi_kind kind, token value)
{
    const struct remi_state *state = &grammar->remi;
    if (kind == REMI_KINDS)
        return false;
    int index = index_of(encoding, kind, value);
    switch (kind) {
    case REMI_BAR:
        return state->last == REMI_END || state->last == REMI_TIME_SIGNATURE ||
               state->last == REMI_TEMPO || state->last == REMI_DURATION;
    case REMI_TIME_SIGNATURE:
        return state->last == REMI_BAR;
    case REMI_POSITION:
        return allows_position(encoding, state, index);
    case REMI_TEMPO:
        return state->last == REMI_POSITION && state->tempo_value != index;
    case REMI_PROGRAM:
        return begins_note(encoding, state) && (index + 1) * PITCHES > state->next_key;
    case REMI_PITCH:
        return allows_pitch(encoding, state, false, index);
    case REMI_DRUM:
        return allows_pitch(encoding, state, true, index);
    case REMI_VELOCITY:
        return state->last == REMI_PITCH;
    case REMI_DURATION:
        return state->last == REMI_VELOCITY;
    default:
        return state->last == REMI_END || state->last == REMI_DURATION;
    }
}

void remi_grammar_allowed(const struct encoding *self, const struct grammar *grammar,
                          bool *allowed)
{
    for (enum remi_kind kind = 0; kind <= REMI_END; kind++) {
        int count = kind == REMI_END ? 1 : remi_count(self, kind);
        for (int i = 0; i < count; i++) {
            token value = (token)(self->remi.first[kind] + i);
            allowed[value] = remi_allows(self, grammar, kind, value);
        }
    }
}

void remi_grammar_end_long_notes(const struct encoding *self,
                                 const struct grammar *grammar, double longest,
                                 bool *allowed)
{
    const double epsilon = 1e-9;
    const struct remi_state *state = &grammar->remi;
    const token first = self->remi.first[REMI_DURATION];
    uint32_t position = remi_position_length(self, state->signature);
    for (int i = 1; i < remi_count(self, REMI_DURATION); i++) {
        uint64_t steps = (uint64_t)remi_duration(self, i) * position;
        if (seconds_of(state, steps) > longest + epsilon)
            allowed[first + i] = false;
    }
}

/* True if the token, which is of this kind, does not lead to what is not requested. */
static bool is_requested(const struct encoding *encoding,
                         const struct music_request *request, enum remi_kind kind,
                         int index)
{
    struct metre metre = request->metre;
    switch (kind) {
    case REMI_TIME_SIGNATURE:
        return metre.numerator == 0 ||
               index == remi_find_time_signature(metre.numerator, metre.denominator_log2);
    case REMI_TEMPO:
        return request->tempo == 0 || index == remi_nearest_tempo(request->tempo);
    case REMI_PROGRAM:
        return index == REMI_DRUMS ? request_has_drums(request)
                                   : request_has_program(encoding, request, index);
    case REMI_PITCH: /* the PROGRAM decides, where there is one */
        return remi_has(encoding, REMI_PROGRAM) ||
               request_has_program(encoding, request, 0);
    case REMI_DRUM:
        return request_has_drums(request);
    default:
        return true;
    }
}

void remi_grammar_restrict(const struct encoding *self, const struct grammar *grammar,
                           const struct music_request *request, bool *allowed)
{
    (void)grammar;
    for (token value = 0; value < self->end; value++) {
        enum remi_kind kind = remi_kind_of(self, value);
        allowed[value] = allowed[value] &&
                         is_requested(self, request, kind, index_of(self, kind, value));
    }
}

/* ---- the state ---- */

static void begin_piece(struct grammar *grammar)
{
    grammar->remi = (struct remi_state){.bar = grammar->time,
                                        .tempo_time = grammar->time,
                                        .tempo_seconds = grammar->seconds,
                                        .tempo = DEFAULT_TEMPO,
                                        .tempo_value = NONE,
                                        .position = NONE,
                                        .signature = REMI_COMMON_TIME,
                                        .last = REMI_END};
}

void remi_grammar_start(const struct encoding *self, struct grammar *grammar)
{
    (void)self;
    *grammar = (struct grammar){.last_key = NONE};
    begin_piece(grammar);
}

uint64_t remi_advance(const struct encoding *self, const struct grammar *grammar,
                      token value)
{
    const struct remi_state *state = &grammar->remi;
    enum remi_kind kind = remi_kind_of(self, value);
    if ((kind != REMI_BAR && kind != REMI_POSITION) ||
        !remi_allows(self, grammar, kind, value))
        return 0;
    uint64_t time =
        kind == REMI_POSITION
            ? position_time(self, state, index_of(self, kind, value))
            : state->bar +
                  (state->last == REMI_END ? 0 : remi_bar_length(state->signature));
    return time - grammar->time;
}

static void accept_tempo(struct grammar *grammar, int index)
{
    struct remi_state *state = &grammar->remi;
    state->tempo_time = grammar->time;
    state->tempo_seconds = grammar->seconds;
    state->tempo = remi_tempo(index);
    state->tempo_value = (int16_t)index;
}

static void advance_by(struct grammar *grammar, uint64_t steps)
{
    struct remi_state *state = &grammar->remi;
    grammar->time += steps;
    grammar->seconds =
        state->tempo_seconds + seconds_of(state, grammar->time - state->tempo_time);
    state->next_key = 0;
}

static void measure_bar(struct grammar *grammar)
{
    grammar->bar_steps = remi_bar_length(grammar->remi.signature);
    grammar->bar_end = grammar->remi.bar + grammar->bar_steps;
}

static void accept_bar(const struct encoding *self, struct grammar *grammar)
{
    struct remi_state *state = &grammar->remi;
    state->bar = grammar->time;
    state->position = NONE;
    state->last = remi_has(self, REMI_TIME_SIGNATURE) ? REMI_BAR : REMI_TIME_SIGNATURE;
    grammar->bars++;
    measure_bar(grammar);
}

static void accept_signature(struct grammar *grammar, int index)
{
    grammar->remi.signature = (uint8_t)index;
    measure_bar(grammar);
}

static void accept_pitch(const struct encoding *self, struct remi_state *state,
                         enum remi_kind kind, int pitch)
{
    int program = kind == REMI_DRUM ? REMI_DRUMS : 0;
    if (remi_has(self, REMI_PROGRAM))
        program = state->program;
    state->key = (uint16_t)(program * PITCHES + pitch);
    state->last = REMI_PITCH;
}

void remi_grammar_accept(const struct encoding *self, struct grammar *grammar,
                         token value)
{
    struct remi_state *state = &grammar->remi;
    enum remi_kind kind = remi_kind_of(self, value);
    if (kind == REMI_END)
        begin_piece(grammar);
    if (kind >= REMI_END || !remi_allows(self, grammar, kind, value))
        return;
    int index = index_of(self, kind, value);
    if (kind == REMI_BAR || kind == REMI_POSITION)
        advance_by(grammar, remi_advance(self, grammar, value));
    state->last = (uint8_t)kind;
    if (kind == REMI_BAR)
        accept_bar(self, grammar);
    else if (kind == REMI_POSITION)
        state->position = (int16_t)index;
    else if (kind == REMI_TIME_SIGNATURE)
        accept_signature(grammar, index);
    else if (kind == REMI_TEMPO)
        accept_tempo(grammar, index);
    else if (kind == REMI_PROGRAM)
        state->program = (uint8_t)index;
    else if (kind == REMI_PITCH || kind == REMI_DRUM)
        accept_pitch(self, state, kind, index);
    else if (kind == REMI_VELOCITY)
        state->velocity = (uint8_t)index;
    if (kind != REMI_DURATION)
        return;
    state->next_key = (uint16_t)(state->key + 1);
    grammar->onsets++;
}
