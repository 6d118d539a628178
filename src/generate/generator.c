/* generator: see the header. Each call creates and frees a model of one microbatch,
 * `count` rows and one step. The cost is negligible compared with sampling, and no state
 * remains that could affect the next call. */
#include "generator.h"

#include <math.h>
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

/* Measured on folk tunes and chorales (docs/usage.md). A pianoroll has more tokens for the
 * same music, as it lists the keys that sound in each step; remi has 4 to 5 tokens for a
 * note, where performance has 3. */
static int64_t choose_cache_context(const struct options *options)
{
    static const int contexts[] = {
        [ENCODING_PERFORMANCE] = 6, [ENCODING_PIANOROLL] = 16, [ENCODING_REMI] = 16};
    if (options->sample.cache_context > 0)
        return options->sample.cache_context;
    return contexts[options->data.encoding];
}

bool generator_request(const char *time_signature, const char *programs,
                       struct music_request *request)
{
    *request = (struct music_request){0};
    if (!time_signature_parse(time_signature, &request->metre) ||
        !program_set_parse(programs, &request->programs))
        return false;
    request->restricts_programs = strcmp(programs, "all") != 0;
    return true;
}

struct sampler_settings generator_settings(const struct options *options)
{
    uint16_t pitch_classes = 0;
    struct music_request request = {0};
    scale_parse(options->sample.scale, &pitch_classes);
    generator_request(options->sample.time_signature, options->sample.programs, &request);
    return (struct sampler_settings){
        .temperature = options->sample.temperature,
        .top_k = options->sample.top_k,
        .top_p = options->sample.top_p,
        .min_p = options->sample.min_p,
        .repetition_penalty = options->sample.repetition_penalty,
        .cache = options->sample.cache,
        .cache_context = choose_cache_context(options),
        .pitch_classes = pitch_classes,
        .seed = options->sample.seed,
        .seconds = options->run.sample_seconds,
        .guard = options->sample.guard,
        .max_silence = options->sample.max_silence,
        .max_note_seconds = options->sample.max_note_seconds,
        .end = options->sample.end,
        .min_seconds = options->sample.min_seconds,
        .best_of = (int)options->sample.best_of,
        .tempo = options->sample.tempo,
        .request = request,
        .threads = 1,
    };
}

int generator_tempo(double tempo, const struct primer *primer)
{
    if (tempo > 0)
        return (int)lround(6e7 / tempo);
    return primer && primer->tempo ? primer->tempo : ENCODING_TEMPO;
}

/* ---- tempo ---- */

/* Converts settings to the sampler's decoded seconds, in which a beat is half a second.
 */
