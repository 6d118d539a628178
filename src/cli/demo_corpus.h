/* demo_corpus: the demo's pieces as MIDI files, and their entropy. */
#ifndef TUTTI_CLI_DEMO_CORPUS_H
#define TUTTI_CLI_DEMO_CORPUS_H

#include <stdint.h>

#include "base/status.h"

#define DEMO_ENCODING "pianoroll"
#define DEMO_GRID "1/2"

struct demo_corpus {
    int64_t pieces, valid_pieces;
    double seconds;        /* of music */
    uint64_t valid_tokens; /* of the validation pieces, END included */
    double valid_nll;      /* -log p of these pieces, nats */
};

/* Composes `pieces` pieces with the seed `seed` into folder/piece-0001.mid ..., and
 * writes the split file: the last tenth is for validation. Creates the folder, which must
 * not exist. */
enum status demo_corpus_write(const char *folder, const char *split_path, int64_t pieces,
                              uint64_t seed, struct demo_corpus *out);

#endif
