/* sampler on request: tempo, time signature, instruments and bars, of sources that prefer
 * everything else; with merged tokens and primers, too. */
#include "sampler_fakes.h"

#include "encode/bpe.h"

enum { PIECES = 4 };

/* With a number of merged pairs of tokens that often follow each other. */
static struct encoding *merged(const char *description)
{
    struct encoding *base = test_encoding(description), *encoding;
    struct token_pair pairs[400];
    size_t count = 0;
    token note = base->remi.first[REMI_PITCH], last = base->remi.first[REMI_DURATION];
    bool remi = base->has_bars;
    for (token i = 0; remi && i < 32; i++) {
        token signature = (token)(base->remi.first[REMI_TIME_SIGNATURE] + i);
        pairs[count++] = (struct token_pair){0, signature};
        pairs[count++] = (struct token_pair){base->remi.first[REMI_POSITION],
                                             (token)(base->remi.first[REMI_TEMPO] + i)};
        pairs[count++] = (struct token_pair){
            (token)(note + 40 + i), (token)(base->remi.first[REMI_VELOCITY] + 9)};
        pairs[count++] = (struct token_pair){last, (token)(1 + i % 9)};
    }
    for (token i = 0; i < 60 && base->keeps_programs; i++) {
        token program = (token)((remi ? base->remi.first[REMI_PROGRAM] : 388) + 2 * i);
        pairs[count++] = (struct token_pair){program, (token)(note + 50)};
        pairs[count++] =
            (struct token_pair){program, (token)((remi ? note : VELOCITY) + 9)};
    }
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (pairs[k].first == pairs[i].first && pairs[k].second == pairs[i].second)
                pairs[i--] = pairs[--count];
    assert_int_equal(bpe_create(base, pairs, count, &encoding), STATUS_OK);
    return encoding;
}

static struct encoding *create(const char *description)
{
    return strstr(description, "merged") ? merged(description)
                                         : test_encoding(description);
}

static void expect_well_formed(const struct run *run, int row)
{
    struct tokens base = {0};
    size_t count;
    const token *tokens = drawn(run, row, &count);
    assert_int_equal(bpe_expand_tokens(run->encoding, tokens, count, &base), STATUS_OK);
    assert_string_equal(well_formed(bpe_base(run->encoding), base.items, base.count, 0),
                        "");
    tokens_free(&base);
}

static struct run run_pieces(const char *description,
                             const struct sampler_settings *settings)
{
    struct run run;
    assert_int_equal(try_run_with(&run, create(description), fill_random, settings,
                                  PIECES, NULL, 0, false),
                     STATUS_OK);
    size_t notes = 0;
    for (int row = 0; row < PIECES; row++) {
        expect_well_formed(&run, row);
        notes += run.pieces[row].count;
    }
    assert_true(notes > 4 * PIECES);
    return run;
}

static struct tokens encode(const char *description, const struct notes *notes)
{
    struct encoding *encoding = test_encoding(description);
    struct tokens tokens = {0};
    assert_int_equal(encoding->encode(encoding, notes, &tokens), STATUS_OK);
    encoding_free(encoding);
    return tokens;
}

/* ---- time signature ---- */

static void all_bars_have_the_time_signature(void **state)
{
    (void)state;
    static const char *const encodings[] = {"remi", "remi programs drums", "remi merged"};
    static const struct metre metres[] = {{3, 2}, {7, 3}, {4, 2}, {1, 1}};
    for (size_t e = 0; e < 3; e++)
        for (size_t m = 0; m < 4; m++) {
            struct sampler_settings settings = plain;
            settings.request.metre = metres[m];
            struct run run = run_pieces(encodings[e], &settings);
            for (int row = 0; row < PIECES; row++) {
                const struct time_signatures *signatures = &run.pieces[row].signatures;
                bool common = metres[m].numerator == 4;
                assert_int_equal(signatures->count, common ? 0 : 1);
                if (common)
                    continue;
                assert_int_equal(signatures->items[0].tick, 0);
                assert_int_equal(signatures->items[0].numerator, metres[m].numerator);
                assert_int_equal(signatures->items[0].denominator_log2,
                                 metres[m].denominator_log2);
            }
            end_run(&run);
        }
}

