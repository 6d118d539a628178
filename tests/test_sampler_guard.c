/* The sampler's guard, compared with a definition that searches the entire piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sampler_fakes.h"
#include "generate/guard.h"

/* Prefers to repeat one note: on, `shift`, off, `shift`. */
static void repeat_one_note(const struct fake *fake, int row, token shift, real *logits)
{
    token last = last_seen(fake, row);
    fill_random(fake, row, logits);
    bool sounding = false;
    for (size_t i = 0; i < fake->seen[row].count; i++)
        sounding = fake->seen[row].items[i] == 60 ||
                   (sounding && fake->seen[row].items[i] != OFF + 60);
    if (last == fake->encoding->end)
        logits[VELOCITY + 20] = 100;
    else if (last == 60 || last == OFF + 60)
        logits[shift] = 100;
    else
        logits[sounding ? OFF + 60 : 60] = 100;
}

static void fill_one_note(const struct fake *fake, int row, real *logits)
{
    repeat_one_note(fake, row, SHIFT + 25, logits);
}

static void fill_one_slow_note(const struct fake *fake, int row, real *logits)
{
    repeat_one_note(fake, row, SHIFT + 100, logits);
}

static void fill_mute(const struct fake *fake, int row, real *logits)
{
    fill_random(fake, row, logits);
    for (size_t value = 0; value < fake->encoding->vocabulary; value++)
        if (token_seconds(fake->encoding, (token)value) > 0)
            logits[value] = 100;
}

/* True if tokens[n] continues a cycle that the guard forbids. Searches back from n. */
static bool continues_a_stuck_cycle(const struct encoding *encoding, const token *tokens,
                                    size_t n)
{
    for (size_t period = 1; period <= 64 && 4 * period <= n; period++) {
        size_t from = n; /* tokens[from..n) equal the tokens one period earlier */
        while (from > period && tokens[from - 1] == tokens[from - 1 - period])
            from--;
        if (n - from + period < 4 * period || tokens[n] != tokens[n - period])
            continue;
        double lasted = seconds_of(encoding, tokens + from, n - from);
        if (count_sounds(encoding, tokens + n - period, period) && lasted >= 4 - 1e-6)
            return true;
    }
    return false;
}

/* Each token must be the model's most probable one, unless grammar or guard forbid it. */
static void assert_free_where_not_stuck(const struct run *run, const token *tokens,
                                        size_t count)
{
    const struct encoding *encoding = run->encoding;
    const token *wanted = run->fake->wanted.items;
    bool allowed[400];
    struct grammar grammar;
    struct tokens imagined = {0};
    encoding->grammar_start(encoding, &grammar);
    for (size_t n = 0; n < count; n++) {
        encoding->grammar_allowed(encoding, &grammar, allowed);
        assert_int_equal(tokens_append(&imagined, wanted[n]), STATUS_OK);
        bool stuck = continues_a_stuck_cycle(encoding, imagined.items, n);
        assert_int_equal(tokens[n] == wanted[n], allowed[wanted[n]] && !stuck);
        imagined.items[n] = tokens[n];
        encoding->grammar_accept(encoding, &grammar, tokens[n]);
    }
    tokens_free(&imagined);
}

static void assert_guard_breaks(const char *name,
                                void (*fill)(const struct fake *, int, real *),
                                size_t period, double earliest, double latest)
{
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    settings.guard = false;
    settings.seconds = 60;
    settings.max_silence = 1000;
    struct run off = do_run(name, fill, &settings, 1);
    settings.guard = true;
    struct run on = do_run(name, fill, &settings, 1);
    size_t off_count = 0, on_count = 0, same = 0;
    const token *free_tokens = drawn(&off, 0, &off_count);
    const token *guarded = drawn(&on, 0, &on_count);
    for (size_t n = 1 + period; n < off_count; n++)
        assert_int_equal(free_tokens[n], free_tokens[n - period]);
    while (same < on_count && guarded[same] == free_tokens[same])
        same++;
    double until = seconds_of(on.encoding, guarded, same);
    assert_true(until >= earliest && until <= latest);
    assert_free_where_not_stuck(&on, guarded, on_count);
    assert_true(seconds_of(on.encoding, guarded, on_count) > 58);
    assert_string_equal(well_formed(on.encoding, guarded, on_count, 0), "");
    end_run(&off);
    end_run(&on);
}

