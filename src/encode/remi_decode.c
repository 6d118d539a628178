/* remi_decode: tokens of remi -> notes. The grammar keeps the state and skips what it
 * forbids. */
#include <stdlib.h>

#include "remi.h"
#include "midi/tempo_map.h"

struct decoder {
    const struct encoding *encoding;
    struct grammar grammar;
    struct notes *out;
    size_t count_before; /* notes that were in `out` already */
    uint64_t origin;     /* time of the first token that is not skipped */
};

/* Saturates. */
static uint32_t tick_of(const struct decoder *decoder, uint64_t time)
{
    uint64_t tick = time - decoder->origin;
    return tick < UINT32_MAX ? (uint32_t)tick : UINT32_MAX;
}

/* The note whose DURATION was read. */
static enum status append_note(struct decoder *decoder, int duration)
{
    const struct remi_state *state = &decoder->grammar.remi;
    uint64_t length = (uint64_t)remi_duration(decoder->encoding, duration) *
                      remi_position_length(decoder->encoding, state->signature);
    uint64_t start = decoder->grammar.time;
    int program = state->key / PITCHES;
    bool drums = program == REMI_DRUMS;
    struct note note = {.start_tick = tick_of(decoder, start),
                        .duration_ticks =
                            tick_of(decoder, start + length) - tick_of(decoder, start),
                        .pitch = (uint8_t)(state->key % PITCHES),
                        .velocity = (uint8_t)(4 * state->velocity + 3),
                        .program = (uint8_t)(drums ? 0 : program),
                        .channel = drums ? PERCUSSION_CHANNEL : 0,
                        .percussion = drums};
    return note.duration_ticks ? notes_append(decoder->out, &note) : STATUS_OK;
}

static enum status set_signature(struct decoder *decoder, uint32_t tick)
{
    struct remi_time_signature metre =
        remi_time_signature(decoder->grammar.remi.signature);
    return notes_set_signature(decoder->out, tick, metre.numerator,
                               metre.denominator_log2);
}

/* The rest of a bar of which `steps` remain, as a bar of its own, if it is a multiple of
 * a 64th note; the bar's own time signature applies after it. */
static enum status set_incomplete_bar(struct decoder *decoder, uint64_t steps)
{
    enum { SIXTY_FOURTH = 4 * REMI_QUARTER >> TIME_SIGNATURE_LOG2_MAX };
    uint64_t numerator = steps / SIXTY_FOURTH;
    uint8_t denominator_log2 = TIME_SIGNATURE_LOG2_MAX;
    if (steps % SIXTY_FOURTH != 0)
        return set_signature(decoder, 0);
    for (; numerator % 2 == 0 && denominator_log2 > DEFAULT_DENOMINATOR_LOG2;
         denominator_log2--)
        numerator /= 2;
    enum status status =
        notes_set_signature(decoder->out, 0, (uint8_t)numerator, denominator_log2);
    return status == STATUS_OK ? set_signature(decoder, (uint32_t)steps) : status;
}

/* Forgets what was read, except tempo and bar. */
static enum status begin(struct decoder *decoder)
{
    const struct remi_state *state = &decoder->grammar.remi;
    decoder->origin = decoder->grammar.time;
    decoder->out->count = decoder->count_before;
    notes_clear_metre(decoder->out);
    if (state->last == REMI_END)
        return STATUS_OK;
    enum status status = STATUS_OK;
    if (remi_has(decoder->encoding, REMI_TEMPO))
        status = notes_set_tempo(decoder->out, 0, state->tempo);
    uint64_t begun = decoder->origin - state->bar;
    if (status != STATUS_OK || !remi_has(decoder->encoding, REMI_TIME_SIGNATURE))
        return status;
    return begun ? set_incomplete_bar(decoder, remi_bar_length(state->signature) - begun)
                 : set_signature(decoder, 0);
}

static enum status read_token(struct decoder *decoder, token value)
{
    const struct encoding *encoding = decoder->encoding;
    struct grammar *grammar = &decoder->grammar;
    enum remi_kind kind = remi_kind_of(encoding, value);
    bool allowed = remi_allows(encoding, grammar, kind, value);
    remi_grammar_accept(encoding, grammar, value);
    uint32_t tick = tick_of(decoder, grammar->time);
    if (!allowed || tick == UINT32_MAX)
        return STATUS_OK;
    if (kind == REMI_DURATION)
        return append_note(decoder, value - encoding->remi.first[REMI_DURATION]);
    if (kind == REMI_TEMPO)
        return notes_set_tempo(decoder->out, tick, grammar->remi.tempo);
    if (kind == REMI_TIME_SIGNATURE)
        return set_signature(decoder, tick);
    return STATUS_OK;
}

/* The seconds of the notes, from their ticks and the tempo changes. */
static enum status assign_seconds(struct decoder *decoder)
{
    struct notes *out = decoder->out;
    if (out->count == decoder->count_before)
        return STATUS_OK;
    struct tempo_map map = {0};
    enum status status = tempo_map_from_notes(out, &map);
    if (status == STATUS_OK)
        tempo_map_assign_seconds(&map, 0, out->items + decoder->count_before,
                                 out->count - decoder->count_before);
    free(map.points);
    return status;
}

enum status remi_decode(const struct encoding *self, const token *tokens, size_t count,
                        size_t skip, struct notes *out)
{
    struct decoder decoder = {.encoding = self, .out = out, .count_before = out->count};
    enum status status = STATUS_OK;
    remi_grammar_start(self, &decoder.grammar);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        if (i == skip)
            status = begin(&decoder);
        if (status == STATUS_OK)
            status = read_token(&decoder, tokens[i]);
    }
    if (skip >= count && status == STATUS_OK)
        status = begin(&decoder);
    if (status == STATUS_OK) {
        out->ticks_per_beat = ENCODING_TICKS_PER_BEAT;
        status = assign_seconds(&decoder);
    }
    decoded_finish(out);
    return status;
}
