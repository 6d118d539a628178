/* inspect, reasons: see the header. Files come in any number and few reasons, so the list
 * of reasons is searched from its most recent hit, and only it is kept. */
#include "inspect_reasons.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"

#include "base/printable.h"

/* The next character of a reason with every number read as one '#'; 0 at the end. */
static char next_blurred(const char **at)
{
    if (!isdigit((unsigned char)**at)) /* a '#' stands for itself */
        return **at ? *(*at)++ : '\0';
    while (isdigit((unsigned char)**at) ||
           ((**at == '.' || **at == ',') && isdigit((unsigned char)(*at)[1])))
        ++*at;
    return '#';
}

static bool same_but_for_figures(const char *a, const char *b)
{
    for (;;) {
        char left = next_blurred(&a);
        char right = next_blurred(&b);
        if (left != right)
            return false;
        if (left == '\0')
            return true;
    }
}

/* Rewrites `text` so that it has # where `other` has other figures. Both are the same but
 * for figures, so numbers stand in the same places. Never grows. */
static void blur_where_different(char *text, const char *other)
{
    const char *from = text;
    char *to = text;
    while (*from) {
        const char *start = from, *other_start = other;
        char kind = next_blurred(&from);
        next_blurred(&other);
        size_t length = (size_t)(from - start);
        bool same = length == (size_t)(other - other_start) &&
                    memcmp(start, other_start, length) == 0;
        if (kind == '#' && !same) {
            *to++ = '#';
            continue;
        }
        memmove(to, start, length);
        to += length;
    }
    *to = '\0';
}

static struct inspect_reason *find(struct inspect_reasons *reasons, uint8_t outcome,
                                   const char *text)
{
    for (size_t i = 0; i < reasons->count; i++) {
        struct inspect_reason *reason = &reasons->items[i];
        if (reason->outcome == outcome && same_but_for_figures(reason->text, text))
            return reason;
    }
    return NULL;
}

static enum status no_memory(void)
{
    return status_fail(STATUS_FAILED, "no memory for the table of files");
}

static enum status add_reason(struct inspect_reasons *reasons, uint8_t outcome,
                              const char *text)
{
    struct inspect_reason *items =
        realloc(reasons->items, (reasons->count + 1) * sizeof *items);
    if (!items)
        return no_memory();
    reasons->items = items;
    items[reasons->count] =
        (struct inspect_reason){.outcome = outcome, .text = strdup(text)};
    return items[reasons->count++].text ? STATUS_OK : no_memory();
}

static enum status count_file(struct inspect_reasons *reasons, uint8_t outcome,
                              const char *text, const char *path)
{
    struct inspect_reason *reason = find(reasons, outcome, text);
    if (!reason) {
        if (add_reason(reasons, outcome, text) != STATUS_OK)
            return STATUS_FAILED;
        reason = &reasons->items[reasons->count - 1];
    }
    blur_where_different(reason->text, text);
    if (reason->files < REASON_EXAMPLES) {
        reason->examples[reason->files] = strdup(path);
        if (!reason->examples[reason->files])
            return no_memory();
    }
    reason->files++;
    return STATUS_OK;
}

static int by_frequency(const void *a, const void *b)
{
    const struct inspect_reason *left = a, *right = b;
    if (left->files != right->files)
        return left->files < right->files ? 1 : -1;
    return strcmp(left->text, right->text);
}

static bool is_told(uint8_t outcome)
{
    return outcome == FILE_SKIPPED || outcome == FILE_REPAIRED;
}

enum status inspect_reasons_read(const struct dataset *dataset,
                                 struct inspect_reasons *out)
{
    struct dataset_files files;
    *out = (struct inspect_reasons){0};
    enum status status = dataset_read_files(dataset, &files);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; status == STATUS_OK && i < files.count; i++)
        if (is_told(files.outcomes[i]))
            status = count_file(out, files.outcomes[i], files.reasons[i], files.paths[i]);
    out->files = files.count;
    if (status == STATUS_OK && out->count)
        qsort(out->items, out->count, sizeof *out->items, by_frequency);
    dataset_files_free(&files);
    return status;
}

void inspect_reasons_free(struct inspect_reasons *reasons)
{
    for (size_t i = 0; i < reasons->count; i++) {
        free(reasons->items[i].text);
        for (int example = 0; example < REASON_EXAMPLES; example++)
            free(reasons->items[i].examples[example]);
    }
    free(reasons->items);
    *reasons = (struct inspect_reasons){0};
}

void inspect_reasons_print(const struct inspect_reasons *reasons,
                           enum file_outcome outcome)
{
    bool headed = false;
    for (size_t i = 0; i < reasons->count; i++) {
        const struct inspect_reason *reason = &reasons->items[i];
        if (reason->outcome != outcome)
            continue;
        if (!headed)
            printf("\n%s files, by reason\n", file_outcome_name(outcome));
        headed = true;
        printable_line(stdout, "  %6llu  %s", (unsigned long long)reason->files,
                       reason->text);
        for (int example = 0; example < REASON_EXAMPLES && reason->examples[example];
             example++)
            printable_line(stdout, "          %s", reason->examples[example]);
        if (reason->files > REASON_EXAMPLES)
            printf("          ...\n");
    }
}

void inspect_reasons_json(struct json *json, const struct inspect_reasons *reasons,
                          enum file_outcome outcome)
{
    json_array(json, file_outcome_name(outcome));
    for (size_t i = 0; i < reasons->count; i++) {
        const struct inspect_reason *reason = &reasons->items[i];
        if (reason->outcome != outcome)
            continue;
        json_object(json, NULL);
        json_string(json, "reason", reason->text);
        json_integer(json, "files", (int64_t)reason->files);
        json_array(json, "examples");
        for (int example = 0; example < REASON_EXAMPLES && reason->examples[example];
             example++)
            json_string(json, NULL, reason->examples[example]);
        json_close(json);
        json_close(json);
    }
    json_close(json);
}
