/* h5, foreign files: made with HDF5 itself, in forms that this program never writes. Each
 * must be refused by name, before anything that it refers to is opened, waited for or
 * allocated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remove_tree.h"
#include "base/file.h"
#include "h5/h5.h"

enum { LENGTH = 1000, CHUNK = 300 };

static char directory[] = "/tmp/tutti-test-h5-refused-XXXXXX";
static char path[256], pipe_path[256];

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/file.h5", directory);
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe", directory);
    return mkfifo(pipe_path, 0600);
}

static int remove_directory(void **state)
{
    (void)state;
    return file_remove_tree(directory) == STATUS_OK ? 0 : -1;
}

/* ---- making files ---- */

static hid_t new_file(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    assert_true(file >= 0);
    return file;
}

/* Creation properties for chunks with fletcher32; a test may add invalid ones. */
static hid_t chunked(hsize_t chunk)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_chunk(creation, 1, &chunk) >= 0);
    assert_true(H5Pset_fletcher32(creation) >= 0);
    return creation;
}

/* Makes a column of `length` without values; closes `creation`. */
static hid_t make(hid_t file, const char *name, hid_t type, hsize_t length,
                  hid_t creation)
{
    hid_t space = H5Screate_simple(1, &length, NULL);
    hid_t dataset =
        H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Sclose(space);
    H5Pclose(creation);
    return dataset;
}

