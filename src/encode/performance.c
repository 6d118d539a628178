/* performance: the 388 events of Performance RNN.
 *
 * At most one note of a pitch sounds at a time, so the notes waiting for their end are a
 * set of pitches with one end each: there is no queue, and taking the set from the lowest
 * pitch up gives the canonical order within a step for nothing. Where several instruments
 * play, each note is first ended where its own instrument strikes the pitch again; the
 * latest end of all is then the pitch's.
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

struct performer {
    token *at; /* where the next token goes */
    uint32_t now;
    uint32_t next_end; /* of the sounding; NEVER: none sounds */
    int bin;           /* in force */
    bool layered;      /* there are several instruments */
    struct pitch_set sounding, striking;
    uint32_t end[PITCHES];        /* of the sounding */
    uint32_t strike_end[PITCHES]; /* of those about to sound */
    uint8_t strike_velocity[PITCHES];
};

/* The nearest step, halves up; seconds are not negative, and far below 2^63 steps. */
static uint32_t nearest_step(double seconds)
{
    return (uint32_t)(int64_t)(seconds * STEPS_PER_SECOND + 0.5);
}

static bool performance_keeps(const struct encoding *self, const struct note *note)
{
    (void)self;
    return !note->percussion;
}

static enum status make_onsets(const struct encoding *self, const struct notes *notes,
                               struct onsets *onsets)
{
    const double longest = (double)ENCODING_TOKENS_MAX * SHIFT_MAX / STEPS_PER_SECOND;
    enum status status = onsets_allocate(onsets, notes->count);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (!performance_keeps(self, note))
            continue;
        double end = note->start + note->duration;
        if (!(end < longest))
            return encoding_too_long(self, notes);
        uint32_t first = nearest_step(note->start), last = nearest_step(end);
        onsets->items[onsets->count++] =
            (struct onset){first, last > first ? last : first + 1, note->pitch & 127,
                           note->velocity, onset_line(note)};
    }
    onsets_settle(onsets);
    return STATUS_OK;
}

/* Until when a pitch that is struck sounds at least: as long as another instrument holds
 * it. (With one instrument it does not hold: the note before ends.) */
static uint32_t held_until(const struct performer *performer, unsigned pitch)
{
    bool held = performer->layered && pitch_set_has(&performer->sounding, pitch);
    return held ? performer->end[pitch] : 0;
}

/* Takes the onsets of step `time` from items[next] on; returns the first behind them. */
static size_t gather(struct performer *performer, const struct onsets *onsets,
                     size_t next, uint32_t time)
{
    for (; next < onsets->count && onsets->items[next].start == time; next++) {
        const struct onset *onset = &onsets->items[next];
        unsigned pitch = onset->pitch;
        bool merged = pitch_set_has(&performer->striking, pitch);
        uint32_t end =
            merged ? performer->strike_end[pitch] : held_until(performer, pitch);
        performer->strike_end[pitch] = end > onset->end ? end : onset->end;
        if (!merged || performer->strike_velocity[pitch] < onset->velocity)
            performer->strike_velocity[pitch] = onset->velocity;
        pitch_set_add(&performer->striking, pitch);
    }
    return next;
}

static void put(struct performer *performer, int value)
{
    *performer->at++ = (token)value;
}

static void move_to(struct performer *performer, uint32_t time)
{
    uint32_t gap = time - performer->now;
    for (; gap >= SHIFT_MAX; gap -= SHIFT_MAX)
        put(performer, TIME_SHIFT + SHIFT_MAX - 1);
    if (gap)
        put(performer, TIME_SHIFT + (int)gap - 1);
    performer->now = time;
}

/* Whether a note ends or goes on is nothing that a processor could foresee, so both are
 * done alike: a token is put and counted only if it is one. There is room for it, as the
 * note's own end is still to come. */
