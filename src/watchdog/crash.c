/* watchdog, the crash handler: the message that a dying process sends.
 *
 * A handler for the fatal signals sends one frame and then passes the signal on to its
 * previous handler (Open MPI prints a stack trace, a sanitizer its report, the kernel
 * writes a core). It uses only send, write and atomics, because the heap may be corrupt,
 * and an alternate stack, because the regular one may have overflowed.
 *
 * The coordinator has no one to send to: its handler wakes its thread, which reports, and
 * waits until it has done so.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "watchdog_internal.h"
#include "base/progress.h"

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
enum { FATAL_COUNT = sizeof fatal_signals / sizeof *fatal_signals, STACK_SIZE = 1 << 16 };

static struct sigaction previous_actions[FATAL_COUNT];
static bool installed[FATAL_COUNT];
static _Alignas(64) char stack[STACK_SIZE];

static struct watchdog *_Atomic active_watchdog; /* NULL: no messages */
static atomic_flag message_sent = ATOMIC_FLAG_INIT;
static _Atomic int64_t stop_requested; /* CLOCK_MONOTONIC, ns; 0: never */

/* ---- the request to stop ---- */

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void watchdog_record_stop_request(void)
{
    int64_t unset = 0;
    atomic_compare_exchange_strong(&stop_requested, &unset, monotonic_ns());
}

double watchdog_seconds_since_stop_request(void)
{
    int64_t requested = atomic_load(&stop_requested);
    return requested == 0 ? 0 : 1e-9 * (double)(monotonic_ns() - requested);
}

/* ---- the message ---- */

void watchdog_copy_text(char *to, size_t size, const char *from)
{
    size_t i = 0;
    for (; i + 1 < size && from[i]; i++)
        to[i] = from[i];
    to[i] = '\0';
}

void watchdog_frame_fill(struct watchdog_frame *frame, enum watchdog_kind kind,
                         const struct watchdog_process *self)
{
    struct phase_state state = phase_state();
    frame->kind = (int32_t)kind;
    frame->rank = self->rank;
    frame->pid = self->pid;
    frame->pid_namespace = self->pid_namespace;
    frame->start_time = self->start_time;
    frame->step = state.step;
    frame->phase = (int32_t)state.phase;
}

/* Waits for a limited time until the thread of this process has reported, or not at all
 * if the thread itself is crashing. */
static void wait_for_report(struct watchdog *watchdog)
{
    enum { TIMEOUT_MS = 3000 };
    const uint64_t one = 1;
    atomic_store(&watchdog->crash_sent, true);
    if (write(watchdog->wake_event, &one, sizeof one) < 0 ||
        pthread_equal(pthread_self(), watchdog->thread))
        return;
    for (int i = 0; i < TIMEOUT_MS && !atomic_load(&watchdog->reported); i++)
        poll(NULL, 0, 1);
}

static void send_crash_message(enum watchdog_kind kind, int number, const char *text)
{
    struct watchdog *watchdog = atomic_load(&active_watchdog);
    if (!watchdog || getpid() != watchdog->self.pid) /* a forked child */
        return;
    if (atomic_load(&watchdog->closing) || atomic_flag_test_and_set(&message_sent))
        return;
    struct watchdog_frame *frame = &watchdog->crash_message;
    watchdog_frame_fill(frame, kind, &watchdog->self);
    frame->number = number;
    watchdog_copy_text(frame->text, sizeof frame->text, text);
    if (watchdog->is_coordinator)
        wait_for_report(watchdog);
    else if (watchdog_link_try_send(&watchdog->peers[0].link, frame))
        atomic_store(&watchdog->crash_sent, true);
}

/* comm_abort is about to end all ranks: its message is the root cause. The delay lets
 * rank 0 report it before MPI ends rank 0, too. */
static void on_abort(const char *message)
{
    enum { DELAY_MS = 300 };
    send_crash_message(WATCHDOG_FAILED, 0, message);
    poll(NULL, 0, DELAY_MS);
}

/* ---- signals and exit ---- */

static int fatal_index(int number)
{
    int i = 0;
    while (i < FATAL_COUNT - 1 && fatal_signals[i] != number)
        i++;
    return i;
}

/* True for a fault, which recurs when the instruction is executed again; a signal sent by
 * a process doesn't recur. */
static bool recurs(int number, const siginfo_t *info)
{
    bool fault =
        number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL;
    return fault && info->si_code > 0 && info->si_code != SI_KERNEL;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    int error = errno;
    send_crash_message(WATCHDOG_SIGNAL, number, "");
    sigaction(number, &previous_actions[fatal_index(number)], NULL);
    if (!recurs(number, info))
        raise(number); /* delivered when this handler returns */
    errno = error;
}

static void on_process_exit(int code, void *unused)
{
    (void)unused;
    send_crash_message(WATCHDOG_EXIT, code, "");
}

static void install_signal_stack(void)
{
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack}, current;
    if (sigaltstack(NULL, &current) == 0 && (current.ss_flags & SS_DISABLE))
        sigaltstack(&alternate, NULL);
}

void watchdog_crash_handler_install(struct watchdog *watchdog)
{
    static bool registered;
    atomic_flag_clear(&message_sent);
    atomic_store(&active_watchdog, watchdog);
    comm_on_abort(on_abort);
    if (!registered)
        registered = on_exit(on_process_exit, NULL) == 0;
    install_signal_stack();
    for (int i = 0; i < FATAL_COUNT; i++) {
        struct sigaction action = {.sa_sigaction = on_signal,
                                   .sa_flags = SA_SIGINFO | SA_ONSTACK};
        sigemptyset(&action.sa_mask);
        installed[i] = sigaction(fatal_signals[i], NULL, &previous_actions[i]) == 0 &&
                       previous_actions[i].sa_handler != SIG_IGN &&
                       sigaction(fatal_signals[i], &action, NULL) == 0;
    }
}

void watchdog_crash_handler_remove(void)
{
    for (int i = 0; i < FATAL_COUNT; i++)
        if (installed[i])
            sigaction(fatal_signals[i], &previous_actions[i], NULL);
    comm_on_abort(NULL);
    atomic_store(&active_watchdog, NULL);
}
