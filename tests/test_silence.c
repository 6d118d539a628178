/* ranks: 1 2 3
 * Long silences: the cuts, the part that is kept, the report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "corpus.h"
#include "midi_make.h"
#include "ranks.h"
#include "data/silence.h"

enum { TUNE = 64, FAR = 0x0FFFFFFF, SMPTE = -25 * 256 + 40 };

/* --- silence_find ----------------------------------------------------------------------
 */

/* Finds silence in notes given as start, duration and percussion flag; a tick is a
 * millisecond. With a pedal, all notes that end before `pedal` end there. */
static struct silence_part find(const double (*notes)[3], size_t count,
                                double max_silence, double pedal)
{
    struct note items[8] = {0};
    struct notes all = {.items = items, .count = count};
    struct encoding *encoding = NULL;
    expect(encoding_create("performance", "", &encoding) == STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        items[i].start = notes[i][0];
        items[i].duration = notes[i][1];
        items[i].percussion = notes[i][2] > 0;
        items[i].start_tick = (uint32_t)(1000 * notes[i][0]);
        items[i].duration_ticks = (uint32_t)(1000 * notes[i][1]);
    }
    double *last_release = silence_last_releases(&all, encoding, max_silence);
    expect(last_release != NULL);
    for (size_t i = 0; i < count; i++)
        if (items[i].start + items[i].duration < pedal)
            items[i].duration = pedal - items[i].start;
    struct silence_part found = silence_find(&all, encoding, last_release, max_silence);
    free(last_release);
    encoding_free(encoding);
    return found;
}

#define FIND_PEDAL(max_silence, pedal, ...)                                              \
    find((const double[][3]){__VA_ARGS__},                                               \
         sizeof(const double[][3]){__VA_ARGS__} / sizeof(double[3]), max_silence, pedal)
#define FIND(max_silence, ...) FIND_PEDAL(max_silence, 0, __VA_ARGS__)

static void expect_found(struct silence_part found, size_t cuts, size_t first,
                         size_t count, double longest)
{
    expect(found.cuts == cuts);
    expect(found.first == first && found.count == count);
    expect(found.longest == longest);
}

static void cuts_where_nothing_sounds_or_begins(void **state)
{
    expect_found(FIND(60, {0, 1}, {61, 1}), 0, 0, 2, 0);      /* exactly 60 */
    expect_found(FIND(60, {0, 1}, {61.5, 1}), 1, 0, 1, 60.5); /* the first of ties */
    expect_found(FIND(60, {60, 1}, {61, 1}), 0, 0, 2, 0);
    expect_found(FIND(60, {500, 1}, {501, 1}), 1, 0, 2, 500); /* also at the start */
    expect_found(FIND(60, {0, 1}, {100, 0}, {101, 1}), 1, 1, 2, 99);
    expect_found(FIND(60, {0, 1}, {100, 0}, {101, 1}, {300, 1}, {301, 1}, {302, 1}), 2, 3,
                 3, 198);
    expect_found(FIND(60, {0, 1}, {100, 0}, {101, 1}, {300, 1}), 2, 1, 2, 198);
    /* a pedal sustains the sound, but not indefinitely */
    expect_found(FIND_PEDAL(60, 51, {0, 1}, {100, 1}), 0, 0, 2, 0);
    expect_found(FIND_PEDAL(60, 61, {0, 1}, {121, 1}), 0, 0, 2, 0);
    expect_found(FIND_PEDAL(60, 61, {0, 1}, {122, 1}), 1, 0, 1, 61);
    expect_found(FIND_PEDAL(60, 999, {0, 1}, {900, 1}), 1, 0, 1, 899);
    expect_found(FIND_PEDAL(60, 999, {0, 1}, {50, 1}, {100, 1}), 0, 0, 3, 0);
    agree_on_verdict(*state);
}

