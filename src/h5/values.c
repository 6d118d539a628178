/* values: datasets of the h5 unit: numbers, whole and in parts, and texts.
 *
 * Every dataset is chunked, also a tiny one, because HDF5's fletcher32 filter works on
 * chunks.
 */
#include "h5_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/phase.h"

enum { PART_BYTES = 4 << 20 };

/* ---- types ---- */

struct type_row {
    hid_t stored, native;
};

/* HDF5's types are variables, so this cannot be a constant table. */
static struct type_row type_row(enum h5_type type)
{
    switch (type) {
    case H5_U8:
        return (struct type_row){H5T_STD_U8LE, H5T_NATIVE_UINT8};
    case H5_U16:
        return (struct type_row){H5T_STD_U16LE, H5T_NATIVE_UINT16};
    case H5_U32:
        return (struct type_row){H5T_STD_U32LE, H5T_NATIVE_UINT32};
    case H5_U64:
        return (struct type_row){H5T_STD_U64LE, H5T_NATIVE_UINT64};
    case H5_I32:
        return (struct type_row){H5T_STD_I32LE, H5T_NATIVE_INT32};
    case H5_I64:
        return (struct type_row){H5T_STD_I64LE, H5T_NATIVE_INT64};
    case H5_F32:
        return (struct type_row){H5T_IEEE_F32LE, H5T_NATIVE_FLOAT};
    case H5_F64:
        break;
    }
    return (struct type_row){H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE};
}

size_t h5_type_size(enum h5_type type)
{
    static const uint8_t sizes[] = {
        [H5_U8] = 1,  [H5_U16] = 2, [H5_U32] = 4, [H5_U64] = 8,
        [H5_I32] = 4, [H5_I64] = 8, [H5_F32] = 4, [H5_F64] = 8};
    return sizes[type];
}

hid_t h5_stored_type(enum h5_type type)
{
    return type_row(type).stored;
}

/* HDF5 would store the nearest value that fits; a wrong number is worse than none. */
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

/* ---- making datasets ---- */

/* Of several dimensions whole rows, as many as make a chunk; a chunk may not be larger
 * than its dataset. */
void h5_chunk_shape(int rank, const hsize_t *dims, hsize_t *chunk)
{
    if (rank == 1) {
        chunk[0] = h5_chunk_length(dims[0]);
        return;
    }
    hsize_t room = H5_CHUNK;
    for (int d = rank - 1; d >= 0; d--) {
        chunk[d] = dims[d] < room ? dims[d] : room;
        if (chunk[d] == 0)
            chunk[d] = 1;
        room /= chunk[d];
    }
}

static hid_t dataset_properties(int rank, const hsize_t *dims)
{
    hsize_t chunk[H5_MAX_RANK];
    h5_chunk_shape(rank, dims, chunk);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    if (h5_set_object(creation) < 0 || H5Pset_chunk(creation, rank, chunk) < 0 ||
        H5Pset_fletcher32(creation) < 0) {
        H5Pclose(creation);
        return -1;
    }
    return creation;
}

