/* writer: planned events -> a file, through libsmf; the only unit that uses libsmf.
 *
 * libsmf reads back every file that it has saved, and deletes a track in quadratic time.
 * So a track is passed to it in blocks of events, each as a separate file, and the bytes
 * of the blocks are concatenated here.
 */
#include "writer_internal.h"

#include <glib.h>
#include <smf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"

enum {
    BLOCK_EVENTS = 1024, /* of a track, passed to libsmf at once */
    HEADER_BYTES = 14,
    TRACK_HEADER_BYTES = 8,
    END_OF_TRACK_BYTES = 4,
    MOST_TICKS_PER_BEAT = 32767,
    SLOWEST_TEMPO = 0xFFFFFF
};

static bool add_bytes(smf_track_t *track, uint8_t *bytes, int length, int tick)
{
    smf_event_t *event = smf_event_new_from_pointer(bytes, length);
    if (event)
        smf_track_add_event_pulses(track, event, tick);
    return event != NULL;
}

/* Events at the beginning of the first track, which apply to all tracks. */
static bool add_beginning(smf_track_t *track, const struct plan *plan)
{
    uint8_t gm2_on[] = {0xF0, 0x7E, 0x7F, 0x09, 0x03, 0xF7};
    uint8_t tempo[] = {0xFF,
                       0x51,
                       3,
                       (uint8_t)(plan->tempo >> 16),
                       (uint8_t)(plan->tempo >> 8),
                       (uint8_t)plan->tempo};
    return add_bytes(track, tempo, sizeof tempo, 0) &&
           (!plan->gm2 || add_bytes(track, gm2_on, sizeof gm2_on, 0));
}

struct progress {
    size_t next; /* all events before this one have been saved, */
    int tick;    /* the last of them at this tick of its track */
};

static bool is_next(const struct plan *plan, const struct progress *done, int track)
{
    return done->next < plan->event_count && plan->events[done->next].track == track;
}

/* Adds the next events of track `number`, with times relative to the end of the previous
 * block. */
static bool build_block(smf_t *smf, const struct plan *plan, int number,
                        struct progress *done)
{
    smf_track_t *track = smf_track_new();
    if (!track)
        return false;
    smf_add_track(smf, track);
    if (number == 0 && !add_beginning(track, plan))
        return false;
    int begin = done->tick;
    for (int i = 0; i < BLOCK_EVENTS && is_next(plan, done, number); i++) {
        struct event event = plan->events[done->next++];
        int length = event.kind == EVENT_PROGRAM ? 2 : 3;
        done->tick = event.tick;
        if (!add_bytes(track, event.bytes, length, event.tick - begin))
            return false;
    }
    return smf_track_add_eot_pulses(track, done->tick - begin) == 0;
}

/* libsmf also prints errors that its return value reports. */
static void ignore_log(const gchar *domain, GLogLevelFlags level, const gchar *text,
                       gpointer data)
{
    (void)domain;
    (void)level;
    (void)text;
    (void)data;
}

/* The file so far, and the memory file to which libsmf saves. */
struct output {
    uint8_t *bytes;
    size_t count, capacity;
    int memory;
};

/* Extends the file by `size` bytes for the caller to fill in; NULL if out of memory. */
static uint8_t *extend(struct output *output, size_t size)
{
    uint8_t *bytes =
        array_reserve(output->bytes, &output->capacity, output->count + size, 1);
    if (!bytes)
        return NULL;
    output->bytes = bytes;
    output->count += size;
    return bytes + output->count - size;
}

static void put_number(uint8_t *to, int size, size_t number)
{
    for (int i = size - 1; i >= 0; i--, number >>= 8)
        to[i] = (uint8_t)number;
}

/* Appends the events that libsmf has saved, End of Track included. */
static enum status append_saved(const struct plan *plan, struct output *output)
{
    const off_t begin = HEADER_BYTES + TRACK_HEADER_BYTES;
    struct stat facts;
    if (fstat(output->memory, &facts) != 0 || facts.st_size < begin + END_OF_TRACK_BYTES)
        return status_fail(STATUS_FAILED, "%s: can't write in memory", plan->path);
    size_t size = (size_t)(facts.st_size - begin);
    uint8_t *to = extend(output, size);
    if (!to)
        return STATUS_FAILED;
    if (pread(output->memory, to, size, begin) != (ssize_t)size)
        return status_fail_errno("%s: can't read in memory", plan->path);
    return STATUS_OK;
}

/* libsmf saves a block to anonymous memory, which no other process can change: after
 * saving, libsmf reads the file back by name, and aborts on an assertion if the content
 * differs. */
