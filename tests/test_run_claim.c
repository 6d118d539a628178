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

static void assert_ok(enum status status)
{
    if (status != STATUS_OK)
        fail_msg("%s", status_message());
}

static void assert_misuse(const char *directory, enum run_start start, const char *why)
{
    assert_int_equal(run_check(directory, start), STATUS_MISUSE);
    if (!strstr(status_message(), why) || !strstr(status_message(), directory))
        fail_msg("\"%s\" is not in \"%s\"", why, status_message());
}

/* A new folder; the caller frees its path. */
static char *new_folder(void)
{
    char *path = path_format("%s/%d", root, folders++);
    assert_non_null(path);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

/* directory/name, until the next call but one. */
static const char *path_in(const char *directory, const char *name)
{
    static char paths[2][256];
    static int next;
    char *path = paths[next = !next];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void write_text(const char *directory, const char *name, const char *text)
{
    const char *path = path_in(directory, name);
    char *parent = path_directory(path);
    assert_ok(file_make_directories(parent));
    assert_ok(file_write(path, text, strlen(text)));
    free(parent);
}

static void create_marker(const char *directory)
{
    struct run_claim *claim;
    assert_ok(run_claim_mark(directory));
    assert_ok(run_claim_open(directory, &claim));
    run_claim_close(claim);
}

enum kind { LINK, DANGLING, PIPE, FOLDER, FILE_KIND, KINDS };

static void create_kind(enum kind kind, const char *path)
{
    static int (*const make[])(const char *,
                               mode_t) = {[PIPE] = mkfifo, [FOLDER] = mkdir};
    if (kind == LINK)
        assert_int_equal(symlink(victim, path), 0);
    else if (kind == DANGLING)
        assert_int_equal(symlink("/tmp/tutti-no-such/file", path), 0);
    else if (kind == FILE_KIND)
        assert_ok(file_write(path, "precious", 8));
    else
        assert_int_equal(make[kind](path, 0777), 0);
}

/* ---- any kind of file under a name of the run ---- */

static bool is_allowed(int name, enum kind kind, bool marked)
{
    if (name >= TOP_NAMES)
        return kind == FOLDER;
    return kind == FILE_KIND && marked && strcmp(names[name], RUN_MARKER) != 0;
}

static void check_kind(int name, enum kind kind, bool marked)
{
    char *path = new_folder();
    if (marked)
        create_marker(path);
    unlink(path_in(path, names[name]));
    create_kind(kind, path_in(path, names[name]));
    for (enum run_start start = RUN_NEW; start <= RUN_RESUMED; start++)
        if (is_allowed(name, kind, marked))
            assert_ok(run_check(path, start));
        else
            assert_misuse(path, start, names[name]);
    free(path);
}

static void checks_the_kind_of_each_output(void **state)
{
    (void)state;
    for (int name = 0; name < NAMES; name++)
        for (enum kind kind = LINK; kind < KINDS; kind++) {
            check_kind(name, kind, false);
            check_kind(name, kind, true);
        }
    uint8_t *bytes;
    size_t size;
    assert_ok(file_read(victim, 0, &bytes, &size));
    assert_int_equal(size, 8);
    free(bytes);
}

static void names_the_obstacle_in_an_unmarked_folder(void **state)
{
    static const char *const obstacles[] = {
        "checkpoints/epoch-0001.h5", "checkpoints/step-00000003.h5",
        "checkpoints/latest",        "checkpoints/best",
        "samples/epoch-0001-1.mid",  "samples/epoch-12345-66.mid"};
    (void)state;
    for (size_t i = 0; i < sizeof obstacles / sizeof *obstacles; i++) {
        char *path = new_folder();
        write_text(path, obstacles[i], "mine");
        assert_misuse(path, RUN_NEW, obstacles[i]);
        assert_misuse(path, RUN_RESUMED, obstacles[i]);
        create_marker(path); /* then it is checked when it is replaced */
        assert_ok(run_check(path, RUN_NEW));
        free(path);
    }
}

static void ignores_other_names(void **state)
{
    static const char *const foreign_names[] = {
        "notes.txt",        "run.conf",          "settings.conf.orig", "Lock.txt",
        "samples/mine.mid", "checkpoints/me.h5", "samples/epoch-1.mid"};
    (void)state;
    char *path = new_folder();
    for (size_t i = 0; i < sizeof foreign_names / sizeof *foreign_names; i++)
        write_text(path, foreign_names[i], "mine");
    write_text(path, "root-cause.txt", "tutti: root cause: rank 0 was killed\n");
    assert_ok(run_check(path, RUN_NEW));
    assert_ok(run_check(path_in(path, "new/deeper"), RUN_NEW));
    free(path);
}

static void resumes_an_unmarked_folder_with_checkpoints(void **state)
{
    struct checkpoint checkpoint;
    char *path = new_folder();
    (void)state;
    write_text(path, "settings.conf", "mine");
    write_text(path, "checkpoints/epoch-0002.h5", "no checkpoint");
    assert_ok(tiny_checkpoint(&checkpoint, ENCODING_PERFORMANCE, 5));
    assert_ok(checkpoint_write(path_in(path, "checkpoints/epoch-0001.h5"), &checkpoint));
    assert_ok(run_check(path, RUN_RESUMED));
    assert_misuse(path, RUN_NEW, "add --resume");
    assert_int_equal(unlink(path_in(path, "checkpoints/epoch-0001.h5")), 0);
    assert_misuse(path, RUN_RESUMED, "settings.conf");
    checkpoint_free(&checkpoint);
    free(path);
}

/* ---- links to folders ---- */

static void checks_links_to_folders(void **state)
{
    (void)state;
    for (int name = TOP_NAMES; name < NAMES; name++) {
        char *path = new_folder(), *elsewhere = new_folder();
        assert_int_equal(symlink(elsewhere, path_in(path, names[name])), 0);
        assert_ok(run_check(path, RUN_NEW));
        write_text(elsewhere, "epoch-0001.h5.kept-2", "");
        write_text(elsewhere,
                   name == TOP_NAMES ? ".best.0123456789ab.partial"
                                     : ".epoch.0123456789ab.partial",
                   "");
        assert_ok(run_check(path, RUN_NEW));
        write_text(elsewhere, "thesis.txt", "mine");
        assert_misuse(path, RUN_NEW, "thesis.txt");
        create_marker(path);
        assert_misuse(path, RUN_RESUMED, "thesis.txt");
        assert_int_equal(unlink(path_in(elsewhere, "thesis.txt")), 0);
        if (geteuid() == 0) {
            assert_int_equal(lchown(path_in(path, names[name]), 65534, 65534), 0);
            assert_misuse(path, RUN_RESUMED, "another user");
        }
        free(path);
        free(elsewhere);
    }
}

/* ---- the marker ---- */

static void records_written_files_in_the_marker(void **state)
{
    struct run_claim *claim;
    char *path = new_folder();
    (void)state;
    assert_ok(run_claim_mark(path));
    assert_ok(run_check(path, RUN_NEW)); /* being made */
    assert_ok(run_claim_mark(path));
    assert_ok(run_claim_open(path, &claim));
    assert_false(run_claim_has_record(claim, "settings.conf", "a", 1));
    assert_ok(run_claim_record(claim, "settings.conf", "a", 1));
    assert_ok(run_claim_record(claim, "samples/x", "b", 1));
    assert_ok(run_claim_save(claim));
    run_claim_close(claim);
    assert_ok(run_claim_open(path, &claim));
    assert_true(run_claim_has_record(claim, "settings.conf", "a", 1));
    assert_true(run_claim_has_record(claim, "samples/x", "b", 1));
    assert_false(run_claim_has_record(claim, "settings.conf", "b", 1));
    assert_false(run_claim_has_record(claim, "x", "b", 1));
    assert_ok(run_claim_verify(claim));
    assert_int_equal(unlink(path_in(path, RUN_MARKER)), 0);
    assert_ok(run_claim_verify(claim));
    create_marker(path); /* another run's */
    assert_int_equal(run_claim_verify(claim), STATUS_FAILED);
    run_claim_close(claim);
    write_text(path, RUN_MARKER, "tutti run 2\nid 0\n");
    assert_misuse(path, RUN_RESUMED, "expected \"tutti run 1\"");
    free(path);
}

/* ---- names ---- */

static void recognises_output_names_exactly(void **state)
{
    (void)state;
    assert_true(run_is_output_name(RUN_TOP, "lock"));
    assert_false(run_is_output_name(RUN_TOP, "epoch-0001.h5"));
    assert_true(run_is_output_name(RUN_CHECKPOINTS, "best"));
    assert_false(run_is_output_name(RUN_CHECKPOINTS, "epoch-.h5"));
    assert_false(run_is_output_name(RUN_CHECKPOINTS, "epoch-0001.h5.orig"));
    assert_false(run_is_output_name(RUN_SAMPLES, "epoch-0001.mid"));
    assert_true(run_is_temporary_name(RUN_TOP, ".metrics.jsonl.0123456789ab.partial"));
    assert_true(
        run_is_temporary_name(RUN_CHECKPOINTS, ".step-3.h5.0123456789ab.partial"));
    assert_true(run_is_temporary_name(RUN_SAMPLES, ".epoch.0123456789ab.partial"));
    assert_false(run_is_temporary_name(RUN_CHECKPOINTS, ".epoch.0123456789ab.partial"));
    assert_false(run_is_temporary_name(RUN_CHECKPOINTS, ".epoch-0001.h5.partial"));
    assert_false(run_is_temporary_name(RUN_TOP, ".mine.h5.partial"));
    assert_false(run_is_temporary_name(RUN_TOP, ".mine.0123456789ab.partial"));
    assert_false(run_is_temporary_name(RUN_TOP, ".0123456789ab.partial"));
    assert_true(run_is_moved_aside("lock.kept-12"));
    assert_false(run_is_moved_aside("lock.kept-"));
    assert_false(run_is_moved_aside("lock.kept-1.txt"));
}

static void moves_files_aside_to_free_names(void **state)
{
    char *path = new_folder(), *kept;
    (void)state;
    for (int number = 1; number <= 3; number++) {
        create_kind(number == 2 ? DANGLING : PIPE, path_in(path, "thing"));
        assert_ok(file_move_aside(path_in(path, "thing"), &kept));
        char *expected = path_format("%s/thing.kept-%d", path, number);
        assert_string_equal(kept, expected);
        free(expected);
        free(kept);
    }
    assert_int_equal(file_move_aside(path_in(path, "thing"), &kept), STATUS_FAILED);
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
        cmocka_unit_test(checks_the_kind_of_each_output),
        cmocka_unit_test(names_the_obstacle_in_an_unmarked_folder),
        cmocka_unit_test(ignores_other_names),
        cmocka_unit_test(resumes_an_unmarked_folder_with_checkpoints),
        cmocka_unit_test(checks_links_to_folders),
        cmocka_unit_test(records_written_files_in_the_marker),
        cmocka_unit_test(recognises_output_names_exactly),
        cmocka_unit_test(moves_files_aside_to_free_names),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
