/* doctor_findings: adds findings, and formats lists of the ranks and hosts that they
 * concern. */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void doctor_add(struct doctor *doctor, enum doctor_level level, const char *check,
                const char *cure, const char *format, ...)
{
    if (doctor->count == DOCTOR_FINDINGS)
        return;
    struct finding *finding = &doctor->findings[doctor->count++];
    *finding = (struct finding){.level = level};
    snprintf(finding->check, sizeof finding->check, "%s", check);
    snprintf(finding->cure, sizeof finding->cure, "%s", cure ? cure : "");
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
    for (int before = 0; before < r; before++)
        if (doctor_same_host(doctor, before, r))
            return false;
    return true;
}

const char *doctor_plural(int count)
{
    return count == 1 ? "" : "s";
}

/* The last rank in the run of consecutive marked ranks on one host that starts at
 * `first`. */
static int end_of_range(const struct doctor *doctor, const bool *which, int first)
{
    int last = first;
    while (last + 1 < doctor->ranks && which[last + 1] &&
           doctor_same_host(doctor, first, last + 1))
        last++;
    return last;
}

const char *doctor_rank_list(const struct doctor *doctor, const bool *which, char *text,
                             size_t size)
{
    int chosen = 0, groups = 0;
    size_t used = 0;
    for (int r = 0; r < doctor->ranks; r++)
        chosen += which[r];
    if (chosen == doctor->ranks && chosen > 1) {
        snprintf(text, size, "all ranks");
        return text;
    }
    text[0] = '\0';
    for (int r = 0; r < doctor->ranks; r++) {
        if (!which[r])
            continue;
        int last = end_of_range(doctor, which, r);
        const char *intro = groups++ ? ", " : chosen > 1 ? "ranks " : "rank ";
        if (used + DOCTOR_NAME + 32 > size) {
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
