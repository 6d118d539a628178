/* bpe: learning and merging against quadratic references that follow the definition, and
 * the encoding's functions against walks over base tokens, one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pieces.h"
#include "remove_tree.h"
#include "wellformed.h"
#include "base/file.h"
#include "data/merges.h"
#include "encode/bpe.h"
#include "generate/guard.h"

enum { VOCABULARY_MAX = 1000, MERGES = 300, STEP = 88, OFF = 128, SHIFT = 255 };

static const char *const names[] = {"performance", "pianoroll", "remi"};
enum { ENCODINGS_TESTED = sizeof names / sizeof *names };

static struct encoding *make(const char *name)
{
    struct encoding *encoding = NULL;
    assert_int_equal(encoding_create(name, "1/4", &encoding), STATUS_OK);
    return encoding;
}

static struct encoding *wrap(struct encoding *base, const struct token_pair *merges,
                             size_t count)
{
    struct encoding *encoding = NULL;
    assert_int_equal(bpe_create(base, merges, count, &encoding), STATUS_OK);
    return encoding;
}

/* ---- references ---- */

static bool same_pair(struct token_pair a, struct token_pair b)
{
    return a.first == b.first && a.second == b.second;
}

static void naive_merge(struct token_pair pair, token value, token *tokens, size_t *count)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; kept++) {
        bool merges = i + 1 < *count &&
                      same_pair(pair, (struct token_pair){tokens[i], tokens[i + 1]});
        tokens[kept] = merges ? value : tokens[i];
        i += merges ? 2 : 1;
    }
    *count = kept;
}

static size_t naive_length(const struct encoding *base, const struct token_pair *merges,
                           token value)
{
    if (value < base->end)
        return 1;
    struct token_pair pair = merges[value - base->end];
    return naive_length(base, merges, pair.first) +
           naive_length(base, merges, pair.second);
}

static token naive_last(const struct encoding *base, const struct token_pair *merges,
                        token value)
{
    return value < base->end ? value
                             : naive_last(base, merges, merges[value - base->end].second);
}

static bool naive_may_merge(const struct encoding *base, const struct token_pair *merges,
                            struct token_pair pair)
{
    if (pair.first == BPE_SEPARATOR || pair.second == BPE_SEPARATOR)
        return false;
    if (naive_length(base, merges, pair.first) + naive_length(base, merges, pair.second) >
        BPE_LENGTH_MAX)
        return false;
    return !base->has_frames || naive_last(base, merges, pair.first) != STEP;
}

/* Counts every pair again for each merge. */
static size_t naive_learn(const struct encoding *base, token *text, size_t count,
                          size_t wanted, struct token_pair *merges)
{
    for (size_t k = 0; k < wanted; k++) {
        size_t best_count = 1;
        struct token_pair best = {0};
        for (size_t i = 0; i + 1 < count; i++) {
            struct token_pair pair = {text[i], text[i + 1]};
            size_t found = 0;
            if (!naive_may_merge(base, merges, pair))
                continue;
            for (size_t j = 0; j + 1 < count; j++)
                found += same_pair(pair, (struct token_pair){text[j], text[j + 1]});
            bool lower = pair.first < best.first ||
                         (pair.first == best.first && pair.second < best.second);
            if (found > best_count || (found == best_count && found > 1 && lower)) {
                best_count = found;
                best = pair;
            }
        }
        if (best_count < 2)
            return k;
        merges[k] = best;
        naive_merge(best, (token)(base->end + k), text, &count);
    }
    return wanted;
}

/* ---- learning and merging ---- */

/* A text of few symbols with runs, in which pairs overlap and are equally frequent. */
static void random_text(struct dice *dice, const struct encoding *base,
                        struct tokens *out)
{
    uint64_t symbols = 2 + dice_below(dice, 5), pieces = 1 + dice_below(dice, 4);
    for (uint64_t piece = 0; piece < pieces; piece++) {
        for (uint64_t i = dice_below(dice, 60); i > 0; i--) {
            token value = (token)(base->end - 1 - dice_below(dice, symbols));
            for (uint64_t run = 1 + dice_below(dice, 4); run > 0; run--)
                assert_int_equal(tokens_append(out, value), STATUS_OK);
        }
        assert_int_equal(tokens_append(out, BPE_SEPARATOR), STATUS_OK);
    }
}

