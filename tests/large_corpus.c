/* large_corpus DIRECTORY FILES NOTES: writes FILES different MIDI files of about NOTES
 * notes each, some very short. Musically meaningless, but quick to generate at any size:
 * for tests and measurements with more data than memory. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/rng.h"
#include "midi/midi.h"

static uint64_t draw(uint64_t below, uint64_t file, uint64_t note, uint64_t purpose)
{
    return rng_below(below, 5, RNG_TEST, file, note, purpose);
}

/* A random walk over the keys; every eighth piece has only one or two notes. */
static enum status compose(uint64_t file, uint64_t count, struct notes *out)
{
    uint32_t now = 0;
    int pitch = 60;
    enum status status = STATUS_OK;
    if (draw(8, file, 0, 9) == 0)
        count = 1 + draw(2, file, 0, 8);
    for (uint64_t n = 0; n < count && status == STATUS_OK; n++) {
        now += (uint32_t)(12 * draw(5, file, n, 0));
        pitch += (int)draw(11, file, n, 1) - 5;
        pitch = pitch < 30 ? 40 : pitch > 100 ? 90 : pitch;
        uint32_t length = (uint32_t)(12 + 12 * draw(8, file, n, 2));
        const struct note note = {.start = now / 192.0,
                                  .duration = length / 192.0,
                                  .start_tick = now,
                                  .duration_ticks = length,
                                  .pitch = (uint8_t)pitch,
                                  .velocity = (uint8_t)(30 + draw(90, file, n, 3))};
        status = notes_append(out, &note);
    }
    return status;
}

static enum status write_file(const char *directory, uint64_t file, uint64_t count)
{
    struct notes notes = {.ticks_per_beat = 96};
    char *path = path_format("%s/piece-%06llu.mid", directory, (unsigned long long)file);
    enum status status = path ? compose(file, count, &notes) : STATUS_FAILED;
    if (status == STATUS_OK)
        status = midi_write(path, &notes, 96, 500000);
    notes_free(&notes);
    free(path);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: large_corpus DIRECTORY FILES NOTES\n");
        return STATUS_MISUSE;
    }
    uint64_t files = strtoull(argv[2], NULL, 10), notes = strtoull(argv[3], NULL, 10);
    enum status status = file_make_directories(argv[1]);
    for (uint64_t i = 0; i < files && status == STATUS_OK; i++)
        status = write_file(argv[1], i, notes / 2 + draw(notes + 1, i, 0, 7));
    if (status != STATUS_OK)
        fprintf(stderr, "%s\n", status_message());
    return (int)status;
}
