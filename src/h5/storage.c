/* storage: checks the storage of a dataset before it is read. A malicious file may
 * declare anything: lengths without stored data, values in other files, unexpected types,
 * chunks whose checksum is disabled. So a dataset is read only if it is stored as this
 * unit stores it: numbers or fixed-length strings, in chunks with fletcher32 and no other
 * filter, each stored in the file completely and exactly once. Then the values never take
 * more bytes than the file has, which bounds memory use.
 *
 * The library lists the chunks from its index: H5Dchunk_iter is fast; H5Dget_chunk_info
 * (HDF5 before 1.10.10) takes quadratic time. There may be at most SPARE_CHUNKS more
 * chunks than this unit would use for a dataset of that shape. */
#include "h5_internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_SIZE = 80, SPARE_CHUNKS = 256 };

static enum status refuse(const struct h5_file *file, const char *name, const char *what,
                          const char *expected)
{
    H5Eclear2(H5E_DEFAULT);
    return status_fail(STATUS_FAILED, "%s: %s: %s (expected %s)", file->path, name, what,
                       expected);
}

/* ---- type ---- */

static const char *class_description(H5T_class_t class)
{
    switch (class) {
    case H5T_COMPOUND:
        return "compound values";
    case H5T_ENUM:
        return "enumerated values";
    case H5T_REFERENCE:
        return "references";
    case H5T_VLEN:
        return "values of variable length";
    case H5T_OPAQUE:
        return "opaque values";
    case H5T_ARRAY:
        return "arrays";
    case H5T_BITFIELD:
        return "bit fields";
    case H5T_INTEGER:
        return "integers of an unusual kind";
    case H5T_FLOAT:
        return "floating-point numbers of an unusual kind";
    default:
        return "values of an unknown type";
    }
}

/* NULL for a type that this unit accepts; otherwise its description. */
static const char *unsupported_type(hid_t type)
{
    H5T_class_t class = H5Tget_class(type);
    size_t size = H5Tget_size(type);
    if (H5Tcommitted(type) > 0)
        return "values of a named type";
    if (class == H5T_STRING)
        return H5Tis_variable_str(type) == 0 ? NULL : "texts of variable length";
    bool supported = false;
    if (class == H5T_INTEGER)
        supported = size <= sizeof(uint64_t) && H5Tget_precision(type) == CHAR_BIT * size;
    else if (class == H5T_FLOAT)
        supported =
            H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F64LE) > 0;
    return supported ? NULL : class_description(class);
}

static enum status check_type(const struct h5_file *file, const char *name, hid_t type)
{
    const char *unsupported = unsupported_type(type);
    return unsupported
               ? refuse(file, name, unsupported, "numbers, or texts of fixed length")
               : STATUS_OK;
}

/* ---- layout and filters ---- */

static const char *unsupported_layout(hid_t creation)
{
    switch (H5Pget_layout(creation)) {
    case H5D_CHUNKED:
        return NULL;
    case H5D_VIRTUAL:
        return "a virtual dataset, whose values are in others";
    case H5D_CONTIGUOUS:
        return H5Pget_external_count(creation) > 0 ? "values in other files"
                                                   : "a dataset without checksums";
    default:
        return "a dataset without checksums";
    }
}

static enum status check_layout(const struct h5_file *file, const char *name,
                                hid_t creation)
{
    static const char expected[] = "chunks with fletcher32";
    char what[TEXT_SIZE] = "a dataset without checksums";
    unsigned flags;
    size_t values = 0;
    const char *layout = unsupported_layout(creation);
    if (layout)
        return refuse(file, name, layout, expected);
    int filters = H5Pget_nfilters(creation);
    if (filters < 1)
        return refuse(file, name, what, expected);
    H5Z_filter_t filter =
        H5Pget_filter2(creation, 0, &flags, &values, NULL, 0, NULL, NULL);
    if (filters == 1 && filter == H5Z_FILTER_FLETCHER32)
        return STATUS_OK;
    snprintf(what, sizeof what, "%d filter%s, the first of number %d", filters,
             filters == 1 ? "" : "s", filter);
    return refuse(file, name, what, "chunks with fletcher32 and no other filter");
}

/* ---- sizes ---- */

/* a * b, saturated at UINT64_MAX. */
static uint64_t saturating_mul(uint64_t a, uint64_t b)
{
    return a && b > UINT64_MAX / a ? UINT64_MAX : a * b;
}

static uint64_t element_count(int rank, const hsize_t *dims)
{
    uint64_t all = 1;
    for (int d = 0; d < rank; d++)
        all = saturating_mul(all, dims[d]);
    return all;
}

/* The number of chunks of that shape that cover the dataset. */
static uint64_t count_chunks(int rank, const hsize_t *dims, const hsize_t *chunk)
{
    uint64_t all = 1;
    for (int d = 0; d < rank; d++)
        all = saturating_mul(all, dims[d] / chunk[d] + (dims[d] % chunk[d] != 0));
    return all;
}

