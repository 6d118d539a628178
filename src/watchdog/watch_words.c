/* watch, last words: what a process can still say when it ends.
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

#include "watch_internal.h"
#include "base/progress.h"

static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
enum { FATAL = sizeof fatal / sizeof *fatal, STACK_SIZE = 1 << 16 };

static struct sigaction before[FATAL];
static bool handled[FATAL];
static _Alignas(64) char stack[STACK_SIZE];

static struct watch *_Atomic speaker; /* NULL: what ends is nobody's business */
static atomic_flag said = ATOMIC_FLAG_INIT;
static _Atomic int64_t stopping; /* CLOCK_MONOTONIC, ns; 0: nobody has asked */

/* ---- when asked to stop ---- */

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void watch_stopping(void)
{
    int64_t never = 0;
    atomic_compare_exchange_strong(&stopping, &never, nanoseconds());
}

double watch_stopping_seconds(void)
{
    int64_t since = atomic_load(&stopping);
    return since == 0 ? 0 : 1e-9 * (double)(nanoseconds() - since);
}

/* ---- saying ---- */

void watch_copy(char *to, size_t size, const char *from)
{
    size_t i = 0;
    for (; i + 1 < size && from[i]; i++)
        to[i] = from[i];
    to[i] = '\0';
}

void watch_frame_fill(struct watch_frame *frame, enum watch_kind kind,
                      const struct watch_process *self)
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
static void let_thread_tell(struct watch *watch)
{
    enum { MILLISECONDS = 3000 };
    const uint64_t one = 1;
    atomic_store(&watch->spoken, true);
    if (write(watch->wake, &one, sizeof one) < 0 ||
        pthread_equal(pthread_self(), watch->thread))
        return;
    for (int i = 0; i < MILLISECONDS && !atomic_load(&watch->told); i++)
        poll(NULL, 0, 1);
}

static void say(enum watch_kind kind, int number, const char *text)
{
    struct watch *watch = atomic_load(&speaker);
    if (!watch || getpid() != watch->self.pid) /* a child that was forked */
        return;
    if (atomic_load(&watch->closing) || atomic_flag_test_and_set(&said))
        return;
    struct watch_frame *frame = &watch->words;
    watch_frame_fill(frame, kind, &watch->self);
    frame->number = number;
    watch_copy(frame->text, sizeof frame->text, text);
    if (watch->hub)
        let_thread_tell(watch);
    else if (watch_link_send_now(&watch->members[0].link, frame))
        atomic_store(&watch->spoken, true);
}

/* comm_abort is about to end all ranks: its message is the root cause. */
static void on_abort(const char *message)
{
    say(WATCH_FAILED, 0, message);
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
    say(WATCH_SIGNAL, number, "");
    sigaction(number, &before[index_of(number)], NULL);
    if (!comes_again(number, info))
        raise(number); /* it waits until this handler is left */
    errno = error;
}

static void on_leaving(int code, void *unused)
{
    (void)unused;
    say(WATCH_EXIT, code, "");
}

static void make_stack(void)
{
    stack_t own = {.ss_sp = stack, .ss_size = sizeof stack}, old;
    if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE))
        sigaltstack(&own, NULL);
}

void watch_words_begin(struct watch *watch)
{
    static bool registered;
    atomic_flag_clear(&said);
    atomic_store(&speaker, watch);
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

void watch_words_end(void)
{
    for (int i = 0; i < FATAL; i++)
        if (handled[i])
            sigaction(fatal[i], &before[i], NULL);
    comm_on_abort(NULL);
    atomic_store(&speaker, NULL);
}
