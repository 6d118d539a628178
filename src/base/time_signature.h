/* time_signature: a time signature as text: "3/4". */
#ifndef TUTTI_BASE_TIME_SIGNATURE_H
#define TUTTI_BASE_TIME_SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

enum { METRE_NUMERATOR_MAX = 64, METRE_LOG2_MAX = 6 };

struct metre {
    uint8_t numerator;        /* 1 to METRE_NUMERATOR_MAX; 0: any metre */
    uint8_t denominator_log2; /* 0 to METRE_LOG2_MAX; 3 for 6/8 */
};

/* Parses "any", or a numerator from 1 to 64, "/", and a denominator, a power of two up to
 * 64. False, and nothing set, for anything else. */
bool time_signature_parse(const char *text, struct metre *metre);

/* The accepted texts, in words. */
#define TIME_SIGNATURE_EXPECTED                                                          \
    "any, or a time signature such as 3/4, up to 64/64, its denominator a power of two"

#endif
