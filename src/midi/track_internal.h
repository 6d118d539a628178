/* track_internal: functions shared by track.c, events.c and meta.c, which read one MTrk
 * chunk. */
#ifndef TUTTI_MIDI_TRACK_INTERNAL_H
#define TUTTI_MIDI_TRACK_INTERNAL_H

#include "track_data.h"

/* ---- events.c ---- */

/* Reads events up to the end of the bytes, or until anything else ends the track. `at` is
 * then after the last complete event. */
enum event_result track_read_events(struct track *track);

/* Controller 64. */
enum event_result track_append_pedal(struct track *track, uint32_t channel,
                                     uint8_t value);

/* Ends the sounding notes of `words` words of track->keys. */
void track_release_keys(struct track *track, uint32_t first_word, uint32_t words);

/* ---- meta.c: events after their status byte ---- */

enum event_result track_read_meta(struct track *track);
enum event_result track_read_sysex(struct track *track, uint8_t status);
enum event_result track_read_system(struct track *track, uint8_t status);

/* Switches to the port identified by track->port_id. */
enum event_result track_set_port(struct track *track);

#endif