size_t h5_chunk_length(size_t length)
{
    size_t chunks = (length + H5_MAX_CHUNK - 1) / H5_MAX_CHUNK;
    return chunks ? (length + chunks - 1) / chunks : 1;
}

/* With several dimensions, as many whole rows as fit into a chunk. A chunk must not be
 * larger than its dataset. */
void h5_chunk_shape(int rank, const hsize_t *dims, hsize_t *chunk)
{
    if (rank == 1) {
        chunk[0] = h5_chunk_length(dims[0]);
        return;
    }
    hsize_t left = H5_MAX_CHUNK;
    for (int d = rank - 1; d >= 0; d--) {
        chunk[d] = dims[d] < left ? dims[d] : left;
        if (chunk[d] == 0)
            chunk[d] = 1;
        left /= chunk[d];
    }
}

static enum status check_sizes(const struct h5_file *file, const char *name,
                               const struct h5_storage *storage)
{
    hsize_t default_shape[H5_MAX_RANK];
    uint64_t chunk = saturating_mul(element_count(storage->rank, storage->chunk_shape),
                                    storage->element_size);
    uint64_t bytes = saturating_mul(storage->chunk_count, chunk);
    if (storage->element_size > file->max_value_bytes || bytes > file->max_value_bytes ||
        chunk > file->max_value_bytes)
        return status_fail(
            STATUS_FAILED,
            "%s: %s: %llu elements of %zu bytes in %llu chunks: more than "
            "the file, of %llu bytes, can hold",
            file->path, name,
            (unsigned long long)element_count(storage->rank, storage->dims),
            storage->element_size, (unsigned long long)storage->chunk_count,
            (unsigned long long)file->max_value_bytes);
    h5_chunk_shape(storage->rank, storage->dims, default_shape);
    uint64_t limit =
        count_chunks(storage->rank, storage->dims, default_shape) + SPARE_CHUNKS;
    if (storage->chunk_count <= limit)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: %s: %llu chunks (at most %llu)", file->path,
                       name, (unsigned long long)storage->chunk_count,
                       (unsigned long long)limit);
}

/* A chunk is read whole, so a text that is too long is rejected by the width of its
 * type. */
static enum status check_width(const struct h5_file *file, const char *name, hid_t type)
{
    size_t width = H5Tget_size(type);
    if (H5Tget_class(type) != H5T_STRING || width <= H5_MAX_TEXT)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: %s: a text of %zu bytes (at most %d)",
                       file->path, name, width, H5_MAX_TEXT);
}

/* ---- chunks ---- */

struct chunk_list { /* the chunks seen so far */
    const struct h5_file *file;
    const struct h5_storage *storage;
    uint64_t size; /* of each, in the file */
    uint64_t *offsets;
    uint64_t seen;
    bool valid;
};

static uint64_t chunk_index(const struct h5_storage *storage, const hsize_t *offset)
{
    uint64_t index = 0;
    for (int d = 0; d < storage->rank; d++)
        index = index * count_chunks(1, &storage->dims[d], &storage->chunk_shape[d]) +
                offset[d] / storage->chunk_shape[d];
    return index;
}

/* Adds a chunk that is in the file; false if it is not stored as expected. */
static bool add_chunk(struct chunk_list *list, const hsize_t *offset, unsigned mask,
                      haddr_t address, hsize_t size)
{
    const struct h5_storage *storage = list->storage;
    list->valid = mask == 0 && size == list->size && address > 0 &&
                  address <= list->file->size && size <= list->file->size - address;
    for (int d = 0; list->valid && d < storage->rank; d++)
        list->valid = offset[d] < storage->dims[d];
    uint64_t index = list->valid ? chunk_index(storage, offset) : 0;
    list->valid = list->valid && index < storage->chunk_count && !list->offsets[index];
    if (list->valid) {
        list->offsets[index] = address;
        list->seen++;
    }
    return list->valid;
}

#if H5_VERSION_GE(1, 10, 10) && !(H5_VERSION_GE(1, 12, 0) && !H5_VERSION_GE(1, 12, 3))
static int add_next(const hsize_t *offset, unsigned mask, haddr_t address, hsize_t size,
                    void *list)
{
    return add_chunk(list, offset, mask, address, size) ? H5_ITER_CONT : H5_ITER_ERROR;
}

static bool list_chunks(hid_t dataset, struct chunk_list *list)
{
    return H5Dchunk_iter(dataset, H5P_DEFAULT, add_next, list) >= 0;
}
#else
static bool list_chunks(hid_t dataset, struct chunk_list *list)
{
    hid_t space = H5Dget_space(dataset);
    hsize_t count = 0;
    bool valid = H5Dget_num_chunks(dataset, space, &count) >= 0 &&
                 count <= list->storage->chunk_count;
    for (hsize_t i = 0; valid && i < count; i++) {
        hsize_t offset[H5_MAX_RANK] = {0}, size = 0;
        haddr_t address = 0;
        unsigned mask = 0;
        valid =
            H5Dget_chunk_info(dataset, space, i, offset, &mask, &address, &size) >= 0 &&
            add_chunk(list, offset, mask, address, size);
    }
    H5Sclose(space);
    return valid;
}
#endif

