/* The composer as a black box. Its pieces are encoded, and all paths of the automaton
 * that yield these tokens are searched: there must be exactly one, with the reported
 * probability. Naive code checks the musical rules on the notes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "demo/composer.h"
#include "encode/encoding.h"

enum {
    PIECES = 100,
    HALF_BEAT = COMPOSER_TICKS_PER_BEAT / 2,
    LOWEST_KEY = 21,
    SEED = 20240229
};

static struct composer *composer;

static int set_up(void **state)
{
    (void)state;
    return (int)composer_create(&composer);
}

static int tear_down(void **state)
{
    (void)state;
    composer_free(composer);
    return 0;
}

/* ---- the automaton ---- */

static void check_choices(const struct composer_choices *choices)
{
    double sum = 0;
    assert_in_range(choices->count, 1, COMPOSER_CHOICES_MAX);
    for (int i = 0; i < choices->count; i++) {
        assert_true(choices->probability[i] > 0);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(choices->value[i], choices->value[j]);
        sum += choices->probability[i];
    }
    assert_true(fabs(sum - 1) < 1e-12);
}

/* The part of a state that affects later choices, as an integer. */
static uint64_t state_number(const struct composer_state *s)
{
    const int parts[] = {(int)s->stage, s->key,        s->slot,        s->voicing,
                         s->next_slot,  s->next_chord, s->next_voicing};
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        number = number * 512 + (uint64_t)parts[i];
    return number;
}

/* Clears the members that no longer have an effect. */
static struct composer_state clear_unused(struct composer_state s)
{
    if (s.stage <= COMPOSER_SLOT)
        s.next_slot = 0;
    if (s.stage <= COMPOSER_CHORD)
        s.next_chord = 0;
    if (s.stage <= COMPOSER_VOICING)
        s.next_voicing = 0;
    if (s.stage == COMPOSER_ORNAMENT)
        s.next_chord = 0;
    return s;
}

struct visited {       /* an open-addressing hash table and a queue in one */
    uint64_t *numbers; /* [capacity]: state's number + 1; 0: free */
    struct composer_state *queue;
    size_t capacity, count;
};

static void visit(struct visited *visited, struct composer_state state)
{
    state = clear_unused(state);
    uint64_t number = state_number(&state) + 1;
    size_t index = (size_t)(number * 0x9E3779B97F4A7C15u % visited->capacity);
    while (visited->numbers[index] && visited->numbers[index] != number)
        index = (index + 1) % visited->capacity;
    if (visited->numbers[index])
        return;
    visited->numbers[index] = number;
    assert_true(visited->count < visited->capacity / 2);
    visited->queue[visited->count++] = state;
}

/* Every reachable state has choices, with probabilities that sum to 1. */
static void probabilities_sum_to_one(void **unused)
{
    (void)unused;
    struct visited visited = {.capacity = 1 << 20};
    struct composer_choices choices;
    bool ends = false;
    visited.numbers = calloc(visited.capacity, sizeof *visited.numbers);
    visited.queue = calloc(visited.capacity / 2 + 1, sizeof *visited.queue);
    assert_non_null(visited.numbers);
    assert_non_null(visited.queue);
    visit(&visited, (struct composer_state){0});
    for (size_t i = 0; i < visited.count; i++) {
        struct composer_state state = visited.queue[i];
        composer_list_choices(composer, &state, &choices);
        if (state.stage == COMPOSER_END) {
            assert_int_equal(choices.count, 0);
            ends = true;
            continue;
        }
        check_choices(&choices);
        for (int j = 0; j < choices.count; j++) {
            struct composer_state next = state;
            composer_choose(&next, choices.value[j]);
            visit(&visited, next);
        }
    }
    assert_true(ends);
    assert_true(visited.count > 1000);
    free(visited.numbers);
    free(visited.queue);
}

/* ---- recovering the decisions from the tokens ---- */

struct frame { /* the pitches that sound in a half beat, ascending */
    int count;
    uint8_t pitch[8];
};

struct frames {
    struct frame *items;
    int count;
};

static struct frames frames_of(const struct notes *notes)
{
    struct encoding *encoding = NULL;
    struct tokens tokens = {0};
    assert_int_equal(encoding_create("pianoroll", "1/2", &encoding), STATUS_OK);
    assert_int_equal(encoding->encode(encoding, notes, &tokens), STATUS_OK);
    struct frames frames = {calloc(tokens.count + 1, sizeof(struct frame)), 0};
    assert_non_null(frames.items);
    for (size_t i = 0; i < tokens.count; i++) {
        struct frame *frame = &frames.items[frames.count];
        if (tokens.items[i] >= 88) {
            frames.count++;
        } else {
            assert_in_range(frame->count, 0, 7);
            frame->pitch[frame->count++] = (uint8_t)(tokens.items[i] + LOWEST_KEY);
        }
    }
    tokens_free(&tokens);
    encoding_free(encoding);
    return frames;
}

