/* encoders: the encodings that are fuzzed. */
#ifndef TUTTI_TESTS_FUZZ_ENCODERS_H
#define TUTTI_TESTS_FUZZ_ENCODERS_H

#include <stdbool.h>
#include <string.h>

#include "encode/encoding.h"

static const char *const fuzz_grids[] = {"1/4",         "1/480",   "10000/1",
                                         "10000/9999",  "1/7",     "1 tick",
                                         "10000 ticks", "7 ticks", "3/440"};

static const struct fuzz_remi {
    int positions;
    bool keep, metre; /* programs and percussion; tempos and time signatures */
} fuzz_remis[] = {
    {8, false, true}, {8, true, true}, {12, true, false}, {48, false, false}};

enum {
    FUZZ_GRIDS = sizeof fuzz_grids / sizeof *fuzz_grids,
    FUZZ_PERFORMANCES = 4, /* bit 0: programs, bit 1: percussion */
    FUZZ_REMIS = sizeof fuzz_remis / sizeof *fuzz_remis,
    FUZZ_ENCODERS = FUZZ_PERFORMANCES + 2 * FUZZ_GRIDS + FUZZ_REMIS
};

static inline void fuzz_set_performance(int number, struct options *options)
{
    options->data.encoding = ENCODING_PERFORMANCE;
    options->data.programs = number & 1 ? PROGRAMS_KEEP : PROGRAMS_MERGE;
    options->data.drums = number & 2 ? DRUMS_KEEP : DRUMS_DROP;
}

static inline void fuzz_set_pianoroll(int number, struct options *options)
{
    options->data.encoding = ENCODING_PIANOROLL;
    options->data.repeats = number >= FUZZ_GRIDS;
    strcpy(options->data.grid, fuzz_grids[number % FUZZ_GRIDS]);
}

static inline void fuzz_set_remi(const struct fuzz_remi *remi, struct options *options)
{
    options->data.encoding = ENCODING_REMI;
    options->data.positions = remi->positions;
    options->data.programs = remi->keep ? PROGRAMS_KEEP : PROGRAMS_MERGE;
    options->data.drums = remi->keep ? DRUMS_KEEP : DRUMS_DROP;
    options->data.tempo = options->data.time_signatures = remi->metre;
}

/* `number`: 0 to FUZZ_ENCODERS - 1. */
static inline enum status fuzz_create_encoder(int number, struct encoding **out)
{
    struct options options;
    options_defaults(&options);
    if (number < FUZZ_PERFORMANCES)
        fuzz_set_performance(number, &options);
    else if (number < FUZZ_PERFORMANCES + 2 * FUZZ_GRIDS)
        fuzz_set_pianoroll(number - FUZZ_PERFORMANCES, &options);
    else
        fuzz_set_remi(&fuzz_remis[number - FUZZ_PERFORMANCES - 2 * FUZZ_GRIDS], &options);
    return encoding_from_options(&options, out);
}

#endif
