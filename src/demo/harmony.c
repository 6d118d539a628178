/* harmony: part writing as tables. Chords of one key in root position or inversion; all
 * their complete voicings within the voices' ranges; and for each pair of voicings a
 * weight: 0 if a rule of part writing is broken (parallel fifths and octaves, overlapping
 * voices, leaps, leading notes and sevenths that don't resolve), otherwise larger for
 * smoother motion. The rules follow Kostka and Payne, "Tonal Harmony", chapters 5 to 13.
 */
#include "harmony.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEGREES = 7, OCTAVE = 12, UPPER_VOICES = 3 };
enum { DEGREE_FOURTH = 3, DEGREE_LEADING = 6 };
enum mode { MAJOR, MINOR };

static const struct {
    int tonic; /* pitch class */
    enum mode mode;
} keys[HARMONY_KEYS] = {{0, MAJOR}, {9, MINOR}};

/* Semitones above the tonic; minor is natural, and dominant chords raise the seventh.
 */
static const int scales[2][DEGREES] = {{0, 2, 4, 5, 7, 9, 11}, {0, 2, 3, 5, 7, 8, 10}};

/* The degree of the bass and, in one or two ways, the degrees of the three upper voices
 * in ascending order.
 */
static const struct {
    int bass;
    int doublings;
    int upper[2][UPPER_VOICES];
    bool raised; /* contains the leading note */
} chords[CHORDS] = {
    [CHORD_I] = {0, 2, {{0, 2, 4}, {0, 0, 2}}, false},
    [CHORD_I6] = {2, 2, {{0, 0, 4}, {0, 4, 4}}, false},
    [CHORD_II6] = {3, 2, {{1, 3, 5}, {1, 1, 5}}, false},
    [CHORD_IV] = {3, 1, {{0, 3, 5}}, false},
    [CHORD_V] = {4, 1, {{1, 4, 6}}, true},
    [CHORD_V6] = {6, 2, {{1, 1, 4}, {1, 4, 4}}, true},
    [CHORD_V7] = {4, 2, {{1, 3, 6}, {3, 4, 6}}, true},
    [CHORD_VI] = {5, 2, {{0, 2, 5}, {0, 0, 2}}, false},
    [CHORD_VII6] = {1, 1, {{1, 3, 6}}, true},
    [CHORD_SIX_FOUR] = {4, 1, {{0, 2, 4}}, false},
};

/* Weight of one chord following another. Row: from; column: to; both as in enum chord. */
static const float progression[CHORDS][CHORDS] = {
    /*            I   I6   ii6  IV   V    V6   V7   vi  vii6  6-4 */
    /* I     */ {2, 1, 2, 3, 3, 2, 1, 2, 2, 2},
    /* I6    */ {1, 1, 2, 3, 2, 2, 1, 1, 2, 2},
    /* ii6   */ {0, 0, 0, 1, 3, 1, 3, 0, 1, 3},
    /* IV    */ {0, 0, 2, 0, 3, 1, 2, 0, 1, 3},
    /* V     */ {3, 1, 0, 0, 0, 1, 2, 2, 1, 0},
    /* V6    */ {3, 1, 0, 0, 1, 0, 2, 1, 1, 0},
    /* V7    */ {3, 1, 0, 0, 0, 0, 0, 2, 0, 0},
    /* vi    */ {1, 1, 3, 3, 2, 1, 1, 1, 1, 2},
    /* vii6  */ {3, 2, 0, 0, 2, 1, 2, 1, 0, 0},
    /* 6-4   */ {0, 0, 0, 0, 2, 0, 3, 0, 0, 0},
};

#define TONIC [CHORD_I] = true, [CHORD_I6] = true, [CHORD_VI] = true
#define SUBDOMINANT [CHORD_II6] = true, [CHORD_IV] = true
#define DOMINANT [CHORD_V] = true, [CHORD_V7] = true, [CHORD_VII6] = true
#define TONIC_SUBSTITUTE [CHORD_I6] = true, [CHORD_VI] = true

