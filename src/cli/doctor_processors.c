/* doctor_processors: checks whether all hosts compute with the same kernels. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "doctor.h"

/* Marks the ranks whose text at `offset` differs from rank 0's; returns their number. */
static int mark_different(const struct doctor *doctor, size_t offset, bool *affected)
{
    int count = 0;
    const char *first = (const char *)&doctor->reports[0] + offset;
    for (int r = 0; r < doctor->ranks; r++) {
        const char *mine = (const char *)&doctor->reports[r] + offset;
        affected[r] = strcmp(mine, first) != 0;
        count += affected[r];
    }
    return count;
}

static int first_marked(const bool *affected)
{
    int r = 0;
    while (!affected[r])
        r++;
    return r;
}

/* OpenBLAS's core types for x86-64, oldest first; a processor supports all older types.
 */
static const char *const core_types[] = {"Prescott",   "Nehalem",       "Sandybridge",
                                         "Haswell",    "Zen",           "SkylakeX",
                                         "Cooperlake", "SapphireRapids"};

/* Index into core_types; the length of core_types for any other type. */
static size_t core_index(const char *core)
{
    const size_t count = sizeof core_types / sizeof *core_types;
    size_t i = 0;
    while (i < count && strcasecmp(core_types[i], core) != 0)
        i++;
    return i;
}

/* The oldest type that any rank has. */
static const char *oldest_core(const struct doctor *doctor)
{
    const char *oldest = doctor->reports[0].openblas_core;
    for (int r = 1; r < doctor->ranks; r++)
        if (core_index(doctor->reports[r].openblas_core) < core_index(oldest))
            oldest = doctor->reports[r].openblas_core;
    return oldest;
}

static bool check_openblas_missing(struct doctor *doctor, bool *affected)
{
    char list[DOCTOR_TEXT_SIZE / 2];
    size_t missing = 0;
    for (int r = 0; r < doctor->ranks; r++)
        missing += affected[r] =
            doctor_uses_openblas(doctor) && !doctor->reports[r].openblas_core[0];
    if (missing == 0)
        return false;
    doctor_add(doctor, DOCTOR_FAULT, "processors",
               "install its shared library on every host (Debian: libopenblas0), or set "
               "train.matmul = packed",
               "OpenBLAS can't be loaded on %s",
               doctor_rank_list(doctor, affected, list, sizeof list));
    return true;
}

static bool check_openblas(struct doctor *doctor, bool *affected)
{
    const struct rank_report *first = &doctor->reports[0];
    char list[DOCTOR_TEXT_SIZE / 2], remedy[DOCTOR_TEXT_SIZE];
    if (!doctor_uses_openblas(doctor) ||
        mark_different(doctor, offsetof(struct rank_report, openblas_core), affected) ==
            0)
        return false;
    snprintf(remedy, sizeof remedy,
             "train.matmul = packed; or OPENBLAS_CORETYPE=%s on all hosts; or "
             "train.allow_mixed_cores = yes, with results that are not reproducible",
             oldest_core(doctor));
    doctor_add(
        doctor, doctor->options.train.allow_mixed_cores ? DOCTOR_WARNING : DOCTOR_FAULT,
        "processors", remedy,
        "OpenBLAS uses its %s kernels on rank 0 (%s), but %s on %s: results would depend "
        "on the assignment of microbatches to ranks, so train refuses",
        first->openblas_core, first->host,
        doctor->reports[first_marked(affected)].openblas_core,
        doctor_rank_list(doctor, affected, list, sizeof list));
    return true;
}

/* On a processor that it does not know, OpenBLAS uses the kernels of an older one. */
static void check_old_core(struct doctor *doctor)
{
    const struct rank_report *report = &doctor->reports[0];
    bool is_overridden = doctor_is_set(report, VARIABLE_OPENBLAS_CORE);
    if (doctor_uses_openblas(doctor) && strcmp(report->kernels, "avx512") == 0 &&
        core_index(report->openblas_core) < core_index("SkylakeX"))
        doctor_add(
            doctor, DOCTOR_NOTE, "processors",
            is_overridden ? "unset OPENBLAS_CORETYPE on all hosts; a run resumes only "
                            "with the core type that it started with"
                          : "OPENBLAS_CORETYPE=SkylakeX on all hosts; a run resumes "
                            "only with the core type that it started with",
            "the processor has AVX-512, but OpenBLAS uses its %s kernels%s",
            report->openblas_core, is_overridden ? ", set by OPENBLAS_CORETYPE" : "");
}

static void check_choice(struct doctor *doctor)
{
    if (doctor->chose_openblas)
        doctor_add(doctor, DOCTOR_NOTE, "processors",
                   "train.matmul = packed, for the same weights as on any other "
                   "processor, but slower",
                   "there are no SIMD kernels for the processor, so train.matmul = auto "
                   "uses OpenBLAS, and the weights depend on the processor");
}

void doctor_check_processors(struct doctor *doctor)
{
    const struct rank_report *first = &doctor->reports[0];
    char list[DOCTOR_TEXT_SIZE / 2];
    bool *affected = calloc((size_t)doctor->ranks + 1, sizeof *affected);
    if (!affected)
        return;
    bool mixed =
        check_openblas_missing(doctor, affected) || check_openblas(doctor, affected);
    if (mark_different(doctor, offsetof(struct rank_report, processor), affected) > 0)
        doctor_add(doctor, DOCTOR_NOTE, "processors",
                   "the slowest rank determines the speed: sbatch --constraint selects "
                   "one type",
                   "%s on rank 0, but %s on %s", first->processor,
                   doctor->reports[first_marked(affected)].processor,
                   doctor_rank_list(doctor, affected, list, sizeof list));
    else if (!mixed)
        doctor_add(doctor, DOCTOR_OK, "processors", NULL, "%s; kernels %s%s%s",
                   first->processor, first->kernels,
                   doctor_uses_openblas(doctor) ? ", OpenBLAS core " : "",
                   first->openblas_core);
    if (!mixed)
        check_old_core(doctor);
    check_choice(doctor);
    free(affected);
}