static struct tokens copy_of(const struct tokens *tokens)
{
    struct tokens copy = {0};
    assert_int_equal(tokens_reserve(&copy, tokens->count + 1), STATUS_OK);
    memcpy(copy.items, tokens->items, tokens->count * sizeof *tokens->items);
    copy.count = tokens->count;
    return copy;
}

static void merges_are_those_of_the_reference(void **state)
{
    (void)state;
    enum { WANTED = 40 };
    struct dice dice = {.seed = test_seed()};
    size_t fewer = 0;
    for (dice.piece = 0; dice.piece < 300; dice.piece++) {
        struct encoding *base = make(names[dice.piece % ENCODINGS_TESTED]);
        struct token_pair merges[WANTED], expected[WANTED];
        struct tokens text = {0};
        size_t learnt;
        random_text(&dice, base, &text);
        struct tokens copy = copy_of(&text);
        size_t wanted = 1 + dice_below(&dice, WANTED);
        size_t count = naive_learn(base, copy.items, copy.count, wanted, expected);
        assert_int_equal(bpe_learn(base, text.items, text.count, wanted, merges, &learnt),
                         STATUS_OK);
        assert_int_equal(learnt, count);
        assert_memory_equal(merges, expected, count * sizeof *merges);
        fewer += learnt < wanted;
        tokens_free(&text);
        tokens_free(&copy);
        encoding_free(base);
    }
    assert_true(fewer > 30 && fewer < 270);
}

static void merges_do_not_depend_on_the_order_of_pieces(void **state)
{
    (void)state;
    struct encoding *base = make("performance");
    struct token_pair merges[2][20];
    size_t learnt[2];
    token one[] = {5, 6, 5, 6, 7, BPE_SEPARATOR, 7, 7, 7, 5, 6, BPE_SEPARATOR};
    token other[] = {7, 7, 7, 5, 6, BPE_SEPARATOR, 5, 6, 5, 6, 7, BPE_SEPARATOR};
    assert_int_equal(bpe_learn(base, one, 12, 20, merges[0], &learnt[0]), STATUS_OK);
    assert_int_equal(bpe_learn(base, other, 12, 20, merges[1], &learnt[1]), STATUS_OK);
    assert_int_equal(learnt[0], 2); /* "5 6" three times, "7 7" twice */
    assert_int_equal(learnt[1], 2);
    assert_memory_equal(merges[0], merges[1], 2 * sizeof **merges);
    assert_true(same_pair(merges[0][0], (struct token_pair){5, 6}));
    assert_true(same_pair(merges[0][1], (struct token_pair){7, 7}));
    encoding_free(base);
}

static void merged_tokens_are_those_of_the_reference(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 1000};
    for (; dice.piece < 1200; dice.piece++) {
        struct encoding *base = make(names[dice.piece % ENCODINGS_TESTED]), *encoding;
        struct token_pair merges[40];
        struct tokens text = {0}, tokens = {0}, expanded = {0};
        size_t learnt;
        random_text(&dice, base, &text);
        assert_int_equal(bpe_learn(base, text.items, text.count, 40, merges, &learnt),
                         STATUS_OK);
        tokens_free(&text);
        if (learnt == 0) {
            encoding_free(base);
            continue;
        }
        encoding = wrap(base, merges, learnt);
        random_text(&dice, base, &tokens);
        tokens.count--; /* the last separator; others are tokens without a pair */
        struct tokens naive = copy_of(&tokens), merged = copy_of(&tokens);
        for (size_t k = 0; k < learnt; k++)
            naive_merge(merges[k], (token)(base->end + k), naive.items, &naive.count);
        assert_int_equal(bpe_merge_tokens(encoding, merged.items, &merged.count),
                         STATUS_OK);
        assert_int_equal(merged.count, naive.count);
        assert_memory_equal(merged.items, naive.items, naive.count * sizeof *naive.items);
        for (size_t i = 0; i < merged.count; i++) { /* the inverse, except separators */
            size_t length;
            const token *parts = bpe_expand(encoding, &merged.items[i], &length);
            length = merged.items[i] == BPE_SEPARATOR ? 1 : length;
            assert_int_equal(tokens_reserve(&expanded, length), STATUS_OK);
            memcpy(expanded.items + expanded.count, parts, length * sizeof *parts);
            expanded.count += length;
        }
        assert_int_equal(expanded.count, tokens.count);
        assert_memory_equal(expanded.items, tokens.items,
                            tokens.count * sizeof *tokens.items);
        tokens_free(&tokens);
        tokens_free(&naive);
        tokens_free(&merged);
        tokens_free(&expanded);
        encoding_free(encoding);
    }
}

