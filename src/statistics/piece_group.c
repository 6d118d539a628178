/* piece_group: see the header. */
#include "piece_group.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"

enum status piece_group_add(struct piece_group *group, const struct notes *notes,
                            const struct corpus *corpus, uint64_t owner)
{
    struct piece_values *pieces =
        array_reserve(group->pieces, &group->capacity, group->count + 1, sizeof *pieces);
    if (!pieces)
        return STATUS_FAILED;
    group->pieces = pieces;
    enum status status = melody_extract(notes, &group->melody);
    if (status == STATUS_OK)
        status = piece_metrics_compute(notes, &group->melody, corpus, owner,
                                       pieces[group->count].metrics);
    group->count += status == STATUS_OK;
    return status;
}

void piece_group_free(struct piece_group *group)
{
    free(group->pieces);
    melody_free(&group->melody);
    *group = (struct piece_group){0};
}

static int compare_numbers(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Writes the pieces' values of a metric, without NaN and ascending, to sorted[]; returns
 * their number. */
static size_t sort_values(const struct piece_group *group, enum metric metric,
                          double *sorted)
{
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++)
        if (!isnan(group->pieces[i].metrics[metric]))
            sorted[count++] = group->pieces[i].metrics[metric];
    qsort(sorted, count, sizeof *sorted, compare_numbers);
    return count;
}

enum status piece_group_summarise(const struct piece_group *group,
                                  struct group_summary *summary)
{
    double *sorted = malloc((group->count + 1) * sizeof *sorted);
    if (!sorted)
        return status_fail(STATUS_FAILED, "no memory for %zu pieces", group->count);
    *summary = (struct group_summary){.pieces = group->count};
    for (enum metric metric = 0; metric < METRICS; metric++) {
        size_t count = sort_values(group, metric, sorted);
        summary->metrics[metric] = distribution_summary(sorted, count);
    }
    free(sorted);
    return STATUS_OK;
}
