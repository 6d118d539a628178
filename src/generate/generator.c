/* generator: see the header. Each call creates and frees a model of one microbatch,
 * `count` rows and one step. The cost is negligible compared with sampling, and no state
 * remains that could affect the next call. */
#include "generator.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/scale.h"
#include "midi/instruments.h"
#include "nn/model.h"
#include "train/checkpoint_path.h"

enum status generator_load(const char *path, bool average, struct checkpoint *checkpoint)
{
    char *file = NULL;
    enum status status = checkpoint_path_resolve(path, "best", &file);
    if (status == STATUS_OK)
        status = checkpoint_read(
            file, average ? CHECKPOINT_TO_PREDICT_AVERAGE : CHECKPOINT_TO_PREDICT,
            checkpoint);
    free(file);
    return status;
}

struct sampler_settings generator_settings(const struct options *options)
{
    uint16_t pitch_classes = 0;
    scale_parse(options->sample.scale, &pitch_classes);
    return (struct sampler_settings){
        .temperature = options->sample.temperature,
        .top_k = options->sample.top_k,
        .top_p = options->sample.top_p,
        .min_p = options->sample.min_p,
        .repetition_penalty = options->sample.repetition_penalty,
        .cache = options->sample.cache,
        .cache_context = options->sample.cache_context,
        .pitch_classes = pitch_classes,
        .seed = options->sample.seed,
        .seconds = options->run.sample_seconds,
        .guard = options->sample.guard,
        .max_silence = options->sample.max_silence,
        .max_note_seconds = options->sample.max_note_seconds,
        .end = options->sample.end,
        .threads = 1,
    };
}

int generator_tempo(const struct primer *primer)
{
    return primer && primer->tempo ? primer->tempo : ENCODING_TEMPO;
}

/* ---- the primer's tempo ---- */

/* Converts settings to the sampler's decoded seconds, in which a beat is half a second.
 */
static enum status scale_to_decoded_time(const struct primer *primer,
                                         struct sampler_settings *settings)
{
    double requested = settings->seconds,
           longest = SAMPLER_SECONDS_MAX * primer->tempo_ratio;
    settings->seconds /= primer->tempo_ratio;
    settings->max_silence /= primer->tempo_ratio;
    settings->max_note_seconds /= primer->tempo_ratio;
    if (requested <= SAMPLER_SECONDS_MAX && requested > longest)
        return status_fail(STATUS_MISUSE,
                           "%g seconds requested (expected at most %g at the primer's "
                           "tempo of %.0f beats per minute)",
                           requested, longest, 6e7 / primer->tempo);
    return STATUS_OK;
}

/* Converts a decoded time of a piece that begins with the primer to real time. */
static double real_time_with_primer(const struct primer *primer, double step_length,
                                    double time)
{
    const double *step_seconds = primer->step_seconds;
    double step = time / step_length;
    size_t index = (size_t)step;
    if (index >= primer->steps)
        return step_seconds[primer->steps] +
               (step - (double)primer->steps) * step_length * primer->tempo_ratio;
    return step_seconds[index] +
           (step - (double)index) * (step_seconds[index + 1] - step_seconds[index]);
}

/* Bars and the ticks in them are at one tempo, that of the continuation. */
static void apply_tempo(const struct encoding *encoding, const struct primer *primer,
                        bool keep_primer, struct notes *piece)
{
    bool follows_primer = keep_primer && !encoding->has_bars;
    for (size_t i = 0; i < piece->count; i++) {
        struct note *note = &piece->items[i];
        double start = note->start, end = note->start + note->duration;
        note->start =
            follows_primer
                ? real_time_with_primer(primer, encoding->seconds_per_grid_step, start)
                : start * primer->tempo_ratio;
        end = follows_primer
                  ? real_time_with_primer(primer, encoding->seconds_per_grid_step, end)
                  : end * primer->tempo_ratio;
        note->duration = end - note->start;
    }
}

int generator_threads(int threads, size_t weights, int count)
{
    enum { WEIGHTS_PER_THREAD = 1 << 18 };
    size_t useful = weights * (size_t)count / WEIGHTS_PER_THREAD;
    if (useful >= (size_t)threads)
        return threads;
    return useful > 1 ? (int)useful : 1;
}

enum status generator_run(const struct checkpoint *checkpoint,
                          const struct sampler_settings *settings,
                          const struct primer *primer, bool keep_primer, int count,
                          struct notes *pieces)
{
    if (count < 1 || count > GENERATOR_PIECES_MAX)
        return status_fail(STATUS_MISUSE, "%d pieces requested (expected 1 to %d)", count,
                           (int)GENERATOR_PIECES_MAX);
    struct sampler_settings decoded = *settings;
    bool has_tempo = primer && primer->step_seconds;
    enum status status = has_tempo ? scale_to_decoded_time(primer, &decoded) : STATUS_OK;
    struct model *model = NULL;
    const struct model_plan plan = {
        .microbatches = 1,
        .rows = count,
        .steps = 1,
        .backend = &matmul_float32,
        .threads = generator_threads(settings->threads, checkpoint->params.total, count)};
    if (status == STATUS_OK)
        status = checkpoint_model(checkpoint, &plan, &model);
    if (status != STATUS_OK)
        return status;
    const struct sampler_batch batch = {.count = count,
                                        .primer = primer ? primer->tokens.items : NULL,
                                        .primer_count = primer ? primer->tokens.count : 0,
                                        .keep_primer = keep_primer};
    status = sampler_run(model, checkpoint->encoding, &decoded, &batch, pieces);
    for (int i = 0; status == STATUS_OK && i < count; i++) {
        if (has_tempo)
            apply_tempo(checkpoint->encoding, primer, keep_primer, &pieces[i]);
        instruments_assign_channels(&pieces[i]);
    }
    model_free(model);
    return status;
}

static enum status create_parent_directory(const char *path)
{
    char *directory = path_directory(path);
    enum status status = directory
                             ? file_make_directories(directory)
                             : status_fail(STATUS_FAILED, "%s: out of memory", path);
    free(directory);
    return status;
}

enum status generator_write(const char *path, const struct notes *notes, int tempo)
{
    struct file_output output;
    enum status status = file_check_output(path, &output); /* before creating folders */
    if (status == STATUS_OK)
        status = create_parent_directory(path);
    return status == STATUS_OK ? midi_write(path, notes, ENCODING_TICKS_PER_BEAT, tempo)
                               : status;
}

enum status generator_write_nofollow(const char *path, const struct notes *notes,
                                     int tempo)
{
    enum status status = create_parent_directory(path);
    return status == STATUS_OK
               ? midi_write_nofollow(path, notes, ENCODING_TICKS_PER_BEAT, tempo)
               : status;
}
