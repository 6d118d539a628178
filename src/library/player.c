/* player: see the header. A piece costs a model of one slice, `count` rows and one step,
 * made and freed by each call: beside the sampling that is nothing, and no state is left
 * behind that could make a second call differ from the first. */
#include "tutti/player.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tutti/file.h"
#include "tutti/model.h"
#include "tutti/trainer.h"

/* Of the files written: 960 ticks a second, which every fraction of a beat in use
 * divides. */
enum { TICKS_PER_BEAT = 480, TEMPO = 500000 };

/* Two points in time closer than this are one: sums of 10 ms steps are not exact. */
static const double SAME_TIME = 1e-6;

/* directory/name if such a file is there, else NULL (also without memory). */
static char *existing(const char *directory, const char *name)
{
    char *path = path_join(directory, name);
    if (path && (!file_exists(path) || file_is_directory(path))) {
        free(path);
        return NULL;
    }
    return path;
}

/* Does the link at `path` lead to the file of the folder that it is in? */
static bool leads_to(const char *path, const char *file)
{
    char target[256];
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    return strcmp(target, path_base(file)) == 0;
}

/* The newest or the best of a folder of checkpoints, under the name of its link where
 * that is right; NULL if there is none. */
static char *find_kind(const char *directory, bool best)
{
    char *file = train_find_checkpoint(directory, best ? TRAIN_BEST : TRAIN_NEWEST);
    char *link = file ? path_join(directory, best ? "best" : "latest") : NULL;
    bool right = link && leads_to(link, file);
    free(right ? file : link);
    return right ? link : file;
}

/* The preferred kind, or else the other. The names `best` and `latest` themselves count
 * where nothing else is there. */
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
    if ((!best && strcmp(path_base(path), "latest") != 0) || file_is_directory(path))
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
        status = checkpoint_read(file, 0, checkpoint);
    free(file);
    return status;
}

/* How many of the tokens happen before `seconds`; *covered is the time they take. */
static size_t tokens_before(const struct encoding *encoding, const struct tokens *tokens,
                            double seconds, double *covered)
{
    size_t count = 0;
    *covered = 0;
    for (; count < tokens->count; count++) {
        double next = *covered + encoding->token_seconds(encoding, tokens->items[count]);
        if (seconds > 0 &&
            (*covered >= seconds - SAME_TIME || next > seconds + SAME_TIME))
            break;
        *covered = next;
    }
    return count;
}

/* The file's notes as tokens, all of them. */
static enum status encode_file(const struct checkpoint *checkpoint, const char *path,
                               struct midi_file *midi, struct tokens *tokens)
{
    if (midi->outcome == MIDI_SKIPPED)
        return status_fail(STATUS_FAILED, "%s: can't be the primer: %s", path,
                           midi->reason);
    if (checkpoint->options.data.pedal == PEDAL_EXTEND &&
        midi_apply_pedal(midi) != STATUS_OK)
        return status_fail(STATUS_FAILED, "%s: %s", path, status_message());
    const struct encoding *encoding = checkpoint->encoding;
    enum status status = encoding->encode(encoding, &midi->notes, tokens);
    if (status != STATUS_OK)
        return status_fail(status, "%s: can't be the primer: %s", path, status_message());
    return STATUS_OK;
}

static enum status read_tokens(const struct checkpoint *checkpoint, const char *path,
                               struct player_primer *primer)
{
    static const struct midi_limits no_limits = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    uint64_t most = (uint64_t)checkpoint->options.data.max_bytes;
    enum status status = file_read(path, most, &bytes, &size);
    if (status != STATUS_OK)
        return status;
    struct midi_file midi = {0};
    status = midi_read(bytes, size, &no_limits, &midi);
    free(bytes);
    if (status == STATUS_OK)
        status = encode_file(checkpoint, path, &midi, &primer->tokens);
    if (midi.outcome == MIDI_REPAIRED)
        memcpy(primer->repairs, midi.reason, sizeof primer->repairs);
    midi_free(&midi);
    return status;
}

enum status player_read_primer(const struct checkpoint *checkpoint, const char *path,
                               double seconds, struct player_primer *primer)
{
    enum status status = read_tokens(checkpoint, path, primer);
    if (status != STATUS_OK)
        return status;
    const struct encoding *encoding = checkpoint->encoding;
    primer->tokens.count =
        tokens_before(encoding, &primer->tokens, seconds, &primer->seconds);
    if (encoding_count_notes(encoding, primer->tokens.items, primer->tokens.count) > 0)
        return STATUS_OK;
    if (seconds > 0)
        return status_fail(
            STATUS_FAILED,
            "%s: can't be the primer: no note begins in its first %g s that "
            "the encoding %s can say",
            path, seconds, encoding->name);
    return status_fail(
        STATUS_FAILED,
        "%s: can't be the primer: it has no note that the encoding %s can say", path,
        encoding->name);
}

void player_primer_free(struct player_primer *primer)
{
    tokens_free(&primer->tokens);
    memset(primer, 0, sizeof *primer);
}

struct sampler_settings player_settings(const struct options *options)
{
    return (struct sampler_settings){
        .temperature = options->sample.temperature,
        .top_k = options->sample.top_k,
        .top_p = options->sample.top_p,
        .seed = (uint64_t)options->sample.seed,
        .seconds = options->run.sample_seconds,
        .guard = options->sample.guard,
        .max_silence = options->sample.max_silence,
    };
}

enum status player_play(const struct checkpoint *checkpoint,
                        const struct sampler_settings *settings,
                        const struct player_primer *primer, int keep_primer, int count,
                        struct notes *pieces)
{
    if (count < 1 || count > PLAYER_PIECES_MAX)
        return status_fail(STATUS_MISUSE, "%d pieces asked for (expected 1 to %d)", count,
                           (int)PLAYER_PIECES_MAX);
    struct model *model = NULL;
    enum status status = checkpoint_model(checkpoint, 1, count, 1, &model);
    if (status != STATUS_OK)
        return status;
    status = sampler_run(model, checkpoint->encoding, settings,
                         primer ? primer->tokens.items : NULL,
                         primer ? primer->tokens.count : 0, keep_primer, count, pieces);
    model_free(model);
    return status;
}

enum status player_write(const char *path, const struct notes *notes)
{
    if (file_is_directory(path))
        return status_fail(STATUS_FAILED,
                           "%s: a directory; the name of a MIDI file was "
                           "expected",
                           path);
    char *directory = path_directory(path);
    if (!directory)
        return status_fail(STATUS_FAILED, "%s: out of memory", path);
    enum status status = file_make_directories(directory);
    free(directory);
    return status == STATUS_OK ? midi_write(path, notes, TICKS_PER_BEAT, TEMPO) : status;
}
