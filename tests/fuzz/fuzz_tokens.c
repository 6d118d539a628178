/* fuzz_tokens: arbitrary token sequences through every decoder, back through its encoder,
 * through the grammar and the guard, through a MIDI file, and as a primer of the sampler.
 * The first byte selects encoding and grid, the second the format of the tokens and which
 * of these checks run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "encoders.h"
#include "../wellformed.h"
#include "base/file.h"
#include "generate/guard.h"
#include "generate/sampler.h"
#include "midi/midi.h"

enum { TWO_BYTES = 1, WRITES = 2, SAMPLES = 4 }; /* bits of the second byte */
enum { TEMPO = 500000, VOCABULARY_MAX = 2048, MAX_CHECKED = 500 };

static struct encoding *encodings[FUZZ_ENCODERS];
static char *path; /* of the MIDI file */

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    for (int i = 0; i < FUZZ_ENCODERS; i++)
        fuzz_require_ok(fuzz_create_encoder(i, &encodings[i]));
    path = path_format("%s/out.mid", fuzz_folder());
    FUZZ_REQUIRE(path);
    return 0;
}

/* Reads tokens of two bytes, or of one byte each: an offset from the previous token. */
static struct tokens consume_tokens(struct fuzz_input *input, bool two_bytes,
                                    const struct encoding *encoding)
{
    struct tokens tokens = {0};
    unsigned last = 0;
    while (input->size > 0) {
        if (two_bytes) {
            last = fuzz_byte(input);
            last = last << 8 | fuzz_byte(input);
        } else {
            last =
                (last + 2u * fuzz_byte(input) + 1) % ((unsigned)encoding->vocabulary + 2);
        }
        fuzz_require_ok(tokens_append(&tokens, (token)last));
    }
    return tokens;
}

static bool is_saturated(const struct notes *notes)
{
    for (size_t i = 0; i < notes->count; i++)
        if (notes->items[i].start_tick + notes->items[i].duration_ticks == UINT32_MAX)
            return true;
    return false;
}

static void check_instrument(const struct encoding *encoding, const struct note *note)
{
    if (!encoding->keeps_drums)
        FUZZ_REQUIRE(!note->percussion);
    if (!encoding->keeps_programs)
        FUZZ_REQUIRE(note->program == 0 && note->port == 0);
    FUZZ_REQUIRE(note->track == 0 && note->program < 128);
    FUZZ_REQUIRE(!note->percussion || note->program == 0);
    if (!encoding->keeps_programs || note->percussion)
        FUZZ_REQUIRE(note->channel == (note->percussion ? PERCUSSION_CHANNEL : 0));
}

static void check_notes(const struct encoding *encoding, const struct notes *notes,
                        size_t tokens)
{
    FUZZ_REQUIRE(notes->count <= tokens);
    FUZZ_REQUIRE(notes->ticks_per_beat == ENCODING_TICKS_PER_BEAT);
    FUZZ_REQUIRE(notes->ticks_per_second == 0);
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        FUZZ_REQUIRE(isfinite(note->start) && note->start >= 0);
        FUZZ_REQUIRE(isfinite(note->duration) && note->duration > 0);
        FUZZ_REQUIRE(note->duration_ticks <= UINT32_MAX - note->start_tick);
        FUZZ_REQUIRE(note->pitch < 128 && note->velocity >= 1 && note->velocity < 128);
        check_instrument(encoding, note);
        FUZZ_REQUIRE(
            i == 0 || note[-1].start_tick < note->start_tick ||
            (note[-1].start_tick == note->start_tick &&
             (note[-1].channel < note->channel ||
              (note[-1].channel == note->channel && note[-1].pitch <= note->pitch))));
    }
}

/* ---- encode and decode ---- */

static long long step_of(const struct encoding *encoding, double seconds)
{
    return llround(seconds / encoding->seconds_per_grid_step);
}

/* The middle of the velocity's bin; the pianoroll has only one velocity. */
static int binned_velocity(const struct encoding *encoding, int velocity)
{
    if (encoding->has_bars)
        return 4 * ((velocity - 1) / 4) + 3;
    return !encoding->has_frames ? 4 * ((velocity - 1) / 4) + 2 : velocity;
}

/* Otherwise rounding decides whether two instruments can share a channel. */
static bool instruments_have_own_channels(const struct notes *notes)
{
    bool plays[128] = {false};
    int programs = 0;
    for (size_t i = 0; i < notes->count; i++)
        if (!notes->items[i].percussion && !plays[notes->items[i].program]) {
            plays[notes->items[i].program] = true;
            programs++;
        }
    return programs <= 15;
}