/* ---- tempo ---- */

/* Within the range of TEMPO, and beyond both ends. */
static void music_has_exactly_the_tempo(void **state)
{
    (void)state;
    static const char *const encodings[] = {"remi", "remi merged"};
    static const uint32_t tempos[] = {772201, 500000, 3000000, 120000};
    for (size_t e = 0; e < 2; e++)
        for (size_t t = 0; t < 4; t++) {
            struct sampler_settings settings = plain;
            settings.max_silence = 0.5;
            settings.request.tempo = tempos[t];
            settings.seconds = 48 * tempos[t] / 1e6; /* quarter notes */
            struct run run = run_pieces(encodings[e], &settings);
            double step = tempos[t] / 480e6, last = 0;
            for (int row = 0; row < PIECES; row++) {
                const struct notes *piece = &run.pieces[row];
                assert_int_equal(piece->tempos.count, tempos[t] != DEFAULT_TEMPO);
                for (size_t i = 0; i < piece->tempos.count; i++) {
                    assert_int_equal(piece->tempos.items[i].tempo, tempos[t]);
                    assert_int_equal(piece->tempos.items[i].tick, 0);
                }
                for (size_t i = 0; i < piece->count; i++) {
                    const struct note *note = &piece->items[i];
                    assert_true(fabs(note->start - note->start_tick * step) < 1e-6);
                    last = fmax(last, note->start);
                    assert_true(note->start + note->duration <= settings.seconds + 1e-9);
                }
            }
            assert_true(last > settings.seconds * 3 / 4);
            end_run(&run);
        }
}

/* The model hears the nearest TEMPO and no other. */
static void only_the_nearest_tempo_is_drawn(void **state)
{
    (void)state;
    struct sampler_settings settings = plain;
    settings.request.tempo = 681818; /* 88 beats per minute */
    struct run run = run_pieces("remi", &settings);
    token first = run.encoding->remi.first[REMI_TEMPO];
    for (int row = 0; row < PIECES; row++) {
        size_t count, tempos = 0;
        const token *tokens = drawn(&run, row, &count);
        for (size_t i = 0; i < count; i++)
            if (tokens[i] >= first &&
                tokens[i] < run.encoding->remi.first[REMI_PROGRAM]) {
                assert_int_equal(tokens[i] - first, 7); /* 40 + 7 * 210 / 31 = 87.4 */
                tempos++;
            }
        assert_int_equal(tempos, 1);
    }
    end_run(&run);
}

/* ---- instruments ---- */

static void only_requested_instruments_play(void **state)
{
    (void)state;
    static const char *const encodings[] = {
        "remi programs drums", "performance programs drums", "remi programs drums merged",
        "performance programs drums merged"};
    static const char *const lists[] = {"40", "0-7,drums", "drums", "127,3"};
    for (size_t e = 0; e < 4; e++)
        for (size_t l = 0; l < 4; l++) {
            struct sampler_settings settings = plain;
            struct program_set *set = &settings.request.programs;
            int heard[2] = {0};
            settings.request.restricts_programs = true;
            assert_true(program_set_parse(lists[l], set));
            struct run run = run_pieces(encodings[e], &settings);
            for (int row = 0; row < PIECES; row++)
                for (size_t i = 0; i < run.pieces[row].count; i++) {
                    const struct note *note = &run.pieces[row].items[i];
                    heard[note->percussion]++;
                    assert_true(note->percussion ? set->drums
                                                 : set->programs[note->program]);
                }
            assert_int_equal(heard[1] > 0, set->drums);
            assert_int_equal(heard[0] > 0, strcmp(lists[l], "drums") != 0);
            end_run(&run);
        }
}

