/* composer: phrases, draws and notes. The automaton's decisions are not in chronological
 * order: the length, kind and voicing of a chord are decided before the ornament of the
 * previous chord, because a passing note depends on its target. This does not affect the
 * probability of the piece, which is the product over all decisions.
 */
#include "composer.h"

#include <math.h>
#include <stdlib.h>

#include "harmony.h"
#include "base/rng.h"

enum { VELOCITY = 80, ORGAN = 19, HALF_BEAT = COMPOSER_TICKS_PER_BEAT / 2 };

/* Weights of no ornament and of a neighbour note, relative to 1 for a voice's passing
 * note. */
static const double no_ornament_weight = 1.2;
static const double neighbour_weight = 0.35;

struct composer {
    struct harmony harmony;
};

enum status composer_create(struct composer **out)
{
    struct composer *composer = calloc(1, sizeof *composer);
    if (!composer)
        return status_fail(STATUS_FAILED, "composer: out of memory");
    enum status status = harmony_create(&composer->harmony);
    if (status) {
        free(composer);
        return status;
    }
    *out = composer;
    return STATUS_OK;
}

void composer_free(struct composer *composer)
{
    if (composer)
        harmony_free(&composer->harmony);
    free(composer);
}

const uint8_t *composer_pitches(const struct composer *composer, int voicing)
{
    return composer->harmony.voicings[voicing].pitch;
}

int composer_beats(int slot)
{
    return harmony_beats((enum slot)slot);
}

bool composer_ends_with_rest(int slot)
{
    return harmony_ends_with_rest((enum slot)slot);
}

uint8_t composer_ornament_pitch(const struct composer *composer, int voicing, int next,
                                int ornament)
{
    const struct voicing *all = composer->harmony.voicings;
    return (uint8_t)harmony_ornament_pitch(&all[voicing], &all[next], ornament - 1);
}

/* Choices are collected with weights; normalise converts them to probabilities. */
static void add_choice(struct composer_choices *choices, int value, double weight)
{
    if (weight <= 0)
        return;
    choices->value[choices->count] = value;
    choices->probability[choices->count++] = weight;
}

static void normalise(struct composer_choices *choices)
{
    double sum = 0;
    for (int i = 0; i < choices->count; i++)
        sum += choices->probability[i];
    for (int i = 0; i < choices->count; i++)
        choices->probability[i] /= sum;
}

static double voicing_weight(const struct composer *composer, int from, int to)
{
    const struct harmony *harmony = &composer->harmony;
    return (double)harmony->weight[(size_t)from * (size_t)harmony->count + (size_t)to];
}

static bool can_reach(const struct composer *composer, int from, int chord)
{
    const struct harmony *harmony = &composer->harmony;
    for (int to = 0; to < harmony->count; to++)
        if (harmony->voicings[to].chord == chord &&
            voicing_weight(composer, from, to) > 0)
            return true;
    return false;
}

static void add_chord_choices(const struct composer *composer,
                              const struct composer_state *state,
                              struct composer_choices *out)
{
    if (state->slot == SLOT_NONE) {
        add_choice(out, CHORD_I, 1);
        return;
    }
    enum chord from = composer->harmony.voicings[state->voicing].chord;
    for (enum chord to = 0; to < CHORDS; to++) {
        double weight = harmony_progression_weight(from, to, (enum slot)state->next_slot);
        if (weight > 0 && can_reach(composer, state->voicing, (int)to))
            add_choice(out, (int)to, weight);
    }
}

static void add_voicing_choices(const struct composer *composer,
                                const struct composer_state *state,
                                struct composer_choices *out)
{
    const struct harmony *harmony = &composer->harmony;
    for (int i = 0; i < harmony->count; i++) {
        const struct voicing *voicing = &harmony->voicings[i];
        if (voicing->key == state->key && voicing->chord == state->next_chord)
            add_choice(out, i,
                       state->slot == SLOT_NONE
                           ? harmony_opening_weight(voicing)
                           : voicing_weight(composer, state->voicing, i));
    }
}

static void add_ornament_choices(const struct composer *composer,
                                 const struct composer_state *state,
                                 struct composer_choices *out)
{
    const struct voicing *from = &composer->harmony.voicings[state->voicing];
    const struct voicing *to = &composer->harmony.voicings[state->next_voicing];
    add_choice(out, COMPOSER_ORNAMENT_NONE, no_ornament_weight);
    for (int voice = 0; voice < COMPOSER_VOICES; voice++) {
        bool is_neighbour = from->pitch[voice] == to->pitch[voice];
        if (harmony_ornament_pitch(from, to, voice))
            add_choice(out, 1 + voice, is_neighbour ? neighbour_weight : 1);
    }
}

void composer_list_choices(const struct composer *composer,
                           const struct composer_state *state,
                           struct composer_choices *out)
{
    out->count = 0;
    switch (state->stage) {
    case COMPOSER_KEY:
        for (int key = 0; key < HARMONY_KEYS; key++)
            add_choice(out, key, 1);
        break;
    case COMPOSER_SLOT:
        for (int to = 0; to < SLOTS; to++)
            add_choice(out, to,
                       harmony_slot_probability((enum slot)state->slot, (enum slot)to));
        break;
    case COMPOSER_CHORD:
        add_chord_choices(composer, state, out);
        break;
    case COMPOSER_VOICING:
        add_voicing_choices(composer, state, out);
        break;
    case COMPOSER_ORNAMENT:
        add_ornament_choices(composer, state, out);
        break;
    case COMPOSER_END:
        break;
    }
    normalise(out);
}

