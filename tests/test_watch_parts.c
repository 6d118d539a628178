/* watch: who is to blame, what is said about it, and how a rank finds rank 0, without
 * processes that die; test_watch.sh has those. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <poll.h>
#include <unistd.h>
#include <cmocka.h>

#include "../src/parallel/watch_internal.h"
#include "tutti/progress.h"

/* ---- judgement: at the time 100, with hang_seconds = 10 ---- */

static struct watch_member member(enum phase phase, double still, double heard)
{
    return (struct watch_member){
        .known = true, .phase = phase, .step = 7, .still = still, .heard = heard};
}

static void judged(struct watch_member *members, enum watch_reason reason, int who)
{
    struct watch_cause cause = watch_judge(members, 3, 3, 100, 10);
    assert_int_equal(cause.reason, reason);
    if (reason != CAUSE_NONE)
        assert_ptr_equal(cause.member, &members[who]);
}

static void who_hangs(void **state)
{
    (void)state;
    struct watch_member all[3] = {member(PHASE_WAIT, 9, 100), member(PHASE_READ, 9, 100),
                                  member(PHASE_WAIT, 9, 99.5)};
    judged(all, CAUSE_NONE, 0);
    all[1].still = 10.5;
    judged(all, CAUSE_HANGS, 1);
    all[1].still = 9; /* and two seconds since it has said so */
    all[1].heard = 98;
    judged(all, CAUSE_HANGS, 1);
    all[1] = member(PHASE_WAIT, 15, 100); /* those who wait are not to blame */
    judged(all, CAUSE_NONE, 0);
    all[0] = member(PHASE_FORWARD, 11, 100); /* of two, the one that hangs longer */
    all[2] = member(PHASE_CHECKPOINT, 12, 100);
    judged(all, CAUSE_HANGS, 2);
    all[1] = member(PHASE_WAIT, 0, 89); /* silence is worse than standing still */
    judged(all, CAUSE_UNHEARD, 1);
    all[1].left = true;
    judged(all, CAUSE_HANGS, 2);
    all[2].known = false;
    judged(all, CAUSE_HANGS, 0);
    struct watch_cause never = watch_judge(all, 3, 3, 1000, 0);
    assert_int_equal(never.reason, CAUSE_NONE);
}

static void what_may_take_long(void **state)
{
    (void)state;
    struct watch_member all[3] = {member(PHASE_START, 50, 100),
                                  member(PHASE_END, 50, 100),
                                  member(PHASE_WAIT, 50, 100)};
    all[0].step = 0;
    judged(all, CAUSE_NONE, 0);
    all[0].step = 1; /* the first step has begun */
    judged(all, CAUSE_HANGS, 0);
    all[0].step = 0;
    all[1].heard = 80;
    judged(all, CAUSE_UNHEARD, 1);
}

static void all_wait(void **state)
{
    (void)state;
    struct watch_member all[3] = {member(PHASE_WAIT, 25, 100),
                                  member(PHASE_WAIT, 19, 100),
                                  member(PHASE_WAIT, 30, 100)};
    judged(all, CAUSE_NONE, 0);
    all[1].still = 21;
    struct watch_cause cause = watch_judge(all, 3, 3, 100, 10);
    assert_int_equal(cause.reason, CAUSE_ALL_WAIT);
    assert_true(cause.seconds == 21);
    cause = watch_judge(all, 3, 4, 100, 10); /* there is one more, whom nobody sees */
    assert_int_equal(cause.reason, CAUSE_NONE);
    all[2].phase = PHASE_END;
    judged(all, CAUSE_NONE, 0);
}

/* ---- the block ---- */

static const char *block(const struct watch_cause *cause, const char *command)
{
    static char text[2000];
    size_t length = watch_block(cause, 100, "", command, text, sizeof text);
    assert_int_equal(length, strlen(text));
    return text;
}

