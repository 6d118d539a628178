/* utf8: see the header. */
#include "utf8.h"

#include <stdbool.h>

size_t utf8_character(const char *text, uint32_t *character)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *at = (const uint8_t *)text;
    size_t length = at[0] < 0x80             ? 1
                    : (at[0] & 0xE0) == 0xC0 ? 2
                    : (at[0] & 0xF0) == 0xE0 ? 3
                    : (at[0] & 0xF8) == 0xF0 ? 4
                                             : 0;
    uint32_t value = length > 1 ? at[0] & (0x7Fu >> length) : at[0];
    for (size_t i = 1; i < length; i++) { /* also stops at the final zero byte */
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3F);
    }
    bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    *character = value;
    return length && value >= smallest[length] && value <= 0x10FFFF && !surrogate ? length
                                                                                  : 0;
}
