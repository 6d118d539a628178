/* sampler: the loop over model and grammar.
 *
 * All rows receive the same primer, then diverge. A row whose piece is begun again
 * receives END and the primer anew, one token at a time, while the others continue. The
 * tokens are decoded once all pieces are complete, so that the notes depend only on the
 * encoding.
 */
#include "sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "draw.h"
#include "guard.h"
#include "base/phase.h"
#include "base/rng.h"
#include "base/scale.h"
#include "encode/bpe.h"
#include "midi/tempo_map.h"

static const double time_epsilon = 1e-9; /* sums of steps are not exact in seconds */

struct row {
    struct grammar grammar;
    struct guard guard;
    struct tokens tokens; /* base tokens of the primer and of those drawn */
    struct cache cache;   /* empty if it is off */
    uint64_t position;    /* tokens drawn in this attempt */
    uint64_t attempt;     /* from 0 */
    double surprisal;     /* -log p of this attempt's tokens; only with candidates */
    size_t fed;           /* tokens of the primer that this attempt has received */
    bool sounded;         /* a sound was drawn in this attempt */
    bool finished;
    enum sampler_outcome outcome;
};

struct sampler {
    const struct sampler_source *source;
    const struct encoding *encoding; /* of the model's tokens */
    const struct encoding *base;     /* of the rows' grammar, guard and tokens */
    const struct sampler_settings *settings;
    const struct sampler_batch *batch;
    size_t pieces;
    size_t count;        /* rows: row r is candidate r / pieces of piece r % pieces */
    double end;          /* in the grammar's time, which includes the primer */
    double step_seconds; /* of a grid step at the requested tempo; 0: of the grammar */
    uint64_t max_tokens; /* per attempt, after the primer */
    size_t primer_count; /* base tokens */
    struct row primed;   /* the state of a row after the primer, except its tokens */
    struct row *rows;
    double *surprisals;           /* [best_of] */
    token *inputs;                /* [count] */
    bool *allowed;                /* [vocabulary] */
    bool *restricted;             /* [vocabulary] */
    bool *in_scale;               /* [vocabulary] */
    bool *recent;                 /* [base->vocabulary] */
    real *penalised;              /* [vocabulary] */
    struct candidate *candidates; /* [vocabulary] */
};

static enum status check_guard(const struct sampler_settings *settings)
{
    if (!(settings->max_silence > 0))
        return status_fail(STATUS_MISUSE, "max_silence %g (expected more than 0)",
                           settings->max_silence);
    if (!(settings->max_note_seconds > 0))
        return status_fail(STATUS_MISUSE, "max_note_seconds %g (expected more than 0)",
                           settings->max_note_seconds);
    return STATUS_OK;
}

/* What concerns whole pieces. */
static enum status check_form(const struct sampler_settings *settings)
{
    if (!(settings->cache >= 0 && settings->cache <= 1))
        return status_fail(STATUS_MISUSE, "cache %g (expected 0 to 1)", settings->cache);
    if (settings->cache > 0 && settings->cache_context < 1)
        return status_fail(STATUS_MISUSE, "cache_context %lld (expected 1 or more)",
                           (long long)settings->cache_context);
    if (settings->end < 0 || settings->end >= ENDS)
        return status_fail(STATUS_MISUSE, "end %d (expected 0 to %d)", settings->end,
                           ENDS - 1);
    if (!(settings->min_seconds >= 0 && settings->min_seconds <= settings->seconds))
        return status_fail(STATUS_MISUSE,
                           "min_seconds %g (expected 0 to the length of %g s)",
                           settings->min_seconds, settings->seconds);
    if (settings->bars < 0 || settings->bars > SAMPLER_BARS_MAX)
        return status_fail(STATUS_MISUSE, "%lld bars requested (expected 1 to %d)",
                           (long long)settings->bars, SAMPLER_BARS_MAX);
    if (settings->best_of < 0 || settings->best_of > SAMPLER_BEST_OF_MAX)
        return status_fail(STATUS_MISUSE, "best_of %d (expected 1 to %d)",
                           settings->best_of, SAMPLER_BEST_OF_MAX);
    return STATUS_OK;
}

