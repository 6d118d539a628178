/* inspect, datasets: what became of the input files, counted by reason. */
#ifndef TUTTI_CLI_INSPECT_REASONS_H
#define TUTTI_CLI_INSPECT_REASONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"
#include "data/dataset.h"

/* Files of one outcome and one reason. Reasons that differ in their figures only are one:
 * "3 notes (limit 10)" and "7 notes (limit 10)" are "# notes (limit #)". */
enum { REASON_EXAMPLES = 3 };
struct inspect_reason {
    uint8_t outcome; /* enum file_outcome */
    char *text;      /* with # for the figures that differ; the exact text if none do */
    uint64_t files;
    char *examples[REASON_EXAMPLES]; /* the first paths; NULL behind the last */
};

struct inspect_reasons { /* the most frequent first */
    struct inspect_reason *items;
    size_t count;
    uint64_t files; /* all input files, of whatever outcome */
};

/* Reads the table of files of a dataset's index. Free with inspect_reasons_free, also
 * after a failure. */
enum status inspect_reasons_read(const struct dataset *dataset,
                                 struct inspect_reasons *out);
void inspect_reasons_free(struct inspect_reasons *reasons);

void inspect_reasons_print(const struct inspect_reasons *reasons,
                           enum file_outcome outcome);
void inspect_reasons_json(struct json *json, const struct inspect_reasons *reasons,
                          enum file_outcome outcome);

#endif
