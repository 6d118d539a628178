/* inspect, configurations: lists, compares and prints settings.
 *
 * It works on the INI text made by options_text, which contains every key in the order of
 * the table of options, so texts of the same sections correspond line by line. */
#include "inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/printable.h"

static void trim(char **text)
{
    char *first = *text + strspn(*text, " \t\r");
    size_t length = strlen(first);
    while (length && strchr(" \t\r", first[length - 1]))
        length--;
    first[length] = '\0';
    *text = first;
}

/* Removes the quotes that options_text may have added; in place. */
static void unquote(char *value)
{
    size_t length = strlen(value);
    if (length < 2 || value[0] != '"' || value[length - 1] != '"')
        return;
    char *to = value;
    for (const char *from = value + 1; from < value + length - 1; from++) {
        if (*from == '\\' && from + 1 < value + length - 1)
            from++;
        *to++ = *from;
    }
    *to = '\0';
}

static enum status append(struct inspect_settings *settings,
                          const struct inspect_setting *setting)
{
    size_t size = (settings->count + 1) * sizeof *settings->items;
    struct inspect_setting *items = realloc(settings->items, size);
    if (!items)
        return status_fail(STATUS_FAILED, "no memory for the settings");
    settings->items = items;
    struct inspect_setting *copy = &items[settings->count];
    *copy = (struct inspect_setting){.section = strdup(setting->section),
                                     .key = strdup(setting->key),
                                     .first = strdup(setting->first)};
    settings->count++;
    if (!copy->section || !copy->key || !copy->first)
        return status_fail(STATUS_FAILED, "no memory for the settings");
    return STATUS_OK;
}

/* Splits INI text into settings; modifies `text`. */
static enum status parse(char *text, struct inspect_settings *settings)
{
    char *rest = text, *line;
    char *section = text; /* always set before use: the text begins with a section */
    enum status status = STATUS_OK;
    while (status == STATUS_OK && (line = strsep(&rest, "\n"))) {
        trim(&line);
        char *equals = strchr(line, '=');
        if (*line == '[') {
            section = line + 1;
            section[strcspn(section, "]")] = '\0';
        } else if (equals && *line != '#' && *line != ';') {
            *equals = '\0';
            char *key = line, *value = equals + 1;
            trim(&key);
            trim(&value);
            unquote(value);
            const struct inspect_setting setting = {
                .section = section, .key = key, .first = value};
            status = append(settings, &setting);
        }
    }
    return status;
}

static enum status list(const struct options *options, unsigned sections,
                        struct inspect_settings *out)
{
    char *text = options_text(options, sections);
    if (!text)
        return status_fail(STATUS_FAILED, "no memory for the settings");
    enum status status = parse(text, out);
    free(text);
    return status;
}

static void free_setting(struct inspect_setting *setting)
{
    free(setting->section);
    free(setting->key);
    free(setting->first);
    free(setting->second);
}

void inspect_settings_free(struct inspect_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++)
        free_setting(&settings->items[i]);
    free(settings->items);
    *settings = (struct inspect_settings){0};
}

/* Moves the values of `second` into `first`; with only_different, drops equal ones. */
static void merge(struct inspect_settings *first, struct inspect_settings *second,
                  bool only_different)
{
    size_t kept = 0;
    for (size_t i = 0; i < first->count; i++) {
        struct inspect_setting setting = first->items[i];
        setting.second = second->items[i].first;
        second->items[i].first = NULL;
        if (only_different && strcmp(setting.first, setting.second) == 0)
            free_setting(&setting);
        else
            first->items[kept++] = setting;
    }
    first->count = kept;
}

enum status inspect_settings_compare(const struct options *first,
                                     const struct options *second, unsigned sections,
                                     bool only_different, struct inspect_settings *out)
{
    struct inspect_settings others = {0};
    *out = (struct inspect_settings){0};
    enum status status = list(first, sections, out);
    if (status == STATUS_OK)
        status = list(second, sections, &others);
    if (status == STATUS_OK && out->count != others.count)
        status =
            status_fail(STATUS_FAILED, "the settings do not correspond (%zu and %zu)",
                        out->count, others.count);
    if (status == STATUS_OK)
        merge(out, &others, only_different);
    else
        inspect_settings_free(out);
    inspect_settings_free(&others);
    return status;
}

