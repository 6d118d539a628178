/* corpus: see the header. */
#include "corpus.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 1024 };

/* 0 marks a free entry. */
static uint64_t nonzero(uint64_t hash)
{
    return hash ? hash : 1;
}

/* The entry of a group, or the free one where it belongs. */
static struct corpus_entry *find(const struct corpus *corpus, uint64_t group)
{
    size_t mask = corpus->capacity - 1, i = group & mask;
    while (corpus->entries[i].group && corpus->entries[i].group != group)
        i = (i + 1) & mask;
    return &corpus->entries[i];
}

static enum status grow(struct corpus *corpus, size_t capacity)
{
    struct corpus larger = *corpus;
    larger.capacity = capacity;
    larger.entries = calloc(capacity, sizeof *larger.entries);
    if (!larger.entries)
        return status_fail(STATUS_FAILED, "no memory for %zu groups of notes", capacity);
    for (size_t i = 0; i < corpus->capacity; i++)
        if (corpus->entries[i].group)
            *find(&larger, corpus->entries[i].group) = corpus->entries[i];
    free(corpus->entries);
    *corpus = larger;
    return STATUS_OK;
}

static void add_group(struct corpus *corpus, uint64_t group, uint64_t owner)
{
    struct corpus_entry *entry = find(corpus, group);
    if (!entry->group) {
        *entry = (struct corpus_entry){group, owner};
        corpus->count++;
    } else if (entry->owner != owner) {
        entry->owner = 0;
    }
}

/* Makes room for `count` more groups. */
static enum status reserve(struct corpus *corpus, size_t count)
{
    size_t need = 2 * (corpus->count + count);
    size_t capacity = corpus->capacity ? corpus->capacity : CAPACITY_MIN;
    while (capacity < need)
        capacity *= 2;
    return capacity == corpus->capacity ? STATUS_OK : grow(corpus, capacity);
}

enum status corpus_add(struct corpus *corpus, const struct melody *melody, uint64_t owner)
{
    if (reserve(corpus, melody->group_count) != STATUS_OK)
        return STATUS_FAILED;
    for (size_t i = 0; i < melody->group_count; i++)
        add_group(corpus, nonzero(melody->groups[i]), owner);
    return STATUS_OK;
}

enum status corpus_send(const struct corpus *corpus, FILE *to)
{
    for (size_t i = 0; i < corpus->capacity; i++)
        if (corpus->entries[i].group &&
            fwrite(&corpus->entries[i], sizeof *corpus->entries, 1, to) != 1)
            return status_fail_errno("can't send a group of notes");
    return STATUS_OK;
}

enum status corpus_receive(const uint8_t *bytes, size_t size, struct corpus *corpus)
{
    struct corpus_entry entry;
    if (size % sizeof entry != 0)
        return status_fail(STATUS_FAILED, "received %zu bytes, not groups of %zu", size,
                           sizeof entry);
    if (reserve(corpus, size / sizeof entry) != STATUS_OK)
        return STATUS_FAILED;
    for (size_t i = 0; i < size; i += sizeof entry) {
        memcpy(&entry, bytes + i, sizeof entry);
        add_group(corpus, nonzero(entry.group), entry.owner);
    }
    return STATUS_OK;
}

size_t corpus_count_copied(const struct corpus *corpus, const struct melody *melody,
                           uint64_t owner)
{
    size_t copied = 0;
    for (size_t i = 0; i < melody->group_count && corpus->capacity; i++) {
        const struct corpus_entry *entry = find(corpus, nonzero(melody->groups[i]));
        copied += entry->group && (entry->owner == 0 || entry->owner != owner);
    }
    return copied;
}

void corpus_free(struct corpus *corpus)
{
    free(corpus->entries);
    *corpus = (struct corpus){0};
}