/* The chords of a slot, its length, and whether it ends with a rest. */
static const struct {
    int beats;
    bool rest;
    bool chords[CHORDS];
} slots[SLOTS] = {
    [SLOT_TONIC_LONG] = {2, false, {TONIC}},
    [SLOT_TONIC_FIRST] = {1, false, {TONIC}},
    [SLOT_TONIC_SECOND] = {1, false, {TONIC}},
    [SLOT_SUBDOMINANT_LONG] = {2, false, {SUBDOMINANT}},
    [SLOT_SUBDOMINANT_FIRST] = {1, false, {SUBDOMINANT}},
    [SLOT_SUBDOMINANT_SECOND] = {1, false, {SUBDOMINANT}},
    [SLOT_DOMINANT_LONG] = {2, false, {DOMINANT}},
    [SLOT_DOMINANT_FIRST] = {1,
                             false,
                             {[CHORD_SIX_FOUR] = true,
                              [CHORD_V] = true,
                              [CHORD_V6] = true,
                              [CHORD_VII6] = true}},
    [SLOT_DOMINANT_SECOND] = {1, false, {DOMINANT}},
    [SLOT_DECEPTIVE_LONG] = {2, false, {TONIC_SUBSTITUTE}},
    [SLOT_DECEPTIVE_FIRST] = {1, false, {TONIC_SUBSTITUTE}},
    [SLOT_DECEPTIVE_SECOND] = {1, false, {TONIC_SUBSTITUTE}},
    [SLOT_HALF_CADENCE] = {2, true, {[CHORD_V] = true}},
    [SLOT_FULL_CADENCE] = {2, true, {[CHORD_I] = true}},
    [SLOT_FINAL] = {COMPOSER_FINAL_BEATS, false, {[CHORD_I] = true}},
};

#define OPENING [SLOT_TONIC_LONG] = 0.35F, [SLOT_TONIC_FIRST] = 0.65F
#define AFTER_TONIC                                                                      \
    [SLOT_SUBDOMINANT_LONG] = 0.25F, [SLOT_SUBDOMINANT_FIRST] = 0.45F,                   \
    [SLOT_DOMINANT_LONG] = 0.05F, [SLOT_DOMINANT_FIRST] = 0.15F,                         \
    [SLOT_HALF_CADENCE] = 0.10F
#define AFTER_SUBDOMINANT                                                                \
    [SLOT_DOMINANT_LONG] = 0.25F, [SLOT_DOMINANT_FIRST] = 0.55F,                         \
    [SLOT_HALF_CADENCE] = 0.20F
#define AFTER_DOMINANT                                                                   \
    [SLOT_FULL_CADENCE] = 0.61F, [SLOT_FINAL] = 0.04F, [SLOT_DECEPTIVE_LONG] = 0.15F,    \
    [SLOT_DECEPTIVE_FIRST] = 0.2F

static const float slot_transition[SLOTS][SLOTS] = {
    [SLOT_NONE] = {OPENING},
    [SLOT_TONIC_LONG] = {AFTER_TONIC},
    [SLOT_TONIC_FIRST] = {[SLOT_TONIC_SECOND] = 1},
    [SLOT_TONIC_SECOND] = {AFTER_TONIC},
    [SLOT_SUBDOMINANT_LONG] = {AFTER_SUBDOMINANT},
    [SLOT_SUBDOMINANT_FIRST] = {[SLOT_SUBDOMINANT_SECOND] = 1},
    [SLOT_SUBDOMINANT_SECOND] = {AFTER_SUBDOMINANT},
    [SLOT_DOMINANT_LONG] = {AFTER_DOMINANT},
    [SLOT_DOMINANT_FIRST] = {[SLOT_DOMINANT_SECOND] = 1},
    [SLOT_DOMINANT_SECOND] = {AFTER_DOMINANT},
    [SLOT_DECEPTIVE_LONG] = {AFTER_TONIC},
    [SLOT_DECEPTIVE_FIRST] = {[SLOT_DECEPTIVE_SECOND] = 1},
    [SLOT_DECEPTIVE_SECOND] = {AFTER_TONIC},
    [SLOT_HALF_CADENCE] = {OPENING},
    [SLOT_FULL_CADENCE] = {OPENING},
    [SLOT_FINAL] = {[SLOT_END] = 1},
};

static const struct {
    int low, high;
} ranges[COMPOSER_VOICES] = {{40, 57}, {52, 64}, {57, 69}, {64, 76}};

