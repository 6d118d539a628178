/* inspect, reasons: see the header. Files come in any number and few reasons, so the list
 * of reasons is searched from its most recent hit, and only it is kept. */
#include "inspect_reasons.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"
#include "tutti/file.h"
#include "tutti/h5.h"

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

struct file_table {
    size_t count;
    char **paths, **reasons;
    uint8_t *outcomes;
};

static enum status read_columns(const struct h5_file *file, struct file_table *table)
{
    size_t reasons = 0;
    enum status status = h5_read_texts(file, "/files/path", &table->count, &table->paths);
    if (status == STATUS_OK)
        status = h5_read_texts(file, "/files/reason", &reasons, &table->reasons);
    if (status == STATUS_OK && reasons != table->count)
        status = status_fail(STATUS_FAILED, "%s: /files: %zu paths and %zu reasons",
                             h5_path(file), table->count, reasons);
    if (status != STATUS_OK)
        return status;
    table->outcomes = malloc(table->count + 1); /* never malloc(0) */
    if (!table->outcomes)
        return no_memory();
    return h5_read(file, "/files/outcome", H5_U8, 1, &table->count, table->outcomes);
}

static enum status read_table(const struct dataset *dataset, struct file_table *table)
{
    char *path = path_join(dataset->path, "index.h5");
    if (!path)
        return no_memory();
    struct h5_file *file = NULL;
    enum status status = h5_open(path, &file);
    free(path);
    if (status != STATUS_OK)
        return status;
    status = read_columns(file, table);
    h5_abandon(file);
    return status;
}

enum status inspect_reasons_read(const struct dataset *dataset,
                                 struct inspect_reasons *out)
{
    struct file_table table = {0};
    *out = (struct inspect_reasons){0};
    enum status status = read_table(dataset, &table);
    for (size_t i = 0; status == STATUS_OK && i < table.count; i++) {
        bool told =
            table.outcomes[i] == FILE_SKIPPED || table.outcomes[i] == FILE_REPAIRED;
        if (told)
            status = count_file(out, table.outcomes[i], table.reasons[i], table.paths[i]);
    }
    out->files = table.count;
    if (out->count)
        qsort(out->items, out->count, sizeof *out->items, by_frequency);
    free(table.paths);
    free(table.reasons);
    free(table.outcomes);
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
        printf("  %6llu  %s\n", (unsigned long long)reason->files, reason->text);
        for (int example = 0; example < REASON_EXAMPLES && reason->examples[example];
             example++)
            printf("          %s\n", reason->examples[example]);
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
