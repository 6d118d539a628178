/* h5: values, texts and attributes are read back; equal content gives equal bytes; every
 * flipped bit is detected; a failing disk leaves no file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remove_tree.h"
#include "base/file.h"
#include "base/rng.h"
#include "h5/h5.h"

static char directory[] = "/tmp/tutti-test-h5-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return file_remove_tree(directory) == STATUS_OK ? 0 : -1;
}

static void ok(enum status status)
{
    if (status != STATUS_OK)
        fail_msg("unexpected failure: %s", status_message());
}

static void fails(enum status status, const char *with)
{
    assert_int_equal(status, STATUS_FAILED);
    if (!strstr(status_message(), with))
        fail_msg("message \"%s\" lacks \"%s\"", status_message(), with);
}

static char *in_directory(const char *name)
{
    return path_join(directory, name);
}

static int entries(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Runs `body` in a child process; it must return 0. */
static void in_child(int (*body)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(body());
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

/* ---- one file with every kind of content ---- */

enum { ROWS = 300, COLUMNS = 500, LENGTH = 150000, TEXTS = 3 };
static const char *const names[TEXTS] = {"alpha", "", "gamma \xc3\xa9"};

static float weight(size_t i)
{
    return (float)rng_normal(1, RNG_TEST, i, 0, 0);
}

static int64_t part(size_t i)
{
    return (int64_t)(i * i) - 7000;
}

/* Longer than the 4 kB up to which HDF5's "dense" attributes have checksums. */
enum { LONG_TEXT = 6000 };

static void long_text(char *text)
{
    for (size_t i = 0; i < LONG_TEXT; i++)
        text[i] = (char)('a' + i * i % 23);
    text[LONG_TEXT] = '\0';
}

static void write_objects(struct h5_file *file, size_t rows)
{
    float *weights = malloc(rows * COLUMNS * sizeof *weights);
    int64_t *parts = malloc(LENGTH * sizeof *parts);
    for (size_t i = 0; i < rows * COLUMNS; i++)
        weights[i] = weight(i);
    for (size_t i = 0; i < LENGTH; i++)
        parts[i] = part(i);
    ok(h5_write(file, "/model/lstm0/weight", H5_F32, 2, (size_t[]){rows, COLUMNS},
                weights));
    ok(h5_create_1d(file, "/columns/part", H5_I64, LENGTH));
    for (size_t at = 0; at < LENGTH; at += 4099)
        ok(h5_write_slice(file, "/columns/part", H5_I64, at,
                          LENGTH - at < 4099 ? LENGTH - at : 4099, parts + at));
    ok(h5_write(file, "/columns/byte", H5_U8, 1, (size_t[]){3}, (uint8_t[]){1, 2, 255}));
    ok(h5_write(file, "/columns/none", H5_U16, 1, (size_t[]){0}, NULL));
    ok(h5_write_text(file, "/config", "[train]\nepochs = 3\n"));
    ok(h5_write_texts(file, "/names", TEXTS, names));
    ok(h5_set_text(file, "/", "format", "tutti"));
    ok(h5_set_i64(file, "/", "version", -3));
    ok(h5_set_f64(file, "/model/lstm0/weight", "scale", 0.1));
    ok(h5_set_texts(file, "/model/lstm0/weight", "names", TEXTS, names));
    for (int i = 0; i < 20; i++) { /* more than HDF5 stores in a header by default */
        char attribute[16];
        snprintf(attribute, sizeof attribute, "fact%d", i);
        ok(h5_set_i64(file, "/model", attribute, i));
        snprintf(attribute, sizeof attribute, "/many/%c", 'z' - i);
        ok(h5_write(file, attribute, H5_I32, 1, (size_t[]){1}, &i));
    }
    char text[LONG_TEXT + 1];
    long_text(text);
    ok(h5_set_text(file, "/model", "long", text));
    free(weights);
    free(parts);
}

static void write_file(const char *path, size_t rows)
{
    struct h5_file *file;
    ok(h5_create(path, &file));
    write_objects(file, rows);
    ok(h5_close(file));
}

/* Number of wrong values read without an error, that is, undetected damage. Counted, not
 * asserted, as some tests run in child processes. */
static int wrong_values;

static void expect(bool right, const char *what)
{
    if (right)
        return;
    wrong_values++;
    print_error("wrong: %s\n", what);
}

/* Reads everything back. STATUS_FAILED if a call fails. */
static enum status check_numbers(struct h5_file *file, size_t rows)
{
    float *weights = malloc(rows * COLUMNS * sizeof *weights);
    int64_t *parts = malloc(LENGTH * sizeof *parts);
    uint8_t bytes[3];
    enum status status = h5_read(file, "/model/lstm0/weight", H5_F32, 2,
                                 (size_t[]){rows, COLUMNS}, weights);
    for (size_t i = 0; status == STATUS_OK && i < rows * COLUMNS; i++)
        expect(weights[i] == weight(i), "weight");
    for (size_t at = 0; status == STATUS_OK && at < LENGTH; at += 5001)
        status = h5_read_slice(file, "/columns/part", H5_I64, at,
                               LENGTH - at < 5001 ? LENGTH - at : 5001, parts + at);
    for (size_t i = 0; status == STATUS_OK && i < LENGTH; i++)
        expect(parts[i] == part(i), "part");
    if (status == STATUS_OK)
        status = h5_read(file, "/columns/byte", H5_U8, 1, (size_t[]){3}, bytes);
    if (status == STATUS_OK)
        expect(memcmp(bytes, (uint8_t[]){1, 2, 255}, 3) == 0, "byte");
    if (status == STATUS_OK)
        status = h5_read(file, "/columns/none", H5_U16, 1, (size_t[]){0}, NULL);
    free(weights);
    free(parts);
    return status;
}

static enum status check_texts(struct h5_file *file)
{
    char *text = NULL, **column = NULL;
    size_t count;
    enum status status = h5_read_text(file, "/config", &text);
    if (status == STATUS_OK)
        expect(strcmp(text, "[train]\nepochs = 3\n") == 0, "text");
    free(text);
    if (status != STATUS_OK)
        return status;
    status = h5_read_texts(file, "/names", &count, &column);
    if (status != STATUS_OK)
        return status;
    expect(count == TEXTS, "number");
    for (size_t i = 0; i < count; i++)
        expect(strcmp(column[i], names[i]) == 0, "text");
    free(column);
    return STATUS_OK;
}

static enum status check_attributes(struct h5_file *file)
{
    char text[16];
    int64_t number;
    double scale;
    enum status status = h5_get_text(file, "/", "format", text, sizeof text);
    if (status != STATUS_OK)
        return status;
    expect(strcmp(text, "tutti") == 0, "text");
    status = h5_get_i64(file, "/", "version", &number);
    if (status != STATUS_OK)
        return status;
    expect(number == -3, "number");
    status = h5_get_f64(file, "/model/lstm0/weight", "scale", &scale);
    if (status != STATUS_OK)
        return status;
    expect(scale == 0.1, "scale");
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "fact%d", i);
        status = h5_get_i64(file, "/model", text, &number);
        if (status != STATUS_OK)
            return status;
        expect(number == i, "number");
    }
    char found[LONG_TEXT + 1], expected[LONG_TEXT + 1];
    long_text(expected);
    status = h5_get_text(file, "/model", "long", found, sizeof found);
    if (status == STATUS_OK)
        expect(strcmp(found, expected) == 0, "long text");
    return status;
}

