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
    TICKS_PER_BEAT_MAX = 32767
};

static bool add_bytes(smf_track_t *track, uint8_t *bytes, int length, int tick)
{
    smf_event_t *event = smf_event_new_from_pointer(bytes, length);
    if (event)
        smf_track_add_event_pulses(track, event, tick);
    return event != NULL;
}

static bool add_name(smf_track_t *track, const char *name)
{
    uint8_t event[3 + TRACK_NAME_SIZE] = {0xFF, 0x03};
    size_t length = strnlen(name, TRACK_NAME_SIZE - 1);
    event[2] = (uint8_t)length;
    memcpy(event + 3, name, length);
    return add_bytes(track, event, (int)(3 + length), 0);
}

static bool add_port(smf_track_t *track, uint8_t port)
{
    uint8_t event[] = {0xFF, 0x21, 1, port};
    return add_bytes(track, event, sizeof event, 0);
}

/* Events at the beginning of the first track, which apply to all tracks. */
static bool add_file_events(smf_track_t *track, const struct plan *plan)
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

/* Events at the beginning of track `number`. */
static bool add_track_events(smf_track_t *track, const struct plan *plan, int number)
{
    const struct planned_track *planned = &plan->tracks[number];
    return (!planned->name || add_name(track, planned->name)) &&
           (!planned->port || add_port(track, planned->port)) &&
           (number > 0 || add_file_events(track, plan));
}

struct position {
    size_t next; /* all events before this one have been saved, */
    int tick;    /* the last of them at this tick of its track */
    bool begun;  /* the track's first block has been built */
};

static bool has_event(const struct plan *plan, const struct position *position, int track)
{
    return position->next < plan->event_count &&
           plan->events[position->next].track == track;
}

/* Adds the next events of track `number`, with times relative to the end of the previous
 * block. */