static void held_notes_bridge_no_silence(void **state)
{
    expect_found(FIND(60, {0, 200}, {1, 1}, {200, 1}), 1, 0, 2, 140);
    expect_found(FIND(60, {0, 1}, {2, 500}, {400, 1}, {401, 1}), 1, 0, 2, 338);
    expect_found(FIND(60, {0, 1}, {2, 500}, {400, 1}, {401, 1}, {402, 1}), 1, 2, 3, 338);
    expect_found(FIND(60, {0, 100}, {150, 1}), 0, 0, 2, 0);
    /* but a pedal point counts as long as other notes play */
    expect_found(FIND(60, {0, 200}, {50, 1}, {110, 1}, {165, 1}, {220, 1}), 0, 0, 5, 0);
    /* for any max_silence a held key counts for a minute */
    expect_found(FIND(2, {0, 50}, {50, 50}, {100, 5}), 0, 0, 3, 0);
    expect_found(FIND(2, {0, 50}, {52.5, 50}), 1, 0, 1, 2.5);
    expect_found(FIND(100, {0, 95}, {195, 1}), 0, 0, 2, 0);
    /* a note held in one part does not count in the next one */
    expect_found(FIND(60, {0, 900}, {400, 1}, {401, 1}, {500, 1}), 2, 1, 2, 340);
    agree_on_verdict(*state);
}

static void percussion_counts_as_silence(void **state)
{
    expect_found(FIND(60, {0, 1, 1}, {50, 1, 1}, {70, 1}, {71, 1}), 1, 2, 2, 70);
    expect_found(FIND(60, {0, 1, 1}, {50, 1}, {51, 1}), 0, 0, 3, 0);
    expect_found(FIND(60, {0, 1}, {50, 1, 1}, {100, 1, 1}, {150, 1}), 1, 0, 2, 149);
    expect_found(FIND(60, {0, 1}, {50, 1, 1}, {100, 1, 1}, {150, 1}, {151, 1}), 1, 3, 2,
                 149);
    expect_found(FIND(60, {0, 1}, {1, 1, 1}, {2, 1, 1}, {99, 1}, {100, 1}), 1, 3, 2, 98);
    expect_found(FIND(60, {0, 1}, {1, 99, 1}, {2, 1}, {101, 1, 1}), 1, 0, 3, 98);
    expect_found(FIND(60, {0, 1, 1}, {100, 1, 1}), 1, 0, 1, 100); /* nothing sounds */
    agree_on_verdict(*state);
}

/* --- silence_is_possible ---------------------------------------------------------------
 */

/* A file of 24 notes, some of them percussion, and pedal events, with pauses and lengths
 * around max_silence; a tick is a millisecond. */
static void put_pauses(struct bytes *bytes, uint64_t *state, uint32_t max_silence)
{
    enum { NOTES = 24 };
    bool pedal = draw(state, 2), far = draw(state, 4) == 0;
    put_header(bytes, 0, 1, SMPTE);
    size_t track = begin_track(bytes);
    for (int i = 0; i < NOTES; i++) {
        int channel = draw(state, 4) == 0 ? 9 : 0, pitch = 40 + (int)draw(state, 40);
        uint32_t wait = draw(state, 9) ? draw(state, 200) : draw(state, max_silence / 2);
        uint32_t held = draw(state, 9) ? draw(state, 200) : draw(state, max_silence / 2);
        bool long_one = far && draw(state, 12) == 0;
        put_event(bytes, long_one ? 2 * wait + max_silence : wait, 0x90 | channel, pitch,
                  80);
        if (pedal && draw(state, 6) == 0)
            put_event(bytes, 0, 0xB0, 64, (int)draw(state, 128));
        put_event(bytes, far && draw(state, 12) == 0 ? 2 * max_silence : held,
                  0x80 | channel, pitch, 64);
    }
    if (pedal)
        put_event(bytes, draw(state, 2) ? 2 * max_silence : 10, 0xB0, 64, 0);
    put_end_of_track(bytes, 0);
    end_chunk(bytes, track);
}

static bool cuts(struct midi_file *midi, const struct encoding *encoding,
                 double max_silence)
{
    double *last_release = silence_last_releases(&midi->notes, encoding, max_silence);
    expect(last_release && midi_apply_pedal(midi) == STATUS_OK);
    bool cut = silence_cut(midi, encoding, last_release, max_silence);
    free(last_release);
    return cut;
}

