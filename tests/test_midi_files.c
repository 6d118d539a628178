/* midi_read on a folder of real and hand-made files (see midi_data.h): a single,
 * reproducible outcome for each; numbers of notes as in the folders' INDEX.tsv. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "midi_data.h"
#include "midi_invariants.h"

struct tally {
    size_t files, outcomes[3];
    struct midi_file file;
};

static void read_path(const char *path, struct midi_file *file)
{
    uint8_t *bytes;
    size_t size;
    assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
    const char *fault = midi_read_fault(bytes, size, NULL, file);
    if (fault)
        fail_msg("%s: not %s", path, fault);
    free(bytes);
}

static void visit(const char *path, void *data)
{
    struct tally *tally = data;
    read_path(path, &tally->file);
    tally->files++;
    tally->outcomes[tally->file.outcome]++;
}

static void every_file_has_one_outcome(void **state)
{
    (void)state;
    struct tally tally = {0};
    walk_files(data_folder(), visit, &tally);
    print_message("%zu files: %zu ok, %zu repaired, %zu skipped\n", tally.files,
                  tally.outcomes[MIDI_OK], tally.outcomes[MIDI_REPAIRED],
                  tally.outcomes[MIDI_SKIPPED]);
    assert_int_equal(tally.files, tally.outcomes[MIDI_OK] +
                                      tally.outcomes[MIDI_REPAIRED] +
                                      tally.outcomes[MIDI_SKIPPED]);
    midi_free(&tally.file);
}

/* Splits a line at its tabs, in place. Returns the number of fields. */
static int split_fields(char *line, char **fields, int max_fields)
{
    int count = 0;
    line[strcspn(line, "\r\n")] = '\0';
    while (line && count < max_fields)
        fields[count++] = strsep(&line, "\t");
    return count;
}

/* Opens FOLDER/INDEX.tsv and skips its first line; skips the test if it does not
 * exist. */
static FILE *open_index(const char *folder)
{
    char line[1024];
    char *path = path_join(folder, "INDEX.tsv");
    FILE *index = fopen(path, "r");
    free(path);
    if (!index)
        skip();
    assert_non_null(fgets(line, sizeof line, index));
    return index;
}

/* Files with "?" or no number of notes in the index, and their outcome according to
 * midi.h. */
static const struct {
    const char *name;
    size_t notes;
} specified[] = {
    {"chunk-length-zero.mid", 4}, /* MTrk is shorter than its events: keep reading */
    {"crlf-damaged.mid", 4},
    {"high-bit-stripped.mid", 0},
    {"cut-half.mid", 31},
    {"cut-inside-event.mid", 21},
    {"cut-in-third-of-5-tracks.mid", 38},
};

/* True if the index allows this number of notes: "4", "4?", "4 or 5", "4 or -", "-". */
static bool is_allowed(const char *name, const char *allowed,
                       const struct midi_file *file)
{
    for (size_t i = 0; i < sizeof specified / sizeof *specified; i++)
        if (strcmp(name, specified[i].name) == 0)
            return file->outcome == MIDI_REPAIRED &&
                   file->notes.count == specified[i].notes;
    if (strchr(allowed, '-') && file->outcome == MIDI_SKIPPED)
        return true;
    const char *second = strstr(allowed, " or ");
    char *end;
    size_t first = strtoul(allowed, &end, 10);
    if (end != allowed && file->notes.count == first)
        return true;
    return second && strtoul(second + 4, NULL, 10) == file->notes.count;
}

static void handmade_files_match_their_index(void **state)
{
    (void)state;
    char line[1024], *fields[5];
    char *folder = path_join(data_folder(), "odd/handmade");
    FILE *index = open_index(folder);
    struct midi_file file = {0};
    size_t conforming = 0, others = 0;
    while (fgets(line, sizeof line, index)) {
        if (split_fields(line, fields, 5) < 5)
            continue;
        char *path = path_join(folder, fields[0]);
        read_path(path, &file);
        bool conforms = strcmp(fields[2], "yes") == 0;
        if (conforms)
            assert_int_equal(file.outcome, MIDI_OK);
        if (!is_allowed(fields[0], fields[3], &file))
            fail_msg("%s: %zu notes (%s), the index has %s", fields[0], file.notes.count,
                     midi_outcome_name(file.outcome), fields[3]);
        conforming += conforms;
        others += !conforms;
        free(path);
    }
    print_message("%zu conforming files, %zu others\n", conforming, others);
    assert_true(conforming > 0 && others > 0);
    fclose(index);
    free(folder);
    midi_free(&file);
}

static void check_index(const char *name)
{
    enum { FILE_NAME, TRACKS = 3, DIVISION, NOTES, PEDALS = 7, TEMPOS, SECONDS, FIELDS };
    char line[1024], *fields[FIELDS];
    char *folder = path_join(data_folder(), name);
    FILE *index = open_index(folder);
    struct midi_file file = {0};
    while (fgets(line, sizeof line, index)) {
        assert_int_equal(split_fields(line, fields, FIELDS), FIELDS);
        char *path = path_join(folder, fields[FILE_NAME]);
        read_path(path, &file);
        assert_int_equal(file.tracks, atoi(fields[TRACKS]));
        assert_int_equal(file.division, atoi(fields[DIVISION]));
        assert_int_equal(file.notes.count, atoi(fields[NOTES]));
        /* ours include controller 121 */
        assert_true(file.pedal_count >= (size_t)atoi(fields[PEDALS]));
        assert_int_equal(file.tempo_events, atoi(fields[TEMPOS]));
        free(path);
    }
    fclose(index);
    free(folder);
    midi_free(&file);
}

static void real_files_match_their_index(void **state)
{
    (void)state;
    check_index("chorales");
    check_index("nottingham");
    check_index("piano");
    check_index("multitrack");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_has_one_outcome),
        cmocka_unit_test(handmade_files_match_their_index),
        cmocka_unit_test(real_files_match_their_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
