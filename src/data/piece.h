/* piece: from a MIDI file just read to the notes that are encoded. The pieces of a
 * dataset and the primer of a model are prepared alike. */
#ifndef TUTTI_DATA_PIECE_H
#define TUTTI_DATA_PIECE_H

#include <stdbool.h>

#include "base/options.h"
#include "base/status.h"
#include "encode/encoding.h"
#include "midi/midi.h"

/* Applies the pedal according to data.pedal, and cuts silences longer than
 * data.max_silence_seconds (see preprocess.h). *cut (can be NULL): whether a silence was
 * cut; the outcome and the reason then describe it. STATUS_FAILED only if out of memory.
 */
enum status piece_shape(struct midi_file *midi, const struct encoding *encoding,
                        const struct options *options, bool *cut);

/* The reason why these notes have no tokens, in words. */
const char *piece_why_empty(const struct notes *notes);

#endif
