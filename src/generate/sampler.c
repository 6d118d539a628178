/* sampler: the loop over model and grammar.
 *
 * All rows receive the same primer, then diverge. A row whose piece is begun again
 * receives END and the primer anew, one token at a time, while the others continue.
 */
#include "sampler.h"

#include <stdlib.h>

#include "sampler_internal.h"
#include "base/phase.h"
#include "encode/bpe.h"

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
    sampler->end =
        sampler_seconds(sampler, &primed->grammar) + sampler->settings->seconds;
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

static bool is_full(const struct sampler *sampler, const struct row *row)
{
    int64_t bars = sampler->settings->bars;
    if (bars > 0)
        return row->grammar.bars - sampler->primed.grammar.bars > bars;
    return sampler_seconds(sampler, &row->grammar) >= sampler->end - time_epsilon;
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
    enum status status = sampler_draw(sampler, index, logits, &value);
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

int sampler_rows(const struct sampler_settings *settings, int count)
{
    return settings->best_of > 1 ? count * settings->best_of : count;
}

enum status sampler_run_source(const struct sampler_source *source,
                               const struct encoding *encoding,
                               const struct sampler_settings *settings,
                               const struct sampler_batch *batch, struct notes *pieces)
{
    enum status status = sampler_check(encoding, settings, batch);
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
        status = sampler_decode(&sampler, pieces);
    free_sampler(&sampler);
    return status;
}