/* Files without a possible silence are never cut; the test sees both kinds, and files
 * that are searched and then not cut. */
static void what_is_ruled_out_is_never_cut(void **state)
{
    enum { FILES = 3000, MAX_SILENCE = 5000 };
    struct midi_file midi = {0};
    struct encoding *encoding = NULL;
    int ruled_out = 0, cut = 0, searched = 0, wrong = 0;
    expect(encoding_create("performance", "", &encoding) == STATUS_OK);
    for (uint64_t seed = 1; seed <= FILES; seed++) {
        struct bytes bytes = {0};
        uint64_t random = seed;
        put_pauses(&bytes, &random, MAX_SILENCE);
        expect(midi_read(bytes.items, bytes.count, NULL, &midi) == STATUS_OK);
        bool possible = silence_is_possible(&midi, encoding, MAX_SILENCE / 1e3);
        bool changed = cuts(&midi, encoding, MAX_SILENCE / 1e3);
        ruled_out += !possible;
        cut += possible && changed;
        searched += possible && !changed;
        wrong += !possible && changed;
        free_bytes(&bytes);
    }
    expect(wrong == 0);
    expect(ruled_out > FILES / 10 && cut > FILES / 10 && searched > FILES / 100);
    encoding_free(encoding);
    midi_free(&midi);
    agree_on_verdict(*state);
}

/* --- files -----------------------------------------------------------------------------
 */

static void put_tune(struct bytes *bytes, uint32_t wait, int seed)
{
    uint64_t state = (uint64_t)seed;
    for (int i = 0; i < TUNE; i++) {
        put_note(bytes, i ? draw(&state, 50) : wait, 10 + draw(&state, 200),
                 40 + (int)draw(&state, 40));
        if (i % 20 == 10)
            put_tempo(bytes, 7, 400000 + draw(&state, 200000));
    }
}

/* Stray notes long before and after a tune. */
struct midi_case {
    const char *name;
    int division, seed, stray_before, stray_after;
    int pedal;          /* 1: pressed and never released; 2: released far away */
    const char *reason; /* NULL: a clean file */
    uint32_t wait;      /* before the tune's first note */
    uint32_t held;      /* duration of one more note after the tune */
    uint32_t end;       /* end of the track, if that note is never released */
    int drums_before, drums_after; /* a beat every 50 s */
};

static void put_drums(struct bytes *bytes, int beats)
{
    for (int i = 0; i < beats; i++) {
        put_event(bytes, 49900, 0x99, 36, 80);
        put_event(bytes, 100, 0x89, 36, 64);
    }
}

static bool write_case(const char *folder, const struct midi_case *midi)
{
    struct bytes bytes = {0};
    put_header(&bytes, 0, 1, midi->division);
    size_t track = begin_track(&bytes);
    for (int i = 0; i < midi->stray_before; i++)
        put_note(&bytes, i ? FAR : 33, 100, 60);
    put_tempo(&bytes, 0, 600000);
    if (midi->pedal)
        put_event(&bytes, 0, 0xB0, 64, 127);
    put_drums(&bytes, midi->drums_before);
    put_tune(&bytes, midi->stray_before ? FAR : midi->wait, midi->seed);
    put_drums(&bytes, midi->drums_after);
    if (midi->held)
        put_note(&bytes, 10, midi->held, 30);
    if (midi->end)
        put_event(&bytes, 10, 0x90, 30, 80);
    if (midi->pedal == 2)
        put_event(&bytes, FAR, 0xB0, 64, 0);
    if (midi->stray_after)
        put_tempo(&bytes, 0, 500000);
    for (int i = 0; i < midi->stray_after; i++)
        put_note(&bytes, FAR, 100, 60);
    put_end_of_track(&bytes, midi->end);
    end_chunk(&bytes, track);
    char *path = path_join(folder, midi->name);
    bool written = file_write(path, bytes.items, bytes.count) == STATUS_OK;
    free(path);
    free_bytes(&bytes);
    return written;
}