static enum status check_group(struct h5_file *file)
{
    char **members;
    size_t count;
    enum status status = h5_list(file, "/many", &members, &count);
    if (status != STATUS_OK)
        return status;
    expect(count == 20, "number");
    for (size_t i = 0; i < count; i++) {
        char path[16];
        int32_t value;
        snprintf(path, sizeof path, "/many/%s", members[i]);
        free(members[i]);
        if (status == STATUS_OK)
            status = h5_read(file, path, H5_I32, 1, (size_t[]){1}, &value);
        if (status == STATUS_OK)
            expect(value == 19 - (int)i, "number"); /* sorted by name */
    }
    free(members);
    return status;
}

static enum status check_file(const char *path, size_t rows)
{
    struct h5_file *file;
    enum status status = h5_open(path, &file);
    if (status != STATUS_OK)
        return status;
    status = h5_verify(file);
    if (status == STATUS_OK)
        status = check_numbers(file, rows);
    if (status == STATUS_OK)
        status = check_texts(file);
    if (status == STATUS_OK)
        status = check_attributes(file);
    if (status == STATUS_OK)
        status = check_group(file);
    h5_abandon(file);
    return status;
}

/* ---- tests ---- */

static void values_round_trip(void **state)
{
    (void)state;
    char *path = in_directory("all.h5");
    write_file(path, ROWS);
    ok(check_file(path, ROWS));
    assert_int_equal(wrong_values, 0);
    struct h5_file *file;
    ok(h5_open(path, &file));
    assert_true(h5_has(file, "/") && h5_has(file, "/model") && h5_has(file, "/names"));
    assert_false(h5_has(file, "/model/lstm1/weight") || h5_has(file, "/names/x"));
    assert_string_equal(h5_path(file), path);
    int rank;
    size_t dims[H5_MAX_RANK];
    ok(h5_shape(file, "/model/lstm0/weight", &rank, dims));
    assert_true(rank == 2 && dims[0] == ROWS && dims[1] == COLUMNS);
    ok(h5_close(file));
    free(path);
}