/* The new dataset, open; below 0 with the message kept. */
static hid_t make_dataset(struct h5_file *file, const char *name, hid_t type, int rank,
                          const size_t *dims)
{
    if (rank < 1 || rank > H5_MAX_RANK) {
        status_fail(STATUS_FAILED, "%s: %s: %d dimensions (1 to %d)", file->path, name,
                    rank, H5_MAX_RANK);
        return -1;
    }
    if (h5_make_parents(file, name) != STATUS_OK)
        return -1;
    hsize_t extent[H5_MAX_RANK];
    for (int d = 0; d < rank; d++)
        extent[d] = dims[d];
    hid_t space = H5Screate_simple(rank, extent, NULL);
    hid_t creation = dataset_properties(rank, extent);
    hid_t dataset =
        H5Dcreate2(file->id, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (dataset < 0)
        h5_fail(file, name, "can't make the dataset");
    H5Pclose(creation);
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

/* Rows of the first dimension that are written at once: whole chunks. */
static hsize_t rows_at_once(int rank, const hsize_t *dims, size_t row_bytes)
{
    hsize_t chunk[H5_MAX_RANK];
    h5_chunk_shape(rank, dims, chunk);
    hsize_t rows = PART_BYTES / row_bytes;
    rows -= rows % chunk[0];
    return rows < chunk[0] ? chunk[0] : rows;
}

static enum status write_rows(const struct h5_file *file, const char *name, hid_t dataset,
                              hid_t native, int rank, const hsize_t *dims, hsize_t at,
                              const void *values)
{
    hsize_t start[H5_MAX_RANK] = {at};
    hid_t space = H5Dget_space(dataset), memory = H5Screate_simple(rank, dims, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, dims, NULL);
    enum status status = STATUS_OK;
    if (H5Dwrite(dataset, native, memory, space, H5P_DEFAULT, values) < 0)
        status = h5_fail(file, name, "can't write");
    H5Sclose(memory);
    H5Sclose(space);
    return status == STATUS_OK ? h5_disk_status(file) : status;
}

static enum status write_all_rows(struct h5_file *file, const char *name, hid_t dataset,
                                  hid_t stored, hid_t native, int rank,
                                  const size_t *dims, const void *values)
{
    if (element_count(rank, dims) == 0)
        return STATUS_OK;
    bool as_they_are = H5Tequal(stored, native) > 0;
    hsize_t extent[H5_MAX_RANK];
    for (int d = 0; d < rank; d++)
        extent[d] = dims[d];
    size_t row_bytes = element_count(rank, dims) / dims[0] * H5Tget_size(native);
    hsize_t most = rows_at_once(rank, extent, row_bytes);
    enum status status = STATUS_OK;
    for (hsize_t at = 0; at < dims[0] && status == STATUS_OK; at += most) {
        extent[0] = dims[0] - at < most ? dims[0] - at : most;
        const char *rows = (const char *)values + at * row_bytes;
        status = rank == 1 && as_they_are
                     ? h5_write_chunks(file, name, dataset, row_bytes, dims[0], at,
                                       extent[0], rows)
                     : write_rows(file, name, dataset, native, rank, extent, at, rows);
        h5_breathe(file);
    }
    return status;
}

static enum status write_dataset(struct h5_file *file, const char *name, hid_t stored,
                                 hid_t native, int rank, const size_t *dims,
                                 const void *values)
{
    hid_t dataset = make_dataset(file, name, stored, rank, dims);
    if (dataset < 0)
        return STATUS_FAILED;
    enum status status =
        write_all_rows(file, name, dataset, stored, native, rank, dims, values);
    if (H5Dclose(dataset) < 0 && status == STATUS_OK)
        status = h5_fail(file, name, "can't write");
    return status == STATUS_OK ? h5_disk_status(file) : status;
}

enum status h5_write(struct h5_file *file, const char *name, enum h5_type type, int rank,
                     const size_t *dims, const void *values)
{
    H5_HOLD_LOCK;
    struct type_row row = type_row(type);
    return write_dataset(file, name, row.stored, row.native, rank, dims, values);
}

/* ---- reading ---- */

/* A dataset of a file that is read must be stored as expected, which h5_verify may have
 * seen already; of one that is written, this unit has made it. */
static hid_t open_dataset(const struct h5_file *file, const char *name)
{
    hid_t dataset = H5I_INVALID_HID;
    struct h5_storage storage;
    if (!file->partial && !file->verified) {
        if (h5_open_dataset(file, name, &dataset, &storage) == STATUS_OK)
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

static enum status dataset_shape(const struct h5_file *file, const char *name,
                                 hid_t dataset, int *rank, size_t dims[H5_MAX_RANK])
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
    hid_t dataset = open_dataset(file, name);
    if (dataset < 0)
        return STATUS_FAILED;
    enum status status = dataset_shape(file, name, dataset, rank, dims);
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
    enum status status = dataset_shape(file, name, dataset, &found_rank, found);
    if (status != STATUS_OK)
        return status;
    if (found_rank == rank && memcmp(found, dims, (size_t)rank * sizeof *dims) == 0)
        return STATUS_OK;
    char have[80] = "", want[80] = "";
    shape_text(found_rank, found, have, sizeof have);
    shape_text(rank, dims, want, sizeof want);
    return status_fail(STATUS_FAILED, "%s: %s: shape %s (expected %s)", file->path, name,
                       have, want);
}

static H5T_class_t dataset_class(hid_t dataset)
{
    hid_t type = H5Dget_type(dataset);
    H5T_class_t class = H5Tget_class(type);
    H5Tclose(type);
    return class;
}

static enum status check_class(const struct h5_file *file, const char *name,
                               hid_t dataset, H5T_class_t expected)
{
    H5T_class_t found = dataset_class(dataset);
    if (found == expected)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: %s: holds %s (expected %s)", file->path, name,
                       class_name(found), class_name(expected));
}

/* Reads a selection, converted to `type`. */
static enum status read_selection(const struct h5_file *file, const char *name,
                                  hid_t dataset, enum h5_type type, hid_t memory,
                                  hid_t space, void *values)
{
    bool overflow = false;
    hid_t transfer = H5Pcreate(H5P_DATASET_XFER);
    H5Pset_type_conv_cb(transfer, refuse_overflow, &overflow);
    phase_move(); /* a slow disk is no hang */
    enum status status = STATUS_OK;
    if (H5Dread(dataset, type_row(type).native, memory, space, transfer, values) < 0) {
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
    hid_t dataset = open_dataset(file, name);
    if (dataset < 0)
        return STATUS_FAILED;
    enum status status =
        check_class(file, name, dataset, H5Tget_class(type_row(type).native));
    if (status == STATUS_OK)
        status = check_shape(file, name, dataset, rank, dims);
    if (status == STATUS_OK && element_count(rank, dims) > 0)
        status = read_selection(file, name, dataset, type, H5S_ALL, H5S_ALL, values);
    H5Dclose(dataset);
    return status;
}

/* ---- parts ---- */

/* Datasets used in parts stay open until the file is closed: closing one writes its chunk
 * out, and the next part would read it again. */
static enum status keep_open(struct h5_file *file, const char *name, hid_t dataset)
{
    struct open_dataset *list =
        realloc(file->open, (file->open_count + 1) * sizeof *file->open);
    if (list)
        file->open = list;
    char *copy = strdup(name);
    if (!list || !copy) {
        free(copy);
        H5Dclose(dataset);
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    }
    file->open[file->open_count++] = (struct open_dataset){copy, dataset};
    return STATUS_OK;
}

static hid_t kept_dataset(struct h5_file *file, const char *name)
{
    for (size_t i = 0; i < file->open_count; i++)
        if (strcmp(file->open[i].name, name) == 0)
            return file->open[i].id;
    hid_t dataset = open_dataset(file, name);
    if (dataset >= 0 && keep_open(file, name, dataset) != STATUS_OK)
        return -1;
    return dataset;
}

enum status h5_make(struct h5_file *file, const char *name, enum h5_type type,
                    size_t length)
{
    H5_HOLD_LOCK;
    hid_t dataset = make_dataset(file, name, type_row(type).stored, 1, &length);
    if (dataset < 0)
        return STATUS_FAILED;
    enum status status = keep_open(file, name, dataset);
    return status == STATUS_OK ? h5_disk_status(file) : status;
}

/* Opens the dataset and checks that [first, first + count) lies in its *length. */
static enum status find_part(struct h5_file *file, const char *name, enum h5_type type,
                             size_t first, size_t count, hid_t *dataset, size_t *length)
{
    *dataset = kept_dataset(file, name);
    if (*dataset < 0)
        return STATUS_FAILED;
    size_t dims[H5_MAX_RANK] = {0};
    int rank = 0;
    enum status status =
        check_class(file, name, *dataset, H5Tget_class(type_row(type).native));
    if (status == STATUS_OK)
        status = dataset_shape(file, name, *dataset, &rank, dims);
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

static hid_t part_space(hid_t dataset, size_t first, size_t count)
{
    hsize_t start = first, extent = count;
    hid_t space = H5Dget_space(dataset);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &extent, NULL);
    return space;
}

enum status h5_write_part(struct h5_file *file, const char *name, enum h5_type type,
                          size_t first, size_t count, const void *values)
{
    H5_HOLD_LOCK;
    hid_t dataset;
    size_t length = 0;
    enum status status = find_part(file, name, type, first, count, &dataset, &length);
    if (status != STATUS_OK || count == 0)
        return status;
    struct type_row row = type_row(type);
    if (H5Tequal(row.stored, row.native) > 0 && h5_is_whole_chunks(length, first, count))
        return h5_write_chunks(file, name, dataset, h5_type_size(type), length, first,
                               count, values);
    hsize_t extent = count;
    hid_t memory = H5Screate_simple(1, &extent, NULL);
    hid_t space = part_space(dataset, first, count);
    if (H5Dwrite(dataset, row.native, memory, space, H5P_DEFAULT, values) < 0)
        status = h5_fail(file, name, "can't write");
    H5Sclose(space);
    H5Sclose(memory);
    return status == STATUS_OK ? h5_disk_status(file) : status;
}

enum status h5_read_part(struct h5_file *file, const char *name, enum h5_type type,
                         size_t first, size_t count, void *values)
{
    H5_HOLD_LOCK;
    hid_t dataset;
    size_t length = 0;
    enum status status = find_part(file, name, type, first, count, &dataset, &length);
    if (status != STATUS_OK || count == 0)
        return status;
    hsize_t extent = count;
    hid_t memory = H5Screate_simple(1, &extent, NULL);
    hid_t space = part_space(dataset, first, count);
    status = read_selection(file, name, dataset, type, memory, space, values);
    H5Sclose(space);
    H5Sclose(memory);
    return status;
}

/* ---- texts ---- */

size_t h5_text_width(size_t count, const char *const *texts)
{
    size_t width = 1;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(texts[i]);
        width = length > width ? length : width;
    }
    return width;
}

hid_t h5_text_type(size_t width)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, width);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

char *h5_pad_texts(size_t count, const char *const *texts, size_t width)
{
    char *block = calloc(count + 1, width);
    for (size_t i = 0; block && i < count; i++)
        memcpy(block + i * width, texts[i], strlen(texts[i]));
    return block;
}

enum status h5_write_texts(struct h5_file *file, const char *name, size_t count,
                           const char *const *texts)
{
    H5_HOLD_LOCK;
    size_t width = h5_text_width(count, texts);
    char *block = h5_pad_texts(count, texts, width);
    if (!block)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    hid_t type = h5_text_type(width);
    enum status status = write_dataset(file, name, type, type, 1, &count, block);
    H5Tclose(type);
    free(block);
    return status;
}

enum status h5_write_text(struct h5_file *file, const char *name, const char *text)
{
    return h5_write_texts(file, name, 1, &text);
}

/* The block that h5_read_texts hands out: pointers, then the texts with their zeros. */
bool h5_is_padded(const char *text, size_t width)
{
    size_t length = strnlen(text, width);
    while (length < width && !text[length])
        length++;
    return length == width;
}

static enum status check_padding(const struct h5_file *file, const char *name,
                                 const char *padded, size_t count, size_t width)
{
    for (size_t i = 0; i < count; i++)
        if (!h5_is_padded(padded + i * width, width))
            return status_fail(STATUS_FAILED,
                               "%s: %s: row %zu: a zero byte within the text", file->path,
                               name, i);
    return STATUS_OK;
}

static char **spread_texts(const char *padded, size_t count, size_t width)
{
    char **texts = malloc((count + 1) * sizeof *texts + count * (width + 1));
    if (!texts)
        return NULL;
    char *to = (char *)(texts + count + 1);
    for (size_t i = 0; i < count; i++, to += width + 1) {
        texts[i] = to;
        memcpy(to, padded + i * width, width);
        to[width] = '\0';
    }
    texts[count] = NULL;
    return texts;
}

static enum status read_padded(const struct h5_file *file, const char *name,
                               hid_t dataset, hid_t type, size_t count, char ***texts)
{
    size_t width = H5Tget_size(type);
    char *padded = calloc(count + 1, width);
    if (!padded)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    enum status status = STATUS_OK;
    if (count > 0 && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, padded) < 0)
        status = h5_fail(file, name, "can't read");
    if (status == STATUS_OK)
        status = check_padding(file, name, padded, count, width);
    *texts = status == STATUS_OK ? spread_texts(padded, count, width) : NULL;
    if (status == STATUS_OK && !*texts)
        status = status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    free(padded);
    return status;
}

