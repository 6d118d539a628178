/* time_signature: see the header. */
#include "time_signature.h"

#include <ctype.h>
#include <string.h>

/* Reads a number of one or two digits and moves *text after it; 0 if there is none. */
static unsigned read_number(const char **text)
{
    unsigned number = 0;
    for (int digits = 0; digits < 2 && isdigit((unsigned char)**text); digits++)
        number = 10 * number + (unsigned)(*(*text)++ - '0');
    return number;
}

bool time_signature_parse(const char *text, struct metre *metre)
{
    if (strcmp(text, "any") == 0) {
        *metre = (struct metre){0};
        return true;
    }
    unsigned numerator = read_number(&text);
    if (numerator < 1 || numerator > METRE_NUMERATOR_MAX || *text != '/')
        return false;
    text++;
    unsigned denominator = read_number(&text);
    if (denominator < 1 || *text != '\0')
        return false;
    for (unsigned log2 = 0; log2 <= METRE_LOG2_MAX; log2++)
        if (denominator == 1u << log2) {
            *metre = (struct metre){(uint8_t)numerator, (uint8_t)log2};
            return true;
        }
    return false;
}