static void breaks_endless_repetition(void **state)
{
    (void)state;
    assert_guard_breaks("performance", fill_one_note, 4, 4, 5);
    assert_guard_breaks("performance", fill_one_slow_note, 4, 7, 8); /* four times */
    assert_guard_breaks("pianoroll", fill_one_chord, 3, 4, 5);
}

/* Strikes 60, the only free pitch, with two alternating velocities. */
static void fill_two_velocities(const struct fake *fake, int row, real *logits)
{
    static const token cycle[] = {60, SHIFT + 50, OFF + 60, SHIFT + 50, VELOCITY + 1,
                                  60, SHIFT + 50, OFF + 60, SHIFT + 50, VELOCITY};
    fill_random(fake, row, logits);
    logits[cycle[(fake->seen[row].count - 130) % 10]] = 100;
}

static void grammar_takes_precedence(void **state)
{
    (void)state;
    token full[1 + 127 + 1]; /* all pitches but 60 sound; a VELOCITY is pending */
    size_t count = 0;
    full[count++] = VELOCITY + 3;
    for (token pitch = 0; pitch < 128; pitch++)
        if (pitch != 60)
            full[count++] = pitch;
    full[count++] = VELOCITY + 2;
    assert_int_equal(count, 129);
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    struct run run;
    assert_int_equal(try_run(&run, "performance", fill_two_velocities, &settings, 1, full,
                             count, false),
                     STATUS_OK);
    const token *tokens = drawn(&run, 0, &count);
    assert_true(count > 129 + 42);
    tokens += 129;
    assert_int_equal(tokens[39], VELOCITY);
    assert_int_equal(tokens[40], 60); /* the fifth one: nothing else is allowed */
    assert_int_not_equal(tokens[41], SHIFT + 50);
    end_run(&run);
}

static void includes_the_primer(void **state)
{
    (void)state;
    token song[1 + 10 * 4] = {VELOCITY + 20};
    for (int i = 0; i < 10; i++)
        memcpy(song + 1 + 4 * i, (const token[]){60, SHIFT + 25, OFF + 60, SHIFT + 25},
               4 * sizeof(token));
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    struct run run;
    assert_int_equal(
        try_run(&run, "performance", fill_one_note, &settings, 2, song, 41, false),
        STATUS_OK);
    for (int row = 0; row < 2; row++)
        assert_int_not_equal(run.fake->seen[row].items[1 + 41], 60);
    assert_true(same_notes(&run.pieces[0], &run.pieces[1]));
    end_run(&run);
}

static void breaks_long_silence(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sampler_settings settings = plain;
        settings.guard = false;
        struct run off = do_run(i ? "pianoroll" : "performance", fill_mute, &settings, 2);
        assert_int_equal(off.pieces[0].count + off.pieces[1].count, 0);
        settings.guard = true;
        settings.max_silence = 2.5;
        struct run on = do_run(i ? "pianoroll" : "performance", fill_mute, &settings, 2);
        size_t count = 0, sounds = 0;
        const token *tokens = drawn(&on, 1, &count);
        double since = 0;
        for (size_t n = 0; n < count; n++) {
            double moves = token_seconds(on.encoding, tokens[n]);
            bool sound = on.encoding->token_sounds(on.encoding, tokens[n]);
            if (moves > 0)
                assert_true(since < 2.5 - 1e-6);
            since = sound ? 0 : since + moves;
            sounds += sound;
        }
        assert_true(sounds >= 5 && sounds <= 8); /* as few as the guard allows */
        assert_int_equal(on.pieces[1].count, sounds);
        end_run(&on);
        settings.max_silence = 9;
        settings.temperature = 0; /* repeated shifts: silence is not a cycle */
        on = do_run(i ? "pianoroll" : "performance", fill_mute, &settings, 1);
        tokens = drawn(&on, 0, &count);
        since = 0;
        for (size_t n = 0; n < count; n++) {
            double moves = token_seconds(on.encoding, tokens[n]);
            assert_true(moves > 0 || since > 9 - 1e-6);
            since = on.encoding->token_sounds(on.encoding, tokens[n]) ? 0 : since + moves;
        }
        assert_int_equal(count_sounds(on.encoding, tokens, count), 2);
        end_run(&off);
        end_run(&on);
    }
}

