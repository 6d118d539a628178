/* tutti: the library's public interface, on top of checkpoint and generator. Its types
 * are separate from the internal ones, so that programs do not depend on internals; this
 * file converts between them. */
#include "tutti/tutti.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/scale.h"
#include "base/team.h"
#include "generate/generator.h"

_Static_assert((int)TUTTI_OK == (int)STATUS_OK, "public and internal values are equal");
_Static_assert((int)TUTTI_FAILED == (int)STATUS_FAILED, "see TUTTI_OK");
_Static_assert((int)TUTTI_MISUSE == (int)STATUS_MISUSE, "see TUTTI_OK");
_Static_assert((int)TUTTI_END_DRAW == (int)END_DRAW &&
                   (int)TUTTI_END_FORBID == (int)END_FORBID &&
                   (int)TUTTI_END_REQUIRE == (int)END_REQUIRE,
               "see TUTTI_OK");
_Static_assert((int)TUTTI_PIECES_MAX == (int)GENERATOR_PIECES_MAX, "see TUTTI_OK");

/* Limit of a note's start and duration, seconds: as ticks they must fit into 32 bits. */
static const double NOTE_SECONDS_MAX = 1e6;
static const double TICKS_PER_SECOND = 960;

enum { TEMPO_MAX = 0xFFFFFF }; /* microseconds per beat; 24 bits in a MIDI file */

struct tutti {
    struct checkpoint checkpoint;
    struct primer primer;
};

int tutti_open(const char *path, struct tutti **out)
{
    struct tutti *model = calloc(1, sizeof *model);
    if (!model)
        return (int)status_fail(STATUS_FAILED, "%s: out of memory", path);
    enum status status = generator_load(path, false, &model->checkpoint);
    if (status == STATUS_OK)
        *out = model;
    else
        free(model);
    return (int)status;
}

void tutti_close(struct tutti *model)
{
    if (!model)
        return;
    primer_free(&model->primer);
    checkpoint_free(&model->checkpoint);
    free(model);
}

uint64_t tutti_parameters(const struct tutti *model)
{
    return model->checkpoint.params.total;
}

uint64_t tutti_vocabulary(const struct tutti *model)
{
    return model->checkpoint.encoding->vocabulary;
}

const char *tutti_encoding(const struct tutti *model)
{
    return model->checkpoint.encoding->name;
}

int64_t tutti_epoch(const struct tutti *model)
{
    return model->checkpoint.state.epoch;
}

uint64_t tutti_weights_hash(const struct tutti *model)
{
    return model->checkpoint.weights_hash;
}

void tutti_defaults(const struct tutti *model, struct tutti_settings *settings)
{
    struct sampler_settings configured = generator_settings(&model->checkpoint.options);
    *settings = (struct tutti_settings){
        .seconds = configured.seconds,
        .end = configured.end,
        .min_seconds = configured.min_seconds,
        .best_of = configured.best_of,
        .tempo = configured.tempo,
        .temperature = configured.temperature,
        .top_k = configured.top_k,
        .top_p = configured.top_p,
        .min_p = configured.min_p,
        .repetition_penalty = configured.repetition_penalty,
        .cache = configured.cache,
        .cache_context = configured.cache_context,
        .scale = model->checkpoint.options.sample.scale,
        .programs = model->checkpoint.options.sample.programs,
        .time_signature = model->checkpoint.options.sample.time_signature,
        .seed = configured.seed,
        .guard = configured.guard,
        .max_silence = configured.max_silence,
        .max_note_seconds = configured.max_note_seconds,
        .keep_primer = false,
    };
}

int tutti_prime(struct tutti *model, const char *path, double seconds)
{
    struct primer primer = {0};
    if (path && !(seconds >= 0 && isfinite(seconds)))
        return (int)status_fail(STATUS_MISUSE, "%s: %g s of primer (expected 0 or more)",
                                path, seconds);
    if (path && primer_read(&model->checkpoint, path, seconds, &primer) != STATUS_OK) {
        primer_free(&primer);
        return TUTTI_FAILED;
    }
    primer_free(&model->primer);
    model->primer = primer;
    return TUTTI_OK;
}

static bool read_request(const struct tutti_settings *settings,
                         struct music_request *request)
{
    const char *programs = settings->programs, *metre = settings->time_signature;
    return generator_request(metre ? metre : "any", programs ? programs : "all", request);
}

