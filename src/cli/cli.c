/* cli: the arguments of a command.
 *
 * A word "--name" is looked up first among the command's own arguments, then among the
 * settings in the sections that the command accepts. */
#include "cli.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

/* The command line being parsed, and the current option. */
struct parser {
    const struct cli_command *command;
    struct cli_request *request;
    int argc, at;
    char **argv;
    char name[64];            /* "--seconds", without "=value" */
    const char *inline_value; /* the text after '=', or NULL */
};

/* ---- errors ---- */

/* "; did you mean --seed?" for a mistyped option; "" without a similar one. */
static const char *suggest(const struct parser *parser, char *text, size_t size)
{
    const char *names[256] = {"--help"};
    size_t count = 1;
    if (parser->request->accepts_set)
        names[count++] = "--set";
    const struct cli_argument *argument = parser->request->arguments;
    for (; argument && argument->name && count < 255; argument++)
        names[count++] = argument->name;
    const char *suggestion = text_suggest(parser->name, names);
    for (size_t i = 0; i < CLI_SECTIONS && !suggestion; i++)
        if (parser->request->sections & cli_sections[i].bit)
            suggestion = options_suggest(cli_sections[i].name, parser->name + 2);
    text[0] = '\0';
    if (suggestion)
        snprintf(text, size, "; did you mean %s%s?", suggestion[0] == '-' ? "" : "--",
                 suggestion);
    for (char *c = text; *c; c++)
        *c = *c == '_' ? '-' : *c;
    for (size_t i = 0; i < CLI_SECTIONS && !suggestion && parser->request->accepts_set;
         i++)
        if (options_has(cli_sections[i].name, parser->name + 2))
            snprintf(text, size, "; did you mean --set %s.%s=VALUE?",
                     cli_sections[i].name, parser->name + 2);
    return text;
}

static enum status unknown_option(const struct parser *parser)
{
    char shown[64], hint[128];
    return status_fail(STATUS_MISUSE, "%s: unknown option %s%s (see tutti %s --help)",
                       parser->command->name,
                       text_excerpt(parser->name, shown, sizeof shown),
                       suggest(parser, hint, sizeof hint), parser->command->name);
}

/* ---- values ---- */

static bool looks_like_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && word[1] != '.' &&
           !isdigit((unsigned char)word[1]);
}

static enum status parse_value(struct parser *parser, const char *placeholder,
                               const char **value)
{
    *value = parser->inline_value;
    if (*value)
        return STATUS_OK;
    const char *next = parser->at < parser->argc ? parser->argv[parser->at] : NULL;
    if (!next || looks_like_option(next)) {
        char shown[64];
        return status_fail(STATUS_MISUSE, "%s: %s needs a value: %s %s%s%s",
                           parser->command->name, parser->name, parser->name, placeholder,
                           next ? ", found " : "",
                           next ? text_excerpt(next, shown, sizeof shown) : "");
    }
    parser->at++;
    *value = next;
    return STATUS_OK;
}

static enum status report_out_of_range(const struct parser *parser, const char *value,
                                       const struct cli_argument *argument)
{
    char shown[100], low[TEXT_NUMBER], high[TEXT_NUMBER];
    return status_fail(STATUS_MISUSE, "%s: %s %s: expected a %s from %s to %s",
                       parser->command->name, parser->name,
                       text_excerpt(value, shown, sizeof shown),
                       argument->integer ? "whole number" : "number",
                       text_number(argument->low, low, sizeof low),
                       text_number(argument->high, high, sizeof high));
}

static enum status parse_number(const struct parser *parser, const char *value,
                                const struct cli_argument *argument)
{
    double number = 0;
    int64_t integer = 0;
    const char *end = value;
    bool valid = argument->integer ? text_to_integer(value, &integer)
                                   : text_to_number(&end, &number) && text_is_blank(end);
    if (argument->integer)
        number = (double)integer;
    if (!valid || !(number >= argument->low && number <= argument->high))
        return report_out_of_range(parser, value, argument);
    if (argument->integer)
        *argument->integer = integer;
    else
        *argument->number = number;
    return STATUS_OK;
}

static enum status report_unexpected_value(const struct parser *parser)
{
    return status_fail(STATUS_MISUSE, "%s: %s takes no value", parser->command->name,
                       parser->name);
}

/* Expands "~/x" after '=', where the shell does not expand it. The result is never freed.
 */
static enum status expand_inline_value(const struct parser *parser, const char **value)
{
    static char *expanded[CLI_EXPANSIONS_MAX];
    static size_t count;
    if (!parser->inline_value || (*value)[0] != '~' || count == CLI_EXPANSIONS_MAX)
        return STATUS_OK;
    if (path_expand_home(*value, &expanded[count]) != STATUS_OK)
        return status_fail(STATUS_MISUSE, "%s: %s: %s", parser->command->name,
                           parser->name, status_message());
    *value = expanded[count++];
    return STATUS_OK;
}

static enum status parse_argument(struct parser *parser,
                                  const struct cli_argument *argument)
{
    if (argument->flag) {
        *argument->flag = true;
        return parser->inline_value ? report_unexpected_value(parser) : STATUS_OK;
    }
    const char *value = NULL;
    enum status status = parse_value(parser, argument->placeholder, &value);
    if (status != STATUS_OK)
        return status;
    if (!argument->text && !argument->each)
        return parse_number(parser, value, argument);
    if (value[0] == '\0')
        return status_fail(STATUS_MISUSE, "%s: %s: the %s is empty",
                           parser->command->name, parser->name, argument->placeholder);
    if (argument->each)
        return argument->each(value);
    status = expand_inline_value(parser, &value);
    *argument->text = value;
    return status;
}

/* ---- settings ---- */

