/* watchdog, state: tracks the state of this process and sends it to the other ranks. */
#include <string.h>

#include "watchdog_internal.h"

void watchdog_update_self(struct watchdog *watchdog, double now)
{
    struct phase_state state = phase_state();
    struct watchdog_peer *self = &watchdog->self_state;
    if (state.progress != watchdog->progress || watchdog->last_progress == 0) {
        watchdog->progress = state.progress;
        watchdog->last_progress = now;
    }
    self->phase = state.phase;
    self->step = state.step;
    self->idle = now - watchdog->last_progress;
    self->last_heartbeat = now;
    if (watchdog->is_coordinator) {
        watchdog->peers[0].phase = self->phase;
        watchdog->peers[0].step = self->step;
        watchdog->peers[0].idle = self->idle;
        watchdog->peers[0].last_heartbeat = now;
    }
}

void watchdog_frame_init(struct watchdog *watchdog, enum watchdog_kind kind,
                         struct watchdog_frame *frame)
{
    memset(frame, 0, sizeof *frame);
    watchdog_frame_fill(frame, kind, &watchdog->self);
    frame->idle = watchdog->self_state.idle;
    frame->successor = watchdog->successor;
    pthread_mutex_lock(&watchdog->lock);
    watchdog_copy_text(frame->text, sizeof frame->text,
                       kind == WATCHDOG_WELCOME || !watchdog->is_coordinator
                           ? watchdog->self.host
                           : watchdog->checkpoint);
    pthread_mutex_unlock(&watchdog->lock);
}

void watchdog_send_to_all(struct watchdog *watchdog, const struct watchdog_frame *frame)
{
    for (int i = 0; i < watchdog->peer_count; i++)
        watchdog_link_send(&watchdog->peers[i].link, frame);
}
