/* merges: see the header. */
#include "merges.h"

#include <inttypes.h>

#include "encode/bpe.h"

static const char MERGES_NAME[] = "/vocabulary/merges";
enum { PAIR = 2 };
_Static_assert(sizeof(struct token_pair) == PAIR * sizeof(token), "rows of the table");

enum status merges_write(struct h5_file *file, const struct encoding *encoding)
{
    size_t dims[] = {0, PAIR};
    const struct token_pair *pairs = bpe_merges(encoding, &dims[0]);
    if (!pairs)
        return STATUS_OK;
    enum status status = h5_write(file, MERGES_NAME, H5_U16, 2, dims, pairs);
    return status == STATUS_OK
               ? h5_set_text(file, MERGES_NAME, "description",
                             "row k: the two tokens whose pair is the token BPE k")
               : status;
}

enum status merges_read(const struct h5_file *file, const struct options *options,
                        struct encoding **encoding)
{
    struct token_pair pairs[OPTION_BPE_MAX];
    struct encoding *merged = NULL;
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0};
    if (options->data.bpe == 0 || !h5_has(file, MERGES_NAME))
        return STATUS_OK;
    enum status status = h5_shape(file, MERGES_NAME, &rank, dims);
    if (status == STATUS_OK && (rank != 2 || dims[1] != PAIR || dims[0] < 1 ||
                                dims[0] > (uint64_t)options->data.bpe))
        return status_fail(STATUS_FAILED,
                           "%s: %s: %zu rows (expected 1 to %" PRId64
                           " rows of %d tokens, as in data.bpe)",
                           h5_path(file), MERGES_NAME, dims[0], options->data.bpe, PAIR);
    if (status == STATUS_OK)
        status = h5_read(file, MERGES_NAME, H5_U16, 2, dims, pairs);
    if (status != STATUS_OK)
        return status;
    status = bpe_create(*encoding, pairs, dims[0], &merged);
    if (status != STATUS_OK)
        return status_fail(STATUS_FAILED, "%s: %s: %s", h5_path(file), MERGES_NAME,
                           status_message());
    *encoding = merged;
    return STATUS_OK;
}
