/* primer: see the header. */
#include "primer.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/piece.h"
#include "encode/bpe.h"

/* Times closer than this count as equal: sums of 10 ms steps are not exact. */
static const double TIME_TOLERANCE = 1e-6;

/* The number of tokens before `seconds` (0: all). Sets the primer's time and the number
 * of steps that they cover. */
static size_t count_tokens_before(const struct encoding *encoding, double seconds,
                                  struct primer *primer)
{
    size_t count = 0;
    struct grammar grammar;
    encoding->grammar_start(encoding, &grammar);
    for (; count < primer->tokens.count; count++) {
        encoding->grammar_accept(encoding, &grammar, primer->tokens.items[count]);
        double next =
            primer->step_seconds ? primer->step_seconds[grammar.time] : grammar.seconds;
        if (seconds > 0 && (primer->seconds >= seconds - TIME_TOLERANCE ||
                            next > seconds + TIME_TOLERANCE))
            break;
        primer->seconds = next;
        primer->steps = grammar.time;
    }
    return count;
}

/* Encodes all of the file's notes, as base tokens. */
static enum status encode_file(const struct checkpoint *checkpoint, const char *path,
                               struct midi_file *midi, struct tokens *tokens)
{
    if (midi->outcome == MIDI_SKIPPED)
        return status_fail(STATUS_FAILED, "%s: can't be the primer: %s", path,
                           midi->reason);
    const struct encoding *encoding = bpe_base(checkpoint->encoding);
    struct piece_changes changes;
    enum status status = piece_prepare(midi, encoding, &checkpoint->options, &changes);
    if (status == STATUS_OK)
        status = encoding->encode(encoding, &midi->notes, tokens);
    if (status != STATUS_OK || tokens->count == 0)
        return status_fail(STATUS_FAILED, "%s: can't be the primer: %s", path,
                           status == STATUS_OK
                               ? piece_empty_reason(&midi->notes, &changes)
                               : status_message());
    return STATUS_OK;
}

/* For encodings whose steps are fractions of a beat: the time of every step of the
 * tokens, from the file's tempo map. */
static enum status time_steps(const struct encoding *encoding,
                              const struct midi_file *midi, double first, double length,
                              struct primer *primer)
{
    struct grammar grammar;
    encoding->grammar_start(encoding, &grammar);
    for (size_t i = 0; i < primer->tokens.count; i++)
        encoding->grammar_accept(encoding, &grammar, primer->tokens.items[i]);
    size_t steps = grammar.time;
    primer->step_seconds = calloc(steps + 1, sizeof *primer->step_seconds);
    if (!primer->step_seconds)
        return status_fail(STATUS_FAILED, "no memory for a primer of %zu steps", steps);
    double start = midi_time_at(midi, first).seconds;
    for (size_t i = 0; i <= steps; i++)
        primer->step_seconds[i] =
            midi_time_at(midi, first + (double)i * length).seconds - start;
    return STATUS_OK;
}

/* Truncates the tokens of the entire file at `seconds`; finds the tempo there. */
static enum status truncate_primer(const struct encoding *encoding,
                                   const struct midi_file *midi, double seconds,
                                   struct primer *primer)
{
    double first = 0, length = 0;
    enum status status = STATUS_OK;
    if (encoding->find_grid_steps)
        status = encoding->find_grid_steps(encoding, &midi->notes, &first, &length);
    if (status == STATUS_OK && encoding->find_grid_steps)
        status = time_steps(encoding, midi, first, length, primer);
    if (status != STATUS_OK)
        return status;
    primer->tokens.count = count_tokens_before(encoding, seconds, primer);
    primer->tempo = ENCODING_TEMPO;
    if (!encoding->find_grid_steps)
        return STATUS_OK;
    struct midi_time end = midi_time_at(midi, first + (double)primer->steps * length);
    primer->tempo_ratio = end.seconds_per_tick * length / encoding->seconds_per_grid_step;
    if (end.tempo > 0)
        primer->tempo = end.tempo;
    return STATUS_OK;
}

static enum status read_file(const struct checkpoint *checkpoint, const char *path,
                             double seconds, struct primer *primer)
{
    static const struct midi_limits no_limits = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    uint64_t max_bytes = (uint64_t)checkpoint->options.data.max_bytes;
    enum status status = file_read_input(path, max_bytes, &bytes, &size);
    if (status != STATUS_OK)
        return status;
    struct midi_file midi = {0};
    status = midi_read(bytes, size, &no_limits, &midi);
    free(bytes);
    if (status == STATUS_OK)
        status = encode_file(checkpoint, path, &midi, &primer->tokens);
    if (status == STATUS_OK)
        status = truncate_primer(bpe_base(checkpoint->encoding), &midi, seconds, primer);
    if (midi.outcome == MIDI_REPAIRED)
        memcpy(primer->repairs, midi.reason, sizeof primer->repairs);
    midi_free(&midi);
    return status;
}

enum status primer_read(const struct checkpoint *checkpoint, const char *path,
                        double seconds, struct primer *primer)
{
    enum status status = read_file(checkpoint, path, seconds, primer);
    if (status != STATUS_OK)
        return status;
    struct tokens *tokens = &primer->tokens;
    if (encoding_count_notes(bpe_base(checkpoint->encoding), tokens->items,
                             tokens->count) == 0)
        return status_fail(STATUS_FAILED,
                           "%s: can't be the primer: its first step takes more than %g s",
                           path, seconds);
    return bpe_merge_tokens(checkpoint->encoding, tokens->items, &tokens->count);
}

void primer_free(struct primer *primer)
{
    tokens_free(&primer->tokens);
    free(primer->step_seconds);
    memset(primer, 0, sizeof *primer);
}
