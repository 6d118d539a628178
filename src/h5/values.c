/* values: whole datasets of numbers.
 *
 * Every dataset is chunked, even a tiny one, because HDF5's fletcher32 filter works on
 * chunks.
 */
#include "h5_internal.h"

#include <string.h>

#include "base/phase.h"

enum { BLOCK_BYTES = 4 << 20 };

/* ---- types ---- */

/* By default HDF5 would store the nearest value that fits; a wrong value is worse than an
 * error. */
static H5T_conv_ret_t refuse_overflow(H5T_conv_except_t what, hid_t from, hid_t to,
                                      void *value, void *result, void *context)
{
    (void)to;
    (void)value;
    (void)result;
    bool overflow = what == H5T_CONV_EXCEPT_RANGE_HI || what == H5T_CONV_EXCEPT_RANGE_LOW;
    if (!overflow || H5Tget_class(from) != H5T_INTEGER)
        return H5T_CONV_UNHANDLED;
    *(bool *)context = true;
    return H5T_CONV_ABORT;
}

static const char *class_name(H5T_class_t class)
{
    return class == H5T_INTEGER  ? "integers"
           : class == H5T_FLOAT  ? "floating-point numbers"
           : class == H5T_STRING ? "text"
                                 : "another type";
}

/* ---- creating datasets ---- */

static hid_t create_properties(void)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    if (h5_set_object_properties(creation) < 0 || H5Pset_fletcher32(creation) < 0) {
        H5Pclose(creation);
        return H5I_INVALID_HID;
    }
    return creation;
}

/* The properties of a new dataset, in a list that is kept for the next one; below 0 on
 * failure. The caller holds the library's lock. */
static hid_t dataset_properties(int rank, const hsize_t *dims)
{
    static hid_t creation = H5I_INVALID_HID;
    hsize_t chunk[H5_MAX_RANK];
    h5_chunk_shape(rank, dims, chunk);
    if (creation < 0)
        creation = create_properties();
    return H5Pset_chunk(creation, rank, chunk) < 0 ? H5I_INVALID_HID : creation;
}