static bool build_block(smf_t *smf, const struct plan *plan, int number,
                        struct position *position)
{
    smf_track_t *track = smf_track_new();
    if (!track)
        return false;
    smf_add_track(smf, track);
    if (!position->begun && !add_track_events(track, plan, number))
        return false;
    position->begun = true;
    int begin = position->tick;
    for (int i = 0; i < BLOCK_EVENTS && has_event(plan, position, number); i++) {
        struct event event = plan->events[position->next++];
        position->tick = event.tick;
        if (!add_bytes(track, event.bytes, event.length, event.tick - begin))
            return false;
    }
    return smf_track_add_eot_pulses(track, position->tick - begin) == 0;
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

/* The bytes of the file so far, and the memory file to which libsmf saves a block. */
struct output {
    uint8_t *bytes;
    size_t count, capacity;
    int memory_fd;
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

static void put_big_endian(uint8_t *to, int size, size_t number)
{
    for (int i = size - 1; i >= 0; i--, number >>= 8)
        to[i] = (uint8_t)number;
}

/* Appends the events that libsmf has saved, End of Track included. */
static enum status append_block(const struct plan *plan, struct output *output)
{
    const off_t begin = HEADER_BYTES + TRACK_HEADER_BYTES;
    struct stat facts;
    if (fstat(output->memory_fd, &facts) != 0 ||
        facts.st_size < begin + END_OF_TRACK_BYTES)
        return status_fail(STATUS_FAILED, "%s: can't write to the memory file",
                           plan->path);
    size_t size = (size_t)(facts.st_size - begin);
    uint8_t *to = extend(output, size);
    if (!to)
        return STATUS_FAILED;
    if (pread(output->memory_fd, to, size, begin) != (ssize_t)size)
        return status_fail_errno("%s: can't read the memory file", plan->path);
    return STATUS_OK;
}

/* libsmf saves a block to anonymous memory, which no other process can change: after
 * saving, libsmf reads the file back by name, and aborts on an assertion if the content
 * differs. */
static enum status save_block(const struct plan *plan, int number,
                              struct position *position, struct output *output)
{
    char name[64];
    smf_t *smf = smf_new();
    if (!smf)
        return status_fail(STATUS_FAILED, "%s: no memory to write MIDI", plan->path);
    snprintf(name, sizeof name, "/proc/self/fd/%d", output->memory_fd);
    enum status status = STATUS_OK;
    if (smf_set_ppqn(smf, plan->ticks_per_beat) != 0 ||
        !build_block(smf, plan, number, position))
        status = status_fail(STATUS_FAILED, "%s: libsmf refuses the notes", plan->path);
    else if (smf_save(smf, name) != 0)
        status = status_fail_errno("%s: can't write to the memory file (%s)", plan->path,
                                   name);
    smf_delete(smf);
    return status == STATUS_OK ? append_block(plan, output) : status;
}

static enum status save_track(const struct plan *plan, int number,
                              struct position *position, struct output *output)
{
    if (!extend(output, TRACK_HEADER_BYTES))
        return STATUS_FAILED;
    size_t begin = output->count;
    position->tick = 0;
    position->begun = false;
    enum status status = save_block(plan, number, position, output);
    while (status == STATUS_OK && has_event(plan, position, number)) {
        output->count -= END_OF_TRACK_BYTES; /* not the end yet */
        status = save_block(plan, number, position, output);
    }
    uint8_t *header = output->bytes + begin - TRACK_HEADER_BYTES;
    memcpy(header, "MTrk", 4);
    put_big_endian(header + 4, 4, output->count - begin);
    return status;
}

static enum status save(const struct plan *plan, struct output *output)
{
    static const uint8_t header_start[] = {'M', 'T', 'h', 'd', 0,
                                           0,   0,   6,   0,   1}; /* format 1 */
    struct position position = {0};
    uint8_t *header = extend(output, HEADER_BYTES);
    if (!header)
        return STATUS_FAILED;
    memcpy(header, header_start, sizeof header_start);
    put_big_endian(header + 10, 2, (size_t)plan->track_count);
    put_big_endian(header + 12, 2, (size_t)plan->ticks_per_beat);
    enum status status = STATUS_OK;
    for (int number = 0; number < plan->track_count && status == STATUS_OK; number++)
        status = save_track(plan, number, &position, output);
    return status;
}

static enum status save_without_log(const struct plan *plan, struct output *output)
{
    GLogFunc previous = g_log_set_default_handler(ignore_log, NULL);
    enum status status = save(plan, output);
    g_log_set_default_handler(previous, NULL);
    return status;
}

typedef enum status write_file(const char *path, const void *bytes, size_t size);

static enum status write_events(const struct plan *plan, write_file *write)
{
    struct output output = {.memory_fd = memfd_create("midi", MFD_CLOEXEC)};
    if (output.memory_fd < 0)
        return status_fail_errno("%s: can't write to the memory file", plan->path);
    enum status status = save_without_log(plan, &output);
    if (status == STATUS_OK)
        status = write(plan->path, output.bytes, output.count);
    close(output.memory_fd);
    free(output.bytes);
    return status;
}

static enum status allocate_plan(struct plan *plan, const struct notes *notes)
{
    size_t events = 4 * notes->count + notes->tempos.count + notes->signatures.count;
    plan->notes = calloc(notes->count + 1, sizeof *plan->notes);
    plan->tracks = calloc(notes->count + 1, sizeof *plan->tracks);
    plan->events = calloc(events + 1, sizeof *plan->events);
    if (!plan->notes || !plan->tracks || !plan->events)
        return status_fail(STATUS_FAILED, "%s: no memory for %zu notes", plan->path,
                           notes->count);
    return STATUS_OK;
}

static enum status write_notes(const char *path, const struct notes *notes,
                               int ticks_per_beat, int tempo, write_file *write)
{
    if (ticks_per_beat < 1 || ticks_per_beat > TICKS_PER_BEAT_MAX || tempo < 1 ||
        tempo > TEMPO_MAX)
        return status_fail(
            STATUS_FAILED,
            "%s: can't write %d ticks per beat (1 to %d) at %d microseconds "
            "per beat (1 to %d)",
            path, ticks_per_beat, TICKS_PER_BEAT_MAX, tempo, TEMPO_MAX);
    struct plan plan = {.path = path, .ticks_per_beat = ticks_per_beat, .tempo = tempo};
    enum status status = allocate_plan(&plan, notes);
    if (status == STATUS_OK)
        status = writer_plan_metre(&plan, notes);
    if (status == STATUS_OK)
        status = writer_plan_notes(&plan, notes);
    if (status == STATUS_OK)
        status = write_events(&plan, write);
    free(plan.notes);
    free(plan.tracks);
    free(plan.events);
    return status;
}

enum status midi_write(const char *path, const struct notes *notes, int ticks_per_beat,
                       int tempo)
{
    return write_notes(path, notes, ticks_per_beat, tempo, file_write);
}

enum status midi_write_nofollow(const char *path, const struct notes *notes,
                                int ticks_per_beat, int tempo)
{
    return write_notes(path, notes, ticks_per_beat, tempo, file_write_nofollow);
}
