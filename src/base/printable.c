/* printable: see the header. */
#include "printable.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

bool printable_character(uint32_t character)
{
    bool control = character < 0x20 || (character >= 0x7F && character <= 0x9F);
    bool breaks_line = character == 0x2028 || character == 0x2029;
    bool turns = character == 0x061C || character == 0x200E || character == 0x200F ||
                 (character >= 0x202A && character <= 0x202E) ||
                 (character >= 0x2066 && character <= 0x2069);
    return !control && !breaks_line && !turns;
}

/* The length of what begins at `text`: a character, or one byte that is none. */
static size_t take(const char *text, bool *printable)
{
    uint32_t character;
    size_t length = text_character(text, &character);
    *printable = length > 0 && printable_character(character);
    return length ? length : 1;
}

bool printable_text(const char *text)
{
    bool printable = true;
    while (*text && printable)
        text += take(text, &printable);
    return printable;
}

const char *printable_copy(char *to, size_t size, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    enum { ESCAPE = 4 };
    size_t used = 0;
    while (*text) {
        bool printable;
        size_t length = take(text, &printable);
        if (used + (printable ? length : ESCAPE * length) >= size)
            break;
        for (; length > 0; length--, text++) {
            const unsigned char byte = (unsigned char)*text;
            const char escape[ESCAPE] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
            memcpy(to + used, printable ? text : escape, printable ? 1 : ESCAPE);
            used += printable ? 1 : ESCAPE;
        }
    }
    to[used] = '\0';
    return text;
}

void printable_line(FILE *out, const char *format, ...)
{
    char *text = NULL, *shown = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    size_t size = PRINTABLE_SIZE((size_t)(length < 0 ? 0 : length));
    if (length >= 0 && (shown = malloc(size)))
        printable_copy(shown, size, text);
    fprintf(out, "%s\n", shown ? shown : "(out of memory)");
    free(shown);
    if (length >= 0)
        free(text);
}