static void end_notes(struct performer *performer)
{
    if (performer->next_end > performer->now &&
        !pitch_sets_meet(&performer->sounding, &performer->striking))
        return;
    token *at = performer->at;
    uint32_t next_end = NEVER;
    for (unsigned word = 0; word < PITCH_WORDS; word++) {
        uint64_t left = performer->sounding.words[word];
        uint64_t struck = performer->striking.words[word], ended = 0;
        for (uint64_t bit; left; left -= bit) {
            bit = left & -left;
            unsigned pitch = word * 64 + (unsigned)__builtin_ctzll(left);
            bool ends = performer->end[pitch] <= performer->now || struck & bit;
            *at = (token)(NOTE_OFF + pitch);
            at += ends;
            ended |= ends ? bit : 0;
            uint32_t end = ends ? NEVER : performer->end[pitch];
            next_end = end < next_end ? end : next_end;
        }
        performer->sounding.words[word] &= ~ended;
    }
    performer->at = at;
    performer->next_end = next_end;
}

static void begin_notes(struct performer *performer)
{
    token *at = performer->at;
    uint32_t next_end = performer->next_end;
    int bin = performer->bin;
    for (unsigned word = 0; word < PITCH_WORDS; word++) {
        uint64_t left = performer->striking.words[word];
        performer->sounding.words[word] |= left;
        performer->striking.words[word] = 0;
        for (; left; left &= left - 1) {
            unsigned pitch = word * 64 + (unsigned)__builtin_ctzll(left);
            int before = bin;
            bin = velocity_bin(performer->strike_velocity[pitch]);
            *at = (token)(VELOCITY + bin);
            at += bin != before;
            *at++ = (token)(NOTE_ON + pitch);
            uint32_t end = performer->end[pitch] = performer->strike_end[pitch];
            next_end = end < next_end ? end : next_end;
        }
    }
    performer->at = at;
    performer->next_end = next_end;
    performer->bin = bin;
}

/* Room for the most that the onsets can take: each an on, an off and a velocity, and two
 * steps with a shift below SHIFT_MAX in front; and the shifts by SHIFT_MAX. */
static enum status reserve(const struct onsets *onsets, struct tokens *out)
{
    uint32_t last = 0;
    for (size_t i = 0; i < onsets->count; i++)
        last = onsets->items[i].end > last ? onsets->items[i].end : last;
    return tokens_reserve(out, 5 * onsets->count + last / SHIFT_MAX);
}

static void perform(const struct onsets *onsets, bool layered, struct tokens *out)
{
    struct performer performer = {.at = out->items + out->count,
                                  .next_end = NEVER,
                                  .bin = NO_BIN,
                                  .layered = layered};
    size_t next = 0;
    while (next < onsets->count || performer.next_end != NEVER) {
        uint32_t onset = next < onsets->count ? onsets->items[next].start : NEVER;
        move_to(&performer, onset < performer.next_end ? onset : performer.next_end);
        next = gather(&performer, onsets, next, performer.now);
        end_notes(&performer);
        begin_notes(&performer);
    }
    out->count = (size_t)(performer.at - out->items);
}

static enum status performance_encode(const struct encoding *self,
                                      const struct notes *notes, struct tokens *out)
{
    size_t count_before = out->count;
    struct onsets onsets = {0};
    enum status status = make_onsets(self, notes, &onsets);
    bool layered = onsets_layered(&onsets);
    if (status == STATUS_OK && layered)
        status = onsets_cut(&onsets);
    if (status == STATUS_OK)
        status = reserve(&onsets, out);
    if (status == STATUS_OK && onsets.count > 0)
        perform(&onsets, layered, out);
    if (status == STATUS_OK && out->count - count_before > ENCODING_TOKENS_MAX)
        status = encoding_too_long(self, notes);
    if (status != STATUS_OK)
        out->count = count_before;
    onsets_free(&onsets);
    return status;
}

/* ---- tokens -> notes ---- */

struct listener {
    struct notes *out;
    uint64_t now;
    int velocity;
    bool sounding[PITCHES];
    uint64_t began[PITCHES];
    int struck[PITCHES]; /* velocity */
};

static enum status end_note(struct listener *listener, int pitch)
{
    if (!listener->sounding[pitch])
        return STATUS_OK;
    listener->sounding[pitch] = false;
    return decoded_note(listener->out, (double)listener->began[pitch] / STEPS_PER_SECOND,
                        (double)listener->now / STEPS_PER_SECOND, pitch,
                        listener->struck[pitch]);
}

