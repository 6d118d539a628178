/* The cache: its matches against a search by definition, and what it does to the tokens
 * that the sampler draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sampler_fakes.h"
#include "generate/cache.h"

static const char *const names[] = {"performance", "pianoroll"};

/* ---- matches ---- */

/* The number of tokens up to and including n that equal the latest ones. */
static size_t length_at(const token *tokens, size_t count, size_t n)
{
    size_t length = 0;
    while (length <= n && tokens[n - length] == tokens[count - 1 - length])
        length++;
    return length;
}

static struct cache_match search(const token *tokens, size_t count, const bool *allowed)
{
    struct cache_match match = {0};
    for (size_t n = 0; n + 1 < count; n++)
        if (allowed[tokens[n + 1]] && length_at(tokens, count, n) > match.length)
            match.length = length_at(tokens, count, n);
    for (size_t n = 0; n + 1 < count && match.length > 0; n++)
        match.places +=
            allowed[tokens[n + 1]] && length_at(tokens, count, n) == match.length;
    return match;
}

static void assert_next(const struct cache *cache, const token *tokens, size_t count,
                        const bool *allowed, const struct cache_match *match)
{
    size_t n = count - 1;
    for (size_t place = 0; place < match->places; place++) {
        do
            n--;
        while (!allowed[tokens[n + 1]] || length_at(tokens, count, n) != match->length);
        assert_int_equal(cache_next(cache, allowed, match, place), tokens[n + 1]);
    }
}

/* Random tokens of a vocabulary of `values`, which repeat often; the last is never
 * allowed. */
static void finds_the_longest_match(void **state)
{
    (void)state;
    enum { TOKENS = 400 };
    for (token values = 1; values < 6; values++) {
        struct cache cache = {0};
        bool allowed[6] = {true, true, true, true, true, true};
        token tokens[TOKENS];
        allowed[values - 1] = values == 1;
        for (int again = 0; again < 2; again++) {
            assert_int_equal(cache_find(&cache, allowed).length, 0);
            for (size_t n = 0; n < TOKENS; n++) {
                double uniform = rng_uniform(1, RNG_TEST, values, n, (uint64_t)again);
                tokens[n] =
                    n > 200 && n < 300 ? tokens[n - 150] : (token)(uniform * values);
                assert_int_equal(cache_accept(&cache, tokens[n], 1), STATUS_OK);
                struct cache_match match = cache_find(&cache, allowed);
                struct cache_match expected = search(tokens, n + 1, allowed);
                assert_int_equal(match.length, expected.length);
                assert_int_equal(match.places, expected.places);
                assert_next(&cache, tokens, n + 1, allowed, &match);
            }
            cache_clear(&cache);
        }
        cache_free(&cache);
    }
}

static void forgets_what_is_long_ago(void **state)
{
    (void)state;
    struct cache cache = {0};
    const bool allowed[4] = {true, true, true, true};
    for (size_t n = 0; n < 100; n++) /* 1 1 1 ... 0 2 2 2 ... */
        assert_int_equal(cache_accept(&cache, 1, 1), STATUS_OK);
    for (size_t n = 0; n < CACHE_TOKENS - 50; n++)
        assert_int_equal(cache_accept(&cache, n ? 2 : 0, 1), STATUS_OK);
    assert_int_equal(cache_accept(&cache, 1, 1), STATUS_OK);
    assert_int_equal(cache_find(&cache, allowed).length, 1);
    for (size_t n = 0; n < 50; n++)
        assert_int_equal(cache_accept(&cache, 3, 1), STATUS_OK);
    assert_int_equal(cache_accept(&cache, 1, 1), STATUS_OK);
    struct cache_match match = cache_find(&cache, allowed);
    assert_int_equal(match.length, 1);
    assert_int_equal(match.places, 1);
    assert_int_equal(cache_next(&cache, allowed, &match, 0), 3);
    cache_free(&cache);
}

static void weight_grows_with_the_match(void **state)
{
    (void)state;
    double before = 0;
    for (size_t length = 0; length < 100; length++) {
        double weight = cache_weight(&(struct cache_match){length, 1}, 5);
        assert_true(length < 5 ? weight == 0 : weight > before && weight < 1);
        before = weight;
    }
    assert_true(cache_weight(&(struct cache_match){5, 1}, 5) == 0.5);
    assert_true(cache_weight(&(struct cache_match){8, 1}, 5) == 0.8);
}

/* ---- in the sampler ---- */

static struct sampler_settings with_cache(double cache, int64_t context)
{
    struct sampler_settings settings = plain;
    settings.cache = cache;
    settings.cache_context = context;
    return settings;
}

static bool same_tokens(const struct run *a, const struct run *b, int row)
{
    size_t first = 0, second = 0;
    const token *left = drawn(a, row, &first), *right = drawn(b, row, &second);
    return first == second && memcmp(left, right, first * sizeof *left) == 0;
}