static enum status check_settings(const struct sampler_settings *settings, int count)
{
    if (count < 1)
        return status_fail(STATUS_MISUSE, "%d pieces requested (expected 1 or more)",
                           count);
    if (!(settings->seconds > 0 && settings->seconds <= SAMPLER_SECONDS_MAX))
        return status_fail(STATUS_MISUSE,
                           "%g seconds requested (expected more than 0, at most %d)",
                           settings->seconds, SAMPLER_SECONDS_MAX);
    if (!(settings->temperature >= 0 && isfinite(settings->temperature)))
        return status_fail(STATUS_MISUSE, "temperature %g (expected 0 or more)",
                           settings->temperature);
    if (settings->top_k < 0)
        return status_fail(STATUS_MISUSE, "top_k %lld (expected 0 or more)",
                           (long long)settings->top_k);
    if (!(settings->top_p > 0 && settings->top_p <= 1))
        return status_fail(STATUS_MISUSE, "top_p %g (expected more than 0, at most 1)",
                           settings->top_p);
    if (!(settings->min_p >= 0 && settings->min_p <= 1))
        return status_fail(STATUS_MISUSE, "min_p %g (expected 0 to 1)", settings->min_p);
    if (!(settings->repetition_penalty > 0 && settings->repetition_penalty <= 100))
        return status_fail(STATUS_MISUSE,
                           "repetition_penalty %g (expected more than 0, at most 100)",
                           settings->repetition_penalty);
    enum status status = check_form(settings);
    return status == STATUS_OK && settings->guard ? check_guard(settings) : status;
}

static enum status check_primer(const struct encoding *encoding,
                                const struct sampler_batch *batch)
{
    for (size_t i = 0; i < batch->primer_count; i++)
        if (batch->primer[i] >= encoding->vocabulary)
            return status_fail(
                STATUS_MISUSE,
                "primer: token %zu is %d, not in the vocabulary of the %s encoding "
                "(%zu tokens)",
                i, batch->primer[i], encoding->name, encoding->vocabulary);
    return STATUS_OK;
}

static enum status check_music(const struct encoding *encoding,
                               const struct sampler_settings *settings)
{
    if (settings->bars > 0 && !encoding->has_bars)
        return status_fail(STATUS_MISUSE, "bars requested, but %s has none",
                           encoding->name);
    return request_check(encoding, &settings->request);
}

/* The length of a grid step at the requested tempo, if tokens could change it; else 0. */
static double requested_step(const struct encoding *encoding,
                             const struct sampler_settings *settings)
{
    return encoding->has_tempos
               ? settings->request.tempo / (1e6 * ENCODING_TICKS_PER_BEAT)
               : 0;
}

static uint64_t tokens_max(const struct encoding *encoding, double seconds)
{
    double steps = (seconds + SAMPLER_SECONDS_BASE) / encoding->seconds_per_grid_step;
    return SAMPLER_TOKENS_BASE + (uint64_t)(encoding->tokens_per_grid_step * steps);
}

static enum status allocate(struct sampler *sampler)
{
    size_t vocabulary = sampler->encoding->vocabulary;
    sampler->rows = calloc(sampler->count, sizeof *sampler->rows);
    sampler->surprisals = calloc(sampler->count, sizeof *sampler->surprisals);
    sampler->inputs = calloc(sampler->count, sizeof *sampler->inputs);
    sampler->allowed = calloc(vocabulary, sizeof *sampler->allowed);
    sampler->restricted = calloc(vocabulary, sizeof *sampler->restricted);
    sampler->in_scale = calloc(vocabulary, sizeof *sampler->in_scale);
    sampler->recent = calloc(sampler->base->vocabulary, sizeof *sampler->recent);
    sampler->penalised = calloc(vocabulary, sizeof *sampler->penalised);
    sampler->candidates = calloc(vocabulary, sizeof *sampler->candidates);
    if (!sampler->rows || !sampler->surprisals || !sampler->inputs || !sampler->allowed ||
        !sampler->restricted || !sampler->in_scale || !sampler->recent ||
        !sampler->penalised || !sampler->candidates)
        return status_fail(STATUS_FAILED, "no memory to make %zu pieces", sampler->count);
    return STATUS_OK;
}

