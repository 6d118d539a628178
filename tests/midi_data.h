/* midi_data: walks an optional folder of MIDI files. Included after cmocka.h. */
#ifndef TUTTI_TESTS_MIDI_DATA_H
#define TUTTI_TESTS_MIDI_DATA_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

/* The folder of example files: TUTTI_TEST_DATA in the environment, else the folder next
 * to the source tree; skips the test if there is none. */
static inline const char *data_folder(void)
{
    const char *folder = getenv("TUTTI_TEST_DATA");
#ifdef TUTTI_SOURCE_DIR
    if (!folder)
        folder = TUTTI_SOURCE_DIR "/../shared/data";
#endif
    if (!folder || !file_is_directory(folder)) {
        print_message(
            "no example files: set TUTTI_TEST_DATA to a folder of MIDI files\n");
        skip();
    }
    return folder;
}

/* Calls visit for every file below the folder, whatever its name. */
static inline void walk_files(const char *folder,
                              void (*visit)(const char *path, void *data), void *data)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        char *path = path_join(folder, entries[i]->d_name);
        if (entries[i]->d_name[0] == '.')
            ;
        else if (file_is_directory(path))
            walk_files(path, visit, data);
        else
            visit(path, data);
        free(path);
        free(entries[i]);
    }
    free(entries);
}

static inline bool is_midi_name(const char *path)
{
    size_t length = strlen(path);
    return length > 4 && strcasecmp(path + length - 4, ".mid") == 0;
}

#endif
