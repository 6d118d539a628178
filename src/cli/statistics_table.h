/* statistics_table: prints summaries of groups of pieces side by side. */
#ifndef TUTTI_CLI_STATISTICS_TABLE_H
#define TUTTI_CLI_STATISTICS_TABLE_H

#include <stddef.h>

#include "base/json.h"
#include "statistics/piece_group.h"

struct statistics_column {
    const char *name; /* borrowed */
    size_t skipped;   /* files */
    struct group_summary summary;
};

/* Prints to stdout: a row for each metric that exists for a piece, a column for each
 * group. The distances are those of piece_group_summarise: of the first group between its
 * halves, of the others to the first. */
void statistics_print_table(const struct statistics_column *columns, size_t count);

/* Writes the member "groups": [{"name": ..., "pieces": ..., "metrics": {...}}]. */
void statistics_write_json(struct json *json, const struct statistics_column *columns,
                           size_t count);

#endif
