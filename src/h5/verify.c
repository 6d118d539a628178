/* verify: reads a whole file, in blocks of bounded size, so that every checksum is
 * verified.
 *
 * It stops at anything that this program never writes: links other than hard links, a
 * second link to an object (a few groups that link to each other would give unlimited
 * paths), named types, and datasets whose chunks overlap those of other datasets, so that
 * in total they have more bytes than the file. */
#include "h5_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "base/phase.h"

enum { BLOCK_BYTES = 4 << 20, DEPTH_MAX = 16, OBJECTS_MAX = 8192 };

struct address {
    uint8_t bytes[H5_ADDRESS];
};

struct walk {
    const struct h5_file *file;
    struct address *visited; /* objects */
    size_t count, capacity;
    uint64_t bytes; /* of all chunks so far */
};

/* ---- values ---- */

struct rows {
    hsize_t count; /* of the first dimension */
    size_t bytes;  /* of one row */
    hsize_t per_read;
};

/* Rows of the first dimension, and how many to read per call: at least those of one
 * chunk, because a chunk is read whole. */
static struct rows count_rows(const struct h5_storage *storage)
{
    struct rows rows = {.count = storage->dims[0], .bytes = storage->element_size};
    for (int d = 1; d < storage->rank; d++)
        rows.bytes *= storage->dims[d];
    rows.per_read = rows.bytes ? BLOCK_BYTES / rows.bytes : 1;
    rows.per_read -= rows.per_read % storage->chunk_shape[0];
    if (rows.per_read < storage->chunk_shape[0])
        rows.per_read = storage->chunk_shape[0];
    return rows;
}

struct dataset {
    const struct h5_file *file;
    const char *name;
    hid_t id, type;
    const struct h5_storage *storage;
};

static enum status read_rows(const struct dataset *dataset, hsize_t first, hsize_t count,
                             void *block)
{
    const struct h5_storage *storage = dataset->storage;
    hsize_t start[H5_MAX_RANK] = {first}, extent[H5_MAX_RANK];
    memcpy(extent, storage->dims, sizeof extent);
    extent[0] = count;
    hid_t space = H5Dget_space(dataset->id);
    hid_t memory = H5Screate_simple(storage->rank, extent, NULL);
    phase_progress(); /* a slow disk is not a hang */
    enum status status = STATUS_OK;
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, extent, NULL) < 0 ||
        H5Dread(dataset->id, dataset->type, memory, space, H5P_DEFAULT, block) < 0)
        status = h5_fail(dataset->file, dataset->name, "can't read");
    H5Sclose(memory);
    H5Sclose(space);
    return status;
}

static enum status read_all_rows(const struct dataset *dataset)
{
    struct rows rows = count_rows(dataset->storage);
    if (rows.count == 0 || rows.bytes == 0)
        return STATUS_OK;
    hsize_t limit = rows.count < rows.per_read ? rows.count : rows.per_read;
    void *block = malloc(limit * rows.bytes);
    if (!block)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", dataset->file->path,
                           dataset->name);
    enum status status = STATUS_OK;
    for (hsize_t at = 0; at < rows.count && status == STATUS_OK; at += limit) {
        hsize_t left = rows.count - at;
        h5_yield();
        status = read_rows(dataset, at, left < limit ? left : limit, block);
    }
    free(block);
    return status;
}

/* All chunks are in the file, so without overlap their total can't exceed its size. */
static enum status add_chunk_bytes(struct walk *walk, const char *name,
                                   const struct h5_storage *storage)
{
    uint64_t chunk = storage->element_size;
    for (int d = 0; d < storage->rank; d++)
        chunk *= storage->chunk_shape[d];
    walk->bytes += storage->chunk_count * (chunk + H5_CHECKSUM_SIZE);
    if (walk->bytes <= walk->file->size)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: %s: its chunks overlap those of others",
                       walk->file->path, name);
}

static enum status check_dataset(struct walk *walk, const char *name, hid_t dataset)
{
    struct h5_storage storage;
    enum status status = h5_check_storage(walk->file, name, dataset, &storage);
    if (status != STATUS_OK)
        return status;
    hid_t type = H5Dget_type(dataset);
    status = add_chunk_bytes(walk, name, &storage);
    if (status == STATUS_OK)
        status =
            read_all_rows(&(struct dataset){walk->file, name, dataset, type, &storage});
    H5Tclose(type);
    h5_storage_free(&storage);
    return status;
}

/* ---- objects ---- */

static enum status check_group(struct walk *walk, const char *name, int depth);

static enum status check_object(struct walk *walk, const char *name, int depth)
{
    hid_t object = H5Oopen(walk->file->id, name, H5P_DEFAULT);
    if (object < 0)
        return h5_fail(walk->file, name, "can't open");
    H5I_type_t kind = H5Iget_type(object);
    enum status status = STATUS_OK;
    if (kind == H5I_DATASET)
        status = check_dataset(walk, name, object);
    else if (kind == H5I_GROUP)
        status = check_group(walk, name, depth + 1);
    else
        status = status_fail(STATUS_FAILED,
                             "%s: %s: a named type (expected a group or a dataset)",
                             walk->file->path, name);
    H5Oclose(object);
    return status;
}

static enum status record_object(struct walk *walk, const char *name,
                                 const struct h5_member *member)
{
    for (size_t i = 0; i < walk->count; i++)
        if (memcmp(walk->visited[i].bytes, member->address, H5_ADDRESS) == 0)
            return status_fail(STATUS_FAILED,
                               "%s: %s: a second link to an object (expected one each)",
                               walk->file->path, name);
    if (walk->count == OBJECTS_MAX)
        return status_fail(STATUS_FAILED, "%s: %s: more than %d objects",
                           walk->file->path, name, OBJECTS_MAX);
    struct address *grown =
        array_reserve(walk->visited, &walk->capacity, walk->count + 1, sizeof *grown);
    if (!grown)
        return STATUS_FAILED;
    walk->visited = grown;
    memcpy(grown[walk->count++].bytes, member->address, H5_ADDRESS);
    return STATUS_OK;
}

static enum status check_member(struct walk *walk, const char *group,
                                const struct h5_member *member, int depth)
{
    char *name =
        path_format("%s%s%s", group, strcmp(group, "/") == 0 ? "" : "/", member->name);
    if (!name)
        return status_fail(STATUS_FAILED, "%s: out of memory", walk->file->path);
    enum status status = h5_check_links(walk->file, name);
    if (status == STATUS_OK)
        status = record_object(walk, name, member);
    if (status == STATUS_OK)
        status = check_object(walk, name, depth);
    free(name);
    return status;
}

static enum status check_group(struct walk *walk, const char *name, int depth)
{
    if (depth > DEPTH_MAX)
        return status_fail(STATUS_FAILED, "%s: %s: groups nested deeper than %d",
                           walk->file->path, name, DEPTH_MAX);
    struct h5_members members;
    enum status status = h5_list_members(walk->file, name, &members);
    for (size_t i = 0; i < members.count && status == STATUS_OK; i++)
        status = check_member(walk, name, &members.list[i], depth);
    h5_members_free(&members);
    return status;
}

enum status h5_verify(struct h5_file *file)
{
    H5_HOLD_LOCK;
    struct walk walk = {.file = file};
    enum status status = check_group(&walk, "/", 0);
    free(walk.visited);
    file->verified = status == STATUS_OK;
    return status;
}
