/* remi: the variants of the remi encoding that are fuzzed. */
#ifndef TUTTI_TESTS_FUZZ_REMI_H
#define TUTTI_TESTS_FUZZ_REMI_H

#include <stdbool.h>

#include "encode/encoding.h"

enum { FUZZ_REMIS = 4 };

static inline enum status fuzz_create_remi(int number, struct encoding **out)
{
    static const struct {
        int positions;
        bool keep, metre; /* programs and percussion; tempos and time signatures */
    } variants[FUZZ_REMIS] = {
        {8, false, true}, {8, true, true}, {12, true, false}, {48, false, false}};
    struct options options;
    options_defaults(&options);
    options.data.encoding = ENCODING_REMI;
    options.data.positions = variants[number].positions;
    options.data.programs = variants[number].keep ? PROGRAMS_KEEP : PROGRAMS_MERGE;
    options.data.drums = variants[number].keep ? DRUMS_KEEP : DRUMS_DROP;
    options.data.tempo = options.data.time_signatures = variants[number].metre;
    return encoding_from_options(&options, out);
}

#endif
