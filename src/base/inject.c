/* inject: a short list of faults, searched at every step and every checkpoint.
 *
 * An entry triggers once, as recorded by its atomic flag, so any thread may query the
 * list. The list grows only while the command line is parsed.
 */
#include "inject.h"

#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

enum { ENTRIES = 64, ANY_RANK = -1, EXIT_CODE = 5, NAME = 16 };
static const double slow_seconds = 0.1;

/* When an entry triggers: in its step; once, at or after its step; in every step from its
 * step on. */
enum when { AT_STEP, ONCE_FROM_STEP, EVERY_STEP_FROM };

static const struct {
    const char *name;
    enum when when;
    bool takes_seconds; /* takes SECONDS */
    bool in_checkpoint; /* triggers where checkpoints are written, on rank 0 */
} faults[FAULTS] = {
    [FAULT_KILL] = {"kill", AT_STEP, false, false},
    [FAULT_SEGFAULT] = {"segfault", AT_STEP, false, false},
    [FAULT_EXIT] = {"exit", AT_STEP, false, false},
    [FAULT_STOP] = {"stop", AT_STEP, false, false},
    [FAULT_HANG] = {"hang", AT_STEP, true, false},
    [FAULT_SLOW] = {"slow", EVERY_STEP_FROM, true, false},
    [FAULT_NAN] = {"nan", AT_STEP, false, false},
    [FAULT_READ] = {"read", ONCE_FROM_STEP, false, false},
    [FAULT_FULL_DISK] = {"full-disk", ONCE_FROM_STEP, false, true},
    [FAULT_IO_ERROR] = {"io-error", ONCE_FROM_STEP, false, true},
    [FAULT_KILL_SAVE] = {"kill-save", ONCE_FROM_STEP, false, true},
    [FAULT_TORN] = {"torn", ONCE_FROM_STEP, false, true},
};

struct entry {
    enum fault fault;
    int rank; /* ANY_RANK: all */
    int64_t step;
    double seconds; /* 0: none given */
    atomic_bool triggered;
};

static struct entry entries[ENTRIES];
static size_t count;
static int this_rank;
static _Atomic int64_t first_step; /* of this process */
static _Thread_local double found_seconds;

const char *inject_name(enum fault fault)
{
    return faults[fault].name;
}

/* ---- FAULT@RANK:STEP[:SECONDS] ---- */

static enum status malformed(const char *text, const char *why)
{
    char shown[80];
    return status_fail(STATUS_MISUSE,
                       "--inject %s: %s; expected FAULT@RANK:STEP[:SECONDS], for example "
                       "kill@1:20",
                       text_excerpt(text, shown, sizeof shown), why);
}

static enum status unknown_fault(const char *text, const char *name)
{
    const char *names[FAULTS + 1] = {NULL};
    char all[200] = "", why[360];
    for (int fault = 0; fault < FAULTS; fault++) {
        size_t used = strlen(all);
        names[fault] = faults[fault].name;
        snprintf(all + used, sizeof all - used, "%s%s", fault ? ", " : "", names[fault]);
    }
    const char *suggestion = text_suggest(name, names);
    snprintf(why, sizeof why, "no such fault (there are %s)%s%s%s", all,
             suggestion ? "; did you mean " : "", suggestion ? suggestion : "",
             suggestion ? "?" : "");
    return malformed(text, why);
}

static bool read_fault(const char *name, enum fault *fault)
{
    for (int f = 0; f < FAULTS; f++)
        if (strcmp(faults[f].name, name) == 0) {
            *fault = (enum fault)f;
            return true;
        }
    return false;
}

/* Copies the text before the character `until`, at most `size` - 1 bytes, and moves *text
 * past that character, or to the end if there is none. */
static void read_field(const char **text, char until, char *field, size_t size)
{
    size_t length = strcspn(*text, (char[]){until, '\0'});
    snprintf(field, size, "%.*s", (int)(length < size ? length : size - 1), *text);
    *text += length;
    *text += **text == until;
}

static bool read_rank(const char *text, int *rank)
{
    int64_t value;
    *rank = ANY_RANK;
    if (strcmp(text, "*") == 0)
        return true;
    if (!text_to_integer(text, &value) || value < 0 || value > INT_MAX)
        return false;
    *rank = (int)value;
    return true;
}

static bool read_seconds(const char *text, double *seconds)
{
    const double max_seconds = 1e9;
    return text_to_number(&text, seconds) && text_is_blank(text) && *seconds >= 0 &&
           *seconds <= max_seconds;
}

