/* inspect, MIDI files: the result of the reader. The limits of `tutti preprocess` do not
 * apply, so files that it would skip because of their length can be inspected. */
#include "inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/printable.h"
#include "midi/instruments.h"
#include "midi/midi.h"

enum { PROGRAMS = 128, CHANNELS = 16 };

struct note_stats { /* statistics of the notes */
    size_t programs[PROGRAMS], channels[CHANNELS];
    size_t percussion; /* notes; not in `programs`: theirs are drum kits */
    int lowest, highest, softest, loudest;
    double seconds;
};

static struct note_stats compute_note_stats(const struct notes *notes)
{
    struct note_stats note_stats = {
        .lowest = 127, .softest = 127, .seconds = notes_duration(notes)};
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        note_stats.channels[note->channel % CHANNELS]++;
        if (note->percussion)
            note_stats.percussion++;
        else
            note_stats.programs[note->program % PROGRAMS]++;
        note_stats.lowest =
            note->pitch < note_stats.lowest ? note->pitch : note_stats.lowest;
        note_stats.highest =
            note->pitch > note_stats.highest ? note->pitch : note_stats.highest;
        note_stats.softest =
            note->velocity < note_stats.softest ? note->velocity : note_stats.softest;
        note_stats.loudest =
            note->velocity > note_stats.loudest ? note->velocity : note_stats.loudest;
    }
    return note_stats;
}

/* 60 is "C4", middle C. */
enum { PITCH_NAME = 16 };
static const char *pitch_name(int pitch, char text[PITCH_NAME])
{
    static const char *const names[] = {"C",  "C#", "D",  "D#", "E",  "F",
                                        "F#", "G",  "G#", "A",  "A#", "B"};
    snprintf(text, PITCH_NAME, "%s%d", names[pitch % 12], pitch / 12 - 1);
    return text;
}

static void print_division(int division)
{
    if (division < 0) /* SMPTE: high byte -frames/s, low byte ticks per frame */
        inspect_print_field("division", "%d SMPTE frames per second, %d ticks per frame",
                            -(division >> 8), division & 0xFF);
    else
        inspect_print_field("division", "%d ticks per quarter note", division);
}

static void print_channels(const size_t counts[CHANNELS])
{
    char text[CHANNELS * 40] = "";
    size_t used = 0;
    for (int i = 0; i < CHANNELS; i++)
        if (counts[i])
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%d (%zu notes)",
                                     used ? ", " : "", i, counts[i]);
    inspect_print_field("channels", "%s", text);
}

static void print_programs(const size_t counts[PROGRAMS])
{
    for (int i = 0; i < PROGRAMS; i++)
        if (counts[i])
            inspect_print_field("program", "%d %s, %zu note%s", i,
                                instrument_name(i, false), counts[i],
                                counts[i] == 1 ? "" : "s");
}

static void print_notes(const struct midi_file *midi, const struct note_stats *note_stats)
{
    char low[PITCH_NAME], high[PITCH_NAME];
    inspect_print_field("notes", "%zu in %.2f s", midi->notes.count, note_stats->seconds);
    if (midi->notes.count == 0)
        return;
    inspect_print_field("pitches", "%d to %d (%s to %s)", note_stats->lowest,
                        note_stats->highest, pitch_name(note_stats->lowest, low),
                        pitch_name(note_stats->highest, high));
    inspect_print_field("velocities", "%d to %d", note_stats->softest,
                        note_stats->loudest);
    print_programs(note_stats->programs);
    print_channels(note_stats->channels);
    inspect_print_field("percussion", "%zu note%s", note_stats->percussion,
                        note_stats->percussion == 1 ? "" : "s");
}

static size_t pedal_events(const struct midi_file *midi)
{
    size_t count = 0;
    for (size_t i = 0; i < midi->pedal_count; i++)
        count += midi->pedals[i].controller == MIDI_SUSTAIN;
    return count;
}

