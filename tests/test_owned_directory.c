/* owned_directory: which names a manifest matches; what is deleted from a directory with
 * arbitrary contents, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/owned_directory.h"

static const char marker[] = "MADE";
static const char manifest[] = "a\nsub/\nsub/b-{0001..0012}.h5\nlatest@\nsub/deep/\n";
static char folder[64];

static int enter(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/tutti-owned-XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 && mkdir("own", 0777) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void message_contains(const char *text)
{
    if (!strstr(status_message(), text))
        fail_msg("'%s' is not in: %s", text, status_message());
}

static enum status claim_at(const char *path, bool follow, const char *names,
                            struct owned_directory *directory)
{
    enum status status = owned_directory_open(path, follow, "try", marker, directory);
    return status == STATUS_OK ? owned_directory_claim(directory, names, 0, false)
                               : status;
}

static enum status claim(const char *names)
{
    struct owned_directory directory;
    enum status status = claim_at("own", false, names, &directory);
    owned_directory_close(&directory);
    return status;
}

/* Creates everything in the manifest. */
static void fill(void)
{
    assert_int_equal(claim(manifest), STATUS_OK);
    put("own/a", "ours");
    assert_int_equal(mkdir("own/sub", 0777), 0);
    assert_int_equal(mkdir("own/sub/deep", 0777), 0);
    put("own/sub/b-0001.h5", "ours");
    put("own/sub/b-0012.h5", "ours");
    put("own/sub/.b-0007.h5.partial", "ours");
    put("own/.a.0123456789ab.partial", "ours");
    assert_int_equal(symlink("a", "own/latest"), 0);
}

static void manifest_matches_listed_entries_only(void **state)
{
    (void)state;
    static const char names[] = "a\nx/\nx/s-{0000..0063}.h5\nspill-{0..15}\nl@\n"
                                "e-{0001..20000}\nodd-{1..}\nodd-{x..9}\nlast{1..2}";
    static const struct {
        const char *path;
        enum owned_kind kind;
        bool expected;
    } cases[] = {
        {"a", OWNED_FILE, true},
        {"a", OWNED_LINK, false},
        {"a", OWNED_DIRECTORY, false},
        {"a", OWNED_OTHER, false},
        {"ab", OWNED_FILE, false},
        {"", OWNED_FILE, false},
        {"x", OWNED_DIRECTORY, true},
        {"x/", OWNED_DIRECTORY, false},
        {"x", OWNED_FILE, false},
        {"x/a", OWNED_FILE, false},
        {"x/s-0000.h5", OWNED_FILE, true},
        {"x/s-0063.h5", OWNED_FILE, true},
        {"x/s-0064.h5", OWNED_FILE, false},
        {"x/s-063.h5", OWNED_FILE, false},
        {"x/s-00063.h5", OWNED_FILE, false},
        {"x/s-0063.h5x", OWNED_FILE, false},
        {"x/s-.h5", OWNED_FILE, false},
        {"x/s-1_my_notes.h5", OWNED_FILE, false},
        {"x/s-99999999999999999999.h5", OWNED_FILE, false},
        {"s-0000.h5", OWNED_FILE, false},
        {"spill-0", OWNED_FILE, true},
        {"spill-15", OWNED_FILE, true},
        {"spill-16", OWNED_FILE, false},
        {"spill-01", OWNED_FILE, false},
        {"spill-mine", OWNED_FILE, false},
        {"e-0001", OWNED_FILE, true},
        {"e-20000", OWNED_FILE, true},
        {"e-00020", OWNED_FILE, false},
        {"l", OWNED_LINK, true},
        {"l@", OWNED_LINK, false},
        {"l", OWNED_FILE, false},
        {"odd-1", OWNED_FILE, false},
        {"odd-9", OWNED_FILE, false},
        {"last2", OWNED_FILE, true},
        /* leftovers of writing a file or a link */
        {".a.partial", OWNED_FILE, true},
        {".a.0123456789ab.partial", OWNED_FILE, true},
        {".a.0123456789AB.partial", OWNED_FILE, false},
        {".a.0123456789.partial", OWNED_FILE, false},
        {".a.partial", OWNED_LINK, false},
        {".l.0123456789ab.partial", OWNED_LINK, true},
        {".x.partial", OWNED_DIRECTORY, false},
        {".x.0123456789ab.partial", OWNED_DIRECTORY, true},
        {".a.0123456789ab.partial", OWNED_DIRECTORY, false},
        {".x.0123456789ab.partial/s-0001.h5", OWNED_FILE, true},
        {".x.0123456789ab.partial/s-0064.h5", OWNED_FILE, false},
        {".x.partial/s-0001.h5", OWNED_FILE, false},
        {"x/.s-0001.h5.partial", OWNED_FILE, true},
        {"x/.s-0064.h5.partial", OWNED_FILE, false},
        {".movie.partial", OWNED_FILE, false},
        {".partial", OWNED_FILE, false},
        {"..partial", OWNED_FILE, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (owned_manifest_contains(names, cases[i].path, cases[i].kind) !=
            cases[i].expected)
            fail_msg("'%s' of kind %d: not %d", cases[i].path, (int)cases[i].kind,
                     cases[i].expected);
}

static void claim_deletes_listed_entries(void **state)
{
    (void)state;
    fill();
    assert_int_equal(claim("other\n"), STATUS_OK);
    assert_false(exists("own/a") || exists("own/sub") || exists("own/latest") ||
                 exists("own/.a.0123456789ab.partial"));
    put("own/a", "no longer ours");
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    message_contains(
        "own: holds 'a', which tutti try has not made: not replaced; move it away");
    assert_true(exists("own/a"));
}

/* Each of these in a directory of ours prevents any deletion. */
static void claim_fails_with_foreign_entries(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "own/mine",          "own/sub/mine",   "own/sub/deep/mine",
        "own/sub/b-0013.h5", "own/sub/b-1.h5", "own/sub/.mine.partial",
        "own/sub/deep/a",    "own/ a",         "own/.b-0007.h5.partial"};
    fill();
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        put(paths[i], "precious");
        assert_int_equal(claim(manifest), STATUS_MISUSE);
        message_contains(paths[i] + strlen("own/"));
        assert_true(exists(paths[i]) && exists("own/a") && exists("own/sub/b-0012.h5"));
        unlink(paths[i]);
    }
    assert_int_equal(claim(manifest), STATUS_OK);
}