static void free_sampler(struct sampler *sampler)
{
    for (size_t i = 0; sampler->rows && i < sampler->count; i++) {
        tokens_free(&sampler->rows[i].tokens);
        cache_free(&sampler->rows[i].cache);
    }
    free(sampler->rows);
    free(sampler->surprisals);
    free(sampler->inputs);
    free(sampler->allowed);
    free(sampler->restricted);
    free(sampler->in_scale);
    free(sampler->recent);
    free(sampler->penalised);
    free(sampler->candidates);
}

/* The time of a piece so far, which includes the primer, in seconds. */
static double seconds_so_far(const struct sampler *sampler, const struct grammar *grammar)
{
    return sampler->step_seconds > 0 ? (double)grammar->time * sampler->step_seconds
                                     : grammar->seconds;
}

/* Accepts a base token. */
static void accept(const struct sampler *sampler, struct row *row, token value)
{
    sampler->base->grammar_accept(sampler->base, &row->grammar, value);
    guard_accept(&row->guard, sampler->base, value, row->grammar.seconds);
}

/* ---- the primer ---- */

static const real *feed_all(struct sampler *sampler, token value)
{
    for (size_t i = 0; i < sampler->count; i++)
        sampler->inputs[i] = value;
    return sampler->source->next(sampler->source->context, sampler->inputs);
}

/* Appends a token to the row's cache, if there is one. */
static enum status remember(const struct sampler *sampler, struct row *row, token value)
{
    size_t count;
    bpe_expand(sampler->encoding, &value, &count);
    return sampler->settings->cache > 0 ? cache_accept(&row->cache, value, count)
                                        : STATUS_OK;
}

/* Discards the tokens drawn in a row. The model has yet to receive the primer. */
static enum status begin_attempt(const struct sampler *sampler, struct row *row)
{
    const struct sampler_batch *batch = sampler->batch;
    enum status status = STATUS_OK;
    row->grammar = sampler->primed.grammar;
    row->guard = sampler->primed.guard;
    row->tokens.count = sampler->primer_count;
    row->position = 0;
    row->fed = 0;
    row->sounded = false;
    row->surprisal = 0;
    cache_clear(&row->cache);
    for (size_t i = 0; i < batch->primer_count && status == STATUS_OK; i++)
        status = remember(sampler, row, batch->primer[i]);
    return status;
}

/* Feeds END and the primer to model, grammar, guard and cache of all rows; *logits is set
 * to the logits after them. */
static enum status feed_primer(struct sampler *sampler, const real **logits)
{
    enum status status = STATUS_OK;
    const token *primer = sampler->batch->primer;
    struct row *primed = &sampler->primed;
    sampler->base->grammar_start(sampler->base, &primed->grammar);
    *logits = feed_all(sampler, sampler->encoding->end);
    for (size_t i = 0; i < sampler->batch->primer_count; i++)
        *logits = feed_all(sampler, primer[i]);
    for (size_t i = 0; i < sampler->primer_count; i++)
        accept(sampler, primed, sampler->rows[0].tokens.items[i]);
    for (size_t i = 0; i < sampler->count && status == STATUS_OK; i++) {
        status = begin_attempt(sampler, &sampler->rows[i]);
        sampler->rows[i].fed = sampler->batch->primer_count;
    }
    sampler->end = seconds_so_far(sampler, &primed->grammar) + sampler->settings->seconds;
    return status;
}

