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
 * `key` is the member's name within an object and NULL within an array or at the top.
 * Commas, indentation and escapes are the writer's business. Faults are kept and reported
 * by json_end.
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
    int values;               /* at the top: must end as 1 */
    char closing[JSON_DEPTH]; /* what ends each open level */
    bool started[JSON_DEPTH]; /* does the level hold a value already? */
    bool broken;              /* keys or nesting were wrong */
};

/* `pretty`: over several lines, indented by two; else one line. */
void json_begin(struct json *json, FILE *out, bool pretty);

/* Opens an object or an array, to be ended by json_close. At most JSON_DEPTH levels. */
void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);
void json_close(struct json *json);

/* Bytes that are not UTF-8 become U+FFFD, one each; what base/printable.h escapes
 * becomes \uXXXX, so that JSON can be shown on a terminal. NULL is written as null. */
void json_string(struct json *json, const char *key, const char *value);
void json_integer(struct json *json, const char *key, int64_t value);
void json_unsigned(struct json *json, const char *key, uint64_t value);
/* The shortest form that reads back to the same double; NaN and infinities are null. */
void json_number(struct json *json, const char *key, double value);
void json_boolean(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
/* A 64-bit fingerprint as a string of 16 hexadecimal digits: many readers keep only 53
 * bits of a number. */
void json_hash(struct json *json, const char *key, uint64_t value);

/* Ends the line and flushes. STATUS_FAILED when something could not be written, or when
 * the calls did not make exactly one complete value. */
enum status json_end(struct json *json);

#endif
