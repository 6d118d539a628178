/* text and progress: words, numbers, durations, and the progress line of a long task. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/progress.h"
#include "base/text.h"

static void suggests_closest_name(void **state)
{
    (void)state;
    static const char *const names[] = {
        "batch", "epochs", "learning_rate", "top_k", "guarded", "guard", NULL};
    assert_string_equal(text_suggest("batch", names), "batch");
    assert_string_equal(text_suggest("btach", names), "batch"); /* swapped */
    assert_string_equal(text_suggest("bath", names), "batch");  /* missing */
    assert_string_equal(text_suggest("battch", names), "batch");
    assert_string_equal(text_suggest("patch", names), "batch");
    assert_string_equal(text_suggest("learning-rate", names), "learning_rate");
    assert_string_equal(text_suggest("lerning_rte", names), "learning_rate");
    assert_string_equal(text_suggest("guart", names), "guard");
    assert_null(text_suggest("bxxxh", names));
    assert_null(text_suggest("zzz", names));
    assert_null(text_suggest("", names));
    char longest[200];
    memset(longest, 'b', 199);
    longest[199] = '\0';
    assert_null(text_suggest(longest, names));
}

static void numbers_are_parsed_completely(void **state)
{
    (void)state;
    int64_t integer;
    assert_true(text_to_integer("-9223372036854775808", &integer));
    assert_true(integer == INT64_MIN);
    assert_true(text_to_integer(" 7 ", &integer) && integer == 7);
    static const char *const none[] = {"",    " ",   "7x", "9223372036854775808",
                                       "1.0", "0x1", "7 8"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(text_to_integer(none[i], &integer));
    uint64_t natural;
    assert_true(text_to_unsigned("18446744073709551615", &natural));
    assert_true(natural == UINT64_MAX);
    assert_true(text_to_unsigned(" 7 ", &natural) && natural == 7);
    static const char *const no_natural[] = {"",    " ",   "7x",  "18446744073709551616",
                                             "1.0", "0x1", "7 8", "-1"};
    for (size_t i = 0; i < sizeof no_natural / sizeof *no_natural; i++)
        assert_false(text_to_unsigned(no_natural[i], &natural));
    const char *text = "1.5 -2e3";
    double number;
    assert_true(text_to_number(&text, &number) && number == 1.5);
    assert_true(text_to_number(&text, &number) && number == -2000);
    assert_false(text_to_number(&text, &number));
    static const char *const no_number[] = {"inf", "nan", "0x1",   "1,5",
                                            "",    "-",   "1e999", "1.5x"};
    for (size_t i = 0; i < sizeof no_number / sizeof *no_number; i++) {
        text = no_number[i];
        assert_false(text_to_number(&text, &number));
    }
}

static void excerpt_is_one_line(void **state)
{
    (void)state;
    char text[8];
    assert_string_equal(text_excerpt("a\nb", text, sizeof text), "a\\x0Ab");
    assert_string_equal(text_excerpt("a\n\n", text, sizeof text), "a...");
    assert_string_equal(text_excerpt("abc\xC3\xA9xyz", text, sizeof text), "abc...");
    assert_string_equal(text_excerpt("1234567", text, sizeof text), "1234567");
    assert_string_equal(text_excerpt("12345678", text, sizeof text), "1234...");
}

static void formats_durations(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(duration_text(3.4, text, sizeof text), "3 s");
    assert_string_equal(duration_text(59.6, text, sizeof text), "1 min 0 s");
    assert_string_equal(duration_text(125, text, sizeof text), "2 min 5 s");
    assert_string_equal(duration_text(3720, text, sizeof text), "1 h 2 min");
    assert_string_equal(duration_text(-1, text, sizeof text), "?");
    assert_string_equal(duration_text(1e300, text, sizeof text), "?");
}

static void progress_line_shows_rate_and_time_left(void **state)
{
    (void)state;
    struct progress progress = {.task = "epoch 3/20", .unit = "tokens", .total = 4000000};
    char text[200];
    assert_string_equal(
        progress_line(&progress, 1000000, 50, "loss 2.31", text, sizeof text),
        "epoch 3/20: 1000000 of 4000000 tokens, 25 %, 20.0 k tokens/s, "
        "2 min 30 s left, loss 2.31");
    assert_string_equal(progress_line(&progress, 0, 0, NULL, text, sizeof text),
                        "epoch 3/20: 0 of 4000000 tokens, 0 %, 0.00 tokens/s, ? left");
    assert_string_equal(progress_line(&progress, 4000000, 1, "", text, sizeof text),
                        "epoch 3/20: 4000000 of 4000000 tokens, 100 %, 4.00 M tokens/s, "
                        "0 s left");
    progress.total = 0;
    assert_string_equal(progress_line(&progress, 950, 1, "", text, sizeof text),
                        "epoch 3/20: 950 tokens, 950 tokens/s");
}

/* Draws progress to stderr, redirected to `descriptor`: two updates after long intervals;
 * a third immediately after the second must not be shown. */
static void draw(int descriptor, bool muted)
{
    dup2(descriptor, STDERR_FILENO);
    setenv("TERM", "xterm", 1);
    log_mute(muted);
    struct progress progress;
    progress_begin(&progress,
                   "r\xC3\xA9"
                   "ading",
                   "files", 1000);
    progress_update(&progress, 1, "too early");
    progress.last_drawn -= 10;
    progress_update(&progress, 250, "first");
    progress.last_drawn -= 10;
    progress_update(&progress, 500, "second");
    progress_update(&progress, 501, "too early");
    progress_end(&progress);
}

/* Runs draw in a child process that writes to `to`, and reads its output from `from`. */
static void collect(int from, int to, bool muted, char *text, size_t size)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        draw(to, muted);
        _exit(0);
    }
    int outcome;
    waitpid(child, &outcome, 0); /* its short output fits into the pipe */
    close(to);
    assert_int_equal(outcome, 0);
    size_t used = 0;
    ssize_t got;
    while (used < size - 1 && (got = read(from, text + used, size - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    close(from);
}

static void prints_plain_lines_without_terminal(void **state)
{
    (void)state;
    char text[1000];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    collect(ends[0], ends[1], false, text, sizeof text);
    assert_non_null(strstr(text, "ading: 250 of 1000 files, 25 %, "));
    assert_non_null(strstr(text, "first\n"));
    assert_non_null(strstr(text, "second\n"));
    assert_null(strstr(text, "early"));
    assert_null(strchr(text, '\r'));
    assert_int_equal(pipe(ends), 0);
    collect(ends[0], ends[1], true, text, sizeof text);
    assert_string_equal(text, "");
}

static void terminal_line_fits_width(void **state)
{
    (void)state;
    char text[1000];
    int master, slave;
    struct winsize window = {.ws_row = 10, .ws_col = 20};
    if (openpty(&master, &slave, NULL, NULL, &window) != 0)
        skip();
    collect(master, slave, false, text, sizeof text);
    /* 19 columns: the accented letter takes one column and two bytes */
    assert_string_equal(text, "\rr\xC3\xA9"
                              "ading: 250 of 100\033[K"
                              "\rr\xC3\xA9"
                              "ading: 500 of 100\033[K"
                              "\r\033[K");
    if (openpty(&master, &slave, NULL, NULL, &window) != 0)
        skip();
    collect(master, slave, true, text, sizeof text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suggests_closest_name),
        cmocka_unit_test(numbers_are_parsed_completely),
        cmocka_unit_test(excerpt_is_one_line),
        cmocka_unit_test(formats_durations),
        cmocka_unit_test(progress_line_shows_rate_and_time_left),
        cmocka_unit_test(prints_plain_lines_without_terminal),
        cmocka_unit_test(terminal_line_fits_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
