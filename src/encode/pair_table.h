/* pair_table: numbers pairs of tokens in the order in which they are added. */
#ifndef TUTTI_ENCODE_PAIR_TABLE_H
#define TUTTI_ENCODE_PAIR_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/token.h"

struct token_pair {
    token first, second;
};

struct pair_table {           /* zero-initialise; free with pair_table_free */
    struct token_pair *pairs; /* [count], as added */
    size_t count, capacity;
    uint32_t *slots; /* [slot_count], a power of 2: number of a pair + 1; 0: free */
    size_t slot_count;
};

/* The pair's number, or pairs->count if the table does not have it. */
size_t pair_table_find(const struct pair_table *table, struct token_pair pair);

/* Sets *number to that of the pair, which is added if the table does not have it.
 * STATUS_FAILED if out of memory. */
enum status pair_table_add(struct pair_table *table, struct token_pair pair,
                           size_t *number);
void pair_table_free(struct pair_table *table);

#endif
