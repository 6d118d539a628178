/* Shared by bpe*.c: the merges and what follows from them, and a sequence of tokens that
 * are being merged in place. */
#ifndef TUTTI_ENCODE_BPE_INTERNAL_H
#define TUTTI_ENCODE_BPE_INTERNAL_H

#include "bpe.h"

/* A tree of the base tokens of all merged tokens: each node follows from its parent by
 * one base token, and two tokens with equal beginnings share these nodes. Node 0 is the
 * root. */
struct bpe_node {
    token value;             /* the base token */
    uint32_t child, sibling; /* the first child, the next sibling; 0: none */
    uint32_t merge;          /* the first merge that ends here, + 1; 0: none */
};

struct bpe {
    struct encoding *base;
    struct pair_table merges;
    uint32_t *first; /* [merges.count + 1]: of merge k's base tokens in `expanded` */
    token *expanded; /* [first[merges.count]] */
    bool *sounds;    /* [merges.count]: one of its base tokens does */
    uint32_t *same;  /* [merges.count]: the next merge with these base tokens, + 1 */
    struct bpe_node *nodes;
    size_t node_count;
    double longest_advance; /* see bpe_longest_advance */
};

/* tokens[i] covers the cells i to i + lengths[i] - 1, of which the last has its length,
 * too; the tokens of the others are BPE_COVERED. */
struct bpe_sequence {
    token *tokens;    /* [count] */
    uint8_t *lengths; /* [count] */
    size_t count;
};
#define BPE_COVERED (UINT16_MAX - 1)

static inline size_t bpe_next(const struct bpe_sequence *sequence, size_t at)
{
    return at + sequence->lengths[at];
}

/* at > 0 */
static inline size_t bpe_previous(const struct bpe_sequence *sequence, size_t at)
{
    return at - sequence->lengths[at - 1];
}

/* Replaces tokens[at] and the next one by `value`. */
static inline void bpe_replace(struct bpe_sequence *sequence, size_t at, token value)
{
    size_t next = bpe_next(sequence, at), end = bpe_next(sequence, next);
    sequence->tokens[at] = value;
    sequence->tokens[next] = BPE_COVERED;
    sequence->lengths[at] = sequence->lengths[end - 1] = (uint8_t)(end - at);
}

/* True for base tokens that must not be the first of a pair. */
static inline bool bpe_ends_frame(const struct encoding *base, token value)
{
    return base->has_frames && base->advance(base, NULL, value) > 0;
}

/* Sets nodes and `same`. STATUS_FAILED if out of memory. */
enum status bpe_build_tree(struct bpe *bpe);

/* The function of struct encoding. */
void bpe_grammar_allowed(const struct encoding *self, const struct grammar *grammar,
                         bool *allowed);

#endif
