/* sampler: merged tokens. What holds for single tokens holds for those within merged
 * ones: the scale, the guard, the repetition penalty, the full length, the primer. */
#include "sampler_fakes.h"

#include "encode/bpe.h"

enum { MERGED = 388 }; /* the first merged token */

static struct encoding *merged_encoding(const struct token_pair *merges, size_t count)
{
    struct encoding *base = NULL, *encoding = NULL;
    assert_int_equal(encoding_create("performance", "", &base), STATUS_OK);
    assert_int_equal(bpe_create(base, merges, count, &encoding), STATUS_OK);
    return encoding;
}

/* For each of 12 pitches: VELOCITY, NOTE_ON; and NOTE_ON, TIME_SHIFT, which begins the next
 * two, with NOTE_OFF and the same again. */
static struct encoding *chromatic_encoding(void)
{
    struct token_pair merges[48];
    for (int i = 0; i < 12; i++) {
        token first = (token)(MERGED + 4 * i), pitch = (token)(60 + i);
        merges[4 * i] = (struct token_pair){VELOCITY + 16, pitch};
        merges[4 * i + 1] = (struct token_pair){pitch, SHIFT + 70};
        merges[4 * i + 2] = (struct token_pair){(token)(first + 1), OFF + pitch};
        merges[4 * i + 3] = (struct token_pair){(token)(first + 2), (token)(first + 1)};
    }
    return merged_encoding(merges, 48);
}

static struct run run_with(struct encoding *encoding,
                           void (*fill)(const struct fake *, int, real *),
                           const struct sampler_settings *settings, int count)
{
    struct run run;
    assert_int_equal(try_run_with(&run, encoding, fill, settings, count, NULL, 0, false),
                     STATUS_OK);
    return run;
}

/* The share of a row's tokens that are merged. */
static double merged_share(const struct run *run, int row)
{
    size_t count, merged = 0;
    const token *tokens = drawn(run, row, &count);
    for (size_t i = 0; i < count; i++)
        merged += tokens[i] >= MERGED;
    return count ? (double)merged / (double)count : 0;
}

static void fill_merged(const struct fake *fake, int row, real *logits)
{
    fill_random(fake, row, logits);
    for (size_t value = MERGED; value < fake->encoding->end; value++)
        logits[value] += 8;
}

static void pieces_are_well_formed_and_have_their_length(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    enum sampler_outcome outcomes[8];
    settings.outcomes = outcomes;
    for (settings.seconds = 0.5; settings.seconds < 12; settings.seconds += 1.3) {
        struct run run = run_with(chromatic_encoding(), fill_merged, &settings, 8);
        double merged = 0;
        for (int i = 0; i < 8; i++) {
            const struct notes *notes = &run.pieces[i];
            struct tokens base = {0};
            size_t count;
            const token *tokens = drawn(&run, i, &count);
            assert_int_equal(outcomes[i], SAMPLER_FULL_LENGTH);
            merged += merged_share(&run, i) / 8;
            assert_int_equal(bpe_expand_tokens(run.encoding, tokens, count, &base),
                             STATUS_OK);
            assert_string_equal(
                well_formed(bpe_base(run.encoding), base.items, base.count, 0), "");
            for (size_t n = 0; n < notes->count; n++) {
                double end = notes->items[n].start + notes->items[n].duration;
                assert_true(notes->items[n].start < settings.seconds);
                assert_true(notes->items[n].duration > 0);
                assert_true(end < settings.seconds + 1e-9);
            }
            tokens_free(&base);
        }
        assert_true(merged > 0.2);
        end_run(&run);
    }
}

static void scale_holds_within_merged_tokens(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.pitch_classes = 1 << 0 | 1 << 4 | 1 << 7; /* C E G */
    struct run run = run_with(chromatic_encoding(), fill_merged, &settings, 4);
    for (int i = 0; i < 4; i++) {
        assert_true(run.pieces[i].count > 10);
        for (size_t n = 0; n < run.pieces[i].count; n++)
            assert_true(settings.pitch_classes >> run.pieces[i].items[n].pitch % 12 & 1);
        assert_true(merged_share(&run, i) > 0);
    }
    end_run(&run);
}

/* Merged silence of up to 32 s is as long as max_silence allows, and one shift. */
static void fill_silence(const struct fake *fake, int row, real *logits)
{
    fill_random(fake, row, logits);
    for (size_t value = MERGED; value < fake->encoding->end; value++)
        logits[value] = 100;
}

static void guard_ends_silence_within_merged_tokens(void **state)
{
    (void)state;
    const struct token_pair merges[] = {{SHIFT + 100, SHIFT + 100},
                                        {MERGED, MERGED},
                                        {MERGED + 1, MERGED + 1},
                                        {OFF + 60, MERGED + 2}};
    struct sampler_settings settings = plain;
    settings.seconds = 60;
    struct run run = run_with(merged_encoding(merges, 4), fill_silence, &settings, 2);
    for (int i = 0; i < 2; i++) {
        double last = 0;
        assert_true(run.pieces[i].count > 10);
        for (size_t n = 0; n < run.pieces[i].count; n++) {
            assert_true(run.pieces[i].items[n].start - last <
                        settings.max_silence + 1 + 1e-9);
            last = run.pieces[i].items[n].start;
        }
    }
    end_run(&run);
}

/* The merged token of C, the most probable, is followed by that of D once C has sounded.
 */
static void fill_two(const struct fake *fake, int row, real *logits)
{
    fill_flat(fake, row, logits);
    logits[VELOCITY + 16] = 20;
    logits[MERGED + 2] = 10;
    logits[MERGED + 10] = 8;
}

static void penalty_counts_merged_notes(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.temperature = 0;
    settings.repetition_penalty = 2;
    settings.seconds = 2;
    settings.guard = false;
    struct run run = run_with(chromatic_encoding(), fill_two, &settings, 1);
    assert_true(run.pieces[0].count >= 2);
    assert_int_equal(run.pieces[0].items[0].pitch, 60);
    assert_int_equal(run.pieces[0].items[1].pitch, 62);
    end_run(&run);
}

/* A merged primer gives the notes of its base tokens; the model receives it merged. */
static void primer_is_merged(void **state)
{
    (void)state;
    const token primer[] = {MERGED + 16, SHIFT + 10, OFF + 64, MERGED + 2};
    struct sampler_settings settings = plain;
    struct run run;
    settings.seconds = 1;
    assert_int_equal(try_run_with(&run, chromatic_encoding(), fill_merged, &settings, 1,
                                  primer, 4, true),
                     STATUS_OK);
    const struct note *notes = run.pieces[0].items;
    assert_true(run.pieces[0].count >= 2);
    assert_true(notes[0].pitch == 64 && fabs(notes[0].duration - 0.1) < 1e-9);
    assert_true(notes[1].pitch == 60 && fabs(notes[1].start - 0.1) < 1e-9);
    assert_true(fabs(notes[1].duration - 0.7) < 1e-9);
    assert_memory_equal(run.fake->seen[0].items + 1, primer, sizeof primer);
    end_run(&run);
    assert_int_equal(try_run_with(&run, chromatic_encoding(), fill_merged, &settings, 1,
                                  primer, 4, false),
                     STATUS_OK);
    for (size_t n = 0; n < run.pieces[0].count; n++)
        assert_true(run.pieces[0].items[n].start < 1);
    end_run(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_well_formed_and_have_their_length),
        cmocka_unit_test(scale_holds_within_merged_tokens),
        cmocka_unit_test(guard_ends_silence_within_merged_tokens),
        cmocka_unit_test(penalty_counts_merged_notes),
        cmocka_unit_test(primer_is_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
