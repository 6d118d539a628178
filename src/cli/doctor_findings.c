/* doctor_findings: adds findings, and formats lists of the ranks and hosts that they
 * concern. */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void doctor_add(struct doctor *doctor, enum doctor_level level, const char *check,
                const char *remedy, const char *format, ...)
{
    if (doctor->count == DOCTOR_FINDINGS_MAX)
        return;
    struct finding *finding = &doctor->findings[doctor->count++];
    *finding = (struct finding){.level = level};
    snprintf(finding->check, sizeof finding->check, "%s", check);
    snprintf(finding->remedy, sizeof finding->remedy, "%s", remedy ? remedy : "");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
}

bool doctor_same_host(const struct doctor *doctor, int a, int b)
{
    return strcmp(doctor->reports[a].host, doctor->reports[b].host) == 0;
}

bool doctor_first_of_host(const struct doctor *doctor, int r)
{
    for (int earlier = 0; earlier < r; earlier++)
        if (doctor_same_host(doctor, earlier, r))
            return false;
    return true;
}

const char *doctor_plural(int count)
{
    return count == 1 ? "" : "s";
}

/* The last rank in the run of consecutive marked ranks on one host that starts at
 * `first`. */
static int end_of_range(const struct doctor *doctor, const bool *affected, int first)
{
    int last = first;
    while (last + 1 < doctor->ranks && affected[last + 1] &&
           doctor_same_host(doctor, first, last + 1))
        last++;
    return last;
}

const char *doctor_rank_list(const struct doctor *doctor, const bool *affected,
                             char *text, size_t size)
{
    int chosen = 0, groups = 0;
    size_t used = 0;
    for (int r = 0; r < doctor->ranks; r++)
        chosen += affected[r];
    if (chosen == doctor->ranks && chosen > 1) {
        snprintf(text, size, "all ranks");
        return text;
    }
    text[0] = '\0';
    for (int r = 0; r < doctor->ranks; r++) {
        if (!affected[r])
            continue;
        int last = end_of_range(doctor, affected, r);
        const char *intro = groups++ ? ", " : chosen > 1 ? "ranks " : "rank ";
        if (used + DOCTOR_NAME_SIZE + 32 > size) {
            snprintf(text + used, size - used, ", ...");
            return text;
        }
        used += (size_t)snprintf(text + used, size - used, "%s%d", intro, r);
        if (last > r)
            used += (size_t)snprintf(text + used, size - used, "-%d", last);
        used +=
            (size_t)snprintf(text + used, size - used, " (%s)", doctor->reports[r].host);
        r = last;
    }
    return text;
}
