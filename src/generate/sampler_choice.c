/* sampler_choice: the next token. Grammar, request, scale and guard select the tokens that
 * may come next; the model's probabilities and the cache choose one of them. */
#include <string.h>

#include "sampler_internal.h"
#include "base/rng.h"
#include "base/scale.h"
#include "encode/bpe.h"

/* ---- the tokens that may come next ---- */

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
 * before the first sound, before min_seconds or if it is forbidden, minus those that lead
 * to what is not requested, those outside the scale and those that the guard forbids. */
static void find_allowed(struct sampler *sampler, const struct row *row)
{
    const struct encoding *encoding = sampler->encoding;
    encoding->grammar_allowed(encoding, &row->grammar, sampler->allowed);
    double seconds = sampler_seconds(sampler, &row->grammar) -
                     sampler_seconds(sampler, &sampler->primed.grammar);
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

/* ---- the draw ---- */

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

enum status sampler_draw(struct sampler *sampler, size_t index, const real *logits,
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
