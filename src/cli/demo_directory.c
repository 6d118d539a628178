/* demo_directory: the folder of a demo. Files of an earlier demo are deleted by their
 * exact names. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "demo.h"
#include "base/file.h"
#include "base/options.h"
#include "train/run_names.h"

/* Tuned on this corpus. A GRU needs a third as many steps as an LSTM. */
static const char settings_format[] =
    "# Made by `tutti demo`: a small GRU for the composed corpus.\n"
    "[data]\n"
    "dataset = %s/dataset\n"
    "encoding = " DEMO_ENCODING "\n"
    "grid = " DEMO_GRID "\n"
    "\n"
    "[model]\n"
    "cell = gru\n"
    "layers = 1\n"
    "hidden = 128\n"
    "embedding = 32\n"
    "dropout = 0\n"
    "\n"
    "[train]\n"
    "epochs = %lld\n"
    "batch = 32\n"
    "microbatches = %d\n"
    "sequence_length = 64\n"
    "learning_rate = 0.015\n"
    "warmup_steps = 50\n"
    "final_lr_ratio = 0.01\n"
    "\n"
    "[run]\n"
    "dir = %s/run\n"
    "checkpoint_every = 5\n"
    "sample_seconds = 20\n"
    "samples = 1\n";

char *demo_path(const struct demo *demo, const char *name)
{
    return path_join(demo->directory, name);
}

static const char owner[] = "demo", marker_name[] = ".tutti-demo";

/* Time to wait for an earlier demo, or the children of a killed one, to exit. */
static const double LOCK_SECONDS = 20;

/* An upper bound: a piece has about 2000 tokens, and a step consumes 64 tokens per row.
 */
enum { STEPS_PER_PIECE = 64 };

/* Every file of a demo; syntax as in base/owned_directory.h. */
static const char names_format[] =
    "demo.txt\nsplit.tsv\ntrain.conf\nevaluation.json\nmusic-{1..3}.mid\n"
    "corpus/\ncorpus/piece-{0001..%04lld}.mid\n"
    "dataset/\ndataset/index.h5\ndataset/shard-{0000..0063}.h5\n"
    "dataset.partial/\ndataset.partial/UNFINISHED\ndataset.partial/index.h5\n"
    "dataset.partial/shard-{0000..0063}.h5\ndataset.partial/spill-{0..%d}\n"
    "run/\nrun/" RUN_MARKER "\nrun/lock\nrun/settings.conf\nrun/metrics.jsonl\n"
    "run/root-cause.txt\n"
    "run/checkpoints/\nrun/checkpoints/latest@\nrun/checkpoints/best@\n"
    "run/checkpoints/epoch-{0001..%04lld}.h5\n"
    "run/samples/\nrun/samples/epoch-{0001..%04lld}-1.mid\n"
    "run/samples/epoch/\nrun/samples/epoch/epoch-{0001..%04lld}-1.mid\n";

/* Checkpoints within an epoch, left by a training run that was stopped. */
static const char step_names_format[] = "run/checkpoints/step-{00000001..%08lld}.h5\n";

/* The list; the caller frees it. */
static char *demo_names(const struct demo *demo, bool trained)
{
    long long steps = (long long)(demo->epochs * demo->pieces * STEPS_PER_PIECE);
    char *step_names = trained ? strdup("") : path_format(step_names_format, steps);
    char *names = path_format(names_format, (long long)demo->pieces,
                              DEMO_MICROBATCHES - 1, (long long)demo->epochs,
                              (long long)demo->epochs, (long long)demo->epochs);
    char *list = names && step_names ? path_format("%s%s", names, step_names) : NULL;
    free(names);
    free(step_names);
    return list;
}

/* The text of train.conf; the caller frees it. */
static char *settings_text(const struct demo *demo)
{
    return path_format(settings_format, demo->directory, (long long)demo->epochs,
                       DEMO_MICROBATCHES, demo->directory);
}

/* True if train.conf and split.tsv can represent the directory's name. */
static bool is_representable(const struct demo *demo)
{
    static struct options options;
    char *text = settings_text(demo), *dataset = demo_path(demo, "dataset");
    options_defaults(&options);
    bool representable = text && dataset && demo->directory[0] != '~' &&
                         !strpbrk(demo->directory, "\t\r\n") &&
                         options_read_text(&options, text, "train.conf") == STATUS_OK &&
                         strcmp(options.data.dataset, dataset) == 0;
    free(text);
    free(dataset);
    return representable;
}

/* Rejects names such as "new/.", for which folders would be created and left behind. */
static enum status check_name(const struct demo *demo)
{
    if (strcmp(demo->directory, "-") == 0)
        return status_fail(STATUS_MISUSE, "-o -: a demo is a folder and can't go to "
                                          "standard output; give a name, for example "
                                          "-o runs/demo");
    if (path_names_no_entry(demo->directory) && !file_exists(demo->directory))
        return status_fail(
            STATUS_MISUSE,
            "%s: no folder of this name can be made (expected a name such as "
            "runs/demo)",
            demo->directory);
    if (!is_representable(demo))
        return status_fail(STATUS_MISUSE,
                           "%s: can't be written in a configuration, so it can't be the "
                           "name of a demo's folder (expected a name such as runs/demo)",
                           demo->directory);
    return STATUS_OK;
}

enum status demo_prepare_directory(struct demo *demo)
{
    char *names = demo_names(demo, false);
    if (!names)
        return status_fail(STATUS_FAILED, "demo: out of memory");
    enum status status = check_name(demo);
    if (!status && !file_exists(demo->directory))
        status = file_make_directories(demo->directory);
    if (!status)
        status =
            owned_directory_open(demo->directory, true, owner, marker_name, &demo->owned);
    if (!status)
        status = owned_directory_claim(&demo->owned, names, LOCK_SECONDS, true);
    free(names);
    return status;
}

enum status demo_mark_trained(struct demo *demo)
{
    char *names = demo_names(demo, true);
    enum status status = names ? owned_directory_write_manifest(&demo->owned, names)
                               : status_fail(STATUS_FAILED, "demo: out of memory");
    free(names);
    return status;
}

enum status demo_write_settings(const struct demo *demo)
{
    char *path = demo_path(demo, "train.conf");
    char *text = settings_text(demo);
    enum status status = path && text ? file_write_nofollow(path, text, strlen(text))
                                      : status_fail(STATUS_FAILED, "demo: out of memory");
    free(path);
    free(text);
    return status;
}