static void what_is_said(void **state)
{
    (void)state;
    struct watch_member who = member(PHASE_BACKWARD, 0, 99.8);
    who.process = (struct watch_process){.rank = 2, .pid = 4711, .host = "n2"};
    struct watch_cause cause = {
        .reason = CAUSE_SIGNAL, .member = &who, .number = SIGBUS, .seconds = 61};
    assert_string_equal(
        block(&cause, "mpirun -n 4 tutti train my.conf --resume"),
        "tutti: root cause: rank 2 (n2, pid 4711) was killed by signal 7 (SIGBUS)\n"
        "  last seen      step 7, backward, 0.2 s ago\n"
        "  checkpoint     none yet\n"
        "  go on with     mpirun -n 4 tutti train my.conf --resume\n");
    assert_non_null(strstr(block(&cause, "this\nor that"),
                           "\n  go on with     this\n  or             or that\n"));
    cause.reason = CAUSE_EXIT;
    assert_non_null(strstr(block(&cause, ""), "pid 4711) left with exit code 7 in the"));
    cause.reason = CAUSE_HANGS;
    assert_non_null(strstr(block(&cause, ""), "hangs: in phase backward since 61 s\n"));
    cause.reason = CAUSE_UNHEARD;
    assert_non_null(strstr(block(&cause, ""), "has not been heard of for 61 s: it is"));
    cause.reason = CAUSE_ALL_WAIT;
    assert_non_null(
        strstr(block(&cause, ""), "cause: all ranks wait for each other since "));
    cause.reason = CAUSE_LOST;
    cause.number = SIGKILL; /* as waitpid has it */
    assert_non_null(strstr(block(&cause, ""), "was killed by signal 9 (SIGKILL)\n"));
    cause.number = 3 << 8;
    assert_non_null(strstr(block(&cause, ""), "left with exit code 3, without a word\n"));
    cause.number = 0;
    assert_non_null(strstr(block(&cause, ""), "was killed without a word: by SIGKILL"));
}

/* Hosts and messages come through the network. */
static void what_others_send_is_escaped(void **state)
{
    (void)state;
    struct watch_member who = member(PHASE_BACKWARD, 0, 99.8);
    who.process = (struct watch_process){.rank = 2, .pid = 4711, .host = "n\n2\033["};
    struct watch_cause cause = {
        .reason = CAUSE_FAILED, .member = &who, .text = "x\ntutti: done\033[2K"};
    assert_non_null(strstr(block(&cause, "this"),
                           "rank 2 (n\\x0A2\\x1B[, pid 4711) ended the run: "
                           "x\\x0Atutti: done\\x1B[2K\n  last seen"));
}

/* ---- processes ---- */

/* A child's own account of itself. */
static pid_t fork_known(struct watch_process *child)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        watch_process_self(child, 3, "here");
        if (write(ends[1], child, sizeof *child) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ends[0], child, sizeof *child), sizeof *child);
    close(ends[0]);
    close(ends[1]);
    return pid;
}

static void a_process_is_known_and_no_other_killed(void **state)
{
    (void)state;
    struct watch_process self, child, other;
    watch_process_self(&self, 3, "here");
    assert_true(self.place != 0 && self.born != 0);
    assert_int_equal(watch_process_look(&self).state, 'R');
    pid_t pid = fork_known(&child);
    assert_true(child.pid == pid && child.place == self.place);
    other = child;
    other.born++; /* a pid that is used again */
    watch_process_kill(&other);
    assert_int_equal(watch_process_look(&other).state, 0);
    other = child;
    other.place++; /* the same pid elsewhere */
    watch_process_kill(&other);
    assert_int_equal(watch_process_look(&other).state, 0);
    poll(NULL, 0, 50);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    watch_process_kill(&child);
    for (int i = 0; i < 1000 && watch_process_look(&child).state != 'Z'; i++)
        poll(NULL, 0, 10); /* its parent has not looked yet */
    assert_int_equal(watch_process_look(&child).state, 'Z');
    assert_int_equal(watch_process_look(&child).exit_code, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* ---- the way to rank 0 ---- */

static const struct watch_frame hello = {.token = 42, .kind = WATCH_HELLO, .rank = 1};

/* Accepts one connection, in a child; answers with that token if the hello is right. */
static pid_t serve(int listener, uint64_t token)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct pollfd polled = {.fd = listener, .events = POLLIN};
    poll(&polled, 1, 10000);
    struct watch_link link = {.socket = accept(listener, NULL, NULL)};
    struct watch_frame answer = {.token = token, .kind = WATCH_WELCOME, .pid = 77};
    polled.fd = link.socket;
    int got = 0;
    while (got == 0 && poll(&polled, 1, 10000) == 1)
        got = watch_link_receive(&link, 42);
    if (got == 1 && link.in.kind == WATCH_HELLO && link.in.rank == 1)
        watch_link_send(&link, &answer);
    poll(NULL, 0, 2000);
    _exit(0);
}

static bool connects(const struct watch_invitation *invitation, char *reason)
{
    struct watch_link link;
    struct watch_frame welcome = {0};
    bool reached =
        watch_connect(invitation, &hello, 5, &link, &welcome, reason, WATCH_TEXT);
    assert_int_equal(reached, welcome.pid == 77);
    assert_int_equal(reached, link.socket >= 0);
    watch_link_close(&link);
    return reached;
}

static void leave_loopback(struct watch_invitation *invitation)
{
    int kept = 0;
    for (int i = 0; i < invitation->count; i++)
        if (invitation->addresses[i].loopback)
            invitation->addresses[kept++] = invitation->addresses[i];
    invitation->count = kept;
    assert_true(kept > 0);
}

static void rank_0_is_found(void **state)
{
    (void)state;
    struct watch_invitation invitation = {.token = 42, .kernel = watch_kernel()};
    char reason[WATCH_TEXT];
    int listener = watch_listen(4, &invitation);
    assert_true(listener >= 0 && invitation.port > 0 && invitation.count > 0);
    pid_t server = serve(listener, 42);
    assert_true(connects(&invitation, reason));
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);

    server = serve(listener, 43); /* listens there, but belongs to another run */
    double began = clock_seconds();
    leave_loopback(&invitation);
    invitation.count = 1;
    assert_false(connects(&invitation, reason));
    assert_true(clock_seconds() - began < 4);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);

    close(listener);
    assert_false(connects(&invitation, reason));
    assert_string_equal(reason, "Connection refused");
    invitation.kernel++; /* another host: its loopback is not ours */
    assert_false(connects(&invitation, reason));
}

