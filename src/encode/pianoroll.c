/* pianoroll: 88 keys (A0 = 21 to C8 = 108) on a grid: the keys 0-87 that sound in a step
 * in ascending order, then STEP (88); END 89. With data.repeats: REPEAT 89, END 90.
 *
 * Steps as in data.grid: "1/4" (of a beat) or "120 ticks", terms from 1 to 10000, a
 * fraction not finer than 1/480 of a beat (decoded notes could not distinguish such
 * steps). Pitches outside the 88 keys are dropped, as are velocities (64 when decoded).
 * In files with SMPTE division a beat is half a second. The piece ends with the STEP of
 * its last sounding step.
 *
 * Notes of a key are merged into one if any instrument strikes the key while it sounds or
 * in the step in which it ended. With data.repeats only those that begin in the same step
 * are: REPEAT before a key that sounded in the previous step ends its note and begins
 * another one. The frames are the same: without REPEAT the tokens are those without
 * data.repeats.
 *
 * The grammar forbids: a key at or below the last of its step; END within a step; after
 * REPEAT all but a key that sounded in the previous step.
 *
 * The step of a tick is tick * multiplier / divisor (struct scale), in integers that fit
 * in 64 bits: the division need not be a multiple of the grid, and only the result is
 * rounded. SMPTE time has 24, 25, 30000/1001 or 30 frames per second, so 1001 times the
 * tick rate is an integer, and half a second is that integer divided by 2002, in ticks.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onsets.h"

enum {
    KEYS = 88,
    LOWEST_PITCH = 21, /* A0 */
    STEP = KEYS,
    VOCABULARY = STEP + 2, /* with END */
    REPEAT = STEP + 1,     /* with data.repeats */
    SMPTE_SCALE = 1001,
    GRID_TERM_MAX = 10000
};

/* ---- the grid ---- */

/* Parses a term of the grid and advances *text past it; 0 if it is missing or out of
 * range. */
static int read_term(const char **text)
{
    if (!isdigit((unsigned char)**text))
        return 0;
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(*text, &end, 10);
    *text = end;
    return errno == 0 && value <= GRID_TERM_MAX ? (int)value : 0;
}

static int greatest_common_divisor(int a, int b)
{
    while (b) {
        int remainder = a % b;
        a = b;
        b = remainder;
    }
    return a;
}

static enum status read_grid(const char *text, struct encoding_grid *grid)
{
    const char *at = text;
    *grid = (struct encoding_grid){0};
    int first = read_term(&at);
    if (first && *at == '/') {
        at++;
        int second = read_term(&at);
        if (second && *at == '\0') {
            int divisor = greatest_common_divisor(first, second);
            grid->numerator = first / divisor;
            grid->denominator = second / divisor;
        }
    } else if (first && (strcmp(at, " ticks") == 0 || strcmp(at, " tick") == 0)) {
        grid->ticks = first;
    }
    if (!grid->denominator && !grid->ticks)
        return status_fail(
            STATUS_MISUSE,
            "grid '%s' is not a step of the pianoroll (expected a fraction of "
            "a beat such as 1/4, or 120 ticks; terms from 1 to %d)",
            text, GRID_TERM_MAX);
    if (grid->denominator > ENCODING_TICKS_PER_BEAT * grid->numerator)
        return status_fail(STATUS_MISUSE, "grid '%s' is finer than 1/%d of a beat", text,
                           ENCODING_TICKS_PER_BEAT);
    return STATUS_OK;
}

static enum status pianoroll_configure(struct encoding *self,
                                       const struct options *options)
{
    enum status status = encoding_refuse_instruments(self, options);
    if (status == STATUS_OK)
        status = read_grid(options->data.grid, &self->grid);
    if (status != STATUS_OK)
        return status;
    double beats = self->grid.ticks
                       ? (double)self->grid.ticks / ENCODING_TICKS_PER_BEAT
                       : (double)self->grid.numerator / self->grid.denominator;
    self->seconds_per_grid_step = beats / 2; /* 120 beats per minute */
    self->repeats = options->data.repeats;
    self->vocabulary = VOCABULARY + self->repeats;
    self->end = (token)(self->vocabulary - 1);
    return STATUS_OK;
}

