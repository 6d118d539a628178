/* json: the output, byte for byte, and numbers read back by strtod. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/rng.h"

static char *written;
static size_t written_size;
static FILE *out;

static struct json begin(bool pretty)
{
    struct json json;
    out = open_memstream(&written, &written_size);
    json_begin(&json, out, pretty);
    return json;
}

static void expect(struct json *json, const char *text)
{
    assert_int_equal(json_end(json), STATUS_OK);
    fclose(out);
    assert_string_equal(written, text);
    free(written);
}

static void one_line(void **state)
{
    (void)state;
    struct json json = begin(false);
    json_object(&json, NULL);
    json_integer(&json, "low", INT64_MIN);
    json_unsigned(&json, "high", UINT64_MAX);
    json_array(&json, "empty");
    json_close(&json);
    json_object(&json, "none");
    json_close(&json);
    json_array(&json, "mixed");
    json_number(&json, NULL, 0.1);
    json_boolean(&json, NULL, true);
    json_boolean(&json, NULL, false);
    json_null(&json, NULL);
    json_string(&json, NULL, NULL);
    json_array(&json, NULL);
    json_integer(&json, NULL, 1);
    json_close(&json);
    json_close(&json);
    json_hash(&json, "hash", 0xABCu);
    json_close(&json);
    expect(&json, "{\"low\": -9223372036854775808, \"high\": 18446744073709551615, "
                  "\"empty\": [], \"none\": {}, "
                  "\"mixed\": [0.1, true, false, null, null, [1]], "
                  "\"hash\": \"0000000000000abc\"}\n");
}

static void several_lines(void **state)
{
    (void)state;
    struct json json = begin(true);
    json_object(&json, NULL);
    json_integer(&json, "a", 1);
    json_array(&json, "b");
    json_integer(&json, NULL, 2);
    json_integer(&json, NULL, 3);
    json_close(&json);
    json_array(&json, "c");
    json_close(&json);
    json_close(&json);
    expect(&json, "{\n  \"a\": 1,\n  \"b\": [\n    2,\n    3\n  ],\n  \"c\": []\n}\n");
}

static void strings_are_valid_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *value, *text;
    } cases[] = {
        {"", ""},
        {"a/b", "a/b"},
        {"\"\\", "\\\"\\\\"},
        {"\b\f\n\r\t", "\\b\\f\\n\\r\\t"},
        {"\x01\x1f\x7f", "\\u0001\\u001f\\u007f"},
        {"\xC2\x9B"
         "31m",
         "\\u009b31m"},                                 /* of C1: begins a sequence */
        {"\xE2\x80\xA8\xE2\x80\xAE", "\\u2028\\u202e"}, /* breaks and turns lines */
        {"\xC3\xA9 \xE2\x82\xAC \xF0\x9D\x84\x9E",
         "\xC3\xA9 \xE2\x82\xAC \xF0\x9D\x84\x9E"},
        {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},   /* U+10FFFF, the last */
        {"\xE9t\xE9", "\xEF\xBF\xBDt\xEF\xBF\xBD"}, /* Latin-1 */
        {"\x80", "\xEF\xBF\xBD"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"}, /* overlong '/' */
        {"\xC3", "\xEF\xBF\xBD"},                 /* cut off */
        {"\xE2\x82\"", "\xEF\xBF\xBD\xEF\xBF\xBD\\\""},
        {"\xE0\x9F\xBF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* overlong */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* surrogate */
        {"\xF0\x8F\xBF\xBF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF8\xFF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        struct json json = begin(false);
        json_object(&json, NULL);
        json_integer(&json, cases[i].value, 0);
        json_close(&json);
        snprintf(text, sizeof text, "{\"%s\": 0}\n", cases[i].text);
        expect(&json, text);
    }
}

static const char *number(double value)
{
    static char text[64];
    struct json json = begin(false);
    json_number(&json, NULL, value);
    assert_int_equal(json_end(&json), STATUS_OK);
    fclose(out);
    snprintf(text, sizeof text, "%.*s", (int)strlen(written) - 1, written);
    free(written);
    return text;
}

static void numbers_round_trip(void **state)
{
    (void)state;
    assert_string_equal(number(0), "0");
    assert_string_equal(number(-0.0), "-0");
    assert_string_equal(number(0.1), "0.1");
    assert_string_equal(number(1.0 / 3), "0.3333333333333333");
    assert_string_equal(number(100000), "100000");
    assert_string_equal(number(-123456789012345), "-123456789012345");
    assert_string_equal(number(1e-8), "1e-8");
    assert_string_equal(number(1e22), "1e+22");
    assert_string_equal(number((double)NAN), "null");
    assert_string_equal(number((double)INFINITY), "null");
    assert_string_equal(number(-(double)INFINITY), "null");
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t bits = rng_block(3, RNG_TEST, i, 0, 0).word[0];
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            assert_true(strtod(number(value), NULL) == value);
        /* the shortest form: one digit fewer reads as another number */
        char shorter[64];
        int digits = 0;
        for (const char *c = number(value); *c && *c != 'e'; c++)
            digits += (*c > '0' && *c <= '9') || (*c == '0' && digits > 0);
        snprintf(shorter, sizeof shorter, "%.*e", digits > 1 ? digits - 2 : 0, value);
        if (isfinite(value) && digits > 1)
            assert_true(strtod(shorter, NULL) != value);
    }
}

static void reports_misuse(void **state)
{
    (void)state;
    struct json json;
    for (int fault = 0; fault < 6; fault++) {
        json = begin(false);
        json_object(&json, NULL);
        if (fault == 0)
            json_integer(&json, NULL, 1); /* no key */
        if (fault == 1)
            json_array(&json, "a"), json_integer(&json, "key", 1), json_close(&json);
        if (fault != 2)
            json_close(&json);
        if (fault == 3)
            json_close(&json);
        if (fault == 4)
            json_null(&json, NULL); /* a second value */
        assert_int_equal(json_end(&json), fault < 5 ? STATUS_FAILED : STATUS_OK);
        fclose(out);
        free(written);
    }
    json = begin(false);
    for (int i = 0; i <= JSON_DEPTH; i++)
        json_array(&json, NULL);
    for (int i = 0; i < JSON_DEPTH; i++)
        json_close(&json);
    assert_int_equal(json_end(&json), STATUS_FAILED);
    fclose(out);
    free(written);
}

static void reports_write_failure(void **state)
{
    (void)state;
    FILE *full = fopen("/dev/full", "w");
    if (!full)
        skip();
    struct json json;
    json_begin(&json, full, false);
    json_integer(&json, NULL, 1);
    assert_int_equal(json_end(&json), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "No space left"));
    fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line),
        cmocka_unit_test(several_lines),
        cmocka_unit_test(strings_are_valid_utf8),
        cmocka_unit_test(numbers_round_trip),
        cmocka_unit_test(reports_misuse),
        cmocka_unit_test(reports_write_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
