/* run_check, run_claim: which folders a run claims and which it refuses, with any kind of
 * file under the names of a run; and which files it recognises as its own. Nothing must
 * block, for example on a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tiny_checkpoint.h"
#include "base/file.h"
#include "train/run_claim.h"
#include "train/run_checkpoints.h"
#include "train/run_directory.h"
#include "train/run_samples.h"
#include "train/run_names.h"

static char root[] = "/tmp/tutti-claim-XXXXXX";
static char victim[64];
static int folders;

static const char *const names[] = {RUN_MARKER, "settings.conf",  "metrics.jsonl",
                                    "lock",     "root-cause.txt", "checkpoints",
                                    "samples"};
enum { NAMES = sizeof names / sizeof *names, TOP_NAMES = NAMES - 2 };

static void ok(enum status status)
{
    if (status != STATUS_OK)
        fail_msg("%s", status_message());
}

static void refused(const char *directory, enum run_start start, const char *why)
{
    assert_int_equal(run_check(directory, start), STATUS_MISUSE);
    if (!strstr(status_message(), why) || !strstr(status_message(), directory))
        fail_msg("\"%s\" is not in \"%s\"", why, status_message());
}

/* A new folder; the caller frees its path. */
static char *folder(void)
{
    char *path = path_format("%s/%d", root, folders++);
    assert_non_null(path);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

/* directory/name, until the next call but one. */
static const char *in(const char *directory, const char *name)
{
    static char paths[2][256];
    static int next;
    char *path = paths[next = !next];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void put(const char *directory, const char *name, const char *text)
{
    const char *path = in(directory, name);
    char *parent = path_directory(path);
    ok(file_make_directories(parent));
    ok(file_write(path, text, strlen(text)));
    free(parent);
}

static void mark(const char *directory)
{
    struct run_claim *claim;
    ok(run_claim_mark(directory));
    ok(run_claim_open(directory, &claim));
    run_claim_close(claim);
}

enum kind { LINK, DANGLING, PIPE, FOLDER, FILE_KIND, KINDS };

static void plant(enum kind kind, const char *path)
{
    static int (*const make[])(const char *,
                               mode_t) = {[PIPE] = mkfifo, [FOLDER] = mkdir};
    if (kind == LINK)
        assert_int_equal(symlink(victim, path), 0);
    else if (kind == DANGLING)
        assert_int_equal(symlink("/tmp/tutti-no-such/file", path), 0);
    else if (kind == FILE_KIND)
        ok(file_write(path, "precious", 8));
    else
        assert_int_equal(make[kind](path, 0777), 0);
}

/* ---- any kind of file under a name of the run ---- */

static bool may_be(int name, enum kind kind, bool marked)
{
    if (name >= TOP_NAMES)
        return kind == FOLDER;
    return kind == FILE_KIND && marked && strcmp(names[name], RUN_MARKER) != 0;
}

static void try_kind(int name, enum kind kind, bool marked)
{
    char *path = folder();
    if (marked)
        mark(path);
    unlink(in(path, names[name]));
    plant(kind, in(path, names[name]));
    for (enum run_start start = RUN_NEW; start <= RUN_RESUMED; start++)
        if (may_be(name, kind, marked))
            ok(run_check(path, start));
        else
            refused(path, start, names[name]);
    free(path);
}

static void files_are_files_and_folders_folders(void **state)
{
    (void)state;
    for (int name = 0; name < NAMES; name++)
        for (enum kind kind = LINK; kind < KINDS; kind++) {
            try_kind(name, kind, false);
            try_kind(name, kind, true);
        }
    uint8_t *bytes;
    size_t size;
    ok(file_read(victim, 0, &bytes, &size));
    assert_int_equal(size, 8);
    free(bytes);
}

static void what_is_in_the_way_is_named(void **state)
{
    static const char *const in_the_way[] = {
        "checkpoints/epoch-0001.h5", "checkpoints/step-00000003.h5",
        "checkpoints/latest",        "checkpoints/best",
        "samples/epoch-0001-1.mid",  "samples/epoch-12345-66.mid"};
    (void)state;
    for (size_t i = 0; i < sizeof in_the_way / sizeof *in_the_way; i++) {
        char *path = folder();
        put(path, in_the_way[i], "mine");
        refused(path, RUN_NEW, in_the_way[i]);
        refused(path, RUN_RESUMED, in_the_way[i]);
        mark(path); /* then it is checked when it is replaced */
        ok(run_check(path, RUN_NEW));
        free(path);
    }
}

static void other_names_are_not(void **state)
{
    static const char *const others[] = {
        "notes.txt",        "run.conf",          "settings.conf.orig", "Lock.txt",
        "samples/mine.mid", "checkpoints/me.h5", "samples/epoch-1.mid"};
    (void)state;
    char *path = folder();
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        put(path, others[i], "mine");
    put(path, "root-cause.txt", "tutti: root cause: rank 0 was killed\n");
    ok(run_check(path, RUN_NEW));
    ok(run_check(in(path, "new/deeper"), RUN_NEW));
    free(path);
}

static void checkpoints_are_claim_enough_to_resume(void **state)
{
    struct checkpoint made;
    char *path = folder();
    (void)state;
    put(path, "settings.conf", "mine");
    put(path, "checkpoints/epoch-0002.h5", "no checkpoint");
    ok(tiny_checkpoint(&made, ENCODING_PERFORMANCE, 5));
    ok(checkpoint_write(in(path, "checkpoints/epoch-0001.h5"), &made));
    ok(run_check(path, RUN_RESUMED));
    refused(path, RUN_NEW, "add --resume");
    assert_int_equal(unlink(in(path, "checkpoints/epoch-0001.h5")), 0);
    refused(path, RUN_RESUMED, "settings.conf");
    checkpoint_free(&made);
    free(path);
}

/* ---- links to folders ---- */

static void links_to_folders(void **state)
{
    (void)state;
    for (int name = TOP_NAMES; name < NAMES; name++) {
        char *path = folder(), *elsewhere = folder();
        assert_int_equal(symlink(elsewhere, in(path, names[name])), 0);
        ok(run_check(path, RUN_NEW));
        put(elsewhere, "epoch-0001.h5.kept-2", "");
        put(elsewhere,
            name == TOP_NAMES ? ".best.0123456789ab.partial"
                              : ".epoch.0123456789ab.partial",
            "");
        ok(run_check(path, RUN_NEW));
        put(elsewhere, "thesis.txt", "mine");
        refused(path, RUN_NEW, "thesis.txt");
        mark(path);
        refused(path, RUN_RESUMED, "thesis.txt");
        assert_int_equal(unlink(in(elsewhere, "thesis.txt")), 0);
        if (geteuid() == 0) {
            assert_int_equal(lchown(in(path, names[name]), 65534, 65534), 0);
            refused(path, RUN_RESUMED, "another user");
        }
        free(path);
        free(elsewhere);
    }
}

/* ---- the marker ---- */

static void the_marker_remembers(void **state)
{
    struct run_claim *claim;
    char *path = folder();
    (void)state;
    ok(run_claim_mark(path));
    ok(run_check(path, RUN_NEW)); /* being made */
    ok(run_claim_mark(path));
    ok(run_claim_open(path, &claim));
    assert_false(run_claim_wrote(claim, "settings.conf", "a", 1));
    ok(run_claim_note(claim, "settings.conf", "a", 1));
    ok(run_claim_note(claim, "samples/x", "b", 1));
    ok(run_claim_save(claim));
    run_claim_close(claim);
    ok(run_claim_open(path, &claim));
    assert_true(run_claim_wrote(claim, "settings.conf", "a", 1));
    assert_true(run_claim_wrote(claim, "samples/x", "b", 1));
    assert_false(run_claim_wrote(claim, "settings.conf", "b", 1));
    assert_false(run_claim_wrote(claim, "x", "b", 1));
    ok(run_claim_still_holds(claim));
    assert_int_equal(unlink(in(path, RUN_MARKER)), 0);
    ok(run_claim_still_holds(claim));
    mark(path); /* another run's */
    assert_int_equal(run_claim_still_holds(claim), STATUS_FAILED);
    run_claim_close(claim);
    put(path, RUN_MARKER, "tutti run 2\nid 0\n");
    refused(path, RUN_RESUMED, "expected \"tutti run 1\"");
    free(path);
}

/* ---- names ---- */

static void names_are_exact(void **state)
{
    (void)state;
    assert_true(run_writes(RUN_TOP, "lock"));
    assert_false(run_writes(RUN_TOP, "epoch-0001.h5"));
    assert_true(run_writes(RUN_CHECKPOINTS, "best"));
    assert_false(run_writes(RUN_CHECKPOINTS, "epoch-.h5"));
    assert_false(run_writes(RUN_CHECKPOINTS, "epoch-0001.h5.orig"));
    assert_false(run_writes(RUN_SAMPLES, "epoch-0001.mid"));
    assert_true(run_is_left_over(RUN_TOP, ".metrics.jsonl.0123456789ab.partial"));
    assert_true(run_is_left_over(RUN_CHECKPOINTS, ".step-3.h5.0123456789ab.partial"));
    assert_true(run_is_left_over(RUN_SAMPLES, ".epoch.0123456789ab.partial"));
    assert_false(run_is_left_over(RUN_CHECKPOINTS, ".epoch.0123456789ab.partial"));
    assert_false(run_is_left_over(RUN_CHECKPOINTS, ".epoch-0001.h5.partial"));
    assert_false(run_is_left_over(RUN_TOP, ".mine.h5.partial"));
    assert_false(run_is_left_over(RUN_TOP, ".mine.0123456789ab.partial"));
    assert_false(run_is_left_over(RUN_TOP, ".0123456789ab.partial"));
    assert_true(run_is_kept_aside("lock.kept-12"));
    assert_false(run_is_kept_aside("lock.kept-"));
    assert_false(run_is_kept_aside("lock.kept-1.txt"));
}

static void things_are_kept_under_free_names(void **state)
{
    char *path = folder(), *kept;
    (void)state;
    for (int number = 1; number <= 3; number++) {
        plant(number == 2 ? DANGLING : PIPE, in(path, "thing"));
        ok(file_move_aside(in(path, "thing"), &kept));
        char *expected = path_format("%s/thing.kept-%d", path, number);
        assert_string_equal(kept, expected);
        free(expected);
        free(kept);
    }
    assert_int_equal(file_move_aside(in(path, "thing"), &kept), STATUS_FAILED);
    assert_null(kept);
    free(path);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(root))
        return -1;
    snprintf(victim, sizeof victim, "%s/victim", root);
    return file_write(victim, "precious", 8) == STATUS_OK ? 0 : -1;
}

static int clean_up(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_files_and_folders_folders),
        cmocka_unit_test(what_is_in_the_way_is_named),
        cmocka_unit_test(other_names_are_not),
        cmocka_unit_test(checkpoints_are_claim_enough_to_resume),
        cmocka_unit_test(links_to_folders),
        cmocka_unit_test(the_marker_remembers),
        cmocka_unit_test(names_are_exact),
        cmocka_unit_test(things_are_kept_under_free_names),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