/* The next chord becomes the current one. */
static void advance(struct composer_state *state)
{
    state->voicing = state->next_voicing;
    state->slot = state->next_slot;
    state->stage = COMPOSER_SLOT;
}

void composer_choose(struct composer_state *state, int value)
{
    switch (state->stage) {
    case COMPOSER_KEY:
        state->key = value;
        state->stage = COMPOSER_SLOT;
        break;
    case COMPOSER_SLOT:
        state->next_slot = value;
        state->stage = value == SLOT_END ? COMPOSER_END : COMPOSER_CHORD;
        break;
    case COMPOSER_CHORD:
        state->next_chord = value;
        state->stage = COMPOSER_VOICING;
        break;
    case COMPOSER_VOICING:
        state->next_voicing = value;
        state->stage = COMPOSER_ORNAMENT;
        if (state->slot == SLOT_NONE || composer_ends_with_rest(state->slot))
            advance(state);
        break;
    case COMPOSER_ORNAMENT:
        advance(state);
        break;
    case COMPOSER_END:
        break;
    }
}

/* Adds one voice of one chord; ticks are exact, seconds are computed from them. */
static enum status add_note(struct notes *notes, int voice, int pitch, uint32_t start,
                            uint32_t duration)
{
    const double seconds_per_tick = COMPOSER_TEMPO * 1e-6 / COMPOSER_TICKS_PER_BEAT;
    struct note note = {.start = start * seconds_per_tick,
                        .duration = duration * seconds_per_tick,
                        .start_tick = start,
                        .duration_ticks = duration,
                        .track = (uint16_t)(VOICE_SOPRANO - voice),
                        .channel = (uint8_t)(VOICE_SOPRANO - voice),
                        .pitch = (uint8_t)pitch,
                        .velocity = VELOCITY,
                        .program = ORGAN};
    return notes_append(notes, &note);
}

struct piece_writer {
    const struct composer *composer;
    struct notes *notes;
    uint32_t tick; /* start of the current chord */
};

/* Writes the chord of `state`, whose ornament and successor are now decided. */
static enum status write_chord(struct piece_writer *writer,
                               const struct composer_state *state, int ornament, int next)
{
    const uint8_t *pitches = composer_pitches(writer->composer, state->voicing);
    uint32_t ticks = (uint32_t)composer_beats(state->slot) * COMPOSER_TICKS_PER_BEAT;
    uint32_t sounding = composer_ends_with_rest(state->slot) ? ticks - HALF_BEAT : ticks;
    uint32_t start = writer->tick;
    enum status status = STATUS_OK;
    for (int voice = 0; voice < COMPOSER_VOICES && !status; voice++) {
        bool has_ornament = ornament == 1 + voice;
        status = add_note(writer->notes, voice, pitches[voice], start,
                          has_ornament ? sounding - HALF_BEAT : sounding);
        if (status || !has_ornament)
            continue;
        int pitch =
            composer_ornament_pitch(writer->composer, state->voicing, next, ornament);
        status = add_note(writer->notes, voice, pitch, start + sounding - HALF_BEAT,
                          HALF_BEAT);
    }
    writer->tick += ticks;
    return status;
}

static int draw(const struct composer_choices *choices, double uniform)
{
    int i = 0;
    while (i + 1 < choices->count && uniform >= choices->probability[i])
        uniform -= choices->probability[i++];
    return i;
}

static double entropy(const struct composer_choices *choices)
{
    double sum = 0;
    for (int i = 0; i < choices->count; i++)
        sum -= choices->probability[i] * log(choices->probability[i]);
    return sum;
}

/* Applies the choice; writes the chord that it completes. */
static enum status apply_choice(struct piece_writer *writer, struct composer_state *state,
                                int value)
{
    struct composer_state previous = *state;
    composer_choose(state, value);
    bool next_chord_begins = state->stage == COMPOSER_SLOT && previous.slot != SLOT_NONE;
    if (!next_chord_begins && state->stage != COMPOSER_END)
        return STATUS_OK;
    int ornament =
        previous.stage == COMPOSER_ORNAMENT ? value : (int)COMPOSER_ORNAMENT_NONE;
    return write_chord(writer, &previous, ornament, state->voicing);
}

enum status composer_compose(const struct composer *composer, uint64_t seed,
                             uint64_t piece, struct composition *out)
{
    struct composer_state state = {0};
    struct composer_choices choices;
    struct piece_writer writer = {composer, &out->notes, 0};
    enum status status = STATUS_OK;
    notes_clear(&out->notes);
    out->notes.ticks_per_beat = COMPOSER_TICKS_PER_BEAT;
    out->log_probability = out->entropy = 0;
    for (uint64_t draws = 0; state.stage != COMPOSER_END && !status; draws++) {
        composer_list_choices(composer, &state, &choices);
        int i = draw(&choices, rng_uniform(seed, RNG_COMPOSE, piece, draws, 0));
        out->log_probability += log(choices.probability[i]);
        out->entropy += entropy(&choices);
        status = apply_choice(&writer, &state, choices.value[i]);
    }
    notes_sort(&out->notes);
    return status;
}
