/* h5 from several threads: not every build of HDF5 survives that without our lock, and a
 * thread that writes much must not starve the others. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "remove_tree.h"
#include "base/file.h"
#include "h5/h5.h"

enum { THREADS = 4, ROUNDS = 12, VALUES = 100000, LARGE = 24 << 20 };

static char directory[64] = "/tmp/tutti-h5-threads-XXXXXX";

struct worker {
    pthread_t thread;
    int number, wrong;
    char said[STATUS_MESSAGE_SIZE];
};

static int32_t value_of(int number, int round, size_t i)
{
    return (int32_t)(i * 7 + (size_t)round * 1009 + (size_t)number * 100003);
}

static enum status write_one(const char *path, int number, int round, int32_t *values)
{
    struct h5_file *file;
    const size_t dims[] = {VALUES};
    char text[40];
    snprintf(text, sizeof text, "worker %d, round %d", number, round);
    for (size_t i = 0; i < VALUES; i++)
        values[i] = value_of(number, round, i);
    enum status status = h5_create(path, &file);
    if (status != STATUS_OK)
        return status;
    status = h5_write(file, "/deep/down/values", H5_I32, 1, dims, values);
    if (status == STATUS_OK)
        status = h5_set_text(file, "/deep", "by", text);
    if (status == STATUS_OK)
        status = h5_write_text(file, "/text", text);
    if (status == STATUS_OK)
        return h5_close(file);
    h5_abandon(file);
    return status;
}

/* Also provokes an error: the error stack must belong to this thread alone. */
static enum status read_one(const char *path, int number, int round, int32_t *values)
{
    struct h5_file *file;
    char want[40], by[40] = "", *text = NULL;
    const size_t dims[] = {VALUES};
    int64_t none;
    snprintf(want, sizeof want, "worker %d, round %d", number, round);
    enum status status = h5_open(path, &file);
    if (status != STATUS_OK)
        return status;
    status = h5_read(file, "/deep/down/values", H5_I32, 1, dims, values);
    for (size_t i = 0; status == STATUS_OK && i < VALUES; i++)
        if (values[i] != value_of(number, round, i))
            status = status_fail(STATUS_FAILED, "%s: value %zu", path, i);
    if (status == STATUS_OK && h5_get_i64(file, "/deep", "nothing", &none) == STATUS_OK)
        status = status_fail(STATUS_FAILED, "%s: an attribute that isn't there", path);
    if (status == STATUS_OK)
        status = h5_get_text(file, "/deep", "by", by, sizeof by);
    if (status == STATUS_OK)
        status = h5_read_text(file, "/text", &text);
    if (status == STATUS_OK && (strcmp(by, want) != 0 || strcmp(text, want) != 0))
        status = status_fail(STATUS_FAILED, "%s: its texts", path);
    if (status == STATUS_OK)
        status = h5_verify(file);
    free(text);
    h5_abandon(file);
    return status;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    int32_t *values = malloc(VALUES * sizeof *values);
    char path[128];
    snprintf(path, sizeof path, "%s/worker-%d.h5", directory, worker->number);
    for (int round = 0; values && round < ROUNDS && !worker->wrong; round++)
        if (write_one(path, worker->number, round, values) != STATUS_OK ||
            read_one(path, worker->number, round, values) != STATUS_OK) {
            snprintf(worker->said, sizeof worker->said, "%s", status_message());
            worker->wrong++;
        }
    worker->wrong += !values;
    free(values);
    return NULL;
}

