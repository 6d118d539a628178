/* corpus: the groups of melody notes of a corpus, to find out what a piece copies.
 *
 * A hash table with open addressing (linear probing, at most half full) of 16 bytes an
 * entry, each for one distinct group. A group of 8 notes is a 64-bit hash; with 10^8
 * groups, a group that the corpus lacks is found in it with a probability of 5e-12.
 */
#ifndef TUTTI_STATISTICS_CORPUS_H
#define TUTTI_STATISTICS_CORPUS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "melody.h"
#include "base/status.h"

struct corpus_entry {
    uint64_t group; /* 0: free */
    uint64_t owner; /* the piece that has it; 0: there are several */
};

struct corpus { /* zero-initialise; free with corpus_free */
    struct corpus_entry *entries;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

/* Adds a piece. `owner` identifies it, and is not 0. STATUS_FAILED only if out of memory.
 */
enum status corpus_add(struct corpus *corpus, const struct melody *melody,
                       uint64_t owner);
void corpus_free(struct corpus *corpus);

/* Sends the groups to another process of the same program, which adds them to its corpus.
 * Any bytes whose number is that of whole entries are accepted: the values are only
 * compared. */
enum status corpus_send(const struct corpus *corpus, FILE *to);
enum status corpus_receive(const uint8_t *bytes, size_t size, struct corpus *corpus);

/* The number of groups of `melody` that stand in a piece of the corpus other than
 * `owner`: a piece of the corpus is compared with the rest of it. 0: not one of the
 * corpus. */
size_t corpus_count_copied(const struct corpus *corpus, const struct melody *melody,
                           uint64_t owner);

#endif