static enum status save_block(const struct plan *plan, int number, struct progress *done,
                              struct output *output)
{
    char name[64];
    smf_t *smf = smf_new();
    if (!smf)
        return status_fail(STATUS_FAILED, "%s: no memory to write MIDI", plan->path);
    snprintf(name, sizeof name, "/proc/self/fd/%d", output->memory);
    enum status status = STATUS_OK;
    if (smf_set_ppqn(smf, plan->ticks_per_beat) != 0 ||
        !build_block(smf, plan, number, done))
        status = status_fail(STATUS_FAILED, "%s: libsmf refuses the notes", plan->path);
    else if (smf_save(smf, name) != 0)
        status = status_fail_errno("%s: can't write in memory (%s)", plan->path, name);
    smf_delete(smf);
    return status == STATUS_OK ? append_saved(plan, output) : status;
}

static enum status save_track(const struct plan *plan, int number, struct progress *done,
                              struct output *output)
{
    if (!extend(output, TRACK_HEADER_BYTES))
        return STATUS_FAILED;
    size_t begin = output->count;
    done->tick = 0;
    enum status status = save_block(plan, number, done, output);
    while (status == STATUS_OK && is_next(plan, done, number)) {
        output->count -= END_OF_TRACK_BYTES; /* not the end yet */
        status = save_block(plan, number, done, output);
    }
    uint8_t *header = output->bytes + begin - TRACK_HEADER_BYTES;
    memcpy(header, "MTrk", 4);
    put_number(header + 4, 4, output->count - begin);
    return status;
}

static enum status save(const struct plan *plan, struct output *output)
{
    static const uint8_t start[] = {'M', 'T', 'h', 'd', 0, 0, 0, 6, 0, 1}; /* format 1 */
    struct progress done = {0};
    uint8_t *header = extend(output, HEADER_BYTES);
    if (!header)
        return STATUS_FAILED;
    memcpy(header, start, sizeof start);
    put_number(header + 10, 2, (size_t)plan->tracks);
    put_number(header + 12, 2, (size_t)plan->ticks_per_beat);
    enum status status = STATUS_OK;
    for (int number = 0; number < plan->tracks && status == STATUS_OK; number++)
        status = save_track(plan, number, &done, output);
    return status;
}

static enum status save_quietly(const struct plan *plan, struct output *output)
{
    GLogFunc before = g_log_set_default_handler(ignore_log, NULL);
    enum status status = save(plan, output);
    g_log_set_default_handler(before, NULL);
    return status;
}

typedef enum status write_file(const char *path, const void *bytes, size_t size);

static enum status write_events(const struct plan *plan, write_file *write)
{
    struct output output = {.memory = memfd_create("midi", MFD_CLOEXEC)};
    if (output.memory < 0)
        return status_fail_errno("%s: can't write in memory", plan->path);
    enum status status = save_quietly(plan, &output);
    if (status == STATUS_OK)
        status = write(plan->path, output.bytes, output.count);
    close(output.memory);
    free(output.bytes);
    return status;
}

static enum status write_notes(const char *path, const struct notes *notes,
                               int ticks_per_beat, int tempo, write_file *write)
{
    if (ticks_per_beat < 1 || ticks_per_beat > MOST_TICKS_PER_BEAT || tempo < 1 ||
        tempo > SLOWEST_TEMPO)
        return status_fail(
            STATUS_FAILED,
            "%s: can't write %d ticks per beat (1 to %d) at %d microseconds "
            "per beat (1 to %d)",
            path, ticks_per_beat, MOST_TICKS_PER_BEAT, tempo, SLOWEST_TEMPO);
    struct plan plan = {.path = path, .ticks_per_beat = ticks_per_beat, .tempo = tempo};
    plan.notes = calloc(notes->count + 1, sizeof *plan.notes);
    plan.events = calloc(4 * notes->count + 1, sizeof *plan.events);
    enum status status = plan.notes && plan.events
                             ? writer_plan_notes(&plan, notes)
                             : status_fail(STATUS_FAILED, "%s: no memory for %zu notes",
                                           path, notes->count);
    if (status == STATUS_OK)
        status = write_events(&plan, write);
    free(plan.notes);
    free(plan.events);
    return status;
}

enum status midi_write(const char *path, const struct notes *notes, int ticks_per_beat,
                       int tempo)
{
    return write_notes(path, notes, ticks_per_beat, tempo, file_write);
}

enum status midi_write_own(const char *path, const struct notes *notes,
                           int ticks_per_beat, int tempo)
{
    return write_notes(path, notes, ticks_per_beat, tempo, file_write_nofollow);
}
