/* midi_invariants: invariants of midi_read's result for arbitrary bytes, for the fuzzer
 * and the tests with damaged and real files. */
#ifndef TUTTI_TESTS_MIDI_INVARIANTS_H
#define TUTTI_TESTS_MIDI_INVARIANTS_H

#include <math.h>
#include <string.h>

#include "midi/midi.h"

#define INVARIANT(condition)                                                             \
    do {                                                                                 \
        if (!(condition))                                                                \
            return #condition;                                                           \
    } while (0)

static inline const char *note_fault(const struct midi_file *file, size_t index)
{
    const struct note *note = &file->notes.items[index];
    INVARIANT(isfinite(note->start) && note->start >= 0);
    INVARIANT(isfinite(note->duration) && note->duration >= 0);
    INVARIANT(note->duration_ticks <= UINT32_MAX - note->start_tick);
    INVARIANT((note->duration == 0) == (note->duration_ticks == 0));
    INVARIANT((note->start == 0) == (note->start_tick == 0));
    INVARIANT(note->pitch < 128 && note->program < 128 && note->channel < 16);
    INVARIANT(note->percussion <= 1);
    INVARIANT(note->velocity >= 1 && note->velocity < 128);
    INVARIANT(note->track < file->tracks);
    if (index == 0)
        return NULL;
    const struct note *previous = note - 1;
    INVARIANT(previous->start_tick <= note->start_tick);
    INVARIANT(previous->start <= note->start);
    if (previous->start_tick < note->start_tick)
        return NULL;
    INVARIANT(previous->channel <= note->channel);
    if (previous->channel < note->channel)
        return NULL;
    INVARIANT(previous->pitch <= note->pitch);
    if (previous->pitch == note->pitch)
        INVARIANT(previous->duration_ticks <= note->duration_ticks);
    return NULL;
}

static inline const char *outcome_fault(const struct midi_file *file)
{
    char text[MIDI_REASON_SIZE];
    INVARIANT(strlen(file->reason) < MIDI_REASON_SIZE - 1);
    if (file->outcome == MIDI_SKIPPED) {
        INVARIANT(file->reason[0] != '\0' && file->repairs == 0);
        INVARIANT(file->notes.count == 0 && file->pedal_count == 0);
        INVARIANT(file->notes.tempos.count == 0 && file->notes.signatures.count == 0);
        INVARIANT(file->notes.names.count == 0);
        return NULL;
    }
    INVARIANT(file->outcome == (file->repairs ? MIDI_REPAIRED : MIDI_OK));
    INVARIANT(file->repairs >> MIDI_REPAIR_KINDS == 0);
    INVARIANT(!strcmp(file->reason, midi_repair_text(file->repairs, text, sizeof text)));
    INVARIANT(file->format >= 0 && file->format <= 2);
    INVARIANT(file->tracks >= 1 && file->tracks <= 65535);
    bool beats = file->notes.ticks_per_beat > 0,
         frames = file->notes.ticks_per_second > 0;
    INVARIANT(beats != frames && beats == (file->division > 0));
    INVARIANT(beats ? file->first_tempo >= 1 : file->first_tempo == 0);
    return NULL;
}

/* Ticks ascend, and each item differs from the one in force. */
static inline const char *tempos_fault(const struct midi_file *file)
{
    const struct tempo_changes *tempos = &file->notes.tempos;
    for (size_t i = 0; i < tempos->count; i++) {
        const struct tempo_change *change = &tempos->items[i];
        INVARIANT(change->tempo >= 1 && change->tempo < 1 << 24);
        INVARIANT(change->tempo != (i ? change[-1].tempo : 500000));
        INVARIANT(i == 0 || change[-1].tick < change->tick);
    }
    if (tempos->count && tempos->items[0].tick == 0)
        INVARIANT(file->first_tempo == tempos->items[0].tempo);
    else if (file->division > 0)
        INVARIANT(file->first_tempo == 500000);
    return NULL;
}

static inline const char *signatures_fault(const struct midi_file *file)
{
    const struct time_signatures *signatures = &file->notes.signatures;
    for (size_t i = 0; i < signatures->count; i++) {
        const struct time_signature *signature = &signatures->items[i];
        int numerator = i ? signature[-1].numerator : 4,
            denominator_log2 = i ? signature[-1].denominator_log2 : 2;
        INVARIANT(signature->numerator >= 1 && signature->denominator_log2 <= 6);
        INVARIANT(signature->numerator != numerator ||
                  signature->denominator_log2 != denominator_log2);
        INVARIANT(i == 0 || signature[-1].tick < signature->tick);
    }
    return NULL;
}