/* Listed names with another kind of file. */
static void claim_fails_if_type_differs(void **state)
{
    (void)state;
    mkdir("theirs", 0777);
    put("theirs/b-0001.h5", "precious");
    assert_int_equal(claim(manifest), STATUS_OK);
    assert_int_equal(symlink("../theirs", "own/sub"), 0);
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    message_contains("'sub' (a symbolic link)");
    unlink("own/sub");
    assert_int_equal(symlink("../theirs/b-0001.h5", "own/a"), 0);
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    message_contains("'a' (a symbolic link)");
    unlink("own/a");
    mkdir("own/a", 0777);
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    message_contains("'a' (a directory)");
    rmdir("own/a");
    assert_int_equal(mkfifo("own/a", 0666), 0);
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    message_contains("'a' (not a regular file)");
    unlink("own/a");
    put("own/latest", "no link");
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    message_contains("'latest'");
    assert_true(exists("theirs/b-0001.h5") && exists("own/latest"));
}

static void claim_fails_without_marker(void **state)
{
    (void)state;
    put("own/a", "precious");
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    message_contains("own: exists and was not made by tutti try (found 'a'; no MADE)");
    assert_true(exists("own/a") && !exists("own/MADE"));
    unlink("own/a");
    put("own/MADE", ""); /* killed before the manifest was written */
    assert_int_equal(claim(manifest), STATUS_OK);
    put("own/MADE", "");
    put("own/a", "precious");
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    assert_true(exists("own/a"));
}

/* Anyone may have written a marker: it is an ordinary file. */
static void claim_rejects_forged_markers(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "my notes\n",
        "tutti try 2\na\nend\n",
        "tutti other 1\na\nend\n",
        "tutti try 1\na\n",
        "tutti try 1\na\nen",
        "tutti try 1\n../theirs\nend\n",
        "tutti try 1\n/a\nend\n",
        "tutti try 1\nsub/../../theirs\nend\n",
        "tutti try 1\n..\nend\n",
        "tutti try 1\n./a\nend\n",
        "tutti try 1\nsub//a\nend\n",
        "tutti try 1\n\nend\n",
    };
    put("theirs", "precious");
    put("own/a", "precious");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put("own/MADE", texts[i]);
        assert_int_equal(claim(manifest), STATUS_MISUSE);
        message_contains(
            "own/MADE: a file of another kind (expected the marker of a tutti try)");
        assert_true(exists("own/a") && exists("theirs"));
    }
    unlink("own/MADE");
    put("elsewhere", "tutti try 1\na\nend\n");
    assert_int_equal(symlink("../elsewhere", "own/MADE"), 0);
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    message_contains("own/MADE: a symbolic link");
    unlink("own/MADE");
    assert_int_equal(mkfifo("own/MADE", 0666), 0);
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    message_contains("own/MADE: not a regular file");
    assert_true(exists("own/a"));
}

