/* The reader against libsmf, which runs in a child process, as it aborts on many legal
 * files. Only its list of events is used (time in pulses and seconds); the notes are
 * paired here by searching all sounding ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <math.h>
#include <smf.h>
#include <sys/wait.h>
#include <unistd.h>

#include "midi_data.h"
#include "midi_expect.h"

enum { REJECTED = 1, OUT_OF_SYNC = 2 }; /* exit codes of the child */

struct smf_note { /* a note read by libsmf; end_tick is -1 while it sounds */
    int start_tick, end_tick, track, channel, pitch, velocity;
    double start, end;
};

struct smf_notes {
    struct smf_note *items;
    size_t count, capacity;
};

static void add_note(struct smf_notes *list, const smf_event_t *event, int track)
{
    if (list->count == list->capacity) {
        list->capacity = 2 * list->capacity + 64;
        list->items = realloc(list->items, list->capacity * sizeof *list->items);
        if (!list->items)
            abort();
    }
    const unsigned char *message = event->midi_buffer;
    list->items[list->count++] = (struct smf_note){
        event->time_pulses,  -1, track, message[0] & 15, message[1], message[2],
        event->time_seconds, 0};
}

/* Ends the oldest sounding note of this channel and pitch in the track; all notes of the
 * channel if pitch is -1, all of the track if channel is -1. */
static void end_note(struct smf_notes *list, size_t first, const smf_event_t *event,
                     int channel, int pitch)
{
    for (size_t i = first; i < list->count; i++) {
        struct smf_note *note = &list->items[i];
        if (note->end_tick >= 0 || (channel >= 0 && note->channel != channel) ||
            (pitch >= 0 && note->pitch != pitch))
            continue;
        note->end_tick = event->time_pulses;
        note->end = event->time_seconds;
        if (pitch >= 0)
            return;
    }
}

/* libsmf takes the first byte of a meta event's length as the whole length. */
static bool is_misread(const smf_event_t *event)
{
    return event->midi_buffer[0] == 0xFF && event->midi_buffer_length > 2 &&
           event->midi_buffer[2] >= 0x80;
}

static void read_track(struct smf_notes *list, smf_track_t *track, int number)
{
    size_t first = list->count;
    for (int i = 1; i <= track->number_of_events; i++) {
        smf_event_t *event = smf_track_get_event_by_number(track, i);
        const unsigned char *message = event->midi_buffer;
        int kind = message[0] >> 4, channel = message[0] & 15;
        if (is_misread(event))
            _exit(OUT_OF_SYNC);
        while (first < list->count && list->items[first].end_tick >= 0)
            first++; /* for speed only: skips ended notes at the front */
        if (kind == 9 && message[2] > 0)
            add_note(list, event, number);
        else if (kind == 8 || kind == 9)
            end_note(list, first, event, channel, message[1]);
        else if (kind == 11 && (message[1] == 120 || message[1] >= 123))
            end_note(list, first, event, channel, -1);
        if (i == track->number_of_events)
            end_note(list, first, event, -1, -1);
    }
}

/* In the child: writes all notes that libsmf reads to a file. Never returns. */
static void write_libsmf_notes(const struct bytes *bytes, FILE *out)
{
    struct smf_notes list = {0};
    int null_fd = open("/dev/null", O_WRONLY);
    dup2(null_fd, STDERR_FILENO);
    smf_t *smf = smf_load_from_memory(bytes->items, (int)bytes->count);
    if (!smf)
        _exit(REJECTED);
    for (int i = 1; i <= smf->number_of_tracks; i++)
        read_track(&list, smf_get_track_by_number(smf, i), i - 1);
    fwrite(list.items, sizeof *list.items, list.count, out);
    fflush(out);
    _exit(0); /* skips smf_delete, which is slow */
}

/* The child's wait status; if it is 0, *list has the notes that libsmf read. */
static int read_with_libsmf(const struct bytes *bytes, struct smf_notes *list)
{
    FILE *results = tmpfile();
    assert_non_null(results);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        write_libsmf_notes(bytes, results);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    fseek(results, 0, SEEK_END);
    list->count = (size_t)ftell(results) / sizeof *list->items;
    rewind(results);
    list->items = calloc(list->count + 1, sizeof *list->items);
    assert_non_null(list->items);
    assert_int_equal(fread(list->items, sizeof *list->items, list->count, results),
                     list->count);
    fclose(results);
    return status;
}

