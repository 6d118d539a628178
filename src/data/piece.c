/* piece: see the header. */
#include "piece.h"

#include <stdlib.h>

#include "note_filter.h"
#include "silence.h"

static size_t filter(struct notes *notes, const struct options *options)
{
    struct program_set set;
    size_t removed = 0;
    if (program_set_parse(options->data.only_programs, &set))
        removed = note_filter_programs(notes, &set);
    if (options->data.tracks == TRACKS_MELODY)
        removed += note_filter_melody(notes);
    return removed;
}

static enum status apply_pedal(struct midi_file *midi, const struct options *options)
{
    enum status status = STATUS_OK;
    if (options->data.pedal == PEDAL_EXTEND)
        status = midi_apply_pedal(midi);
    if (options->data.tracks == TRACKS_MELODY)
        note_filter_cut_overlaps(midi);
    return status;
}

enum status piece_prepare(struct midi_file *midi, const struct encoding *encoding,
                          const struct options *options, struct piece_changes *changes)
{
    double max_silence = options->data.max_silence_seconds, *last_release = NULL;
    changes->filtered = filter(&midi->notes, options);
    bool search = max_silence > 0 && silence_is_possible(midi, encoding, max_silence);
    if (search)
        last_release = silence_last_releases(&midi->notes, encoding, max_silence);
    if (search && !last_release)
        return status_fail(STATUS_FAILED, "no memory for the key releases of %zu notes",
                           midi->notes.count);
    enum status status = apply_pedal(midi, options);
    changes->cut = status == STATUS_OK && last_release &&
                   silence_cut(midi, encoding, last_release, max_silence);
    free(last_release);
    return status;
}

const char *piece_empty_reason(const struct notes *notes,
                               const struct piece_changes *changes)
{
    size_t percussion = 0;
    for (size_t i = 0; i < notes->count; i++)
        percussion += notes->items[i].percussion;
    if (notes->count == 0)
        return changes->filtered ? "no notes after data.only_programs and data.tracks"
                                 : "no notes";
    if (percussion == notes->count)
        return "percussion only, which data.drums = drop leaves out";
    return percussion ? "only percussion and notes outside the encoding's range"
                      : "only notes outside the encoding's range";
}