static void threads_use_separate_files(void **state)
{
    struct worker workers[THREADS] = {{0}};
    (void)state;
    for (int t = 0; t < THREADS; t++) {
        workers[t].number = t;
        assert_int_equal(pthread_create(&workers[t].thread, NULL, work, &workers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(workers[t].thread, NULL);
    for (int t = 0; t < THREADS; t++)
        assert_string_equal(workers[t].said, "");
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(workers[t].wrong, 0);
}

/* ---- the lock itself, as the HDF5 library here may be built thread-safe ---- */

void h5_lock(void); /* declared in h5_internal.h, which is private to src/h5 */
void h5_unlock(void);

static atomic_int inside, met;

static void *enter(void *argument)
{
    (void)argument;
    for (int i = 0; i < 200; i++) {
        h5_lock();
        h5_lock();
        atomic_fetch_add(&met, atomic_exchange(&inside, 1));
        usleep(20);
        h5_unlock();
        usleep(20);
        atomic_store(&inside, 0);
        h5_unlock();
    }
    return NULL;
}

static void calls_are_serialised(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, enter, NULL), 0);
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    assert_int_equal(atomic_load(&met), 0);
}

/* ---- HDF5 prints its errors unless disabled, possibly in each thread ---- */

static void *open_damaged(void *argument)
{
    struct h5_file *file;
    return h5_open(argument, &file) == STATUS_FAILED ? argument : NULL;
}

static void errors_are_per_thread(void **state)
{
    static const char damaged[] = "\x89HDF\r\n\x1a\n and nothing of what should follow";
    char path[128], printed[128];
    pthread_t thread;
    void *refused = NULL;
    uint8_t *bytes = NULL;
    size_t size = 1;
    (void)state;
    snprintf(path, sizeof path, "%s/damaged.h5", directory);
    snprintf(printed, sizeof printed, "%s/stderr.txt", directory);
    assert_int_equal(file_write(path, damaged, sizeof damaged), STATUS_OK);
    int before = dup(STDERR_FILENO), to = creat(printed, 0600);
    dup2(to, STDERR_FILENO);
    int made = pthread_create(&thread, NULL, open_damaged, path);
    if (made == 0)
        pthread_join(thread, &refused);
    dup2(before, STDERR_FILENO);
    close(before);
    close(to);
    assert_ptr_equal(refused, path);
    assert_int_equal(file_read(printed, 0, &bytes, &size), STATUS_OK);
    free(bytes);
    assert_int_equal(size, 0);
}

/* ---- fairness ---- */

enum { BEFORE, WITHIN, AFTER };

static atomic_int stage, reads_within;

/* Reads the same small dataset repeatedly; counts the reads that began and ended during
 * the one large write. */
static void *read_small(void *argument)
{
    struct h5_file *file = argument;
    uint8_t values[4];
    const size_t dims[] = {4};
    while (atomic_load(&stage) != AFTER) {
        int began = atomic_load(&stage);
        if (h5_read(file, "/small", H5_U8, 1, dims, values) != STATUS_OK)
            break;
        if (began == WITHIN && atomic_load(&stage) == WITHIN)
            atomic_fetch_add(&reads_within, 1);
    }
    return NULL;
}

static void large_write_yields_to_readers(void **state)
{
    char small[128], large[128];
    struct h5_file *reads, *writes;
    const uint8_t four[4] = {1, 2, 3, 4};
    const size_t four_dims[] = {4}, dims[] = {LARGE / 64, 64};
    pthread_t reader;
    (void)state;
    snprintf(small, sizeof small, "%s/small.h5", directory);
    snprintf(large, sizeof large, "%s/large.h5", directory);
    assert_int_equal(h5_create(small, &reads), STATUS_OK);
    assert_int_equal(h5_write(reads, "/small", H5_U8, 1, four_dims, four), STATUS_OK);
    assert_int_equal(h5_close(reads), STATUS_OK);
    assert_int_equal(h5_open(small, &reads), STATUS_OK);
    float *values = calloc(LARGE, sizeof *values);
    assert_non_null(values);
    assert_int_equal(h5_create(large, &writes), STATUS_OK);
    assert_int_equal(pthread_create(&reader, NULL, read_small, reads), 0);
    atomic_store(&stage, WITHIN);
    enum status status = h5_write(writes, "/large", H5_F32, 2, dims, values);
    atomic_store(&stage, AFTER);
    pthread_join(reader, NULL);
    h5_abandon(reads);
    h5_abandon(writes);
    free(values);
    assert_int_equal(status, STATUS_OK);
    print_message("%d reads within one write of %d MB\n", atomic_load(&reads_within),
                  LARGE / (1 << 20) * 4);
    assert_true(atomic_load(&reads_within) >= 5); /* 0 or 1 if h5_write kept the lock */
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return file_remove_tree(directory) == STATUS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_use_separate_files),
        cmocka_unit_test(calls_are_serialised),
        cmocka_unit_test(errors_are_per_thread),
        cmocka_unit_test(large_write_yields_to_readers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
