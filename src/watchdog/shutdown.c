/* watchdog, shutdown: reports the root cause and ends the ranks.
 *
 * The coordinator reports, sends WATCHDOG_END to all ranks, kills the rank at fault if it
 * can't exit by itself, and exits. If the coordinator is the rank at fault, every other
 * rank notices by itself, one of them reports, and each ends itself. All exit by _exit:
 * the main thread may be blocked in MPI for ever.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "watchdog_internal.h"
#include "base/printable.h"
#include "base/progress.h"

/* Time allowed for a dying process to write its core or stack trace. */
static const double core_seconds = 2;
static const double self_core_seconds = 5;
/* Launchers that end a job send SIGTERM and, a second later, SIGKILL. A process that is
 * killed later than this after being asked to stop is not a root cause. */
static const double late_kill_seconds = 0.9;

/* ---- what is reported ---- */

/* The checkpoint to report, marked if it has been removed (for example with the run's
 * directory). This is checked only on rank 0 and on ranks of its host: the others may not
 * see the same files. */
static void format_checkpoint(struct watchdog *watchdog, char *text, size_t size)
{
    static const char removed[] = " (has been removed)";
    pthread_mutex_lock(&watchdog->lock);
    printable_copy(text, size, watchdog->checkpoint);
    pthread_mutex_unlock(&watchdog->lock);
    bool same_host = watchdog->is_coordinator ||
                     strcmp(watchdog->self.host, watchdog->peers[0].process.host) == 0;
    size_t length = strlen(text);
    if (length > 0 && same_host && watchdog_path_is_missing(text))
        watchdog_copy_text(text + length, size - length, removed);
}

static void format_report(struct watchdog *watchdog, const struct watchdog_cause *cause,
                          char *text, size_t size)
{
    char checkpoint[WATCHDOG_TEXT_SIZE];
    format_checkpoint(watchdog, checkpoint, sizeof checkpoint);
    watchdog_format_report(cause, clock_seconds(), checkpoint, watchdog->command, text,
                           size);
}

/* True if the job is being terminated and the rank did not stop in time. */
static bool is_late_kill(const struct watchdog_cause *cause)
{
    return cause->reason == CAUSE_LOST &&
           watchdog_seconds_since_stop_request() > late_kill_seconds;
}

static void report_late_kill(struct watchdog *watchdog,
                             const struct watchdog_cause *cause)
{
    char checkpoint[WATCHDOG_TEXT_SIZE], text[2 * WATCHDOG_COMMAND_SIZE];
    format_checkpoint(watchdog, checkpoint, sizeof checkpoint);
    snprintf(text, sizeof text,
             "tutti: killed %.0f s after the request to stop, in step %lld; the last "
             "checkpoint is %s; resume with: %.*s\n",
             watchdog_seconds_since_stop_request(), (long long)cause->peer->step,
             *checkpoint ? checkpoint : "none", (int)strcspn(watchdog->command, "\n"),
             watchdog->command);
    watchdog_print(text);
}

/* ---- exits ---- */

/* Waits until a peer that has sent its crash message has exited: its stack trace or core
 * may take a while. */
static void wait_for_exit(const struct watchdog_peer *peer)
{
    struct watchdog_link *link = (struct watchdog_link *)&peer->link;
    double deadline = clock_seconds() + core_seconds;
    struct pollfd polled = {.fd = link->socket, .events = POLLIN};
    while (link->socket >= 0 && clock_seconds() < deadline) {
        poll(&polled, 1, 100);
        if (watchdog_link_receive(link) < 0)
            watchdog_link_close(link);
    }
}

/* Lets the crash handlers of this process write a core or stack trace, then exits. */
static void sleep_then_exit(double seconds)
{
    double deadline = clock_seconds() + seconds;
    while (clock_seconds() < deadline)
        poll(NULL, 0, 100);
    _exit(STATUS_FAILED);
}

