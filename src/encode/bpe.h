/* bpe: byte-pair encoding, a layer above any encoding (Sennrich et al., 2016; of music:
 * Fradet et al., "Byte Pair Encoding for Symbolic Music", 2023).
 *
 * A merge replaces a pair of tokens by a new token wherever it occurs, from left to
 * right. A piece is encoded by the base encoding, then all merges are applied in their
 * order. So a merged token stands for 2 or more base tokens, which are never END, and
 * decoding is exact: each token is replaced by its base tokens.
 *
 * Vocabulary: the base tokens keep their values; merge k, from 0, creates the token
 * base->end + k, named "BPE k"; END follows. In an encoding with frames, no pair begins
 * with a token that ends a frame, so that merged tokens lie within a frame.
 *
 * Merges are learnt from pieces: the most frequent pair becomes the next merge (in a tie
 * the one whose first token is lowest, then whose second is), until there are enough, or
 * no pair occurs twice. Occurrences that overlap ("aaa") are all counted.
 *
 * The functions of the encoding work by expansion, and struct grammar is that of the base
 * encoding. A token is allowed if its base tokens are, one after the other. `transpose`,
 * `shift_velocity` and `longest_shift` are NULL: the transposed tokens of a piece are in
 * general not those of the transposed piece. token_pitch is -1 for merged tokens.
 */
#ifndef TUTTI_ENCODE_BPE_H
#define TUTTI_ENCODE_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encoding.h"
#include "pair_table.h"
#include "base/options.h"

enum {
    BPE_MERGES_MAX = OPTION_BPE_MAX,
    BPE_LENGTH_MAX = 32, /* base tokens of a merged token */
    BPE_BASE_MAX = 4096  /* vocabulary of the base encoding */
};
/* Follows each piece of a text from which merges are learnt. */
#define BPE_SEPARATOR UINT16_MAX

/* Creates the encoding `base` with these merges: with 1 or more, at most BPE_MERGES_MAX.
 * It owns `base` afterwards; after a failure the caller does. STATUS_FAILED if out of
 * memory, or for merges that can't have been learnt: of tokens that don't exist yet, of a
 * pair that was merged before or must not be, or of more than BPE_LENGTH_MAX tokens. */
enum status bpe_create(struct encoding *base, const struct token_pair *merges,
                       size_t count, struct encoding **out);

/* Learns at most `wanted` merges, at most BPE_MERGES_MAX, for a base encoding from
 * text[count], pieces in any order, each followed by BPE_SEPARATOR. Overwrites the text.
 * merges[wanted]; *learnt: how many there are. STATUS_FAILED if out of memory. Takes
 * about 16 bytes per token. */
enum status bpe_learn(const struct encoding *base, token *text, size_t count,
                      size_t wanted, struct token_pair *merges, size_t *learnt);

/* The following functions accept any encoding; one without merges is its own base. */

const struct encoding *bpe_base(const struct encoding *encoding);

/* The merges, [*count]; NULL and 0 without. */
const struct token_pair *bpe_merges(const struct encoding *encoding, size_t *count);

/* The base tokens that *value stands for, [*count]: *value itself unless it is merged.
 * END becomes that of the base encoding; values outside the vocabulary become 0 tokens. */
const token *bpe_expand(const struct encoding *encoding, const token *value,
                        size_t *count);

/* Appends the base tokens of tokens[count]. STATUS_FAILED if out of memory. */
enum status bpe_expand_tokens(const struct encoding *encoding, const token *tokens,
                              size_t count, struct tokens *out);

/* Applies the merges to base tokens[*count], which has no END, in place.
 * STATUS_FAILED if out of memory; the tokens are then unchanged. */
enum status bpe_merge_tokens(const struct encoding *encoding, token *tokens,
                             size_t *count);

/* Clears those of allowed[0 .. base->vocabulary) that must not follow. `grammar`: the
 * piece so far; last_sound: its time, in seconds, after the last token that sounds. */
typedef void bpe_rule(void *context, const struct encoding *base,
                      const struct grammar *grammar, double last_sound, bool *allowed);

/* Applies a rule to allowed[0 .. encoding->vocabulary): a merged token remains allowed if
 * the rule clears none of its base tokens where it would follow. */
void bpe_restrict(const struct encoding *encoding, const struct grammar *grammar,
                  double last_sound, bpe_rule *rule, void *context, bool *allowed);

/* The most seconds by which a merged token advances time; 0 without, and INFINITY if it
 * depends on the state of the piece. Rules about time need not be applied where no token
 * can violate them. */
double bpe_longest_advance(const struct encoding *encoding);

/* For encoding_free. */
struct bpe;
void bpe_free(struct bpe *bpe); /* NULL is fine */

#endif