hid_t h5_create_dataset(struct h5_file *file, const char *name, hid_t type, int rank,
                        const size_t *dims)
{
    if (rank < 1 || rank > H5_MAX_RANK) {
        status_fail(STATUS_FAILED, "%s: %s: %d dimensions (1 to %d)", file->path, name,
                    rank, H5_MAX_RANK);
        return -1;
    }
    if (h5_create_parents(file, name) != STATUS_OK)
        return -1;
    hsize_t extent[H5_MAX_RANK];
    for (int d = 0; d < rank; d++)
        extent[d] = dims[d];
    hid_t space = H5Screate_simple(rank, extent, NULL);
    hid_t creation = dataset_properties(rank, extent);
    hid_t dataset =
        H5Dcreate2(file->id, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (dataset < 0)
        h5_fail(file, name, "can't create the dataset");
    H5Sclose(space);
    return dataset;
}

static size_t element_count(int rank, const size_t *dims)
{
    size_t count = 1;
    for (int d = 0; d < rank; d++)
        count *= dims[d];
    return count;
}

/* Rows of the first dimension to write per call: whole chunks. */
static hsize_t rows_per_write(int rank, const hsize_t *dims, size_t row_bytes)
{
    hsize_t chunk[H5_MAX_RANK] = {1};
    h5_chunk_shape(rank, dims, chunk);
    hsize_t rows = BLOCK_BYTES / row_bytes;
    rows -= rows % chunk[0];
    return rows < chunk[0] ? chunk[0] : rows;
}

struct block { /* rows of the first dimension */
    int rank;
    hsize_t dims[H5_MAX_RANK]; /* dims[0] rows */
    hsize_t first;             /* row */
};

static enum status write_block(const struct h5_file *file, const char *name,
                               hid_t dataset, hid_t native, const struct block *block,
                               const void *values)
{
    hsize_t start[H5_MAX_RANK] = {block->first};
    hid_t space = H5Dget_space(dataset);
    hid_t memory = H5Screate_simple(block->rank, block->dims, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, block->dims, NULL);
    enum status status = STATUS_OK;
    if (H5Dwrite(dataset, native, memory, space, H5P_DEFAULT, values) < 0)
        status = h5_fail(file, name, "can't write");
    H5Sclose(memory);
    H5Sclose(space);
    return status == STATUS_OK ? h5_write_status(file) : status;
}

static enum status write_all_rows(struct h5_file *file, const char *name, hid_t dataset,
                                  struct h5_types types, int rank, const size_t *dims,
                                  const void *values)
{
    if (element_count(rank, dims) == 0)
        return STATUS_OK;
    bool as_chunks = rank == 1 && H5Tequal(types.stored, types.native) > 0;
    struct block block = {.rank = rank};
    for (int d = 0; d < rank; d++)
        block.dims[d] = dims[d];
    size_t row_bytes = element_count(rank, dims) / dims[0] * H5Tget_size(types.native);
    hsize_t limit = rows_per_write(rank, block.dims, row_bytes);
    enum status status = STATUS_OK;
    for (hsize_t at = 0; at < dims[0] && status == STATUS_OK; at += limit) {
        const char *rows = (const char *)values + at * row_bytes;
        block.first = at;
        block.dims[0] = dims[0] - at < limit ? dims[0] - at : limit;
        const struct h5_span span = {dims[0], at, block.dims[0]};
        status = as_chunks ? h5_write_chunks(file, name, dataset, row_bytes, span, rows)
                           : write_block(file, name, dataset, types.native, &block, rows);
        h5_yield_and_sync(file);
    }
    return status;
}

enum status h5_write_dataset(struct h5_file *file, const char *name,
                             struct h5_types types, int rank, const size_t *dims,
                             const void *values)
{
    hid_t dataset = h5_create_dataset(file, name, types.stored, rank, dims);
    if (dataset < 0)
        return STATUS_FAILED;
    enum status status = write_all_rows(file, name, dataset, types, rank, dims, values);
    if (H5Dclose(dataset) < 0 && status == STATUS_OK)
        status = h5_fail(file, name, "can't write");
    return status == STATUS_OK ? h5_write_status(file) : status;
}

enum status h5_write(struct h5_file *file, const char *name, enum h5_type type, int rank,
                     const size_t *dims, const void *values)
{
    H5_HOLD_LOCK;
    struct h5_types types = h5_types_of(type);
    return h5_write_dataset(file, name, types, rank, dims, values);
}

/* ---- reading ---- */

hid_t h5_open_dataset(const struct h5_file *file, const char *name)
{
    hid_t dataset = H5I_INVALID_HID;
    struct h5_storage storage;
    if (!file->partial && !file->verified) {
        if (h5_open_checked(file, name, &dataset, &storage) == STATUS_OK)
            h5_storage_free(&storage);
        return dataset;
    }
    if (h5_check_links(file, name) != STATUS_OK)
        return dataset;
    dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (dataset < 0)
        h5_fail(file, name, "can't open the dataset");
    return dataset;
}

enum status h5_dataset_shape(const struct h5_file *file, const char *name, hid_t dataset,
                             int *rank, size_t dims[H5_MAX_RANK])
{
    hsize_t extent[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    *rank = H5Sget_simple_extent_dims(space, extent, NULL);
    H5Sclose(space);
    if (*rank < 1 || *rank > H5_MAX_RANK)
        return status_fail(STATUS_FAILED, "%s: %s: %d dimensions (1 to %d expected)",
                           file->path, name, *rank, H5_MAX_RANK);
    for (int d = 0; d < *rank; d++)
        dims[d] = (size_t)extent[d];
    return STATUS_OK;
}

enum status h5_shape(const struct h5_file *file, const char *name, int *rank,
                     size_t dims[H5_MAX_RANK])
{
    H5_HOLD_LOCK;
    hid_t dataset = h5_open_dataset(file, name);
    if (dataset < 0)
        return STATUS_FAILED;
    enum status status = h5_dataset_shape(file, name, dataset, rank, dims);
    H5Dclose(dataset);
    return status;
}

static void shape_text(int rank, const size_t *dims, char *text, size_t size)
{
    size_t used = 0;
    for (int d = 0; d < rank && used < size; d++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s%zu", d ? " x " : "", dims[d]);
}

static enum status check_shape(const struct h5_file *file, const char *name,
                               hid_t dataset, int rank, const size_t *dims)
{
    size_t found[H5_MAX_RANK];
    int found_rank;
    enum status status = h5_dataset_shape(file, name, dataset, &found_rank, found);
    if (status != STATUS_OK)
        return status;
    if (found_rank == rank && memcmp(found, dims, (size_t)rank * sizeof *dims) == 0)
        return STATUS_OK;
    char found_text[80] = "", expected_text[80] = "";
    shape_text(found_rank, found, found_text, sizeof found_text);
    shape_text(rank, dims, expected_text, sizeof expected_text);
    return status_fail(STATUS_FAILED, "%s: %s: shape %s (expected %s)", file->path, name,
                       found_text, expected_text);
}

static H5T_class_t dataset_class(hid_t dataset)
{
    hid_t type = H5Dget_type(dataset);
    H5T_class_t class = H5Tget_class(type);
    H5Tclose(type);
    return class;
}

enum status h5_check_class(const struct h5_file *file, const char *name, hid_t dataset,
                           H5T_class_t expected)
{
    H5T_class_t found = dataset_class(dataset);
    if (found == expected)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: %s: holds %s (expected %s)", file->path, name,
                       class_name(found), class_name(expected));
}

enum status h5_read_selection(const struct h5_file *file, const char *name, hid_t dataset,
                              enum h5_type type, hid_t memory, hid_t space, void *values)
{
    bool overflow = false;
    hid_t transfer = H5Pcreate(H5P_DATASET_XFER);
    H5Pset_type_conv_cb(transfer, refuse_overflow, &overflow);
    phase_progress(); /* a slow disk is not a hang */
    enum status status = STATUS_OK;
    if (H5Dread(dataset, h5_types_of(type).native, memory, space, transfer, values) < 0) {
        status = h5_fail(file, name, "can't read");
        if (overflow)
            status = status_fail(STATUS_FAILED, "%s: %s: a value out of range",
                                 file->path, name);
    }
    H5Pclose(transfer);
    return status;
}

enum status h5_read(const struct h5_file *file, const char *name, enum h5_type type,
                    int rank, const size_t *dims, void *values)
{
    H5_HOLD_LOCK;
    hid_t dataset = h5_open_dataset(file, name);
    if (dataset < 0)
        return STATUS_FAILED;
    enum status status =
        h5_check_class(file, name, dataset, H5Tget_class(h5_types_of(type).native));
    if (status == STATUS_OK)
        status = check_shape(file, name, dataset, rank, dims);
    if (status == STATUS_OK && element_count(rank, dims) > 0)
        status = h5_read_selection(file, name, dataset, type, H5S_ALL, H5S_ALL, values);
    H5Dclose(dataset);
    return status;
}