static enum status apply_setting(const struct cli_setting *setting,
                                 struct options *options)
{
    bool known;
    if (!setting->section)
        return options_set(options, setting->value, "--set");
    return options_set_key(options, setting->section, setting->key, setting->value,
                           &known);
}

enum status cli_apply_settings(struct cli_request *request)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < request->setting_count && status == STATUS_OK; i++)
        status = apply_setting(&request->settings[i], request->options);
    return status;
}

/* Tries the setting on a copy, so that an error is reported before any file is opened. */
static enum status store_setting(const struct parser *parser, const char *section,
                                 const char *key, const char *value)
{
    struct cli_request *request = parser->request;
    struct cli_setting setting = {.section = section, .key = key, .value = value};
    struct options scratch;
    options_defaults(&scratch);
    enum status status = apply_setting(&setting, &scratch);
    if (status != STATUS_OK)
        return status;
    if (request->setting_count == CLI_SETTINGS_MAX)
        return status_fail(STATUS_MISUSE,
                           "%s: more than %d settings; put them into a file",
                           parser->command->name, CLI_SETTINGS_MAX);
    request->settings[request->setting_count++] = setting;
    return STATUS_OK;
}

/* True for a yes/no setting given as "--guard" or "--no-guard". *key becomes the key in
 * options, *value "yes" or "no". */
static bool is_boolean_flag(const struct parser *parser, const char *section,
                            const char **key, const char **value)
{
    if (options_is_boolean(section, *key) && !parser->inline_value) {
        *value = "yes";
        return true;
    }
    if (strncmp(*key, "no-", 3) == 0 && options_is_boolean(section, *key + 3)) {
        *key += 3;
        *value = "no";
        return true;
    }
    return false;
}

/* The key as text in argv, which outlives the parser; cuts off "=value" in place. */
static const char *key_in_argv(const struct parser *parser, char *word)
{
    if (parser->inline_value)
        word[strlen(parser->name)] = '\0';
    return word + 2;
}

static enum status parse_setting(struct parser *parser, char *word, bool *known)
{
    *known = false;
    for (size_t i = 0; i < CLI_SECTIONS; i++) {
        const char *section = cli_sections[i].name, *key = parser->name + 2,
                   *value = NULL;
        if (!(parser->request->sections & cli_sections[i].bit))
            continue;
        bool is_flag = is_boolean_flag(parser, section, &key, &value);
        if (!is_flag && !options_has(section, key))
            continue;
        *known = true;
        if (is_flag && parser->inline_value)
            return report_unexpected_value(parser);
        enum status status = is_flag ? STATUS_OK : parse_value(parser, "VALUE", &value);
        key = key_in_argv(parser, word) + (key - (parser->name + 2));
        return status == STATUS_OK ? store_setting(parser, section, key, value) : status;
    }
    return STATUS_OK;
}

/* ---- words ---- */

static enum status parse_positional(struct parser *parser, const char *word)
{
    struct cli_request *request = parser->request;
    char shown[100];
    if (request->positional_count == CLI_POSITIONALS_MAX)
        return status_fail(STATUS_MISUSE,
                           "%s: more than %d arguments; give the folder that holds them",
                           parser->command->name, CLI_POSITIONALS_MAX);
    if (request->positional_count >= request->positional_max)
        return status_fail(STATUS_MISUSE, "%s: unexpected argument %s (usage: tutti %s)",
                           parser->command->name, text_excerpt(word, shown, sizeof shown),
                           parser->command->usage);
    request->positionals[request->positional_count++] = word;
    return STATUS_OK;
}

static enum status parse_set(struct parser *parser)
{
    const char *value = NULL;
    enum status status = parse_value(parser, "SECTION.KEY=VALUE", &value);
    return status == STATUS_OK ? store_setting(parser, NULL, NULL, value) : status;
}

static enum status parse_option(struct parser *parser, char *word)
{
    bool is_long = strncmp(word, "--", 2) == 0;
    size_t length = is_long ? strcspn(word, "=") : strlen(word);
    parser->inline_value = word[length] == '=' ? word + length + 1 : NULL;
    snprintf(parser->name, sizeof parser->name, "%.*s", (int)length, word);
    if (length >= sizeof parser->name)
        return unknown_option(parser);
    const struct cli_argument *argument = parser->request->arguments;
    for (; argument && argument->name; argument++)
        if (strcmp(argument->name, parser->name) == 0)
            return parse_argument(parser, argument);
    if (parser->request->accepts_set && strcmp(parser->name, "--set") == 0)
        return parse_set(parser);
    bool known = false;
    enum status status = STATUS_OK;
    if (is_long)
        status = parse_setting(parser, word, &known);
    return known ? status : unknown_option(parser);
}

static enum status parse_words(struct parser *parser)
{
    bool only_positionals = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && parser->at < parser->argc) {
        char *word = parser->argv[parser->at++];
        if (!only_positionals && strcmp(word, "--") == 0)
            only_positionals = true;
        else if (!only_positionals && word[0] == '-' && word[1] != '\0')
            status = parse_option(parser, word);
        else
            status = parse_positional(parser, word);
    }
    return status;
}

static bool has_help_option(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

enum status cli_parse(const struct cli_command *command, struct cli_request *request,
                      int argc, char **argv)
{
    struct parser parser = {
        .command = command, .request = request, .argc = argc, .argv = argv};
    request->positional_count = 0;
    request->setting_count = 0;
    request->help_shown = has_help_option(argc, argv);
    if (request->help_shown)
        return cli_print_help(command, request);
    enum status status = parse_words(&parser);
    if (status == STATUS_OK && request->positional_count < request->positional_min)
        status = status_fail(STATUS_MISUSE, "%s: missing argument (usage: tutti %s)",
                             command->name, command->usage);
    return status;
}