/* Of merged programs, the melody or the percussion can be requested. */
static void merged_programs_play_with_or_without_drums(void **state)
{
    (void)state;
    static const char *const encodings[] = {"remi drums", "performance drums"};
    static const char *const lists[] = {"40", "40,drums", "drums"};
    for (size_t e = 0; e < 2; e++)
        for (size_t l = 0; l < 3; l++) {
            struct sampler_settings settings = plain;
            int heard[2] = {0};
            settings.request.restricts_programs = true;
            assert_true(program_set_parse(lists[l], &settings.request.programs));
            struct run run = run_pieces(encodings[e], &settings);
            for (int row = 0; row < PIECES; row++)
                for (size_t i = 0; i < run.pieces[row].count; i++)
                    heard[run.pieces[row].items[i].percussion]++;
            assert_int_equal(heard[0] > 0, l < 2);
            assert_int_equal(heard[1] > 0, l > 0);
            end_run(&run);
        }
}

/* A primer of another instrument: the notes that it holds are ended, and the requested
 * instrument goes on. */
static void held_notes_of_a_primer_end(void **state)
{
    (void)state;
    const token primer[] = {388 + 9, VELOCITY + 20, 60, 64, 388 + 12, 70, SHIFT + 50};
    struct sampler_settings settings = plain;
    settings.seconds = 30;
    settings.max_note_seconds = 2;
    settings.request.restricts_programs = true;
    settings.request.programs.programs[40] = true;
    struct run run;
    assert_int_equal(try_run_with(&run, test_encoding("performance programs"),
                                  fill_random, &settings, PIECES, primer, 7, true),
                     STATUS_OK);
    for (int row = 0; row < PIECES; row++) {
        assert_true(run.pieces[row].count > 10);
        for (size_t i = 0; i < run.pieces[row].count; i++) {
            const struct note *note = &run.pieces[row].items[i];
            bool primes = note->program == 9 || note->program == 12;
            assert_true(primes || note->program == 40);
            assert_true(!primes || (note->start == 0 && note->duration < 4));
        }
    }
    end_run(&run);
}

/* ---- bars ---- */

static uint32_t end_tick(const struct notes *piece)
{
    uint32_t end = 0;
    for (size_t i = 0; i < piece->count; i++) {
        uint32_t last = piece->items[i].start_tick + piece->items[i].duration_ticks;
        end = last > end ? last : end;
    }
    return end;
}

static void pieces_have_so_many_bars(void **state)
{
    (void)state;
    static const char *const encodings[] = {"remi", "remi merged"};
    for (int end = 0; end < ENDS; end++)
        for (int bars = 1; bars < 20; bars = 2 * bars + 1) {
            struct sampler_settings settings = plain;
            settings.seconds = 18.0 * bars;
            settings.bars = bars;
            settings.end = end;
            settings.request.metre = (struct metre){3, 2};
            settings.max_silence = 1000;
            struct run run;
            assert_int_equal(try_run_with(&run, create(encodings[bars % 3 == 0]),
                                          fill_random, &settings, PIECES, NULL, 0, false),
                             STATUS_OK);
            uint32_t latest = 0;
            for (int row = 0; row < PIECES; row++) {
                uint32_t last = end_tick(&run.pieces[row]);
                assert_true(last <= (uint32_t)bars * 1440);
                latest = last > latest ? last : latest;
            }
            if (end == END_FORBID)
                assert_true(latest > (uint32_t)(bars - 1) * 1440);
            end_run(&run);
        }
}