/* Bytes after the end of the manifest are the rest of a longer one. */
static void manifest_ends_at_end_line(void **state)
{
    (void)state;
    put("own/MADE", "tutti try 1\na\nend\nb\nend\n");
    put("own/a", "ours");
    put("own/b", "precious");
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    message_contains("'b'");
    unlink("own/b");
    assert_int_equal(claim(manifest), STATUS_OK);
    assert_false(exists("own/a"));
}

static void links_to_directory_are_followed_on_request(void **state)
{
    (void)state;
    struct owned_directory directory;
    fill();
    assert_int_equal(symlink("own", "link"), 0);
    assert_int_equal(claim_at("link", false, manifest, &directory), STATUS_MISUSE);
    owned_directory_close(&directory);
    message_contains("link: a symbolic link");
    assert_true(exists("own/a"));
    assert_int_equal(claim_at("link", true, manifest, &directory), STATUS_OK);
    assert_false(exists("own/a"));
    assert_true(owned_directory_is_at(&directory, "own"));
    assert_false(owned_directory_is_at(&directory, "link"));
    owned_directory_close(&directory);
}

static void claim_is_exclusive(void **state)
{
    (void)state;
    struct owned_directory directory;
    assert_int_equal(claim_at("own", false, manifest, &directory), STATUS_OK);
    put("own/a", "being made");
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    message_contains("own: another try is writing it");
    assert_true(exists("own/a"));
    owned_directory_close(&directory);
    assert_int_equal(claim(manifest), STATUS_OK);
}

/* Closing releases the lock although a child process has inherited it. */
static void close_releases_inherited_lock(void **state)
{
    (void)state;
    struct owned_directory directory;
    assert_int_equal(owned_directory_open("own", false, "try", marker, &directory),
                     STATUS_OK);
    assert_int_equal(owned_directory_claim(&directory, manifest, 0, true), STATUS_OK);
    assert_int_equal(fcntl(directory.marker, F_GETFD), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    assert_int_equal(claim(manifest), STATUS_MISUSE);
    owned_directory_close(&directory);
    assert_int_equal(claim(manifest), STATUS_OK);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* Emptying: files added since are kept and reported; all others are deleted. */
static void clear_keeps_foreign_entries(void **state)
{
    (void)state;
    struct owned_directory directory;
    fill();
    put("own/sub/mine", "precious");
    assert_int_equal(owned_directory_open("own", false, "try", marker, &directory),
                     STATUS_OK);
    bool found = false;
    assert_int_equal(owned_directory_read_manifest(&directory, &found), STATUS_OK);
    assert_true(found);
    assert_int_equal(owned_directory_check(&directory), STATUS_MISUSE);
    message_contains("'sub/mine'");
    assert_int_equal(owned_directory_clear(&directory), STATUS_MISUSE);
    message_contains("'sub/mine'");
    assert_true(exists("own/sub/mine") && exists("own/MADE"));
    assert_false(exists("own/a") || exists("own/sub/b-0001.h5") || exists("own/latest"));
    unlink("own/sub/mine");
    assert_int_equal(owned_directory_clear(&directory), STATUS_OK);
    assert_int_equal(owned_directory_remove_marker(&directory), STATUS_OK);
    assert_int_equal(rmdir("own"), 0);
    owned_directory_close(&directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest_matches_listed_entries_only),
        cmocka_unit_test_setup_teardown(claim_deletes_listed_entries, enter, leave),
        cmocka_unit_test_setup_teardown(claim_fails_with_foreign_entries, enter, leave),
        cmocka_unit_test_setup_teardown(claim_fails_if_type_differs, enter, leave),
        cmocka_unit_test_setup_teardown(claim_fails_without_marker, enter, leave),
        cmocka_unit_test_setup_teardown(claim_rejects_forged_markers, enter, leave),
        cmocka_unit_test_setup_teardown(manifest_ends_at_end_line, enter, leave),
        cmocka_unit_test_setup_teardown(links_to_directory_are_followed_on_request, enter,
                                        leave),
        cmocka_unit_test_setup_teardown(claim_is_exclusive, enter, leave),
        cmocka_unit_test_setup_teardown(close_releases_inherited_lock, enter, leave),
        cmocka_unit_test_setup_teardown(clear_keeps_foreign_entries, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