static enum status begin_pieces(struct sampler *sampler)
{
    const struct sampler_batch *batch = sampler->batch;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sampler->count && status == STATUS_OK; i++)
        status = bpe_expand_tokens(sampler->encoding, batch->primer, batch->primer_count,
                                   &sampler->rows[i].tokens);
    sampler->primer_count = sampler->rows[0].tokens.count;
    return status;
}

/* ---- the pieces ---- */

/* Removes from allowed the tokens that are not in `kept`, unless that would leave none. */
static void keep_tokens(const struct sampler *sampler, const bool *kept, bool *allowed)
{
    bool any = false;
    for (size_t value = 0; value < sampler->encoding->vocabulary; value++)
        any |= allowed[value] && kept[value];
    for (size_t value = 0; any && value < sampler->encoding->vocabulary; value++)
        allowed[value] = allowed[value] && kept[value];
}

static bool is_in_scale(const struct sampler *sampler, token value)
{
    size_t count;
    const token *parts = bpe_expand(sampler->encoding, &value, &count);
    bool in_scale = true;
    for (size_t i = 0; i < count; i++) {
        int pitch = sampler->base->token_pitch(sampler->base, parts[i]);
        in_scale &=
            pitch < 0 || sampler->settings->pitch_classes >> pitch % PITCH_CLASSES & 1;
    }
    return in_scale;
}

static void restrict_to_scale(struct sampler *sampler)
{
    for (size_t value = 0; value < sampler->encoding->vocabulary; value++)
        sampler->in_scale[value] = is_in_scale(sampler, (token)value);
    keep_tokens(sampler, sampler->in_scale, sampler->allowed);
}

static void restrict_grammar(void *context, const struct encoding *base,
                             const struct grammar *grammar, double last_sound,
                             bool *allowed)
{
    (void)last_sound;
    base->grammar_restrict(base, grammar, context, allowed);
}

static void restrict_to_request(struct sampler *sampler, const struct row *row)
{
    struct music_request request = sampler->settings->request;
    bool *restricted = sampler->restricted;
    if (!sampler->base->grammar_restrict ||
        !(request.tempo || request.metre.numerator || request.restricts_programs))
        return;
    memcpy(restricted, sampler->allowed,
           sampler->encoding->vocabulary * sizeof *restricted);
    bpe_restrict(sampler->encoding, &row->grammar, row->grammar.seconds, restrict_grammar,
                 &request, restricted);
    keep_tokens(sampler, restricted, sampler->allowed);
}

static void restrict_by_guard(struct sampler *sampler, const struct row *row)
{
    const struct encoding *encoding = sampler->encoding;
    const struct sampler_settings *settings = sampler->settings;
    bool *allowed = sampler->allowed, *guarded = sampler->restricted;
    encoding->grammar_end_long_notes(encoding, &row->grammar, settings->max_note_seconds,
                                     allowed);
    memcpy(guarded, allowed, encoding->vocabulary * sizeof *guarded);
    guard_restrict(&row->guard, encoding, &row->grammar, settings->max_silence, guarded);
    keep_tokens(sampler, guarded, allowed);
}

/* Sets the tokens that may come next in a row: all that the grammar allows, without END
 * before the first sound, before min_seconds or if it is forbidden, minus those that lead to what is not requested,
 * those outside the scale and those that the guard forbids. */
static void find_allowed(struct sampler *sampler, const struct row *row)
{
    const struct encoding *encoding = sampler->encoding;
    encoding->grammar_allowed(encoding, &row->grammar, sampler->allowed);
    double seconds = seconds_so_far(sampler, &row->grammar) -
                     seconds_so_far(sampler, &sampler->primed.grammar);
    if (!row->sounded || sampler->settings->end == END_FORBID ||
        seconds < sampler->settings->min_seconds - time_epsilon)
        sampler->allowed[encoding->end] = false;
    restrict_to_request(sampler, row);
    unsigned pitch_classes = sampler->settings->pitch_classes;
    if (pitch_classes && pitch_classes != SCALE_ALL)
        restrict_to_scale(sampler);
    if (sampler->settings->guard)
        restrict_by_guard(sampler, row);
}

