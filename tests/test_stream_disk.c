/* stream over files: the same windows as from memory, for any cache size, across restarts
 * and pauses; and the errors when a file has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "stream_files.h"

enum { CHUNK_BYTES = 140000, MAX_STEPS = 400, MAX_ROWS = 9 };

static void expect_failure(enum status status, const char *with)
{
    assert_int_equal(status, STATUS_FAILED);
    if (!strstr(status_message(), with))
        fail_msg("message \"%s\" lacks \"%s\"", status_message(), with);
}

/* ---- the same as from memory ---- */

struct window {
    token inputs[MAX_STEPS * MAX_ROWS];
    int32_t targets[MAX_STEPS * MAX_ROWS];
    int64_t counted;
};

static struct window from_disk, from_memory;

static void compare(int cells, const char *what, uint64_t key)
{
    if (memcmp(from_disk.inputs, from_memory.inputs, (size_t)cells * sizeof(token)) !=
            0 ||
        memcmp(from_disk.targets, from_memory.targets, (size_t)cells * sizeof(int32_t)) !=
            0 ||
        from_disk.counted != from_memory.counted)
        fail_msg("%s: window %llu is another than from memory", what,
                 (unsigned long long)key);
}

/* Moves the stream on disk to the position of the one in memory. */
static void restore(struct stream *disk, const struct stream *memory)
{
    struct stream_row rows[MAX_ROWS];
    struct stream_cursor cursor;
    stream_save(memory, rows, &cursor);
    stream_files_check(stream_next(disk, 5, from_disk.inputs, from_disk.targets));
    stream_files_check(stream_restore(disk, rows, &cursor));
}

/* Moves the tokens of these files up and down; those near the ends of the vocabulary have
 * less space. */
static token move_token(const struct encoding *self, token value, int semitones)
{
    const int distance = 10;
    int moved = value == END ? END : value + distance * semitones;
    return moved >= 0 && moved < self->end ? (token)moved : END;
}

/* Each fifth of the tokens advances time, by 1 to 7 steps of a second. */
static double token_seconds(const struct encoding *self, token value)
{
    (void)self;
    return value < END / 5 ? value % 7 + 1 : 0;
}

static token longest_shift(const struct encoding *self, uint64_t steps)
{
    (void)self;
    return (token)(steps < 7 ? steps - 1 : 6);
}

static void check_endless(struct stream_files *files, int rows, uint64_t key,
                          int semitones)
{
    struct stream *disk = stream_files_stream(files, rows);
    struct stream *memory = stream_files_in_memory(files, rows);
    const struct augmentation augmentation = {.encoding = &files->encoding,
                                              .transpose_low = -semitones,
                                              .transpose_high = semitones,
                                              .time_stretch = semitones > 0 ? 0.1 : 0};
    files->encoding.transpose = move_token;
    files->encoding.token_seconds = token_seconds;
    files->encoding.longest_shift = longest_shift;
    files->encoding.seconds_per_grid_step = 1;
    stream_augment(disk, &augmentation);
    stream_augment(memory, &augmentation);
    uint64_t epochs = 0;
    from_disk.counted = from_memory.counted = 0;
    for (uint64_t w = 0; epochs < 3; w++) {
        int steps = 1 + (int)stream_files_draw(MAX_STEPS, key, w, 4);
        uint64_t event = stream_files_draw(50, key, w, 5);
        if (event == 0)
            restore(disk, memory);
        if (event == 1)
            token_cache_release(files->cache);
        stream_files_check(stream_next(disk, steps, from_disk.inputs, from_disk.targets));
        stream_files_check(
            stream_next(memory, steps, from_memory.inputs, from_memory.targets));
        compare(steps * rows, "endless", w);
        struct stream_row at[MAX_ROWS];
        struct stream_cursor cursor;
        stream_save(disk, at, &cursor);
        epochs = (uint64_t)cursor.epoch;
    }
    stream_close(disk);
    stream_close(memory);
}