/* Requires the same music, except velocities and the silence before the first note. */
static void check_equal(const struct encoding *encoding, const struct notes *notes,
                        const struct notes *again)
{
    if (encoding->has_bars) /* whole bars are dropped, and notes that END separates */
        return;             /* can be merged: the tokens are compared */
    FUZZ_REQUIRE(notes->count == again->count);
    long long first = notes->count ? step_of(encoding, notes->items[0].start) : 0;
    for (size_t i = 0; i < notes->count && instruments_have_own_channels(notes); i++) {
        const struct note *a = &notes->items[i], *b = &again->items[i];
        FUZZ_REQUIRE(a->pitch == b->pitch && a->program == b->program);
        FUZZ_REQUIRE(a->percussion == b->percussion && a->channel == b->channel);
        FUZZ_REQUIRE(binned_velocity(encoding, a->velocity) == b->velocity);
        FUZZ_REQUIRE(step_of(encoding, a->start) - first == step_of(encoding, b->start));
        FUZZ_REQUIRE(step_of(encoding, a->duration) == step_of(encoding, b->duration));
    }
}

/* Encoded notes decode to themselves and encode to the same tokens. */
static void check_encoded(const struct encoding *encoding, const struct notes *notes,
                          struct tokens *encoded)
{
    struct tokens again = {0};
    struct notes back = {0};
    fuzz_require_ok(encoding->decode(encoding, encoded->items, encoded->count, 0, &back));
    check_notes(encoding, &back, encoded->count);
    check_equal(encoding, notes, &back);
    FUZZ_REQUIRE(encoding_count_notes(encoding, encoded->items, encoded->count) ==
                 back.count);
    fuzz_require_ok(encoding->encode(encoding, &back, &again));
    FUZZ_REQUIRE(again.count == encoded->count);
    FUZZ_REQUIRE(again.count == 0 || memcmp(again.items, encoded->items,
                                            again.count * sizeof *again.items) == 0);
    fuzz_require_ok(tokens_append(encoded, encoding->end));
    if (encoded->count < MAX_CHECKED) {
        const char *fault = well_formed(encoding, encoded->items, encoded->count, 1);
        if (fault[0])
            fuzz_fail("encode: %s", fault);
    }
    notes_free(&back);
    tokens_free(&again);
}

static void check_decoder(const struct encoding *encoding, const struct tokens *tokens,
                          struct notes *notes)
{
    struct tokens encoded = {0};
    fuzz_require_ok(encoding->decode(encoding, tokens->items, tokens->count, 0, notes));
    check_notes(encoding, notes, tokens->count);
    enum status status = encoding->encode(encoding, notes, &encoded);
    fuzz_check_message(status, "too long");
    FUZZ_REQUIRE(status == STATUS_OK || encoded.count == 0);
    if (status == STATUS_OK && !is_saturated(notes))
        check_encoded(encoding, notes, &encoded);
    tokens_free(&encoded);
}

/* ---- grammar and guard ---- */

static void check_grammar(const struct encoding *encoding, const struct grammar *grammar,
                          double seconds)
{
    int sounding = 0;
    for (int pitch = 0; pitch < 128; pitch++)
        sounding += grammar->sounding[pitch];
    FUZZ_REQUIRE(!encoding->has_frames || sounding == grammar->sounding_count);
    FUZZ_REQUIRE(grammar->sounding_count <= GRAMMAR_NOTES);
    FUZZ_REQUIRE(isfinite(grammar->seconds) && grammar->seconds >= seconds);
    FUZZ_REQUIRE(encoding->has_bars || /* it has tempos */
                 fabs(grammar->seconds -
                      (double)grammar->time * encoding->seconds_per_grid_step) <=
                     1e-9 * (1 + grammar->seconds));
}

/* At least one token besides END must remain allowed; the guard only removes tokens. */
static void check_allowed(const struct encoding *encoding, const struct grammar *grammar,
                          const struct guard *guard, bool allowed[VOCABULARY_MAX])
{
    bool guarded[VOCABULARY_MAX], any = false;
    encoding->grammar_allowed(encoding, grammar, allowed);
    for (size_t value = 0; value < encoding->vocabulary; value++) {
        guarded[value] = allowed[value];
        any |= allowed[value] && value != encoding->end;
    }
    FUZZ_REQUIRE(any);
    encoding->grammar_end_long_notes(encoding, grammar, 1, guarded);
    any = false;
    for (size_t value = 0; value < encoding->end; value++)
        any |= guarded[value];
    FUZZ_REQUIRE(any);
    guard_restrict(guard, encoding, grammar, 2, guarded);
    for (size_t value = 0; value < encoding->vocabulary; value++)
        FUZZ_REQUIRE(allowed[value] || !guarded[value]);
}