/* ---- long notes ---- */

/* Strikes 60 and never releases it; everything else is random. */
static void fill_stuck(const struct fake *fake, int row, real *logits)
{
    bool performance = fake->encoding->vocabulary > STEP + 2;
    token last = last_seen(fake, row);
    fill_random(fake, row, logits);
    if (performance) {
        logits[60] = 50;
        logits[OFF + 60] = -1e4F;
    } else { /* key 0 is the first of every step */
        logits[0] = last == STEP || last == fake->encoding->end ? 50 : 0;
    }
}

/* For how many seconds the note of `pitch` has sounded after tokens[0..count) of the
 * performance encoding, or the key in all steps before the current one of the pianoroll.
 * Searches back from the end. */
static double find_age(const struct encoding *encoding, const token *tokens, size_t count,
                       token pitch)
{
    bool performance = encoding->vocabulary > STEP + 2, held = false;
    double age = 0;
    for (size_t n = count; n-- > 0;) {
        if (performance && tokens[n] == OFF + pitch)
            return 0;
        if (performance && tokens[n] == pitch)
            return age;
        age += performance ? token_seconds(encoding, tokens[n]) : 0;
    }
    size_t n = count;
    while (!performance && n > 0 && tokens[n - 1] != STEP)
        n--;
    for (; !performance && n-- > 0 && tokens[n] == STEP; age += held ? 0.125 : 0) {
        for (held = false; n > 0 && tokens[n - 1] != STEP; n--)
            held |= tokens[n - 1] == pitch;
        if (!held)
            break;
    }
    return performance ? 0 : age;
}

/* The most seconds that any note has sounded after tokens[0..count). */
static double find_oldest(const struct encoding *encoding, const token *tokens,
                          size_t count)
{
    double oldest = 0;
    token pitches = encoding->vocabulary > STEP + 2 ? 128 : STEP;
    for (token pitch = 0; pitch < pitches; pitch++)
        oldest = fmax(oldest, find_age(encoding, tokens, count, pitch));
    return oldest;
}

/* Where a note is too old, the next token ends one (performance), or doesn't continue it
 * (pianoroll). Returns how often one was ended. */
static int assert_long_notes_end(const struct encoding *encoding, const token *tokens,
                                 size_t count, double longest)
{
    int ended = 0;
    for (size_t n = 0; n < count; n++) {
        bool performance = encoding->vocabulary > STEP + 2;
        if (find_oldest(encoding, tokens, n) < longest - 1e-6)
            continue;
        token value = tokens[n];
        double age = find_age(encoding, tokens, n, performance ? value - OFF : value);
        if (performance)
            assert_true(value >= OFF && value <= SHIFT && age > longest - 1e-6);
        else
            assert_true(value == STEP || age < longest - 1e-6);
        ended++;
    }
    return ended;
}