static bool frame_is(const struct frame *frame, const uint8_t *pitches)
{
    return frame->count == COMPOSER_VOICES &&
           memcmp(frame->pitch, pitches, COMPOSER_VOICES) == 0;
}

/* True if the frames from `at` match this chord to its end. */
static bool chord_matches(const struct frames *frames, int at,
                          const struct composer_state *chord, int ornament, int next)
{
    uint8_t pitches[COMPOSER_VOICES];
    int length = 2 * composer_beats(chord->slot);
    int sounding = composer_ends_with_rest(chord->slot) ? length - 1 : length;
    memcpy(pitches, composer_pitches(composer, chord->voicing), sizeof pitches);
    if (at + length > frames->count)
        return false;
    for (int i = 0; i < length; i++) {
        if (ornament && i == length - 1)
            pitches[ornament - 1] =
                composer_ornament_pitch(composer, chord->voicing, next, ornament);
        bool matches = i < sounding ? frame_is(&frames->items[at + i], pitches)
                                    : frames->items[at + i].count == 0;
        if (!matches)
            return false;
    }
    return true;
}

struct search {
    const struct frames *frames;
    int paths;
    double log_probability; /* of the last path found */
};

static void search_from(struct search *search, struct composer_state state, int at,
                        double log_probability);

/* Applies one choice and continues if it agrees with the frames. */
static void try_choice(struct search *search, struct composer_state state, int at,
                       int value, double log_probability)
{
    struct composer_state next = state;
    composer_choose(&next, value);
    bool chord_done =
        state.slot != 0 && (next.stage == COMPOSER_SLOT || next.stage == COMPOSER_END);
    if (state.stage == COMPOSER_VOICING) {
        int begins = at + (state.slot ? 2 * composer_beats(state.slot) : 0);
        if (begins >= search->frames->count ||
            !frame_is(&search->frames->items[begins], composer_pitches(composer, value)))
            return;
    }
    if (chord_done) {
        int ornament = state.stage == COMPOSER_ORNAMENT ? value : 0;
        if (!chord_matches(search->frames, at, &state, ornament, next.voicing))
            return;
        at += 2 * composer_beats(state.slot);
    }
    search_from(search, next, at, log_probability);
}

static void search_from(struct search *search, struct composer_state state, int at,
                        double log_probability)
{
    struct composer_choices choices;
    if (state.stage == COMPOSER_END) {
        if (at == search->frames->count) {
            search->paths++;
            search->log_probability = log_probability;
        }
        return;
    }
    composer_list_choices(composer, &state, &choices);
    for (int i = 0; i < choices.count; i++)
        try_choice(search, state, at, choices.value[i],
                   log_probability + log(choices.probability[i]));
}

/* Exactly one sequence of decisions yields these tokens, with the reported
 * probability. */
static void each_piece_has_exactly_one_path(void **unused)
{
    (void)unused;
    struct composition piece = {0};
    for (uint64_t number = 0; number < PIECES; number++) {
        assert_int_equal(composer_compose(composer, SEED, number, &piece), STATUS_OK);
        struct frames frames = frames_of(&piece.notes);
        struct search search = {.frames = &frames};
        search_from(&search, (struct composer_state){0}, 0, 0);
        assert_int_equal(search.paths, 1);
        assert_true(fabs(search.log_probability - piece.log_probability) <
                    1e-9 * fabs(piece.log_probability));
        free(frames.items);
    }
    notes_free(&piece.notes);
}

/* Pieces are sampled with the reported probabilities: otherwise the mean of -log p would
 * not be the entropy. Tolerance: four standard errors. */
static void mean_log_probability_is_the_entropy(void **unused)
{
    (void)unused;
    enum { MANY = 2000 };
    struct composition piece = {0};
    double sum = 0, squares = 0;
    for (uint64_t number = 0; number < MANY; number++) {
        assert_int_equal(composer_compose(composer, SEED, number, &piece), STATUS_OK);
        double excess = -piece.log_probability - piece.entropy;
        assert_true(piece.entropy > 0);
        sum += excess;
        squares += excess * excess;
    }
    double deviation = sqrt(squares / MANY);
    assert_true(fabs(sum / MANY) < 4 * deviation / sqrt(MANY));
    notes_free(&piece.notes);
}

/* ---- music ---- */

/* The voices' pitches in each half beat, bass first; 0 is silence. */
static uint8_t (*voices_of(const struct notes *notes, int *count))[COMPOSER_VOICES]
{
    *count = (int)lround(notes_duration(notes) * 1e6 / COMPOSER_TEMPO * 2);
    uint8_t(*grid)[COMPOSER_VOICES] = calloc((size_t)*count, sizeof *grid);
    assert_non_null(grid);
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        assert_in_range(note->channel, 0, COMPOSER_VOICES - 1);
        assert_int_equal(note->start_tick % HALF_BEAT, 0);
        assert_int_equal(note->duration_ticks % HALF_BEAT, 0);
        uint32_t first = note->start_tick / HALF_BEAT;
        for (uint32_t h = 0; h < note->duration_ticks / HALF_BEAT; h++) {
            assert_in_range(first + h, 0, *count - 1);
            uint8_t *pitch = &grid[first + h][VOICE_SOPRANO - note->channel];
            assert_int_equal(*pitch, 0);
            *pitch = note->pitch;
        }
    }
    return grid;
}

