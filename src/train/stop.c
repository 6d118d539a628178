/* stop: the handler only records the signal; the ranks agree on the stop in the reduction
 * of a step, so that all stop after the same step.
 *
 * The signals are those that users, terminals and batch systems send as a warning: HUP
 * when the terminal closes, USR1 (Slurm), USR2 (LSF, Grid Engine, submitit), TERM, and
 * XCPU at the soft limit of CPU time, and then once a second.
 */
#include "stop.h"

#include <signal.h>
#include <stddef.h>

#include "watchdog/watchdog.h"

static const struct {
    int number;
    const char *name;
    bool ends; /* a kill usually follows soon */
} signals[] = {
    {SIGHUP, "SIGHUP", true},   {SIGINT, "SIGINT", true},    {SIGTERM, "SIGTERM", true},
    {SIGXCPU, "SIGXCPU", true}, {SIGUSR1, "SIGUSR1", false}, {SIGUSR2, "SIGUSR2", false},
};
enum { SIGNALS = sizeof signals / sizeof *signals };

static volatile sig_atomic_t requested; /* the first signal received, or 0 */
static struct sigaction before[SIGNALS];
static bool listening;

static void request(int number)
{
    if (requested == 0)
        requested = number;
    for (size_t i = 0; i < SIGNALS; i++)
        if (signals[i].number == number && signals[i].ends)
            watchdog_record_stop_request();
}

void stop_listen(void)
{
    bool again = listening;
    listening = true;
    if (!again)
        requested = 0;
    for (size_t i = 0; i < SIGNALS; i++) {
        struct sigaction action = {.sa_handler = request, .sa_flags = SA_RESTART};
        if (signals[i].number == SIGINT)
            action.sa_flags |= (int)SA_RESETHAND;
        if (again && signals[i].number == SIGINT && requested == SIGINT)
            continue; /* the second one ends the process */
        sigemptyset(&action.sa_mask);
        if (!again)
            sigaction(signals[i].number, NULL, &before[i]);
        bool nohup = signals[i].number == SIGHUP && before[i].sa_handler == SIG_IGN;
        if (!nohup)
            sigaction(signals[i].number, &action, NULL);
    }
}

void stop_ignore(bool stopped)
{
    listening = false;
    for (size_t i = 0; i < SIGNALS; i++) {
        if (stopped && signals[i].number != SIGINT)
            signal(signals[i].number, SIG_IGN);
        else
            sigaction(signals[i].number, &before[i], NULL);
    }
}

int stop_signal(void)
{
    return requested;
}

const char *stop_signal_name(int number)
{
    for (size_t i = 0; i < SIGNALS; i++)
        if (signals[i].number == number)
            return signals[i].name;
    return NULL;
}
