/* sampler on remi: pieces of random logits are well formed; the guard's limits, the scale,
 * the end and a primer, in bars and at changing tempos. */
#include "sampler_fakes.h"

enum { PIECES = 6 };

static struct run run_remi(const struct sampler_settings *settings,
                           void (*fill)(const struct fake *, int, real *))
{
    return do_run("remi", fill, settings, PIECES);
}

static bool is_kind(const struct encoding *encoding, size_t value, enum remi_kind kind)
{
    return value >= encoding->remi.first[kind] && value < encoding->remi.first[kind + 1];
}

/* Prefers empty bars and long notes. */
static void fill_slow(const struct fake *fake, int row, real *logits)
{
    fill_random(fake, row, logits);
    logits[0] += 20; /* BAR */
    logits[fake->encoding->end - 1] += 20;
}

static void fill_eager_to_end(const struct fake *fake, int row, real *logits)
{
    fill_random(fake, row, logits);
    logits[fake->encoding->end] = 100;
}

/* The grammar after the tokens; the longest time between two sounds. */
static struct grammar walk(const struct encoding *encoding, const token *tokens,
                           size_t count, double *silence)
{
    struct grammar grammar;
    double last = 0;
    encoding->grammar_start(encoding, &grammar);
    *silence = 0;
    for (size_t i = 0; i < count; i++) {
        encoding->grammar_accept(encoding, &grammar, tokens[i]);
        if (encoding->token_sounds(encoding, tokens[i])) {
            *silence = fmax(*silence, grammar.seconds - last);
            last = grammar.seconds;
        }
    }
    return grammar;
}

static void pieces_are_well_formed_and_full_length(void **state)
{
    (void)state;
    struct run run = run_remi(&plain, fill_random);
    for (int row = 0; row < PIECES; row++) {
        size_t count;
        double silence;
        const token *tokens = drawn(&run, row, &count);
        assert_string_equal(well_formed(run.encoding, tokens, count, 0), "");
        struct grammar grammar = walk(run.encoding, tokens, count, &silence);
        assert_true(grammar.seconds < 20); /* without its last token */
        for (size_t i = 0; i < run.pieces[row].count; i++) {
            const struct note *note = &run.pieces[row].items[i];
            assert_true(note->start + note->duration <= 20 + 1e-9);
        }
        assert_true(run.pieces[row].count > 20);
        assert_true(run.pieces[row].tempos.count > 1);
        assert_true(run.pieces[row].signatures.count > 1);
    }
    end_run(&run);
}

/* A bar of 12/4 at 40 beats per minute takes 18 seconds. */
static void guard_limits_silence_and_notes(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.seconds = 60;
    settings.max_note_seconds = 1.5;
    for (int guard = 0; guard < 2; guard++) {
        settings.guard = guard;
        struct run run = run_remi(&settings, fill_slow);
        double longest = 0, longest_silence = 0;
        for (int row = 0; row < PIECES; row++) {
            size_t count;
            double silence;
            const token *tokens = drawn(&run, row, &count);
            walk(run.encoding, tokens, count, &silence);
            longest_silence = fmax(longest_silence, silence);
            for (size_t i = 0; i < run.pieces[row].count; i++)
                longest = fmax(longest, run.pieces[row].items[i].duration);
        }
        if (guard) {
            assert_true(longest > 0.5 && longest <= 1.5 + 1.5); /* the tempo can fall */
            assert_true(longest_silence > 1 && longest_silence < 3 + 18);
        } else {
            assert_true(longest_silence == 0 || longest_silence > 3 + 18 || longest > 3);
        }
        end_run(&run);
    }
}

static void pitches_are_in_the_scale(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.pitch_classes = 1 << 2 | 1 << 9;
    struct run run = run_remi(&settings, fill_random);
    for (int row = 0; row < PIECES; row++) {
        assert_true(run.pieces[row].count > 10);
        for (size_t i = 0; i < run.pieces[row].count; i++)
            assert_true(run.pieces[row].items[i].pitch % 12 == 2 ||
                        run.pieces[row].items[i].pitch % 12 == 9);
    }
    end_run(&run);
}

/* After the DURATION of the first note. */
static void pieces_end_after_a_complete_note(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    enum sampler_outcome outcomes[PIECES];
    settings.end = END_DRAW;
    settings.outcomes = outcomes;
    struct run run = run_remi(&settings, fill_eager_to_end);
    for (int row = 0; row < PIECES; row++) {
        assert_int_equal(outcomes[row], SAMPLER_ENDED);
        assert_int_equal(run.pieces[row].count, 1);
        size_t count;
        const token *tokens = drawn(&run, row, &count);
        assert_true(is_kind(run.encoding, tokens[count - 1], REMI_DURATION));
    }
    end_run(&run);
}

static void primer_is_continued_in_its_metre_and_tempo(void **state)
{
    (void)state;
    struct encoding *encoding;
    struct notes notes = {.ticks_per_beat = 24};
    struct tokens primer = {0};
    struct run run;
    struct note note = {
        .start_tick = 24, .duration_ticks = 12, .pitch = 60, .velocity = 9};
    assert_int_equal(encoding_create("remi", "1/4", &encoding), STATUS_OK);
    assert_int_equal(notes_append(&notes, &note), STATUS_OK);
    assert_int_equal(notes_set_signature(&notes, 0, 3, 2), STATUS_OK);
    assert_int_equal(notes_set_tempo(&notes, 0, 1000000), STATUS_OK);
    assert_int_equal(encoding->encode(encoding, &notes, &primer), STATUS_OK);
    for (int keep = 0; keep < 2; keep++) {
        assert_int_equal(try_run(&run, "remi", fill_random, &plain, 1, primer.items,
                                 primer.count, keep),
                         STATUS_OK);
        const struct notes *piece = &run.pieces[0];
        assert_int_equal(piece->tempos.items[0].tempo, lround(6e7 / 60.32));
        assert_int_equal(piece->tempos.items[0].tick, 0);
        assert_int_equal(piece->signatures.items[0].tick, 0);
        assert_int_equal(piece->signatures.items[0].numerator, keep ? 3 : 2);
        assert_int_equal(piece->signatures.items[0].denominator_log2, 2);
        double end = plain.seconds + (keep ? 60 / 60.32 : 0);
        for (size_t i = 0; i < piece->count; i++)
            assert_true(piece->items[i].start + piece->items[i].duration <= end + 1e-5);
        end_run(&run);
    }
    notes_free(&notes);
    tokens_free(&primer);
    encoding_free(encoding);
}

static void pieces_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    struct run many = run_remi(&plain, fill_random),
               one = do_run("remi", fill_random, &plain, 1);
    assert_true(same_notes(&many.pieces[0], &one.pieces[0]));
    assert_false(same_notes(&many.pieces[0], &many.pieces[1]));
    end_run(&many);
    end_run(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_well_formed_and_full_length),
        cmocka_unit_test(guard_limits_silence_and_notes),
        cmocka_unit_test(pitches_are_in_the_scale),
        cmocka_unit_test(pieces_end_after_a_complete_note),
        cmocka_unit_test(primer_is_continued_in_its_metre_and_tempo),
        cmocka_unit_test(pieces_do_not_depend_on_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
