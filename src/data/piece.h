/* piece: turns a MIDI file that was just read into the notes to encode. The pieces of a
 * dataset and the primer of a generated piece are prepared in the same way. */
#ifndef TUTTI_DATA_PIECE_H
#define TUTTI_DATA_PIECE_H

#include <stdbool.h>

#include "base/options.h"
#include "base/status.h"
#include "encode/encoding.h"
#include "midi/midi.h"

/* Applies the pedal according to data.pedal, and cuts silences longer than
 * data.max_silence_seconds (see preprocess.h). *changed (can be NULL): true if a silence
 * was cut or held notes were ended; the outcome and the reason then say so. STATUS_FAILED
 * only if out of memory.
 */
enum status piece_prepare(struct midi_file *midi, const struct encoding *encoding,
                          const struct options *options, bool *changed);

/* The reason why the encoding of these notes is empty, as text. */
const char *piece_empty_reason(const struct notes *notes);

#endif
