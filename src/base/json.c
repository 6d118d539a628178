/* json: see the header. State is one flag and one closing character for each open level.
 */
#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "printable.h"
#include "text.h"
#include "utf8.h"

void json_begin(struct json *json, FILE *out, bool pretty)
{
    *json = (struct json){.out = out, .pretty = pretty};
}

/* Four digits suffice: no character that needs an escape is above U+FFFF. */
static void put_escaped(FILE *out, uint32_t character)
{
    static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *at = character < 0x80 ? strchr(named, (int)character) : NULL;
    if (at)
        fprintf(out, "\\%c", names[at - named]);
    else
        fprintf(out, "\\u%04" PRIx32, character);
}

static void put_string(FILE *out, const char *value)
{
    putc('"', out);
    while (*value) {
        uint32_t character;
        size_t length = utf8_character(value, &character);
        if (length == 0)
            fputs("\xEF\xBF\xBD", out); /* U+FFFD */
        else if (!printable_character(character) || *value == '"' || *value == '\\')
            put_escaped(out, character);
        else
            fwrite(value, 1, length, out);
        value += length ? length : 1;
    }
    putc('"', out);
}

static void new_line(struct json *json)
{
    if (json->pretty)
        fprintf(json->out, "\n%*s", 2 * json->depth, "");
}

/* Writes what precedes a value: comma, line break, key. */
static void begin_value(struct json *json, const char *key)
{
    bool in_object = json->depth > 0 && json->closing[json->depth - 1] == '}';
    if (in_object != (key != NULL))
        json->invalid = true;
    if (json->depth == 0) {
        json->top_level_values++;
    } else {
        bool *has_values = &json->has_values[json->depth - 1];
        if (*has_values)
            fputs(json->pretty ? "," : ", ", json->out);
        *has_values = true;
        new_line(json);
    }
    if (key) {
        put_string(json->out, key);
        fputs(": ", json->out);
    }
}

static void open_level(struct json *json, const char *key, char opening, char closing)
{
    begin_value(json, key);
    if (json->depth == JSON_DEPTH) {
        json->invalid = true;
        return;
    }
    putc(opening, json->out);
    json->closing[json->depth] = closing;
    json->has_values[json->depth] = false;
    json->depth++;
}

void json_object(struct json *json, const char *key)
{
    open_level(json, key, '{', '}');
}

void json_array(struct json *json, const char *key)
{
    open_level(json, key, '[', ']');
}

void json_close(struct json *json)
{
    if (json->depth == 0) {
        json->invalid = true;
        return;
    }
    json->depth--;
    if (json->has_values[json->depth])
        new_line(json);
    putc(json->closing[json->depth], json->out);
}

void json_string(struct json *json, const char *key, const char *value)
{
    if (!value) {
        json_null(json, key);
        return;
    }
    begin_value(json, key);
    put_string(json->out, value);
}

void json_integer(struct json *json, const char *key, int64_t value)
{
    begin_value(json, key);
    fprintf(json->out, "%" PRId64, value);
}

void json_unsigned(struct json *json, const char *key, uint64_t value)
{
    begin_value(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void json_number(struct json *json, const char *key, double value)
{
    char text[TEXT_NUMBER];
    begin_value(json, key);
    fputs(isfinite(value) ? text_number(value, text, sizeof text) : "null", json->out);
}

void json_boolean(struct json *json, const char *key, bool value)
{
    begin_value(json, key);
    fputs(value ? "true" : "false", json->out);
}

void json_null(struct json *json, const char *key)
{
    begin_value(json, key);
    fputs("null", json->out);
}

void json_hash(struct json *json, const char *key, uint64_t value)
{
    begin_value(json, key);
    fprintf(json->out, "\"%016" PRIx64 "\"", value);
}

enum status json_end(struct json *json)
{
    putc('\n', json->out);
    if (fflush(json->out) != 0 || ferror(json->out))
        return status_fail_errno("can't write JSON");
    if (json->invalid || json->depth != 0 || json->top_level_values != 1)
        return status_fail(STATUS_FAILED, "the JSON written is not one complete value");
    return STATUS_OK;
}
