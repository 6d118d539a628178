/* performance_grammar: the state of a sequence, and the tokens that keep it well formed
 * (the rules are in performance.c). The sounding notes are in a table that is searched
 * from its beginning: few notes sound at a time. A note that finds the table full is
 * counted, but not remembered; the grammar does not allow it. */
#include <string.h>

#include "performance.h"

_Static_assert((int)GRAMMAR_NOTES >= (int)PITCHES,
               "one instrument never fills the table");

static uint16_t key_of(int program, int pitch)
{
    return (uint16_t)(program * PITCHES + pitch);
}

/* The note in the table; NULL if it does not sound. */
static struct grammar_note *find_note(struct grammar *grammar, uint16_t key)
{
    for (int i = 0; i < grammar->sounding_count; i++)
        if (grammar->notes[i].key == key)
            return &grammar->notes[i];
    return NULL;
}

/* ---- what is possible ---- */

/* True if a note of the program can begin: one of its pitches is silent. */
static bool can_begin(const struct grammar *grammar, int program)
{
    int sounding = 0;
    if (program == NO_PROGRAM || grammar->sounding_count == GRAMMAR_NOTES)
        return false;
    for (int i = 0; i < grammar->sounding_count; i++)
        sounding += grammar->notes[i].key / PITCHES == program;
    return sounding < PITCHES;
}

/* True if a note of the program can end: it has begun before this instant. */
static bool can_end(const struct grammar *grammar, int program)
{
    for (int i = 0; i < grammar->sounding_count; i++)
        if (grammar->notes[i].key / PITCHES == program && grammar->notes[i].earlier)
            return true;
    return false;
}

static bool is_hit(const struct grammar *grammar, int drum)
{
    return grammar->hit[drum / 64] >> drum % 64 & 1;
}

/* True if a drum can be hit. */
static bool can_hit(const struct encoding *self, const struct grammar *grammar)
{
    return self->keeps_drums && !grammar->program_pending &&
           (grammar->hit[0] & grammar->hit[1]) != UINT64_MAX;
}

/* True if a VELOCITY can apply to a note. */
static bool can_sound(const struct encoding *self, const struct grammar *grammar)
{
    return can_begin(grammar, grammar->program) || can_hit(self, grammar);
}

/* ---- the tokens allowed ---- */

void performance_grammar_start(const struct encoding *self, struct grammar *grammar)
{
    *grammar = (struct grammar){.last_key = -1,
                                .program = self->keeps_programs ? NO_PROGRAM : 0};
}

static void allow_notes(const struct grammar *grammar, bool *allowed)
{
    bool on = grammar->velocity && can_begin(grammar, grammar->program);
    for (int pitch = 0; pitch < PITCHES; pitch++) {
        allowed[NOTE_ON + pitch] = on;
        allowed[NOTE_OFF + pitch] = false;
    }
    for (int i = 0; i < grammar->sounding_count; i++) {
        const struct grammar_note *note = &grammar->notes[i];
        int pitch = note->key % PITCHES;
        if (note->key / PITCHES != grammar->program)
            continue;
        allowed[NOTE_ON + pitch] = false;
        allowed[NOTE_OFF + pitch] = note->earlier && !grammar->velocity_pending;
    }
}

void performance_grammar_allowed(const struct encoding *self,
                                 const struct grammar *grammar, bool *allowed)
{
    bool pending = grammar->velocity_pending || grammar->program_pending;
    allow_notes(grammar, allowed);
    for (int shift = 0; shift < SHIFT_MAX; shift++)
        allowed[TIME_SHIFT + shift] = !pending;
    bool change = !grammar->velocity_pending && can_sound(self, grammar);
    for (int bin = 0; bin < VELOCITY_BINS; bin++)
        allowed[VELOCITY + bin] = change && grammar->velocity != bin_velocity(bin);
    for (int i = 0; self->keeps_programs && i < MIDI_PROGRAMS; i++)
        allowed[PROGRAM + i] = !pending && i != grammar->program &&
                               (can_begin(grammar, i) || can_end(grammar, i));
    bool hit = grammar->velocity && can_hit(self, grammar);
    for (int drum = 0; self->keeps_drums && drum < PITCHES; drum++)
        allowed[first_drum(self) + drum] = hit && !is_hit(grammar, drum);
    allowed[self->end] = !pending && grammar->sounding_count == 0;
}