static void values_are_converted_or_rejected(void **state)
{
    (void)state;
    char *path = in_directory("convert.h5");
    struct h5_file *file;
    ok(h5_create(path, &file));
    size_t three[] = {3};
    ok(h5_write(file, "u64", H5_U64, 1, three, (uint64_t[]){1, UINT64_MAX, 2}));
    ok(h5_write(file, "i32", H5_I32, 1, three, (int32_t[]){-1, 300, 2}));
    ok(h5_write(file, "f64", H5_F64, 1, three, (double[]){0.1, -2, 1e300}));
    ok(h5_write(file, "u32", H5_U32, 1, three, (uint32_t[]){0, 4000000000u, 7}));
    ok(h5_close(file));
    ok(h5_open(path, &file));
    int64_t wide[3];
    uint8_t narrow[3];
    float single[3];
    ok(h5_read(file, "u32", H5_I64, 1, three, wide));
    assert_true(wide[1] == 4000000000);
    ok(h5_read(file, "i32", H5_I64, 1, three, wide));
    assert_true(wide[0] == -1 && wide[1] == 300);
    ok(h5_read(file, "f64", H5_F32, 1, three, single));
    assert_true(single[0] == 0.1f && single[1] == -2);
    fails(h5_read(file, "i32", H5_U8, 1, three, narrow), "i32: a value out of range");
    fails(h5_read(file, "u64", H5_I64, 1, three, wide), "out of range");
    fails(h5_read(file, "f64", H5_I64, 1, three, wide),
          "holds floating-point numbers (expected integers)");
    fails(h5_read(file, "i32", H5_I32, 1, (size_t[]){4}, wide), "shape 3 (expected 4)");
    fails(h5_read(file, "i32", H5_I32, 2, (size_t[]){3, 1}, wide), "(expected 3 x 1)");
    fails(h5_read(file, "x/y", H5_I32, 1, three, wide),
          "convert.h5: x/y: not in the file");
    fails(h5_read_slice(file, "i32", H5_I32, 2, 2, wide), "2 elements from 2 on");
    char *text;
    fails(h5_read_text(file, "i32", &text), "holds integers (expected text)");
    fails(h5_get_i64(file, "i32", "unit", wide), "attribute unit: missing");
    ok(h5_close(file));
    free(path);
}

static char *text_of(size_t length)
{
    char *text = malloc(length + 1);
    assert_non_null(text);
    memset(text, 'x', length);
    text[length] = '\0';
    return text;
}

static void text_lengths_are_limited(void **state)
{
    (void)state;
    char *path = in_directory("long.h5"), *read, **column;
    char *text = text_of(H5_MAX_TEXT + 1), *name = text_of(H5_MAX_COLUMN_WIDTH + 1);
    struct h5_file *file;
    size_t count;
    ok(h5_create(path, &file));
    ok(h5_write_text(file, "longer", text));
    ok(h5_write_text(file, "longest", text + 1));
    ok(h5_write_texts(file, "wider", 2, (const char *[]){"narrow", name}));
    ok(h5_write_texts(file, "widest", 2, (const char *[]){"narrow", name + 1}));
    ok(h5_close(file));
    ok(h5_open(path, &file));
    fails(h5_read_text(file, "longer", &read),
          "long.h5: longer: a text of 1048577 bytes (at most 1048576)");
    fails(h5_read_texts(file, "wider", &count, &column),
          "wider: a text of 32769 bytes (at most 32768)");
    fails(h5_read_text(file, "widest", &read), "widest: 2 texts (expected 1)");
    ok(h5_read_text(file, "longest", &read));
    assert_string_equal(read, text + 1);
    free(read);
    ok(h5_read_texts(file, "widest", &count, &column));
    assert_string_equal(column[1], name + 1);
    free(column);
    fails(h5_verify(file), "/longer: a text of 1048577 bytes (at most 1048576)");
    h5_abandon(file);
    free(name);
    free(text);
    free(path);
}

