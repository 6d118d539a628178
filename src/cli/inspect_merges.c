/* inspect_merges: the merged tokens of a dataset or a checkpoint. */
#include "inspect.h"

#include <inttypes.h>
#include <stdio.h>

#include "encode/bpe.h"

enum { SHOWN = 8 };

/* One line: the name of a merge and those of its base tokens. */
static void print_merge(const struct encoding *encoding, size_t merge)
{
    const struct encoding *base = bpe_base(encoding);
    const token value = (token)(base->end + merge);
    char name[ENCODING_TOKEN_NAME];
    size_t count;
    const token *parts = bpe_expand(encoding, &value, &count);
    printf("    %-14s", encoding->token_name(encoding, value, name, sizeof name));
    for (size_t i = 0; i < count; i++)
        printf("%s%s", i ? ", " : " ",
               base->token_name(base, parts[i], name, sizeof name));
    putchar('\n');
}

void inspect_print_merges(const struct encoding *encoding, int64_t requested)
{
    size_t count;
    char learnt[INSPECT_COUNT_SIZE], wanted[INSPECT_COUNT_SIZE];
    bpe_merges(encoding, &count);
    if (requested == 0)
        return;
    inspect_count(count, learnt);
    if (count < (uint64_t)requested)
        inspect_print_field("merges", "%s of %s requested: no other pair occurs twice",
                            learnt, inspect_count((uint64_t)requested, wanted));
    else
        inspect_print_field("merges", "%s of token pairs, most frequent first", learnt);
    for (size_t merge = 0; merge < count && merge < SHOWN; merge++)
        print_merge(encoding, merge);
    if (count > SHOWN)
        printf("    ...\n");
}

void inspect_merges_json(struct json *json, const struct encoding *encoding)
{
    const struct encoding *base = bpe_base(encoding);
    size_t merges, count;
    bpe_merges(encoding, &merges);
    if (merges == 0)
        return;
    json_array(json, "merges");
    for (size_t merge = 0; merge < merges; merge++) {
        const token value = (token)(base->end + merge);
        const token *parts = bpe_expand(encoding, &value, &count);
        char name[ENCODING_TOKEN_NAME];
        json_array(json, NULL);
        for (size_t i = 0; i < count; i++)
            json_string(json, NULL, base->token_name(base, parts[i], name, sizeof name));
        json_close(json);
    }
    json_close(json);
}
