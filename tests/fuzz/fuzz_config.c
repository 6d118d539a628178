/* fuzz_config: configuration files and --set. The input is the bytes of a file, followed
 * by settings, each preceded by a byte 1. Accepted settings must survive being written as
 * text and read back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/file.h"
#include "base/options.h"
#include "base/path_escape.h"
#include "encode/encoding.h"

enum { SETTING = 1 };

static char *path; /* of the configuration */
static FILE *null_stream;

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    path = path_format("%s/run.conf", fuzz_folder());
    null_stream = fopen("/dev/null", "w");
    setenv("HOME", "/home/of user #1", 1);
    FUZZ_REQUIRE(path && null_stream);
    return 0;
}

static char *text_of(const struct options *options)
{
    char *text = options_text(options, SECTION_ALL);
    FUZZ_REQUIRE(text);
    return text;
}

/* Reads settings back from the text stored in a dataset or a checkpoint. */
static void check_text_round_trip(const struct options *options, const char *text)
{
    struct options *back = calloc(1, sizeof *back);
    FUZZ_REQUIRE(back);
    options_defaults(back);
    fuzz_require_ok(options_read_text(back, text, "kept"));
    char *reprinted = text_of(back), *report = NULL;
    if (strcmp(text, reprinted) != 0)
        fuzz_fail("read back as other settings:\n%s\n---\n%s", text, reprinted);
    int differences = 0;
    options_difference(options, back, &report, &differences);
    FUZZ_REQUIRE(differences == 0 && !report);
    free(reprinted);
    free(back);
}

/* Reads settings back from settings.conf, which a user may pass as a configuration. There
 * a "~/" that was stored literally would be expanded to the home folder. */
static void check_file_round_trip(const char *text)
{
    struct options *back = calloc(1, sizeof *back);
    FUZZ_REQUIRE(back);
    options_defaults(back);
    fuzz_write(path, text, strlen(text));
    fuzz_require_ok(options_read_file(back, path));
    char *reprinted = text_of(back);
    FUZZ_REQUIRE(strstr(text, "= ~") || strstr(text, "= \"~") ||
                 strcmp(text, reprinted) == 0);
    free(reprinted);
    free(back);
}

static void check_path_round_trip(const char *text)
{
    char *recorded = path_escape_lines(text);
    char *back = recorded ? path_unescape(recorded) : NULL;
    FUZZ_REQUIRE(back && strcmp(back, text) == 0);
    free(back);
    free(recorded);
}

static void check_accepted(const struct options *options)
{
    struct encoding *encoding = NULL;
    char *text = text_of(options), *report = NULL;
    int differences = 0;
    check_text_round_trip(options, text);
    check_file_round_trip(text);
    check_path_round_trip(text);
    fuzz_check_message(options_check(options), NULL);
    fuzz_check_message(encoding_from_options(options, &encoding), NULL);
    options_print(options, SECTION_ALL, null_stream);
    struct options defaults;
    options_defaults(&defaults);
    options_difference(&defaults, options, &report, &differences);
    FUZZ_REQUIRE((report != NULL) == (differences > 0));
    free(report);
    encoding_free(encoding);
    free(text);
}

/* Applies one setting in every way: a failure must change nothing. */
static void set(struct options *options, char *setting)
{
    struct options before = *options;
    bool known = false;
    enum status status = options_set(options, setting, "--set");
    fuzz_check_message(status, "--set");
    FUZZ_REQUIRE(status != STATUS_FAILED);
    FUZZ_REQUIRE(status == STATUS_OK || memcmp(&before, options, sizeof before) == 0);
    char *value = strchr(setting, '=');
    if (!value)
        return;
    *value++ = '\0';
    before = *options;
    status = options_set_key(options, "sample", setting, value, &known);
    fuzz_check_message(status, NULL);
    FUZZ_REQUIRE(known == options_has("sample", setting));
    FUZZ_REQUIRE(status == STATUS_OK || memcmp(&before, options, sizeof before) == 0);
    options_suggest("train", setting);
    options_is_boolean("run", setting);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct options options, before; /* large */
    const uint8_t *end = size ? memchr(bytes, SETTING, size) : NULL;
    size_t length = end ? (size_t)(end - bytes) : size;
    options_defaults(&options);
    before = options;
    fuzz_write(path, bytes, length);
    enum status status = options_read_file(&options, path);
    fuzz_check_message(status, path);
    FUZZ_REQUIRE(status != STATUS_FAILED);
    if (status != STATUS_OK)
        FUZZ_REQUIRE(memcmp(&before, &options, sizeof before) == 0);
    struct fuzz_input input = {bytes + length + (end != NULL),
                               size - length - (end != NULL)};
    while (input.size > 0) {
        char *setting = fuzz_text(&input, SETTING);
        set(&options, setting);
        free(setting);
    }
    if (memcmp(&before, &options, sizeof before) != 0)
        check_accepted(&options);
    return 0;
}
