/* rank_layout: how many ranks of a node, with how many threads each, suit a model, a
 * batch and the caches of the node.
 *
 * At every time step a rank reads W_hh of one layer in one direction: gates * H * H
 * weights. If each rank has few rows, this reading takes longer than the multiply-adds,
 * unless the weights stay in second-level caches: each of a rank's threads reads only its
 * share. The threads of a rank should share a cache domain (base/topology.h), as they
 * meet at a barrier in every time step. Measured on an Intel Xeon with 2 MB per core: the
 * recurrent matmuls with 4, 8 and 16 rows of a rank reach 40, 66 and 86 % of the limit if
 * they read from the third-level cache.
 *
 * More ranks than microbatches are impossible; threads then use the remaining cores.
 */
#ifndef TUTTI_TRAIN_RANK_LAYOUT_H
#define TUTTI_TRAIN_RANK_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/options.h"
#include "base/topology.h"

struct layout_facts {
    int cores;              /* of a node, that the job may use; at least 1 */
    int domain_divisor;     /* see base/topology.h; divides cores */
    int domains;            /* cache domains of these cores */
    size_t l2_bytes;        /* second-level cache per core; 0: unknown */
    int nodes;              /* of the job */
    int microbatches, rows; /* of a batch */
    int few_rows;           /* a rank with more rows is not limited by reading W_hh */
    size_t recurrent_bytes; /* of W_hh of one layer in one direction */
};

struct rank_layout {
    int ranks;   /* of a node */
    int threads; /* of a rank */
};

/* The facts for a job on `nodes` nodes that has these cores on each. */
struct layout_facts layout_facts_of(const struct options *options,
                                    const struct topology *node, int nodes);

/* The bytes of W_hh that one of a rank's threads reads in a time step. */
size_t rank_layout_share(const struct layout_facts *facts, int threads);

/* True if this share is not larger than a second-level cache. The activations need room
 * in it, too, but a share of 95 % was measured to be as fast as one of 25 %. False if the
 * size of the cache is unknown. */
bool rank_layout_is_cached(const struct layout_facts *facts, int threads);

/* The recommended layout. Its threads divide domain_divisor. Of these numbers, those
 * count that give the busiest thread the least work; of those, the smallest, or the
 * smallest with which W_hh is cached if that is possible and ranks have few rows. */
struct rank_layout rank_layout_recommend(const struct layout_facts *facts);

enum { LAYOUT_TEXT = 240 };

/* "2 ranks x 1 thread", with " per node" if the job has several. Returns text. */
const char *rank_layout_text(const struct layout_facts *facts, struct rank_layout layout,
                             char text[LAYOUT_TEXT]);

/* Compares a layout with the recommended one: "1 rank x 1 thread uses 1 of 4 cores; 4
 * ranks x 1 thread would use 4". "" if the difference is not material: both use the same
 * cores, balance the microbatches equally well, keep threads within a cache domain, and
 * W_hh is cached with both or with neither; or if the layout has more threads than cores.
 * Returns text. */
const char *rank_layout_remark(const struct layout_facts *facts,
                               struct rank_layout layout, char text[LAYOUT_TEXT]);

#endif