static void equal_content_gives_equal_bytes(void **state)
{
    (void)state;
    char *a = in_directory("a.h5"), *b = in_directory("b.h5");
    write_file(a, ROWS);
    time_t before = time(NULL);
    while (time(NULL) == before) /* a time stamp would differ */
        usleep(10000);
    write_file(b, ROWS);
    uint8_t *bytes_a, *bytes_b;
    size_t size_a, size_b;
    ok(file_read(a, 0, &bytes_a, &size_a));
    ok(file_read(b, 0, &bytes_b, &size_b));
    assert_int_equal(size_a, size_b);
    assert_memory_equal(bytes_a, bytes_b, size_a);
    free(bytes_a);
    free(bytes_b);
    free(a);
    free(b);
}

/* Flips one bit at a time among the first `range` bytes; returns the number detected. */
static int flip_bits(size_t rows, size_t range, int flips, uint64_t key)
{
    char *path = in_directory("flip.h5");
    uint8_t *bytes;
    size_t size;
    int found = 0;
    write_file(path, rows);
    file_read(path, 0, &bytes, &size);
    range = range < size ? range : size;
    for (int i = 0; i < flips; i++) {
        uint64_t bit = rng_below(range * 8, 7, RNG_TEST, (uint64_t)i, key, 0);
        int file = open(path, O_WRONLY);
        uint8_t byte = bytes[bit / 8] ^ (uint8_t)(1 << bit % 8);
        expect(pwrite(file, &byte, 1, (off_t)(bit / 8)) == 1, "write");
        found += check_file(path, rows) != STATUS_OK;
        expect(pwrite(file, &bytes[bit / 8], 1, (off_t)(bit / 8)) == 1, "write");
        close(file);
    }
    expect(check_file(path, rows) == STATUS_OK, "the whole file again");
    free(bytes);
    free(path);
    return found;
}

/* Half of the flips anywhere, half in the first bytes of a file with few values, which
 * are mostly HDF5 metadata. */
static int flip_every_bit(void)
{
    enum { FLIPS = 600 };
    int found = flip_bits(ROWS, SIZE_MAX, FLIPS, 0) + flip_bits(2, 20000, FLIPS, 1);
    print_message("%d of %d flipped bits found, the others change no value\n", found,
                  2 * FLIPS);
    fflush(stdout);
    return wrong_values > 0 || found < FLIPS;
}

/* In a child process, as HDF5 1.10 leaks memory on damaged metadata. */
/* Writes LENGTH - 1 elements, the last chunk partial, by slices or by h5_write_chunk. */
static void write_whole_chunks(const char *path, bool in_place)
{
    const size_t length = LENGTH - 1, chunk = h5_chunk_length(length);
    uint16_t *values = calloc(chunk + H5_CHECKSUM_SIZE, sizeof *values);
    struct h5_file *file;
    ok(h5_create(path, &file));
    ok(h5_create_1d(file, "/values", H5_U16, length));
    for (size_t at = 0; at < length; at += chunk) {
        size_t count = length - at < chunk ? length - at : chunk;
        memset(values, 0xA5, chunk * sizeof *values); /* to be overwritten with zeros */
        for (size_t i = 0; i < count; i++)
            values[i] = (uint16_t)part(at + i);
        ok(in_place ? h5_write_chunk(file, "/values", H5_U16, at, count, values)
                    : h5_write_slice(file, "/values", H5_U16, at, count, values));
    }
    fails(h5_write_chunk(file, "/values", H5_U16, 1, chunk, values), "a whole chunk");
    fails(h5_write_chunk(file, "/values", H5_U16, 0, chunk - 1, values), "a whole chunk");
    fails(h5_write_chunk(file, "/values", H5_U16, 0, 2 * chunk, values), "a whole chunk");
    fails(h5_write_chunk(file, "/values", H5_U16, length, 0, values), "a whole chunk");
    ok(h5_close(file));
    free(values);
}

