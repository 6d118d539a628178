/* slices: writes and reads one-dimensional datasets of numbers in slices.
 *
 * Datasets used in slices stay open until the file is closed: closing one would write its
 * cached chunk, and the next slice would read it again.
 */
#include "h5_internal.h"

#include <stdlib.h>
#include <string.h>

static enum status add_open_dataset(struct h5_file *file, const char *name, hid_t dataset)
{
    struct open_dataset *list = realloc(
        file->open_datasets, (file->open_count + 1) * sizeof *file->open_datasets);
    if (list)
        file->open_datasets = list;
    char *copy = strdup(name);
    if (!list || !copy) {
        free(copy);
        H5Dclose(dataset);
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    }
    file->open_datasets[file->open_count++] = (struct open_dataset){copy, dataset};
    return STATUS_OK;
}

hid_t h5_find_open_dataset(const struct h5_file *file, const char *name)
{
    for (size_t i = 0; i < file->open_count; i++)
        if (strcmp(file->open_datasets[i].name, name) == 0)
            return file->open_datasets[i].id;
    return H5I_INVALID_HID;
}

static hid_t find_or_open(struct h5_file *file, const char *name)
{
    hid_t dataset = h5_find_open_dataset(file, name);
    if (dataset >= 0)
        return dataset;
    dataset = h5_open_dataset(file, name);
    if (dataset >= 0 && add_open_dataset(file, name, dataset) != STATUS_OK)
        return -1;
    return dataset;
}

enum status h5_create_1d(struct h5_file *file, const char *name, enum h5_type type,
                         size_t length)
{
    H5_HOLD_LOCK;
    hid_t dataset = h5_create_dataset(file, name, h5_types_of(type).stored, 1, &length);
    if (dataset < 0)
        return STATUS_FAILED;
    enum status status = add_open_dataset(file, name, dataset);
    return status == STATUS_OK ? h5_write_status(file) : status;
}

/* Opens the dataset and checks that [first, first + count) lies in its *length. */
static enum status open_slice(struct h5_file *file, const char *name, enum h5_type type,
                              size_t first, size_t count, hid_t *dataset, size_t *length)
{
    *dataset = find_or_open(file, name);
    if (*dataset < 0)
        return STATUS_FAILED;
    size_t dims[H5_MAX_RANK] = {0};
    int rank = 0;
    enum status status =
        h5_check_class(file, name, *dataset, H5Tget_class(h5_types_of(type).native));
    if (status == STATUS_OK)
        status = h5_dataset_shape(file, name, *dataset, &rank, dims);
    if (status != STATUS_OK)
        return status;
    if (rank != 1 || first > dims[0] || count > dims[0] - first)
        return status_fail(STATUS_FAILED,
                           "%s: %s: %zu elements from %zu on (the dataset has %zu, in %d "
                           "dimensions)",
                           file->path, name, count, first, dims[0], rank);
    *length = dims[0];
    return STATUS_OK;
}

static hid_t slice_space(hid_t dataset, size_t first, size_t count)
{
    hsize_t start = first, extent = count;
    hid_t space = H5Dget_space(dataset);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &extent, NULL);
    return space;
}

/* True if the values are stored as they are in memory. */
static bool is_native(enum h5_type type)
{
    struct h5_types types = h5_types_of(type);
    return H5Tequal(types.stored, types.native) > 0;
}

enum status h5_write_slice(struct h5_file *file, const char *name, enum h5_type type,
                           size_t first, size_t count, const void *values)
{
    H5_HOLD_LOCK;
    hid_t dataset;
    size_t length = 0;
    enum status status = open_slice(file, name, type, first, count, &dataset, &length);
    if (status != STATUS_OK || count == 0)
        return status;
    const struct h5_span span = {length, first, count};
    if (is_native(type) && h5_is_whole_chunks(span))
        return h5_write_chunks(file, name, dataset, h5_type_size(type), span, values);
    hsize_t extent = count;
    hid_t memory = H5Screate_simple(1, &extent, NULL);
    hid_t space = slice_space(dataset, first, count);
    if (H5Dwrite(dataset, h5_types_of(type).native, memory, space, H5P_DEFAULT, values) <
        0)
        status = h5_fail(file, name, "can't write");
    H5Sclose(space);
    H5Sclose(memory);
    return status == STATUS_OK ? h5_write_status(file) : status;
}

enum status h5_write_chunk(struct h5_file *file, const char *name, enum h5_type type,
                           size_t first, size_t count, void *chunk)
{
    H5_HOLD_LOCK;
    hid_t dataset;
    size_t length = 0;
    enum status status = open_slice(file, name, type, first, count, &dataset, &length);
    if (status != STATUS_OK)
        return status;
    const struct h5_span span = {length, first, count};
    if (!h5_is_whole_chunks(span) || count > h5_chunk_length(length))
        return status_fail(STATUS_FAILED,
                           "%s: %s: %zu elements from %zu on (expected a whole chunk, of "
                           "%zu)",
                           file->path, name, count, first, h5_chunk_length(length));
    if (!is_native(type))
        return h5_write_slice(file, name, type, first, count, chunk);
    return h5_write_chunk_in_place(file, name, dataset, h5_type_size(type), span, chunk);
}

enum status h5_read_slice(struct h5_file *file, const char *name, enum h5_type type,
                          size_t first, size_t count, void *values)
{
    H5_HOLD_LOCK;
    hid_t dataset;
    size_t length = 0;
    enum status status = open_slice(file, name, type, first, count, &dataset, &length);
    if (status != STATUS_OK || count == 0)
        return status;
    hsize_t extent = count;
    hid_t memory = H5Screate_simple(1, &extent, NULL);
    hid_t space = slice_space(dataset, first, count);
    status = h5_read_selection(file, name, dataset, type, memory, space, values);
    H5Sclose(space);
    H5Sclose(memory);
    return status;
}
