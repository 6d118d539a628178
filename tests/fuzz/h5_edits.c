/* h5_edits: see the header. An edit that fails is silently skipped. */
#include "h5_edits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAX_ELEMENTS = 1 << 16, /* that are read or written here */
    MAX_BYTES = 1 << 22,    /* of an attribute */
    MAX_RANK = 4,
    CHUNK = 65536,
    NAME_SIZE = 300
};

struct edit {
    hid_t file;
    const struct h5_names *names;
    struct fuzz_input *record;
};

/* ---- files and names ---- */

hid_t h5_edit_open(const char *path)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
    H5Pclose(access);
    FUZZ_REQUIRE(file >= 0);
    return file;
}

void h5_edit_close(hid_t file)
{
    H5Fclose(file);
    H5Eclear2(H5E_DEFAULT);
}

static herr_t add_name(hid_t file, const char *name, const H5O_info_t *info,
                       void *context)
{
    struct h5_names *names = context;
    (void)file;
    (void)info;
    char text[NAME_SIZE];
    snprintf(text, sizeof text, "/%s", strcmp(name, ".") == 0 ? "" : name);
    names->items = realloc(names->items, (names->count + 1) * sizeof *names->items);
    FUZZ_REQUIRE(names->items);
    names->items[names->count] = strdup(text);
    FUZZ_REQUIRE(names->items[names->count]);
    names->count++;
    return 0;
}

void h5_names_read(const char *path, struct h5_names *out)
{
    hid_t file = h5_edit_open(path);
    *out = (struct h5_names){0};
    FUZZ_REQUIRE(H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, add_name, out) >= 0);
    h5_edit_close(file);
}

struct fuzz_input h5_edit_record(struct fuzz_input *input)
{
    size_t size = input->size < EDIT_RECORD ? input->size : EDIT_RECORD;
    struct fuzz_input record = {input->bytes, size};
    input->bytes += size;
    input->size -= size;
    return record;
}

static const char *pick(struct edit *edit)
{
    return edit->names->items[fuzz_below(edit->record, edit->names->count)];
}

static void unlink_name(hid_t file, const char *name)
{
    if (strcmp(name, "/") != 0)
        H5Ldelete(file, name, H5P_DEFAULT);
}

/* ---- types and spaces ---- */

static hid_t text_type(size_t size)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, size);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

static hid_t compound_type(void)
{
    hid_t type = H5Tcreate(H5T_COMPOUND, 16);
    H5Tinsert(type, "a", 0, H5T_STD_I64LE);
    H5Tinsert(type, "b", 8, H5T_IEEE_F64LE);
    return type;
}

static hid_t enumeration_type(void)
{
    int8_t value = 1;
    hid_t type = H5Tenum_create(H5T_STD_I8LE);
    H5Tenum_insert(type, "one", &value);
    return type;
}

static hid_t number_type(size_t which)
{
    const hid_t numbers[] = {
        H5T_STD_U8LE,    H5T_STD_U16LE,  H5T_STD_U32LE,      H5T_STD_U64LE,
        H5T_STD_I8LE,    H5T_STD_I32LE,  H5T_STD_I64LE,      H5T_IEEE_F32LE,
        H5T_IEEE_F64LE,  H5T_STD_I64BE,  H5T_IEEE_F32BE,     H5T_STD_B64LE,
        H5T_STD_REF_OBJ, H5T_UNIX_D32LE, H5T_NATIVE_LDOUBLE,
    };
    return H5Tcopy(numbers[which % (sizeof numbers / sizeof *numbers)]);
}

