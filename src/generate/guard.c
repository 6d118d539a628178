/* guard: for each period, counts the tokens that have repeated with that period.
 * Accepting a token costs one comparison per period; no search is needed. */
#include "guard.h"

static const double time_epsilon = 1e-9; /* sums of steps are not exact in seconds */

void guard_accept(struct guard *guard, const struct encoding *encoding, token value,
                  double seconds)
{
    for (uint64_t period = 1; period <= GUARD_PERIOD; period++) {
        uint64_t slot = (guard->count - period) % GUARD_PERIOD;
        if (period <= guard->count && guard->recent[slot] == value) {
            guard->repeated[period]++;
        } else {
            guard->repeated[period] = 0;
            guard->repeated_since[period] = seconds;
        }
    }
    guard->recent[guard->count % GUARD_PERIOD] = value;
    guard->count++;
    if (encoding->token_sounds(encoding, value)) {
        guard->last_sound = guard->count;
        guard->last_sound_seconds = seconds;
    }
}

static bool is_cycling(const struct guard *guard, uint64_t period, double seconds)
{
    bool repeats_enough = guard->repeated[period] >= period * (GUARD_REPEATS - 1);
    bool has_sound = guard->last_sound && guard->last_sound + period > guard->count;
    bool long_enough =
        seconds - guard->repeated_since[period] >= GUARD_SECONDS - time_epsilon;
    return repeats_enough && has_sound && long_enough;
}

static void forbid_time_advance(const struct encoding *encoding,
                                const struct grammar *grammar, bool *allowed)
{
    for (size_t value = 0; value < encoding->vocabulary; value++)
        if (encoding->advance(encoding, grammar, (token)value) > 0)
            allowed[value] = false;
}

void guard_restrict(const struct guard *guard, const struct encoding *encoding,
                    const struct grammar *grammar, double max_silence, bool *allowed)
{
    double seconds = grammar->seconds;
    for (uint64_t period = 1; period <= GUARD_PERIOD; period++) {
        token value = guard->recent[(guard->count - period) % GUARD_PERIOD];
        if (value < encoding->vocabulary && is_cycling(guard, period, seconds))
            allowed[value] = false;
    }
    if (seconds - guard->last_sound_seconds >= max_silence - time_epsilon)
        forbid_time_advance(encoding, grammar, allowed);
}