static int compare_smf_notes(const void *left, const void *right)
{
    const struct smf_note *a = left, *b = right;
    const int differences[] = {a->start_tick - b->start_tick, a->channel - b->channel,
                               a->pitch - b->pitch,           a->end_tick - b->end_tick,
                               a->velocity - b->velocity,     a->track - b->track};
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++)
        if (differences[i])
            return differences[i];
    return 0;
}

static bool close_enough(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (1 + fabs(a)); /* libsmf adds up rounded seconds */
}

/* notes_sort orders by program before track. Notes that differ only in these two may be
 * swapped, so only the sum of the tracks is compared. */
static bool notes_agree(const struct notes *notes, struct smf_notes *list)
{
    long tracks = 0;
    if (notes->count != list->count)
        return false;
    qsort(list->items, list->count, sizeof *list->items, compare_smf_notes);
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *ours = &notes->items[i];
        const struct smf_note *theirs = &list->items[i];
        tracks += ours->track - theirs->track;
        if ((int)ours->start_tick != theirs->start_tick ||
            (int)ours->duration_ticks != theirs->end_tick - theirs->start_tick ||
            ours->pitch != theirs->pitch || ours->channel != theirs->channel ||
            ours->velocity != theirs->velocity ||
            !close_enough(theirs->start, ours->start) ||
            !close_enough(theirs->end, ours->start + ours->duration))
            return false;
    }
    return tracks == 0;
}

struct tally {
    size_t files, agreed, failed, misread;
    struct midi_file file;
};

/* Counts files that libsmf crashes on, rejects or misreads (from a meta event of 128
 * bytes or more on); any other difference is a failure. */
static void compare(struct bytes *bytes, const char *name, struct tally *tally)
{
    struct smf_notes list = {0};
    int status = read_with_libsmf(bytes, &list);
    read_bytes(bytes, NULL, &tally->file);
    tally->files++;
    if (WIFEXITED(status) && WEXITSTATUS(status) == OUT_OF_SYNC)
        tally->misread++;
    else if (status != 0)
        tally->failed++;
    else if (notes_agree(&tally->file.notes, &list))
        tally->agreed++;
    else
        fail_msg("%s: libsmf reads other notes (%zu, ours %zu)", name, list.count,
                 tally->file.notes.count);
    free(list.items);
}

static void print_tally(const char *name, const struct tally *tally)
{
    print_message("%s: %zu files, %zu agree, libsmf failed on %zu, misread %zu\n", name,
                  tally->files, tally->agreed, tally->failed, tally->misread);
}

static void generated_files_agree_with_libsmf(void **state)
{
    (void)state;
    struct tally tally = {0};
    size_t notes = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct bytes bytes = {0};
        char name[32];
        snprintf(name, sizeof name, "seed %d", (int)seed);
        put_random_file(&bytes, seed, 1);
        compare(&bytes, name, &tally);
        assert_int_equal(tally.file.outcome, MIDI_OK);
        notes += tally.file.notes.count;
    }
    print_tally("generated", &tally);
    /* under AddressSanitizer libsmf aborts on a few: it reads past its buffer */
    assert_true(100 * tally.agreed >= 95 * tally.files);
    assert_true(notes > 10000);
    midi_free(&tally.file);
}

static void visit(const char *path, void *data)
{
    struct tally *tally = data;
    struct bytes bytes = {0};
    if (!is_midi_name(path))
        return;
    assert_int_equal(file_read(path, 0, &bytes.items, &bytes.count), STATUS_OK);
    compare(&bytes, path, tally);
}

static void real_files_agree_with_libsmf(void **state)
{
    (void)state;
    const char *folders[] = {"chorales", "nottingham", "piano", "multitrack"};
    const char *base = data_folder();
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        struct tally tally = {0};
        char *folder = path_join(base, folders[i]);
        if (file_is_directory(folder))
            walk_files(folder, visit, &tally);
        print_tally(folders[i], &tally);
        assert_true(10 * tally.agreed >= 9 * tally.files);
        free(folder);
        midi_free(&tally.file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generated_files_agree_with_libsmf),
        cmocka_unit_test(real_files_agree_with_libsmf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