static hid_t consume_type(struct edit *edit)
{
    enum { NUMBERS = 15 };
    size_t which = fuzz_below(edit->record, NUMBERS + 6);
    hsize_t length = 1 + fuzz_number(edit->record) % (1u << 20);
    switch (which) {
    case NUMBERS:
        return text_type(1 + (size_t)(fuzz_number(edit->record) % (1u << 31)));
    case NUMBERS + 1:
        return text_type(H5T_VARIABLE);
    case NUMBERS + 2:
        return compound_type();
    case NUMBERS + 3:
        return enumeration_type();
    case NUMBERS + 4:
        return H5Tarray_create2(H5T_STD_U8LE, 1, &length);
    case NUMBERS + 5:
        return H5Tvlen_create(H5T_STD_I64LE);
    default:
        return number_type(which);
    }
}

static int consume_dims(struct edit *edit, hsize_t dims[MAX_RANK])
{
    int rank = 1 + (int)fuzz_below(edit->record, MAX_RANK);
    for (int i = 0; i < rank; i++)
        dims[i] = fuzz_number(edit->record);
    return rank;
}

/* The product of the dimensions, at most MAX_ELEMENTS + 1. */
static size_t count_of(int rank, const hsize_t *dims)
{
    size_t count = 1;
    for (int i = 0; i < rank; i++) {
        if (dims[i] > MAX_ELEMENTS || count * dims[i] > MAX_ELEMENTS)
            count = MAX_ELEMENTS + 1;
        else
            count *= (size_t)dims[i];
        if (dims[i] == 0)
            return 0;
    }
    return count;
}

/* ---- making datasets ---- */

enum layout {
    LAYOUT_CHECKSUMMED,
    LAYOUT_CHUNKED,
    LAYOUT_DEFLATE,
    LAYOUT_SHUFFLE,
    LAYOUT_CONTIGUOUS,
    LAYOUT_COMPACT,
    LAYOUT_EXTERNAL,
    LAYOUT_VIRTUAL,
    LAYOUT_TINY,
    LAYOUT_HUGE,
    LAYOUTS
};

static void set_chunks(hid_t properties, enum layout layout, int rank,
                       const hsize_t *dims)
{
    hsize_t chunk[MAX_RANK], budget = layout == LAYOUT_HUGE ? 1u << 30 : CHUNK;
    if (layout == LAYOUT_TINY)
        budget = 1;
    for (int i = rank - 1; i >= 0; i--) {
        chunk[i] = dims[i] < budget ? dims[i] : budget;
        chunk[i] = chunk[i] ? chunk[i] : 1;
        budget = budget / chunk[i] ? budget / chunk[i] : 1;
    }
    H5Pset_chunk(properties, rank, chunk);
    if (layout == LAYOUT_DEFLATE)
        H5Pset_deflate(properties, 1);
    if (layout == LAYOUT_SHUFFLE)
        H5Pset_shuffle(properties);
    if (layout != LAYOUT_CHUNKED)
        H5Pset_fletcher32(properties);
}

static hid_t layout_properties(enum layout layout, hid_t space, int rank,
                               const hsize_t *dims)
{
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(properties, false);
    if (layout == LAYOUT_CONTIGUOUS || layout == LAYOUT_EXTERNAL)
        H5Pset_layout(properties, H5D_CONTIGUOUS);
    else if (layout == LAYOUT_COMPACT)
        H5Pset_layout(properties, H5D_COMPACT);
    else if (layout == LAYOUT_VIRTUAL)
        H5Pset_virtual(properties, space, "other.h5", "/there", space);
    else
        set_chunks(properties, layout, rank, dims);
    if (layout == LAYOUT_EXTERNAL)
        H5Pset_external(properties, "/dev/zero", 0, H5F_UNLIMITED);
    return properties;
}

/* Replaces any object of this name. Returns the open dataset, < 0 on failure. */
static hid_t make_dataset(hid_t file, const char *name, hid_t type, int rank,
                          const hsize_t *dims, enum layout layout)
{
    hid_t space = rank ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
    hid_t creation = space < 0 ? -1 : layout_properties(layout, space, rank, dims);
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    unlink_name(file, name);
    hid_t dataset = H5Dcreate2(file, name, type, space, links, creation, H5P_DEFAULT);
    H5Pclose(links);
    H5Pclose(creation);
    H5Sclose(space);
    return dataset;
}