static void check_windows(struct stream_files *files, int rows, uint64_t key)
{
    struct stream *disk = stream_files_stream(files, rows);
    struct stream *memory = stream_files_in_memory(files, rows);
    stream_files_check(stream_use_windows(disk));
    stream_files_check(stream_use_windows(memory));
    from_disk.counted = from_memory.counted = 0;
    for (uint64_t w = 0; w < 300; w++) {
        int steps = 1 + (int)stream_files_draw(MAX_STEPS, key, w, 7);
        uint64_t event = stream_files_draw(20, key, w, 8);
        if (event == 0)
            restore(disk, memory);
        if (event == 1)
            token_cache_release(files->cache);
        stream_files_check(stream_next(disk, steps, from_disk.inputs, from_disk.targets));
        stream_files_check(
            stream_next(memory, steps, from_memory.inputs, from_memory.targets));
        compare(steps * rows, "independent", w);
    }
    stream_close(disk);
    stream_close(memory);
}

static void check_single_pass(struct stream_files *files, int rows, uint64_t key)
{
    struct stream *disk = stream_files_stream(files, rows);
    struct stream *memory = stream_files_in_memory(files, rows);
    int64_t all = 0;
    for (uint64_t w = 0; w == 0 || from_memory.counted > 0; w++) {
        int steps = 1 + (int)stream_files_draw(MAX_STEPS, key, w, 6);
        stream_files_check(stream_pass_next(disk, steps, from_disk.inputs,
                                            from_disk.targets, &from_disk.counted));
        stream_files_check(stream_pass_next(memory, steps, from_memory.inputs,
                                            from_memory.targets, &from_memory.counted));
        compare(steps * rows, "single pass", w);
        all += from_disk.counted;
    }
    assert_int_equal(all, stream_tokens(disk));
    assert_int_equal(all, files->shard.token_count + files->shard.piece_count);
    stream_close(disk);
    stream_close(memory);
}

/* A cache of one chunk, of a few, and of all. */
static void windows_from_disk_equal_those_from_memory(void **state)
{
    (void)state;
    static const uint64_t memory[] = {0, 3 * CHUNK_BYTES, 1000 * CHUNK_BYTES};
    static const int rows[] = {1, 4, MAX_ROWS};
    for (size_t m = 0; m < 3; m++) {
        struct stream_files files;
        stream_files_make(&files, memory[m]);
        for (size_t r = 0; r < 3; r++) {
            check_endless(&files, rows[r], 10 * m + r, 0);
            check_single_pass(&files, rows[r], 10 * m + r);
            check_windows(&files, rows[r], 10 * m + r);
        }
        check_endless(&files, 4, 10 * m, 9);
        stream_files_remove(&files);
    }
}

/* ---- bounds ---- */

static int open_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory && readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void open_files_respect_the_descriptor_limit(void **state)
{
    (void)state;
    struct rlimit before, few;
    struct stream_files files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 64 + 4; /* 64 are reserved for other uses, which leaves 2 */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    stream_files_make(&files, 2 * CHUNK_BYTES);
    struct stream *stream = stream_files_stream(&files, 4);
    int most = 0, others = open_descriptors();
    for (int i = 0; i < 300; i++) {
        stream_files_check(stream_next(stream, 300, from_disk.inputs, from_disk.targets));
        int now = open_descriptors() - others;
        most = now > most ? now : most;
    }
    assert_int_equal(most, 2);
    token_cache_release(files.cache);
    assert_int_equal(open_descriptors(), others);
    setrlimit(RLIMIT_NOFILE, &before);
    stream_close(stream);
    stream_files_remove(&files);
}

static void the_cache_respects_its_byte_limit(void **state)
{
    (void)state;
    for (uint64_t chunks = 1; chunks < 8; chunks += 3) {
        struct stream_files files;
        stream_files_make(&files, chunks * CHUNK_BYTES);
        uint64_t bytes = token_cache_bytes(files.cache);
        uint64_t tables = FILES * token_cache_table_bytes(4 * H5_MAX_CHUNK);
        assert_true(bytes > (chunks - 1) * CHUNK_BYTES);
        assert_true(bytes <= chunks * CHUNK_BYTES + tables);
        stream_files_remove(&files);
    }
}

/* ---- files that have changed ---- */

static char *path_of(const struct stream_files *files, size_t number)
{
    return shard_path(files->directory, number);
}

/* Reads until a failure, or until everything has been read many times. */
static enum status read_repeatedly(struct stream *stream)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < 3000 && status == STATUS_OK; i++)
        status = stream_next(stream, 300, from_disk.inputs, from_disk.targets);
    return status;
}