enum status inspect_settings_print(const struct options *options, unsigned sections)
{
    static struct options defaults; /* large */
    options_defaults(&defaults);
    struct inspect_settings settings;
    enum status status =
        inspect_settings_compare(&defaults, options, sections, true, &settings);
    if (status != STATUS_OK)
        return status;
    printf("\nsettings that differ from the defaults\n");
    if (settings.count == 0)
        printf("  none\n");
    for (size_t i = 0; i < settings.count; i++) {
        const struct inspect_setting *setting = &settings.items[i];
        char name[128];
        snprintf(name, sizeof name, "%s.%s", setting->section, setting->key);
        printable_line(stdout, "  %-24s %-24s (default: %s)", name,
                       options_shown(setting->second), options_shown(setting->first));
    }
    inspect_settings_free(&settings);
    return STATUS_OK;
}

/* True if the setting accepts any text; its value is then written as text even if it
 * looks like a number. */
static bool is_text(const struct inspect_setting *setting)
{
    static struct options scratch; /* large */
    bool known;
    return options_set_key(&scratch, setting->section, setting->key, "text", &known) ==
           STATUS_OK;
}

static void value_json(struct json *json, const char *key,
                       const struct inspect_setting *setting)
{
    char *end;
    const char *value = setting->first;
    if (options_is_boolean(setting->section, setting->key)) {
        json_boolean(json, key, strcmp(value, "yes") == 0);
        return;
    }
    double number = strtod(value, &end);
    if (*value == '\0' || *end != '\0' || is_text(setting))
        json_string(json, key, value);
    else if (strspn(value, "0123456789") == strlen(value)) /* seeds use all 64 bits */
        json_unsigned(json, key, strtoull(value, NULL, 10));
    else
        json_number(json, key, number);
}

void inspect_setting_json(struct json *json, const struct inspect_setting *setting)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", setting->section, setting->key);
    value_json(json, name, setting);
}

enum status inspect_settings_json(struct json *json, const char *key,
                                  const struct options *options, unsigned sections)
{
    struct inspect_settings settings;
    enum status status =
        inspect_settings_compare(options, options, sections, false, &settings);
    if (status != STATUS_OK)
        return status;
    json_object(json, key);
    const char *section = "";
    for (size_t i = 0; i < settings.count; i++) {
        const struct inspect_setting *setting = &settings.items[i];
        if (strcmp(section, setting->section) != 0) {
            if (*section)
                json_close(json);
            section = setting->section;
            json_object(json, section);
        }
        value_json(json, setting->key, setting);
    }
    if (*section)
        json_close(json);
    json_close(json);
    inspect_settings_free(&settings);
    return STATUS_OK;
}

static void difference_json(struct json *json, const struct inspect_settings *settings)
{
    json_array(json, "settings");
    for (size_t i = 0; i < settings->count; i++) {
        const struct inspect_setting *setting = &settings->items[i];
        char name[128];
        snprintf(name, sizeof name, "%s.%s", setting->section, setting->key);
        json_object(json, NULL);
        json_string(json, "setting", name);
        json_string(json, "first", setting->first);
        json_string(json, "second", setting->second);
        json_close(json);
    }
    json_close(json);
}

static void difference_print(const struct inspect_settings *settings)
{
    printf("\nsettings that differ: %zu\n", settings->count);
    for (size_t i = 0; i < settings->count; i++) {
        const struct inspect_setting *setting = &settings->items[i];
        char name[128];
        snprintf(name, sizeof name, "%s.%s", setting->section, setting->key);
        printable_line(stdout, "  %-24s %-24s %s", name, options_shown(setting->first),
                       options_shown(setting->second));
    }
}

enum status inspect_settings_difference(struct json *json, const struct options *first,
                                        const struct options *second, unsigned sections,
                                        size_t *count)
{
    struct inspect_settings settings;
    enum status status =
        inspect_settings_compare(first, second, sections, true, &settings);
    if (status != STATUS_OK)
        return status;
    if (json)
        difference_json(json, &settings);
    else
        difference_print(&settings);
    *count = settings.count;
    inspect_settings_free(&settings);
    return STATUS_OK;
}
