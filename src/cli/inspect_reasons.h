/* inspect, datasets: the outcomes of the input files, counted by reason. */
#ifndef TUTTI_CLI_INSPECT_REASONS_H
#define TUTTI_CLI_INSPECT_REASONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"
#include "data/dataset.h"

/* Files with the same outcome and reason. Reasons that differ only in numbers are merged:
 * "3 notes (limit 10)" and "7 notes (limit 10)" become "# notes (limit 10)". */
enum { REASON_EXAMPLES = 3 };
struct inspect_reason {
    uint8_t outcome; /* enum file_outcome */
    char *text;      /* with # for the numbers that differ */
    uint64_t files;
    char *examples[REASON_EXAMPLES]; /* the first paths; NULL after the last */
};

struct inspect_reasons { /* the most frequent first */
    struct inspect_reason *items;
    size_t count;
    uint64_t files; /* all input files, of any outcome */
};

/* Reads the table of files of a dataset's index. Free *out with inspect_reasons_free,
 * even after a failure. */
enum status inspect_reasons_read(const struct dataset *dataset,
                                 struct inspect_reasons *out);
void inspect_reasons_free(struct inspect_reasons *reasons);

void inspect_reasons_print(const struct inspect_reasons *reasons,
                           enum file_outcome outcome);
void inspect_reasons_json(struct json *json, const struct inspect_reasons *reasons,
                          enum file_outcome outcome);

#endif