/* Maximum distance to the next voice above, in semitones. */
static const int spacing[COMPOSER_VOICES - 1] = {19, 12, 12};

static const double temperature = 2.0; /* of the costs below */
static const double cost_margin = 2.0; /* excluded if above the best cost by more */
static const double forbidden = HUGE_VAL;

double harmony_slot_probability(enum slot from, enum slot to)
{
    return (double)slot_transition[from][to];
}

int harmony_beats(enum slot slot)
{
    return slots[slot].beats;
}

bool harmony_ends_with_rest(enum slot slot)
{
    return slots[slot].rest;
}

/* A repeated chord is perceived as a new one only after a rest. */
double harmony_progression_weight(enum chord from, enum chord to, enum slot slot)
{
    bool opens = slot == SLOT_TONIC_LONG || slot == SLOT_TONIC_FIRST;
    if (!slots[slot].chords[to] || (from == to && !opens))
        return 0;
    return (double)progression[from][to];
}

static int degree_class(int key, int degree, bool raised)
{
    int alteration = raised && keys[key].mode == MINOR && degree == DEGREE_LEADING;
    return (keys[key].tonic + scales[keys[key].mode][degree] + alteration) % OCTAVE;
}

/* The degree of that pitch among the chord's degrees, or -1. */
static int chord_degree(int key, enum chord chord, int pitch)
{
    for (int i = 0; i < chords[chord].doublings * UPPER_VOICES; i++) {
        int degree = chords[chord].upper[i / UPPER_VOICES][i % UPPER_VOICES];
        if (degree_class(key, degree, chords[chord].raised) == pitch % OCTAVE)
            return degree;
    }
    return -1;
}

static void sort_three(int *v)
{
    for (int i = 1; i < UPPER_VOICES; i++)
        for (int j = i; j > 0 && v[j - 1] > v[j]; j--) {
            int swapped = v[j];
            v[j] = v[j - 1];
            v[j - 1] = swapped;
        }
}

/* True if the upper voices have exactly the degrees of one of the chord's doublings. */
static bool is_complete(const struct voicing *v)
{
    int found[UPPER_VOICES];
    for (int i = 0; i < UPPER_VOICES; i++)
        found[i] = v->degree[VOICE_TENOR + i];
    sort_three(found);
    for (int i = 0; i < chords[v->chord].doublings; i++)
        if (memcmp(found, chords[v->chord].upper[i], sizeof found) == 0)
            return true;
    return false;
}

static void append_voicing(struct harmony *harmony, const struct voicing *voicing)
{
    if (harmony->voicings)
        harmony->voicings[harmony->count] = *voicing;
    harmony->count++;
}

/* Enumerates voices from the bass upwards. If harmony->voicings is NULL, it only
 * counts. */
static void enumerate_voicings(struct harmony *harmony, struct voicing *v, int voice)
{
    if (voice == COMPOSER_VOICES) {
        if (is_complete(v))
            append_voicing(harmony, v);
        return;
    }
    int low = ranges[voice].low, high = ranges[voice].high;
    if (voice > VOICE_BASS && low <= v->pitch[voice - 1])
        low = v->pitch[voice - 1] + 1;
    if (voice > VOICE_BASS && high > v->pitch[voice - 1] + spacing[voice - 1])
        high = v->pitch[voice - 1] + spacing[voice - 1];
    for (int pitch = low; pitch <= high; pitch++) {
        int degree = chord_degree(v->key, v->chord, pitch);
        if (voice == VOICE_BASS) {
            bool raised = chords[v->chord].raised;
            int bass_degree = chords[v->chord].bass;
            degree = degree_class(v->key, bass_degree, raised) == pitch % OCTAVE
                         ? bass_degree
                         : -1;
        }
        if (degree < 0)
            continue;
        v->pitch[voice] = (uint8_t)pitch;
        v->degree[voice] = (uint8_t)degree;
        enumerate_voicings(harmony, v, voice + 1);
    }
}

