/* text_file: lines, byte order marks, refusals, and sources of text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remove_tree.h"
#include "base/file.h"
#include "base/text_file.h"

enum { LONGEST = 10 };

/* The lines of the file, each followed by '|', then the error message, if any. */
static const char *lines_of(FILE *file, char *out, size_t size)
{
    struct text_lines lines = {.file = file, .name = "a", .max_bytes = LONGEST};
    bool more = true;
    size_t used = 0;
    out[0] = '\0';
    while (more) {
        enum status status = text_lines_next(&lines, &more);
        assert_true(status == STATUS_OK || !more);
        const char *text = status == STATUS_OK ? lines.text : status_message();
        if (more || status != STATUS_OK)
            used += (size_t)snprintf(out + used, size - used, "%s|", text);
    }
    text_lines_free(&lines);
    fclose(file);
    return out;
}

static void reads_lines_and_rejects_other_content(void **state)
{
    (void)state;
#define BYTES(text) text, sizeof text - 1
    static const struct {
        const char *bytes;
        size_t size;
        const char *lines;
    } cases[] = {
        {BYTES("one\ntwo\n"), "one|two|"},
        {BYTES("one\r\ntwo"), "one|two|"},
        {BYTES("\n\r\nx"), "||x|"},
        {BYTES("a\rb\n"), "a\rb|"},
        {BYTES("\xEF\xBB\xBFone\n\xEF\xBB\xBFtwo\n"), "one|\xEF\xBB\xBFtwo|"},
        {BYTES("\xEF\xBB\xBF"), "|"},
        {BYTES("\xEF\xBB\xBF\r\n"), "|"},
        {BYTES("one\nt\0wo\n"), "one|a:2: a zero byte: not a text file|"},
        {BYTES("\0"), "a:1: a zero byte: not a text file|"},
        {BYTES("\xFF\xFEo\0n\0"), "a:1: text in UTF-16: save it as UTF-8|"},
        {BYTES("\xFE\xFF\0o"), "a:1: text in UTF-16: save it as UTF-8|"},
        {BYTES("\xFF\xFE"), "a:1: text in UTF-16: save it as UTF-8|"},
        {BYTES("ok\n\xFF\xFEo\n"), "ok|\xFF\xFEo|"},
        {BYTES("0123456789\n"), "0123456789|"},
        {BYTES("x\n01234567890\n"), "x|a:2: the line is longer than 10 bytes|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char found[200];
        void *bytes = (void *)(uintptr_t)cases[i].bytes;
        lines_of(fmemopen(bytes, cases[i].size, "r"), found, sizeof found);
        if (strcmp(found, cases[i].lines) != 0)
            fail_msg("case %zu: %s", i, found);
    }
}

/* Simulates a disk that returns some bytes and then fails. */
static ssize_t failing_read(void *cookie, char *buffer, size_t size)
{
    int *calls = cookie;
    (void)size;
    if ((*calls)++) {
        errno = EIO;
        return -1;
    }
    memcpy(buffer, "one\ntw", 6);
    return 6;
}

static void read_error_is_not_end_of_file(void **state)
{
    (void)state;
    int calls = 0;
    char found[200];
    FILE *file = fopencookie(&calls, "r", (cookie_io_functions_t){.read = failing_read});
    lines_of(file, found, sizeof found);
    assert_string_equal(found, "one|a:2: can't read further: Input/output error|");
}

struct place {
    char folder[64];
    char *file, *pipe;
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    snprintf(place->folder, sizeof place->folder, "/tmp/tutti-text-XXXXXX");
    if (!mkdtemp(place->folder))
        return -1;
    place->file = path_join(place->folder, "file");
    place->pipe = path_join(place->folder, "pipe");
    *state = place;
    return mkfifo(place->pipe, 0600);
}

static int tear_down(void **state)
{
    struct place *place = *state;
    file_remove_tree(place->folder);
    free(place->file);
    free(place->pipe);
    free(place);
    return 0;
}

static void assert_refused(const char *path, size_t max_bytes, const char *message)
{
    char *text;
    size_t size;
    assert_int_equal(text_file_read(path, "the list", max_bytes, &text, &size),
                     STATUS_MISUSE);
    assert_null(text);
    if (!strstr(status_message(), message))
        fail_msg("'%s' is not in: %s", message, status_message());
}

static void the_size_is_bounded(void **state)
{
    const struct place *place = *state;
    char *text;
    size_t size;
    file_write(place->file, "0123456789", 10);
    assert_int_equal(text_file_read(place->file, "the list", 10, &text, &size),
                     STATUS_OK);
    assert_int_equal(size, 10);
    assert_string_equal(text, "0123456789");
    free(text);
    assert_refused(place->file, 9, "more than 9 bytes, too long for the list");
    assert_refused("/dev/zero", 1000, "/dev/zero: more than 1000 bytes");
}

static void what_cannot_be_read_is_refused(void **state)
{
    const struct place *place = *state;
    assert_refused(place->folder, 10, "can't read the list: Is a directory");
    assert_refused(place->file, 10, "can't open the list: No such file");
    assert_refused(place->pipe, 10, "a pipe without data for 5 s");
}

/* Starts a child process that waits for a reader, then writes two parts. */
static pid_t start_writer(const char *path)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    FILE *file = fopen(path, "w");
    bool written = file && fputs("one\n", file) >= 0 && fflush(file) == 0 &&
                   usleep(100000) == 0 && fputs("two\n", file) >= 0 && fclose(file) == 0;
    _exit(!written);
}

static void a_pipe_is_read_to_its_end(void **state)
{
    const struct place *place = *state;
    char *text;
    size_t size;
    int code = -1;
    pid_t writer = start_writer(place->pipe);
    assert_int_equal(text_file_read(place->pipe, "the list", 100, &text, &size),
                     STATUS_OK);
    assert_string_equal(text, "one\ntwo\n");
    free(text);
    waitpid(writer, &code, 0);
    assert_int_equal(code, 0);
}

static void standard_input_is_read_once(void **state)
{
    const struct place *place = *state;
    char *text;
    size_t size;
    file_write(place->file, "from stdin", 10);
    assert_non_null(freopen(place->file, "r", stdin));
    assert_int_equal(text_file_read("-", "the list", 100, &text, &size), STATUS_OK);
    assert_string_equal(text, "from stdin");
    free(text);
    assert_refused(
        "/dev/stdin", 100,
        "/dev/stdin: standard input can't be the list, it is already the list");
}

int main(void)
{
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_lines_and_rejects_other_content),
        cmocka_unit_test(read_error_is_not_end_of_file),
        IN_PLACE(the_size_is_bounded),
        IN_PLACE(what_cannot_be_read_is_refused),
        IN_PLACE(a_pipe_is_read_to_its_end),
        IN_PLACE(standard_input_is_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
