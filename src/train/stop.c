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
    bool terminates; /* a kill usually follows soon */
} signals[] = {
    {SIGHUP, "SIGHUP", true},   {SIGINT, "SIGINT", true},    {SIGTERM, "SIGTERM", true},
    {SIGXCPU, "SIGXCPU", true}, {SIGUSR1, "SIGUSR1", false}, {SIGUSR2, "SIGUSR2", false},
};
enum { SIGNALS = sizeof signals / sizeof *signals };

static volatile sig_atomic_t requested; /* the first signal received, or 0 */
static struct sigaction old_actions[SIGNALS];
static bool installed;

static void handle_signal(int number)
{
    if (requested == 0)
        requested = number;
    for (size_t i = 0; i < SIGNALS; i++)
        if (signals[i].number == number && signals[i].terminates)
            watchdog_record_stop_request();
}

void stop_install_handlers(void)
{
    bool reinstalling = installed;
    installed = true;
    if (!reinstalling)
        requested = 0;
    for (size_t i = 0; i < SIGNALS; i++) {
        struct sigaction action = {.sa_handler = handle_signal, .sa_flags = SA_RESTART};
        if (signals[i].number == SIGINT)
            action.sa_flags |= (int)SA_RESETHAND;
        if (reinstalling && signals[i].number == SIGINT && requested == SIGINT)
            continue; /* the second one ends the process */
        sigemptyset(&action.sa_mask);
        if (!reinstalling)
            sigaction(signals[i].number, NULL, &old_actions[i]);
        bool nohup = signals[i].number == SIGHUP && old_actions[i].sa_handler == SIG_IGN;
        if (!nohup)
            sigaction(signals[i].number, &action, NULL);
    }
}

void stop_restore_handlers(bool stopped)
{
    installed = false;
    for (size_t i = 0; i < SIGNALS; i++) {
        if (stopped && signals[i].number != SIGINT)
            signal(signals[i].number, SIG_IGN);
        else
            sigaction(signals[i].number, &old_actions[i], NULL);
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
