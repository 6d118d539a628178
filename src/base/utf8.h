/* utf8: decoding of UTF-8. */
#ifndef TUTTI_BASE_UTF8_H
#define TUTTI_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Returns the length of the UTF-8 character at `text`, and sets *character to its code
 * point; 0 if it is invalid (RFC 3629: no overlong forms, no surrogates, nothing above
 * U+10FFFF). Never reads past a zero byte. */
size_t utf8_character(const char *text, uint32_t *character);

#endif
