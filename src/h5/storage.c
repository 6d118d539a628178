/* storage: how a dataset's values are kept. A file may claim anything of itself: lengths
 * that nothing is stored for, values in other files, types that no column here has,
 * chunks whose checksum is switched off. So a dataset is read only when it is stored as
 * this unit stores it: numbers or texts of fixed length, in chunks that fletcher32 and no
 * other filter has gone over, each of which is in the file, whole, once. Then the bytes
 * that reading takes are bytes that the file has, and no more memory needs to be planned
 * than that.
 *
 * The chunks are listed by the library, which reads its index of them; H5Dchunk_iter is
 * quick, H5Dget_chunk_info (HDF5 before 1.10.10) takes time by the square of the number,
 * which is bounded by what this unit would make of the length. */
#include "h5_internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_TEXT = 80, SPARE_CHUNKS = 256 };

static enum status refuse(const struct h5_file *file, const char *name, const char *what,
                          const char *expected)
{
    H5Eclear2(H5E_DEFAULT);
    return status_fail(STATUS_FAILED, "%s: %s: %s (expected %s)", file->path, name, what,
                       expected);
}

/* ---- type ---- */

static const char *other_class(H5T_class_t class)
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

/* NULL: one of those that this unit writes, or their like; else in words. */
static const char *unusual_type(hid_t type)
{
    H5T_class_t class = H5Tget_class(type);
    size_t size = H5Tget_size(type);
    if (H5Tcommitted(type) > 0)
        return "values of a named type";
    if (class == H5T_STRING)
        return H5Tis_variable_str(type) == 0 ? NULL : "texts of variable length";
    bool usual = false;
    if (class == H5T_INTEGER)
        usual = size <= sizeof(uint64_t) && H5Tget_precision(type) == CHAR_BIT * size;
    else if (class == H5T_FLOAT)
        usual = H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F64LE) > 0;
    return usual ? NULL : other_class(class);
}

enum status h5_check_type(const struct h5_file *file, const char *name, hid_t type)
{
    const char *unusual = unusual_type(type);
    return unusual ? refuse(file, name, unusual, "numbers, or texts of fixed length")
                   : STATUS_OK;
}

/* ---- layout and filters ---- */

static const char *other_layout(hid_t creation)
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
    char what[KIND_TEXT] = "a dataset without checksums";
    unsigned flags;
    size_t values = 0;
    const char *layout = other_layout(creation);
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

/* a * b, or UINT64_MAX where that is too large. */
static uint64_t times(uint64_t a, uint64_t b)
{
    return a && b > UINT64_MAX / a ? UINT64_MAX : a * b;
}

static uint64_t product(int rank, const hsize_t *dims)
{
    uint64_t all = 1;
    for (int d = 0; d < rank; d++)
        all = times(all, dims[d]);
    return all;
}

/* How many chunks of that shape cover the dataset. */
static uint64_t chunks_of(int rank, const hsize_t *dims, const hsize_t *chunk)
{
    uint64_t all = 1;
    for (int d = 0; d < rank; d++)
        all = times(all, dims[d] / chunk[d] + (dims[d] % chunk[d] != 0));
    return all;
}

static enum status check_sizes(const struct h5_file *file, const char *name,
                               const struct h5_storage *storage)
{
    hsize_t usual[H5_MAX_RANK];
    uint64_t chunk = times(product(storage->rank, storage->chunk), storage->element);
    uint64_t bytes = times(storage->chunks, chunk);
    if (storage->element > file->stored || bytes > file->stored || chunk > file->stored)
        return status_fail(STATUS_FAILED,
                           "%s: %s: %llu elements of %zu bytes in %llu chunks: more than "
                           "the file, of %llu bytes, can hold",
                           file->path, name,
                           (unsigned long long)product(storage->rank, storage->dims),
                           storage->element, (unsigned long long)storage->chunks,
                           (unsigned long long)file->stored);
    h5_chunk_shape(storage->rank, storage->dims, usual);
    uint64_t most = chunks_of(storage->rank, storage->dims, usual) + SPARE_CHUNKS;
    if (storage->chunks <= most)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: %s: %llu chunks (at most %llu)", file->path,
                       name, (unsigned long long)storage->chunks,
                       (unsigned long long)most);
}

/* A chunk is read whole, so what is too long is refused by its width. */
static enum status check_width(const struct h5_file *file, const char *name, hid_t type)
{
    size_t width = H5Tget_size(type);
    if (H5Tget_class(type) != H5T_STRING || width <= H5_LONGEST_TEXT)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: %s: a text of %zu bytes (at most %d)",
                       file->path, name, width, H5_LONGEST_TEXT);
}

/* ---- chunks ---- */

struct roll { /* the chunks that were seen */
    const struct h5_file *file;
    const struct h5_storage *storage;
    uint64_t size; /* of each, in the file */
    uint64_t *places;
    uint64_t seen;
    bool fine;
};