/* The primer's last bar is completed and not counted. */
static void bars_follow_the_primers(void **state)
{
    (void)state;
    struct notes notes = {.ticks_per_beat = 480};
    struct note note = {
        .start_tick = 1920 + 480, .duration_ticks = 480, .pitch = 60, .velocity = 9};
    struct run run;
    struct sampler_settings settings = plain;
    assert_int_equal(
        notes_append(&notes,
                     &(struct note){.duration_ticks = 480, .pitch = 50, .velocity = 9}),
        STATUS_OK);
    assert_int_equal(notes_append(&notes, &note), STATUS_OK);
    struct tokens primer = encode("remi", &notes);
    settings.bars = 3;
    settings.seconds = 54;
    settings.max_silence = 1000;
    settings.request.metre = (struct metre){4, 2};
    settings.request.tempo = 600000;
    for (int keep = 0; keep < 2; keep++) {
        assert_int_equal(try_run(&run, "remi", fill_random, &settings, PIECES,
                                 primer.items, primer.count, keep),
                         STATUS_OK);
        uint32_t limit = 5 * 1920 - (keep ? 0 : 1920 + 480), latest = 0;
        for (int row = 0; row < PIECES; row++) {
            uint32_t last = end_tick(&run.pieces[row]);
            assert_true(last <= limit);
            uint32_t start = run.pieces[row].items[run.pieces[row].count - 1].start_tick;
            latest = start > latest ? start : latest;
            assert_int_equal(run.pieces[row].tempos.items[0].tempo, 600000);
            assert_int_equal(run.pieces[row].tempos.count, 1);
        }
        assert_true(latest > limit - 1920);
        end_run(&run);
    }
    notes_free(&notes);
    tokens_free(&primer);
}

/* ---- refusals ---- */

static void expect_refusal(const char *description, const struct metre *metre,
                           const char *programs, int64_t bars, const char *message)
{
    struct run run;
    struct sampler_settings settings = plain;
    settings.bars = bars;
    settings.request.metre = metre ? *metre : (struct metre){0};
    settings.request.restricts_programs = programs != NULL;
    assert_true(
        program_set_parse(programs ? programs : "all", &settings.request.programs));
    enum status status =
        try_run(&run, description, fill_random, &settings, 1, NULL, 0, 0);
    assert_int_equal(status, STATUS_MISUSE);
    if (!strstr(status_message(), message))
        fail_msg("%s", status_message());
    end_run(&run);
}

static void refuses_what_an_encoding_lacks(void **state)
{
    (void)state;
    static const struct metre three = {3, 2}, five = {5, 4}, twelve = {12, 4};
    expect_refusal("remi", &five, NULL, 0, "time signature 5/16: not in the model's");
    expect_refusal("remi", &twelve, NULL, 0, "time signature 12/16: not in");
    expect_refusal("remi programs drums without tempo", &three, NULL, 0,
                   "time signature 3/4: all bars of this model are 4/4");
    expect_refusal("remi", NULL, "0-7", 0, "8 programs requested, but this model has");
    expect_refusal("pianoroll", NULL, "3,5", 0, "2 programs requested");
    expect_refusal("performance", NULL, "3,drums", 0, "percussion requested, but");
    expect_refusal("performance programs", NULL, "drums", 0, "percussion requested, but");
    expect_refusal("pianoroll", NULL, NULL, 8, "bars requested, but pianoroll has none");
    expect_refusal("remi", NULL, NULL, 1001, "1001 bars requested (expected 1 to 1000)");
    expect_refusal("remi", NULL, NULL, -1, "-1 bars requested");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bars_have_the_time_signature),
        cmocka_unit_test(music_has_exactly_the_tempo),
        cmocka_unit_test(only_the_nearest_tempo_is_drawn),
        cmocka_unit_test(only_requested_instruments_play),
        cmocka_unit_test(merged_programs_play_with_or_without_drums),
        cmocka_unit_test(held_notes_of_a_primer_end),
        cmocka_unit_test(pieces_have_so_many_bars),
        cmocka_unit_test(bars_follow_the_primers),
        cmocka_unit_test(refuses_what_an_encoding_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
