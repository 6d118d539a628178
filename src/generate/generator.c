/* generator: see the header. Each call creates and frees a model of one microbatch,
 * `count` rows and one step. The cost is negligible compared with sampling, and no state
 * remains that could affect the next call. */
#include "generator.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "nn/model.h"
#include "train/checkpoint_path.h"

enum status generator_load(const char *path, struct checkpoint *checkpoint)
{
    char *file = NULL;
    enum status status = checkpoint_path_resolve(path, "best", &file);
    if (status == STATUS_OK)
        status = checkpoint_read(file, CHECKPOINT_TO_PREDICT, checkpoint);
    free(file);
    return status;
}

struct sampler_settings generator_settings(const struct options *options)
{
    return (struct sampler_settings){
        .temperature = options->sample.temperature,
        .top_k = options->sample.top_k,
        .top_p = options->sample.top_p,
        .seed = options->sample.seed,
        .seconds = options->run.sample_seconds,
        .guard = options->sample.guard,
        .max_silence = options->sample.max_silence,
    };
}

int generator_tempo(const struct primer *primer)
{
    return primer && primer->tempo ? primer->tempo : ENCODING_TEMPO;
}

/* ---- the primer's tempo ---- */

/* Converts settings to the sampler's decoded seconds, in which a beat is half a second.
 */
static enum status set_decoded_time(const struct primer *primer,
                                    struct sampler_settings *settings)
{
    double asked = settings->seconds, longest = SAMPLER_SECONDS_MAX * primer->stretch;
    settings->seconds /= primer->stretch;
    settings->max_silence /= primer->stretch;
    if (asked <= SAMPLER_SECONDS_MAX && asked > longest)
        return status_fail(STATUS_MISUSE,
                           "%g seconds asked for (expected at most %g at the primer's "
                           "tempo of %.0f beats a minute)",
                           asked, longest, 6e7 / primer->tempo);
    return STATUS_OK;
}

/* Converts a decoded time of a piece that begins with the primer to real time. */
static double time_with_primer(const struct primer *primer, double step_length,
                               double time)
{
    const double *begins = primer->step_seconds;
    double step = time / step_length;
    size_t whole = (size_t)step;
    if (whole >= primer->steps)
        return begins[primer->steps] +
               (step - (double)primer->steps) * step_length * primer->stretch;
    return begins[whole] + (step - (double)whole) * (begins[whole + 1] - begins[whole]);
}

static void apply_tempo(const struct encoding *encoding, const struct primer *primer,
                        bool keep_primer, struct notes *piece)
{
    for (size_t i = 0; i < piece->count; i++) {
        struct note *note = &piece->items[i];
        double start = note->start, end = note->start + note->duration;
        note->start =
            keep_primer ? time_with_primer(primer, encoding->seconds_per_grid_step, start)
                        : start * primer->stretch;
        end = keep_primer ? time_with_primer(primer, encoding->seconds_per_grid_step, end)
                          : end * primer->stretch;
        note->duration = end - note->start;
    }
}

enum status generator_run(const struct checkpoint *checkpoint,
                          const struct sampler_settings *settings,
                          const struct primer *primer, bool keep_primer, int count,
                          struct notes *pieces)
{
    if (count < 1 || count > GENERATOR_PIECES_MAX)
        return status_fail(STATUS_MISUSE, "%d pieces asked for (expected 1 to %d)", count,
                           (int)GENERATOR_PIECES_MAX);
    struct sampler_settings asked = *settings;
    bool has_tempo = primer && primer->step_seconds;
    enum status status = has_tempo ? set_decoded_time(primer, &asked) : STATUS_OK;
    struct model *model = NULL;
    if (status == STATUS_OK)
        status = checkpoint_model(checkpoint, &matmul_float32, 1, count, 1, &model);
    if (status != STATUS_OK)
        return status;
    const struct sampler_batch batch = {.count = count,
                                        .primer = primer ? primer->tokens.items : NULL,
                                        .primer_count = primer ? primer->tokens.count : 0,
                                        .keep_primer = keep_primer};
    status = sampler_run(model, checkpoint->encoding, &asked, &batch, pieces);
    for (int i = 0; has_tempo && status == STATUS_OK && i < count; i++)
        apply_tempo(checkpoint->encoding, primer, keep_primer, &pieces[i]);
    model_free(model);
    return status;
}

static enum status make_folder(const char *path)
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
        status = make_folder(path);
    return status == STATUS_OK ? midi_write(path, notes, ENCODING_TICKS_PER_BEAT, tempo)
                               : status;
}

enum status generator_write_own(const char *path, const struct notes *notes, int tempo)
{
    enum status status = make_folder(path);
    return status == STATUS_OK
               ? midi_write_nofollow(path, notes, ENCODING_TICKS_PER_BEAT, tempo)
               : status;
}
