/* printable: see the header. */
#include "printable.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

bool printable_character(uint32_t character)
{
    bool control = character < 0x20 || (character >= 0x7F && character <= 0x9F);
    bool breaks_line = character == 0x2028 || character == 0x2029;
    bool is_bidi = character == 0x061C || character == 0x200E || character == 0x200F ||
                   (character >= 0x202A && character <= 0x202E) ||
                   (character >= 0x2066 && character <= 0x2069);
    return !control && !breaks_line && !is_bidi;
}

/* The length of the character at `text`, or 1 for a byte that is not part of one. */
static size_t next_character(const char *text, bool *printable)
{
    uint32_t character;
    size_t length = utf8_character(text, &character);
    *printable = length > 0 && printable_character(character);
    return length ? length : 1;
}

bool printable_text(const char *text)
{
    bool printable = true;
    while (*text && printable)
        text += next_character(text, &printable);
    return printable;
}

char *printable_escape(char *to, const char *bytes, size_t count)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < count; i++) {
        const unsigned char byte = (unsigned char)bytes[i];
        *to++ = '\\';
        *to++ = 'x';
        *to++ = digits[byte >> 4];
        *to++ = digits[byte & 15];
    }
    return to;
}

const char *printable_copy(char *to, size_t size, const char *text)
{
    enum { ESCAPE = 4 };
    char *const begin = to;
    while (*text) {
        bool printable;
        size_t length = next_character(text, &printable);
        if ((size_t)(to - begin) + (printable ? length : ESCAPE * length) >= size)
            break;
        if (printable)
            to = (char *)memcpy(to, text, length) + length;
        else
            to = printable_escape(to, text, length);
        text += length;
    }
    *to = '\0';
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
