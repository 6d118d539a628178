/* draw: applies temperature, top-k, top-p and min-p, in that order, in double precision. The
 * distribution is traversed in order of token value whether or not it was truncated, so a
 * limit that removes no token does not change the draw. */
#include "draw.h"

#include <math.h>
#include <stdlib.h>

static int compare_tokens(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    return (a->value > b->value) - (a->value < b->value);
}

static int compare_logits(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->logit != b->logit)
        return a->logit > b->logit ? -1 : 1;
    return compare_tokens(left, right);
}

static size_t collect(const real *logits, const bool *allowed, size_t vocabulary,
                      struct candidate *candidates)
{
    size_t count = 0;
    for (size_t value = 0; value < vocabulary; value++)
        if (allowed[value])
            candidates[count++] =
                (struct candidate){.logit = (double)logits[value], .value = (token)value};
    return count;
}

/* The candidate with the largest logit, the first in a tie. */
static const struct candidate *find_best(const struct candidate *candidates, size_t count)
{
    const struct candidate *best = candidates;
    for (size_t i = 1; i < count; i++)
        if (candidates[i].logit > best->logit)
            best = &candidates[i];
    return best;
}

static double compute_weights(struct candidate *candidates, size_t count, double best,
                              double temperature)
{
    double total = 0;
    for (size_t i = 0; i < count; i++) {
        candidates[i].weight = exp((candidates[i].logit - best) / temperature);
        total += candidates[i].weight;
    }
    return total;
}

/* The number of leading sorted candidates whose total probability reaches top_p. */
static size_t count_nucleus(const struct candidate *candidates, size_t count,
                            double total, double top_p)
{
    double covered = 0;
    size_t kept = 0;
    while (kept < count && covered < top_p * total) /* at least one */
        covered += candidates[kept++].weight;
    return kept;
}

static size_t truncate_candidates(struct candidate *candidates, size_t count, double best,
                                  const struct sampler_settings *settings)
{
    qsort(candidates, count, sizeof *candidates, compare_logits);
    if (settings->top_k > 0 && (uint64_t)settings->top_k < count)
        count = (size_t)settings->top_k;
    if (settings->top_p < 1) {
        double total = compute_weights(candidates, count, best, settings->temperature);
        count = count_nucleus(candidates, count, total, settings->top_p);
    }
    qsort(candidates, count, sizeof *candidates, compare_tokens);
    return count;
}

/* Removes the candidates with less than min_p times the probability of the best. */
static size_t remove_improbable(struct candidate *candidates, size_t count, double best,
                                const struct sampler_settings *settings)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (exp((candidates[i].logit - best) / settings->temperature) >= settings->min_p)
            candidates[kept++] = candidates[i];
    return kept;
}

static token invert_cdf(const struct candidate *candidates, size_t count, double target)
{
    token last = candidates[0].value;
    for (size_t i = 0; i < count; i++) {
        if (candidates[i].weight > 0)
            last = candidates[i].value;
        target -= candidates[i].weight;
        if (target < 0)
            break;
    }
    return last; /* rounding can leave a small positive target */
}

enum status draw_token(const real *logits, const bool *allowed, size_t vocabulary,
                       const struct sampler_settings *settings, double uniform,
                       struct candidate *candidates, token *out)
{
    size_t count = collect(logits, allowed, vocabulary, candidates);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(candidates[i].logit))
            return status_fail(
                STATUS_FAILED,
                "the model's logit of token %d is %g: its weights are damaged, "
                "or its training diverged",
                candidates[i].value, candidates[i].logit);
    if (count == 0)
        return status_fail(STATUS_FAILED, "the grammar allows no token");
    const struct candidate *best = find_best(candidates, count);
    if (settings->temperature > 0) {
        double largest = best->logit;
        if (settings->top_k > 0 || settings->top_p < 1)
            count = truncate_candidates(candidates, count, largest, settings);
        if (settings->min_p > 0)
            count = remove_improbable(candidates, count, largest, settings);
        double total = compute_weights(candidates, count, largest, settings->temperature);
        *out = invert_cdf(candidates, count, uniform * total);
    } else {
        *out = best->value;
    }
    return STATUS_OK;
}

double draw_surprisal(const real *logits, size_t vocabulary, token value)
{
    real largest = logits[0];
    for (size_t i = 1; i < vocabulary; i++)
        if (logits[i] > largest)
            largest = logits[i];
    double total = 0;
    for (size_t i = 0; i < vocabulary; i++)
        total += exp((double)logits[i] - (double)largest);
    return log(total) + (double)largest - (double)logits[value];
}