static enum status scale_to_decoded_time(double ratio, int tempo,
                                         struct sampler_settings *settings)
{
    double requested = settings->seconds, longest = SAMPLER_SECONDS_MAX * ratio;
    settings->seconds /= ratio;
    settings->min_seconds /= ratio;
    settings->max_silence /= ratio;
    settings->max_note_seconds /= ratio;
    if (requested <= SAMPLER_SECONDS_MAX && requested > longest)
        return status_fail(STATUS_MISUSE,
                           "%g seconds requested (expected at most %g at the "
                           "tempo of %.0f beats per minute)",
                           requested, longest, 6e7 / tempo);
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

/* Converts decoded times at one tempo. */
static void scale_time(double ratio, struct notes *piece)
{
    for (size_t i = 0; i < piece->count; i++) {
        piece->items[i].start *= ratio;
        piece->items[i].duration *= ratio;
    }
}

/* Sets the ticks of notes that keep their seconds. */
static void scale_ticks(double ratio, struct notes *piece)
{
    for (size_t i = 0; i < piece->count; i++) {
        struct note *note = &piece->items[i];
        double start = note->start_tick, end = start + note->duration_ticks;
        note->start_tick = (uint32_t)llround(start / ratio);
        uint32_t end_tick = (uint32_t)llround(end / ratio);
        note->duration_ticks =
            end_tick > note->start_tick ? end_tick - note->start_tick : 1;
    }
}

/* Bars and the ticks in them are at one tempo, that of the continuation. */
static void apply_primer_tempo(const struct encoding *encoding,
                               const struct primer *primer, bool keep_primer,
                               struct notes *piece)
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

static void apply_tempo(const struct checkpoint *checkpoint,
                        const struct sampler_settings *settings,
                        const struct primer *primer, bool keep_primer,
                        struct notes *piece)
{
    double ratio = (double)generator_tempo(settings->tempo, primer) / ENCODING_TEMPO;
    if (settings->tempo > 0 && checkpoint->encoding->find_grid_steps)
        scale_time(ratio, piece);
    else if (settings->tempo > 0 && !checkpoint->encoding->has_tempos)
        scale_ticks(ratio, piece);
    else if (primer && primer->step_seconds)
        apply_primer_tempo(checkpoint->encoding, primer, keep_primer, piece);
}

/* Real seconds per decoded second of what is generated. */
static double tempo_ratio(const struct checkpoint *checkpoint,
                          const struct sampler_settings *settings,
                          const struct primer *primer)
{
    if (!checkpoint->encoding->find_grid_steps)
        return 1;
    if (settings->tempo > 0)
        return (double)generator_tempo(settings->tempo, primer) / ENCODING_TEMPO;
    return primer && primer->step_seconds ? primer->tempo_ratio : 1;
}

/* ---- length in bars ---- */

/* The sampler counts the bars of an encoding that has them, and `seconds` limits its work:
 * it is the length of the longest bars, 12/4, at the slowest TEMPO, 40. Other encodings
 * have bars of the requested time signature, by default 4/4, at the tempo of the piece. */
static void find_length(const struct checkpoint *checkpoint, const struct primer *primer,
                        double ratio, struct sampler_settings *settings)
{
    const double longest_bar = 12 * 60 / 40.0;
    struct metre metre = settings->request.metre;
    double quarters = metre.numerator
                          ? 4.0 * metre.numerator / (1 << metre.denominator_log2)
                          : DEFAULT_NUMERATOR;
    if (settings->bars <= 0)
        return;
    if (checkpoint->encoding->has_bars) {
        settings->seconds = (double)settings->bars * longest_bar * ratio;
        return;
    }
    settings->seconds = (double)settings->bars * quarters *
                        generator_tempo(settings->tempo, primer) / 1e6;
    settings->bars = 0;
}

/* What is requested and has no tokens: the program of merged instruments, and the time
 * signature of music without bars. */
static enum status apply_request(const struct encoding *encoding,
                                 const struct music_request *request, struct notes *piece)
{
    struct metre metre = request->metre;
    int program = request_merged_program(encoding, request);
    for (size_t i = 0; i < piece->count && program >= 0; i++)
        if (!piece->items[i].percussion)
            piece->items[i].program = (uint8_t)program;
    if (metre.numerator == 0 || encoding->has_bars)
        return STATUS_OK;
    return notes_set_signature(piece, 0, metre.numerator, metre.denominator_log2);
}

static enum status check_request(const struct sampler_settings *settings, int count)
{
    if (count < 1 || count > GENERATOR_PIECES_MAX)
        return status_fail(STATUS_MISUSE, "%d pieces requested (expected 1 to %d)", count,
                           (int)GENERATOR_PIECES_MAX);
    if (settings->best_of > GENERATOR_PIECES_MAX / count)
        return status_fail(STATUS_MISUSE,
                           "the best of %d for %d pieces requested (expected at most %d "
                           "in all)",
                           settings->best_of, count, (int)GENERATOR_PIECES_MAX);
    if (settings->tempo != 0 &&
        !(settings->tempo >= GENERATOR_BPM_MIN && settings->tempo <= GENERATOR_BPM_MAX))
        return status_fail(
            STATUS_MISUSE, "tempo %g (expected %d to %d beats per minute, or 0)",
            settings->tempo, (int)GENERATOR_BPM_MIN, (int)GENERATOR_BPM_MAX);
    if (settings->bars == 0 && settings->min_seconds > settings->seconds)
        return status_fail(STATUS_MISUSE,
                           "min_seconds %g (expected 0 to the length of %g s)",
                           settings->min_seconds, settings->seconds);
    if (settings->bars < 0 || settings->bars > SAMPLER_BARS_MAX)
        return status_fail(STATUS_MISUSE, "%lld bars requested (expected 1 to %d)",
                           (long long)settings->bars, (int)SAMPLER_BARS_MAX);
    return STATUS_OK;
}

enum status generator_run(const struct checkpoint *checkpoint,
                          const struct sampler_settings *settings,
                          const struct primer *primer, bool keep_primer, int count,
                          struct notes *pieces)
{
    enum status status = check_request(settings, count);
    struct sampler_settings decoded = *settings;
    int tempo = generator_tempo(settings->tempo, primer);
    double ratio = tempo_ratio(checkpoint, settings, primer);
    if (settings->tempo > 0 && checkpoint->encoding->has_tempos)
        decoded.request.tempo = (uint32_t)tempo;
    find_length(checkpoint, primer, ratio, &decoded);
    if (status == STATUS_OK)
        status = scale_to_decoded_time(ratio, tempo, &decoded);
    if (status != STATUS_OK)
        return status;
    struct model *model = NULL;
    int rows = sampler_rows(settings, count);
    const struct model_plan plan = {
        .microbatches = 1,
        .rows = rows,
        .steps = 1,
        .backend = &matmul_float32,
        .threads = generator_threads(settings->threads, checkpoint->params.total, rows)};
    status = checkpoint_model(checkpoint, &plan, &model);
    if (status != STATUS_OK)
        return status;
    const struct sampler_batch batch = {.count = count,
                                        .primer = primer ? primer->tokens.items : NULL,
                                        .primer_count = primer ? primer->tokens.count : 0,
                                        .keep_primer = keep_primer};
    status = sampler_run(model, checkpoint->encoding, &decoded, &batch, pieces);
    for (int i = 0; status == STATUS_OK && i < count; i++) {
        apply_tempo(checkpoint, settings, primer, keep_primer, &pieces[i]);
        status = apply_request(checkpoint->encoding, &settings->request, &pieces[i]);
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
