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
 * The grammar forbids: NOTE_ON of a sounding pitch, or before the first VELOCITY;
 * NOTE_OFF of a silent pitch, or of one that began at the same instant; a VELOCITY that
 * is already in force, or while every pitch sounds; anything except NOTE_ON after a
 * VELOCITY; END while a note sounds.
 *
 * At most one note of a pitch sounds at a time, so the sounding notes are a set of
 * pitches with one end each. No queue is needed, and traversing the set by ascending
 * pitch yields the canonical order within a step. With several instruments, each note is
 * first ended where its own instrument plays the pitch again; the end of the pitch is
 * then the latest end of its notes.
 */
#include <stdio.h>
#include <string.h>

#include "onsets.h"

enum {
    NOTE_ON = 0,
    NOTE_OFF = 128,
    TIME_SHIFT = 256, /* by 1 */
    SHIFT_MAX = 100,
    VELOCITY = TIME_SHIFT + SHIFT_MAX,
    VELOCITY_BINS = 32,
    BIN_WIDTH = 4,
    END = VELOCITY + VELOCITY_BINS,
    VOCABULARY,
    STEPS_PER_SECOND = 100,
    NO_BIN = -1
};

#define NEVER UINT32_MAX

static int velocity_bin(unsigned velocity)
{
    return (int)(velocity - (velocity > 0)) / BIN_WIDTH;
}

static int bin_velocity(int bin)
{
    return bin * BIN_WIDTH + 2;
}

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
    (void)self;
    return !note->percussion;
}

