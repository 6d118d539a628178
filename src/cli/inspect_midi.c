/* inspect, MIDI files: the result of the reader. The limits of `tutti preprocess` do not
 * apply, so files that it would skip because of their length can be inspected. */
#include "inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/printable.h"
#include "midi/midi.h"

enum { PROGRAMS = 128, CHANNELS = 16 };

struct music { /* statistics of the notes */
    size_t programs[PROGRAMS], channels[CHANNELS];
    size_t percussion; /* notes; not in `programs`: theirs are drum kits */
    int lowest, highest, softest, loudest;
    double seconds;
};

static struct music music_of(const struct notes *notes)
{
    struct music music = {
        .lowest = 127, .softest = 127, .seconds = notes_duration(notes)};
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        music.channels[note->channel % CHANNELS]++;
        if (note->percussion)
            music.percussion++;
        else
            music.programs[note->program % PROGRAMS]++;
        music.lowest = note->pitch < music.lowest ? note->pitch : music.lowest;
        music.highest = note->pitch > music.highest ? note->pitch : music.highest;
        music.softest = note->velocity < music.softest ? note->velocity : music.softest;
        music.loudest = note->velocity > music.loudest ? note->velocity : music.loudest;
    }
    return music;
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
        inspect_fact("division", "%d SMPTE frames per second, %d ticks per frame",
                     -(division >> 8), division & 0xFF);
    else
        inspect_fact("division", "%d ticks per quarter note", division);
}

static void print_counts(const char *label, const size_t *counts, int count)
{
    char text[512] = "";
    size_t used = 0;
    for (int i = 0; i < count && used < sizeof text - 32; i++)
        if (counts[i])
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%d (%zu notes)",
                                     used ? ", " : "", i, counts[i]);
    if (used)
        inspect_fact(label, "%s", text);
}

static void print_notes(const struct midi_file *midi, const struct music *music)
{
    char low[PITCH_NAME], high[PITCH_NAME];
    inspect_fact("notes", "%zu in %.2f s", midi->notes.count, music->seconds);
    if (midi->notes.count == 0)
        return;
    inspect_fact("pitches", "%d to %d (%s to %s)", music->lowest, music->highest,
                 pitch_name(music->lowest, low), pitch_name(music->highest, high));
    inspect_fact("velocities", "%d to %d", music->softest, music->loudest);
    print_counts("programs", music->programs, PROGRAMS);
    print_counts("channels", music->channels, CHANNELS);
    inspect_fact("percussion", "%zu notes", music->percussion);
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
    inspect_fact("outcome", "%s%s%s", midi_outcome_name(midi->outcome),
                 midi->reason[0] ? ": " : "", midi->reason);
    if (midi->outcome == MIDI_SKIPPED)
        return;
    struct music music = music_of(&midi->notes);
    inspect_fact("format", "%d, %d track%s", midi->format, midi->tracks,
                 midi->tracks == 1 ? "" : "s");
    print_division(midi->division);
    if (midi->first_tempo > 0)
        inspect_fact("tempo", "%.2f beats per minute at first, %d tempo event%s",
                     60e6 / midi->first_tempo, midi->tempo_events,
                     midi->tempo_events == 1 ? "" : "s");
    print_notes(midi, &music);
    inspect_fact("pedal", "%zu events", pedal_events(midi));
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

static void music_json(struct json *json, const struct midi_file *midi)
{
    struct music music = music_of(&midi->notes);
    json_number(json, "seconds", music.seconds);
    if (midi->notes.count > 0) {
        json_integer(json, "lowest_pitch", music.lowest);
        json_integer(json, "highest_pitch", music.highest);
        json_integer(json, "lowest_velocity", music.softest);
        json_integer(json, "highest_velocity", music.loudest);
    }
    counts_json(json, "programs", music.programs, PROGRAMS);
    counts_json(json, "channels", music.channels, CHANNELS);
    json_integer(json, "percussion_notes", (int64_t)music.percussion);
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
    json_integer(&json, "pedal_events", (int64_t)pedal_events(midi));
    json_integer(&json, "notes", (int64_t)midi->notes.count);
    music_json(&json, midi);
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
