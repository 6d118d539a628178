/* player: see the header. Each call creates and frees a model of one microbatch, `count`
 * rows and one step. Its cost is negligible compared to sampling, and no state remains
 * that could make a second call differ from the first. */
#include "player.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "data/piece.h"
#include "nn/model.h"
#include "train/run_listing.h"

enum { TICKS_PER_BEAT = ENCODING_TICKS_PER_BEAT };

/* Times closer than this are equal: sums of 10 ms steps are not exact. */
static const double SAME_TIME = 1e-6;

/* directory/name if that file exists, else NULL (also if out of memory). */
static char *existing(const char *directory, const char *name)
{
    char *path = path_join(directory, name);
    if (path && (!file_exists(path) || file_is_directory(path))) {
        free(path);
        return NULL;
    }
    return path;
}

/* True if the link at `path` points to `file` in its own folder. */
static bool leads_to(const char *path, const char *file)
{
    char target[256];
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    return strcmp(target, path_base(file)) == 0;
}

/* The newest or the best of a folder of checkpoints, under the name of its link if that
 * is correct; NULL if there is none. */
static char *find_kind(const char *directory, bool best)
{
    char *file = run_find_checkpoint(directory, best ? RUN_BEST : RUN_NEWEST);
    char *link = file ? path_join(directory, best ? "best" : "latest") : NULL;
    bool correct = link && leads_to(link, file);
    free(correct ? file : link);
    return correct ? link : file;
}

/* The preferred kind, else the other. Files named `best` and `latest` are accepted if
 * there is nothing else. */
static char *find_in(const char *directory, bool best)
{
    char *file = NULL;
    for (int i = 0; i < 2 && !file; i++, best = !best) {
        file = find_kind(directory, best);
        if (!file)
            file = existing(directory, best ? "best" : "latest");
    }
    return file;
}

char *player_follow(const char *path)
{
    bool best = strcmp(path_base(path), "best") == 0;
    if ((!best && strcmp(path_base(path), "latest") != 0) || file_exists(path))
        return NULL;
    char *directory = path_directory(path);
    char *file = directory ? find_kind(directory, best) : NULL;
    free(directory);
    return file;
}

static enum status find_in_run(const char *path, bool best, char **file)
{
    char *inner = path_join(path, "checkpoints");
    *file = inner ? find_in(inner, best) : NULL;
    free(inner);
    if (!*file)
        *file = find_in(path, best);
    if (*file)
        return STATUS_OK;
    return status_fail(
        STATUS_FAILED,
        "%s: a directory without a checkpoint (there is none in its folder checkpoints); "
        "give a checkpoint file, or the directory of a run that has finished an epoch",
        path);
}

enum status player_find(const char *path, const char *preferred, char **file)
{
    *file = NULL;
    if (file_is_stream(path))
        return status_fail(STATUS_MISUSE,
                           "%s: a checkpoint is an HDF5 file, which can't be read from "
                           "%s; give the name of the file",
                           path, path[0] == '-' ? "standard input" : "a pipe");
    *file = player_follow(path);
    if (*file)
        return STATUS_OK;
    if (!file_exists(path))
        return status_fail(STATUS_FAILED,
                           "%s: no such file; a checkpoint or a run's directory "
                           "was expected",
                           path);
    if (file_is_directory(path))
        return find_in_run(path, strcmp(preferred, "best") == 0, file);
    *file = strdup(path);
    return *file ? STATUS_OK : status_fail(STATUS_FAILED, "%s: out of memory", path);
}

enum status player_load(const char *path, struct checkpoint *checkpoint)
{
    char *file = NULL;
    enum status status = player_find(path, "best", &file);
    if (status == STATUS_OK)
        status = checkpoint_read(file, CHECKPOINT_TO_PREDICT, checkpoint);
    free(file);
    return status;
}

/* The number of tokens before `seconds` (0: all). Sets the time and the steps that they
 * cover. */
static size_t tokens_before(const struct encoding *encoding, double seconds,
                            struct player_primer *primer)
{
    size_t count = 0;
    for (; count < primer->tokens.count; count++) {
        double length = encoding->token_seconds(encoding, primer->tokens.items[count]);
        double next = primer->seconds + length;
        if (length > 0 && primer->step_seconds)
            next = primer->step_seconds[primer->steps + 1];
        if (seconds > 0 &&
            (primer->seconds >= seconds - SAME_TIME || next > seconds + SAME_TIME))
            break;
        primer->seconds = next;
        primer->steps += length > 0;
    }
    return count;
}

/* Encodes all of the file's notes. */
static enum status encode_file(const struct checkpoint *checkpoint, const char *path,
                               struct midi_file *midi, struct tokens *tokens)
{
    if (midi->outcome == MIDI_SKIPPED)
        return status_fail(STATUS_FAILED, "%s: can't be the primer: %s", path,
                           midi->reason);
    const struct encoding *encoding = checkpoint->encoding;
    enum status status = piece_shape(midi, encoding, &checkpoint->options, NULL);
    if (status == STATUS_OK)
        status = encoding->encode(encoding, &midi->notes, tokens);
    if (status != STATUS_OK || tokens->count == 0)
        return status_fail(STATUS_FAILED, "%s: can't be the primer: %s", path,
                           status == STATUS_OK ? piece_why_empty(&midi->notes)
                                               : status_message());
    return STATUS_OK;
}

/* For encodings whose steps are fractions of a beat: the time of every step of the
 * tokens, by the file's tempo. */
