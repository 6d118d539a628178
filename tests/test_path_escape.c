/* path_escape: any name survives the round trip, and the escaped form is plain
 * text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "midi_make.h"
#include "base/path_escape.h"

static void expect_escaped(const char *path, const char *expected)
{
    char *escaped = path_escape(path), *back = path_unescape(escaped);
    assert_string_equal(escaped, expected);
    assert_string_equal(back, path);
    free(back);
    free(escaped);
}

static void printable_names_are_unchanged(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "corpus/bach/a.mid",
        "with space & 'quote' \"two\" 100%.mid",
        "back\\slash \\ \\\\ \\x \\xg1 \\x4.mid",
        "caf\xC3\xA9 \xE6\x9B\xB2 \xF0\x9F\x8E\xB5.mid",
        "\xC2\xA0 \xED\x9F\xBF \xEE\x80\x80 \xF4\x8F\xBF\xBF"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        expect_escaped(names[i], names[i]);
}

static void unprintable_bytes_are_escaped(void **state)
{
    (void)state;
    expect_escaped("caf\xE9/\xFCnd.mid", "caf\\xE9/\\xFCnd.mid");
    expect_escaped("a\tb\nc\rd\x1B[0m\x7F", "a\\x09b\\x0Ac\\x0Dd\\x1B[0m\\x7F");
    expect_escaped("\xC2\x85 \xE2\x80\xA8", "\\xC2\\x85 \\xE2\\x80\\xA8"); /* line ends */
    expect_escaped("caf\\xE9.mid", "caf\\x5CxE9.mid");
    expect_escaped("caf\\xe9.mid", "caf\\x5Cxe9.mid");
    expect_escaped("\\\xE9 \\x\xE9 \\x5C", "\\\\xE9 \\x\\xE9 \\x5Cx5C");
    expect_escaped("\xC0\xAF", "\\xC0\\xAF");       /* overlong */
    expect_escaped("\xE0\x80\xAF \xF0\x80\x80\xAF", /* the same */
                   "\\xE0\\x80\\xAF \\xF0\\x80\\x80\\xAF");
    expect_escaped("\xED\xA0\x80", "\\xED\\xA0\\x80");          /* a surrogate */
    expect_escaped("\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"); /* above U+10FFFF */
    expect_escaped("\xE6\x9B", "\\xE6\\x9B");                   /* cut */
    expect_escaped("\xE6\x9B/", "\\xE6\\x9B/");
}

static void random_names_round_trip(void **state)
{
    (void)state;
    static const char bytes[] = "\\\\xx5CeE9/\t\xC3\xA9\xE2\x80\xA8\xF0\xFF";
    uint64_t random = 5;
    for (int round = 0; round < 20000; round++) {
        char path[17] = "";
        uint32_t length = draw(&random, 16);
        for (uint32_t i = 0; i < length; i++)
            path[i] = bytes[draw(&random, sizeof bytes - 1)];
        char *escaped = path_escape(path), *back = path_unescape(escaped);
        assert_string_equal(back, path);
        char *again = path_escape(back);
        assert_string_equal(again, escaped);
        for (const char *at = escaped; *at; at++)
            assert_true((unsigned char)*at >= 0x20 && *at != 0x7F);
        free(again);
        free(back);
        free(escaped);
    }
}

static void newlines_are_not_escaped_in_lines(void **state)
{
    (void)state;
    const char *lines = "[data]\ndataset = caf\xE9\n\tgrid = \\x41\n\n";
    char *escaped = path_escape_lines(lines), *back = path_unescape(escaped);
    assert_string_equal(escaped, "[data]\ndataset = caf\\xE9\n\\x09grid = \\x5Cx41\n\n");
    assert_string_equal(back, lines);
    free(back);
    free(escaped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_names_are_unchanged),
        cmocka_unit_test(unprintable_bytes_are_escaped),
        cmocka_unit_test(random_names_round_trip),
        cmocka_unit_test(newlines_are_not_escaped_in_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
