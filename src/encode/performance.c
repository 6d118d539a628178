/* performance: the 388 events of Performance RNN (Simon and Oore, 2017; Oore et al.,
 * "This time with feeling", 2018, use 413, with 8 ms shifts): NOTE_ON 0-127, NOTE_OFF
 * 128-255, TIME_SHIFT 256-355 (1-100 x 10 ms), VELOCITY 356-387 (bin (v-1)/4, only on
 * change, before NOTE_ON); END 388.
 *
 * Steps are 10 ms. An instrument is a channel of a port, in any track. A note that is
 * still sounding when its instrument plays the pitch again ends there. Then notes of the
 * same pitch, of any instrument, that begin in the same step are merged, with the largest
 * velocity. The merged note sounds until the latest end of all notes of that pitch that
 * sound in its first step, including those that began earlier, or until any instrument
 * plays the pitch again: if other instruments repeat the pitch of a long note, the last
 * repetition lasts until the long note's end.
 *
 * Velocity v becomes 4 * ((v - 1) / 4) + 2, the middle of its bin. Within a step
 * NOTE_OFFs precede NOTE_ONs, each by ascending pitch. A long pause becomes as many
 * TIME_SHIFT 100 as fit, then the remainder. The piece ends with its last NOTE_OFF.
 *
 * data.programs = keep adds PROGRAM 388-515, data.drums = keep adds the next 128, DRUM;
 * END follows. The rules above then hold for the notes of each program, whatever their
 * channels; with data.programs = merge all melody is one program. PROGRAM comes only on
 * change, before VELOCITY, and applies to NOTE_ON and NOTE_OFF. Within a step the programs
 * follow each other by ascending number, cyclically from the one in force (on 55 pieces
 * of rock music, 11 % fewer tokens than with all NOTE_OFFs first). All kits of percussion
 * are one instrument, the last in that order. A DRUM is a hit of one pitch: it has no
 * NOTE_OFF, since a drum does not sound longer when it is held, and hits are a third of
 * the notes. It is decoded with 100 ms, or less if the drum is hit again. VELOCITY is in
 * force for all instruments.
 *
 * The grammar forbids: NOTE_ON of a sounding pitch, or before the first VELOCITY or
 * PROGRAM; NOTE_OFF of a silent pitch, or of one that began at the same instant; DRUM of
 * a pitch that was hit at the same instant, or before the first VELOCITY; a VELOCITY or
 * PROGRAM that is already in force, or after which no note can begin (or end, for
 * PROGRAM); anything except NOTE_ON and DRUM after a VELOCITY, and except VELOCITY,
 * NOTE_ON and NOTE_OFF after a PROGRAM; END while a note sounds. Where more than
 * GRAMMAR_NOTES notes of several programs would sound, NOTE_ON is forbidden; encoded
 * pieces may have them.
 *
 * At most one note of a pitch sounds at a time, so the sounding notes of an instrument
 * are a set of pitches with one end each. Without PROGRAM and DRUM no queue is needed:
 * traversing the set by ascending pitch yields the canonical order within a step. With
 * several channels, each note is first ended where its own channel plays the pitch again;
 * the end of the pitch is then the latest end of its notes.
 */
#include "performance.h"

#include <stdio.h>

/* ---- notes -> tokens ---- */

struct encoder {
    token *at;         /* the next token to write */
    uint32_t time;     /* in steps */
    uint32_t next_end; /* earliest end of the sounding notes; NEVER: none */
    int bin;           /* velocity in force */
    bool multi_instrument;
    struct pitch_set sounding, starting;
    uint32_t end[PITCHES];          /* of the sounding notes */
    uint32_t starting_end[PITCHES]; /* of the notes that begin in this step */
    uint8_t starting_velocity[PITCHES];
};

/* The nearest step, halves rounded up; seconds >= 0, and far below 2^63 steps. */
static uint32_t nearest_step(double seconds)
{
    return (uint32_t)(int64_t)(seconds * STEPS_PER_SECOND + 0.5);
}