static enum status read_entry(const char *text, struct entry *entry)
{
    char name[NAME], rank[NAME], step[2 * NAME];
    const char *rest = text;
    read_field(&rest, '@', name, sizeof name);
    read_field(&rest, ':', rank, sizeof rank);
    read_field(&rest, ':', step, sizeof step);
    if (!read_fault(name, &entry->fault))
        return unknown_fault(text, name);
    if (!read_rank(rank, &entry->rank))
        return malformed(text, "the rank is a number from 0, or *");
    if (faults[entry->fault].in_checkpoint && entry->rank > 0)
        return malformed(text, "checkpoints are written by rank 0");
    if (!text_to_integer(step, &entry->step) || entry->step < 1)
        return malformed(text, "the step is a number from 1");
    entry->seconds = entry->fault == FAULT_SLOW ? slow_seconds : 0;
    if (*rest == '\0')
        return rest[-1] == ':' ? malformed(text, "the seconds are missing") : STATUS_OK;
    if (!faults[entry->fault].takes_seconds)
        return malformed(text, "only slow and hang take seconds");
    if (!read_seconds(rest, &entry->seconds))
        return malformed(text, "the seconds are a number from 0 to 1e9");
    return STATUS_OK;
}

enum status inject_add(const char *text)
{
    if (count == ENTRIES)
        return status_fail(STATUS_MISUSE, "--inject: more than %d faults", ENTRIES);
    struct entry *entry = &entries[count];
    *entry = (struct entry){.fault = FAULTS};
    enum status status = read_entry(text, entry);
    if (status != STATUS_OK)
        return status;
    count++;
    return STATUS_OK;
}

enum status inject_check_ranks(int ranks)
{
    for (size_t i = 0; i < count; i++)
        if (entries[i].rank >= ranks)
            return status_fail(STATUS_MISUSE,
                               "--inject %s@%d:%lld: there %s %d rank%s, from 0",
                               faults[entries[i].fault].name, entries[i].rank,
                               (long long)entries[i].step, ranks == 1 ? "is" : "are",
                               ranks, ranks == 1 ? "" : "s");
    return STATUS_OK;
}

void inject_set_rank(int rank)
{
    this_rank = rank;
}

/* ---- triggering ---- */

static bool matches(const struct entry *entry, enum fault fault, int64_t step)
{
    if (entry->fault != fault || (entry->rank != ANY_RANK && entry->rank != this_rank))
        return false;
    if (faults[fault].when == AT_STEP)
        return step == entry->step;
    if (faults[fault].when == ONCE_FROM_STEP && entry->step < atomic_load(&first_step))
        return false; /* before this process's first step */
    return step >= entry->step;
}

bool inject_triggered(enum fault fault, int64_t step)
{
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = &entries[i];
        if (!matches(entry, fault, step))
            continue;
        if (faults[fault].when == EVERY_STEP_FROM) { /* the slowest of several */
            found_seconds =
                found && found_seconds > entry->seconds ? found_seconds : entry->seconds;
            found = true;
        } else if (!atomic_exchange(&entry->triggered, true)) {
            found_seconds = entry->seconds;
            return true;
        }
    }
    return found;
}

double inject_seconds(void)
{
    return found_seconds;
}

static void sleep_seconds(double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
    while (nanosleep(&left, &left) != 0) {
    }
}

static void hang(double seconds)
{
    if (seconds > 0)
        sleep_seconds(seconds);
    else
        for (;;)
            pause();
}

void inject_fire(int64_t step)
{
    if (count == 0)
        return;
    if (atomic_load(&first_step) == 0)
        atomic_store(&first_step, step);
    if (inject_triggered(FAULT_SLOW, step))
        sleep_seconds(inject_seconds());
    if (inject_triggered(FAULT_KILL, step))
        kill(getpid(), SIGKILL);
    if (inject_triggered(FAULT_SEGFAULT, step))
        raise(SIGSEGV);
    if (inject_triggered(FAULT_STOP, step))
        kill(getpid(), SIGSTOP);
    if (inject_triggered(FAULT_HANG, step))
        hang(inject_seconds());
    if (inject_triggered(FAULT_EXIT, step))
        exit(EXIT_CODE); /* the fault: a rank that exits without notice */
}

const char *inject_help(void)
{
    return "Fault injection: --inject FAULT@RANK:STEP[:SECONDS]. RANK may be *, steps "
           "count "
           "from 1\n"
           "over the whole run; a fault whose step has passed does not occur.\n"
           "  kill segfault      at the beginning of the step: SIGKILL, SIGSEGV,\n"
           "  exit stop          exit(5), SIGSTOP\n"
           "  hang               sleeps for ever, or SECONDS\n"
           "  slow               sleeps SECONDS (default 0.1) in this step and all after "
           "it\n"
           "  nan                one NaN in the rank's gradient of the step\n"
           "  read               reading the next window fails with EIO\n"
           "  full-disk io-error the first checkpoint at or after the step fails with "
           "ENOSPC, EIO\n"
           "  kill-save          SIGKILL half-way through that checkpoint\n"
           "  torn               that checkpoint is cut to half, then SIGKILL";
}