static void list_voicings(struct harmony *harmony)
{
    harmony->count = 0;
    for (int key = 0; key < HARMONY_KEYS; key++)
        for (int chord = 0; chord < CHORDS; chord++) {
            struct voicing v = {.key = (uint8_t)key, .chord = (uint8_t)chord};
            enumerate_voicings(harmony, &v, VOICE_BASS);
        }
}

/* Cost of a move by `semitones`. Steps are cheapest in the soprano and the bass, staying
 * in the inner voices; only the bass leaps by fifths and octaves. */
static double move_cost(int voice, int semitones)
{
    static const double soprano[] = {1.0, 0, 0, 0.7, 0.7, 1.4};
    static const double inner[] = {0, 0.3, 0.3, 0.9, 0.9, 1.8};
    static const double bass[] = {0.5,      0,        0,   0.3,      0.3,
                                  0.3,      HUGE_VAL, 0.6, HUGE_VAL, HUGE_VAL,
                                  HUGE_VAL, HUGE_VAL, 1.0};
    size_t distance = (size_t)abs(semitones);
    if (voice == VOICE_BASS)
        return distance < sizeof bass / sizeof *bass ? bass[distance] : forbidden;
    if (distance >= sizeof inner / sizeof *inner)
        return forbidden;
    return voice == VOICE_SOPRANO ? soprano[distance] : inner[distance];
}

static bool is_perfect(int interval)
{
    return interval % OCTAVE == 0 || interval % OCTAVE == 7;
}

/* True if two voices both move and keep a perfect fifth, octave or unison apart. */
static bool is_parallel(const struct voicing *a, const struct voicing *b, int low,
                        int high)
{
    int before = a->pitch[high] - a->pitch[low], after = b->pitch[high] - b->pitch[low];
    return a->pitch[low] != b->pitch[low] && is_perfect(after) &&
           before % OCTAVE == after % OCTAVE;
}

static bool is_overlapping(const struct voicing *a, const struct voicing *b, int voice)
{
    return (voice > 0 && b->pitch[voice] < a->pitch[voice - 1]) ||
           (voice + 1 < COMPOSER_VOICES && b->pitch[voice] > a->pitch[voice + 1]);
}

/* True for an augmented second, or a note of the dominant that doesn't resolve. */
static bool is_unresolved(const struct voicing *a, const struct voicing *b, int voice)
{
    int move = b->pitch[voice] - a->pitch[voice];
    int steps = abs(b->degree[voice] - a->degree[voice]);
    if (abs(move) == 3 && (steps == 1 || steps == DEGREES - 1))
        return true;
    if (a->chord == CHORD_V7 && a->degree[voice] == DEGREE_FOURTH)
        return move != -1 && move != -2;
    bool outer = voice == VOICE_BASS || voice == VOICE_SOPRANO;
    if (outer && chords[a->chord].raised && !chords[b->chord].raised &&
        a->degree[voice] == DEGREE_LEADING)
        return move != 1;
    return false;
}

static double transition_cost(const struct voicing *a, const struct voicing *b)
{
    double cost = 0.07 * abs(b->pitch[VOICE_SOPRANO] - 70);
    for (int voice = 0; voice < COMPOSER_VOICES; voice++) {
        cost += move_cost(voice, b->pitch[voice] - a->pitch[voice]);
        if (is_overlapping(a, b, voice) || is_unresolved(a, b, voice))
            return forbidden;
        for (int low = 0; low < voice; low++)
            if (is_parallel(a, b, low, voice))
                return forbidden;
    }
    return cost;
}

double harmony_opening_weight(const struct voicing *voicing)
{
    if (voicing->is_dead_end)
        return 0;
    return exp(-abs(voicing->pitch[VOICE_SOPRANO] - 70) / 3.0);
}

/* Weights of the transitions from voicing a to the voicings [first, end) of one chord.
 * Costly ones get 0, so that rare transitions do not occur at all. */
static void set_chord_weights(struct harmony *harmony, int a, int first, int end)
{
    float *weight = harmony->weight + (size_t)a * (size_t)harmony->count;
    const struct voicing *from = &harmony->voicings[a];
    double best = HUGE_VAL;
    for (int b = first; b < end; b++)
        best = fmin(best, transition_cost(from, &harmony->voicings[b]));
    for (int b = first; b < end; b++) {
        double cost = transition_cost(from, &harmony->voicings[b]);
        bool allowed = cost < HUGE_VAL && cost <= best + cost_margin;
        weight[b] = allowed ? (float)exp((best - cost) / temperature) : 0.0F;
    }
}