/* ---- notes -> tokens ---- */

struct scale { /* step = round(tick * multiplier / divisor) */
    uint64_t multiplier, divisor;
};

static struct scale scale_of(const struct encoding_grid *grid, const struct notes *notes)
{
    if (grid->ticks)
        return (struct scale){1, (uint64_t)grid->ticks};
    uint64_t numerator = (uint64_t)grid->numerator,
             denominator = (uint64_t)grid->denominator;
    if (notes->ticks_per_beat > 0)
        return (struct scale){denominator,
                              (uint64_t)llround(notes->ticks_per_beat) * numerator};
    uint64_t rate = (uint64_t)llround(notes->ticks_per_second * SMPTE_SCALE);
    return (struct scale){denominator * 2 * SMPTE_SCALE, rate * numerator};
}

static uint64_t nearest_step(const struct scale *scale, uint64_t tick)
{
    return (2 * tick * scale->multiplier + scale->divisor) / (2 * scale->divisor);
}

static bool pianoroll_encodes_note(const struct encoding *self, const struct note *note)
{
    (void)self;
    int key = note->pitch - LOWEST_PITCH;
    return !note->percussion && key >= 0 && key < KEYS;
}

static enum status quantise_notes(const struct encoding *self, const struct notes *notes,
                                  struct onsets *onsets)
{
    enum status status = onsets_allocate(onsets, notes->count);
    if (status != STATUS_OK)
        return status;
    struct scale scale = scale_of(&self->grid, notes);
    if (scale.divisor == 0 && notes->count)
        return status_fail(STATUS_FAILED,
                           "notes without a division: neither ticks per beat nor "
                           "ticks per second");
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (!pianoroll_encodes_note(self, note))
            continue;
        uint64_t first = nearest_step(&scale, note->start_tick);
        uint64_t last =
            nearest_step(&scale, (uint64_t)note->start_tick + note->duration_ticks);
        if (last >= UINT32_MAX)
            return encoding_fail_too_long(self, notes);
        last = last > first ? last : first + 1;
        onsets->items[onsets->count++] =
            (struct onset){(uint32_t)first,
                           (uint32_t)last,
                           (uint8_t)(note->pitch - LOWEST_PITCH),
                           note->velocity,
                           onset_instrument(note),
                           0};
    }
    onsets_normalise(onsets);
    return STATUS_OK;
}

/* The keys of a step while it is written. */
struct encoder {
    struct pitch_set sounding; /* in this step, or until the previous one */
    struct pitch_set repeated; /* begin anew although they sounded in the previous step */
    uint32_t end[KEYS];
};

static void add_onset(struct encoder *encoder, const struct pitch_set *previous,
                      const struct onset *onset)
{
    pitch_set_add(&encoder->sounding, onset->pitch);
    if (pitch_set_has(previous, onset->pitch))
        pitch_set_add(&encoder->repeated, onset->pitch);
    if (encoder->end[onset->pitch] < onset->end)
        encoder->end[onset->pitch] = onset->end;
}

/* Writes the keys that sound in step `time` and the STEP; removes keys that have ended.
 */
static void write_step(const struct encoding *self, struct encoder *encoder,
                       uint32_t time, struct tokens *out)
{
    struct pitch_set set = encoder->sounding;
    while (!pitch_set_empty(&set)) {
        unsigned k = pitch_set_pop(&set);
        if (encoder->end[k] <= time) {
            pitch_set_remove(&encoder->sounding, k);
            continue;
        }
        if (self->repeats && pitch_set_has(&encoder->repeated, k))
            out->items[out->count++] = REPEAT;
        out->items[out->count++] = (token)k;
    }
    out->items[out->count++] = STEP;
    encoder->repeated = (struct pitch_set){{0}};
}

