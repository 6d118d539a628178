/* midi_expect: reads synthetic MIDI files and compares the result; included after
 * cmocka.h.
 */
#ifndef TUTTI_TESTS_MIDI_EXPECT_H
#define TUTTI_TESTS_MIDI_EXPECT_H

#include "midi_make.h"
#include "midi/midi.h"

/* Reads and clears the bytes. They are copied to the very end of a heap block, so that
 * AddressSanitizer detects even a one-byte overread. */
static inline void read_bytes(struct bytes *bytes, const struct midi_limits *limits,
                              struct midi_file *file)
{
    uint8_t *exact = calloc(1, bytes->count ? bytes->count : 1);
    if (bytes->count)
        memcpy(exact, bytes->items, bytes->count);
    assert_int_equal(midi_read(exact, bytes->count, limits, file), STATUS_OK);
    free(exact);
    free_bytes(bytes);
}

/* "0+480:60 480+240:62": start tick + ticks : pitch of every note, in order. */
static inline const char *notes_text(const struct midi_file *file)
{
    static char text[4096];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < file->notes.count && used < sizeof text; i++) {
        const struct note *note = &file->notes.items[i];
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%u+%u:%d", i ? " " : "",
                             note->start_tick, note->duration_ticks, note->pitch);
    }
    return text;
}

static inline void expect(struct bytes *bytes, midi_repairs repairs, const char *notes)
{
    struct midi_file file = {0};
    char text[MIDI_REASON_SIZE];
    read_bytes(bytes, NULL, &file);
    assert_string_equal(file.reason, midi_repair_text(repairs, text, sizeof text));
    assert_int_equal(file.outcome, repairs ? MIDI_REPAIRED : MIDI_OK);
    assert_int_equal(file.repairs, repairs);
    assert_string_equal(notes_text(&file), notes);
    midi_free(&file);
}

static inline void expect_skipped(struct bytes *bytes, const struct midi_limits *limits,
                                  const char *reason)
{
    struct midi_file file = {0};
    read_bytes(bytes, limits, &file);
    assert_int_equal(file.outcome, MIDI_SKIPPED);
    if (!strstr(file.reason, reason))
        fail_msg("\"%s\" does not contain \"%s\"", file.reason, reason);
    assert_int_equal(file.notes.count, 0);
    assert_int_equal(file.pedal_count, 0);
    assert_int_equal(file.repairs, 0);
    midi_free(&file);
}

/* Begins a file of one track; the caller appends its events. */
static inline struct bytes one_track(size_t *begin)
{
    struct bytes bytes = {0};
    put_header(&bytes, 0, 1, 480);
    *begin = begin_track(&bytes);
    return bytes;
}

static inline struct bytes two_notes(void)
{
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_note(&bytes, 0, 480, 60);
    put_note(&bytes, 0, 240, 62);
    end_track(&bytes, begin);
    return bytes;
}

#define TWO_NOTES_TEXT "0+480:60 480+240:62"

#endif