/* Finds the base tokens that sound among the row's last ones. */
static void find_recent(struct sampler *sampler, const struct row *row)
{
    const struct encoding *base = sampler->base;
    uint64_t count = row->guard.count < GUARD_PERIOD ? row->guard.count : GUARD_PERIOD;
    memset(sampler->recent, 0, base->vocabulary * sizeof *sampler->recent);
    for (uint64_t i = 0; i < count; i++) {
        token value = row->guard.recent[i];
        if (base->token_sounds(base, value))
            sampler->recent[value] = true;
    }
}

/* True if a base token of `value` is among those that find_recent has found. */
static bool is_recent(const struct sampler *sampler, token value)
{
    size_t count;
    const token *parts = bpe_expand(sampler->encoding, &value, &count);
    for (size_t i = 0; i < count; i++)
        if (sampler->recent[parts[i]])
            return true;
    return false;
}

/* The logits after the repetition penalty. */
static const real *penalise(struct sampler *sampler, const struct row *row,
                            const real *logits)
{
    const struct encoding *encoding = sampler->encoding;
    double penalty = sampler->settings->repetition_penalty;
    if (penalty == 1)
        return logits;
    find_recent(sampler, row);
    for (size_t value = 0; value < encoding->vocabulary; value++) {
        double logit = (double)logits[value];
        sampler->penalised[value] = logits[value];
        if (is_recent(sampler, (token)value))
            sampler->penalised[value] =
                (real)(logit > 0 ? logit / penalty : logit * penalty);
    }
    return sampler->penalised;
}

/* The random number for the next token of a row. */
static double draw_uniform(const struct sampler *sampler, size_t index,
                           enum rng_purpose purpose)
{
    const struct row *row = &sampler->rows[index];
    uint64_t candidate = index / sampler->pieces;
    return rng_uniform(sampler->settings->seed, purpose, index % sampler->pieces,
                       row->position, candidate * SAMPLER_ATTEMPTS + row->attempt);
}

/* Replaces the token that was drawn by the cache's, with the cache's probability. */
static token recall(const struct sampler *sampler, size_t index, token drawn)
{
    const struct sampler_settings *settings = sampler->settings;
    const struct row *row = &sampler->rows[index];
    if (settings->cache <= 0 || drawn == sampler->encoding->end)
        return drawn;
    struct cache_match match = cache_find(&row->cache, sampler->allowed);
    double weight = settings->cache * cache_weight(&match, settings->cache_context);
    double uniform =
        settings->temperature > 0 ? draw_uniform(sampler, index, RNG_SAMPLE_CACHE) : 0.5;
    if (uniform >= weight)
        return drawn;
    size_t place = (size_t)(uniform / weight * (double)match.places);
    token recalled = cache_next(&row->cache, sampler->allowed, &match, place);
    double penalty = settings->repetition_penalty;
    bool penalised = penalty != 1 && is_recent(sampler, recalled);
    return penalised && uniform * penalty >= weight ? drawn : recalled;
}

static enum status draw(struct sampler *sampler, size_t index, const real *logits,
                        token *value)
{
    struct row *row = &sampler->rows[index];
    size_t vocabulary = sampler->encoding->vocabulary;
    double uniform = draw_uniform(sampler, index, RNG_SAMPLE);
    logits += index * vocabulary;
    find_allowed(sampler, row);
    enum status status =
        draw_token(penalise(sampler, row, logits), sampler->allowed, vocabulary,
                   sampler->settings, uniform, sampler->candidates, value);
    if (status == STATUS_OK)
        *value = recall(sampler, index, *value);
    if (status == STATUS_OK && sampler->count > sampler->pieces)
        row->surprisal += draw_surprisal(logits, vocabulary, *value);
    return status;
}