/* Few pitches and one duration, so that groups of tokens occur again. */
static void fill_few(const struct fake *fake, int row, real *logits)
{
    bool performance = fake->encoding->vocabulary > STEP + 2;
    fill_random(fake, row, logits);
    for (size_t value = 0; value < fake->encoding->vocabulary; value++)
        logits[value] = logits[value] / 8 - 12;
    for (size_t pitch = 60; pitch < (performance ? 64 : 76); pitch++) {
        logits[pitch] += 12;
        logits[performance ? OFF + pitch : pitch] += 12;
    }
    logits[performance ? SHIFT + 20 : STEP] += 13;
}

/* Without a match that is long enough the cache changes nothing. */
static void changes_nothing_before_a_match(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sampler_settings settings = with_cache(1, 10000);
        struct run without = do_run(names[i], fill_few, &plain, 4);
        struct run with = do_run(names[i], fill_few, &settings, 4);
        settings = with_cache(1, 2);
        struct run changed = do_run(names[i], fill_few, &settings, 4);
        for (int row = 0; row < 4; row++) {
            assert_true(same_tokens(&without, &with, row));
            assert_false(same_tokens(&without, &changed, row));
        }
        end_run(&without);
        end_run(&with);
        end_run(&changed);
    }
}

/* The share of the tokens of all rows that end a group of 8 that occurred before. */
static double repeated(const struct run *run)
{
    bool allowed[400];
    memset(allowed, true, sizeof allowed);
    size_t found = 0, all = 0;
    for (int row = 0; row < run->count; row++) {
        size_t count = 0;
        const token *tokens = drawn(run, row, &count);
        struct cache cache = {0};
        for (size_t n = 0; n < count; n++) {
            assert_int_equal(cache_accept(&cache, tokens[n], 1), STATUS_OK);
            found += cache_find(&cache, allowed).length >= 8;
        }
        all += count;
        cache_free(&cache);
    }
    return (double)found / (double)all;
}

static void phrases_return(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        double before = 0;
        for (int cache = 0; cache < 3; cache++) {
            struct sampler_settings settings = with_cache(cache * 0.5, 2);
            settings.seconds = 60;
            struct run run = do_run(names[i], fill_few, &settings, 20);
            double share = repeated(&run);
            assert_true(share > 1.5 * before);
            before = share;
            end_run(&run);
        }
        assert_true(before > 0.3);
    }
}

/* The grammar, and the guard's limit on cycles: the same for any number of pieces. */
static void pieces_remain_well_formed(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sampler_settings settings = with_cache(1, 1);
        settings.end = END_REQUIRE;
        struct run eight = do_run(names[i], fill_few, &settings, 8);
        for (int row = 0; row < 8; row++) {
            size_t count = 0;
            const token *tokens = drawn(&eight, row, &count);
            assert_string_equal(well_formed(eight.encoding, tokens, count, 0), "");
        }
        for (int count = 1; count < 8; count += 3) {
            struct run run = do_run(names[i], fill_few, &settings, count);
            for (int row = 0; row < count; row++)
                assert_true(same_notes(&run.pieces[row], &eight.pieces[row]));
            end_run(&run);
        }
        end_run(&eight);
    }
}

static const token primer[] = {40, STEP, 50, STEP, 60, STEP, 41, STEP, 40, STEP};

/* 70 STEP 70 STEP ... */
static void fill_seventy(const struct fake *fake, int row, real *logits)
{
    (void)row;
    for (size_t value = 0; value < fake->encoding->vocabulary; value++)
        logits[value] = -60;
    logits[last_seen(fake, row) == STEP ? 70 : STEP] = 0;
}

/* After 40 STEP of the primer comes 50, with probability cache * 1/2 / penalty. */
static void the_primer_is_remembered(void **state)
{
    (void)state;
    static const double caches[] = {1, 0.5, 1}, penalties[] = {1, 1, 3};
    for (int i = 0; i < 3; i++) {
        struct sampler_settings settings = with_cache(caches[i], 2);
        struct run run;
        settings.seconds = 0.3;
        settings.repetition_penalty = penalties[i];
        assert_int_equal(try_run(&run, "pianoroll", fill_seventy, &settings, ROWS_MAX,
                                 primer, 10, false),
                         STATUS_OK);
        int recalled = 0;
        for (int row = 0; row < ROWS_MAX; row++) {
            token first = run.fake->seen[row].items[11];
            assert_true(first == 70 || first == 50);
            recalled += first == 50;
        }
        double p = caches[i] / 2 / penalties[i];
        assert_true(fabs(recalled - ROWS_MAX * p) <= 5 * sqrt(ROWS_MAX * p * (1 - p)));
        end_run(&run);
    }
}

/* 40 STEP 40 STEP ... in the first attempt, 41 STEP ... in the next; never END. */
static void fill_by_attempt(const struct fake *fake, int row, real *logits)
{
    int attempt = 0;
    for (size_t i = 1; i < fake->seen[row].count; i++)
        attempt += fake->seen[row].items[i] == fake->encoding->end;
    for (size_t value = 0; value < fake->encoding->vocabulary; value++)
        logits[value] = -60;
    logits[last_seen(fake, row) == STEP ? 40 + attempt : STEP] = 0;
}