static void overwrite(const char *path, uint64_t from, uint64_t to)
{
    int file = open(path, O_WRONLY);
    for (; from < to; from += 5000)
        assert_int_equal(pwrite(file, "\xff", 1, (off_t)from), 1);
    close(file);
}

static void damage_is_detected_while_streaming(void **state)
{
    (void)state;
    struct stream_files files;
    struct stat st;
    stream_files_make(&files, CHUNK_BYTES);
    struct stream *stream = stream_files_stream(&files, 4);
    stream_files_check(stream_next(stream, 300, from_disk.inputs, from_disk.targets));
    for (size_t i = 0; i < FILES; i++) { /* so that all files are open */
        token one[8];
        stream_files_check(token_cache_read(files.cache, i, 0, 8, one));
    }
    char *path = path_of(&files, 2);
    assert_int_equal(stat(path, &st), 0);
    overwrite(path, 4096, (uint64_t)st.st_size);
    expect_failure(read_repeatedly(stream),
                   "shard-0002.h5: /tokens: can't read: the checksum of chunk");
    assert_int_equal(truncate(path, 4096), 0);
    expect_failure(read_repeatedly(stream),
                   "shard-0002.h5: /tokens: can't read: the file ends too early");
    free(path);
    stream_close(stream);
    stream_files_remove(&files);
}

static void a_replaced_file_is_detected_when_reopened(void **state)
{
    (void)state;
    struct stream_files files, others;
    stream_files_make(&files, CHUNK_BYTES);
    stream_files_make(&others, CHUNK_BYTES);
    struct stream *stream = stream_files_stream(&files, 4);
    char *path = path_of(&files, 3), *other = path_of(&others, 3);
    token one[8];
    stream_files_check(token_cache_read(files.cache, 3, 0, 8, one));
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(read_repeatedly(stream), STATUS_OK); /* still open: the old file */
    token_cache_release(files.cache);
    expect_failure(read_repeatedly(stream),
                   "shard-0003.h5: has been changed since this run began");
    assert_int_equal(unlink(path), 0);
    expect_failure(read_repeatedly(stream), "shard-0003.h5: can't open: No such file");
    free(path);
    free(other);
    stream_close(stream);
    stream_files_remove(&files);
    stream_files_remove(&others);
}

static void tokens_outside_the_vocabulary_are_detected(void **state)
{
    (void)state;
    struct stream_files files;
    stream_files_make(&files, CHUNK_BYTES);
    files.encoding.end = END - 1; /* of a million tokens some have this value */
    struct stream *stream = stream_files_stream(&files, 4);
    expect_failure(read_repeatedly(stream), "/tokens: 59999 at ");
    stream_close(stream);
    stream_files_remove(&files);
}

/* ---- chunks ---- */

static struct h5_chunks find_chunks(const char *path)
{
    struct h5_chunks chunks;
    struct h5_file *file;
    stream_files_check(h5_open(path, &file));
    stream_files_check(h5_chunks_find(file, "/tokens", H5_U16, &chunks));
    h5_abandon(file);
    return chunks;
}

/* Compared with the bytes that the library has written, including checksums. */
static void check_chunks(size_t length, const token *written)
{
    static token read[H5_MAX_CHUNK + 2];
    struct h5_file *file;
    char path[] = "/tmp/tutti-chunks-XXXXXX";
    close(mkstemp(path));
    stream_files_check(h5_create(path, &file));
    stream_files_check(h5_create_1d(file, "/tokens", H5_U16, length));
    stream_files_check(h5_write_slice(file, "/tokens", H5_U16, 0, length, written));
    stream_files_check(h5_close(file));
    struct h5_chunks chunks = find_chunks(path);
    assert_int_equal(chunks.length, length);
    assert_int_equal(chunks.count, (length + H5_MAX_CHUNK - 1) / H5_MAX_CHUNK);
    assert_int_equal(chunks.chunk_length, h5_chunk_length(length));
    assert_true(chunks.chunk_length <= H5_MAX_CHUNK);
    assert_true(length == 0 ||
                chunks.count * chunks.chunk_length - length < chunks.count);
    assert_true(h5_chunk_buffer_size(&chunks) <= sizeof read);
    int descriptor = open(path, O_RDONLY);
    for (size_t c = 0; c < chunks.count; c++) {
        size_t first = c * chunks.chunk_length, left = length - first;
        stream_files_check(h5_chunk_read(&chunks, c, descriptor, path, "/tokens", read));
        assert_memory_equal(read, written + first,
                            (left < chunks.chunk_length ? left : chunks.chunk_length) *
                                sizeof *read);
    }
    close(descriptor);
    unlink(path);
    h5_chunks_free(&chunks);
}

