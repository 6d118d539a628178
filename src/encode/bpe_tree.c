/* bpe_restrict: a walk through the tree of base tokens. Where a base token is allowed,
 * the walk accepts it in a copy of the grammar and goes on to the node's children, so
 * each state is computed once, and only for sequences that are allowed. */
#include "bpe_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- the tree ---- */

static uint32_t add_child(struct bpe *bpe, uint32_t parent, token value)
{
    struct bpe_node *nodes = bpe->nodes;
    for (uint32_t child = nodes[parent].child; child; child = nodes[child].sibling)
        if (nodes[child].value == value)
            return child;
    uint32_t added = (uint32_t)bpe->node_count++;
    nodes[added] = (struct bpe_node){.value = value, .sibling = nodes[parent].child};
    nodes[parent].child = added;
    return added;
}

enum status bpe_build_tree(struct bpe *bpe)
{
    size_t merges = bpe->merges.count;
    bpe->nodes = malloc((bpe->first[merges] + 1) * sizeof *bpe->nodes);
    bpe->same = calloc(merges, sizeof *bpe->same);
    if (!bpe->nodes || !bpe->same)
        return status_fail(STATUS_FAILED, "no memory for %zu merges", merges);
    bpe->nodes[0] = (struct bpe_node){0};
    bpe->node_count = 1;
    for (size_t merge = 0; merge < merges; merge++) {
        uint32_t node = 0;
        for (uint32_t i = bpe->first[merge]; i < bpe->first[merge + 1]; i++)
            node = add_child(bpe, node, bpe->expanded[i]);
        bpe->same[merge] = bpe->nodes[node].merge;
        bpe->nodes[node].merge = (uint32_t)merge + 1;
    }
    return STATUS_OK;
}

/* ---- the walk ---- */

struct walk {
    const struct bpe *bpe;
    bpe_rule *rule; /* NULL: none but the grammar's */
    void *context;
    bool allowed[BPE_BASE_MAX];  /* base tokens in the current state */
    bool result[BPE_MERGES_MAX]; /* merges whose base tokens are allowed */
};

enum { WORD = 64, WORDS = BPE_BASE_MAX / WORD };

static void visit(struct walk *walk, uint32_t node, const struct grammar *grammar,
                  double last_sound);

/* Accepts the child's base token and visits the child. */
static void enter(struct walk *walk, uint32_t child, const struct grammar *grammar,
                  double last_sound)
{
    const struct encoding *base = walk->bpe->base;
    token value = walk->bpe->nodes[child].value;
    struct grammar after = *grammar;
    base->grammar_accept(base, &after, value);
    if (base->token_sounds(base, value))
        last_sound = after.seconds;
    visit(walk, child, &after, last_sound);
}

/* Sets the results of all tokens below a node; `grammar` is the state there. */
static void visit(struct walk *walk, uint32_t node, const struct grammar *grammar,
                  double last_sound)
{
    const struct bpe *bpe = walk->bpe;
    const struct bpe_node *nodes = bpe->nodes;
    uint64_t allowed[WORDS]; /* base tokens: a visited child overwrites walk->allowed */
    memset(allowed, 0, sizeof allowed);
    bpe->base->grammar_allowed(bpe->base, grammar, walk->allowed);
    if (walk->rule)
        walk->rule(walk->context, bpe->base, grammar, last_sound, walk->allowed);
    for (uint32_t child = nodes[node].child; child; child = nodes[child].sibling)
        if (walk->allowed[nodes[child].value])
            allowed[nodes[child].value / WORD] |= UINT64_C(1)
                                                  << nodes[child].value % WORD;
    for (uint32_t child = nodes[node].child; child; child = nodes[child].sibling) {
        token value = nodes[child].value;
        if (!(allowed[value / WORD] >> value % WORD & 1))
            continue;
        for (uint32_t merge = nodes[child].merge; merge; merge = bpe->same[merge - 1])
            walk->result[merge - 1] = true;
        if (nodes[child].child)
            enter(walk, child, grammar, last_sound);
    }
}

/* In the range of merged tokens, the base encoding's END has the first one's place. */
static void swap_end(const struct encoding *encoding, bool *allowed)
{
    bool *end = &allowed[encoding->end], *base_end = &allowed[encoding->bpe->base->end];
    bool swapped = *end;
    *end = *base_end;
    *base_end = swapped;
}

void bpe_restrict(const struct encoding *encoding, const struct grammar *grammar,
                  double last_sound, bpe_rule *rule, void *context, bool *allowed)
{
    const struct bpe *bpe = encoding->bpe;
    if (!bpe) {
        rule(context, encoding, grammar, last_sound, allowed);
        return;
    }
    struct walk walk = {.bpe = bpe, .rule = rule, .context = context};
    visit(&walk, 0, grammar, last_sound);
    swap_end(encoding, allowed);
    rule(context, bpe->base, grammar, last_sound, allowed);
    swap_end(encoding, allowed);
    for (size_t merge = 0; merge < bpe->merges.count; merge++)
        allowed[bpe->base->end + merge] &= walk.result[merge];
}

void bpe_grammar_allowed(const struct encoding *self, const struct grammar *grammar,
                         bool *allowed)
{
    const struct bpe *bpe = self->bpe;
    struct walk walk = {.bpe = bpe};
    visit(&walk, 0, grammar, 0);
    bpe->base->grammar_allowed(bpe->base, grammar, allowed);
    allowed[self->end] = allowed[bpe->base->end];
    memcpy(allowed + bpe->base->end, walk.result,
           bpe->merges.count * sizeof *walk.result);
}