static enum status time_steps(const struct encoding *encoding,
                              const struct midi_file *midi, double first, double length,
                              struct player_primer *primer)
{
    size_t steps = 0;
    for (size_t i = 0; i < primer->tokens.count; i++)
        steps += encoding->token_seconds(encoding, primer->tokens.items[i]) > 0;
    primer->step_seconds = calloc(steps + 1, sizeof *primer->step_seconds);
    if (!primer->step_seconds)
        return status_fail(STATUS_FAILED, "no memory for a primer of %zu steps", steps);
    double start = midi_moment_at(midi, first).seconds;
    for (size_t i = 0; i <= steps; i++)
        primer->step_seconds[i] =
            midi_moment_at(midi, first + (double)i * length).seconds - start;
    return STATUS_OK;
}

/* Cuts the tokens of the entire file at `seconds`; finds the tempo there. */
static enum status cut_primer(const struct encoding *encoding,
                              const struct midi_file *midi, double seconds,
                              struct player_primer *primer)
{
    double first = 0, length = 0;
    enum status status = STATUS_OK;
    if (encoding->find_steps)
        status = encoding->find_steps(encoding, &midi->notes, &first, &length);
    if (status == STATUS_OK && encoding->find_steps)
        status = time_steps(encoding, midi, first, length, primer);
    if (status != STATUS_OK)
        return status;
    primer->tokens.count = tokens_before(encoding, seconds, primer);
    primer->tempo = PLAYER_TEMPO;
    if (!encoding->find_steps)
        return STATUS_OK;
    struct midi_moment end = midi_moment_at(midi, first + (double)primer->steps * length);
    primer->stretch = end.seconds_per_tick * length / encoding->seconds_per_step;
    if (end.tempo > 0)
        primer->tempo = end.tempo;
    return STATUS_OK;
}

static enum status read_file(const struct checkpoint *checkpoint, const char *path,
                             double seconds, struct player_primer *primer)
{
    static const struct midi_limits no_limits = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    uint64_t most = (uint64_t)checkpoint->options.data.max_bytes;
    enum status status = file_read_input(path, most, &bytes, &size);
    if (status != STATUS_OK)
        return status;
    struct midi_file midi = {0};
    status = midi_read(bytes, size, &no_limits, &midi);
    free(bytes);
    if (status == STATUS_OK)
        status = encode_file(checkpoint, path, &midi, &primer->tokens);
    if (status == STATUS_OK)
        status = cut_primer(checkpoint->encoding, &midi, seconds, primer);
    if (midi.outcome == MIDI_REPAIRED)
        memcpy(primer->repairs, midi.reason, sizeof primer->repairs);
    midi_free(&midi);
    return status;
}

enum status player_read_primer(const struct checkpoint *checkpoint, const char *path,
                               double seconds, struct player_primer *primer)
{
    enum status status = read_file(checkpoint, path, seconds, primer);
    if (status != STATUS_OK)
        return status;
    const struct encoding *encoding = checkpoint->encoding;
    if (encoding_count_notes(encoding, primer->tokens.items, primer->tokens.count) > 0)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: can't be the primer: its first step takes more than %g s",
                       path, seconds);
}

void player_primer_free(struct player_primer *primer)
{
    tokens_free(&primer->tokens);
    free(primer->step_seconds);
    memset(primer, 0, sizeof *primer);
}

struct sampler_settings player_settings(const struct options *options)
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

int player_tempo(const struct player_primer *primer)
{
    return primer && primer->tempo ? primer->tempo : PLAYER_TEMPO;
}

/* ---- the primer's tempo ---- */

/* Converts settings to the sampler's decoded seconds, in which a beat is half a second.
 */
static enum status set_decoded_time(const struct player_primer *primer,
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

/* The real time of a decoded time of a piece that begins with the primer. */
static double time_with_primer(const struct player_primer *primer, double step_length,
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

static void apply_tempo(const struct encoding *encoding,
                        const struct player_primer *primer, bool keep_primer,
                        struct notes *piece)
{
    for (size_t i = 0; i < piece->count; i++) {
        struct note *note = &piece->items[i];
        double start = note->start, end = note->start + note->duration;
        note->start = keep_primer
                          ? time_with_primer(primer, encoding->seconds_per_step, start)
                          : start * primer->stretch;
        end = keep_primer ? time_with_primer(primer, encoding->seconds_per_step, end)
                          : end * primer->stretch;
        note->duration = end - note->start;
    }
}

enum status player_generate(const struct checkpoint *checkpoint,
                            const struct sampler_settings *settings,
                            const struct player_primer *primer, bool keep_primer,
                            int count, struct notes *pieces)
{
    if (count < 1 || count > PLAYER_PIECES_MAX)
        return status_fail(STATUS_MISUSE, "%d pieces asked for (expected 1 to %d)", count,
                           (int)PLAYER_PIECES_MAX);
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

enum status player_write(const char *path, const struct notes *notes, int tempo)
{
    struct file_output output;
    enum status status = file_check_output(path, &output); /* before folders are made */
    if (status == STATUS_OK)
        status = make_folder(path);
    return status == STATUS_OK ? midi_write(path, notes, TICKS_PER_BEAT, tempo) : status;
}

enum status player_write_own(const char *path, const struct notes *notes, int tempo)
{
    enum status status = make_folder(path);
    return status == STATUS_OK ? midi_write_own(path, notes, TICKS_PER_BEAT, tempo)
                               : status;
}