void h5_edit_make(hid_t file, const char *name, hid_t type, int rank, const hsize_t *dims)
{
    H5Dclose(make_dataset(file, name, type, rank, dims, LAYOUT_CHECKSUMMED));
}

void h5_edit_text(hid_t file, const char *name, const char *text)
{
    hsize_t one = 1;
    size_t length = strlen(text);
    hid_t type = text_type(length ? length : 1);
    hid_t dataset = make_dataset(file, name, type, 1, &one, LAYOUT_CHECKSUMMED);
    H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text);
    H5Dclose(dataset);
    H5Tclose(type);
}

/* ---- existing objects ---- */

struct open_dataset { /* a dataset */
    hid_t id, type;
    H5T_class_t kind;
    int rank;
    hsize_t dims[H5S_MAX_RANK];
    size_t count;
    hid_t memory; /* the 8-byte type in which numbers are read; < 0: not numeric */
};

static hid_t memory_type(const struct open_dataset *found)
{
    if (found->kind == H5T_FLOAT)
        return H5T_NATIVE_DOUBLE;
    if (found->kind != H5T_INTEGER)
        return -1;
    return H5Tget_sign(found->type) == H5T_SGN_2 ? H5T_NATIVE_INT64 : H5T_NATIVE_UINT64;
}

