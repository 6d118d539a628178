/* piece: see the header. */
#include "piece.h"

#include <stdlib.h>

#include "silence.h"

enum status piece_prepare(struct midi_file *midi, const struct encoding *encoding,
                          const struct options *options, bool *changed)
{
    double max_silence = options->data.max_silence_seconds, *last_release = NULL;
    bool search = max_silence > 0 && silence_is_possible(midi, encoding, max_silence);
    if (search)
        last_release = silence_last_releases(&midi->notes, encoding, max_silence);
    if (search && !last_release)
        return status_fail(STATUS_FAILED, "no memory for the key releases of %zu notes",
                           midi->notes.count);
    enum status status = STATUS_OK;
    if (options->data.pedal == PEDAL_EXTEND)
        status = midi_apply_pedal(midi);
    bool cut = status == STATUS_OK && last_release &&
               silence_cut(midi, encoding, last_release, max_silence);
    if (changed)
        *changed = cut;
    free(last_release);
    return status;
}

const char *piece_empty_reason(const struct notes *notes)
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
