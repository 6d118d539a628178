/* checkpoint: operations on a checkpoint in memory. */
#include "checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/bpe.h"
#include "nn/cell.h"

size_t checkpoint_hidden_size(const struct model_shape *shape, size_t rows_of_microbatch)
{
    size_t states = (size_t)cell_of(shape->cell)->state_count;
    return (size_t)shape->layers * states * rows_of_microbatch * (size_t)shape->hidden;
}

/* "performance (389 tokens)", "pianoroll 1/4 (122 tokens, of them 32 merged)". */
static const char *describe(const struct encoding *encoding, char *text, size_t size)
{
    char grid[32] = "";
    if (encoding->grid.ticks)
        snprintf(grid, sizeof grid, " %d ticks", encoding->grid.ticks);
    else if (encoding->grid.denominator)
        snprintf(grid, sizeof grid, " %d/%d", encoding->grid.numerator,
                 encoding->grid.denominator);
    char merged[48] = "";
    size_t merges;
    bpe_merges(encoding, &merges);
    if (merges)
        snprintf(merged, sizeof merged, ", of them %zu merged", merges);
    snprintf(text, size, "%s%s (%zu tokens%s)", encoding->name, grid,
             encoding->vocabulary, merged);
    return text;
}

enum status checkpoint_check_vocabulary(const char *path,
                                        const struct checkpoint *checkpoint,
                                        const struct dataset *dataset)
{
    char model_encoding[CHECKPOINT_TEXT * 2], dataset_encoding[CHECKPOINT_TEXT * 2];
    if (checkpoint->vocabulary_hash == dataset->vocabulary_hash)
        return STATUS_OK;
    struct options settings;
    char differing[256];
    enum status status = dataset_settings(dataset, &settings);
    if (status != STATUS_OK)
        return status;
    options_vocabulary_difference(&checkpoint->options, &settings, differing,
                                  sizeof differing);
    return status_fail(
        STATUS_MISUSE,
        "%s was trained on encoding %s, the dataset %s has %s: give a dataset made with "
        "the same %s",
        path, describe(checkpoint->encoding, model_encoding, sizeof model_encoding),
        dataset->path,
        describe(dataset->encoding, dataset_encoding, sizeof dataset_encoding),
        differing[0] ? differing : "merges, learnt from the same training split");
}

/* The lines of `report`, joined by "; "; truncated at `size`. */
static void join_lines(char *report, char *line, size_t size)
{
    line[0] = '\0';
    for (char *rest = report, *item; rest && (item = strsep(&rest, "\n"));)
        if (item[0]) {
            size_t used = strlen(line);
            snprintf(line + used, size - used, "%s%s", used ? "; " : "", item);
        }
}

enum status checkpoint_check_settings(const char *path, const struct options *saved,
                                      const struct options *requested,
                                      const char *problem, const char *remedy)
{
    char *report = NULL, line[STATUS_MESSAGE_SIZE / 2];
    int count = 0;
    options_difference(saved, requested, &report, &count);
    if (count == 0 && !report)
        return STATUS_OK;
    join_lines(report, line, sizeof line);
    free(report);
    return status_fail(STATUS_MISUSE, "%s %s: %s (%s)", path, problem, line, remedy);
}

enum status checkpoint_model(const struct checkpoint *checkpoint,
                             const struct model_plan *plan, struct model **out)
{
    struct model_plan own = *plan;
    own.shape = &checkpoint->shape;
    own.end = checkpoint->encoding->end;
    own.training = false;
    enum status status = model_create(&own, out);
    if (status != STATUS_OK)
        return status;
    memcpy(model_weights(*out), checkpoint->weights,
           checkpoint->params.total * sizeof *checkpoint->weights);
    model_weights_changed(*out);
    return STATUS_OK;
}

void checkpoint_free(struct checkpoint *checkpoint)
{
    encoding_free(checkpoint->encoding);
    training_state_free(&checkpoint->state);
    stream_snapshot_free(&checkpoint->streams);
    free(checkpoint->weights);
    free(checkpoint->pairs);
    *checkpoint = (struct checkpoint){0};
}