static bool performance_encodes_note(const struct encoding *self, const struct note *note)
{
    return self->keeps_drums || !note->percussion;
}

static uint8_t instrument_of(const struct encoding *self, const struct note *note)
{
    if (note->percussion)
        return PERCUSSION;
    return self->keeps_programs ? note->program & (MIDI_PROGRAMS - 1) : 0;
}

enum status performance_quantise(const struct encoding *self, const struct notes *notes,
                                 struct onsets *onsets)
{
    const double longest = (double)ENCODING_TOKENS_MAX * SHIFT_MAX / STEPS_PER_SECOND;
    enum status status = onsets_allocate(onsets, notes->count);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (!performance_encodes_note(self, note))
            continue;
        double end = note->start + note->duration;
        if (!(end < longest))
            return encoding_fail_too_long(self, notes);
        uint32_t first = nearest_step(note->start), last = nearest_step(end);
        onsets->items[onsets->count++] = (struct onset){
            first,          last > first ? last : first + 1, note->pitch & 127,
            note->velocity, onset_instrument(note),          instrument_of(self, note)};
    }
    onsets_normalise(onsets);
    return STATUS_OK;
}

/* The earliest possible end of a pitch that begins: it sounds at least while another
 * instrument holds it. (A single instrument does not hold it, because its previous note
 * ends.) */
static uint32_t held_until(const struct encoder *encoder, unsigned pitch)
{
    bool held = encoder->multi_instrument && pitch_set_has(&encoder->sounding, pitch);
    return held ? encoder->end[pitch] : 0;
}

/* Collects the onsets of step `time`, which begin at items[next]; returns the index after
 * the last. */
static size_t collect_onsets(struct encoder *encoder, const struct onsets *onsets,
                             size_t next, uint32_t time)
{
    for (; next < onsets->count && onsets->items[next].start == time; next++) {
        const struct onset *onset = &onsets->items[next];
        unsigned pitch = onset->pitch;
        bool merged = pitch_set_has(&encoder->starting, pitch);
        uint32_t end = merged ? encoder->starting_end[pitch] : held_until(encoder, pitch);
        encoder->starting_end[pitch] = end > onset->end ? end : onset->end;
        if (!merged || encoder->starting_velocity[pitch] < onset->velocity)
            encoder->starting_velocity[pitch] = onset->velocity;
        pitch_set_add(&encoder->starting, pitch);
    }
    return next;
}

static void advance_to(struct encoder *encoder, uint32_t time)
{
    encoder->at = performance_write_shifts(encoder->at, time - encoder->time);
    encoder->time = time;
}

/* Whether a note ends is unpredictable, so the loop avoids the branch: a NOTE_OFF is
 * always written, but counted only if the note ends. There is space for it, because the
 * note's own NOTE_OFF has not been written yet. */
static void end_notes(struct encoder *encoder)
{
    if (encoder->next_end > encoder->time &&
        !pitch_sets_intersect(&encoder->sounding, &encoder->starting))
        return;
    token *at = encoder->at;
    uint32_t next_end = NEVER;
    for (unsigned word = 0; word < PITCH_WORDS; word++) {
        uint64_t remaining = encoder->sounding.words[word];
        uint64_t starting = encoder->starting.words[word], ended = 0;
        for (uint64_t bit; remaining; remaining -= bit) {
            bit = remaining & -remaining;
            unsigned pitch = word * 64 + (unsigned)__builtin_ctzll(remaining);
            bool ends = encoder->end[pitch] <= encoder->time || starting & bit;
            *at = (token)(NOTE_OFF + pitch);
            at += ends;
            ended |= ends ? bit : 0;
            uint32_t end = ends ? NEVER : encoder->end[pitch];
            next_end = end < next_end ? end : next_end;
        }
        encoder->sounding.words[word] &= ~ended;
    }
    encoder->at = at;
    encoder->next_end = next_end;
}