static enum status write_steps(const struct encoding *self, const struct notes *notes,
                               const struct onsets *onsets, struct tokens *out)
{
    size_t limit = out->count + ENCODING_TOKENS_MAX;
    struct encoder encoder = {0};
    uint32_t last = 0;
    size_t next = 0;
    for (uint32_t time = 0; next < onsets->count || time < last; time++) {
        const struct pitch_set previous = encoder.sounding;
        for (; next < onsets->count && onsets->items[next].start == time; next++) {
            const struct onset *onset = &onsets->items[next];
            add_onset(&encoder, &previous, onset);
            last = last < onset->end ? onset->end : last;
        }
        enum status status = tokens_reserve(out, 2 * KEYS + 1);
        if (status != STATUS_OK)
            return status;
        write_step(self, &encoder, time, out);
        if (out->count > limit)
            return encoding_fail_too_long(self, notes);
    }
    return STATUS_OK;
}

static enum status pianoroll_encode(const struct encoding *self,
                                    const struct notes *notes, struct tokens *out)
{
    size_t count_before = out->count;
    struct onsets onsets = {0};
    enum status status = quantise_notes(self, notes, &onsets);
    if (status == STATUS_OK)
        status = write_steps(self, notes, &onsets, out);
    if (status != STATUS_OK)
        out->count = count_before;
    onsets_free(&onsets);
    return status;
}

static enum status pianoroll_find_grid_steps(const struct encoding *self,
                                             const struct notes *notes, double *first,
                                             double *length)
{
    struct scale scale = scale_of(&self->grid, notes);
    struct onsets onsets = {0};
    enum status status = quantise_notes(self, notes, &onsets);
    *length = (double)scale.divisor / (double)scale.multiplier;
    *first = onsets.offset * *length;
    onsets_free(&onsets);
    return status;
}

/* ---- tokens -> notes ---- */

struct decoder {
    const struct encoding *encoding;
    struct notes *out;
    uint64_t time;       /* in grid steps */
    bool current[KEYS];  /* sounding in the current step */
    bool previous[KEYS]; /* sounding in the previous step */
    bool repeated[KEYS]; /* listed after REPEAT in the current step */
    bool repeats;        /* the last token was REPEAT */
    uint64_t start[KEYS];
};

/* Rounded once, so that the time of a step does not depend on how it was reached. */
static double step_seconds(const struct encoding *encoding, uint64_t step)
{
    const struct encoding_grid *grid = &encoding->grid;
    if (grid->ticks)
        return (double)(step * (uint64_t)grid->ticks) / (2 * ENCODING_TICKS_PER_BEAT);
    return (double)(step * (uint64_t)grid->numerator) / (2 * grid->denominator);
}

/* Starts and ends notes at the step just read. */
static enum status decode_step(struct decoder *decoder)
{
    enum status status = STATUS_OK;
    for (int key = 0; key < KEYS && status == STATUS_OK; key++) {
        bool continues = decoder->current[key] && !decoder->repeated[key];
        uint64_t start = decoder->start[key];
        if (decoder->previous[key] && !continues)
            status = decoded_append(decoder->out, step_seconds(decoder->encoding, start),
                                    step_seconds(decoder->encoding, decoder->time),
                                    key + LOWEST_PITCH, ENCODING_VELOCITY);
        if (decoder->current[key] && !(decoder->previous[key] && continues))
            decoder->start[key] = decoder->time;
    }
    memcpy(decoder->previous, decoder->current, sizeof decoder->previous);
    memset(decoder->current, 0, sizeof decoder->current);
    memset(decoder->repeated, 0, sizeof decoder->repeated);
    decoder->time++;
    return status;
}

/* Of a key that is listed twice, the first counts. */
static void decode_key(struct decoder *decoder, unsigned key)
{
    if (!decoder->current[key])
        decoder->repeated[key] = decoder->repeats;
    decoder->current[key] = true;
}

