/* texts: columns of fixed-length strings, padded with zeros. */
#include "h5_internal.h"

#include <stdlib.h>
#include <string.h>

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
    enum status status =
        h5_write_dataset(file, name, (struct h5_types){type, type}, 1, &count, block);
    H5Tclose(type);
    free(block);
    return status;
}

enum status h5_write_text(struct h5_file *file, const char *name, const char *text)
{
    return h5_write_texts(file, name, 1, &text);
}

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

/* The block that h5_read_texts returns: pointers, then the zero-terminated texts. */
static char **unpack_texts(const char *padded, size_t count, size_t width)
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
    *texts = status == STATUS_OK ? unpack_texts(padded, count, width) : NULL;
    if (status == STATUS_OK && !*texts)
        status = status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    free(padded);
    return status;
}

/* Columns that exceed these limits are rejected before they are read. */
struct text_limits {
    size_t width, rows;
};

static enum status check_limits(const struct h5_file *file, const char *name,
                                const struct text_limits *limits, size_t width,
                                size_t rows)
{
    if (rows > limits->rows)
        return status_fail(STATUS_FAILED, "%s: %s: %zu texts (expected %zu)", file->path,
                           name, rows, limits->rows);
    if (width > limits->width)
        return status_fail(STATUS_FAILED, "%s: %s: a text of %zu bytes (at most %zu)",
                           file->path, name, width, limits->width);
    return STATUS_OK;
}

/* Checks the column's type, shape and limits; *count is its number of texts. */
static enum status count_texts(const struct h5_file *file, const char *name,
                               hid_t dataset, size_t width,
                               const struct text_limits *limits, size_t *count)
{
    size_t dims[H5_MAX_RANK];
    int rank = 0;
    enum status status = h5_check_class(file, name, dataset, H5T_STRING);
    if (status == STATUS_OK)
        status = h5_dataset_shape(file, name, dataset, &rank, dims);
    if (status != STATUS_OK)
        return status;
    if (rank != 1)
        return status_fail(STATUS_FAILED, "%s: %s: not a column of texts", file->path,
                           name);
    *count = dims[0];
    return check_limits(file, name, limits, width, dims[0]);
}

static enum status read_column(const struct h5_file *file, const char *name,
                               const struct text_limits *limits, size_t *count,
                               char ***texts)
{
    H5_HOLD_LOCK;
    *texts = NULL;
    *count = 0;
    hid_t dataset = h5_open_dataset(file, name);
    if (dataset < 0)
        return STATUS_FAILED;
    hid_t type = H5Dget_type(dataset);
    enum status status =
        count_texts(file, name, dataset, H5Tget_size(type), limits, count);
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
    static const struct text_limits limits = {H5_MAX_COLUMN_WIDTH, SIZE_MAX};
    return read_column(file, name, &limits, count, texts);
}

enum status h5_read_text(const struct h5_file *file, const char *name, char **text)
{
    static const struct text_limits limits = {H5_MAX_TEXT, 1};
    *text = NULL;
    size_t count;
    char **texts;
    enum status status = read_column(file, name, &limits, &count, &texts);
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
