/* printable: what is escaped, what is not, and what the program prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/printable.h"
#include "base/status.h"

static const struct {
    const char *text, *shown;
} cases[] = {
    {"", ""},
    {"a b\\x1B", "a b\\x1B"}, /* escaping is idempotent */
    {"\033]0;title\007", "\\x1B]0;title\\x07"},
    {"a\tb\nc\rd\x7f", "a\\x09b\\x0Ac\\x0Dd\\x7F"},
    {"\xC2\x9B"
     "31m \xC2\x80\xC2\x9F\xC2\xA0",
     "\\xC2\\x9B31m \\xC2\\x80\\xC2\\x9F\xC2\xA0"},
    {"\xC3\xA9 \xE2\x82\xAC \xF0\x9D\x84\x9E", "\xC3\xA9 \xE2\x82\xAC \xF0\x9D\x84\x9E"},
    {"\xE2\x80\xA8\xE2\x80\xA9", "\\xE2\\x80\\xA8\\xE2\\x80\\xA9"},
    {"\xE2\x80\xAA\xE2\x80\xAE\xE2\x80\xAF",
     "\\xE2\\x80\\xAA\\xE2\\x80\\xAE\xE2\x80\xAF"},
    {"\xE2\x81\xA5\xE2\x81\xA6\xE2\x81\xA9\xE2\x81\xAA",
     "\xE2\x81\xA5\\xE2\\x81\\xA6\\xE2\\x81\\xA9\xE2\x81\xAA"},
    {"\xD8\x9B\xD8\x9C\xD8\x9D", "\xD8\x9B\\xD8\\x9C\xD8\x9D"}, /* Arabic letter mark */
    {"\xE2\x80\x8D\xE2\x80\x8E\xE2\x80\x8F\xE2\x80\x90",
     "\xE2\x80\x8D\\xE2\\x80\\x8E\\xE2\\x80\\x8F\xE2\x80\x90"}, /* left, right */
    {"\xFF\x80"
     "a\xC3",
     "\\xFF\\x80a\\xC3"},
    {"\xC0\x9B\xE0\x80\x9B", "\\xC0\\x9B\\xE0\\x80\\x9B"}, /* overlong */
    {"\xED\xA0\x80", "\\xED\\xA0\\x80"},                   /* a surrogate */
};
enum { CASES = sizeof cases / sizeof *cases };

static void escapes_control_characters(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        char shown[100], again[100];
        assert_string_equal(printable_copy(shown, sizeof shown, cases[i].text), "");
        assert_string_equal(shown, cases[i].shown);
        assert_true(printable_text(shown));
        assert_int_equal(printable_text(cases[i].text),
                         strcmp(shown, cases[i].text) == 0);
        printable_copy(again, sizeof again, shown);
        assert_string_equal(again, shown);
    }
}

static void truncates_at_whole_characters(void **state)
{
    (void)state;
    static const char text[] = "a\xC3\xA9\x1B\xE2\x80\xAEz";
    for (size_t size = 1; size < 40; size++) {
        char shown[40];
        memset(shown, '#', sizeof shown);
        const char *rest = printable_copy(shown, size, text);
        assert_true(strlen(shown) < size);
        assert_true(printable_text(shown));
        assert_int_equal(strlen(rest) == 0, size > 1 + 2 + 4 + 12 + 1);
    }
}

static void message_is_one_printable_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        status_fail(STATUS_FAILED, "%s", cases[i].text);
        assert_string_equal(status_message(), cases[i].shown);
        status_fail(STATUS_FAILED, "%s", status_message());
        assert_string_equal(status_message(), cases[i].shown);
    }
}

/* Captures what a call writes to stderr. */
static void log_to(char *text, size_t size, const char *line)
{
    int ends[2], before = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    log_warn("%s", line);
    dup2(before, STDERR_FILENO);
    close(before);
    close(ends[1]);
    ssize_t got = read(ends[0], text, size - 1);
    text[got > 0 ? got : 0] = '\0';
    close(ends[0]);
}

static void log_line_cannot_forge_another(void **state)
{
    (void)state;
    char text[200], *line = NULL;
    size_t size;
    log_to(text, sizeof text, "x\ntutti: done\x1B[2K");
    assert_string_equal(text, "tutti: warning: x\\x0Atutti: done\\x1B[2K\n");
    FILE *out = open_memstream(&line, &size);
    printable_line(out, "%s: %d", "x\ny", 7);
    fclose(out);
    assert_string_equal(line, "x\\x0Ay: 7\n");
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_control_characters),
        cmocka_unit_test(truncates_at_whole_characters),
        cmocka_unit_test(message_is_one_printable_line),
        cmocka_unit_test(log_line_cannot_forge_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
