/* scale: a set of pitch classes, given by tonic and mode: "D dorian". */
#ifndef TUTTI_BASE_SCALE_H
#define TUTTI_BASE_SCALE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PITCH_CLASSES = 12, SCALE_ALL = (1 << PITCH_CLASSES) - 1 };

/* Sets *pitch_classes to the scale's: bit 0 is C, bit 11 is B. `text` is a tonic, a blank
 * and a mode, in upper or lower case: a letter from A to G, with # or b if necessary, and
 * a name that scale_expected lists; or "chromatic" alone, all twelve. False, and nothing
 * set, for anything else. */
bool scale_parse(const char *text, uint16_t *pitch_classes);

/* The accepted texts, in words. Returns text; 256 bytes suffice. */
const char *scale_expected(char *text, size_t size);

#endif