static void kill_culprit(struct watchdog *watchdog, const struct watchdog_cause *cause)
{
    watchdog_process_kill(&cause->peer->process);
    if (cause->reason == CAUSE_SILENT)
        watchdog_process_kill_remote(&cause->peer->process, watchdog->ranks);
}

/* ---- ending the run ---- */

static void send_end(struct watchdog *watchdog, const struct watchdog_process *culprit,
                     bool kill_first)
{
    struct watchdog_frame frame;
    watchdog_frame_init(watchdog, WATCHDOG_END, &frame);
    frame.rank = culprit->rank;
    frame.pid = culprit->pid;
    frame.pid_namespace = culprit->pid_namespace;
    frame.start_time = culprit->start_time;
    frame.number = kill_first;
    watchdog_send_to_all(watchdog, &frame);
}

static void end_as_coordinator(struct watchdog *watchdog,
                               const struct watchdog_cause *cause)
{
    bool is_self = cause->peer == &watchdog->peers[0];
    bool exits_itself = cause->reason == CAUSE_SIGNAL || cause->reason == CAUSE_EXIT ||
                        cause->reason == CAUSE_FAILED; /* it has sent a crash message */
    char text[2 * WATCHDOG_COMMAND_SIZE];
    if (is_late_kill(cause)) {
        report_late_kill(watchdog, cause);
    } else {
        format_report(watchdog, cause, text, sizeof text);
        watchdog_report(watchdog, text);
    }
    if (exits_itself && !is_self)
        wait_for_exit(cause->peer);
    send_end(watchdog, &cause->peer->process, !exits_itself);
    if (!exits_itself)
        kill_culprit(watchdog, cause);
    atomic_store(&watchdog->reported, true); /* lets the crash handler continue */
    if (exits_itself && is_self)
        sleep_then_exit(self_core_seconds);
    _exit(STATUS_FAILED);
}

/* The coordinator is gone or silent. Each rank has noticed it; one of them reports. */
static void end_without_coordinator(struct watchdog *watchdog,
                                    const struct watchdog_cause *cause)
{
    char text[2 * WATCHDOG_COMMAND_SIZE];
    bool is_successor = watchdog->rank == watchdog->successor;
    if (!is_late_kill(cause)) {
        format_report(watchdog, cause, text, sizeof text);
        watchdog_report_once(watchdog, text, is_successor);
    } else if (is_successor) {
        report_late_kill(watchdog, cause);
    }
    kill_culprit(watchdog, cause);
    _exit(STATUS_FAILED);
}

void watchdog_end_run(struct watchdog *watchdog, const struct watchdog_cause *cause)
{
    if (watchdog->is_coordinator)
        end_as_coordinator(watchdog, cause);
    end_without_coordinator(watchdog, cause);
    _exit(STATUS_FAILED);
}

void watchdog_end_process(struct watchdog *watchdog, const struct watchdog_frame *frame)
{
    struct watchdog_process culprit = {.pid = frame->pid,
                                       .pid_namespace = frame->pid_namespace,
                                       .start_time = frame->start_time};
    if (frame->number)
        watchdog_process_kill(&culprit);
    if (frame->rank == 0) /* the launcher reports the first rank that exits */
        wait_for_exit(&watchdog->peers[0]);
    if (frame->rank == watchdog->rank && atomic_load(&watchdog->crash_sent))
        sleep_then_exit(self_core_seconds);
    _exit(STATUS_FAILED);
}

bool watchdog_check_launcher(const struct watchdog *watchdog,
                             struct watchdog_cause *cause)
{
    if (watchdog->launcher_pid == 0 || getppid() == watchdog->launcher_pid)
        return false;
    *cause = (struct watchdog_cause){
        .reason = CAUSE_ORPHANED,
        .peer = watchdog->is_coordinator ? &watchdog->peers[0] : &watchdog->self_state,
        .number = (int)watchdog->launcher_pid};
    return true;
}