static void fill(hid_t dataset)
{
    float values[LENGTH];
    for (int i = 0; i < LENGTH; i++)
        values[i] = (float)i;
    assert_true(
        H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
}

/* Adds a valid column, which every file here has. */
static void add_good(hid_t file, const char *name)
{
    fill(make(file, name, H5T_IEEE_F32LE, LENGTH, chunked(CHUNK)));
}

/* ---- expectations ---- */

static void fails(enum status status, const char *name, const char *with)
{
    char start[512];
    assert_int_equal(status, STATUS_FAILED);
    snprintf(start, sizeof start, "%s: %s: ", path, name);
    if (strncmp(status_message(), start, strlen(start)) != 0 ||
        !strstr(status_message(), with) || strchr(status_message(), '\n'))
        fail_msg("message \"%s\" is not \"%s...%s\"", status_message(), start, with);
}

/* h5_read, h5_shape, the listing of chunks and h5_verify must all refuse it. */
static void refused(const char *name, const char *with)
{
    struct h5_file *file;
    struct h5_chunks chunks;
    float values[LENGTH];
    size_t dims[H5_MAX_RANK];
    int rank;
    assert_int_equal(h5_open(path, &file), STATUS_OK);
    fails(h5_read(file, name, H5_F32, 1, (size_t[]){LENGTH}, values), name, with);
    fails(h5_shape(file, name, &rank, dims), name, with);
    fails(h5_read_slice(file, name, H5_F32, 0, 1, values), name, with);
    fails(h5_chunks_find(file, name, H5_F32, &chunks), name, with);
    fails(h5_verify(file), name, with);
    h5_abandon(file);
}

static void accepted(const char *name)
{
    struct h5_file *file;
    float values[LENGTH];
    assert_int_equal(h5_open(path, &file), STATUS_OK);
    assert_int_equal(h5_read(file, name, H5_F32, 1, (size_t[]){LENGTH}, values),
                     STATUS_OK);
    assert_true(values[LENGTH - 1] == LENGTH - 1);
    if (h5_verify(file) != STATUS_OK)
        fail_msg("%s", status_message());
    h5_abandon(file);
}

static void reads_well_formed_columns(void **state)
{
    (void)state;
    hid_t file = new_file();
    add_good(file, "/column");
    H5Fclose(file);
    accepted("/column");
}

/* ---- links ---- */

static void rejects_other_links(void **state)
{
    (void)state;
    hid_t file = new_file();
    add_good(file, "/column");
    H5Lcreate_soft("/column", file, "/soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    refused("/soft", "a soft link (expected a hard link)");
    file = new_file();
    H5Lcreate_external(pipe_path, "/x", file, "/outside", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    refused("/outside", "a link to another file"); /* and doesn't wait for the pipe */
}

/* A path through a link is refused at the link. */
static void rejects_names_below_other_links(void **state)
{
    (void)state;
    struct h5_file *read;
    char text[16];
    hid_t file = new_file();
    H5Lcreate_external(pipe_path, "/", file, "/outside", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    assert_int_equal(h5_open(path, &read), STATUS_OK);
    assert_true(h5_has(read, "/outside") && h5_has(read, "/outside/below"));
    fails(h5_get_text(read, "/outside/below", "fact", text, sizeof text),
          "/outside/below", "a link to another file");
    h5_abandon(read);
}

/* Twenty groups, each linking to the next one twice: a million paths to the last. */
static void rejects_second_link_to_an_object(void **state)
{
    (void)state;
    struct h5_file *read;
    hid_t file = new_file(),
          at = H5Gcreate2(file, "top", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    for (int i = 0; i < 20; i++) {
        hid_t below = H5Gcreate2(at, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        H5Lcreate_hard(at, "a", at, "b", H5P_DEFAULT, H5P_DEFAULT);
        H5Gclose(at);
        at = below;
    }
    H5Gclose(at);
    H5Fclose(file);
    assert_int_equal(h5_open(path, &read), STATUS_OK);
    assert_int_equal(h5_verify(read), STATUS_FAILED);
    h5_abandon(read);
    file = new_file();
    add_good(file, "/column");
    H5Lcreate_hard(file, "/column", file, "/twice", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/", file, "/whole", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    assert_int_equal(h5_open(path, &read), STATUS_OK);
    fails(h5_verify(read), "/twice", "a second link");
    h5_abandon(read);
}

static void rejects_groups_of_too_many_members(void **state)
{
    (void)state;
    struct h5_file *read;
    char **names, name[16];
    size_t count;
    hid_t file = new_file();
    for (int i = 0; i < 1025; i++) {
        snprintf(name, sizeof name, "%d", i);
        H5Gclose(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
    H5Fclose(file);
    assert_int_equal(h5_open(path, &read), STATUS_OK);
    fails(h5_list(read, "/", &names, &count), "/", "1025 members (at most 1024)");
    fails(h5_verify(read), "/", "1025 members");
    h5_abandon(read);
}

static void rejects_named_types(void **state)
{
    (void)state;
    struct h5_file *read;
    hid_t file = new_file(), type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tcommit2(file, "/type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    fill(make(file, "/a", type, LENGTH, chunked(CHUNK)));
    H5Tclose(type);
    H5Fclose(file);
    refused("/a", "values of a named type");
    file = new_file();
    type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tcommit2(file, "/type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(type);
    H5Fclose(file);
    assert_int_equal(h5_open(path, &read), STATUS_OK);
    fails(h5_verify(read), "/type", "a named type");
    h5_abandon(read);
}

/* ---- storage ---- */

static void rejects_external_storage(void **state)
{
    (void)state;
    hsize_t length = LENGTH;
    hid_t file = new_file(), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, pipe_path, 0, H5F_UNLIMITED);
    H5Dclose(make(file, "/raw", H5T_IEEE_F32LE, LENGTH, creation));
    H5Fclose(file);
    refused("/raw", "values in other files");
    file = new_file();
    creation = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(1, &length, NULL);
    H5Pset_virtual(creation, space, pipe_path, "x", space);
    H5Sclose(space);
    H5Dclose(make(file, "/virtual", H5T_IEEE_F32LE, LENGTH, creation));
    H5Fclose(file);
    refused("/virtual", "a virtual dataset");
}

static void rejects_storage_without_checksums(void **state)
{
    (void)state;
    hsize_t chunk = CHUNK;
    const H5D_layout_t layouts[] = {H5D_CONTIGUOUS, H5D_COMPACT, H5D_CHUNKED};
    for (int i = 0; i < 3; i++) {
        hid_t file = new_file(), creation = H5Pcreate(H5P_DATASET_CREATE);
        H5Pset_layout(creation, layouts[i]);
        if (layouts[i] == H5D_CHUNKED)
            H5Pset_chunk(creation, 1, &chunk);
        fill(make(file, "/column", H5T_IEEE_F32LE, LENGTH, creation));
        H5Fclose(file);
        refused("/column",
                "a dataset without checksums (expected chunks with fletcher32)");
    }
}

static void rejects_other_filters(void **state)
{
    (void)state;
    hid_t file = new_file(), creation = chunked(CHUNK);
    H5Pset_shuffle(creation);
    fill(make(file, "/column", H5T_IEEE_F32LE, LENGTH, creation));
    H5Fclose(file);
    refused("/column", "2 filters");
    file = new_file();
    creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk = CHUNK;
    H5Pset_chunk(creation, 1, &chunk);
    H5Pset_shuffle(creation);
    fill(make(file, "/column", H5T_IEEE_F32LE, LENGTH, creation));
    H5Fclose(file);
    refused("/column", "1 filter, the first of number 2");
}

/* Chunks whose filter mask disables the checksum; in one case their size shows it,
 * too. */
static void rejects_chunks_without_checksum(void **state)
{
    (void)state;
    float values[CHUNK + 1] = {0};
    for (size_t spare = 0; spare < 2; spare++) {
        hid_t file = new_file();
        hid_t dataset = make(file, "/column", H5T_IEEE_F32LE, LENGTH, chunked(CHUNK));
        for (hsize_t at = 0; at < LENGTH; at += CHUNK)
            assert_true(
                H5Dwrite_chunk(dataset, H5P_DEFAULT, at == CHUNK, &at,
                               (CHUNK + (at == CHUNK ? spare : 1)) * sizeof(float),
                               values) >= 0);
        H5Dclose(dataset);
        H5Fclose(file);
        refused("/column", "a chunk without its checksum");
    }
}

static void rejects_unsupported_types(void **state)
{
    (void)state;
    hid_t odd = H5Tcopy(H5T_STD_I32LE), half = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_precision(odd, 17);
    H5Tset_fields(half, 15, 10, 5, 0, 10);
    hid_t compound = H5Tcreate(H5T_COMPOUND, 8);
    H5Tinsert(compound, "a", 0, H5T_IEEE_F64LE);
    hid_t words = H5Tenum_create(H5T_STD_I32LE);
    H5Tenum_insert(words, "one", &(int32_t){1});
    hid_t texts = H5Tcopy(H5T_C_S1);
    H5Tset_size(texts, H5T_VARIABLE);
    const struct {
        hid_t type;
        const char *what;
    } types[] = {
        {odd, "integers of an unusual kind"},
        {half, "floating-point numbers of an unusual kind"},
        {compound, "compound values"},
        {texts, "texts of variable length"},
        {H5Tvlen_create(H5T_IEEE_F32LE), "values of variable length"},
        {H5Tarray_create2(H5T_IEEE_F32LE, 1, (hsize_t[]){4}), "arrays"},
        {words, "enumerated values"},
        {H5Tcreate(H5T_OPAQUE, 4), "opaque values"},
        {H5Tcopy(H5T_STD_REF_OBJ), "references"},
        {H5Tcopy(H5T_STD_B32LE), "bit fields"},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        hid_t file = new_file();
        H5Dclose(make(file, "/column", types[i].type, LENGTH,
                      H5Pcreate(H5P_DATASET_CREATE))); /* fletcher32 rejects some types */
        H5Tclose(types[i].type);
        H5Fclose(file);
        refused("/column", types[i].what);
    }
}

/* ---- sizes ---- */

static void rejects_lengths_without_data(void **state)
{
    (void)state;
    const struct {
        hsize_t length, chunk;
    } sizes[] = {{(hsize_t)1 << 27, 65536},
                 {(hsize_t)1 << 45, 1024},
                 {((hsize_t)1 << 30) - 1, ((hsize_t)1 << 30) - 1},
                 {((hsize_t)1 << 60) + 5, 65536}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        hid_t file = new_file();
        H5Dclose(make(file, "/column", H5T_IEEE_F32LE, sizes[i].length,
                      chunked(sizes[i].chunk)));
        H5Fclose(file);
        refused("/column", "can hold");
    }
}

/* Sizes that the file could hold, but chunks that are missing. */
static void rejects_missing_chunks(void **state)
{
    (void)state;
    hid_t file = new_file();
    add_good(file, "/other");
    H5Dclose(make(file, "/column", H5T_IEEE_F32LE, LENGTH, chunked(CHUNK)));
    H5Fclose(file);
    refused("/column", "0 of its 4 chunks are in the file");
}

static void rejects_too_many_chunks(void **state)
{
    (void)state;
    hid_t file = new_file();
    fill(make(file, "/column", H5T_IEEE_F32LE, LENGTH, chunked(1)));
    H5Fclose(file);
    refused("/column", "1000 chunks (at most 257)");
}

static void rejects_too_wide_texts(void **state)
{
    (void)state;
    struct h5_file *read;
    char *text, **texts;
    size_t count;
    for (hsize_t rows = 0; rows < 2; rows++) {
        hid_t file = new_file(), type = H5Tcopy(H5T_C_S1);
        H5Tset_size(type, (size_t)1 << 30);
        H5Dclose(make(file, "/text", type, rows, chunked(1)));
        H5Tclose(type);
        H5Fclose(file);
        assert_int_equal(h5_open(path, &read), STATUS_OK);
        fails(h5_read_text(read, "/text", &text), "/text", "can hold");
        fails(h5_read_texts(read, "/text", &count, &texts), "/text", "can hold");
        h5_abandon(read);
    }
}

/* Other programs may read past the zero byte. */
static void rejects_texts_with_inner_zero_bytes(void **state)
{
    (void)state;
    static const char inside[] = "ab\0c", padded[] = "ab\0";
    struct h5_file *read;
    char *text, few[8];
    hid_t file = new_file(), type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, 4);
    for (int i = 0; i < 2; i++) {
        hid_t dataset = make(file, i ? "/padded" : "/inside", type, 1, chunked(1));
        assert_true(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                             i ? padded : inside) >= 0);
        H5Dclose(dataset);
    }
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(file, "inside", type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, inside) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
    H5Fclose(file);
    assert_int_equal(h5_open(path, &read), STATUS_OK);
    fails(h5_read_text(read, "/inside", &text), "/inside", "a zero byte within");
    fails(h5_get_text(read, "/", "inside", few, sizeof few), "/", "a zero byte within");
    assert_int_equal(h5_read_text(read, "/padded", &text), STATUS_OK);
    assert_string_equal(text, "ab");
    free(text);
    h5_abandon(read);
}

static void rejects_unexpected_ranks(void **state)
{
    (void)state;
    hsize_t dims[4] = {2, 2, 2, 2};
    hid_t file = new_file(), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, 4, dims);
    H5Pset_fletcher32(creation);
    hid_t space = H5Screate_simple(4, dims, NULL);
    H5Dclose(H5Dcreate2(file, "/column", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation,
                        H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(creation);
    H5Fclose(file);
    refused("/column", "4 dimensions");
}

/* ---- attributes ---- */

static void set_attribute(hid_t file, const char *name, hid_t type, hsize_t count)
{
    hid_t space = H5Screate_simple(1, &count, NULL);
    hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(attribute >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
}

static void rejects_attributes_of_other_types(void **state)
{
    (void)state;
    struct h5_file *read;
    hid_t file = new_file(), wide = H5Tcopy(H5T_C_S1), variable = H5Tcopy(H5T_C_S1);
    H5Tset_size(wide, 60001);
    H5Tset_size(variable, H5T_VARIABLE);
    set_attribute(file, "wide", wide, 1);
    set_attribute(file, "variable", variable, 1);
    set_attribute(file, "several", H5T_STD_I64LE, 3);
    set_attribute(file, "long double", H5T_NATIVE_LDOUBLE, 1);
    H5Tclose(wide);
    H5Tclose(variable);
    H5Fclose(file);
    char text[64];
    int64_t number;
    double value;
    assert_int_equal(h5_open(path, &read), STATUS_OK);
    fails(h5_get_text(read, "/", "wide", text, sizeof text), "/", "not one text");
    fails(h5_get_text(read, "/", "variable", text, sizeof text), "/", "not one text");
    fails(h5_get_i64(read, "/", "several", &number), "/", "not one integer");
    fails(h5_get_f64(read, "/", "long double", &value), "/", "not one floating-point");
    h5_abandon(read);
}

/* ---- the file itself ---- */

static void rejects_special_files(void **state)
{
    (void)state;
    struct h5_file *file;
    assert_int_equal(h5_open(pipe_path, &file), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "pipe: a pipe (expected an HDF5 file)"));
    assert_int_equal(h5_open("/dev/null", &file), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "not a regular file"));
}

/* A memory limit far below the sizes claimed above. */
static int limit_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__)
    const struct rlimit most = {(rlim_t)1 << 30, (rlim_t)1 << 30};
    return setrlimit(RLIMIT_AS, &most);
#else
    return 0;
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_well_formed_columns),
        cmocka_unit_test(rejects_other_links),
        cmocka_unit_test(rejects_names_below_other_links),
        cmocka_unit_test(rejects_second_link_to_an_object),
        cmocka_unit_test(rejects_groups_of_too_many_members),
        cmocka_unit_test(rejects_named_types),
        cmocka_unit_test(rejects_external_storage),
        cmocka_unit_test(rejects_storage_without_checksums),
        cmocka_unit_test(rejects_other_filters),
        cmocka_unit_test(rejects_chunks_without_checksum),
        cmocka_unit_test(rejects_unsupported_types),
        cmocka_unit_test(rejects_lengths_without_data),
        cmocka_unit_test(rejects_missing_chunks),
        cmocka_unit_test(rejects_too_many_chunks),
        cmocka_unit_test(rejects_too_wide_texts),
        cmocka_unit_test(rejects_texts_with_inner_zero_bytes),
        cmocka_unit_test(rejects_unexpected_ranks),
        cmocka_unit_test(rejects_attributes_of_other_types),
        cmocka_unit_test(rejects_special_files),
    };
    if (limit_memory() != 0)
        return 1;
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