static void expansions_are_bounded(void **state)
{
    (void)state;
    struct encoding *base = make("performance"), *encoding;
    struct token_pair merges[20];
    size_t learnt, length;
    token text[1025];
    for (int i = 0; i < 1024; i++)
        text[i] = SHIFT + 100;
    text[1024] = BPE_SEPARATOR;
    assert_int_equal(bpe_learn(base, text, 1025, 20, merges, &learnt), STATUS_OK);
    assert_int_equal(learnt, 5); /* 2, 4, 8, 16, 32 */
    encoding = wrap(base, merges, learnt);
    const token longest = (token)(encoding->end - 1);
    assert_ptr_not_equal(bpe_expand(encoding, &longest, &length), &longest);
    assert_int_equal(length, BPE_LENGTH_MAX);
    assert_int_equal(encoding->advance(encoding, NULL, longest), 3200);
    encoding_free(encoding);
}

static void impossible_merges_are_refused(void **state)
{
    (void)state;
    struct encoding *performance = make("performance"), *roll = make("pianoroll"), *out;
    const struct token_pair unknown[] = {{5, 6}, {7, 390}}; /* 389 is merge 0 + 1 */
    const struct token_pair itself[] = {{388, 6}};
    const struct token_pair twice[] = {{5, 6}, {5, 6}};
    const struct token_pair frames[] = {{5, STEP}, {89, 5}};
    const struct token_pair bomb[] = {{5, 5},     {388, 388}, {389, 389},
                                      {390, 390}, {391, 391}, {392, 392}};
    assert_int_equal(bpe_create(performance, unknown, 2, &out), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "390"));
    assert_int_equal(bpe_create(performance, itself, 1, &out), STATUS_FAILED);
    assert_int_equal(bpe_create(performance, twice, 2, &out), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "same as merge 0"));
    assert_int_equal(bpe_create(performance, bomb, 6, &out), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "64 tokens (at most 32)"));
    assert_int_equal(bpe_create(roll, frames, 2, &out), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "frame"));
    assert_int_equal(bpe_create(performance, NULL, 0, &out), STATUS_FAILED);
    assert_null(out);
    struct encoding *encoding = wrap(performance, bomb, 5);
    encoding_free(encoding);
    encoding_free(roll);
}

/* ---- the encoding ---- */

static void random_notes(struct dice *dice, struct notes *notes)
{
    random_piece(dice, 200, 55, 65, notes);
    notes->ticks_per_beat += 100; /* limits the pianoroll's steps */
}

/* An encoding with merges of random pieces. */
static struct encoding *learnt_encoding(struct dice *dice, const char *name)
{
    struct encoding *base = make(name);
    struct tokens text = {0};
    struct token_pair merges[MERGES];
    size_t learnt;
    for (int piece = 0; piece < 20; piece++) {
        struct notes notes = {0};
        random_notes(dice, &notes);
        assert_int_equal(base->encode(base, &notes, &text), STATUS_OK);
        assert_int_equal(tokens_append(&text, BPE_SEPARATOR), STATUS_OK);
        notes_free(&notes);
    }
    assert_int_equal(bpe_learn(base, text.items, text.count, MERGES, merges, &learnt),
                     STATUS_OK);
    assert_true(learnt > MERGES / 2);
    tokens_free(&text);
    return wrap(base, merges, learnt);
}

static void check_decoded(const struct encoding *encoding, const struct tokens *tokens,
                          size_t skip)
{
    const struct encoding *base = bpe_base(encoding);
    struct tokens expanded = {0};
    struct notes notes = {0}, expected = {0};
    assert_int_equal(bpe_expand_tokens(encoding, tokens->items, skip, &expanded),
                     STATUS_OK);
    size_t base_skip = expanded.count;
    assert_int_equal(bpe_expand_tokens(encoding, tokens->items + skip,
                                       tokens->count - skip, &expanded),
                     STATUS_OK);
    assert_int_equal(
        encoding->decode(encoding, tokens->items, tokens->count, skip, &notes),
        STATUS_OK);
    assert_int_equal(
        base->decode(base, expanded.items, expanded.count, base_skip, &expected),
        STATUS_OK);
    assert_int_equal(notes.count, expected.count);
    struct hash128 a = notes_hash(&notes), b = notes_hash(&expected);
    assert_int_equal(hash128_compare(a, b), 0);
    if (skip == 0)
        assert_int_equal(encoding_count_notes(encoding, tokens->items, tokens->count),
                         encoding_count_notes(base, expanded.items, expanded.count));
    notes_free(&notes);
    notes_free(&expected);
    tokens_free(&expanded);
}

