/* piece: see the header. */
#include "piece.h"

#include <stdlib.h>

#include "silence.h"

enum status piece_shape(struct midi_file *midi, const struct encoding *encoding,
                        const struct options *options, bool *cut)
{
    double max_silence = options->data.max_silence_seconds, *keys = NULL;
    if (max_silence > 0)
        keys = silence_last_releases(&midi->notes, encoding, max_silence);
    if (max_silence > 0 && !keys)
        return status_fail(STATUS_FAILED, "no memory for the keys of %zu notes",
                           midi->notes.count);
    enum status status = STATUS_OK;
    if (options->data.pedal == PEDAL_EXTEND)
        status = midi_apply_pedal(midi);
    bool changed =
        status == STATUS_OK && keys && silence_cut(midi, encoding, keys, max_silence);
    if (cut)
        *cut = changed;
    free(keys);
    return status;
}

const char *piece_why_empty(const struct notes *notes)
{
    size_t percussion = 0;
    for (size_t i = 0; i < notes->count; i++)
        percussion += notes->items[i].percussion;
    if (notes->count == 0)
        return "no notes";
    if (percussion == notes->count)
        return "percussion only, which the encoding leaves out";
    return percussion ? "only percussion and notes outside the encoding's range"
                      : "only notes outside the encoding's range";
}