/* Lengths near a chunk's; random values, and values for which checksums overflow or stay
 * 0. */
static void chunks_equal_the_values_written_with_hdf5(void **state)
{
    (void)state;
    static const size_t lengths[] = {0,
                                     1,
                                     2,
                                     31,
                                     32,
                                     33,
                                     1000,
                                     11521,
                                     H5_MAX_CHUNK,
                                     H5_MAX_CHUNK + 1,
                                     3 * H5_MAX_CHUNK - 7};
    static token written[3 * H5_MAX_CHUNK];
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < 3 * H5_MAX_CHUNK; i++)
            written[i] = kind == 0   ? (token)stream_files_draw(65536, 0, i, 7)
                         : kind == 1 ? 0xffff
                                     : 0;
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            check_chunks(lengths[l], written);
    }
}

static void every_flipped_bit_of_a_chunk_is_detected(void **state)
{
    (void)state;
    enum { FLIPS = 400 };
    struct stream_files files;
    stream_files_make(&files, CHUNK_BYTES);
    char *path = path_of(&files, 0);
    struct h5_chunks chunks = find_chunks(path);
    size_t size = h5_chunk_buffer_size(&chunks);
    uint8_t *bytes = malloc(size);
    int descriptor = open(path, O_RDWR), found = 0;
    for (uint64_t i = 0; i < FLIPS; i++) {
        size_t c = (size_t)stream_files_draw(chunks.count, 1, i, 8);
        uint64_t bit = stream_files_draw(size * 8, 1, i, 9);
        off_t at = (off_t)(chunks.offsets[c] + bit / 8);
        uint8_t byte, flipped;
        assert_int_equal(pread(descriptor, &byte, 1, at), 1);
        flipped = byte ^ (uint8_t)(1 << bit % 8);
        assert_int_equal(pwrite(descriptor, &flipped, 1, at), 1);
        found += h5_chunk_read(&chunks, c, descriptor, path, "/tokens", bytes) ==
                 STATUS_FAILED;
        assert_int_equal(pwrite(descriptor, &byte, 1, at), 1);
        stream_files_check(h5_chunk_read(&chunks, c, descriptor, path, "/tokens", bytes));
    }
    assert_int_equal(found, FLIPS);
    close(descriptor);
    free(bytes);
    h5_chunks_free(&chunks);
    free(path);
    stream_files_remove(&files);
}

static void unsupported_storage_is_refused(void **state)
{
    (void)state;
    struct h5_file *file;
    struct h5_chunks chunks;
    char path[] = "/tmp/tutti-chunks-XXXXXX";
    close(mkstemp(path));
    size_t dims[] = {3, 2};
    const token values[6] = {0};
    stream_files_check(h5_create(path, &file));
    stream_files_check(h5_write(file, "/table", H5_U16, 2, dims, values));
    stream_files_check(h5_write(file, "/bytes", H5_U8, 1, dims, values));
    stream_files_check(h5_close(file));
    stream_files_check(h5_open(path, &file));
    expect_failure(h5_chunks_find(file, "/table", H5_U16, &chunks),
                   "/table: stored in another way");
    expect_failure(h5_chunks_find(file, "/bytes", H5_U16, &chunks),
                   "/bytes: stored in another way");
    expect_failure(h5_chunks_find(file, "/none", H5_U16, &chunks),
                   "/none: not in the file");
    h5_abandon(file);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_from_disk_equal_those_from_memory),
        cmocka_unit_test(open_files_respect_the_descriptor_limit),
        cmocka_unit_test(the_cache_respects_its_byte_limit),
        cmocka_unit_test(damage_is_detected_while_streaming),
        cmocka_unit_test(a_replaced_file_is_detected_when_reopened),
        cmocka_unit_test(tokens_outside_the_vocabulary_are_detected),
        cmocka_unit_test(chunks_equal_the_values_written_with_hdf5),
        cmocka_unit_test(every_flipped_bit_of_a_chunk_is_detected),
        cmocka_unit_test(unsupported_storage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