static void pieces_are_those_of_the_base_encoding(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 2000};
    for (int kind = 0; kind < ENCODINGS_TESTED; kind++) {
        struct encoding *encoding = learnt_encoding(&dice, names[kind]);
        const struct encoding *base = bpe_base(encoding);
        size_t merged = 0;
        for (; dice.piece % 40 < 39; dice.piece++) {
            struct notes notes = {0};
            struct tokens tokens = {0}, base_tokens = {0}, expanded = {0};
            struct grammar grammar;
            random_notes(&dice, &notes);
            assert_int_equal(encoding->encode(encoding, &notes, &tokens), STATUS_OK);
            assert_int_equal(base->encode(base, &notes, &base_tokens), STATUS_OK);
            assert_int_equal(
                bpe_expand_tokens(encoding, tokens.items, tokens.count, &expanded),
                STATUS_OK);
            assert_int_equal(expanded.count, base_tokens.count);
            assert_memory_equal(expanded.items, base_tokens.items,
                                expanded.count * sizeof *expanded.items);
            merged += base_tokens.count - tokens.count;
            check_decoded(encoding, &tokens, 0);
            check_decoded(encoding, &tokens, dice_below(&dice, tokens.count));
            uint64_t steps = 0;
            encoding->grammar_start(encoding, &grammar);
            for (size_t i = 0; i < tokens.count; i++) {
                bool allowed[VOCABULARY_MAX];
                encoding->grammar_allowed(encoding, &grammar, allowed);
                assert_true(allowed[tokens.items[i]]);
                steps += encoding->advance(encoding, &grammar, tokens.items[i]);
                encoding->grammar_accept(encoding, &grammar, tokens.items[i]);
            }
            assert_int_equal(steps, grammar.time);
            notes_free(&notes);
            tokens_free(&tokens);
            tokens_free(&base_tokens);
            tokens_free(&expanded);
        }
        dice.piece++;
        assert_true(merged > 1000);
        encoding_free(encoding);
    }
}

/* ---- grammar and guard ---- */

enum rule { GRAMMAR, LONG_NOTES, SILENCE };
static const double LONGEST = 0.2, MAX_SILENCE = 0.1;

static void naive_base_allowed(const struct encoding *base, const struct grammar *grammar,
                               double last_sound, enum rule rule, bool *allowed)
{
    base->grammar_allowed(base, grammar, allowed);
    if (rule == LONG_NOTES)
        base->grammar_end_long_notes(base, grammar, LONGEST, allowed);
    if (rule == SILENCE && grammar->seconds - last_sound >= MAX_SILENCE - 1e-9)
        for (size_t value = 0; value < base->vocabulary; value++)
            allowed[value] &= base->advance(base, grammar, (token)value) == 0;
}

/* Whether the base tokens of `value` are allowed, one after the other. */
static bool naive_allowed(const struct encoding *encoding, const struct grammar *grammar,
                          double last_sound, enum rule rule, token value)
{
    const struct encoding *base = bpe_base(encoding);
    struct grammar after = *grammar;
    size_t count;
    const token *parts = bpe_expand(encoding, &value, &count);
    for (size_t i = 0; i < count; i++) {
        bool allowed[VOCABULARY_MAX];
        naive_base_allowed(base, &after, last_sound, rule, allowed);
        if (!allowed[parts[i]])
            return false;
        base->grammar_accept(base, &after, parts[i]);
        if (base->token_sounds(base, parts[i]))
            last_sound = after.seconds;
    }
    return true;
}

static void check_rule(const struct encoding *encoding, const struct grammar *grammar,
                       const struct guard *guard, enum rule rule, size_t forbidden[3])
{
    bool allowed[VOCABULARY_MAX];
    encoding->grammar_allowed(encoding, grammar, allowed);
    if (rule == LONG_NOTES)
        encoding->grammar_end_long_notes(encoding, grammar, LONGEST, allowed);
    if (rule == SILENCE)
        guard_restrict(guard, encoding, grammar, MAX_SILENCE, allowed);
    for (size_t value = 0; value < encoding->vocabulary; value++) {
        bool expected = naive_allowed(encoding, grammar, guard->last_sound_seconds, rule,
                                      (token)value);
        assert_int_equal(allowed[value], expected);
        forbidden[rule] += value >= bpe_base(encoding)->end && !expected;
    }
}