static void attempts_are_not_remembered(void **state)
{
    (void)state;
    struct sampler_settings settings = with_cache(1, 1);
    settings.end = END_REQUIRE;
    settings.seconds = 3;
    struct run run = do_run("pianoroll", fill_by_attempt, &settings, 5);
    for (int row = 0; row < 5; row++) {
        const struct tokens *seen = &run.fake->seen[row];
        int attempt = 0;
        for (size_t i = 1; i < seen->count; i++) {
            token value = seen->items[i];
            attempt += value == run.encoding->end;
            if (value < STEP)
                assert_int_equal(value, 40 + attempt);
        }
        assert_true(attempt >= SAMPLER_ATTEMPTS - 1);
    }
    end_run(&run);
}

/* Temperature 0: the more probable of the two tokens, without random numbers. */
static void is_deterministic_at_temperature_zero(void **state)
{
    (void)state;
    for (int context = 1; context < 3; context++) { /* probability 1/2, then 0 */
        struct sampler_settings settings = with_cache(1, context);
        settings.seconds = 0.3;
        settings.temperature = 0;
        for (uint64_t seed = 0; seed < 9; seed++) {
            struct run run;
            settings.seed = seed;
            assert_int_equal(try_run(&run, "pianoroll", fill_seventy, &settings, 1,
                                     primer + 2, 8, false),
                             STATUS_OK);
            assert_int_equal(run.fake->seen[0].items[9], 70);
            end_run(&run);
        }
    }
    for (uint64_t seed = 0; seed < 9; seed++) {
        const token again[] = {40, STEP, 50, STEP, 60, STEP, 40, STEP, 50, STEP};
        struct sampler_settings settings = with_cache(1, 1);
        struct run run;
        settings.seed = seed;
        settings.temperature = 0;
        settings.seconds = 0.3;
        assert_int_equal(
            try_run(&run, "pianoroll", fill_seventy, &settings, 1, again, 10, false),
            STATUS_OK);
        assert_int_equal(run.fake->seen[0].items[11], 60); /* 4/5 */
        end_run(&run);
    }
}

/* END is the model's alone, wherever the piece has been before. */
static void fill_end_after_a_while(const struct fake *fake, int row, real *logits)
{
    fill_seventy(fake, row, logits);
    if (fake->seen[row].count >= 15 && last_seen(fake, row) == STEP)
        logits[fake->encoding->end] = 60;
}

static void does_not_prevent_the_end(void **state)
{
    (void)state;
    enum sampler_outcome outcomes[50];
    struct sampler_settings settings = with_cache(1, 1);
    settings.end = END_DRAW;
    settings.outcomes = outcomes;
    struct run run = do_run("pianoroll", fill_end_after_a_while, &settings, 50);
    for (int row = 0; row < 50; row++) {
        size_t count = 0;
        drawn(&run, row, &count);
        assert_int_equal(outcomes[row], SAMPLER_ENDED);
        assert_true(count <= 15);
    }
    end_run(&run);
}

static void refuses_settings_out_of_range(void **state)
{
    (void)state;
    static const struct {
        double cache;
        int64_t context;
    } bad[] = {{-0.1, 4}, {1.1, 4}, {(double)NAN, 4}, {0.5, 0}, {0.5, -1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sampler_settings settings = with_cache(bad[i].cache, bad[i].context);
        struct run run;
        assert_int_equal(
            try_run(&run, "performance", fill_random, &settings, 1, NULL, 0, false),
            STATUS_MISUSE);
        assert_non_null(strstr(status_message(), "cache"));
        end_run(&run);
    }
}

static void merged_tokens_count_as_their_base_tokens(void **state)
{
    (void)state;
    static const size_t base_counts[] = {3, 2};
    bool allowed[] = {true, true};
    struct cache cache = {0};
    for (int n = 0; n < 4; n++)
        assert_int_equal(cache_accept(&cache, (token)(n % 2), base_counts[n % 2]),
                         STATUS_OK);
    struct cache_match match = cache_find(&cache, allowed);
    assert_int_equal(match.length, 5);
    assert_int_equal(match.places, 1);
    assert_int_equal(cache_next(&cache, allowed, &match, 0), 0);
    cache_free(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_longest_match),
        cmocka_unit_test(forgets_what_is_long_ago),
        cmocka_unit_test(weight_grows_with_the_match),
        cmocka_unit_test(changes_nothing_before_a_match),
        cmocka_unit_test(phrases_return),
        cmocka_unit_test(pieces_remain_well_formed),
        cmocka_unit_test(the_primer_is_remembered),
        cmocka_unit_test(attempts_are_not_remembered),
        cmocka_unit_test(is_deterministic_at_temperature_zero),
        cmocka_unit_test(does_not_prevent_the_end),
        cmocka_unit_test(refuses_settings_out_of_range),
        cmocka_unit_test(merged_tokens_count_as_their_base_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
