/* samples: see the header. */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "midi/midi.h"

/* The length of the path without the extension of a MIDI file. */
static size_t stem_length(const char *path)
{
    const char *dot = midi_has_extension(path) ? strrchr(path, '.') : NULL;
    return dot ? (size_t)(dot - path) : strlen(path);
}

static bool is_numbered(const struct samples_request *request)
{
    return request->count > 1 || request->always_number;
}

char *samples_path(const struct samples_request *request, int number)
{
    if (!is_numbered(request))
        return strdup(request->path);
    size_t stem = stem_length(request->path);
    return path_format("%.*s-%d%s", (int)stem, request->path, number,
                       request->path + stem);
}

static enum status write_piece(const struct samples_request *request, int number,
                               const struct notes *piece, int tempo,
                               samples_report *report)
{
    char *path = samples_path(request, number);
    if (!path)
        return status_fail(STATUS_FAILED, "%s: out of memory", request->path);
    enum status status = is_numbered(request)
                             ? generator_write_nofollow(path, piece, tempo)
                             : generator_write(path, piece, tempo);
    if (status == STATUS_OK && report)
        report(path, piece);
    free(path);
    return status;
}

static void warn_truncated(const enum sampler_outcome *outcomes, int count)
{
    int truncated = 0;
    for (int i = 0; i < count; i++)
        truncated += outcomes[i] == SAMPLER_TOKEN_LIMIT;
    if (truncated > 0)
        log_warn("%d of %d pieces end early, at the token limit: implausibly many notes",
                 truncated, count);
}

/* Writes the numbers of the pieces that did not end, " 3, 7", to text, as many as fit.
 * Returns how many there are. */
static int list_without_end(const enum sampler_outcome *outcomes, int count, char *text,
                            size_t size)
{
    int found = 0;
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < count; i++) {
        if (outcomes[i] == SAMPLER_ENDED)
            continue;
        const char *before = found++ ? "," : "";
        if (used + sizeof ", 4096, ..." > size) {
            snprintf(text + used, size - used, ", ...");
            continue;
        }
        used += (size_t)snprintf(text + used, size - used, "%s %d", before, i + 1);
    }
    return found;
}

static void warn_without_end(const struct sampler_settings *settings, int count)
{
    char numbers[200];
    if (settings->end != END_REQUIRE)
        return;
    int found = list_without_end(settings->outcomes, count, numbers, sizeof numbers);
    bool in_bars = settings->bars > 0;
    if (found > 0)
        log_warn("piece%s%s of %d did not come to an end within %g %s; allow more %s",
                 found > 1 ? "s" : "", numbers, count,
                 in_bars ? (double)settings->bars : settings->seconds,
                 in_bars ? "bars" : "s", in_bars ? "bars" : "seconds");
}

enum status samples_generate(const struct checkpoint *checkpoint,
                             const struct samples_request *request,
                             struct samples_pieces *pieces)
{
    size_t count = (size_t)request->count;
    struct sampler_settings settings = request->settings;
    *pieces =
        (struct samples_pieces){.tempo = generator_tempo(settings.tempo, request->primer),
                                .count = request->count};
    pieces->list = calloc(count, sizeof *pieces->list);
    settings.outcomes = calloc(count, sizeof *settings.outcomes);
    enum status status =
        pieces->list && settings.outcomes
            ? generator_run(checkpoint, &settings, request->primer, request->keep_primer,
                            request->count, pieces->list)
            : status_fail(STATUS_FAILED, "no memory for %d pieces", request->count);
    if (status == STATUS_OK) {
        warn_truncated(settings.outcomes, request->count);
        warn_without_end(&settings, request->count);
    }
    free(settings.outcomes);
    return status;
}

enum status samples_write_files(const struct samples_request *request,
                                const struct samples_pieces *pieces,
                                samples_report *report, struct samples_totals *totals)
{
    enum status status = STATUS_OK;
    *totals = (struct samples_totals){0};
    for (int i = 0; i < pieces->count && status == STATUS_OK; i++) {
        const struct notes *piece = &pieces->list[i];
        status = sampler_check_cancelled(&request->settings);
        if (status == STATUS_OK)
            status = write_piece(request, i + 1, piece, pieces->tempo, report);
        totals->notes += piece->count;
        totals->seconds += notes_duration(piece);
    }
    return status;
}

void samples_free(struct samples_pieces *pieces)
{
    for (int i = 0; i < pieces->count && pieces->list; i++)
        notes_free(&pieces->list[i]);
    free(pieces->list);
    *pieces = (struct samples_pieces){0};
}

/* ---- between processes: the tempo, then of each piece its ticks per beat and four
 * arrays, each after its count ---- */

static bool send_array(FILE *to, const void *items, size_t count, size_t size)
{
    const uint64_t sent_count = count;
    return fwrite(&sent_count, sizeof sent_count, 1, to) == 1 &&
           (count == 0 || fwrite(items, size, count, to) == count);
}