/* The element after the last one of /values, as stored in its chunk. */
static uint16_t stored_padding(const char *path)
{
    struct h5_file *file;
    struct h5_chunks chunks = {0};
    ok(h5_open(path, &file));
    ok(h5_chunks_find(file, "/values", H5_U16, &chunks));
    uint16_t *chunk = malloc(h5_chunk_buffer_size(&chunks));
    int descriptor = open(path, O_RDONLY);
    ok(h5_chunk_read(&chunks, chunks.count - 1, descriptor, path, "/values", chunk));
    uint16_t padding = chunk[chunks.length - (chunks.count - 1) * chunks.chunk_length];
    close(descriptor);
    free(chunk);
    h5_chunks_free(&chunks);
    ok(h5_close(file));
    return padding;
}

static void chunks_written_in_place_give_equal_bytes(void **state)
{
    (void)state;
    char *a = in_directory("slices.h5"), *b = in_directory("chunks.h5");
    write_whole_chunks(a, false);
    write_whole_chunks(b, true);
    assert_int_equal(stored_padding(b), 0);
    uint8_t *bytes_a, *bytes_b;
    size_t size_a, size_b;
    ok(file_read(a, 0, &bytes_a, &size_a));
    ok(file_read(b, 0, &bytes_b, &size_b));
    assert_int_equal(size_a, size_b);
    assert_memory_equal(bytes_a, bytes_b, size_a);
    free(bytes_a);
    free(bytes_b);
    free(a);
    free(b);
}

static void every_bit_flip_is_detected(void **state)
{
    (void)state;
    in_child(flip_every_bit);
}

static void damage_is_reported(void **state)
{
    (void)state;
    char *path = in_directory("damaged.h5");
    struct h5_file *file;
    size_t length = 100000;
    uint8_t *zeros = calloc(length, 1);
    ok(h5_create(path, &file));
    ok(h5_write(file, "/many/zeros", H5_U8, 1, &length, zeros));
    ok(h5_close(file));
    int descriptor = open(path, O_WRONLY);
    off_t end = lseek(descriptor, 0, SEEK_END);
    assert_int_equal(pwrite(descriptor, "x", 1, end - 50000), 1);
    close(descriptor);
    ok(h5_open(path, &file));
    fails(h5_verify(file), "damaged.h5: /many/zeros: can't read: ");
    fails(h5_verify(file), "checksum");
    fails(h5_verify(file), "(the file is damaged)");
    fails(h5_read(file, "/many/zeros", H5_U8, 1, &length, zeros), "checksum");
    ok(h5_close(file));
    free(zeros);
    free(path);
}

static void other_formats_are_rejected(void **state)
{
    (void)state;
    char *path = in_directory("other.h5");
    struct h5_file *file;
    fails(h5_open(path, &file), "other.h5: can't open: No such file");
    fails(h5_open(directory, &file), "a directory");
    ok(file_write(path, "", 0));
    fails(h5_open(path, &file), "empty");
    ok(file_write(path, "MThd and so on, long enough", 20));
    fails(h5_open(path, &file), "not an HDF5 file");
    write_file(path, ROWS);
    uint8_t *bytes;
    size_t size;
    ok(file_read(path, 0, &bytes, &size));
    for (size_t kept = 8; kept < size; kept += size / 7) {
        ok(file_write(path, bytes, kept));
        fails(h5_open(path, &file), "truncated");
        assert_null(file);
    }
    const size_t version = 8; /* of the superblock, after the signature */
    bytes[version] ^= 0xff;
    ok(file_write(path, bytes, size));
    fails(h5_open(path, &file), "superblock");
    assert_null(strstr(status_message(), "LOCKING"));
    free(bytes);
    free(path);
}

static uint32_t rotated(uint32_t value, int bits)
{
    return value << bits | value >> (32 - bits);
}

enum { SUPERBLOCK_FLAGS = 11, SUPERBLOCK_CHECKSUM = 44 };

