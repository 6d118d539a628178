/* json: see the header. State is one flag and one closing character for each open level.
 */
#include "tutti/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tutti/text.h"

void json_begin(struct json *json, FILE *out, bool pretty)
{
    *json = (struct json){.out = out, .pretty = pretty};
}

/* The length of the UTF-8 character at `text`, 0 if it is none (RFC 3629: no overlong
 * forms, no surrogates, nothing above U+10FFFF). */
static int character_length(const unsigned char *text)
{
    unsigned char first = text[0], low = 0x80, high = 0xBF;
    int length = first < 0x80    ? 1
                 : first < 0xC2  ? 0
                 : first < 0xE0  ? 2
                 : first < 0xF0  ? 3
                 : first <= 0xF4 ? 4
                                 : 0;
    if (first == 0xE0)
        low = 0xA0;
    else if (first == 0xED)
        high = 0x9F;
    else if (first == 0xF0)
        low = 0x90;
    else if (first == 0xF4)
        high = 0x8F;
    for (int i = 1; i < length; i++) {
        if (text[i] < low || text[i] > high)
            return 0;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

static void put_escaped(FILE *out, unsigned char c)
{
    static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *at = strchr(named, c);
    if (at)
        fprintf(out, "\\%c", names[at - named]);
    else
        fprintf(out, "\\u%04x", c);
}

static void put_string(FILE *out, const char *value)
{
    const unsigned char *at = (const unsigned char *)value;
    putc('"', out);
    while (*at) {
        int length = character_length(at);
        if (length == 0)
            fputs("\xEF\xBF\xBD", out); /* U+FFFD */
        else if (*at < ' ' || *at == '"' || *at == '\\')
            put_escaped(out, *at);
        else
            fwrite(at, 1, (size_t)length, out);
        at += length ? length : 1;
    }
    putc('"', out);
}

static void new_line(struct json *json)
{
    if (json->pretty)
        fprintf(json->out, "\n%*s", 2 * json->depth, "");
}

/* What stands before a value: the comma, the line, the key. */
static void lead(struct json *json, const char *key)
{
    bool in_object = json->depth > 0 && json->closing[json->depth - 1] == '}';
    if (in_object != (key != NULL))
        json->broken = true;
    if (json->depth == 0) {
        json->values++;
    } else {
        bool *started = &json->started[json->depth - 1];
        if (*started)
            fputs(json->pretty ? "," : ", ", json->out);
        *started = true;
        new_line(json);
    }
    if (key) {
        put_string(json->out, key);
        fputs(": ", json->out);
    }
}

static void open_level(struct json *json, const char *key, char opening, char closing)
{
    lead(json, key);
    if (json->depth == JSON_DEPTH) {
        json->broken = true;
        return;
    }
    putc(opening, json->out);
    json->closing[json->depth] = closing;
    json->started[json->depth] = false;
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
        json->broken = true;
        return;
    }
    json->depth--;
    if (json->started[json->depth])
        new_line(json);
    putc(json->closing[json->depth], json->out);
}

void json_string(struct json *json, const char *key, const char *value)
{
    if (!value) {
        json_null(json, key);
        return;
    }
    lead(json, key);
    put_string(json->out, value);
}

void json_integer(struct json *json, const char *key, int64_t value)
{
    lead(json, key);
    fprintf(json->out, "%" PRId64, value);
}

void json_unsigned(struct json *json, const char *key, uint64_t value)
{
    lead(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void json_number(struct json *json, const char *key, double value)
{
    char text[TEXT_NUMBER];
    lead(json, key);
    fputs(isfinite(value) ? text_number(value, text, sizeof text) : "null", json->out);
}

void json_boolean(struct json *json, const char *key, bool value)
{
    lead(json, key);
    fputs(value ? "true" : "false", json->out);
}

void json_null(struct json *json, const char *key)
{
    lead(json, key);
    fputs("null", json->out);
}

void json_hash(struct json *json, const char *key, uint64_t value)
{
    lead(json, key);
    fprintf(json->out, "\"%016" PRIx64 "\"", value);
}

enum status json_end(struct json *json)
{
    putc('\n', json->out);
    if (fflush(json->out) != 0 || ferror(json->out))
        return status_fail_errno("can't write JSON");
    if (json->broken || json->depth != 0 || json->values != 1)
        return status_fail(STATUS_FAILED, "the JSON written is not one complete value");
    return STATUS_OK;
}
