/* program_set: a set of General MIDI programs, with or without percussion, as text:
 * "0-7,40,drums". */
#ifndef TUTTI_BASE_PROGRAM_SET_H
#define TUTTI_BASE_PROGRAM_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRAMS = 128 };

struct program_set {
    bool programs[PROGRAMS];
    bool drums; /* percussion, whatever its program */
};

/* Parses "all", or a list, separated by commas: a program from 0 to 127, a range such as
 * 0-7, or "drums". Blanks around an item are ignored. False, and nothing set, for anything
 * else. */
bool program_set_parse(const char *text, struct program_set *set);

/* The accepted texts, in words. Returns text; 128 bytes suffice. */
const char *program_set_expected(char *text, size_t size);

#endif