static token draw(struct dice *dice, const struct encoding *encoding, const bool *allowed)
{
    token candidates[VOCABULARY_MAX];
    size_t count = 0, merged = 0;
    for (size_t value = encoding->end; value-- > 0;)
        if (allowed[value]) {
            candidates[count++] = (token)value;
            merged += value >= bpe_base(encoding)->end;
        }
    assert_true(count > 0);
    return candidates[dice_below(dice, merged && dice_below(dice, 2) ? merged : count)];
}

static void tokens_are_allowed_if_their_base_tokens_are(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 3000};
    for (int kind = 0; kind < ENCODINGS_TESTED; kind++, dice.piece++) {
        struct encoding *encoding = learnt_encoding(&dice, names[kind]);
        const struct encoding *base = bpe_base(encoding);
        struct grammar grammar;
        struct guard guard = {0};
        struct tokens expanded = {0};
        size_t forbidden[3] = {0};
        encoding->grammar_start(encoding, &grammar);
        for (int i = 0; i < 300; i++) {
            bool allowed[VOCABULARY_MAX];
            size_t count;
            for (enum rule rule = GRAMMAR; rule <= SILENCE; rule++)
                check_rule(encoding, &grammar, &guard, rule, forbidden);
            encoding->grammar_allowed(encoding, &grammar, allowed);
            token value = draw(&dice, encoding, allowed);
            const token *parts = bpe_expand(encoding, &value, &count);
            struct grammar parts_accepted = grammar;
            for (size_t j = 0; j < count; j++) {
                base->grammar_accept(base, &parts_accepted, parts[j]);
                guard_accept(&guard, base, parts[j], parts_accepted.seconds);
            }
            assert_int_equal(bpe_expand_tokens(encoding, &value, 1, &expanded),
                             STATUS_OK);
            encoding->grammar_accept(encoding, &grammar, value);
            assert_memory_equal(&grammar, &parts_accepted, sizeof grammar);
        }
        assert_true(forbidden[GRAMMAR] > 1000);
        if (!base->has_bars) { /* remi rarely forbids them, for their length */
            assert_string_equal(well_formed(base, expanded.items, expanded.count, 0), "");
            assert_true(forbidden[LONG_NOTES] > forbidden[GRAMMAR]);
        }
        if (!base->has_frames) /* merged tokens of a frame always sound first */
            assert_true(forbidden[SILENCE] > forbidden[GRAMMAR]);
        tokens_free(&expanded);
        encoding_free(encoding);
    }
}

/* A cycle goes on with a merged token whose first base token continues it. */
static void cycles_are_not_continued_by_merged_tokens(void **state)
{
    (void)state;
    const struct token_pair merges[] = {{60, SHIFT + 100}, {61, SHIFT + 100}};
    struct encoding *base = make("performance"), *encoding = wrap(base, merges, 2);
    const token cycle[] = {60, SHIFT + 100, OFF + 60};
    struct grammar grammar;
    struct guard guard = {0};
    bool allowed[VOCABULARY_MAX];
    base->grammar_start(base, &grammar);
    base->grammar_accept(base, &grammar, 360);
    for (int i = 0; i < 18; i++) {
        base->grammar_accept(base, &grammar, cycle[i % 3]);
        guard_accept(&guard, base, cycle[i % 3], grammar.seconds);
    }
    encoding->grammar_allowed(encoding, &grammar, allowed);
    assert_true(allowed[60] && allowed[base->end] && allowed[base->end + 1]);
    guard_restrict(&guard, encoding, &grammar, 100, allowed);
    assert_true(!allowed[60] && !allowed[base->end] && allowed[base->end + 1]);
    encoding_free(encoding);
}

/* ---- names and fingerprint ---- */

