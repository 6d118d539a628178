/* attributes: attributes of groups and datasets. They are stored in the object header,
 * whose checksum covers them and which limits them to 64 kB. */
#include "h5_internal.h"

#include <stdlib.h>
#include <string.h>

enum { ATTRIBUTE_BYTES = 60000 };

static enum status attribute_fail(const struct h5_file *file, const char *name,
                                  const char *attribute, const char *what)
{
    char text[160];
    snprintf(text, sizeof text, "attribute %s: %s", attribute, what);
    return h5_fail(file, name, text);
}

static hid_t open_object(const struct h5_file *file, const char *name)
{
    hid_t open = h5_find_open_dataset(file, name);
    if (open >= 0 && H5Iinc_ref(open) > 0) /* H5Oclose releases this reference only */
        return open;
    if (h5_check_links(file, name) != STATUS_OK)
        return -1;
    hid_t object = H5Oopen(file->id, name, H5P_DEFAULT);
    if (object < 0)
        h5_fail(file, name, "can't open");
    return object;
}

/* ---- writing ---- */

/* Replaces the attribute if it exists. */
static enum status write_attribute(struct h5_file *file, const char *name,
                                   const char *attribute, hid_t stored, hid_t native,
                                   hid_t space, const void *value)
{
    hid_t object = open_object(file, name);
    if (object < 0)
        return STATUS_FAILED;
    if (H5Aexists(object, attribute) > 0)
        H5Adelete(object, attribute);
    hid_t id = H5Acreate2(object, attribute, stored, space, H5P_DEFAULT, H5P_DEFAULT);
    enum status status = STATUS_OK;
    if (id < 0 || H5Awrite(id, native, value) < 0)
        status = attribute_fail(file, name, attribute, "can't write");
    if (id >= 0)
        H5Aclose(id);
    H5Oclose(object);
    return status == STATUS_OK ? h5_write_status(file) : status;
}

static enum status write_scalar(struct h5_file *file, const char *name,
                                const char *attribute, hid_t stored, hid_t native,
                                const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    enum status status =
        write_attribute(file, name, attribute, stored, native, space, value);
    H5Sclose(space);
    return status;
}