/* SMPTE: 25 frames of 40 ticks, a millisecond each. */
static const struct midi_case cases[] = {
    {"a-clean.mid", 480, .seed = 1},
    {"a-stray.mid", 480, .seed = 1, .stray_after = 1,
     .reason = "silence of 279620 s: 1 of 65 notes left out"},
    {"b-clean.mid", 480, .seed = 2},
    {"b-stray.mid", 480, .seed = 2, .stray_before = 1,
     .reason = "silence of 335544 s: 1 of 65 notes left out"},
    {"c-clean.mid", 96, .seed = 3},
    {"c-stray.mid", 96, .seed = 3, .stray_before = 2, .stray_after = 2,
     .reason = "4 silences of up to # s: 4 of 68 notes left out"},
    {"d-clean.mid", SMPTE, .seed = 4},
    {"d-stray.mid", SMPTE, .seed = 4, .stray_before = 1,
     .reason = "silence of 268435 s: 1 of 65 notes left out"},
    {"e-clean.mid", SMPTE, .seed = 5, .pedal = 1},
    {"e-stray.mid", SMPTE, .seed = 5, .stray_after = 1, .pedal = 1,
     .reason = "silence of 268435 s: 1 of 65 notes left out"},
    {"f-clean.mid", SMPTE, .seed = 6, .pedal = 1},
    {"f-stray.mid", SMPTE, .seed = 6, .pedal = 2,
     .reason = "notes held for 268435 s after the last key"},
    {"g-clean.mid", SMPTE, .seed = 7, .held = 60000},
    {"g-stray.mid", SMPTE, .seed = 7, .held = FAR,
     .reason = "notes held for 268375 s after the last key"},
    {"h-clean.mid", SMPTE, .seed = 8, .end = 60000},
    {"h-stray.mid", SMPTE, .seed = 8, .end = FAR,
     .reason = "notes held for 268375 s after the last key"},
    {"i-clean.mid", SMPTE, .seed = 9},
    {"i-stray.mid", SMPTE, .seed = 9, .wait = FAR,
     .reason = "silence of 268435 s before the first note"},
    {"j-clean.mid", SMPTE, .seed = 10},
    {"j-stray.mid", SMPTE, .seed = 10, .drums_before = 2,
     .reason = "silence of 100 s: 2 of 66 notes left out"},
    {"k-clean.mid", SMPTE, .seed = 11, .drums_after = 1},
    {"k-stray.mid", SMPTE, .seed = 11, .stray_after = 1, .drums_after = 3,
     .reason = "silence of 268585 s: 3 of 68 notes left out"},
};
enum { CASES = sizeof cases / sizeof *cases };

static bool write_cases(const char *folder)
{
    bool written = file_make_directories(folder) == STATUS_OK;
    for (int i = 0; i < CASES; i++)
        written = written && write_case(folder, &cases[i]);
    return written;
}

/* After cutting, each file has the clean file's tokens: one of each pair is kept. */
static void check_cases(const char *output)
{
    struct dataset *dataset = NULL;
    struct dataset_files files = {0};
    expect(dataset_open(output, &dataset) == STATUS_OK);
    expect(dataset_read_files(dataset, &files) == STATUS_OK);
    expect(files.count == CASES);
    for (size_t i = 0; i < files.count; i++) {
        const struct midi_case *clean = &cases[i / 2 * 2];
        bool more = clean->held || clean->end || clean->drums_after;
        expect(files.notes[i] == TUNE + (size_t)more);
        expect(files.seconds[i] < 120);
        bool duplicate = files.outcomes[i] == FILE_DUPLICATE;
        if (cases[i].reason) /* listed after its clean file */
            expect(duplicate != (files.outcomes[i - 1] == FILE_DUPLICATE));
        if (!duplicate)
            expect(files.outcomes[i] == (cases[i].reason ? FILE_REPAIRED : FILE_OK));
    }
    expect(dataset_verify(dataset) == STATUS_OK);
    dataset_files_free(&files);
    dataset_close(dataset);
}