static enum status quantise_notes(const struct encoding *self, const struct notes *notes,
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
        onsets->items[onsets->count++] =
            (struct onset){first, last > first ? last : first + 1, note->pitch & 127,
                           note->velocity, onset_instrument(note)};
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

static void emit(struct encoder *encoder, int value)
{
    *encoder->at++ = (token)value;
}

static void advance_to(struct encoder *encoder, uint32_t time)
{
    uint32_t gap = time - encoder->time;
    for (; gap >= SHIFT_MAX; gap -= SHIFT_MAX)
        emit(encoder, TIME_SHIFT + SHIFT_MAX - 1);
    if (gap)
        emit(encoder, TIME_SHIFT + (int)gap - 1);
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
    enum status status = quantise_notes(self, notes, &onsets);
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

/* ---- tokens -> notes ---- */

struct decoder {
    struct notes *out;
    uint64_t time; /* in steps */
    int velocity;
    bool sounding[PITCHES];
    uint64_t start[PITCHES];
    int onset_velocity[PITCHES];
};

static enum status end_note(struct decoder *decoder, int pitch)
{
    if (!decoder->sounding[pitch])
        return STATUS_OK;
    decoder->sounding[pitch] = false;
    return decoded_append(decoder->out, (double)decoder->start[pitch] / STEPS_PER_SECOND,
                          (double)decoder->time / STEPS_PER_SECOND, pitch,
                          decoder->onset_velocity[pitch]);
}

static enum status begin_note(struct decoder *decoder, int pitch)
{
    enum status status = end_note(decoder, pitch);
    decoder->sounding[pitch] = true;
    decoder->start[pitch] = decoder->time;
    decoder->onset_velocity[pitch] = decoder->velocity;
    return status;
}

static enum status decode_event(struct decoder *decoder, token value)
{
    if (value < NOTE_OFF)
        return begin_note(decoder, value - NOTE_ON);
    if (value < TIME_SHIFT)
        return end_note(decoder, value - NOTE_OFF);
    if (value < VELOCITY)
        decoder->time += (uint64_t)(value - TIME_SHIFT + 1);
    else if (value < END)
        decoder->velocity = bin_velocity(value - VELOCITY);
    return STATUS_OK;
}

/* Only the velocity remains in force. */
static void forget_notes(struct decoder *decoder, size_t count_before)
{
    decoder->time = 0;
    memset(decoder->sounding, 0, sizeof decoder->sounding);
    decoder->out->count = count_before;
}

static enum status performance_decode(const struct encoding *self, const token *tokens,
                                      size_t count, size_t skip, struct notes *out)
{
    (void)self;
    struct decoder decoder = {.out = out, .velocity = ENCODING_VELOCITY};
    enum status status = STATUS_OK;
    size_t count_before = out->count;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        if (i == skip)
            forget_notes(&decoder, count_before);
        status = decode_event(&decoder, tokens[i]);
    }
    if (skip >= count)
        forget_notes(&decoder, count_before);
    for (int pitch = 0; pitch < PITCHES && status == STATUS_OK; pitch++)
        status = end_note(&decoder, pitch);
    decoded_finish(out);
    return status;
}

/* ---- tokens ---- */

static const char *performance_token_name(const struct encoding *self, token value,
                                          char *text, size_t size)
{
    (void)self;
    if (value < NOTE_OFF)
        snprintf(text, size, "NOTE_ON %d", value - NOTE_ON);
    else if (value < TIME_SHIFT)
        snprintf(text, size, "NOTE_OFF %d", value - NOTE_OFF);
    else if (value < VELOCITY)
        snprintf(text, size, "TIME_SHIFT %d", value - TIME_SHIFT + 1);
    else if (value < END)
        snprintf(text, size, "VELOCITY %d", value - VELOCITY);
    else if (value == END)
        snprintf(text, size, "END");
    else
        snprintf(text, size, "UNKNOWN %d", value);
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
    (void)self;
    return value < NOTE_OFF;
}

static token performance_transpose(const struct encoding *self, token value,
                                   int semitones)
{
    (void)self;
    if (value >= TIME_SHIFT)
        return value;
    int pitch = value % PITCHES + semitones;
    return pitch < 0 || pitch >= PITCHES ? END : (token)(value + semitones);
}

static token performance_shift_velocity(const struct encoding *self, token value,
                                        int bins)
{
    (void)self;
    if (value < VELOCITY || value >= END)
        return value;
    int bin = value - VELOCITY + bins;
    return bin < 0 || bin >= VELOCITY_BINS ? END : (token)(VELOCITY + bin);
}

static token performance_longest_shift(const struct encoding *self, uint64_t steps)
{
    (void)self;
    return (token)(TIME_SHIFT + (steps < SHIFT_MAX ? steps : SHIFT_MAX) - 1);
}

static int performance_token_pitch(const struct encoding *self, token value)
{
    (void)self;
    return value < NOTE_OFF ? value - NOTE_ON : -1;
}

/* ---- grammar ---- */

static void performance_grammar_start(const struct encoding *self,
                                      struct grammar *grammar)
{
    (void)self;
    *grammar = (struct grammar){.last_key = -1};
}

static void performance_grammar_allowed(const struct encoding *self,
                                        const struct grammar *grammar, bool *allowed)
{
    (void)self;
    bool pending = grammar->velocity_pending;
    for (int pitch = 0; pitch < PITCHES; pitch++) {
        bool sounding = grammar->sounding[pitch];
        allowed[NOTE_ON + pitch] = !sounding && grammar->velocity;
        allowed[NOTE_OFF + pitch] =
            sounding && grammar->sounding_before[pitch] && !pending;
    }
    for (int shift = 0; shift < SHIFT_MAX; shift++)
        allowed[TIME_SHIFT + shift] = !pending;
    bool free_pitch = grammar->sounding_count < PITCHES;
    for (int bin = 0; bin < VELOCITY_BINS; bin++)
        allowed[VELOCITY + bin] =
            !pending && free_pitch && grammar->velocity != bin_velocity(bin);
    allowed[END] = !pending && grammar->sounding_count == 0;
}

static void performance_grammar_end_long_notes(const struct encoding *self,
                                               const struct grammar *grammar,
                                               double longest, bool *allowed)
{
    bool ends[PITCHES], any = false;
    for (int pitch = 0; pitch < PITCHES; pitch++) {
        ends[pitch] = allowed[NOTE_OFF + pitch] &&
                      grammar_has_sounded(self, grammar, pitch, longest);
        any |= ends[pitch];
    }
    for (int value = 0; value < VOCABULARY && any; value++)
        allowed[value] =
            value >= NOTE_OFF && value < TIME_SHIFT && ends[value - NOTE_OFF];
}

static void accept_note(struct grammar *grammar, int pitch, bool on)
{
    grammar->started[pitch] = grammar->time;
    grammar->sounding_count += (int)on - (int)grammar->sounding[pitch];
    grammar->sounding[pitch] = on;
    grammar->sounding_before[pitch] = false;
    grammar->onsets += on;
    grammar->velocity_pending = grammar->velocity_pending && !on;
}

static void accept_end(struct grammar *grammar)
{
    struct grammar initial = {.seconds = grammar->seconds,
                              .time = grammar->time,
                              .onsets = grammar->onsets,
                              .last_key = -1};
    *grammar = initial;
}

static void performance_grammar_accept(const struct encoding *self,
                                       struct grammar *grammar, token value)
{
    (void)self;
    if (value < NOTE_OFF) {
        accept_note(grammar, value - NOTE_ON, true);
    } else if (value < TIME_SHIFT) {
        accept_note(grammar, value - NOTE_OFF, false);
    } else if (value < VELOCITY) {
        grammar->time += (uint64_t)(value - TIME_SHIFT + 1);
        grammar->seconds = (double)grammar->time / STEPS_PER_SECOND;
        memcpy(grammar->sounding_before, grammar->sounding,
               sizeof grammar->sounding_before);
    } else if (value < END) {
        grammar->velocity = (uint8_t)bin_velocity(value - VELOCITY);
        grammar->velocity_pending = grammar->sounding_count < PITCHES;
    } else if (value == END) {
        accept_end(grammar);
    }
}

static enum status performance_configure(struct encoding *self,
                                         const struct options *options)
{
    return encoding_refuse_instruments(self, options);
}

const struct encoding encoding_performance = {
    .name = "performance",
    .vocabulary = VOCABULARY,
    .end = END,
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
    .transpose = performance_transpose,
    .shift_velocity = performance_shift_velocity,
    .longest_shift = performance_longest_shift,
    .grammar_start = performance_grammar_start,
    .grammar_allowed = performance_grammar_allowed,
    .grammar_end_long_notes = performance_grammar_end_long_notes,
    .grammar_accept = performance_grammar_accept,
};
