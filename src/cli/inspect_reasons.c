/* inspect, reasons: see the header. There are usually few distinct reasons, but in an
 * untrusted file each row may have its own, so they are looked up in a balanced tree. */
#include "inspect_reasons.h"

#include <ctype.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"
#include "base/array.h"
#include "base/printable.h"

/* The next character of a reason with every number read as one '#'; 0 at the end. */
static char next_masked(const char **at)
{
    if (!isdigit((unsigned char)**at)) /* a '#' stands for itself */
        return **at ? *(*at)++ : '\0';
    while (isdigit((unsigned char)**at) ||
           ((**at == '.' || **at == ',') && isdigit((unsigned char)(*at)[1])))
        ++*at;
    return '#';
}

/* Compares texts; those that differ only in numbers are equal. */
static int compare_masked(const char *a, const char *b)
{
    for (;;) {
        unsigned char left = (unsigned char)next_masked(&a);
        unsigned char right = (unsigned char)next_masked(&b);
        if (left != right)
            return left < right ? -1 : 1;
        if (left == '\0')
            return 0;
    }
}

/* Replaces each number in `text` that differs from its counterpart in `other` with #. The
 * texts are equal according to compare_masked, so their numbers correspond. Never
 * lengthens `text`. */
static void mask_differing_numbers(char *text, const char *other)
{
    const char *from = text;
    char *to = text;
    while (*from) {
        const char *start = from, *other_start = other;
        char kind = next_masked(&from);
        next_masked(&other);
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

static enum status no_memory(void)
{
    return status_fail(STATUS_FAILED, "no memory for the table of files");
}

/* A reason, keyed by its text in the first file that had it. */
struct reason_key {
    uint8_t outcome;
    const char *text;
    size_t index; /* into the list of reasons */
};

static int compare_keys(const void *a, const void *b)
{
    const struct reason_key *left = a, *right = b;
    if (left->outcome != right->outcome)
        return left->outcome < right->outcome ? -1 : 1;
    return compare_masked(left->text, right->text);
}

struct tally {
    struct inspect_reasons *reasons;
    size_t capacity;
    void *keys; /* a tree of struct reason_key */
};

static enum status append_reason(struct tally *tally, const struct reason_key *key)
{
    struct inspect_reasons *reasons = tally->reasons;
    struct inspect_reason *items = array_reserve(reasons->items, &tally->capacity,
                                                 reasons->count + 1, sizeof *items);
    if (!items)
        return STATUS_FAILED;
    reasons->items = items;
    items[reasons->count] =
        (struct inspect_reason){.outcome = key->outcome, .text = strdup(key->text)};
    return items[reasons->count++].text ? STATUS_OK : no_memory();
}

static enum status add_reason(struct tally *tally, const struct reason_key *key)
{
    struct reason_key *reason_key = malloc(sizeof *reason_key);
    if (!reason_key)
        return no_memory();
    *reason_key = *key;
    reason_key->index = tally->reasons->count;
    if (!tsearch(reason_key, &tally->keys, compare_keys)) {
        free(reason_key);
        return no_memory();
    }
    return append_reason(tally, key);
}

/* The entry for that outcome and text, added if it is new. NULL if out of memory. */
static struct inspect_reason *reason_of(struct tally *tally, uint8_t outcome,
                                        const char *text)
{
    const struct reason_key key = {.outcome = outcome, .text = text};
    struct reason_key *const *found = tfind(&key, &tally->keys, compare_keys);
    if (found)
        return &tally->reasons->items[(*found)->index];
    if (add_reason(tally, &key) != STATUS_OK)
        return NULL;
    return &tally->reasons->items[tally->reasons->count - 1];
}

static enum status count_file(struct tally *tally, uint8_t outcome, const char *text,
                              const char *path)
{
    struct inspect_reason *reason = reason_of(tally, outcome, text);
    if (!reason)
        return STATUS_FAILED;
    mask_differing_numbers(reason->text, text);
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

static bool is_listed(uint8_t outcome)
{
    return outcome == FILE_SKIPPED || outcome == FILE_REPAIRED;
}

static enum status count_files(const struct dataset_files *files,
                               struct inspect_reasons *out)
{
    struct tally tally = {.reasons = out};
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < files->count; i++)
        if (is_listed(files->outcomes[i]))
            status = count_file(&tally, files->outcomes[i], files->reasons[i],
                                files->paths[i]);
    tdestroy(tally.keys, free);
    return status;
}

enum status inspect_reasons_read(const struct dataset *dataset,
                                 struct inspect_reasons *out)
{
    struct dataset_files files;
    *out = (struct inspect_reasons){0};
    enum status status = dataset_read_files(dataset, &files);
    if (status != STATUS_OK)
        return status;
    status = count_files(&files, out);
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
