/* recorded_path: see the header. */
#include "recorded_path.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "printable.h"
#include "utf8.h"

/* True for "\xHH". */
static bool is_escape(const char *at)
{
    return at[0] == '\\' && at[1] == 'x' && isxdigit((unsigned char)at[2]) &&
           isxdigit((unsigned char)at[3]);
}

/* `kept`: a control character that is not escaped. */
static char *escape(const char *text, uint32_t kept)
{
    char *recorded = malloc(4 * strlen(text) + 1), *to = recorded;
    while (recorded && *text) {
        uint32_t character;
        size_t length = utf8_character(text, &character);
        bool breaks = length && !printable_character(character) && character != kept;
        if (length == 0 || breaks || is_escape(text)) {
            length = length ? length : 1;
            to = printable_escape(to, text, length);
        } else {
            memcpy(to, text, length);
            to += length;
        }
        text += length;
    }
    if (recorded)
        *to = '\0';
    return recorded;
}

char *path_to_recorded(const char *path)
{
    return escape(path, 0);
}

char *lines_to_recorded(const char *lines)
{
    return escape(lines, '\n');
}

/* "\x00" is never written; it would end the text. */
static bool is_zero(const char *escape)
{
    return escape[2] == '0' && escape[3] == '0';
}

static int digit_value(char digit)
{
    return isdigit((unsigned char)digit) ? digit - '0' : (digit & 0x5F) - 'A' + 10;
}

char *path_from_recorded(const char *recorded)
{
    char *path = malloc(strlen(recorded) + 1), *to = path;
    while (path && *recorded) {
        if (is_escape(recorded) && !is_zero(recorded)) {
            *to++ = (char)(digit_value(recorded[2]) << 4 | digit_value(recorded[3]));
            recorded += 4;
        } else {
            *to++ = *recorded++;
        }
    }
    if (path)
        *to = '\0';
    return path;
}
