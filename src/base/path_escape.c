/* path_escape: see the header. */
#include "path_escape.h"

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

/* `unescaped`: a control character that is not escaped. */
static char *escape(const char *text, uint32_t unescaped)
{
    char *escaped = malloc(4 * strlen(text) + 1), *to = escaped;
    while (escaped && *text) {
        uint32_t character;
        size_t length = utf8_character(text, &character);
        bool unprintable =
            length && !printable_character(character) && character != unescaped;
        if (length == 0 || unprintable || is_escape(text)) {
            length = length ? length : 1;
            to = printable_escape(to, text, length);
        } else {
            memcpy(to, text, length);
            to += length;
        }
        text += length;
    }
    if (escaped)
        *to = '\0';
    return escaped;
}

char *path_escape(const char *path)
{
    return escape(path, 0);
}

char *path_escape_lines(const char *lines)
{
    return escape(lines, '\n');
}

/* "\x00" is never written; it would end the text. */
static bool is_zero_byte(const char *escape)
{
    return escape[2] == '0' && escape[3] == '0';
}

static int digit_value(char digit)
{
    return isdigit((unsigned char)digit) ? digit - '0' : (digit & 0x5F) - 'A' + 10;
}

char *path_unescape(const char *escaped)
{
    char *path = malloc(strlen(escaped) + 1), *to = path;
    while (path && *escaped) {
        if (is_escape(escaped) && !is_zero_byte(escaped)) {
            *to++ = (char)(digit_value(escaped[2]) << 4 | digit_value(escaped[3]));
            escaped += 4;
        } else {
            *to++ = *escaped++;
        }
    }
    if (path)
        *to = '\0';
    return path;
}