static bool is_full(const struct sampler *sampler, const struct row *row)
{
    int64_t bars = sampler->settings->bars;
    if (bars > 0)
        return row->grammar.bars - sampler->primed.grammar.bars > bars;
    return seconds_so_far(sampler, &row->grammar) >= sampler->end - time_epsilon;
}

/* Appends the base tokens of `value`, except those after the piece's full length. */
static enum status append(struct sampler *sampler, struct row *row, token value)
{
    const struct encoding *base = sampler->base;
    size_t count;
    const token *parts = bpe_expand(sampler->encoding, &value, &count);
    enum status status = STATUS_OK;
    row->position++;
    if (value == sampler->encoding->end)
        return STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK && !is_full(sampler, row); i++) {
        accept(sampler, row, parts[i]);
        row->sounded |= base->token_sounds(base, parts[i]);
        status = tokens_append(&row->tokens, parts[i]);
    }
    return status == STATUS_OK ? remember(sampler, row, value) : status;
}

static enum sampler_outcome find_outcome(const struct sampler *sampler,
                                         const struct row *row, token last)
{
    if (last == sampler->encoding->end)
        return SAMPLER_ENDED;
    if (is_full(sampler, row))
        return SAMPLER_FULL_LENGTH;
    return row->position == sampler->max_tokens ? SAMPLER_TOKEN_LIMIT
                                                : SAMPLER_UNFINISHED;
}

/* Another attempt draws the same tokens. */
static bool is_deterministic(const struct sampler_settings *settings)
{
    return settings->temperature <= 0 || (settings->top_k == 1 && settings->cache <= 0);
}

/* Finishes the row's piece, or begins it again if it had to end and did not. */
static enum status finish_attempt(const struct sampler *sampler, struct row *row)
{
    const struct sampler_settings *settings = sampler->settings;
    row->finished = row->outcome == SAMPLER_ENDED || settings->end != END_REQUIRE ||
                    is_deterministic(settings) || row->attempt + 1 == SAMPLER_ATTEMPTS;
    if (row->finished)
        return STATUS_OK;
    row->attempt++;
    return begin_attempt(sampler, row);
}

/* Sets the row's next input: a token of the primer, the token drawn, or END. */
static enum status extend(struct sampler *sampler, size_t index, const real *logits)
{
    struct row *row = &sampler->rows[index];
    token value = sampler->encoding->end;
    if (row->fed < sampler->batch->primer_count) {
        sampler->inputs[index] = sampler->batch->primer[row->fed++];
        return STATUS_OK;
    }
    enum status status = draw(sampler, index, logits, &value);
    if (status == STATUS_OK)
        status = append(sampler, row, value);
    row->outcome = find_outcome(sampler, row, value);
    sampler->inputs[index] = row->outcome ? sampler->encoding->end : value;
    if (status == STATUS_OK && row->outcome)
        status = finish_attempt(sampler, row);
    return status;
}

enum status sampler_check_cancelled(const struct sampler_settings *settings)
{
    if (settings->cancelled && atomic_load(settings->cancelled))
        return status_fail(STATUS_STOPPED, "cancelled");
    return STATUS_OK;
}

static enum status extend_unfinished(struct sampler *sampler, const real *logits,
                                     size_t *unfinished)
{
    enum status status = sampler_check_cancelled(sampler->settings);
    for (size_t i = 0; i < sampler->count && status == STATUS_OK; i++) {
        if (sampler->rows[i].finished)
            continue;
        status = extend(sampler, i, logits);
        *unfinished -= sampler->rows[i].finished;
    }
    return status;
}

/* Extends the pieces until all are finished. */
static enum status extend_all(struct sampler *sampler, const real *logits)
{
    size_t unfinished = sampler->count;
    enum status status = extend_unfinished(sampler, logits, &unfinished);
    while (status == STATUS_OK && unfinished > 0) {
        phase_progress(); /* long pieces are not a hang */
        logits = sampler->source->next(sampler->source->context, sampler->inputs);
        status = extend_unfinished(sampler, logits, &unfinished);
    }
    return status;
}