/* Of two addresses the first leads to one who doesn't answer. */
static void a_stranger_is_passed_over(void **state)
{
    (void)state;
    struct watch_invitation invitation = {.token = 42, .kernel = watch_kernel()};
    struct sockaddr_in at = {.sin_family = AF_INET};
    char reason[WATCH_TEXT];
    int stranger = socket(AF_INET, SOCK_STREAM, 0);
    int hub = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t size = sizeof at;
    inet_pton(AF_INET, "127.0.0.2", &at.sin_addr);
    assert_int_equal(bind(stranger, (struct sockaddr *)&at, size), 0);
    assert_int_equal(getsockname(stranger, (struct sockaddr *)&at, &size), 0);
    inet_pton(AF_INET, "127.0.0.3", &at.sin_addr);
    assert_int_equal(bind(hub, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(stranger, 4) | listen(hub, 4), 0);
    invitation.port = ntohs(at.sin_port);
    invitation.count = 2;
    for (int i = 0; i < 2; i++) {
        const uint8_t address[4] = {127, 0, 0, (uint8_t)(2 + i)};
        invitation.addresses[i] = (struct watch_address){.family = AF_INET};
        memcpy(invitation.addresses[i].bytes, address, sizeof address);
    }
    pid_t server = serve(hub, 42);
    assert_true(connects(&invitation, reason));
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    close(stranger);
    close(hub);
}

/* A frame that comes in pieces is one frame; what is no frame ends the connection. */
static void frames_are_whole(void **state)
{
    (void)state;
    int ends[2];
    struct watch_frame frame = hello;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct watch_link link = {.socket = ends[0]};
    assert_int_equal(watch_link_receive(&link, 42), 0);
    assert_int_equal(write(ends[1], &frame, 100), 100);
    assert_int_equal(watch_link_receive(&link, 42), 0);
    assert_true(write(ends[1], (char *)&frame + 100, sizeof frame - 100) > 0);
    assert_true(write(ends[1], &frame, sizeof frame) > 0);
    assert_int_equal(watch_link_receive(&link, 42), 1);
    assert_int_equal(link.in.rank, 1);
    assert_int_equal(watch_link_receive(&link, 41), -1); /* another run's token */
    frame.phase = PHASES;
    assert_true(write(ends[1], &frame, sizeof frame) > 0);
    assert_int_equal(watch_link_receive(&link, 42), -1);
    frame.phase = 0;
    memset(frame.text, 'x', sizeof frame.text);
    assert_true(write(ends[1], &frame, sizeof frame) > 0);
    assert_int_equal(watch_link_receive(&link, 42), -1);
    close(ends[1]);
    assert_int_equal(watch_link_receive(&link, 42), -1);
    watch_link_close(&link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_hangs),
        cmocka_unit_test(what_may_take_long),
        cmocka_unit_test(all_wait),
        cmocka_unit_test(what_is_said),
        cmocka_unit_test(what_others_send_is_escaped),
        cmocka_unit_test(a_process_is_known_and_no_other_killed),
        cmocka_unit_test(rank_0_is_found),
        cmocka_unit_test(a_stranger_is_passed_over),
        cmocka_unit_test(frames_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