static void print_midi(const struct inspect_request *request,
                       const struct midi_file *midi)
{
    printable_line(stdout, "MIDI file %s", request->path);
    inspect_print_field("outcome", "%s%s%s", midi_outcome_name(midi->outcome),
                        midi->reason[0] ? ": " : "", midi->reason);
    if (midi->outcome == MIDI_SKIPPED)
        return;
    struct note_stats note_stats = compute_note_stats(&midi->notes);
    inspect_print_field("format", "%d, %d track%s", midi->format, midi->tracks,
                        midi->tracks == 1 ? "" : "s");
    print_division(midi->division);
    inspect_print_metre(midi);
    print_notes(midi, &note_stats);
    inspect_print_field("pedal", "%zu events", pedal_events(midi));
}

static void counts_json(struct json *json, const char *key, const size_t *counts,
                        int count)
{
    json_object(json, key);
    for (int i = 0; i < count; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        if (counts[i])
            json_integer(json, number, (int64_t)counts[i]);
    }
    json_close(json);
}

static void instruments_json(struct json *json, const size_t counts[PROGRAMS])
{
    json_array(json, "instruments");
    for (int i = 0; i < PROGRAMS; i++) {
        if (!counts[i])
            continue;
        json_object(json, NULL);
        json_integer(json, "program", i);
        json_string(json, "name", instrument_name(i, false));
        json_integer(json, "notes", (int64_t)counts[i]);
        json_close(json);
    }
    json_close(json);
}

static void note_stats_json(struct json *json, const struct midi_file *midi)
{
    struct note_stats note_stats = compute_note_stats(&midi->notes);
    json_number(json, "seconds", note_stats.seconds);
    if (midi->notes.count > 0) {
        json_integer(json, "lowest_pitch", note_stats.lowest);
        json_integer(json, "highest_pitch", note_stats.highest);
        json_integer(json, "lowest_velocity", note_stats.softest);
        json_integer(json, "highest_velocity", note_stats.loudest);
    }
    counts_json(json, "programs", note_stats.programs, PROGRAMS);
    instruments_json(json, note_stats.programs);
    counts_json(json, "channels", note_stats.channels, CHANNELS);
    json_integer(json, "percussion_notes", (int64_t)note_stats.percussion);
}

static enum status midi_json(const struct inspect_request *request,
                             const struct midi_file *midi)
{
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    json_string(&json, "kind", "midi");
    json_string(&json, "path", request->path);
    json_string(&json, "outcome", midi_outcome_name(midi->outcome));
    json_string(&json, "reason", midi->reason);
    json_integer(&json, "format", midi->format);
    json_integer(&json, "tracks", midi->tracks);
    json_integer(&json, "division", midi->division);
    json_integer(&json, "tempo_events", midi->tempo_events);
    json_number(&json, "first_tempo", midi->first_tempo);
    inspect_metre_json(&json, midi);
    json_integer(&json, "pedal_events", (int64_t)pedal_events(midi));
    json_integer(&json, "notes", (int64_t)midi->notes.count);
    note_stats_json(&json, midi);
    json_close(&json);
    return json_end(&json);
}

static enum status show(const struct inspect_request *request,
                        const struct midi_file *midi)
{
    if (request->verify && midi->outcome != MIDI_OK)
        return status_fail(STATUS_FAILED, "%s: %s: %s", request->path,
                           midi_outcome_name(midi->outcome), midi->reason);
    if (request->json)
        return midi_json(request, midi);
    if (request->verify)
        printable_line(stdout, "%s: verified: nothing to repair, %zu notes",
                       request->path, midi->notes.count);
    else
        print_midi(request, midi);
    return STATUS_OK;
}

enum status inspect_midi_bytes(const struct inspect_request *request,
                               const uint8_t *bytes, size_t size)
{
    static const struct midi_limits no_limits = {0};
    struct midi_file midi = {0};
    enum status status = midi_read(bytes, size, &no_limits, &midi);
    if (status == STATUS_OK)
        status = show(request, &midi);
    midi_free(&midi);
    return status;
}

enum status inspect_midi(const struct inspect_request *request)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum status status = file_read(request->path, 0, &bytes, &size);
    if (status == STATUS_OK)
        status = inspect_midi_bytes(request, bytes, size);
    free(bytes);
    return status;
}
