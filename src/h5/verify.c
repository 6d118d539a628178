/* verify: reads all of a file, in pieces of bounded size, so that every checksum is
 * tested. */
#include "h5_internal.h"

#include <stdlib.h>
#include <string.h>

#include "tutti/file.h"
#include "tutti/phase.h"

enum { BLOCK_BYTES = 4 << 20, DEPTH_MAX = 32 };

struct rows {
    hsize_t count; /* of the first dimension */
    size_t bytes;  /* of one */
    hsize_t at_once;
};

/* Rows of the first dimension; at least a chunk's worth at once, as a chunk is read
 * whole. */
static struct rows count_rows(int rank, const hsize_t *dims, const hsize_t *chunk,
                              size_t element)
{
    struct rows rows = {.count = dims[0], .bytes = element};
    for (int d = 1; d < rank; d++)
        rows.bytes *= dims[d];
    rows.at_once = rows.bytes ? BLOCK_BYTES / rows.bytes : 1;
    rows.at_once -= rows.at_once % chunk[0];
    if (rows.at_once < chunk[0])
        rows.at_once = chunk[0];
    return rows;
}

static enum status read_rows(const struct h5_file *file, const char *name, hid_t dataset,
                             hid_t type, int rank, const hsize_t *dims, hsize_t at,
                             hsize_t count, void *block)
{
    hsize_t start[H5S_MAX_RANK] = {at}, extent[H5S_MAX_RANK];
    memcpy(extent, dims, (size_t)rank * sizeof *extent);
    extent[0] = count;
    hid_t space = H5Dget_space(dataset);
    hid_t memory = H5Screate_simple(rank, extent, NULL);
    phase_move(); /* a slow disk is no hang */
    enum status status = STATUS_OK;
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, extent, NULL) < 0 ||
        H5Dread(dataset, type, memory, space, H5P_DEFAULT, block) < 0)
        status = h5_fail(file, name, "can't read");
    H5Sclose(memory);
    H5Sclose(space);
    return status;
}

static enum status read_all_rows(const struct h5_file *file, const char *name,
                                 hid_t dataset, hid_t type, int rank, const hsize_t *dims,
                                 const hsize_t *chunk)
{
    struct rows rows = count_rows(rank, dims, chunk, H5Tget_size(type));
    if (rows.count == 0 || rows.bytes == 0)
        return STATUS_OK;
    hsize_t most = rows.count < rows.at_once ? rows.count : rows.at_once;
    void *block = malloc(most * rows.bytes);
    if (!block)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    enum status status = STATUS_OK;
    for (hsize_t at = 0; at < rows.count && status == STATUS_OK; at += most) {
        hsize_t left = rows.count - at;
        h5_yield();
        status = read_rows(file, name, dataset, type, rank, dims, at,
                           left < most ? left : most, block);
    }
    free(block);
    return status;
}

/* A dataset that is not of our kind (contiguous, or with its values in the global heap)
 * has no checksums that reading could test. */
static enum status check_dataset(const struct h5_file *file, const char *name,
                                 hid_t dataset)
{
    hsize_t dims[H5S_MAX_RANK], chunk[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset), creation = H5Dget_create_plist(dataset);
    hid_t type = H5Dget_type(dataset);
    int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    unsigned flags;
    size_t values = 0;
    bool checked = rank > 0 && H5Pget_chunk(creation, rank, chunk) == rank &&
                   H5Pget_filter_by_id2(creation, H5Z_FILTER_FLETCHER32, &flags, &values,
                                        NULL, 0, NULL, NULL) >= 0 &&
                   H5Tdetect_class(type, H5T_VLEN) == 0 && H5Tis_variable_str(type) <= 0;
    enum status status =
        checked ? read_all_rows(file, name, dataset, type, rank, dims, chunk)
                : status_fail(STATUS_FAILED,
                              "%s: %s: a dataset without checksums (expected "
                              "chunks with fletcher32)",
                              file->path, name);
    H5Eclear2(H5E_DEFAULT);
    H5Tclose(type);
    H5Pclose(creation);
    H5Sclose(space);
    return status;
}

static enum status check_group(const struct h5_file *file, const char *name, int depth);

static enum status check_object(const struct h5_file *file, const char *name, int depth)
{
    hid_t object = H5Oopen(file->id, name, H5P_DEFAULT);
    if (object < 0)
        return h5_fail(file, name, "can't open");
    H5I_type_t kind = H5Iget_type(object);
    enum status status = STATUS_OK;
    if (kind == H5I_DATASET)
        status = check_dataset(file, name, object);
    else if (kind == H5I_GROUP)
        status = check_group(file, name, depth + 1);
    H5Oclose(object);
    return status;
}

static enum status check_member(const struct h5_file *file, const char *group,
                                const char *member, int depth)
{
    char *name = path_format("%s%s%s", group, strcmp(group, "/") == 0 ? "" : "/", member);
    if (!name)
        return status_fail(STATUS_FAILED, "%s: out of memory", file->path);
    enum status status = check_object(file, name, depth);
    free(name);
    return status;
}

static enum status check_group(const struct h5_file *file, const char *name, int depth)
{
    if (depth > DEPTH_MAX)
        return status_fail(STATUS_FAILED, "%s: %s: groups nested deeper than %d",
                           file->path, name, DEPTH_MAX);
    char **members;
    size_t count;
    enum status status = h5_list(file, name, &members, &count);
    for (size_t i = 0; i < count; i++) {
        if (status == STATUS_OK)
            status = check_member(file, name, members[i], depth);
        free(members[i]);
    }
    free(members);
    return status;
}

enum status h5_verify(const struct h5_file *file)
{
    H5_HOLD_LOCK;
    return check_group(file, "/", 0);
}