static void ends_long_notes(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct sampler_settings settings = plain;
        settings.seconds = 30;
        bool stuck = (i & 2) == 0;
        settings.temperature = stuck ? 1 : 20;
        struct run free =
            do_run(i & 1 ? "pianoroll" : "performance", fill_stuck, &settings, 2);
        settings.max_note_seconds = 3.5;
        struct run run =
            do_run(i & 1 ? "pianoroll" : "performance", fill_stuck, &settings, 2);
        double slowest_token = i & 1 ? 0.125 : 1, longest = 0;
        for (int row = 0; row < 2; row++) {
            size_t count = 0, same = 0;
            const token *tokens = drawn(&run, row, &count);
            assert_true(assert_long_notes_end(run.encoding, tokens, count, 3.5) > 3 ||
                        !stuck);
            assert_string_equal(well_formed(run.encoding, tokens, count, 0), "");
            for (size_t k = 0; k < run.pieces[row].count; k++)
                assert_true(run.pieces[row].items[k].duration < 3.5 + slowest_token);
            for (size_t k = 0; k < free.pieces[row].count; k++)
                longest = fmax(longest, free.pieces[row].items[k].duration);
            if (!stuck)
                continue;
            const token *free_tokens = drawn(&free, row, &count);
            while (same < count && tokens[same] == free_tokens[same])
                same++; /* the first difference is where a note is too long */
            assert_true(find_oldest(run.encoding, tokens, same) > 3.5 - 1e-6);
        }
        assert_true(longest > 4.5 || !stuck);
        end_run(&run);
        end_run(&free);
    }
}

/* Without a token that ends the note, the grammar has precedence. */
static void long_notes_leave_a_token(void **state)
{
    (void)state;
    struct encoding *encoding = NULL;
    struct grammar grammar;
    bool allowed[400];
    assert_int_equal(encoding_create("performance", NULL, &encoding), STATUS_OK);
    encoding->grammar_start(encoding, &grammar);
    static const token pending[] = {VELOCITY, 60, SHIFT + 100, SHIFT + 100, VELOCITY + 1};
    for (int i = 0; i < 5; i++)
        encoding->grammar_accept(encoding, &grammar, pending[i]);
    for (int i = 0; i < 2; i++) { /* NOTE_OFF is possible after the pending NOTE_ON */
        encoding->grammar_allowed(encoding, &grammar, allowed);
        encoding->grammar_end_long_notes(encoding, &grammar, 2, allowed);
        assert_int_equal(allowed[62], i == 0);
        assert_int_equal(allowed[OFF + 60], i == 1);
        encoding->grammar_accept(encoding, &grammar, 62);
    }
    encoding->grammar_start(encoding, &grammar);
    encoding->grammar_accept(encoding, &grammar, VELOCITY);
    encoding->grammar_accept(encoding, &grammar, 60); /* can't end at once */
    encoding->grammar_allowed(encoding, &grammar, allowed);
    encoding->grammar_end_long_notes(encoding, &grammar, 1e-12, allowed);
    assert_true(allowed[SHIFT + 1]);
    encoding_free(encoding);
}

static void ignores_tokens_outside_the_vocabulary(void **state)
{
    (void)state;
    enum { VOCABULARY = 389, UNKNOWN = VOCABULARY + 1 };
    static const token cycle[] = {60, SHIFT + 100, UNKNOWN};
    struct encoding *encoding = NULL;
    struct guard guard = {0};
    bool allowed[VOCABULARY + 2];
    assert_int_equal(encoding_create("performance", "", &encoding), STATUS_OK);
    assert_int_equal(encoding->vocabulary, VOCABULARY);
    memset(allowed, true, sizeof allowed);
    const struct grammar now = {.seconds = 29};
    for (int i = 0; i < 29; i++) /* UNKNOWN would come next */
        guard_accept(&guard, encoding, cycle[i % 3], i);
    guard_restrict(&guard, encoding, &now, 100, allowed);
    assert_true(allowed[UNKNOWN]);
    guard_accept(&guard, encoding, UNKNOWN, 29);
    guard_restrict(&guard, encoding, &now, 100, allowed);
    assert_false(allowed[60]);
    encoding_free(encoding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(breaks_endless_repetition),
        cmocka_unit_test(grammar_takes_precedence),
        cmocka_unit_test(includes_the_primer),
        cmocka_unit_test(breaks_long_silence),
        cmocka_unit_test(ends_long_notes),
        cmocka_unit_test(long_notes_leave_a_token),
        cmocka_unit_test(ignores_tokens_outside_the_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
