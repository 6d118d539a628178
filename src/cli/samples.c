/* samples: see the header. */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tutti/file.h"
#include "tutti/log.h"
#include "tutti/midi.h"

/* Where the extension of a MIDI file's name begins, or the name's end. */
static size_t stem_length(const char *path)
{
    const char *dot = midi_is_named(path) ? strrchr(path, '.') : NULL;
    return dot ? (size_t)(dot - path) : strlen(path);
}

char *samples_path(const struct samples_request *request, int number)
{
    if (request->count == 1 && !request->number_one)
        return strdup(request->path);
    size_t stem = stem_length(request->path);
    return path_format("%.*s-%d%s", (int)stem, request->path, number,
                       request->path + stem);
}

static enum status
write_piece(const struct samples_request *request, int number, const struct notes *piece,
            void (*report)(const char *path, const struct notes *piece))
{
    char *path = samples_path(request, number);
    if (!path)
        return status_fail(STATUS_FAILED, "%s: out of memory", request->path);
    enum status status = player_write(path, piece, player_tempo(request->primer));
    if (status == STATUS_OK && report)
        report(path, piece);
    free(path);
    return status;
}

enum status samples_make(const struct checkpoint *checkpoint,
                         const struct samples_request *request,
                         void (*report)(const char *path, const struct notes *piece),
                         struct samples_made *made)
{
    *made = (struct samples_made){0};
    struct notes *pieces = calloc((size_t)request->count, sizeof *pieces);
    if (!pieces)
        return status_fail(STATUS_FAILED, "no memory for %d pieces", request->count);
    enum status status = player_play(checkpoint, &request->settings, request->primer,
                                     request->keep_primer, request->count, pieces);
    for (int i = 0; i < request->count; i++) {
        if (status == STATUS_OK)
            status = write_piece(request, i + 1, &pieces[i], report);
        made->notes += pieces[i].count;
        made->seconds += notes_seconds(&pieces[i]);
        notes_free(&pieces[i]);
    }
    free(pieces);
    return status;
}

static void log_samples(const char *path, int count, const struct samples_made *made)
{
    char last[32] = "";
    if (count > 1)
        snprintf(last, sizeof last, " to -%d.mid", count);
    log_info("%s %.*s-1.mid%s: %zu notes in %.0f s", count == 1 ? "sample" : "samples",
             (int)stem_length(path), path, last, made->notes, made->seconds);
}

enum status samples_write(const struct checkpoint *now, const char *directory,
                          void *context)
{
    (void)context;
    const struct options *options = &now->options;
    if (options->run.samples == 0 || options->run.sample_seconds <= 0)
        return STATUS_OK;
    char *path = path_format("%s/epoch-%04lld.mid", directory, (long long)now->epoch);
    char *shown = path_format("%s/samples/epoch-%04lld.mid", options->run.dir,
                              (long long)now->epoch);
    enum status status = path && shown
                             ? STATUS_OK
                             : status_fail(STATUS_FAILED, "%s: out of memory", directory);
    const struct samples_request request = {
        .settings = player_settings(options),
        .count = (int)options->run.samples,
        .path = path,
        .number_one = true,
    };
    struct samples_made made;
    if (status == STATUS_OK)
        status = samples_make(now, &request, NULL, &made);
    if (status == STATUS_OK)
        log_samples(shown, request.count, &made);
    free(path);
    free(shown);
    return status;
}
