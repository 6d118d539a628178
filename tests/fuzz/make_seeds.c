/* make_seeds DIR: writes the fuzzer's first corpus: conforming files with every kind of
 * event, in every format and division, bare and in a RIFF container, whole and cut. */
#include <stdio.h>
#include <stdlib.h>

#include "../midi_make.h"
#include "tutti/file.h"
#include "tutti/status.h"

enum { SEEDS = 64 };

static struct bytes wrap(const struct bytes *inside)
{
    struct bytes bytes = {0};
    put_bytes(&bytes, "RIFF\0\0\0\0RMIDdata", 16);
    PUT(&bytes, (uint8_t)inside->count, (uint8_t)(inside->count >> 8), 0, 0);
    put_bytes(&bytes, inside->items, inside->count);
    return bytes;
}

static enum status write_seed(const char *directory, int seed)
{
    struct bytes bytes = {0};
    put_random_file(&bytes, (uint64_t)seed + 1, 0);
    if (seed % 8 == 7) {
        struct bytes wrapped = wrap(&bytes);
        free_bytes(&bytes);
        bytes = wrapped;
    }
    if (seed % 4 == 3)
        bytes.count -= bytes.count / 5;
    char *path = path_format("%s/seed-%02d.mid", directory, seed);
    if (!path)
        return status_fail(STATUS_FAILED, "out of memory");
    enum status status = file_write(path, bytes.items, bytes.count);
    free(path);
    free_bytes(&bytes);
    return status;
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: make_seeds DIR\n");
        return STATUS_MISUSE;
    }
    enum status status = file_make_directories(arguments[1]);
    for (int seed = 0; seed < SEEDS && status == STATUS_OK; seed++)
        status = write_seed(arguments[1], seed);
    if (status != STATUS_OK)
        fprintf(stderr, "make_seeds: %s\n", status_message());
    return (int)status;
}