static void begin_notes(struct encoder *encoder)
{
    token *at = encoder->at;
    uint32_t next_end = encoder->next_end;
    int bin = encoder->bin;
    uint64_t low = encoder->starting.words[0], high = encoder->starting.words[1];
    encoder->sounding.words[0] |= low;
    encoder->sounding.words[1] |= high;
    encoder->starting = (struct pitch_set){{0}};
    while (low | high) { /* usually one: a loop for each word would be mispredicted */
        unsigned upper = low == 0;
        unsigned pitch = upper * 64 + (unsigned)__builtin_ctzll(upper ? high : low);
        high = upper ? high & (high - 1) : high;
        low = low & (low - 1);
        int previous_bin = bin;
        bin = velocity_bin(encoder->starting_velocity[pitch]);
        *at = (token)(VELOCITY + bin);
        at += bin != previous_bin;
        *at++ = (token)(NOTE_ON + pitch);
        uint32_t end = encoder->end[pitch] = encoder->starting_end[pitch];
        next_end = end < next_end ? end : next_end;
    }
    encoder->at = at;
    encoder->next_end = next_end;
    encoder->bin = bin;
}

/* Reserves an upper bound on the tokens: NOTE_ON, NOTE_OFF and VELOCITY for each onset, a
 * shift of less than SHIFT_MAX before its start and its end, and the shifts by
 * SHIFT_MAX. */
static enum status reserve_tokens(const struct onsets *onsets, struct tokens *out)
{
    uint32_t last = 0;
    for (size_t i = 0; i < onsets->count; i++)
        last = onsets->items[i].end > last ? onsets->items[i].end : last;
    return tokens_reserve(out, 5 * onsets->count + last / SHIFT_MAX);
}

static void write_events(const struct onsets *onsets, bool multi_instrument,
                         struct tokens *out)
{
    struct encoder encoder = {.at = out->items + out->count,
                              .next_end = NEVER,
                              .bin = NO_BIN,
                              .multi_instrument = multi_instrument};
    size_t next = 0;
    while (next < onsets->count || encoder.next_end != NEVER) {
        uint32_t onset = next < onsets->count ? onsets->items[next].start : NEVER;
        advance_to(&encoder, onset < encoder.next_end ? onset : encoder.next_end);
        next = collect_onsets(&encoder, onsets, next, encoder.time);
        end_notes(&encoder);
        begin_notes(&encoder);
    }
    out->count = (size_t)(encoder.at - out->items);
}

static enum status performance_encode(const struct encoding *self,
                                      const struct notes *notes, struct tokens *out)
{
    size_t count_before = out->count;
    struct onsets onsets = {0};
    enum status status = performance_quantise(self, notes, &onsets);
    bool multi_instrument = onsets_are_multi_instrument(&onsets);
    if (status == STATUS_OK && multi_instrument)
        status = onsets_truncate(&onsets);
    if (status == STATUS_OK)
        status = reserve_tokens(&onsets, out);
    if (status == STATUS_OK && onsets.count > 0)
        write_events(&onsets, multi_instrument, out);
    if (status == STATUS_OK && out->count - count_before > ENCODING_TOKENS_MAX)
        status = encoding_fail_too_long(self, notes);
    if (status != STATUS_OK)
        out->count = count_before;
    onsets_free(&onsets);
    return status;
}

/* ---- tokens ---- */

struct performance_event performance_event_of(const struct encoding *self, token value)
{
    if (value < NOTE_OFF)
        return (struct performance_event){EVENT_NOTE_ON, value - NOTE_ON};
    if (value < TIME_SHIFT)
        return (struct performance_event){EVENT_NOTE_OFF, value - NOTE_OFF};
    if (value < VELOCITY)
        return (struct performance_event){EVENT_TIME_SHIFT, value - TIME_SHIFT + 1};
    if (value < PLAIN_TOKENS)
        return (struct performance_event){EVENT_VELOCITY, value - VELOCITY};
    if (value == self->end)
        return (struct performance_event){EVENT_END, 0};
    if (value > self->end)
        return (struct performance_event){EVENT_UNKNOWN, value};
    if (value < first_drum(self))
        return (struct performance_event){EVENT_PROGRAM, value - PROGRAM};
    return (struct performance_event){EVENT_DRUM, value - first_drum(self)};
}