/* The first invalid setting of the length and the end of pieces; NULL: none. */
static const char *find_invalid_length(const struct tutti_settings *settings)
{
    if (settings->bars < 0 || settings->bars > SAMPLER_BARS_MAX)
        return "bars (expected 1 to 1000, or 0)";
    if (settings->bars == 0 && !(settings->seconds > 0 && isfinite(settings->seconds)))
        return "seconds (expected more than 0)";
    if (settings->end < 0 || settings->end >= ENDS)
        return "end (expected 0 to 2)";
    bool too_long = settings->bars == 0 && settings->min_seconds > settings->seconds;
    if (!(settings->min_seconds >= 0) || too_long)
        return "min_seconds (expected 0 to seconds)";
    return NULL;
}

/* Command-line settings are checked against the table of options; a program's settings
 * are checked here. */
static enum status check_settings(const struct tutti_settings *settings)
{
    const char *invalid = find_invalid_length(settings);
    uint16_t pitch_classes;
    struct music_request request;
    if (invalid)
        return status_fail(STATUS_MISUSE, "setting out of range: %s", invalid);
    if (settings->best_of < 1 || settings->best_of > SAMPLER_BEST_OF_MAX)
        invalid = "best_of (expected 1 to 100)";
    else if (settings->tempo != 0 && !(settings->tempo >= GENERATOR_BPM_MIN &&
                                       settings->tempo <= GENERATOR_BPM_MAX))
        invalid = "tempo (expected 4 to 1000, or 0)";
    else if (!(settings->temperature >= 0 && isfinite(settings->temperature)))
        invalid = "temperature (expected 0 or more)";
    else if (settings->top_k < 0)
        invalid = "top_k (expected 0 or more)";
    else if (!(settings->top_p > 0 && settings->top_p <= 1))
        invalid = "top_p (expected more than 0, 1 at most)";
    else if (!(settings->min_p >= 0 && settings->min_p <= 1))
        invalid = "min_p (expected 0 to 1)";
    else if (!(settings->repetition_penalty > 0 && settings->repetition_penalty <= 100))
        invalid = "repetition_penalty (expected more than 0, 100 at most)";
    else if (!(settings->cache >= 0 && settings->cache <= 1))
        invalid = "cache (expected 0 to 1)";
    else if (settings->cache > 0 && settings->cache_context < 1)
        invalid = "cache_context (expected 1 or more)";
    else if (settings->scale && !scale_parse(settings->scale, &pitch_classes))
        invalid = "scale (expected a tonic and a mode, such as D dorian)";
    else if (!read_request(settings, &request))
        invalid = "programs or time_signature (expected such as 0-7,drums and 3/4)";
    else if (settings->guard && !(settings->max_silence > 0))
        invalid = "max_silence (expected more than 0)";
    else if (settings->guard && !(settings->max_note_seconds > 0))
        invalid = "max_note_seconds (expected more than 0)";
    else if (settings->threads < 0 || settings->threads > TEAM_THREADS_MAX)
        invalid = "threads (expected 0 to 1024)";
    if (invalid)
        return status_fail(STATUS_MISUSE, "setting out of range: %s", invalid);
    return STATUS_OK;
}

static enum status export_notes(const struct notes *from, struct tutti_piece *to)
{
    to->notes = calloc(from->count + 1, sizeof *to->notes); /* never calloc(0) */
    if (!to->notes)
        return status_fail(STATUS_FAILED, "no memory for %zu notes", from->count);
    to->count = from->count;
    to->seconds = notes_duration(from);
    for (size_t i = 0; i < from->count; i++) {
        const struct note *note = &from->items[i];
        to->notes[i] = (struct tutti_note){
            .start = note->start,
            .duration = note->duration,
            .pitch = note->pitch,
            .velocity = note->velocity,
            .program = note->program,
            .channel = note->channel,
        };
    }
    return STATUS_OK;
}

static enum status sample_notes(const struct tutti *model,
                                const struct tutti_settings *settings, int count,
                                struct notes *sampled, enum sampler_outcome *outcomes)
{
    uint16_t pitch_classes = 0; /* all */
    struct music_request request = {0};
    if (settings->scale)
        scale_parse(settings->scale, &pitch_classes);
    read_request(settings, &request);
    const struct sampler_settings sampler = {
        .temperature = settings->temperature,
        .top_k = settings->top_k,
        .top_p = settings->top_p,
        .min_p = settings->min_p,
        .repetition_penalty = settings->repetition_penalty,
        .cache = settings->cache,
        .cache_context = settings->cache_context,
        .pitch_classes = pitch_classes,
        .seed = settings->seed,
        .seconds = settings->seconds,
        .bars = settings->bars,
        .request = request,
        .end = settings->end,
        .min_seconds = settings->min_seconds,
        .best_of = settings->best_of,
        .tempo = settings->tempo,
        .outcomes = outcomes,
        .guard = settings->guard != 0,
        .max_silence = settings->max_silence,
        .max_note_seconds = settings->max_note_seconds,
        .threads = team_threads(settings->threads),
    };
    return generator_run(&model->checkpoint, &sampler, &model->primer,
                         settings->keep_primer != 0, count, sampled);
}

