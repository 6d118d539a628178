/* json: writes JSON (RFC 8259) to a FILE, value by value.
 *
 *     struct json json;
 *     json_begin(&json, stdout, true);
 *     json_object(&json, NULL);
 *     json_integer(&json, "step", 12);
 *     json_array(&json, "losses");
 *     json_number(&json, NULL, 2.31);
 *     json_close(&json);
 *     json_close(&json);
 *     status = json_end(&json);
 *
 * `key` is the member's name within an object, and NULL within an array or at top level.
 * Commas, indentation and escapes are added here. Errors are recorded and reported by
 * json_end.
 */
#ifndef TUTTI_BASE_JSON_H
#define TUTTI_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "status.h"

enum { JSON_DEPTH = 32 };

struct json {
    FILE *out; /* borrowed */
    bool pretty;
    int depth;
    int top_level_values;        /* must be 1 at the end */
    char closing[JSON_DEPTH];    /* closing bracket of each open level */
    bool has_values[JSON_DEPTH]; /* for each open level */
    bool invalid;                /* keys or nesting were wrong */
};

/* `pretty`: several lines, indented by two; otherwise one line. */
void json_begin(struct json *json, FILE *out, bool pretty);

/* Opens an object or an array, closed by json_close. At most JSON_DEPTH levels. */
void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);
void json_close(struct json *json);

/* Each byte that is not valid UTF-8 becomes U+FFFD; characters that base/printable.h
 * escapes become \uXXXX, so that the JSON is safe on a terminal. NULL becomes null. */
void json_string(struct json *json, const char *key, const char *value);
void json_integer(struct json *json, const char *key, int64_t value);
void json_unsigned(struct json *json, const char *key, uint64_t value);
/* The shortest form that parses back to the same double; null for NaN and infinities. */
void json_number(struct json *json, const char *key, double value);
void json_boolean(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
/* A 64-bit hash as a string of 16 hexadecimal digits: many JSON parsers keep only 53 bits
 * of a number. */
void json_hash(struct json *json, const char *key, uint64_t value);

/* Ends the line and flushes. STATUS_FAILED if a write failed, or if the calls did not
 * form exactly one complete value. */
enum status json_end(struct json *json);

#endif