static inline const char *names_fault(const struct midi_file *file)
{
    const struct track_names *names = &file->notes.names;
    for (size_t i = 0; i < names->count; i++) {
        const struct track_name *name = &names->items[i];
        INVARIANT(name->track < file->tracks);
        INVARIANT(memchr(name->text, 0, sizeof name->text) > (const void *)name->text);
        INVARIANT(i == 0 || name[-1].track < name->track);
    }
    return NULL;
}

static inline const char *metre_fault(const struct midi_file *file)
{
    if (file->outcome == MIDI_SKIPPED) /* outcome_fault: there is nothing */
        return NULL;
    const char *fault = tempos_fault(file);
    fault = fault ? fault : signatures_fault(file);
    return fault ? fault : names_fault(file);
}

/* Returns NULL, or the violated invariant. `size`: bytes that were read. */
static inline const char *midi_fault(const struct midi_file *file, size_t size,
                                     const struct midi_limits *limits)
{
    const char *fault = outcome_fault(file);
    fault = fault ? fault : metre_fault(file);
    /* notes and pedal events take at least three bytes; a pedal may get a release added
     */
    INVARIANT(file->notes.count <= size / 3);
    INVARIANT(file->pedal_count <= size / 3 * 2);
    if (file->outcome != MIDI_SKIPPED && limits) {
        INVARIANT(!limits->max_bytes || size <= limits->max_bytes);
        INVARIANT(!limits->max_notes || file->notes.count <= limits->max_notes);
        INVARIANT(file->notes.count >= limits->min_notes);
    }
    for (size_t i = 0; i < file->notes.count && !fault; i++)
        fault = note_fault(file, i);
    for (size_t i = 0; i < file->pedal_count; i++) {
        INVARIANT(file->pedals[i].channel < 16 && file->pedals[i].value < 128);
        INVARIANT(file->pedals[i].controller == MIDI_SUSTAIN ||
                  file->pedals[i].controller == MIDI_ALL_SOUND_OFF);
        INVARIANT(i == 0 || file->pedals[i - 1].tick <= file->pedals[i].tick);
    }
    return fault;
}

static inline uint64_t metre_fingerprint(const struct notes *notes)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < notes->tempos.count; i++) {
        const struct tempo_change *change = &notes->tempos.items[i];
        uint64_t fields[] = {hash, change->tick, change->tempo};
        hash = hash64(fields, sizeof fields);
    }
    for (size_t i = 0; i < notes->signatures.count; i++) {
        const struct time_signature *signature = &notes->signatures.items[i];
        uint64_t fields[] = {hash, signature->tick, signature->numerator,
                             signature->denominator_log2};
        hash = hash64(fields, sizeof fields);
    }
    for (size_t i = 0; i < notes->names.count; i++) {
        const struct track_name *name = &notes->names.items[i];
        uint64_t fields[] = {hash, name->track, hash64(name->text, strlen(name->text))};
        hash = hash64(fields, sizeof fields);
    }
    return hash;
}

/* A hash of everything that was read. */
static inline uint64_t midi_fingerprint(const struct midi_file *file)
{
    struct hash128 notes = notes_hash(&file->notes);
    uint64_t fields[] = {
        notes.high,
        notes.low,
        hash64(file->reason, strlen(file->reason)),
        file->pedal_count ? hash64(file->pedals, file->pedal_count * sizeof *file->pedals)
                          : 0,
        (uint64_t)file->outcome,
        file->repairs,
        (uint64_t)file->format,
        (uint64_t)file->tracks,
        (uint64_t)file->division,
        (uint64_t)file->tempo_events,
        (uint64_t)file->first_tempo,
        file->notes.count,
        metre_fingerprint(&file->notes),
    };
    return hash64(fields, sizeof fields);
}

/* Reads the bytes twice into the same file, applies the pedal, and reads them into a
 * new one. Returns NULL, or the violated invariant. */
static inline const char *midi_read_fault(const uint8_t *bytes, size_t size,
                                          const struct midi_limits *limits,
                                          struct midi_file *file)
{
    struct midi_file second = {0};
    INVARIANT(midi_read(bytes, size, limits, file) == STATUS_OK);
    const char *fault = midi_fault(file, size, limits);
    uint64_t first_fingerprint = midi_fingerprint(file);
    size_t count = file->notes.count;
    double seconds = notes_duration(&file->notes);
    INVARIANT(midi_apply_pedal(file) == STATUS_OK);
    if (!fault)
        fault = midi_fault(file, size, limits);
    INVARIANT(file->notes.count == count);
    INVARIANT(notes_duration(&file->notes) >= seconds);
    INVARIANT(midi_read(bytes, size, limits, &second) == STATUS_OK);
    uint64_t again = midi_fingerprint(&second);
    midi_free(&second);
    INVARIANT(first_fingerprint == again);
    return fault;
}

#endif