int tutti_sample(struct tutti *model, const struct tutti_settings *settings, int count,
                 struct tutti_piece *pieces)
{
    if (count < 1 || count > TUTTI_PIECES_MAX)
        return (int)status_fail(STATUS_MISUSE, "%d pieces requested (expected 1 to %d)",
                                count, (int)TUTTI_PIECES_MAX);
    memset(pieces, 0, (size_t)count * sizeof *pieces);
    enum status status = check_settings(settings);
    if (status != STATUS_OK)
        return (int)status;
    struct notes *sampled = calloc((size_t)count, sizeof *sampled);
    enum sampler_outcome *outcomes = calloc((size_t)count, sizeof *outcomes);
    status = sampled && outcomes
                 ? sample_notes(model, settings, count, sampled, outcomes)
                 : status_fail(STATUS_FAILED, "no memory for %d pieces", count);
    for (int i = 0; i < count && sampled && outcomes; i++) {
        if (status == STATUS_OK)
            status = export_notes(&sampled[i], &pieces[i]);
        pieces[i].tempo = generator_tempo(settings->tempo, &model->primer);
        pieces[i].ended = outcomes[i] == SAMPLER_ENDED;
        notes_free(&sampled[i]);
    }
    free(sampled);
    free(outcomes);
    if (status != STATUS_OK)
        tutti_free_pieces(pieces, count);
    return (int)status;
}

void tutti_free_pieces(struct tutti_piece *pieces, int count)
{
    for (int i = 0; i < count; i++) {
        free(pieces[i].notes);
        pieces[i] = (struct tutti_piece){0};
    }
}

static bool note_in_range(const struct tutti_note *note)
{
    bool pitch_valid = note->pitch >= 0 && note->pitch <= 127 && note->velocity >= 1 &&
                       note->velocity <= 127;
    bool channel_valid = note->program >= 0 && note->program <= 127 &&
                         note->channel >= 0 && note->channel <= 15;
    bool time_valid = note->start >= 0 && note->start <= NOTE_SECONDS_MAX &&
                      note->duration >= 0 && note->duration <= NOTE_SECONDS_MAX;
    return pitch_valid && channel_valid && time_valid;
}

static enum status append_note(const struct tutti_note *note, struct notes *notes)
{
    if (!note_in_range(note))
        return status_fail(
            STATUS_MISUSE,
            "note %zu out of range: start %g, duration %g, pitch %d, velocity "
            "%d, program %d, channel %d",
            notes->count, note->start, note->duration, note->pitch, note->velocity,
            note->program, note->channel);
    const struct note converted = {
        .start = note->start,
        .duration = note->duration,
        .start_tick = (uint32_t)lrint(note->start * TICKS_PER_SECOND),
        .duration_ticks = (uint32_t)lrint(note->duration * TICKS_PER_SECOND),
        .pitch = (uint8_t)note->pitch,
        .velocity = (uint8_t)note->velocity,
        .program = (uint8_t)note->program,
        .channel = (uint8_t)note->channel,
        .percussion = note->channel == PERCUSSION_CHANNEL,
    };
    return notes_append(notes, &converted);
}

int tutti_write(const char *path, const struct tutti_piece *piece)
{
    struct notes notes = {.ticks_per_beat = TICKS_PER_SECOND / 2};
    enum status status = STATUS_OK;
    if (piece->tempo < 0 || piece->tempo > TEMPO_MAX)
        status = status_fail(STATUS_MISUSE,
                             "tempo %d microseconds per beat (expected 1 to %d, or 0 for "
                             "%d)",
                             piece->tempo, TEMPO_MAX, ENCODING_TEMPO);
    for (size_t i = 0; i < piece->count && status == STATUS_OK; i++)
        status = append_note(&piece->notes[i], &notes);
    notes_sort(&notes);
    if (status == STATUS_OK)
        status =
            generator_write(path, &notes, piece->tempo ? piece->tempo : ENCODING_TEMPO);
    notes_free(&notes);
    return (int)status;
}

const char *tutti_message(void)
{
    return status_message();
}
