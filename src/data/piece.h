/* piece: turns a MIDI file that was just read into the notes to encode. The pieces of a
 * dataset and the primer of a generated piece are prepared in the same way. */
#ifndef TUTTI_DATA_PIECE_H
#define TUTTI_DATA_PIECE_H

#include <stdbool.h>

#include "base/options.h"
#include "base/status.h"
#include "encode/encoding.h"
#include "midi/midi.h"

struct piece_changes { /* by piece_prepare */
    size_t filtered;   /* notes left out by data.only_programs and data.tracks */
    bool cut;          /* a silence was cut or held notes were ended; the outcome and the
                        reason of the file then say so */
};

/* Leaves out the notes that data.only_programs and data.tracks exclude (note_filter.h),
 * applies the pedal according to data.pedal, and cuts silences longer than
 * data.max_silence_seconds (see preprocess.h). The piece can then be without notes.
 * STATUS_FAILED only if out of memory. */
enum status piece_prepare(struct midi_file *midi, const struct encoding *encoding,
                          const struct options *options, struct piece_changes *changes);

/* The reason why the encoding of these notes is empty, as text. */
const char *piece_empty_reason(const struct notes *notes,
                               const struct piece_changes *changes);

#endif
