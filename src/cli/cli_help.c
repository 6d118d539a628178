/* cli_help: the text of --help. */
#include <stdio.h>

#include "cli.h"

static void print_arguments(const struct cli_request *request)
{
    enum { COLUMN = 26 };
    printf("\nOptions:\n");
    for (const struct cli_argument *argument = request->arguments;
         argument && argument->name; argument++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", argument->name,
                 argument->placeholder ? argument->placeholder : "");
        printf("  %-*s %s\n", COLUMN, left, argument->help);
    }
    if (request->accepts_set)
        printf("  %-*s %s\n", COLUMN, "--set SECTION.KEY=VALUE", "change any setting");
    printf("  %-*s %s\n", COLUMN, "--help", "print this help");
}

static void print_settings(const struct cli_request *request)
{
    unsigned shown = request->sections;
    if (!shown && request->accepts_set)
        shown = SECTION_ALL;
    if (!shown)
        return;
    printf("\nSettings and their defaults");
    if (request->sections) {
        printf(" (also as --key value:");
        for (size_t i = 0; i < CLI_SECTIONS; i++)
            if (request->sections & cli_sections[i].bit)
                printf(" [%s]", cli_sections[i].name);
        printf(")");
    }
    printf(":\n");
    options_help(shown, stdout);
}

enum status cli_print_help(const struct cli_command *command,
                           const struct cli_request *request)
{
    if (!cli_prints())
        return STATUS_OK;
    printf("Usage: tutti %s\n%s\n", command->usage, command->summary);
    print_arguments(request);
    print_settings(request);
    if (command->examples)
        printf("\n%s\n", command->examples);
    return cli_flush_output();
}
