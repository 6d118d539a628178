/* watchdog, judgement: which rank hangs, if any. Nothing here but arithmetic.
 *
 * A rank that waits for others (PHASE_WAIT) does what it should. One that computes, reads
 * or writes without moving for so long does not; one that says nothing at all is worse
 * off still, for its thread would speak even if its training hung. Only when all wait is
 * it nobody in particular.
 */
#include "watchdog_internal.h"

static bool is_watched(const struct watchdog_member *member)
{
    return member->known && !member->left;
}

/* Loading a data set may take long, and so may leaving. */
static bool may_take_long(const struct watchdog_member *member)
{
    return (member->phase == PHASE_START && member->step == 0) ||
           member->phase == PHASE_END;
}

static struct watchdog_cause blame(const struct watchdog_member *member, double now,
                                   double hang_seconds)
{
    struct watchdog_cause cause = {.reason = CAUSE_NONE, .member = member};
    double silent = now - member->heard, still = member->still + silent;
    if (silent > hang_seconds) {
        cause.reason = CAUSE_UNHEARD;
        cause.seconds = silent;
    } else if (member->phase != PHASE_WAIT && !may_take_long(member) &&
               still > hang_seconds) {
        cause.reason = CAUSE_HANGS;
        cause.seconds = still;
    }
    return cause;
}

/* All wait for each other, and longer than any of them could for one that hangs. */
static struct watchdog_cause all_wait(const struct watchdog_member *members, int count,
                                      int ranks, double now, double hang_seconds)
{
    struct watchdog_cause cause = {.reason = CAUSE_NONE, .member = &members[0]};
    double shortest = -1;
    for (int i = 0; i < count; i++) {
        const struct watchdog_member *member = &members[i];
        double still = member->still + now - member->heard;
        if (!is_watched(member) || member->phase != PHASE_WAIT)
            return cause;
        if (shortest < 0 || still < shortest)
            shortest = still;
    }
    if (count == ranks && shortest > 2 * hang_seconds) {
        cause.reason = CAUSE_ALL_WAIT;
        cause.seconds = shortest;
    }
    return cause;
}

struct watchdog_cause watchdog_judge(const struct watchdog_member *members, int count,
                                     int ranks, double now, double hang_seconds)
{
    struct watchdog_cause worst = {.reason = CAUSE_NONE};
    if (hang_seconds <= 0)
        return worst;
    for (int i = 0; i < count; i++) {
        if (!is_watched(&members[i]))
            continue;
        struct watchdog_cause cause = blame(&members[i], now, hang_seconds);
        if (cause.reason > worst.reason ||
            (cause.reason == worst.reason && cause.seconds > worst.seconds))
            worst = cause;
    }
    if (worst.reason == CAUSE_NONE)
        worst = all_wait(members, count, ranks, now, hang_seconds);
    return worst;
}