static uint32_t little_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* The superblock's checksum: lookup3 (Jenkins, 2006) of the bytes before it. */
static uint32_t superblock_checksum(const uint8_t *bytes)
{
    static const int mix[] = {4, 6, 8, 16, 19, 4}, last[] = {14, 11, 25, 16, 4, 14, 24};
    const uint32_t begin = 0xdeadbeef + SUPERBLOCK_CHECKSUM;
    uint32_t v[3] = {begin, begin, begin};
    for (int at = 0; at < SUPERBLOCK_CHECKSUM; at += 12) {
        for (int i = 0; i < 3 && at + 4 * i < SUPERBLOCK_CHECKSUM; i++)
            v[i] += little_endian(bytes + at + 4 * i);
        for (int s = 0; s < 6 && at + 12 < SUPERBLOCK_CHECKSUM; s++) {
            v[s % 3] -= v[(s + 2) % 3];
            v[s % 3] ^= rotated(v[(s + 2) % 3], mix[s]);
            v[(s + 2) % 3] += v[(s + 1) % 3];
        }
    }
    for (int s = 0; s < 7; s++) {
        v[(s + 2) % 3] ^= v[(s + 1) % 3];
        v[(s + 2) % 3] -= rotated(v[(s + 1) % 3], last[s]);
    }
    return v[2];
}

/* Sets the flag that HDF5 sets in a file opened for writing. */
static void mark_open(uint8_t *bytes)
{
    bytes[SUPERBLOCK_FLAGS] |= 1;
    uint32_t checksum = superblock_checksum(bytes);
    for (int i = 0; i < 4; i++)
        bytes[SUPERBLOCK_CHECKSUM + i] = (uint8_t)(checksum >> (8 * i));
}

/* If the program dies, the flag stays but the lock does not. */
static void open_files_are_distinguished_from_damaged_ones(void **state)
{
    (void)state;
    char *path = in_directory("open.h5");
    struct h5_file *file;
    uint8_t *bytes;
    size_t size;
    write_file(path, ROWS);
    ok(file_read(path, 0, &bytes, &size));
    assert_int_equal(superblock_checksum(bytes),
                     little_endian(bytes + SUPERBLOCK_CHECKSUM));
    mark_open(bytes);
    ok(file_write(path, bytes, size));
    int writer = open(path, O_RDWR);
    assert_int_equal(flock(writer, LOCK_EX), 0);
    fails(h5_open(path, &file), "open.h5: another program has it open for writing");
    close(writer);
    fails(h5_open(path, &file), "marked as open for writing: a program has it open");
    assert_non_null(strstr(status_message(), "h5clear -s "));
    bytes[SUPERBLOCK_FLAGS] ^= 4; /* the checksum finds it */
    ok(file_write(path, bytes, size));
    fails(h5_open(path, &file), "damaged");
    assert_null(strstr(status_message(), "h5clear"));
    free(bytes);
    free(path);
}

/* Foreign files under the name of the partial file: a symbolic link, a hard link, a
 * pipe. */