static enum status decode_token(struct decoder *decoder, token value)
{
    bool is_repeat = decoder->encoding->repeats && value == REPEAT;
    enum status status = STATUS_OK;
    if (value < KEYS)
        decode_key(decoder, value);
    else if (value == STEP)
        status = decode_step(decoder);
    decoder->repeats = is_repeat;
    return status;
}

static bool has_incomplete_step(const struct decoder *decoder)
{
    for (int key = 0; key < KEYS; key++)
        if (decoder->current[key])
            return true;
    return false;
}

static enum status pianoroll_decode(const struct encoding *self, const token *tokens,
                                    size_t count, size_t skip, struct notes *out)
{
    struct decoder decoder = {.encoding = self, .out = out};
    enum status status = STATUS_OK;
    for (size_t i = skip; i < count && status == STATUS_OK; i++)
        status = decode_token(&decoder, tokens[i]);
    if (status == STATUS_OK && has_incomplete_step(&decoder))
        status = decode_step(&decoder);
    if (status == STATUS_OK)
        status = decode_step(&decoder); /* a silent step, to end all notes */
    decoded_finish(out);
    return status;
}

/* ---- tokens ---- */

static const char *pianoroll_token_name(const struct encoding *self, token value,
                                        char *text, size_t size)
{
    if (value < KEYS)
        snprintf(text, size, "KEY %d", value + LOWEST_PITCH);
    else if (value == STEP)
        snprintf(text, size, "STEP");
    else if (value == self->end)
        snprintf(text, size, "END");
    else if (self->repeats && value == REPEAT)
        snprintf(text, size, "REPEAT");
    else
        snprintf(text, size, "UNKNOWN %d", value);
    return text;
}

static uint64_t pianoroll_advance(const struct encoding *self,
                                  const struct grammar *grammar, token value)
{
    (void)self;
    (void)grammar;
    return value == STEP;
}

static bool pianoroll_token_sounds(const struct encoding *self, token value)
{
    (void)self;
    return value < KEYS;
}

struct counter { /* the keys of a step, of the previous one, and those after REPEAT */
    struct pitch_set step, previous, repeated;
    bool repeats; /* the last token was REPEAT */
};

/* The notes that begin in the step. */
static size_t count_onsets(const struct counter *counter)
{
    size_t keys = 0;
    for (int word = 0; word < PITCH_WORDS; word++)
        keys += (size_t)__builtin_popcountll(
            counter->step.words[word] &
            (~counter->previous.words[word] | counter->repeated.words[word]));
    return keys;
}

static void count_key(struct counter *counter, unsigned key)
{
    if (counter->repeats && !pitch_set_has(&counter->step, key))
        pitch_set_add(&counter->repeated, key);
    pitch_set_add(&counter->step, key);
}

static size_t pianoroll_count_notes(const struct encoding *self, const token *tokens,
                                    size_t count)
{
    struct counter counter = {0};
    size_t notes = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_repeat = self->repeats && tokens[i] == REPEAT;
        if (tokens[i] < KEYS) {
            count_key(&counter, tokens[i]);
        } else if (tokens[i] == STEP || tokens[i] == self->end) {
            notes += count_onsets(&counter);
            counter = (struct counter){
                .previous = tokens[i] == STEP ? counter.step : (struct pitch_set){{0}}};
        }
        counter.repeats = is_repeat;
    }
    return notes + count_onsets(&counter);
}

static token pianoroll_transpose(const struct encoding *self, token value, int semitones)
{
    if (value >= KEYS)
        return value;
    int key = value + semitones;
    return key < 0 || key >= KEYS ? self->end : (token)key;
}

static int pianoroll_token_pitch(const struct encoding *self, token value)
{
    (void)self;
    return value < KEYS ? value + LOWEST_PITCH : -1;
}

/* ---- grammar ---- */

