/* piece: from a MIDI file just read to the notes that are encoded. What a dataset holds
 * and what a model continues are made alike. */
#ifndef TUTTI_DATA_PIECE_H
#define TUTTI_DATA_PIECE_H

#include <stdbool.h>

#include "base/options.h"
#include "base/status.h"
#include "encode/encoding.h"
#include "midi/midi.h"

/* Applies the pedal as data.pedal says, and leaves out silences longer than
 * data.max_silence_seconds (see preprocess.h); *cut (may be NULL): whether that changed
 * anything. The outcome and the reason then say what. STATUS_FAILED only without memory. */
enum status piece_shape(struct midi_file *midi, const struct encoding *encoding,
                        const struct options *options, bool *cut);

/* Why these notes have no tokens, in words. */
const char *piece_why_empty(const struct notes *notes);

#endif