/* ---- the most typical candidate ---- */

static int compare_doubles(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static double per_token(const struct row *row)
{
    return row->surprisal / (double)row->position;
}

/* Whether a candidate counts: if any of the piece's candidates ended as they must, only
 * those. */
static bool is_eligible(const struct sampler *sampler, size_t index, bool any_ended)
{
    bool ended = sampler->rows[index].outcome == SAMPLER_ENDED;
    return ended || !any_ended || sampler->settings->end != END_REQUIRE;
}

/* The row of the candidate that is kept for a piece. */
static size_t choose_candidate(const struct sampler *sampler, size_t piece)
{
    bool any_ended = false;
    size_t count = 0, best = piece;
    double least = (double)INFINITY;
    if (sampler->count == sampler->pieces)
        return piece;
    for (size_t i = piece; i < sampler->count; i += sampler->pieces)
        any_ended |= sampler->rows[i].outcome == SAMPLER_ENDED;
    for (size_t i = piece; i < sampler->count; i += sampler->pieces)
        if (is_eligible(sampler, i, any_ended))
            sampler->surprisals[count++] = per_token(&sampler->rows[i]);
    qsort(sampler->surprisals, count, sizeof *sampler->surprisals, compare_doubles);
    double median =
        (sampler->surprisals[(count - 1) / 2] + sampler->surprisals[count / 2]) / 2;
    for (size_t i = piece; i < sampler->count; i += sampler->pieces) {
        double distance = fabs(per_token(&sampler->rows[i]) - median);
        if (is_eligible(sampler, i, any_ended) && distance < least) {
            least = distance;
            best = i;
        }
    }
    return best;
}

/* ---- notes ---- */

/* Removes the notes that sound until `end` or longer and begin at `since` or later, and
 * all notes that begin with the first of them or after it, unless none would be left.
 * Sorted by start. */
static void remove_last_notes(struct notes *notes, double since, double end)
{
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        double start = note->start;
        if (start < since - time_epsilon || start + note->duration < end - time_epsilon)
            continue;
        while (i > 0 && notes->items[i - 1].start >= start - time_epsilon)
            i--; /* of the same chord */
        if (i > 0)
            notes->count = i;
        return;
    }
}

/* Lets a piece of full length end with notes of their own length, where possible. */
static void end_well(const struct sampler *sampler, struct notes *notes, double seconds,
                     double end)
{
    double last = fmin(SAMPLER_ENDING_SECONDS, seconds / 4);
    if (sampler->settings->end != END_FORBID)
        remove_last_notes(notes, end - last, end);
}

/* Truncates notes at `end`; all of them begin before it. */
static enum status truncate_notes(struct notes *notes, double end)
{
    struct tempo_map map;
    enum status status = tempo_map_from_notes(notes, &map);
    if (status != STATUS_OK)
        return status;
    uint32_t end_tick = tempo_map_tick_at(&map, end);
    for (size_t i = 0; i < notes->count; i++) {
        struct note *note = &notes->items[i];
        if (note->start + note->duration <= end)
            continue;
        note->duration = end - note->start;
        note->duration_ticks = end_tick - note->start_tick;
    }
    free(map.points);
    notes_sort(notes);
    return STATUS_OK;
}

/* Replaces the tempos of a piece. */
static enum status set_tempo(struct notes *notes, uint32_t tempo)
{
    struct tempo_map map = {0};
    notes->tempos.count = 0;
    enum status status = notes_set_tempo(notes, 0, tempo);
    if (status == STATUS_OK)
        status = tempo_map_from_notes(notes, &map);
    if (status == STATUS_OK)
        tempo_map_assign_seconds(&map, 0, notes->items, notes->count);
    free(map.points);
    return status;
}

/* The end of the last bar that the piece can have, in grid steps. A piece that ended has
 * no more bars; they would be as long as its last one. */