static void pianoroll_grammar_start(const struct encoding *self, struct grammar *grammar)
{
    (void)self;
    *grammar = (struct grammar){.last_key = -1};
}

/* True if REPEAT could precede the key. */
static bool can_repeat(const struct grammar *grammar, int key)
{
    return key > grammar->last_key && grammar->sounding_before[key + LOWEST_PITCH];
}

/* A REPEAT that no key can follow, which is not allowed, is ignored. */
static void pianoroll_grammar_allowed(const struct encoding *self,
                                      const struct grammar *grammar, bool *allowed)
{
    bool any = false;
    for (int key = 0; key < KEYS; key++)
        any |= can_repeat(grammar, key);
    bool pending = any && grammar->repeat_pending;
    for (int key = 0; key < KEYS; key++)
        allowed[key] = pending ? can_repeat(grammar, key) : key > grammar->last_key;
    allowed[STEP] = !pending;
    if (self->repeats)
        allowed[REPEAT] = any && !pending;
    allowed[self->end] = !pending && grammar->last_key < 0;
}

/* After REPEAT a key begins another note. */
static void pianoroll_grammar_end_long_notes(const struct encoding *self,
                                             const struct grammar *grammar,
                                             double longest, bool *allowed)
{
    if (grammar->repeat_pending)
        return;
    for (int key = 0; key < KEYS; key++) {
        int pitch = key + LOWEST_PITCH;
        if (grammar->sounding_before[pitch] &&
            grammar_has_lasted(self, grammar, grammar->started[pitch], longest))
            allowed[key] = false;
    }
}

static void accept_key(struct grammar *grammar, int key)
{
    int pitch = key + LOWEST_PITCH;
    if (!grammar->sounding[pitch]) {
        bool begins = !grammar->sounding_before[pitch] || grammar->repeat_pending;
        if (begins)
            grammar->started[pitch] = grammar->time;
        grammar->sounding[pitch] = true;
        grammar->sounding_count++;
        grammar->onsets += begins;
    }
    grammar->last_key = key > grammar->last_key ? key : grammar->last_key;
}

static void begin_step(struct grammar *grammar)
{
    memcpy(grammar->sounding_before, grammar->sounding, sizeof grammar->sounding_before);
    memset(grammar->sounding, 0, sizeof grammar->sounding);
    grammar->sounding_count = 0;
    grammar->last_key = -1;
}

static void pianoroll_grammar_accept(const struct encoding *self, struct grammar *grammar,
                                     token value)
{
    if (value < KEYS) {
        accept_key(grammar, value);
    } else if (value == STEP) {
        begin_step(grammar);
        grammar->time++;
        grammar->seconds = step_seconds(self, grammar->time);
    } else if (value == self->end) {
        begin_step(grammar);
        memset(grammar->sounding_before, 0, sizeof grammar->sounding_before);
    }
    grammar->repeat_pending = self->repeats && value == REPEAT;
}

const struct encoding encoding_pianoroll = {
    .name = "pianoroll",
    .vocabulary = VOCABULARY,
    .end = VOCABULARY - 1,
    .tokens_per_grid_step = KEYS / 2.0,
    .has_frames = true,
    .configure = pianoroll_configure,
    .encodes_note = pianoroll_encodes_note,
    .encode = pianoroll_encode,
    .find_grid_steps = pianoroll_find_grid_steps,
    .decode = pianoroll_decode,
    .token_name = pianoroll_token_name,
    .advance = pianoroll_advance,
    .token_sounds = pianoroll_token_sounds,
    .token_pitch = pianoroll_token_pitch,
    .count_notes = pianoroll_count_notes,
    .transpose = pianoroll_transpose,
    .grammar_start = pianoroll_grammar_start,
    .grammar_allowed = pianoroll_grammar_allowed,
    .grammar_end_long_notes = pianoroll_grammar_end_long_notes,
    .grammar_accept = pianoroll_grammar_accept,
};
