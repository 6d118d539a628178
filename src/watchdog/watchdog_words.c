/* watchdog, last words: what a process can still say when it ends.
 *
 * A handler for the fatal signals sends one frame and then leaves everything to whoever
 * had the signal before (Open MPI prints a trace, a sanitizer its report, the system a
 * core). Only send, write and atomics: the heap may be what is broken. The handler has a
 * stack of its own, since the usual one may be what has run out.
 *
 * The hub has nobody to send to: its handler lets its thread tell, and waits for that.
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

static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
enum { FATAL = sizeof fatal / sizeof *fatal, STACK_SIZE = 1 << 16 };

static struct sigaction before[FATAL];
static bool handled[FATAL];
static _Alignas(64) char stack[STACK_SIZE];

static struct watchdog *_Atomic speaker; /* NULL: what ends is nobody's business */
static atomic_flag said = ATOMIC_FLAG_INIT;
static _Atomic int64_t stopping; /* CLOCK_MONOTONIC, ns; 0: nobody has asked */

/* ---- when asked to stop ---- */

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void watchdog_stopping(void)
{
    int64_t never = 0;
    atomic_compare_exchange_strong(&stopping, &never, nanoseconds());
}

double watchdog_stopping_seconds(void)
{
    int64_t since = atomic_load(&stopping);
    return since == 0 ? 0 : 1e-9 * (double)(nanoseconds() - since);
}

/* ---- saying ---- */

void watchdog_copy(char *to, size_t size, const char *from)
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
    frame->place = self->place;
    frame->born = self->born;
    frame->step = state.step;
    frame->phase = (int32_t)state.phase;
}

/* The thread of this process reports; not for ever, and not if it is itself what dies. */
static void let_thread_tell(struct watchdog *watchdog)
{
    enum { MILLISECONDS = 3000 };
    const uint64_t one = 1;
    atomic_store(&watchdog->spoken, true);
    if (write(watchdog->wake, &one, sizeof one) < 0 ||
        pthread_equal(pthread_self(), watchdog->thread))
        return;
    for (int i = 0; i < MILLISECONDS && !atomic_load(&watchdog->told); i++)
        poll(NULL, 0, 1);
}

static void say(enum watchdog_kind kind, int number, const char *text)
{
    struct watchdog *watchdog = atomic_load(&speaker);
    if (!watchdog || getpid() != watchdog->self.pid) /* a child that was forked */
        return;
    if (atomic_load(&watchdog->closing) || atomic_flag_test_and_set(&said))
        return;
    struct watchdog_frame *frame = &watchdog->words;
    watchdog_frame_fill(frame, kind, &watchdog->self);
    frame->number = number;
    watchdog_copy(frame->text, sizeof frame->text, text);
    if (watchdog->hub)
        let_thread_tell(watchdog);
    else if (watchdog_link_send_now(&watchdog->members[0].link, frame))
        atomic_store(&watchdog->spoken, true);
}

/* comm_abort is about to end all ranks: its message is the root cause. Rank 0 gets a moment
 * to report it before MPI ends rank 0 as well. */
static void on_abort(const char *message)
{
    enum { MILLISECONDS = 300 };
    say(WATCHDOG_FAILED, 0, message);
    poll(NULL, 0, MILLISECONDS);
}

/* ---- signals and exit ---- */

static int index_of(int number)
{
    int i = 0;
    while (i < FATAL - 1 && fatal[i] != number)
        i++;
    return i;
}

/* A fault of the program comes again when its instruction is tried again; what a process
 * has sent does not. */
static bool comes_again(int number, const siginfo_t *info)
{
    bool fault =
        number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL;
    return fault && info->si_code > 0 && info->si_code != SI_KERNEL;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    int error = errno;
    say(WATCHDOG_SIGNAL, number, "");
    sigaction(number, &before[index_of(number)], NULL);
    if (!comes_again(number, info))
        raise(number); /* it waits until this handler is left */
    errno = error;
}

static void on_leaving(int code, void *unused)
{
    (void)unused;
    say(WATCHDOG_EXIT, code, "");
}

static void make_stack(void)
{
    stack_t own = {.ss_sp = stack, .ss_size = sizeof stack}, old;
    if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE))
        sigaltstack(&own, NULL);
}

void watchdog_words_begin(struct watchdog *watchdog)
{
    static bool registered;
    atomic_flag_clear(&said);
    atomic_store(&speaker, watchdog);
    comm_on_abort(on_abort);
    if (!registered)
        registered = on_exit(on_leaving, NULL) == 0;
    make_stack();
    for (int i = 0; i < FATAL; i++) {
        struct sigaction action = {.sa_sigaction = on_signal,
                                   .sa_flags = SA_SIGINFO | SA_ONSTACK};
        sigemptyset(&action.sa_mask);
        handled[i] = sigaction(fatal[i], NULL, &before[i]) == 0 &&
                     before[i].sa_handler != SIG_IGN &&
                     sigaction(fatal[i], &action, NULL) == 0;
    }
}

void watchdog_words_end(void)
{
    for (int i = 0; i < FATAL; i++)
        if (handled[i])
            sigaction(fatal[i], &before[i], NULL);
    comm_on_abort(NULL);
    atomic_store(&speaker, NULL);
}
