/* stop: the handler sets a flag and does nothing else; what is to be done about it the
 * ranks agree on in the reduction of the step, so that all stop behind the same one.
 */
#include "stop.h"

#include <signal.h>
#include <stddef.h>

#include "tutti/watch.h"

static const int signals[] = {SIGINT, SIGTERM, SIGUSR1};
enum { SIGNALS = sizeof signals / sizeof *signals };

static volatile sig_atomic_t requested;
static struct sigaction before[SIGNALS];

static void request(int number)
{
    requested = 1;
    if (number != SIGUSR1) /* those that launchers send before they kill */
        watch_stopping();
}

void stop_listen(void)
{
    requested = 0;
    for (size_t i = 0; i < SIGNALS; i++) {
        struct sigaction action = {.sa_handler = request, .sa_flags = SA_RESTART};
        if (signals[i] == SIGINT)
            action.sa_flags |= (int)SA_RESETHAND;
        sigemptyset(&action.sa_mask);
        sigaction(signals[i], &action, &before[i]);
    }
}

void stop_ignore(bool stopped)
{
    for (size_t i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &before[i], NULL);
    if (stopped) {
        signal(SIGUSR1, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
    }
}

bool stop_requested(void)
{
    return requested != 0;
}