static void set_weights_from(struct harmony *harmony, int a)
{
    const struct voicing *all = harmony->voicings;
    for (int first = 0, end; first < harmony->count; first = end) {
        end = first;
        while (end < harmony->count && all[end].key == all[first].key &&
               all[end].chord == all[first].chord)
            end++;
        if (all[first].key == all[a].key)
            set_chord_weights(harmony, a, first, end);
    }
}

static bool has_successor(const struct harmony *harmony, int a, enum slot slot)
{
    const float *weight = harmony->weight + (size_t)a * (size_t)harmony->count;
    enum chord from = harmony->voicings[a].chord;
    for (int b = 0; b < harmony->count; b++)
        if (weight[b] > 0 &&
            harmony_progression_weight(from, harmony->voicings[b].chord, slot) > 0)
            return true;
    return false;
}

/* True if the piece can continue from this voicing in any slot. */
static bool can_continue(const struct harmony *harmony, int a)
{
    for (enum slot slot = 0; slot < SLOTS; slot++)
        for (enum slot next = 0; next < SLOT_END; next++)
            if (slots[slot].chords[harmony->voicings[a].chord] &&
                slot_transition[slot][next] > 0 && !has_successor(harmony, a, next))
                return false;
    return true;
}

/* Removes voicings from which a piece could not continue, until none remain. */
static void prune(struct harmony *harmony)
{
    size_t count = (size_t)harmony->count;
    for (size_t a = 0; a < count; a++) {
        if (harmony->voicings[a].is_dead_end || can_continue(harmony, (int)a))
            continue;
        harmony->voicings[a].is_dead_end = true;
        for (size_t from = 0; from < count; from++)
            harmony->weight[from * count + a] = 0;
        a = (size_t)-1; /* voicings that lead only here are now dead ends: restart */
    }
}

enum status harmony_create(struct harmony *out)
{
    *out = (struct harmony){0};
    list_voicings(out);
    size_t count = (size_t)out->count;
    out->voicings = calloc(count, sizeof *out->voicings);
    out->weight = calloc(count * count, sizeof *out->weight);
    if (!out->voicings || !out->weight) {
        harmony_free(out);
        return status_fail(STATUS_FAILED, "composer: out of memory");
    }
    list_voicings(out);
    for (int a = 0; a < out->count; a++)
        set_weights_from(out, a);
    prune(out);
    return STATUS_OK;
}

void harmony_free(struct harmony *harmony)
{
    free(harmony->voicings);
    free(harmony->weight);
    *harmony = (struct harmony){0};
}

/* The pitch of the scale a second above (step 1) or below (-1); 0 if there is none. */
static int scale_neighbour(const struct voicing *from, int voice, int step)
{
    int degree = (from->degree[voice] + step + DEGREES) % DEGREES;
    int pitch_class = degree_class(from->key, degree, false);
    for (int semitones = 1; semitones <= 2; semitones++)
        if ((from->pitch[voice] + step * semitones) % OCTAVE == pitch_class)
            return from->pitch[voice] + step * semitones;
    return 0;
}

static bool fits_between(const struct voicing *chord, int voice, int pitch)
{
    return (voice == VOICE_BASS || pitch > chord->pitch[voice - 1]) &&
           (voice == VOICE_SOPRANO || pitch < chord->pitch[voice + 1]);
}

int harmony_ornament_pitch(const struct voicing *from, const struct voicing *to,
                           int voice)
{
    int move = to->pitch[voice] - from->pitch[voice];
    int pitch = 0;
    if (abs(move) == 3 || abs(move) == 4) {
        pitch = scale_neighbour(from, voice, move > 0 ? 1 : -1);
        int interval = abs(to->pitch[voice] - pitch);
        if (interval != 1 && interval != 2)
            pitch = 0;
    } else if (move == 0 && voice == VOICE_SOPRANO) {
        pitch = scale_neighbour(from, voice, 1);
    }
    return pitch && fits_between(from, voice, pitch) ? pitch : 0;
}