/* The grammar allows exactly what an independent look back over the sequence allows. */
static void check_sequence(const struct encoding *encoding, const struct tokens *tokens)
{
    struct grammar grammar;
    struct guard guard = {0};
    bool allowed[VOCABULARY_MAX], valid = true;
    bool performance = !encoding->has_frames && !encoding->has_bars;
    encoding->grammar_start(encoding, &grammar);
    for (size_t i = 0; i < tokens->count && i < MAX_CHECKED; i++) {
        token value = tokens->items[i];
        double seconds = grammar.seconds;
        check_allowed(encoding, &grammar, &guard, allowed);
        if (valid && performance && i % 16 == 0 && allowed[encoding->end])
            FUZZ_REQUIRE(performance_sounding_count(encoding, tokens->items, i) == 0);
        bool allows = value < encoding->vocabulary && allowed[value];
        const char *fault = valid ? token_fault(encoding, tokens->items, i) : NULL;
        bool has_free_pitch = !performance || grammar.sounding_count < 128;
        if (value == encoding->end) /* which begins another sequence */
            valid = false;
        if (valid && has_free_pitch && allows == (fault != NULL))
            fuzz_fail("token %zu, %d: the grammar %s it, but: %s", i, value,
                      allows ? "allows" : "forbids", fault ? fault : "no fault");
        valid &= allows;
        encoding->grammar_accept(encoding, &grammar, value);
        guard_accept(&guard, encoding, value, grammar.seconds);
        check_grammar(encoding, &grammar, seconds);
    }
}

/* ---- a MIDI file ---- */

static void check_file(const struct encoding *encoding, const struct notes *notes,
                       const struct midi_file *file)
{
    FUZZ_REQUIRE(file->outcome == MIDI_OK);
    if (encoding->has_bars) { /* notes can overlap: the writer ends them */
        FUZZ_REQUIRE(file->notes.count <= notes->count);
        return;
    }
    FUZZ_REQUIRE(file->notes.count == notes->count);
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *a = &notes->items[i], *b = &file->notes.items[i];
        FUZZ_REQUIRE(a->pitch == b->pitch && a->velocity == b->velocity);
        FUZZ_REQUIRE(a->start_tick == b->start_tick);
        FUZZ_REQUIRE(a->duration_ticks == b->duration_ticks);
    }
}

static void write_and_read(const struct encoding *encoding, const struct notes *notes)
{
    struct midi_file file = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum status status = midi_write(path, notes, ENCODING_TICKS_PER_BEAT, TEMPO);
    fuzz_check_message(status, path);
    if (status != STATUS_OK)
        return;
    fuzz_require_ok(file_read(path, 0, &bytes, &size));
    fuzz_require_ok(midi_read(bytes, size, NULL, &file));
    check_file(encoding, notes, &file);
    midi_free(&file);
    free(bytes);
}

/* ---- the sampler ---- */

struct source { /* logits from the input, repeated cyclically */
    const struct encoding *encoding;
    const uint8_t *bytes;
    size_t size, at;
    float logits[VOCABULARY_MAX];
};

static const real *next_logits(void *context, const token *inputs)
{
    struct source *source = context;
    FUZZ_REQUIRE(inputs[0] < source->encoding->vocabulary);
    for (size_t i = 0; i < source->encoding->vocabulary; i++)
        source->logits[i] = (float)source->bytes[source->at++ % source->size];
    return source->logits;
}

static void sample(const struct encoding *encoding, const struct tokens *primer,
                   const uint8_t *bytes, size_t size)
{
    struct source source = {.encoding = encoding, .bytes = bytes, .size = size};
    const struct sampler_source from = {next_logits, &source};
    const struct sampler_settings settings = {.temperature = bytes[0] % 3,
                                              .top_k = bytes[0] % 5,
                                              .top_p = bytes[0] % 7 ? 1 : 0.5,
                                              .min_p = bytes[0] % 11 * 0.05,
                                              .repetition_penalty = 1 + bytes[0] % 2,
                                              .pitch_classes = bytes[0],
                                              .seed = bytes[0],
                                              .seconds = 0.05,
                                              .min_seconds = bytes[0] % 2 * 0.05,
                                              .cache = bytes[0] % 3 * 0.5,
                                              .cache_context = 1 + bytes[0] % 4,
                                              .end = bytes[0] % ENDS,
                                              .guard = true,
                                              .max_silence = 0.02,
                                              .max_note_seconds = 0.02};
    struct notes piece = {0};
    bool known = true;
    for (size_t i = 0; i < primer->count; i++)
        known &= primer->items[i] < encoding->vocabulary;
    const struct sampler_batch batch = {1, primer->items, primer->count, bytes[0] & 1};
    enum status status = sampler_run_source(&from, encoding, &settings, &batch, &piece);
    fuzz_check_message(status, known ? NULL : "primer");
    FUZZ_REQUIRE(status == (known ? STATUS_OK : STATUS_MISUSE));
    for (size_t i = 0; i < piece.count; i++)
        FUZZ_REQUIRE(piece.items[i].start >= 0 && piece.items[i].duration >= 0);
    notes_free(&piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_input input = {bytes, size};
    const struct encoding *encoding = encodings[fuzz_below(&input, FUZZ_ENCODERS)];
    uint8_t flags = fuzz_byte(&input);
    struct tokens tokens = consume_tokens(&input, flags & TWO_BYTES, encoding);
    struct notes notes = {0};
    check_decoder(encoding, &tokens, &notes);
    check_sequence(encoding, &tokens);
    if (flags & WRITES && notes.count < MAX_CHECKED)
        write_and_read(encoding, &notes);
    if (flags & SAMPLES)
        sample(encoding, &tokens, bytes, size);
    notes_free(&notes);
    tokens_free(&tokens);
    return 0;
}
