/* encodings: an encoding for tests, by its name and the settings that differ from their
 * defaults: "performance", "performance programs", "performance programs drums",
 * "performance drums", "pianoroll", "pianoroll repeats", "remi",
 * "remi programs drums without tempo" (and without time signatures). */
#ifndef TUTTI_TESTS_ENCODINGS_H
#define TUTTI_TESTS_ENCODINGS_H

#include <stdlib.h>
#include <string.h>

#include "encode/encoding.h"

static inline struct encoding *test_encoding(const char *description)
{
    struct encoding *encoding = NULL;
    struct options options;
    options_defaults(&options);
    options.data.encoding = strncmp(description, "pianoroll", 9) == 0 ? ENCODING_PIANOROLL
                            : strncmp(description, "remi", 4) == 0    ? ENCODING_REMI
                                                                   : ENCODING_PERFORMANCE;
    if (strstr(description, " without tempo"))
        options.data.tempo = options.data.time_signatures = false;
    options.data.programs =
        strstr(description, " programs") ? PROGRAMS_KEEP : PROGRAMS_MERGE;
    options.data.drums = strstr(description, " drums") ? DRUMS_KEEP : DRUMS_DROP;
    options.data.repeats = strstr(description, " repeats") != NULL;
    if (encoding_from_options(&options, &encoding) != STATUS_OK)
        abort();
    return encoding;
}

#endif