static void planted_files_are_not_written(void **state)
{
    (void)state;
    char *path = in_directory("planted.h5"), *victim = in_directory("victim");
    char *partial = file_partial_name(path);
    uint8_t *bytes;
    size_t size;
    ok(file_write(victim, "precious", 8));
    for (int kind = 0; kind < 3; kind++) {
        struct h5_file *file;
        int made = kind == 0   ? symlink(victim, partial)
                   : kind == 1 ? link(victim, partial)
                               : mkfifo(partial, 0666);
        assert_int_equal(made, 0);
        ok(h5_create(path, &file));
        write_objects(file, ROWS);
        ok(h5_close(file));
        ok(h5_open(path, &file));
        h5_abandon(file);
        ok(file_read(victim, 0, &bytes, &size));
        assert_int_equal(size, 8);
        assert_memory_equal(bytes, "precious", 8);
        free(bytes);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(unlink(victim), 0);
    free(partial);
    free(victim);
    free(path);
}

static void abandon_leaves_no_file(void **state)
{
    (void)state;
    char *path = in_directory("abandoned.h5");
    int before = entries(directory), open_files = entries("/proc/self/fd");
    struct h5_file *file, *second;
    ok(h5_create(path, &file));
    write_objects(file, ROWS);
    assert_int_equal(entries(directory), before + 1);
    assert_false(file_exists(path));
    fails(h5_create(path, &second), "another process is writing it");
    h5_abandon(file);
    h5_abandon(NULL);
    assert_int_equal(entries(directory), before);
    assert_int_equal(entries("/proc/self/fd"), open_files);
    fails(h5_create("/nonexistent/x.h5", &file),
          "/nonexistent/x.h5: can't write: No such");
    free(path);
}

/* ---- limits and environments, in child processes ---- */

static enum status write_until_failure(struct h5_file *file, size_t megabytes)
{
    size_t length = megabytes << 17;
    double *values = calloc(length, sizeof *values);
    enum status status = h5_write_text(file, "/config", "text");
    if (status == STATUS_OK)
        status = h5_create_1d(file, "/parts", H5_F64, length);
    for (size_t at = 0; status == STATUS_OK && at < length; at += 8192)
        status = h5_write_slice(file, "/parts", H5_F64, at, 8192, values);
    if (status == STATUS_OK)
        status = h5_write(file, "/values", H5_F64, 1, &length, values);
    free(values);
    return status;
}

/* Returns 0 if writing under the limit failed as expected and left no file. */
static int fails_at(rlim_t limit, bool close_after_failure)
{
    struct rlimit file_size = {limit, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &file_size);
    int before = entries(directory), open_files = entries("/proc/self/fd");
    char *path = in_directory("full.h5");
    struct h5_file *file;
    enum status status = h5_create(path, &file);
    if (status == STATUS_OK) {
        status = write_until_failure(file, 3);
        if (status == STATUS_OK || close_after_failure)
            status = h5_close(file);
        else
            h5_abandon(file);
    }
    free(path);
    if (status != STATUS_FAILED ||
        !strstr(status_message(), "full.h5: can't write: File"))
        return 1;
    if (entries(directory) != before)
        return 2;
    return entries("/proc/self/fd") == open_files ? 0 : 3;
}

static int fill_disk(void)
{
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit < 6 << 20; limit += limit < 6000 ? 211 : 300007)
        for (int close_after_failure = 0; close_after_failure < 2;
             close_after_failure++) {
            int failed = fails_at(limit, close_after_failure);
            if (failed)
                return failed;
        }
    struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &none);
    char *path = in_directory("after.h5");
    write_file(path, ROWS); /* afterwards the process works normally */
    int failed = check_file(path, ROWS) != STATUS_OK;
    unlink(path);
    free(path);
    return failed ? 4 : 0;
}

static void full_disk_leaves_no_file_and_no_descriptor(void **state)
{
    (void)state;
    in_child(fill_disk);
}

/* Opens a file that is locked through another descriptor. */
static enum status open_locked(void)
{
    char *path = in_directory("locked.h5");
    write_file(path, 2);
    int other = open(path, O_RDWR);
    flock(other, LOCK_EX);
    struct h5_file *file;
    enum status status = h5_open(path, &file);
    if (status == STATUS_OK)
        h5_abandon(file);
    close(other);
    free(path);
    return status;
}

static int locking_demanded(void)
{
    setenv("HDF5_USE_FILE_LOCKING", "TRUE", 1);
    return open_locked() != STATUS_FAILED ||
           !strstr(status_message(), "another program has it open for writing");
}

static int locking_not_demanded(void)
{
    unsetenv("HDF5_USE_FILE_LOCKING");
    return open_locked() != STATUS_OK;
}

static void reading_locks_only_if_required(void **state)
{
    (void)state;
    in_child(locking_demanded);
    in_child(locking_not_demanded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first, as HDF5 reads its environment only once */
        cmocka_unit_test(reading_locks_only_if_required),
        cmocka_unit_test(full_disk_leaves_no_file_and_no_descriptor),
        cmocka_unit_test(values_round_trip),
        cmocka_unit_test(values_are_converted_or_rejected),
        cmocka_unit_test(text_lengths_are_limited),
        cmocka_unit_test(equal_content_gives_equal_bytes),
        cmocka_unit_test(chunks_written_in_place_give_equal_bytes),
        cmocka_unit_test(every_bit_flip_is_detected),
        cmocka_unit_test(damage_is_reported),
        cmocka_unit_test(other_formats_are_rejected),
        cmocka_unit_test(open_files_are_distinguished_from_damaged_ones),
        cmocka_unit_test(planted_files_are_not_written),
        cmocka_unit_test(abandon_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