static uint64_t chunk_number(const struct h5_storage *storage, const hsize_t *offset)
{
    uint64_t number = 0;
    for (int d = 0; d < storage->rank; d++)
        number = number * chunks_of(1, &storage->dims[d], &storage->chunk[d]) +
                 offset[d] / storage->chunk[d];
    return number;
}

/* One of the chunks that are there. */
static bool take_chunk(struct roll *roll, const hsize_t *offset, unsigned mask,
                       haddr_t place, hsize_t size)
{
    const struct h5_storage *storage = roll->storage;
    roll->fine = mask == 0 && size == roll->size && place > 0 &&
                 place <= roll->file->size && size <= roll->file->size - place;
    for (int d = 0; roll->fine && d < storage->rank; d++)
        roll->fine = offset[d] < storage->dims[d];
    uint64_t number = roll->fine ? chunk_number(storage, offset) : 0;
    roll->fine = roll->fine && number < storage->chunks && !roll->places[number];
    if (roll->fine) {
        roll->places[number] = place;
        roll->seen++;
    }
    return roll->fine;
}

#if H5_VERSION_GE(1, 10, 10) && !(H5_VERSION_GE(1, 12, 0) && !H5_VERSION_GE(1, 12, 3))
static int take_next(const hsize_t *offset, unsigned mask, haddr_t place, hsize_t size,
                     void *roll)
{
    return take_chunk(roll, offset, mask, place, size) ? H5_ITER_CONT : H5_ITER_ERROR;
}

static bool take_chunks(hid_t dataset, struct roll *roll)
{
    return H5Dchunk_iter(dataset, H5P_DEFAULT, take_next, roll) >= 0;
}
#else
static bool take_chunks(hid_t dataset, struct roll *roll)
{
    hid_t space = H5Dget_space(dataset);
    hsize_t count = 0;
    bool fine =
        H5Dget_num_chunks(dataset, space, &count) >= 0 && count <= roll->storage->chunks;
    for (hsize_t i = 0; fine && i < count; i++) {
        hsize_t offset[H5_MAX_RANK] = {0}, size = 0;
        haddr_t place = 0;
        unsigned mask = 0;
        fine = H5Dget_chunk_info(dataset, space, i, offset, &mask, &place, &size) >= 0 &&
               take_chunk(roll, offset, mask, place, size);
    }
    H5Sclose(space);
    return fine;
}
#endif

static int compare_places(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

/* Chunks that share bytes would make a large dataset of a small file. */
static enum status check_overlap(const struct roll *roll, const char *name)
{
    uint64_t count = roll->storage->chunks;
    uint64_t *sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", roll->file->path,
                           name);
    memcpy(sorted, roll->places, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_places);
    uint64_t i = 1;
    while (i < count && sorted[i] - sorted[i - 1] >= roll->size)
        i++;
    free(sorted);
    return i >= count ? STATUS_OK
                      : refuse(roll->file, name, "chunks that overlap",
                               "each in a place of its own");
}

static enum status check_chunks(const struct h5_file *file, const char *name,
                                hid_t dataset, const struct h5_storage *storage,
                                uint64_t *places)
{
    struct roll roll = {
        .file = file,
        .storage = storage,
        .size = product(storage->rank, storage->chunk) * storage->element + H5_CHECKSUM,
        .places = places,
        .fine = true};
    bool listed = take_chunks(dataset, &roll);
    H5Eclear2(H5E_DEFAULT);
    if (listed && roll.seen == storage->chunks)
        return check_overlap(&roll, name);
    if (!roll.fine)
        return refuse(file, name, "a chunk without its checksum, or out of place",
                      "chunks with fletcher32");
    return status_fail(STATUS_FAILED, "%s: %s: %llu of its %llu chunks are in the file",
                       file->path, name, (unsigned long long)roll.seen,
                       (unsigned long long)storage->chunks);
}

/* ---- all of it ---- */

static enum status take_shape(const struct h5_file *file, const char *name, hid_t dataset,
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
    memcpy(out->chunk, chunk, (size_t)rank * sizeof *chunk);
    out->chunks = chunks_of(rank, dims, chunk);
    return STATUS_OK;
}

static enum status check_dataset(const struct h5_file *file, const char *name,
                                 hid_t dataset, hid_t creation, hid_t type,
                                 struct h5_storage *out)
{
    enum status status = h5_check_type(file, name, type);
    if (status == STATUS_OK)
        status = check_layout(file, name, creation);
    if (status == STATUS_OK)
        status = take_shape(file, name, dataset, creation, out);
    out->element = H5Tget_size(type);
    if (status == STATUS_OK)
        status = check_sizes(file, name, out);
    if (status == STATUS_OK)
        status = check_width(file, name, type);
    if (status != STATUS_OK)
        return status;
    out->places = calloc(out->chunks + 1, sizeof *out->places);
    if (!out->places)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    return check_chunks(file, name, dataset, out, out->places);
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
    free(storage->places);
    storage->places = NULL;
}

enum status h5_open_dataset(const struct h5_file *file, const char *name, hid_t *out,
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