static const char *performance_token_name(const struct encoding *self, token value,
                                          char *text, size_t size)
{
    static const char *const names[] = {[EVENT_NOTE_ON] = "NOTE_ON",
                                        [EVENT_NOTE_OFF] = "NOTE_OFF",
                                        [EVENT_TIME_SHIFT] = "TIME_SHIFT",
                                        [EVENT_VELOCITY] = "VELOCITY",
                                        [EVENT_PROGRAM] = "PROGRAM",
                                        [EVENT_DRUM] = "DRUM",
                                        [EVENT_END] = "END",
                                        [EVENT_UNKNOWN] = "UNKNOWN"};
    struct performance_event event = performance_event_of(self, value);
    if (event.kind == EVENT_END)
        snprintf(text, size, "%s", names[event.kind]);
    else
        snprintf(text, size, "%s %d", names[event.kind], event.number);
    return text;
}

static uint64_t performance_advance(const struct encoding *self,
                                    const struct grammar *grammar, token value)
{
    (void)self;
    (void)grammar;
    return value < TIME_SHIFT || value >= VELOCITY ? 0
                                                   : (uint64_t)(value - TIME_SHIFT + 1);
}

static bool performance_token_sounds(const struct encoding *self, token value)
{
    return value < NOTE_OFF || is_drum(self, value);
}

static int performance_token_pitch(const struct encoding *self, token value)
{
    (void)self;
    return value < NOTE_OFF ? value - NOTE_ON : -1;
}

static size_t performance_count_notes(const struct encoding *self, const token *tokens,
                                      size_t count)
{
    size_t notes = 0;
    for (size_t i = 0; i < count; i++)
        notes += performance_token_sounds(self, tokens[i]);
    return notes;
}

static token performance_transpose(const struct encoding *self, token value,
                                   int semitones)
{
    if (value >= TIME_SHIFT)
        return value;
    int pitch = value % PITCHES + semitones;
    return pitch < 0 || pitch >= PITCHES ? self->end : (token)(value + semitones);
}

static token performance_shift_velocity(const struct encoding *self, token value,
                                        int bins)
{
    if (value < VELOCITY || value >= PLAIN_TOKENS)
        return value;
    int bin = value - VELOCITY + bins;
    return bin < 0 || bin >= VELOCITY_BINS ? self->end : (token)(VELOCITY + bin);
}

static token performance_longest_shift(const struct encoding *self, uint64_t steps)
{
    (void)self;
    return (token)(TIME_SHIFT + (steps < SHIFT_MAX ? steps : SHIFT_MAX) - 1);
}

static enum status performance_configure(struct encoding *self,
                                         const struct options *options)
{
    (void)options;
    if (self->keeps_programs || self->keeps_drums)
        self->encode = performance_encode_instruments;
    self->end = (token)(first_drum(self) + (self->keeps_drums ? PITCHES : 0));
    self->vocabulary = (size_t)self->end + 1;
    return STATUS_OK;
}

const struct encoding encoding_performance = {
    .name = "performance",
    .seconds_per_grid_step = 1.0 / STEPS_PER_SECOND,
    .tokens_per_grid_step = 10,
    .configure = performance_configure,
    .encodes_note = performance_encodes_note,
    .encode = performance_encode,
    .decode = performance_decode,
    .token_name = performance_token_name,
    .advance = performance_advance,
    .token_sounds = performance_token_sounds,
    .token_pitch = performance_token_pitch,
    .count_notes = performance_count_notes,
    .transpose = performance_transpose,
    .shift_velocity = performance_shift_velocity,
    .longest_shift = performance_longest_shift,
    .grammar_start = performance_grammar_start,
    .grammar_allowed = performance_grammar_allowed,
    .grammar_end_long_notes = performance_grammar_end_long_notes,
    .grammar_restrict = performance_grammar_restrict,
    .grammar_accept = performance_grammar_accept,
};