static enum status begin_note(struct listener *listener, int pitch)
{
    enum status status = end_note(listener, pitch);
    listener->sounding[pitch] = true;
    listener->began[pitch] = listener->now;
    listener->struck[pitch] = listener->velocity;
    return status;
}

static enum status hear(struct listener *listener, token value)
{
    if (value < NOTE_OFF)
        return begin_note(listener, value - NOTE_ON);
    if (value < TIME_SHIFT)
        return end_note(listener, value - NOTE_OFF);
    if (value < VELOCITY)
        listener->now += (uint64_t)(value - TIME_SHIFT + 1);
    else if (value < END)
        listener->velocity = bin_velocity(value - VELOCITY);
    return STATUS_OK;
}

static enum status performance_decode(const struct encoding *self, const token *tokens,
                                      size_t count, struct notes *out)
{
    (void)self;
    struct listener listener = {.out = out, .velocity = ENCODING_VELOCITY};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = hear(&listener, tokens[i]);
    for (int pitch = 0; pitch < PITCHES && status == STATUS_OK; pitch++)
        status = end_note(&listener, pitch);
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

static double performance_token_seconds(const struct encoding *self, token value)
{
    (void)self;
    if (value < TIME_SHIFT || value >= VELOCITY)
        return 0;
    return (double)(value - TIME_SHIFT + 1) / STEPS_PER_SECOND;
}

static bool performance_token_sounds(const struct encoding *self, token value)
{
    (void)self;
    return value < NOTE_OFF;
}

/* ---- grammar ---- */

static void performance_grammar_start(const struct encoding *self,
                                      struct grammar *grammar)
{
    (void)self;
    *grammar = (struct grammar){.last_pitch = -1};
}

static void performance_grammar_allowed(const struct encoding *self,
                                        const struct grammar *grammar, bool *allowed)
{
    (void)self;
    bool pending = grammar->velocity_pending;
    for (int pitch = 0; pitch < PITCHES; pitch++) {
        bool sounding = grammar->sounding[pitch];
        allowed[NOTE_ON + pitch] = !sounding && grammar->velocity;
        allowed[NOTE_OFF + pitch] = sounding && grammar->before[pitch] && !pending;
    }
    for (int shift = 0; shift < SHIFT_MAX; shift++)
        allowed[TIME_SHIFT + shift] = !pending;
    bool room = grammar->sounding_count < PITCHES;
    for (int bin = 0; bin < VELOCITY_BINS; bin++)
        allowed[VELOCITY + bin] =
            !pending && room && grammar->velocity != bin_velocity(bin);
    allowed[END] = !pending && grammar->sounding_count == 0;
}

static void accept_note(struct grammar *grammar, int pitch, bool on)
{
    grammar->sounding_count += (int)on - (int)grammar->sounding[pitch];
    grammar->sounding[pitch] = on;
    grammar->before[pitch] = false;
    grammar->onsets += on;
    grammar->velocity_pending = grammar->velocity_pending && !on;
}

static void accept_end(struct grammar *grammar)
{
    struct grammar fresh = {.seconds = grammar->seconds,
                            .time = grammar->time,
                            .onsets = grammar->onsets,
                            .last_pitch = -1};
    *grammar = fresh;
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
        memcpy(grammar->before, grammar->sounding, sizeof grammar->before);
    } else if (value < END) {
        grammar->velocity = (uint8_t)bin_velocity(value - VELOCITY);
        grammar->velocity_pending = grammar->sounding_count < PITCHES;
    } else if (value == END) {
        accept_end(grammar);
    }
}

const struct encoding encoding_performance = {
    .name = "performance",
    .vocabulary = VOCABULARY,
    .end = END,
    .seconds_per_step = 1.0 / STEPS_PER_SECOND,
    .tokens_per_step = 10,
    .keeps = performance_keeps,
    .encode = performance_encode,
    .decode = performance_decode,
    .token_name = performance_token_name,
    .token_seconds = performance_token_seconds,
    .token_sounds = performance_token_sounds,
    .grammar_start = performance_grammar_start,
    .grammar_allowed = performance_grammar_allowed,
    .grammar_accept = performance_grammar_accept,
};
