/* sampler_check: see sampler_internal.h. */
#include <math.h>

#include "sampler_internal.h"

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

enum status sampler_check(const struct encoding *encoding,
                          const struct sampler_settings *settings,
                          const struct sampler_batch *batch)
{
    enum status status = check_settings(settings, batch->count);
    if (status == STATUS_OK)
        status = check_primer(encoding, batch);
    return status == STATUS_OK ? check_music(encoding, settings) : status;
}