static bool open_dataset(hid_t file, const char *name, struct open_dataset *found)
{
    H5O_info_t info;
    if (H5Oget_info_by_name2(file, name, &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0 ||
        info.type != H5O_TYPE_DATASET)
        return false;
    found->id = H5Dopen2(file, name, H5P_DEFAULT);
    if (found->id < 0)
        return false;
    found->type = H5Dget_type(found->id);
    found->kind = H5Tget_class(found->type);
    found->memory = memory_type(found);
    hid_t space = H5Dget_space(found->id);
    found->rank = H5Sget_simple_extent_dims(space, found->dims, NULL);
    found->count = H5Sget_simple_extent_type(space) == H5S_NULL
                       ? 0
                       : count_of(found->rank, found->dims);
    H5Sclose(space);
    return true;
}

static void close_dataset(struct open_dataset *found)
{
    H5Tclose(found->type);
    H5Dclose(found->id);
}

/* False where HDF5 would read past the end of a chunk that is too short, as one written
 * with a masked filter may be. The program's readers must refuse such a dataset before
 * that. */
static bool chunks_are_intact(const struct open_dataset *found)
{
    enum { MAX_CHUNKS = 1000 };
    hid_t space = H5Dget_space(found->id), properties = H5Dget_create_plist(found->id);
    bool chunked = H5Pget_layout(properties) == H5D_CHUNKED;
    hsize_t chunks = 0, offset[H5S_MAX_RANK], size;
    bool intact = !chunked || (H5Dget_num_chunks(found->id, space, &chunks) >= 0 &&
                               chunks <= MAX_CHUNKS);
    for (hsize_t i = 0; intact && chunked && i < chunks; i++) {
        unsigned mask = 0;
        haddr_t address;
        intact =
            H5Dget_chunk_info(found->id, space, i, offset, &mask, &address, &size) >= 0 &&
            mask == 0;
    }
    H5Pclose(properties);
    H5Sclose(space);
    return intact;
}

/* Its numbers as 8-byte elements, padded with zeros to `min_count`; NULL if not numeric. */
static uint64_t *read_numbers(const struct open_dataset *found, size_t min_count)
{
    size_t count = found->count > min_count ? found->count : min_count;
    if (found->memory < 0 || count > MAX_ELEMENTS || !chunks_are_intact(found))
        return NULL;
    uint64_t *values = calloc(count + 1, sizeof *values);
    FUZZ_REQUIRE(values);
    H5Dread(found->id, found->memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    return values;
}

size_t h5_edit_count(hid_t file, const char *name)
{
    struct open_dataset found;
    if (!open_dataset(file, name, &found))
        return 0;
    size_t count = found.count;
    close_dataset(&found);
    return count;
}

static bool transfer(hid_t file, const char *name, hid_t type, size_t count, void *values,
                     bool writes)
{
    struct open_dataset found;
    if (!open_dataset(file, name, &found))
        return false;
    bool done =
        found.memory >= 0 && found.count == count && chunks_are_intact(&found) &&
        (writes ? H5Dwrite(found.id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values)
                : H5Dread(found.id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values)) >= 0;
    close_dataset(&found);
    return done;
}

bool h5_edit_read(hid_t file, const char *name, hid_t type, size_t count, void *values)
{
    return transfer(file, name, type, count, values, false);
}

bool h5_edit_write(hid_t file, const char *name, hid_t type, size_t count,
                   const void *values)
{
    return transfer(file, name, type, count, (void *)(uintptr_t)values, true);
}

/* ---- edits of values ---- */

static uint64_t consume_value(struct edit *edit, H5T_class_t kind)
{
    uint64_t bits;
    double real;
    if (kind != H5T_FLOAT)
        return fuzz_number(edit->record);
    real = fuzz_real(edit->record);
    memcpy(&bits, &real, sizeof bits);
    return bits;
}

/* An attribute that already has this type is overwritten in place: in a header of
 * thousands of attributes HDF5 takes half a minute to delete one. */
static bool overwrite_attribute(hid_t object, const char *name, hid_t type, hid_t memory,
                                const void *value)
{
    if (H5Aexists(object, name) <= 0)
        return false;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    hid_t found = H5Aget_type(attribute), space = H5Aget_space(attribute);
    bool same = H5Tequal(found, type) > 0 && H5Sget_simple_extent_npoints(space) == 1 &&
                H5Awrite(attribute, memory, value) >= 0;
    H5Sclose(space);
    H5Tclose(found);
    H5Aclose(attribute);
    return same;
}

static void write_attribute(hid_t object, const char *name, hid_t type, hid_t space,
                            hid_t memory, const void *value)
{
    if (overwrite_attribute(object, name, type, memory, value))
        return;
    H5Adelete(object, name);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, memory, value);
    H5Aclose(attribute);
}

void h5_edit_text_attribute(hid_t file, const char *object, const char *name,
                            const char *text)
{
    hid_t id = H5Oopen(file, object, H5P_DEFAULT);
    hid_t type = text_type(text[0] ? strlen(text) : 1);
    hid_t space = H5Screate(H5S_SCALAR);
    write_attribute(id, name, type, space, type, text);
    H5Sclose(space);
    H5Tclose(type);
    H5Oclose(id);
}

/* The name of one of the object's attributes, or a new one. */
static void pick_attribute(struct edit *edit, const char *object, char name[NAME_SIZE])
{
    H5O_info_t info = {0};
    H5Oget_info_by_name2(edit->file, object, &info, H5O_INFO_NUM_ATTRS, H5P_DEFAULT);
    size_t which = fuzz_below(edit->record, (size_t)info.num_attrs + 1);
    snprintf(name, NAME_SIZE, "new");
    if (which < info.num_attrs)
        H5Aget_name_by_idx(edit->file, object, H5_INDEX_NAME, H5_ITER_INC, which, name,
                           NAME_SIZE, H5P_DEFAULT);
}

/* Sets another value of the same type. */
static void set_attribute(struct edit *edit)
{
    const char *object = pick(edit);
    char name[NAME_SIZE];
    pick_attribute(edit, object, name);
    hid_t attribute = H5Aopen_by_name(edit->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0)
        return;
    struct open_dataset found = {.type = H5Aget_type(attribute)};
    found.kind = H5Tget_class(found.type);
    H5Aclose(attribute);
    if (found.kind == H5T_STRING) {
        char *text = fuzz_text(edit->record, '\0');
        h5_edit_text_attribute(edit->file, object, name, text);
        free(text);
    } else if (memory_type(&found) >= 0) {
        uint64_t value = consume_value(edit, found.kind);
        hid_t id = H5Oopen(edit->file, object, H5P_DEFAULT);
        hid_t space = H5Screate(H5S_SCALAR);
        write_attribute(id, name, found.type, space, memory_type(&found), &value);
        H5Sclose(space);
        H5Oclose(id);
    }
    H5Tclose(found.type);
}

/* Changes the type, to several values or none. */
static void retype_attribute(struct edit *edit)
{
    const char *object = pick(edit);
    char name[NAME_SIZE];
    pick_attribute(edit, object, name);
    hid_t type = consume_type(edit);
    hsize_t count = fuzz_number(edit->record) % 5000;
    if (count > MAX_BYTES / H5Tget_size(type)) /* attributes are stored whole */
        count = 0;
    hid_t space = count ? H5Screate_simple(1, &count, NULL) : H5Screate(H5S_NULL);
    hid_t id = H5Oopen(edit->file, object, H5P_DEFAULT);
    H5Adelete(id, name);
    H5Aclose(H5Acreate2(id, name, type, space, H5P_DEFAULT, H5P_DEFAULT));
    H5Oclose(id);
    H5Sclose(space);
    H5Tclose(type);
}

static void delete_attribute(struct edit *edit)
{
    const char *object = pick(edit);
    char name[NAME_SIZE];
    pick_attribute(edit, object, name);
    H5Adelete_by_name(edit->file, object, name, H5P_DEFAULT);
}

static void write_elements(struct edit *edit)
{
    struct open_dataset found;
    if (!open_dataset(edit->file, pick(edit), &found))
        return;
    uint64_t *values = found.count ? read_numbers(&found, 0) : NULL;
    size_t first = (size_t)fuzz_number(edit->record);
    size_t times = 1 + fuzz_byte(edit->record) % 4;
    for (size_t i = 0; values && i < times; i++)
        values[(first + i) % found.count] = consume_value(edit, found.kind);
    if (values)
        H5Dwrite(found.id, found.memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    free(values);
    close_dataset(&found);
}

static void replace_text(struct edit *edit)
{
    const char *name = pick(edit);
    char *text = fuzz_text(edit->record, '\0');
    h5_edit_text(edit->file, name, text);
    free(text);
}

/* ---- edits of shape, type and storage ---- */

/* Recreates a dataset with other dimensions, type or layout, and as many of its numbers
 * as fit. */
static void recreate(struct edit *edit, bool shape, bool retype, bool relayout)
{
    const char *name = pick(edit);
    struct open_dataset found;
    hsize_t dims[H5S_MAX_RANK];
    if (!open_dataset(edit->file, name, &found))
        return;
    int rank = shape ? consume_dims(edit, dims) : found.rank;
    if (!shape)
        memcpy(dims, found.dims, sizeof dims);
    hid_t type = retype ? consume_type(edit) : H5Tcopy(found.type);
    enum layout layout =
        relayout ? (enum layout)fuzz_below(edit->record, LAYOUTS) : LAYOUT_CHECKSUMMED;
    size_t count = rank > MAX_RANK ? 0 : count_of(rank, dims);
    bool filled = fuzz_byte(edit->record) % 4 != 3;
    uint64_t *values = filled ? read_numbers(&found, count) : NULL;
    hid_t memory = found.memory;
    close_dataset(&found);
    if (rank <= MAX_RANK) {
        hid_t dataset = make_dataset(edit->file, name, type, rank, dims, layout);
        if (values)
            H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
        H5Dclose(dataset);
    }
    free(values);
    H5Tclose(type);
}

static void reshape(struct edit *edit)
{
    recreate(edit, true, false, false);
}

static void retype(struct edit *edit)
{
    recreate(edit, false, true, false);
}

static void relayout(struct edit *edit)
{
    recreate(edit, false, false, true);
}

static void recreate_all(struct edit *edit)
{
    recreate(edit, true, true, true);
}

/* Overwrites a chunk with modified bytes and a filter mask that may disable its checksum.
 */
static void mask_chunk(struct edit *edit)
{
    struct open_dataset found;
    hsize_t bytes = 0, offset[H5S_MAX_RANK] = {0};
    uint32_t mask = 0;
    if (!open_dataset(edit->file, pick(edit), &found))
        return;
    if (H5Dget_chunk_storage_size(found.id, offset, &bytes) >= 0 && bytes > 0 &&
        bytes <= 8 * (hsize_t)CHUNK) {
        uint8_t *chunk = malloc((size_t)bytes);
        FUZZ_REQUIRE(chunk);
        if (H5Dread_chunk(found.id, H5P_DEFAULT, offset, &mask, chunk) >= 0) {
            chunk[fuzz_number(edit->record) % bytes] ^= fuzz_byte(edit->record);
            mask = (uint32_t)fuzz_byte(edit->record);
            size_t cut = fuzz_byte(edit->record) % 8;
            size_t kept = cut < bytes ? (size_t)bytes - cut : (size_t)bytes;
            H5Dwrite_chunk(found.id, H5P_DEFAULT, mask, offset, kept, chunk);
        }
        free(chunk);
    }
    close_dataset(&found);
}

/* A decompression bomb: many chunks of zeros that are small on disk. */
static void decompression_bomb(struct edit *edit)
{
    enum { ZEROS = 1 << 20 };
    const char *name = pick(edit);
    hsize_t dim = (hsize_t)ZEROS << fuzz_below(edit->record, 8), bytes = 0, offset = 0;
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), type = consume_type(edit);
    hid_t space = H5Screate_simple(1, &dim, NULL);
    hsize_t chunk = ZEROS / (H5Tget_size(type) < ZEROS ? H5Tget_size(type) : ZEROS);
    uint32_t mask;
    H5Pset_chunk(properties, 1, &chunk);
    H5Pset_deflate(properties, 1);
    H5Pset_fletcher32(properties);
    unlink_name(edit->file, name);
    hid_t dataset =
        H5Dcreate2(edit->file, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    hid_t first = H5Screate_simple(1, &chunk, NULL), part = H5Dget_space(dataset);
    uint8_t *zeros = calloc(1, 2 * (size_t)ZEROS);
    FUZZ_REQUIRE(zeros);
    bool plain = H5Tget_class(type) == H5T_INTEGER || H5Tget_class(type) == H5T_FLOAT;
    H5Sselect_hyperslab(part, H5S_SELECT_SET, &offset, NULL, &chunk, NULL);
    if (plain && H5Dwrite(dataset, type, first, part, H5P_DEFAULT, zeros) >= 0 &&
        H5Dget_chunk_storage_size(dataset, &offset, &bytes) >= 0 && bytes <= ZEROS &&
        H5Dread_chunk(dataset, H5P_DEFAULT, &offset, &mask, zeros) >= 0)
        for (offset = chunk; offset < dim; offset += chunk)
            H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &offset, (size_t)bytes, zeros);
    free(zeros);
    H5Sclose(part);
    H5Sclose(first);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Tclose(type);
    H5Pclose(properties);
}

/* ---- edits of the tree ---- */

static void delete_link(struct edit *edit)
{
    unlink_name(edit->file, pick(edit));
}

static void relink(struct edit *edit)
{
    const char *name = pick(edit), *target = pick(edit);
    size_t which = fuzz_below(edit->record, 7);
    char self[NAME_SIZE] = "";
    H5Fget_name(edit->file, self, sizeof self);
    if (which > 0) /* a hard link may coexist with the old one */
        unlink_name(edit->file, name);
    switch (which) {
    case 0:
        H5Lcreate_hard(edit->file, target, edit->file, "/extra", H5P_DEFAULT,
                       H5P_DEFAULT);
        break;
    case 1:
        H5Lcreate_hard(edit->file, target, edit->file, name, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 2:
        H5Lcreate_soft(target, edit->file, name, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 3:
        H5Lcreate_external(self, target, edit->file, name, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 4:
        H5Lcreate_external("pipe", target, edit->file, name, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 5:
        H5Lcreate_external("/dev/zero", target, edit->file, name, H5P_DEFAULT,
                           H5P_DEFAULT);
        break;
    default:
        H5Lcreate_soft("/nowhere", edit->file, name, H5P_DEFAULT, H5P_DEFAULT);
    }
}

static void move_link(struct edit *edit)
{
    const char *from = pick(edit), *to = pick(edit);
    unlink_name(edit->file, to);
    H5Lmove(edit->file, from, edit->file, to, H5P_DEFAULT, H5P_DEFAULT);
}

static void copy_object(struct edit *edit)
{
    const char *from = pick(edit), *to = pick(edit);
    if (strcmp(from, "/") == 0) /* would copy itself */
        return;
    unlink_name(edit->file, to);
    H5Ocopy(edit->file, from, edit->file, to, H5P_DEFAULT, H5P_DEFAULT);
}

static void make_group(hid_t file, const char *name)
{
    H5Gclose(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

/* Puts a group or a named type where another object is expected. */
static void replace_object(struct edit *edit)
{
    const char *name = pick(edit);
    unlink_name(edit->file, name);
    if (fuzz_byte(edit->record) % 2) {
        make_group(edit->file, name);
        return;
    }
    hid_t type = consume_type(edit);
    H5Tcommit2(edit->file, name, type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(type);
}

/* Creates 2^levels paths to the same group, or a cycle. */
static void fan_out(struct edit *edit)
{
    size_t levels = fuzz_below(edit->record, 40);
    bool cyclic = fuzz_byte(edit->record) % 2;
    char above[NAME_SIZE] = "/fan", below[NAME_SIZE];
    make_group(edit->file, above);
    for (size_t i = 0; i < levels; i++) {
        snprintf(below, sizeof below, "/fan-%zu", i);
        make_group(edit->file, below);
        for (int way = 0; way < 2; way++) {
            char name[2 * NAME_SIZE];
            snprintf(name, sizeof name, "%s/%d", above, way);
            H5Lcreate_hard(edit->file, below, edit->file, name, H5P_DEFAULT, H5P_DEFAULT);
        }
        snprintf(above, sizeof above, "%s", below);
    }
    if (cyclic) {
        snprintf(below, sizeof below, "%.200s/back", above);
        H5Lcreate_hard(edit->file, "/", edit->file, below, H5P_DEFAULT, H5P_DEFAULT);
    }
}

static void add_members(struct edit *edit)
{
    const char *group = pick(edit);
    uint64_t count = fuzz_number(edit->record) % 1500;
    for (uint64_t i = 0; i < count; i++) {
        char name[2 * NAME_SIZE];
        snprintf(name, sizeof name, "%s/member-%llu", group, (unsigned long long)i);
        make_group(edit->file, name);
    }
}

void h5_edit(hid_t file, const struct h5_names *names, uint8_t kind,
             struct fuzz_input *record)
{
    static void (*const edits[EDIT_KINDS])(struct edit *) = {
        set_attribute,
        retype_attribute,
        delete_attribute,
        write_elements,
        replace_text,
        reshape,
        retype,
        relayout,
        recreate_all,
        mask_chunk,
        decompression_bomb,
        delete_link,
        relink,
        move_link,
        copy_object,
        replace_object,
        fan_out,
        add_members,
    };
    struct edit edit = {file, names, record};
    edits[kind % EDIT_KINDS](&edit);
    H5Eclear2(H5E_DEFAULT);
}