/* What is refused before it is read. */
struct text_limits {
    size_t widest, rows;
};

static enum status check_limits(const struct h5_file *file, const char *name,
                                const struct text_limits *most, size_t width, size_t rows)
{
    if (rows > most->rows)
        return status_fail(STATUS_FAILED, "%s: %s: %zu texts (expected %zu)", file->path,
                           name, rows, most->rows);
    if (width > most->widest)
        return status_fail(STATUS_FAILED, "%s: %s: a text of %zu bytes (at most %zu)",
                           file->path, name, width, most->widest);
    return STATUS_OK;
}

/* How many texts the column has. */
static enum status count_texts(const struct h5_file *file, const char *name,
                               hid_t dataset, size_t width,
                               const struct text_limits *most, size_t *count)
{
    size_t dims[H5_MAX_RANK];
    int rank = 0;
    enum status status = check_class(file, name, dataset, H5T_STRING);
    if (status == STATUS_OK)
        status = dataset_shape(file, name, dataset, &rank, dims);
    if (status != STATUS_OK)
        return status;
    if (rank != 1)
        return status_fail(STATUS_FAILED, "%s: %s: not a column of texts", file->path,
                           name);
    *count = dims[0];
    return check_limits(file, name, most, width, dims[0]);
}

static enum status read_column(const struct h5_file *file, const char *name,
                               const struct text_limits *most, size_t *count,
                               char ***texts)
{
    H5_HOLD_LOCK;
    *texts = NULL;
    *count = 0;
    hid_t dataset = open_dataset(file, name);
    if (dataset < 0)
        return STATUS_FAILED;
    hid_t type = H5Dget_type(dataset);
    enum status status = count_texts(file, name, dataset, H5Tget_size(type), most, count);
    if (status == STATUS_OK)
        status = read_padded(file, name, dataset, type, *count, texts);
    if (status != STATUS_OK)
        *count = 0;
    H5Tclose(type);
    H5Dclose(dataset);
    return status;
}

enum status h5_read_texts(const struct h5_file *file, const char *name, size_t *count,
                          char ***texts)
{
    static const struct text_limits most = {H5_WIDEST_COLUMN, SIZE_MAX};
    return read_column(file, name, &most, count, texts);
}

enum status h5_read_text(const struct h5_file *file, const char *name, char **text)
{
    static const struct text_limits most = {H5_LONGEST_TEXT, 1};
    *text = NULL;
    size_t count;
    char **texts;
    enum status status = read_column(file, name, &most, &count, &texts);
    if (status != STATUS_OK)
        return status;
    if (count != 1)
        status = status_fail(STATUS_FAILED, "%s: %s: %zu texts (expected 1)", file->path,
                             name, count);
    else if (!(*text = strdup(texts[0])))
        status = status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    free(texts);
    return status;
}