static int compare_offsets(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

/* With overlapping chunks a small file could contain a large dataset. */
static enum status check_overlap(const struct chunk_list *list, const char *name)
{
    uint64_t count = list->storage->chunk_count;
    uint64_t *sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", list->file->path,
                           name);
    memcpy(sorted, list->offsets, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_offsets);
    uint64_t i = 1;
    while (i < count && sorted[i] - sorted[i - 1] >= list->size)
        i++;
    free(sorted);
    return i >= count ? STATUS_OK
                      : refuse(list->file, name, "chunks that overlap",
                               "each with bytes of its own");
}

static enum status check_chunks(const struct h5_file *file, const char *name,
                                hid_t dataset, const struct h5_storage *storage,
                                uint64_t *offsets)
{
    struct chunk_list list = {.file = file,
                              .storage = storage,
                              .size = element_count(storage->rank, storage->chunk_shape) *
                                          storage->element_size +
                                      H5_CHECKSUM_SIZE,
                              .offsets = offsets,
                              .valid = true};
    bool listed = list_chunks(dataset, &list);
    H5Eclear2(H5E_DEFAULT);
    if (listed && list.seen == storage->chunk_count)
        return check_overlap(&list, name);
    if (!list.valid)
        return refuse(file, name, "a chunk without its checksum, or misplaced",
                      "chunks with fletcher32");
    return status_fail(STATUS_FAILED, "%s: %s: %llu of its %llu chunks are in the file",
                       file->path, name, (unsigned long long)list.seen,
                       (unsigned long long)storage->chunk_count);
}

/* ---- the whole check ---- */

static enum status read_shape(const struct h5_file *file, const char *name, hid_t dataset,
                              hid_t creation, struct h5_storage *out)
{
    hsize_t dims[H5S_MAX_RANK], chunk[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    if (rank < 1 || rank > H5_MAX_RANK)
        return status_fail(STATUS_FAILED, "%s: %s: %d dimensions (1 to %d expected)",
                           file->path, name, rank, H5_MAX_RANK);
    if (H5Pget_chunk(creation, rank, chunk) != rank)
        return h5_fail(file, name, "can't read the shape of its chunks");
    out->rank = rank;
    memcpy(out->dims, dims, (size_t)rank * sizeof *dims);
    memcpy(out->chunk_shape, chunk, (size_t)rank * sizeof *chunk);
    out->chunk_count = count_chunks(rank, dims, chunk);
    return STATUS_OK;
}

static enum status check_dataset(const struct h5_file *file, const char *name,
                                 hid_t dataset, hid_t creation, hid_t type,
                                 struct h5_storage *out)
{
    enum status status = check_type(file, name, type);
    if (status == STATUS_OK)
        status = check_layout(file, name, creation);
    if (status == STATUS_OK)
        status = read_shape(file, name, dataset, creation, out);
    out->element_size = H5Tget_size(type);
    if (status == STATUS_OK)
        status = check_sizes(file, name, out);
    if (status == STATUS_OK)
        status = check_width(file, name, type);
    if (status != STATUS_OK)
        return status;
    out->offsets = calloc(out->chunk_count + 1, sizeof *out->offsets);
    if (!out->offsets)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    return check_chunks(file, name, dataset, out, out->offsets);
}

enum status h5_check_storage(const struct h5_file *file, const char *name, hid_t dataset,
                             struct h5_storage *out)
{
    *out = (struct h5_storage){0};
    hid_t creation = H5Dget_create_plist(dataset), type = H5Dget_type(dataset);
    enum status status = creation < 0 || type < 0
                             ? h5_fail(file, name, "can't read how it is stored")
                             : check_dataset(file, name, dataset, creation, type, out);
    if (type >= 0)
        H5Tclose(type);
    if (creation >= 0)
        H5Pclose(creation);
    if (status != STATUS_OK)
        h5_storage_free(out);
    return status;
}

void h5_storage_free(struct h5_storage *storage)
{
    free(storage->offsets);
    storage->offsets = NULL;
}

enum status h5_open_checked(const struct h5_file *file, const char *name, hid_t *out,
                            struct h5_storage *storage)
{
    *out = H5I_INVALID_HID;
    enum status status = h5_check_links(file, name);
    if (status != STATUS_OK)
        return status;
    hid_t dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (dataset < 0)
        return h5_fail(file, name, "can't open the dataset");
    status = h5_check_storage(file, name, dataset, storage);
    if (status == STATUS_OK)
        *out = dataset;
    else
        H5Dclose(dataset);
    return status;
}