static void check_half_beat(const uint8_t *pitch)
{
    static const int low[] = {36, 48, 53, 60}, high[] = {60, 67, 74, 81};
    for (int voice = 0; voice < COMPOSER_VOICES; voice++) {
        assert_in_range(pitch[voice], low[voice], high[voice]);
        if (voice > 0)
            assert_true(pitch[voice] > pitch[voice - 1]);
    }
}

static void check_no_parallels(const uint8_t *from, const uint8_t *to)
{
    for (int high = 1; high < COMPOSER_VOICES; high++)
        for (int low = 0; low < high; low++) {
            int before = (from[high] - from[low]) % 12, after = (to[high] - to[low]) % 12;
            bool moves = from[low] != to[low] && from[high] != to[high];
            assert_false(moves && before == after && (after == 0 || after == 7));
        }
}

/* The last chord must be a tonic triad of C major or A minor in root position. */
static void check_final(const uint8_t *pitch)
{
    int root = pitch[VOICE_BASS] % 12;
    assert_true(root == 0 || root == 9);
    for (int voice = 0; voice < COMPOSER_VOICES; voice++) {
        int above = (pitch[voice] + 12 - root) % 12;
        assert_true(above == 0 || above == 7 || above == (root == 0 ? 4 : 3));
    }
}

static void check_music(const struct notes *notes)
{
    int count = 0;
    uint8_t(*grid)[COMPOSER_VOICES] = voices_of(notes, &count);
    const uint8_t *chord = grid[0]; /* the first chord */
    for (int h = 0; h < count; h++) {
        bool silent = grid[h][0] == 0;
        for (int voice = 1; voice < COMPOSER_VOICES; voice++)
            assert_int_equal(grid[h][voice] == 0, silent);
        if (silent)
            continue;
        check_half_beat(grid[h]);
        if (h % 2 == 0) {
            check_no_parallels(chord, grid[h]);
            chord = grid[h];
        }
    }
    check_final(grid[count - 1]);
    for (int h = count - 2 * COMPOSER_FINAL_BEATS; h < count; h++)
        assert_memory_equal(grid[h], grid[count - 1], COMPOSER_VOICES);
    free(grid);
}

static void pieces_obey_the_rules_of_part_writing(void **unused)
{
    (void)unused;
    struct composition piece = {0};
    bool has_rest = false, has_ornament = false;
    for (uint64_t number = 0; number < PIECES; number++) {
        assert_int_equal(composer_compose(composer, SEED, number, &piece), STATUS_OK);
        check_music(&piece.notes);
        uint32_t end = 0;
        for (size_t i = 0; i < piece.notes.count; i++) {
            const struct note *note = &piece.notes.items[i];
            has_rest |= note->start_tick > end;
            has_ornament |= note->start_tick % COMPOSER_TICKS_PER_BEAT != 0;
            if (note->start_tick + note->duration_ticks > end)
                end = note->start_tick + note->duration_ticks;
        }
    }
    assert_true(has_rest);
    assert_true(has_ornament);
    notes_free(&piece.notes);
}

static void same_seed_gives_the_same_piece(void **unused)
{
    (void)unused;
    struct composition one = {0}, again = {0}, other = {0};
    struct composer *second = NULL;
    assert_int_equal(composer_create(&second), STATUS_OK);
    assert_int_equal(composer_compose(composer, SEED, 7, &one), STATUS_OK);
    assert_int_equal(composer_compose(second, SEED, 8, &other), STATUS_OK);
    assert_int_equal(composer_compose(second, SEED, 7, &again), STATUS_OK);
    struct hash128 hash = notes_hash(&one.notes);
    assert_int_equal(hash128_compare(hash, notes_hash(&again.notes)), 0);
    assert_true(one.log_probability == again.log_probability);
    assert_int_not_equal(hash128_compare(hash, notes_hash(&other.notes)), 0);
    assert_int_equal(composer_compose(second, SEED + 1, 7, &other), STATUS_OK);
    assert_int_not_equal(hash128_compare(hash, notes_hash(&other.notes)), 0);
    composer_free(second);
    notes_free(&one.notes);
    notes_free(&again.notes);
    notes_free(&other.notes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_sum_to_one),
        cmocka_unit_test(each_piece_has_exactly_one_path),
        cmocka_unit_test(mean_log_probability_is_the_entropy),
        cmocka_unit_test(pieces_obey_the_rules_of_part_writing),
        cmocka_unit_test(same_seed_gives_the_same_piece),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
