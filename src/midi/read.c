/* read: midi_read, which runs the reader on one file and returns the outcome with its
 * reason. */
#include "reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"

static const char *const repair_names[MIDI_REPAIR_KINDS] = {
    "bytes before the header",
    "RIFF container cut",
    "unknown format",
    "wrong number of tracks",
    "wrong track length",
    "bytes that are no chunk",
    "no End of Track",
    "events after End of Track",
    "track cut",
    "event cut short",
    "data byte above 127",
    "number too long",
    "missing status byte",
    "system message in track",
    "unended system exclusive",
    "bad tempo",
    "unknown meta event",
    "events after the last tick that can be counted",
    "division above 32767 read as ticks per quarter note",
};

static const struct midi_limits no_limits;

bool midi_has_extension(const char *path)
{
    static const char *const endings[] = {".mid", ".midi", ".kar", ".rmi", ".smf"};
    const char *dot = strrchr(path_base(path), '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

const char *midi_outcome_name(enum midi_outcome outcome)
{
    static const char *const names[] = {"ok", "repaired", "skipped"};
    return names[outcome];
}

const char *midi_repair_text(midi_repairs repairs, char *text, size_t size)
{
    size_t used = 0;
    if (size > 0)
        text[0] = '\0';
    for (int kind = 0; kind < MIDI_REPAIR_KINDS; kind++) {
        if (!(repairs >> kind & 1) || used >= size)
            continue;
        int wrote = snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "",
                             repair_names[kind]);
        used += (size_t)wrote;
    }
    return text;
}

/* Repairs precede the fault for which a file is skipped, and often caused it. */
static void prepend_repairs(struct midi_file *file)
{
    char cause[MIDI_REASON_SIZE], repairs[MIDI_REASON_SIZE];
    if (!file->repairs)
        return;
    memcpy(cause, file->reason, sizeof cause);
    midi_repair_text(file->repairs, repairs, sizeof repairs);
    snprintf(file->reason, sizeof file->reason, "%.*s; %.*s", MIDI_REASON_SIZE / 4 * 3,
             repairs, MIDI_REASON_SIZE / 4 - 4, cause);
}

/* The reader of a file, allocated on first use; NULL if out of memory. */
static struct reader *get_reader(struct midi_file *file)
{
    if (!file->reader)
        file->reader = calloc(1, sizeof(struct reader));
    return file->reader;
}

static void reset(struct reader *reader, struct midi_file *file,
                  const struct midi_limits *limits)
{
    file->outcome = MIDI_OK;
    file->repairs = 0;
    file->reason[0] = '\0';
    file->format = file->tracks = file->division = file->tempo_events = 0;
    file->first_tempo = 0;
    file->start_tick = 0;
    file->pedal_count = 0;
    notes_clear(&file->notes);
    reader->file = file;
    reader->limits = limits ? limits : &no_limits;
    reader->stop = STOP_NONE;
    reader->declared_tracks = 0;
    reader->origin = 0;
    reader->tempos.count = reader->parts.count = reader->pedals.count = 0;
    reader->signatures.count = reader->all_off.count = 0;
    reader->parts_need_replay = false;
    memset(reader->pedals_down, 0, reader->ports.count * sizeof *reader->pedals_down);
    ports_reset(&reader->ports);
}

static bool check_size(struct reader *reader, size_t size)
{
    uint64_t limit = reader->limits->max_bytes;
    if (limit && size > limit)
        return reader_skip(reader, "too large: %zu bytes (at most %llu)", size,
                           (unsigned long long)limit);
    if (size > UINT32_MAX) /* notes and events are counted in 32 bits */
        return reader_skip(reader, "too large: %zu bytes (at most %u)", size, UINT32_MAX);
    return true;
}

static bool check_notes(struct reader *reader)
{
    const struct midi_limits *limits = reader->limits;
    const struct notes *notes = &reader->file->notes;
    if (notes->count < limits->min_notes)
        return reader_skip(reader, "too few notes: %zu (at least %llu)", notes->count,
                           (unsigned long long)limits->min_notes);
    double seconds = limits->max_seconds > 0 ? notes_duration(notes) : 0;
    if (seconds > limits->max_seconds)
        return reader_skip(reader, "too long: %.1f seconds (at most %g)", seconds,
                           limits->max_seconds);
    return true;
}

static bool read_file(struct reader *reader, const uint8_t *bytes, size_t size)
{
    if (!check_size(reader, size) || !chunks_read(reader, bytes, size))
        return false;
    if (reader->file->format != 2 && !timing_assign_parts(reader, 0))
        return false;
    all_off_apply(reader);
    notes_sort(&reader->file->notes);
    return timing_assign_seconds(reader) && timing_store_pedals(reader) &&
           timing_store_metre(reader) && check_notes(reader);
}

enum status midi_read(const uint8_t *bytes, size_t size, const struct midi_limits *limits,
                      struct midi_file *file)
{
    struct reader *reader = get_reader(file);
    if (!reader)
        return status_fail(STATUS_FAILED, "no memory to read MIDI");
    reset(reader, file, limits);
    if (!read_file(reader, bytes, size)) {
        prepend_repairs(file);
        file->notes.count = 0;
        notes_clear_metre(&file->notes);
        file->pedal_count = 0;
        file->repairs = 0;
        file->outcome = MIDI_SKIPPED;
        if (reader->stop == STOP_NO_MEMORY)
            return status_fail(STATUS_FAILED, "no memory to read %zu bytes of MIDI",
                               size);
    } else if (file->repairs) {
        file->outcome = MIDI_REPAIRED;
        midi_repair_text(file->repairs, file->reason, sizeof file->reason);
    }
    return STATUS_OK;
}

void midi_free(struct midi_file *file)
{
    struct reader *reader = file->reader;
    if (reader) {
        free(reader->tempos.items);
        free(reader->signatures.items);
        free(reader->parts.items);
        free(reader->resolved_parts.items);
        free(reader->pedals.items);
        free(reader->all_off.items);
        free(reader->map.points);
        free(reader->pedal_workspace);
        ports_free(&reader->ports);
        free(reader);
    }
    free(file->pedals);
    notes_free(&file->notes);
    memset(file, 0, sizeof *file);
}