static void tokens_have_names_and_the_fingerprint_has_the_merges(void **state)
{
    (void)state;
    const struct token_pair merges[] = {{5, 6}, {388, 7}}, others[] = {{5, 6}, {388, 8}};
    struct encoding *plain = make("performance");
    struct encoding *one = wrap(make("performance"), merges, 2);
    struct encoding *other = wrap(make("performance"), others, 2);
    char text[ENCODING_TOKEN_NAME];
    assert_int_equal(one->vocabulary, 391);
    assert_int_equal(one->end, 390);
    assert_string_equal(one->token_name(one, 387, text, sizeof text), "VELOCITY 31");
    assert_string_equal(one->token_name(one, 388, text, sizeof text), "BPE 0");
    assert_string_equal(one->token_name(one, 389, text, sizeof text), "BPE 1");
    assert_string_equal(one->token_name(one, 390, text, sizeof text), "END");
    assert_true(encoding_hash(one) != encoding_hash(plain));
    assert_true(encoding_hash(one) != encoding_hash(other));
    assert_true(one->token_sounds(one, 388) && !one->token_sounds(one, 390));
    assert_int_equal(one->token_pitch(one, 5), 5);
    assert_int_equal(one->token_pitch(one, 388), -1);
    encoding_free(plain);
    encoding_free(one);
    encoding_free(other);
}

/* ---- the table in a file ---- */

static enum status read_table(const char *path, int rank, const size_t *dims,
                              const void *values, int64_t wanted,
                              struct encoding **encoding)
{
    static struct options options;
    struct h5_file *file = NULL;
    options_defaults(&options);
    options.data.bpe = wanted;
    assert_int_equal(h5_create(path, &file), STATUS_OK);
    assert_int_equal(h5_group(file, "/vocabulary"), STATUS_OK);
    if (values)
        assert_int_equal(h5_write(file, "/vocabulary/merges", H5_U16, rank, dims, values),
                         STATUS_OK);
    assert_int_equal(h5_close(file), STATUS_OK);
    assert_int_equal(h5_open(path, &file), STATUS_OK);
    *encoding = make("performance");
    enum status status = merges_read(file, &options, encoding);
    if (status != STATUS_OK)
        assert_non_null(strstr(status_message(), "bpe-test.h5: /vocabulary/merges: "));
    h5_abandon(file);
    return status;
}

static void impossible_tables_are_refused(void **state)
{
    (void)state;
    static const struct {
        int rank;
        size_t dims[2];
        uint16_t values[8];
        int64_t wanted;
        enum status status;
        size_t merges;
    } tables[] = {
        {2, {3, 2}, {5, 6, 388, 7, 389, 389}, 3, STATUS_OK, 3},
        {2, {3, 2}, {5, 6, 388, 7, 389, 389}, 9, STATUS_OK, 3},
        {2, {3, 2}, {5, 6, 388, 7, 389, 389}, 0, STATUS_OK, 0},
        {2, {3, 2}, {5, 6, 388, 7, 389, 389}, 2, STATUS_FAILED, 0},
        {2, {2, 3}, {5, 6, 388, 7, 389, 389}, 9, STATUS_FAILED, 0},
        {1, {6}, {5, 6, 388, 7, 389, 389}, 9, STATUS_FAILED, 0},
        {2, {3, 2}, {5, 6, 388, 7, 390, 389}, 9, STATUS_FAILED, 0},
        {2, {3, 2}, {5, 6, 388, 7, 389, 65535}, 9, STATUS_FAILED, 0},
        {2, {3, 2}, {5, 6, 388, 7, 5, 6}, 9, STATUS_FAILED, 0},
        {2, {0, 2}, {0}, 9, STATUS_FAILED, 0},
    };
    char folder[] = "/tmp/tutti-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *path = path_join(folder, "bpe-test.h5");
    struct encoding *encoding = NULL;
    size_t merges;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        assert_int_equal(read_table(path, tables[i].rank, tables[i].dims,
                                    tables[i].values, tables[i].wanted, &encoding),
                         tables[i].status);
        bpe_merges(encoding, &merges);
        assert_int_equal(merges, tables[i].merges);
        encoding_free(encoding);
    }
    assert_int_equal(read_table(path, 0, NULL, NULL, 9, &encoding), STATUS_OK);
    assert_int_equal(encoding->vocabulary, 389);
    encoding_free(encoding);
    free(path);
    file_remove_tree(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_are_those_of_the_reference),
        cmocka_unit_test(merges_do_not_depend_on_the_order_of_pieces),
        cmocka_unit_test(merged_tokens_are_those_of_the_reference),
        cmocka_unit_test(expansions_are_bounded),
        cmocka_unit_test(impossible_merges_are_refused),
        cmocka_unit_test(pieces_are_those_of_the_base_encoding),
        cmocka_unit_test(tokens_are_allowed_if_their_base_tokens_are),
        cmocka_unit_test(cycles_are_not_continued_by_merged_tokens),
        cmocka_unit_test(tokens_have_names_and_the_fingerprint_has_the_merges),
        cmocka_unit_test(impossible_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