enum status h5_set_i64(struct h5_file *file, const char *name, const char *attribute,
                       int64_t value)
{
    H5_HOLD_LOCK;
    return write_scalar(file, name, attribute, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

enum status h5_set_u64(struct h5_file *file, const char *name, const char *attribute,
                       uint64_t value)
{
    H5_HOLD_LOCK;
    return write_scalar(file, name, attribute, H5T_STD_U64LE, H5T_NATIVE_UINT64, &value);
}

enum status h5_set_f64(struct h5_file *file, const char *name, const char *attribute,
                       double value)
{
    H5_HOLD_LOCK;
    return write_scalar(file, name, attribute, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

static enum status write_texts(struct h5_file *file, const char *name,
                               const char *attribute, hid_t space, size_t count,
                               const char *const *texts)
{
    size_t width = h5_text_width(count, texts);
    if (width * count > ATTRIBUTE_BYTES)
        return status_fail(STATUS_FAILED, "%s: %s: attribute %s: %zu bytes (at most %d)",
                           file->path, name, attribute, width * count, ATTRIBUTE_BYTES);
    char *block = h5_pad_texts(count, texts, width);
    if (!block)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    hid_t type = h5_text_type(width);
    enum status status = write_attribute(file, name, attribute, type, type, space, block);
    H5Tclose(type);
    free(block);
    return status;
}

enum status h5_set_text(struct h5_file *file, const char *name, const char *attribute,
                        const char *text)
{
    H5_HOLD_LOCK;
    hid_t space = H5Screate(H5S_SCALAR);
    enum status status = write_texts(file, name, attribute, space, 1, &text);
    H5Sclose(space);
    return status;
}

enum status h5_set_i64s(struct h5_file *file, const char *name, const char *attribute,
                        size_t count, const int64_t *values)
{
    H5_HOLD_LOCK;
    hsize_t extent = count;
    hid_t space = H5Screate_simple(1, &extent, NULL);
    enum status status = write_attribute(file, name, attribute, H5T_STD_I64LE,
                                         H5T_NATIVE_INT64, space, values);
    H5Sclose(space);
    return status;
}

enum status h5_set_texts(struct h5_file *file, const char *name, const char *attribute,
                         size_t count, const char *const *texts)
{
    H5_HOLD_LOCK;
    hsize_t extent = count;
    hid_t space = H5Screate_simple(1, &extent, NULL);
    enum status status = write_texts(file, name, attribute, space, count, texts);
    H5Sclose(space);
    return status;
}

/* ---- reading ---- */

static const char *class_name(H5T_class_t class)
{
    return class == H5T_STRING    ? "text of fixed length"
           : class == H5T_INTEGER ? "integer"
                                  : "floating-point number";
}

/* True for one value of the class, no larger than the attributes written here. */
static bool is_single_value(hid_t id, H5T_class_t class)
{
    hid_t type = H5Aget_type(id), space = H5Aget_space(id);
    size_t limit = class == H5T_STRING ? ATTRIBUTE_BYTES : sizeof(uint64_t);
    bool fits = H5Tget_class(type) == class && H5Tget_size(type) <= limit &&
                (class != H5T_STRING || H5Tis_variable_str(type) == 0) &&
                H5Sget_simple_extent_npoints(space) == 1;
    H5Sclose(space);
    H5Tclose(type);
    return fits;
}

/* Opens an attribute that has one value of the class. */
static enum status open_attribute(const struct h5_file *file, const char *name,
                                  const char *attribute, H5T_class_t class, hid_t *out)
{
    *out = -1;
    hid_t object = open_object(file, name);
    if (object < 0)
        return STATUS_FAILED;
    htri_t exists = H5Aexists(object, attribute);
    hid_t id = exists > 0 ? H5Aopen(object, attribute, H5P_DEFAULT) : -1;
    H5Oclose(object);
    if (exists == 0)
        return status_fail(STATUS_FAILED, "%s: %s: attribute %s: missing", file->path,
                           name, attribute);
    if (id < 0)
        return attribute_fail(file, name, attribute, "can't open");
    if (!is_single_value(id, class)) {
        H5Aclose(id);
        return status_fail(STATUS_FAILED, "%s: %s: attribute %s: not one %s", file->path,
                           name, attribute, class_name(class));
    }
    *out = id;
    return STATUS_OK;
}

static enum status read_number(const struct h5_file *file, const char *name,
                               const char *attribute, hid_t native, void *value)
{
    hid_t id;
    enum status status = open_attribute(file, name, attribute, H5Tget_class(native), &id);
    if (status != STATUS_OK)
        return status;
    if (H5Aread(id, native, value) < 0)
        status = attribute_fail(file, name, attribute, "can't read");
    H5Aclose(id);
    return status;
}

enum status h5_get_i64(const struct h5_file *file, const char *name,
                       const char *attribute, int64_t *value)
{
    H5_HOLD_LOCK;
    return read_number(file, name, attribute, H5T_NATIVE_INT64, value);
}

enum status h5_get_u64(const struct h5_file *file, const char *name,
                       const char *attribute, uint64_t *value)
{
    H5_HOLD_LOCK;
    return read_number(file, name, attribute, H5T_NATIVE_UINT64, value);
}

enum status h5_get_f64(const struct h5_file *file, const char *name,
                       const char *attribute, double *value)
{
    H5_HOLD_LOCK;
    return read_number(file, name, attribute, H5T_NATIVE_DOUBLE, value);
}

static enum status read_fixed(const struct h5_file *file, const char *name,
                              const char *attribute, hid_t id, hid_t type, char *text,
                              size_t size)
{
    size_t width = H5Tget_size(type);
    char *padded = calloc(width + 1, 1);
    if (!padded)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    enum status status = STATUS_OK;
    if (H5Aread(id, type, padded) < 0)
        status = attribute_fail(file, name, attribute, "can't read");
    else if (!h5_is_padded(padded, width))
        status = status_fail(STATUS_FAILED,
                             "%s: %s: attribute %s: a zero byte within the text",
                             file->path, name, attribute);
    else if (strlen(padded) >= size)
        status =
            status_fail(STATUS_FAILED, "%s: %s: attribute %s: %zu bytes (at most %zu)",
                        file->path, name, attribute, strlen(padded), size - 1);
    else
        strcpy(text, padded);
    free(padded);
    return status;
}

bool h5_has_attribute(const struct h5_file *file, const char *name, const char *attribute)
{
    H5_HOLD_LOCK;
    bool there =
        H5Aexists_by_name(file->id, name, attribute, H5P_DEFAULT) != 0; /* or failed */
    H5Eclear2(H5E_DEFAULT);
    return there;
}

enum status h5_get_text(const struct h5_file *file, const char *name,
                        const char *attribute, char *text, size_t size)
{
    H5_HOLD_LOCK;
    hid_t id;
    enum status status = open_attribute(file, name, attribute, H5T_STRING, &id);
    if (status != STATUS_OK)
        return status;
    hid_t type = H5Aget_type(id);
    status = read_fixed(file, name, attribute, id, type, text, size);
    H5Tclose(type);
    H5Aclose(id);
    return status;
}
