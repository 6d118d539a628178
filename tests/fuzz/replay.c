/* replay: runs a fuzz target without libFuzzer, in every build.
 *
 *   replay_NAME [-m MUTATIONS] FILE|FOLDER...   runs each file, and for each as many random
 *                                               changes of it, always the same ones
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/file.h"
#include "base/rng.h"

struct replay {
    uint64_t mutations, inputs;
};

/* Copies the input to a heap block of its own, so that a sanitizer detects accesses
 * outside it. */
static void run(struct replay *replay, const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    FUZZ_REQUIRE(exact);
    if (size)
        memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    replay->inputs++;
}

/* Changes a few bytes, and sometimes truncates. */
static size_t mutate(uint8_t *bytes, size_t size, uint64_t number, uint64_t file)
{
    uint64_t changes = 1 + rng_below(6, 1, RNG_TEST, file, number, 0);
    for (uint64_t i = 1; size > 0 && i <= changes; i++)
        bytes[rng_below(size, 1, RNG_TEST, file, number, 2 * i)] =
            (uint8_t)rng_below(256, 1, RNG_TEST, file, number, 2 * i + 1);
    if (size > 0 && number % 8 == 7)
        size = (size_t)rng_below(size, 1, RNG_TEST, file, number, 1);
    return size;
}

static void run_file(struct replay *replay, const char *path)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    fuzz_require_ok(file_read(path, 0, &bytes, &size));
    run(replay, bytes, size);
    uint64_t file = replay->inputs;
    uint8_t *changed = malloc(size + 1);
    FUZZ_REQUIRE(changed);
    for (uint64_t i = 0; i < replay->mutations; i++) {
        if (size)
            memcpy(changed, bytes, size);
        run(replay, changed, mutate(changed, size, i, file));
    }
    free(changed);
    free(bytes);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void run_folder(struct replay *replay, const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_visible, alphasort);
    FUZZ_REQUIRE(count >= 0);
    for (int i = 0; i < count; i++) {
        char *file = path_join(path, entries[i]->d_name);
        FUZZ_REQUIRE(file);
        run_file(replay, file);
        free(file);
        free(entries[i]);
    }
    free(entries);
}

int main(int count, char **arguments)
{
    struct replay replay = {0};
    int first = 1;
    if (count > 2 && strcmp(arguments[1], "-m") == 0) {
        replay.mutations = strtoull(arguments[2], NULL, 10);
        first = 3;
    }
    if (first >= count) {
        fprintf(stderr, "usage: %s [-m MUTATIONS] FILE|FOLDER...\n", arguments[0]);
        return STATUS_MISUSE;
    }
    LLVMFuzzerInitialize(&count, &arguments);
    for (int i = first; i < count; i++) {
        if (file_is_directory(arguments[i]))
            run_folder(&replay, arguments[i]);
        else
            run_file(&replay, arguments[i]);
    }
    printf("%llu inputs\n", (unsigned long long)replay.inputs);
    return 0;
}