static uint64_t last_bar_end(const struct sampler *sampler, const struct grammar *grammar)
{
    int64_t left =
        sampler->settings->bars - (grammar->bars - sampler->primed.grammar.bars);
    return left < 0 ? grammar->time
                    : grammar->bar_end + (uint64_t)left * grammar->bar_steps;
}

/* Sets *length to the full length of a piece after the primer and *end to its end in the
 * notes, in seconds. */
static enum status find_end(const struct sampler *sampler, const struct row *row,
                            const struct notes *notes, double *length, double *end)
{
    bool keep_primer = sampler->batch->keep_primer;
    *length = sampler->settings->seconds;
    *end = keep_primer ? sampler->end : *length;
    if (sampler->settings->bars == 0)
        return STATUS_OK;
    struct tempo_map map;
    enum status status = tempo_map_from_notes(notes, &map);
    if (status != STATUS_OK)
        return status;
    uint64_t primer = sampler->primed.grammar.time;
    uint32_t first = keep_primer ? (uint32_t)primer : 0;
    uint32_t last = (uint32_t)(last_bar_end(sampler, &row->grammar) - primer) + first;
    *end = tempo_map_seconds(&map, 0, 0, last);
    *length = *end - tempo_map_seconds(&map, 0, 0, first);
    free(map.points);
    return STATUS_OK;
}

static enum status decode_piece(const struct sampler *sampler, const struct row *row,
                                struct notes *piece)
{
    size_t skip = sampler->batch->keep_primer ? 0 : sampler->primer_count;
    double length, end;
    enum status status = sampler->base->decode(sampler->base, row->tokens.items,
                                               row->tokens.count, skip, piece);
    if (status == STATUS_OK && sampler->step_seconds > 0)
        status = set_tempo(piece, sampler->settings->request.tempo);
    if (status == STATUS_OK)
        status = find_end(sampler, row, piece, &length, &end);
    if (status != STATUS_OK)
        return status;
    end_well(sampler, piece, length, end);
    return truncate_notes(piece, end);
}

static enum status decode_pieces(const struct sampler *sampler, struct notes *pieces)
{
    enum sampler_outcome *outcomes = sampler->settings->outcomes;
    for (size_t i = 0; i < sampler->pieces; i++) {
        const struct row *row = &sampler->rows[choose_candidate(sampler, i)];
        enum status status = decode_piece(sampler, row, &pieces[i]);
        if (status != STATUS_OK)
            return status;
        if (outcomes)
            outcomes[i] = row->outcome;
    }
    return STATUS_OK;
}

int sampler_rows(const struct sampler_settings *settings, int count)
{
    return settings->best_of > 1 ? count * settings->best_of : count;
}

enum status sampler_run_source(const struct sampler_source *source,
                               const struct encoding *encoding,
                               const struct sampler_settings *settings,
                               const struct sampler_batch *batch, struct notes *pieces)
{
    enum status status = check_settings(settings, batch->count);
    if (status == STATUS_OK)
        status = check_primer(encoding, batch);
    if (status == STATUS_OK)
        status = check_music(encoding, settings);
    if (status != STATUS_OK)
        return status;
    struct sampler sampler = {.source = source,
                              .encoding = encoding,
                              .base = bpe_base(encoding),
                              .settings = settings,
                              .batch = batch,
                              .pieces = (size_t)batch->count,
                              .count = (size_t)sampler_rows(settings, batch->count),
                              .step_seconds = requested_step(encoding, settings),
                              .max_tokens = tokens_max(encoding, settings->seconds)};
    status = allocate(&sampler);
    if (status == STATUS_OK)
        status = begin_pieces(&sampler);
    const real *logits = NULL;
    if (status == STATUS_OK)
        status = feed_primer(&sampler, &logits);
    if (status == STATUS_OK)
        status = extend_all(&sampler, logits);
    if (status == STATUS_OK)
        status = decode_pieces(&sampler, pieces);
    free_sampler(&sampler);
    return status;
}
