/* options_table: the rows behind options.h; private to src/base/options*.c.
 *
 * A row knows where its value lives in `struct options` and how it is read and written;
 * no other place knows a setting by name, except options_check for rules between
 * settings. */
#ifndef TUTTI_BASE_OPTIONS_TABLE_H
#define TUTTI_BASE_OPTIONS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

enum option_type {
    OPTION_WORD,    /* int: index into `words` */
    OPTION_BOOLEAN, /* bool */
    OPTION_INTEGER, /* int64_t in [least, most] */
    OPTION_SEED,    /* uint64_t, all of its range */
    OPTION_NUMBER,  /* double in [low, high], or (low, high) where an end is open */
    OPTION_NUMBERS, /* so many doubles as `size` holds, each as OPTION_NUMBER */
    OPTION_PATH,    /* char[size], a path without control characters */
    OPTION_TEXT,    /* text that is not a path: "~/" is not expanded in it */
    OPTION_GRID     /* char[size]: "1/4" or "120 ticks" */
};

struct option_row {
    const char *section, *key;
    size_t offset, size; /* of the member */
    enum option_type type;
    const char *const *words; /* ends with NULL */
    int64_t least, most;
    double low, high;
    bool low_open, high_open;
    bool may_change; /* between a run and its continuation */
    bool of_dataset; /* decided by `tutti preprocess`, and kept in the dataset */
    const char *unit, *initial, *help;
    const char *before; /* what held before there was this setting; NULL: initial */
};

extern const struct option_row option_rows[];
extern const size_t option_row_count;

/* Sections in the order of the SECTION_ bits; ends with NULL. */
extern const char *const option_sections[];

/* The SECTION_ bit of a row's section; 0 for a name that is no section. */
unsigned option_section_bit(const char *section);

/* The row of section.key ('-' in key read as '_'), or NULL. */
const struct option_row *option_find(const char *section, const char *key);

/* Writes the value of `text` into the row's member of `options`. On a fault nothing is
 * changed, and the message is "ORIGIN: section.key = TEXT: what was expected". */
enum status option_parse(const struct option_row *row, struct options *options,
                         const char *text, const char *origin);

/* The same for what a user has typed, where "~/" is the home folder. What tutti has kept,
 * in checkpoints and datasets, is taken as it is. */
enum status option_parse_typed(const struct option_row *row, struct options *options,
                               const char *text, const char *origin);

/* The row's value as option_parse takes it back. Returns text; OPTIONS_TEXT is room
 * enough. */
const char *option_format(const struct option_row *row, const struct options *options,
                          char *text, size_t size);

/* Fails with a message for a section or key that is not in the table, with what was
 * probably meant. */
enum status option_unknown(const char *section, const char *key, const char *origin);

/* What the row takes, in words: "a whole number from 1 to 9999". Returns text. */
const char *option_expected(const struct option_row *row, char *text, size_t size);

#endif
