/* guard: for each period, counts the tokens that have repeated with that period.
 * Accepting a token costs one comparison per period; no search is needed. */
#include "guard.h"

#include "encode/bpe.h"

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

struct restriction {
    const struct guard *guard;
    const struct grammar *grammar; /* of the piece that the guard has accepted */
    double max_silence;
};

static bool has_cycle(const struct guard *guard, double seconds)
{
    bool found = false;
    for (uint64_t period = 1; period <= GUARD_PERIOD; period++)
        found |= is_cycling(guard, period, seconds);
    return found;
}

static void forbid_cycles(const struct guard *guard, const struct encoding *encoding,
                          double seconds, bool *allowed)
{
    for (uint64_t period = 1; period <= GUARD_PERIOD; period++) {
        token value = guard->recent[(guard->count - period) % GUARD_PERIOD];
        if (value < encoding->vocabulary && is_cycling(guard, period, seconds))
            allowed[value] = false;
    }
}

/* The first base token of a merged one decides whether a cycle goes on. */
static void restrict_tokens(void *context, const struct encoding *base,
                            const struct grammar *grammar, double last_sound,
                            bool *allowed)
{
    const struct restriction *restriction = context;
    if (grammar == restriction->grammar)
        forbid_cycles(restriction->guard, base, grammar->seconds, allowed);
    if (grammar->seconds - last_sound >= restriction->max_silence - time_epsilon)
        forbid_time_advance(base, grammar, allowed);
}

void guard_restrict(const struct guard *guard, const struct encoding *encoding,
                    const struct grammar *grammar, double max_silence, bool *allowed)
{
    double silence = grammar->seconds - guard->last_sound_seconds;
    struct restriction restriction = {guard, grammar, max_silence};
    if (!has_cycle(guard, grammar->seconds) &&
        silence + bpe_longest_advance(encoding) < max_silence - time_epsilon)
        return;
    bpe_restrict(encoding, grammar, guard->last_sound_seconds, restrict_tokens,
                 &restriction, allowed);
}