static void cutting_restores_the_clean_file(void **state)
{
    struct comm *comm = *state;
    static struct options options;
    char *folder = make_folder(comm);
    char *corpus = path_join(folder, "corpus"), *output = path_join(folder, "dataset");
    options_defaults(&options);
    options.data.shards = 2;
    if (comm_rank(comm) == 0)
        expect(write_cases(corpus));
    expect(make_dataset(comm, corpus, output, &options, NULL) == STATUS_OK);
    if (comm_rank(comm) == 0)
        check_cases(output);
    free(output);
    free(corpus);
    remove_folder(comm, folder);
    agree_on_verdict(comm);
}

/* The outcome of a single file. */
static void expect_outcome(struct comm *comm, const struct midi_case *midi,
                           const struct options *options, enum file_outcome outcome,
                           const char *reason)
{
    char *folder = make_folder(comm);
    char *path = path_join(folder, midi->name), *output = path_join(folder, "dataset");
    struct preprocess_summary summary = {0};
    if (comm_rank(comm) == 0)
        expect(write_case(folder, midi));
    comm_barrier(comm);
    enum status status = make_dataset(comm, path, output, options, &summary);
    expect(status == (outcome == FILE_SKIPPED ? STATUS_FAILED : STATUS_OK));
    if (outcome == FILE_SKIPPED) {
        if (!strstr(status_message(), reason))
            expect_text(status_message(), reason);
    } else {
        expect(summary.ok == (outcome == FILE_OK));
        expect(summary.repaired == (outcome == FILE_REPAIRED));
    }
    if (status == STATUS_OK && comm_rank(comm) == 0) {
        struct dataset *dataset = NULL;
        struct dataset_files files = {0};
        expect(dataset_open(output, &dataset) == STATUS_OK);
        expect(dataset_read_files(dataset, &files) == STATUS_OK);
        expect_text(files.reasons[0], reason);
        dataset_files_free(&files);
        dataset_close(dataset);
    }
    free(output);
    free(path);
    remove_folder(comm, folder);
}

static void reason_states_the_silence(void **state)
{
    struct comm *comm = *state;
    static struct options options;
    options_defaults(&options);
    options.data.shards = 1;
    for (int i = 0; i < CASES; i++)
        if (cases[i].reason && !strchr(cases[i].reason, '#'))
            expect_outcome(comm, &cases[i], &options, FILE_REPAIRED, cases[i].reason);
    agree_on_verdict(comm);
}

/* The limits apply to the part that is kept, not to the whole file. */
static void limits_apply_to_the_kept_part(void **state)
{
    struct comm *comm = *state;
    static struct options options;
    const struct midi_case *stray = &cases[1];
    options_defaults(&options);
    options.data.shards = 1;
    options.data.max_seconds = 100;
    expect_outcome(comm, stray, &options, FILE_REPAIRED, stray->reason);
    options.data.max_seconds = 2;
    expect_outcome(comm, stray, &options, FILE_SKIPPED, "left out; too long: ");
    options.data.max_seconds = 100;
    options.data.max_silence_seconds = 0;
    expect_outcome(comm, stray, &options, FILE_SKIPPED, "too long: 2796");
    options.data.max_seconds = 1e9;
    expect_outcome(comm, stray, &options, FILE_OK, "");
    options.data.max_silence_seconds = 1e9;
    expect_outcome(comm, stray, &options, FILE_OK, "");
    options.data.max_silence_seconds = 60;
    options.data.min_notes = 64;
    expect_outcome(comm, stray, &options, FILE_REPAIRED, stray->reason);
    options.data.min_notes = 65;
    expect_outcome(comm, stray, &options, FILE_SKIPPED,
                   "1 of 65 notes left out; too few notes: 64 (at least 65)");
    agree_on_verdict(comm);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_where_nothing_sounds_or_begins),
        cmocka_unit_test(held_notes_bridge_no_silence),
        cmocka_unit_test(percussion_counts_as_silence),
        cmocka_unit_test(what_is_ruled_out_is_never_cut),
        cmocka_unit_test(cutting_restores_the_clean_file),
        cmocka_unit_test(reason_states_the_silence),
        cmocka_unit_test(limits_apply_to_the_kept_part),
    };
    return run_on_ranks(argc, argv, tests);
}
