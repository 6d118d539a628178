/* inject: a short list of faults, searched at every step and every checkpoint.
 *
 * An entry strikes once, as recorded by its atomic flag, so any thread may query the
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

/* When an entry strikes: in its step; once, at or after its step; in every step from its
 * step on. */
enum when { EXACTLY, AT_OR_AFTER, EVER_AFTER };

static const struct {
    const char *name;
    enum when when;
    bool timed;  /* takes SECONDS */
    bool writer; /* strikes where checkpoints are written, on rank 0 */
} kinds[FAULTS] = {
    [FAULT_KILL] = {"kill", EXACTLY, false, false},
    [FAULT_SEGFAULT] = {"segfault", EXACTLY, false, false},
    [FAULT_EXIT] = {"exit", EXACTLY, false, false},
    [FAULT_STOP] = {"stop", EXACTLY, false, false},
    [FAULT_HANG] = {"hang", EXACTLY, true, false},
    [FAULT_SLOW] = {"slow", EVER_AFTER, true, false},
    [FAULT_NAN] = {"nan", EXACTLY, false, false},
    [FAULT_READ] = {"read", AT_OR_AFTER, false, false},
    [FAULT_FULL_DISK] = {"full-disk", AT_OR_AFTER, false, true},
    [FAULT_IO_ERROR] = {"io-error", AT_OR_AFTER, false, true},
    [FAULT_KILL_SAVE] = {"kill-save", AT_OR_AFTER, false, true},
    [FAULT_TORN] = {"torn", AT_OR_AFTER, false, true},
};

struct entry {
    enum fault fault;
    int rank; /* ANY_RANK: all */
    int64_t step;
    double seconds; /* 0: none given */
    atomic_bool struck;
};

static struct entry entries[ENTRIES];
static size_t count;
static int own_rank;
static _Atomic int64_t first_step; /* of this process */
static _Thread_local double found_seconds;

const char *inject_name(enum fault fault)
{
    return kinds[fault].name;
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
        names[fault] = kinds[fault].name;
        snprintf(all + used, sizeof all - used, "%s%s", fault ? ", " : "", names[fault]);
    }
    const char *meant = text_suggest(name, names);
    snprintf(why, sizeof why, "no such fault (there are %s)%s%s%s", all,
             meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
    return malformed(text, why);
}

static bool read_fault(const char *name, enum fault *fault)
{
    for (int f = 0; f < FAULTS; f++)
        if (strcmp(kinds[f].name, name) == 0) {
            *fault = (enum fault)f;
            return true;
        }
    return false;
}

/* Copies the text before the character `until`, at most `size` - 1 bytes, and moves *text
 * past that character, or to the end if there is none. */
static void read_part(const char **text, char until, char *part, size_t size)
{
    size_t length = strcspn(*text, (char[]){until, '\0'});
    snprintf(part, size, "%.*s", (int)(length < size ? length : size - 1), *text);
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
    const double longest = 1e9;
    return text_to_number(&text, seconds) && text_is_blank(text) && *seconds >= 0 &&
           *seconds <= longest;
}

static enum status read_entry(const char *text, struct entry *entry)
{
    char name[NAME], rank[NAME], step[2 * NAME];
    const char *rest = text;
    read_part(&rest, '@', name, sizeof name);
    read_part(&rest, ':', rank, sizeof rank);
    read_part(&rest, ':', step, sizeof step);
    if (!read_fault(name, &entry->fault))
        return unknown_fault(text, name);
    if (!read_rank(rank, &entry->rank))
        return malformed(text, "the rank is a number from 0, or *");
    if (kinds[entry->fault].writer && entry->rank > 0)
        return malformed(text, "checkpoints are written by rank 0");
    if (!text_to_integer(step, &entry->step) || entry->step < 1)
        return malformed(text, "the step is a number from 1");
    entry->seconds = entry->fault == FAULT_SLOW ? slow_seconds : 0;
    if (*rest == '\0')
        return rest[-1] == ':' ? malformed(text, "the seconds are missing") : STATUS_OK;
    if (!kinds[entry->fault].timed)
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
            return status_fail(
                STATUS_MISUSE, "--inject %s@%d:%lld: there %s %d rank%s, from 0",
                kinds[entries[i].fault].name, entries[i].rank, (long long)entries[i].step,
                ranks == 1 ? "is" : "are", ranks, ranks == 1 ? "" : "s");
    return STATUS_OK;
}

void inject_set_rank(int rank)
{
    own_rank = rank;
}

/* ---- striking ---- */

static bool fits(const struct entry *entry, enum fault fault, int64_t step)
{
    if (entry->fault != fault || (entry->rank != ANY_RANK && entry->rank != own_rank))
        return false;
    if (kinds[fault].when == EXACTLY)
        return step == entry->step;
    if (kinds[fault].when == AT_OR_AFTER && entry->step < atomic_load(&first_step))
        return false; /* before this process's first step */
    return step >= entry->step;
}

bool inject_due(enum fault fault, int64_t step)
{
    bool due = false;
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = &entries[i];
        if (!fits(entry, fault, step))
            continue;
        if (kinds[fault].when == EVER_AFTER) { /* the slowest of several */
            found_seconds =
                due && found_seconds > entry->seconds ? found_seconds : entry->seconds;
            due = true;
        } else if (!atomic_exchange(&entry->struck, true)) {
            found_seconds = entry->seconds;
            return true;
        }
    }
    return due;
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
    if (inject_due(FAULT_SLOW, step))
        sleep_seconds(inject_seconds());
    if (inject_due(FAULT_KILL, step))
        kill(getpid(), SIGKILL);
    if (inject_due(FAULT_SEGFAULT, step))
        raise(SIGSEGV);
    if (inject_due(FAULT_STOP, step))
        kill(getpid(), SIGSTOP);
    if (inject_due(FAULT_HANG, step))
        hang(inject_seconds());
    if (inject_due(FAULT_EXIT, step))
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