/* A note of another program is ended by PROGRAM, after which only NOTE_OFF is left. */
void performance_grammar_end_long_notes(const struct encoding *self,
                                        const struct grammar *grammar, double longest,
                                        bool *allowed)
{
    bool ends[PITCHES] = {false}, programs[MIDI_PROGRAMS] = {false}, any = false;
    for (int i = 0; i < grammar->sounding_count; i++) {
        const struct grammar_note *note = &grammar->notes[i];
        int pitch = note->key % PITCHES, program = note->key / PITCHES;
        bool here = program == grammar->program;
        if (!grammar_has_lasted(self, grammar, note->started, longest) ||
            !allowed[here ? NOTE_OFF + pitch : PROGRAM + program])
            continue;
        *(here ? &ends[pitch] : &programs[program]) = any = true;
    }
    for (int value = 0; value < (int)self->vocabulary && any; value++) {
        struct performance_event event = performance_event_of(self, (token)value);
        allowed[value] = (event.kind == EVENT_NOTE_OFF && ends[event.number]) ||
                         (event.kind == EVENT_PROGRAM && programs[event.number]);
    }
}

/* Whether notes can begin as requested: of the program in force, and percussion. */
struct requested_notes {
    bool melody, drums;
};

static bool is_requested(const struct encoding *self, const struct grammar *grammar,
                         const struct music_request *request,
                         struct requested_notes notes, struct performance_event event)
{
    switch (event.kind) {
    case EVENT_NOTE_ON:
        return notes.melody;
    case EVENT_DRUM:
        return notes.drums;
    case EVENT_VELOCITY: /* NOTE_ON or DRUM follows */
        return (notes.melody && can_begin(grammar, grammar->program)) ||
               (notes.drums && can_hit(self, grammar));
    case EVENT_PROGRAM:
        return request_has_program(self, request, event.number) ||
               can_end(grammar, event.number);
    default:
        return true;
    }
}

void performance_grammar_restrict(const struct encoding *self,
                                  const struct grammar *grammar,
                                  const struct music_request *request, bool *allowed)
{
    const struct requested_notes notes = {
        request_has_program(self, request, grammar->program), request_has_drums(request)};
    for (token value = 0; value < self->end; value++)
        if (allowed[value])
            allowed[value] = is_requested(self, grammar, request, notes,
                                          performance_event_of(self, value));
}

/* ---- the state ---- */

/* As by decode, notes before the first PROGRAM have program 0. */
static int program_in_force(const struct grammar *grammar)
{
    return grammar->program == NO_PROGRAM ? 0 : grammar->program;
}

static void accept_note_on(struct grammar *grammar, int pitch)
{
    uint16_t key = key_of(program_in_force(grammar), pitch);
    struct grammar_note *note = find_note(grammar, key);
    if (!note && grammar->sounding_count < GRAMMAR_NOTES)
        note = &grammar->notes[grammar->sounding_count++];
    if (note)
        *note = (struct grammar_note){.started = grammar->time, .key = key};
    grammar->onsets++;
    grammar->velocity_pending = false;
    grammar->program_pending = false;
}

static void accept_note_off(struct grammar *grammar, int pitch)
{
    uint16_t key = key_of(program_in_force(grammar), pitch);
    struct grammar_note *note = find_note(grammar, key);
    if (note)
        *note = grammar->notes[--grammar->sounding_count];
    grammar->program_pending = false;
}

static void accept_drum(struct grammar *grammar, int drum)
{
    grammar->hit[drum / 64] |= (uint64_t)1 << drum % 64;
    grammar->onsets++;
    grammar->velocity_pending = false;
}

static void accept_shift(struct grammar *grammar, int steps)
{
    grammar->time += (uint64_t)steps;
    grammar->seconds = (double)grammar->time / STEPS_PER_SECOND;
    for (int i = 0; i < grammar->sounding_count; i++)
        grammar->notes[i].earlier = true;
    memset(grammar->hit, 0, sizeof grammar->hit);
}

static void accept_program(struct grammar *grammar, int program)
{
    grammar->program = program;
    grammar->velocity_pending = grammar->velocity_pending && can_begin(grammar, program);
    grammar->program_pending = can_begin(grammar, program) || can_end(grammar, program);
}

static void accept_end(const struct encoding *self, struct grammar *grammar)
{
    const struct grammar ended = *grammar;
    performance_grammar_start(self, grammar);
    grammar->seconds = ended.seconds;
    grammar->time = ended.time;
    grammar->onsets = ended.onsets;
}

void performance_grammar_accept(const struct encoding *self, struct grammar *grammar,
                                token value)
{
    struct performance_event event = performance_event_of(self, value);
    switch (event.kind) {
    case EVENT_NOTE_ON:
        accept_note_on(grammar, event.number);
        break;
    case EVENT_NOTE_OFF:
        accept_note_off(grammar, event.number);
        break;
    case EVENT_TIME_SHIFT:
        accept_shift(grammar, event.number);
        break;
    case EVENT_VELOCITY:
        grammar->velocity = (uint8_t)bin_velocity(event.number);
        grammar->velocity_pending = can_sound(self, grammar);
        break;
    case EVENT_PROGRAM:
        accept_program(grammar, event.number);
        break;
    case EVENT_DRUM:
        accept_drum(grammar, event.number);
        break;
    case EVENT_END:
        accept_end(self, grammar);
        break;
    case EVENT_UNKNOWN:
        break;
    }
}