static bool send_piece(FILE *to, const struct notes *piece)
{
    const struct tempo_changes *tempos = &piece->tempos;
    const struct time_signatures *signatures = &piece->signatures;
    const struct track_names *names = &piece->names;
    return fwrite(&piece->ticks_per_beat, sizeof piece->ticks_per_beat, 1, to) == 1 &&
           send_array(to, piece->items, piece->count, sizeof *piece->items) &&
           send_array(to, tempos->items, tempos->count, sizeof *tempos->items) &&
           send_array(to, signatures->items, signatures->count,
                      sizeof *signatures->items) &&
           send_array(to, names->items, names->count, sizeof *names->items);
}

enum status samples_send(const struct samples_pieces *pieces, FILE *to)
{
    bool sent = fwrite(&pieces->tempo, sizeof pieces->tempo, 1, to) == 1;
    for (int i = 0; i < pieces->count && sent; i++)
        sent = send_piece(to, &pieces->list[i]);
    return sent ? STATUS_OK : status_fail_errno("can't send the pieces");
}

struct input {
    const uint8_t *bytes; /* not yet read */
    size_t size;
};

static bool read_bytes(struct input *input, void *into, size_t size)
{
    if (size > input->size)
        return false;
    if (size > 0)
        memcpy(into, input->bytes, size);
    input->bytes += size;
    input->size -= size;
    return true;
}

/* Allocates *items, of `size` bytes each. */
static bool read_array(struct input *input, size_t size, void **items, size_t *count)
{
    uint64_t received;
    if (!read_bytes(input, &received, sizeof received) || received > input->size / size)
        return false;
    *items = malloc((size_t)received * size + 1);
    if (!*items)
        return false;
    *count = (size_t)received;
    return read_bytes(input, *items, *count * size);
}

static bool read_piece(struct input *input, struct notes *piece)
{
    void *items = NULL, *tempos = NULL, *signatures = NULL, *names = NULL;
    bool read =
        read_bytes(input, &piece->ticks_per_beat, sizeof piece->ticks_per_beat) &&
        read_array(input, sizeof *piece->items, &items, &piece->count) &&
        read_array(input, sizeof *piece->tempos.items, &tempos, &piece->tempos.count) &&
        read_array(input, sizeof *piece->signatures.items, &signatures,
                   &piece->signatures.count) &&
        read_array(input, sizeof *piece->names.items, &names, &piece->names.count);
    piece->items = items;
    piece->tempos.items = tempos;
    piece->signatures.items = signatures;
    piece->names.items = names;
    piece->capacity = piece->count;
    piece->tempos.capacity = piece->tempos.count;
    piece->signatures.capacity = piece->signatures.count;
    piece->names.capacity = piece->names.count;
    return read;
}

enum status samples_receive(const uint8_t *bytes, size_t size, int count,
                            struct samples_pieces *pieces)
{
    struct input input = {bytes, size};
    *pieces = (struct samples_pieces){.count = count};
    pieces->list = calloc((size_t)count, sizeof *pieces->list);
    bool valid = pieces->list && read_bytes(&input, &pieces->tempo, sizeof pieces->tempo);
    for (int i = 0; i < count && valid; i++)
        valid = read_piece(&input, &pieces->list[i]);
    if (valid && input.size == 0)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "the pieces were not received as sent");
}

/* ---- after each epoch ---- */

static void describe(const char *path, int count, const struct samples_totals *totals,
                     char summary[STATUS_MESSAGE_SIZE])
{
    char last[32] = "";
    if (count > 1)
        snprintf(last, sizeof last, " to -%d.mid", count);
    snprintf(summary, STATUS_MESSAGE_SIZE, "%s %.*s-1.mid%s: %zu notes in %.0f s",
             count == 1 ? "sample" : "samples", (int)stem_length(path), path, last,
             totals->notes, totals->seconds);
}

static enum status generate_and_write(const struct checkpoint *checkpoint,
                                      const struct samples_request *request,
                                      struct samples_totals *totals)
{
    struct samples_pieces pieces = {0};
    enum status status = samples_generate(checkpoint, request, &pieces);
    if (status == STATUS_OK)
        status = samples_write_files(request, &pieces, NULL, totals);
    samples_free(&pieces);
    return status;
}

enum status samples_write_epoch(const struct epoch_samples *epoch,
                                char summary[STATUS_MESSAGE_SIZE], void *context)
{
    (void)context;
    const struct options *options = &epoch->checkpoint->options;
    long long number = epoch->checkpoint->state.epoch;
    struct samples_totals totals;
    char *path = path_format("%s/epoch-%04lld.mid", epoch->directory, number);
    char *final_path =
        path_format("%s/samples/epoch-%04lld.mid", options->run.dir, number);
    struct samples_request request = {
        .settings = generator_settings(options),
        .count = (int)options->run.samples,
        .path = path,
        .always_number = true,
    };
    request.settings.cancelled = epoch->cancelled;
    enum status status =
        path && final_path
            ? generate_and_write(epoch->checkpoint, &request, &totals)
            : status_fail(STATUS_FAILED, "%s: out of memory", epoch->directory);
    if (status == STATUS_OK)
        describe(final_path, request.count, &totals, summary);
    free(path);
    free(final_path);
    return status;
}
