/* inspect, MIDI files: tempo, time signatures and track names. */
#include "inspect.h"

#include <stdio.h>
#include <string.h>

#include "midi/midi.h"

enum {
    SIGNATURES_SHOWN = 8,
    NAMES_SHOWN = 24,
    TEMPO_UNITS = 60000000 /* microseconds in a minute */
};

struct tempo_range { /* microseconds per quarter note; 0 with SMPTE division */
    uint32_t slowest, fastest;
};

static struct tempo_range find_tempo_range(const struct midi_file *midi)
{
    uint32_t first = (uint32_t)midi->first_tempo;
    struct tempo_range range = {first, first};
    for (size_t i = 0; i < midi->notes.tempos.count; i++) {
        uint32_t tempo = midi->notes.tempos.items[i].tempo;
        range.slowest = tempo > range.slowest ? tempo : range.slowest;
        range.fastest = tempo < range.fastest ? tempo : range.fastest;
    }
    return range;
}

/* ---- table ---- */

static void print_tempo(const struct midi_file *midi)
{
    struct tempo_range range = find_tempo_range(midi);
    char text[64] = "";
    if (range.slowest != range.fastest)
        snprintf(text, sizeof text, "%.2f to %.2f, ", (double)TEMPO_UNITS / range.slowest,
                 (double)TEMPO_UNITS / range.fastest);
    inspect_print_field("tempo", "%s%.2f beats per minute at first, %d tempo event%s",
                        text, TEMPO_UNITS / midi->first_tempo, midi->tempo_events,
                        midi->tempo_events == 1 ? "" : "s");
}

/* "4/4, 3/4 from 12.50 s, and 7 more changes" */
static void print_signatures(const struct midi_file *midi)
{
    const struct time_signatures *signatures = &midi->notes.signatures;
    char text[SIGNATURES_SHOWN * 48 + 64] = "4/4";
    size_t used = signatures->count && signatures->items[0].tick == 0 ? 0 : strlen(text);
    for (size_t i = 0; i < signatures->count && i < SIGNATURES_SHOWN; i++) {
        const struct time_signature *signature = &signatures->items[i];
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%d/%d", used ? ", " : "",
                             signature->numerator, 1 << signature->denominator_log2);
        if (signature->tick > 0)
            used += (size_t)snprintf(text + used, sizeof text - used, " from %.2f s",
                                     midi_time_at(midi, signature->tick).seconds);
    }
    if (signatures->count > SIGNATURES_SHOWN)
        snprintf(text + used, sizeof text - used, ", and %zu more changes",
                 signatures->count - SIGNATURES_SHOWN);
    inspect_print_field("time signature", "%s", text);
}

static void print_names(const struct track_names *names)
{
    char label[16];
    for (size_t i = 0; i < names->count && i < NAMES_SHOWN; i++) {
        snprintf(label, sizeof label, "track %d", names->items[i].track);
        inspect_print_field(label, "%s", names->items[i].text);
    }
    if (names->count > NAMES_SHOWN)
        inspect_print_field("", "and %zu more named tracks", names->count - NAMES_SHOWN);
}

void inspect_print_metre(const struct midi_file *midi)
{
    if (midi->first_tempo > 0) {
        print_tempo(midi);
        print_signatures(midi);
    }
    print_names(&midi->notes.names);
}

/* ---- JSON ---- */

static void signatures_json(struct json *json, const struct midi_file *midi)
{
    const struct time_signatures *signatures = &midi->notes.signatures;
    json_array(json, "time_signatures");
    for (size_t i = 0; i < signatures->count; i++) {
        const struct time_signature *signature = &signatures->items[i];
        json_object(json, NULL);
        json_unsigned(json, "tick", signature->tick);
        json_number(json, "seconds", midi_time_at(midi, signature->tick).seconds);
        json_integer(json, "numerator", signature->numerator);
        json_integer(json, "denominator", 1 << signature->denominator_log2);
        json_close(json);
    }
    json_close(json);
}

static void names_json(struct json *json, const struct track_names *names)
{
    json_array(json, "track_names");
    for (size_t i = 0; i < names->count; i++) {
        json_object(json, NULL);
        json_integer(json, "track", names->items[i].track);
        json_string(json, "name", names->items[i].text);
        json_close(json);
    }
    json_close(json);
}

void inspect_metre_json(struct json *json, const struct midi_file *midi)
{
    struct tempo_range range = find_tempo_range(midi);
    json_number(json, "slowest_tempo", range.slowest);
    json_number(json, "fastest_tempo", range.fastest);
    signatures_json(json, midi);
    names_json(json, &midi->notes.names);
}
