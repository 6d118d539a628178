/* options_table: the rows of the settings table; private to src/base/options*.c.
 *
 * A row has the offset of its value in `struct options`, and how it is parsed and
 * formatted. No other code of this unit refers to a setting by name, except options_check
 * for constraints between settings. */
#ifndef TUTTI_BASE_OPTIONS_TABLE_H
#define TUTTI_BASE_OPTIONS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

enum option_type {
    OPTION_WORD,     /* int: index into `words` */
    OPTION_BOOLEAN,  /* bool */
    OPTION_INTEGER,  /* int64_t in [min, max] */
    OPTION_SEED,     /* uint64_t, all of its range */
    OPTION_SPAN,     /* int64_t[2], "LOW..HIGH": LOW in [min, 0], HIGH in [0, max] */
    OPTION_NUMBER,   /* double in [low, high]; low_open and high_open exclude an end */
    OPTION_NUMBERS,  /* as many doubles as fit in `size`, each as OPTION_NUMBER */
    OPTION_PATH,     /* char[size], a path without control characters */
    OPTION_TEXT,     /* char[size], not a path: "~/" is not expanded */
    OPTION_GRID,     /* char[size]: "1/4" or "120 ticks" */
    OPTION_PROGRAMS, /* char[size]: "0-7,40,drums", see program_set.h */
    OPTION_SCALE,    /* char[size]: "D dorian", see scale.h */
    OPTION_METRE     /* char[size]: "3/4", see time_signature.h */
};

struct option_row {
    const char *section, *key;
    size_t offset, size; /* of the member */
    enum option_type type;
    const char *const *words; /* ends with NULL */
    int64_t min, max;
    double low, high;
    bool low_open, high_open;
    bool may_change;    /* on resume */
    bool in_dataset;    /* used by `tutti preprocess` and stored in the dataset */
    bool in_vocabulary; /* of these, those that determine the vocabulary */
    const char *unit, *default_value, *help;
};

extern const struct option_row option_rows[];
extern const size_t option_row_count;

/* Sections in the order of the SECTION_ bits; ends with NULL. */
extern const char *const option_sections[];

/* The SECTION_ bit of a section; 0 for an unknown name. */
unsigned option_section_bit(const char *section);

/* The row of section.key ('-' in key read as '_'), or NULL. */
const struct option_row *option_find(const char *section, const char *key);

/* Parses `text` into the row's member of `options`. On an error nothing is changed, and
 * the message is "ORIGIN: section.key = TEXT: expected ...". */
enum status option_parse(const struct option_row *row, struct options *options,
                         const char *text, const char *origin);

/* The same for text typed by a user, in which "~/" is expanded to the home directory.
 * Text from checkpoints and datasets is not expanded. */
enum status option_parse_user(const struct option_row *row, struct options *options,
                              const char *text, const char *origin);

/* Formats the row's value so that option_parse reads it back. Returns text; OPTIONS_TEXT
 * bytes suffice. */
const char *option_format(const struct option_row *row, const struct options *options,
                          char *text, size_t size);

/* STATUS_MISUSE for a section or key that is not in the table, with a suggestion. */
enum status option_unknown(const char *section, const char *key, const char *origin);

/* The accepted values, in words: "a whole number from 1 to 9999". Returns text. */
const char *option_expected(const struct option_row *row, char *text, size_t size);

#endif
