/* run_names: see the header. */
#include "run_names.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

const char *const run_top_names[] = {RUN_MARKER, "settings.conf",  "metrics.jsonl",
                                     "lock",     "root-cause.txt", NULL};

static const char digits[] = "0123456789";

/* Advances *text past `prefix` and at least one digit. */
static bool skip_number(const char **text, const char *prefix)
{
    size_t length = strlen(prefix);
    if (strncmp(*text, prefix, length) != 0)
        return false;
    size_t count = strspn(*text + length, digits);
    *text += length + count;
    return count > 0;
}

bool run_is_checkpoint_name(const char *name)
{
    const char *at = name;
    return strlen(name) < CHECKPOINT_NAME &&
           (skip_number(&at, "epoch-") || skip_number(&at, "step-")) &&
           strcmp(at, ".h5") == 0;
}

static bool is_sample_name(const char *name)
{
    return skip_number(&name, "epoch-") && skip_number(&name, "-") &&
           strcmp(name, ".mid") == 0;
}

static bool is_top_name(const char *name)
{
    for (size_t i = 0; run_top_names[i]; i++)
        if (strcmp(run_top_names[i], name) == 0)
            return true;
    return false;
}

bool run_is_output_name(enum run_folder folder, const char *name)
{
    if (folder == RUN_TOP)
        return is_top_name(name);
    if (folder == RUN_SAMPLES)
        return is_sample_name(name);
    return run_is_checkpoint_name(name) || strcmp(name, "latest") == 0 ||
           strcmp(name, "best") == 0;
}

bool run_is_any_output_name(const char *name)
{
    return run_is_output_name(RUN_TOP, name) ||
           run_is_output_name(RUN_CHECKPOINTS, name) ||
           run_is_output_name(RUN_SAMPLES, name);
}

bool run_is_temporary_name(enum run_folder folder, const char *name)
{
    enum { MAX_LENGTH = 42 }; /* bytes of a name that the program writes */
    size_t length = strlen(name);
    bool is_random;
    const char *start = file_final_name(name, &length, &is_random);
    if (!start || !is_random || length > MAX_LENGTH)
        return false;
    char final[MAX_LENGTH + 1];
    snprintf(final, sizeof final, "%.*s", (int)length, start);
    return run_is_output_name(folder, final) ||
           (folder == RUN_SAMPLES && strcmp(final, RUN_SAMPLES_STAGING) == 0);
}

bool run_is_moved_aside(const char *name)
{
    const char *at = strstr(name, ".kept-");
    return at && skip_number(&at, ".kept-") && *at == '\0';
}
