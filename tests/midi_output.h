/* midi_output: a MIDI file that a test writes to a directory of its own, and reads back.
 * make_directory and remove_directory are the test group's set-up and teardown. Include it
 * after cmocka.h. */
#ifndef TUTTI_TESTS_MIDI_OUTPUT_H
#define TUTTI_TESTS_MIDI_OUTPUT_H

#include <stdlib.h>
#include <unistd.h>

#include "remove_tree.h"
#include "base/file.h"
#include "midi/midi.h"

static char directory[] = "/tmp/tutti-midi-output-XXXXXX";
static char *path; /* of the file */

static inline int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    path = path_join(directory, "out.mid");
    return path ? 0 : -1;
}

static inline int remove_directory(void **state)
{
    (void)state;
    free(path);
    return file_remove_tree(directory) == STATUS_OK ? 0 : -1;
}

/* Reads the file, which must need no repair, and removes it. Returns its size. */
static inline size_t read_back(struct midi_file *file)
{
    uint8_t *bytes;
    size_t size;
    assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
    assert_int_equal(midi_read(bytes, size, NULL, file), STATUS_OK);
    assert_string_equal(file->reason, "");
    assert_int_equal(file->outcome, MIDI_OK);
    free(bytes);
    unlink(path);
    return size;
}

#endif
