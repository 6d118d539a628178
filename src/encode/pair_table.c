/* pair_table: an open hash table with linear probing, at most half full. */
#include "pair_table.h"

#include <stdlib.h>

#include "base/array.h"

enum { SLOTS_MIN = 64 };

/* The slot of the pair, or the free one where it would be. */
static size_t find_slot(const struct pair_table *table, struct token_pair pair)
{
    uint32_t key = (uint32_t)pair.first << 16 | pair.second;
    size_t mask = table->slot_count - 1;
    size_t slot =
        (key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask; /* Fibonacci hashing */
    for (; table->slots[slot]; slot = (slot + 1) & mask) {
        struct token_pair found = table->pairs[table->slots[slot] - 1];
        if (found.first == pair.first && found.second == pair.second)
            break;
    }
    return slot;
}

size_t pair_table_find(const struct pair_table *table, struct token_pair pair)
{
    uint32_t number = table->slot_count ? table->slots[find_slot(table, pair)] : 0;
    return number ? number - 1 : table->count;
}

/* Makes space for another pair. */
static enum status grow(struct pair_table *table)
{
    struct token_pair *pairs =
        array_reserve(table->pairs, &table->capacity, table->count + 1, sizeof *pairs);
    if (!pairs)
        return STATUS_FAILED;
    table->pairs = pairs;
    if (2 * (table->count + 1) <= table->slot_count)
        return STATUS_OK;
    size_t slots = table->slot_count ? 2 * table->slot_count : SLOTS_MIN;
    free(table->slots);
    table->slots = calloc(slots, sizeof *table->slots);
    table->slot_count = table->slots ? slots : 0;
    if (!table->slots)
        return status_fail(STATUS_FAILED, "out of memory");
    for (size_t i = 0; i < table->count; i++)
        table->slots[find_slot(table, pairs[i])] = (uint32_t)i + 1;
    return STATUS_OK;
}

enum status pair_table_add(struct pair_table *table, struct token_pair pair,
                           size_t *number)
{
    *number = pair_table_find(table, pair);
    if (*number < table->count)
        return STATUS_OK;
    if (grow(table) != STATUS_OK)
        return STATUS_FAILED;
    table->pairs[table->count++] = pair;
    table->slots[find_slot(table, pair)] = (uint32_t)table->count;
    return STATUS_OK;
}

void pair_table_free(struct pair_table *table)
{
    free(table->pairs);
    free(table->slots);
    *table = (struct pair_table){0};
}
