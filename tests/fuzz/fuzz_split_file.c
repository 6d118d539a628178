/* fuzz_split_file: arbitrary bytes as a split file for a fixed list of input files. The
 * same lines in reverse order must give the same splits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data/scan.h"

static const char *const names[] = {
    "corpus/a.mid",     "corpus/b.mid",    "corpus/sub/a.mid", "corpus/sub/sub/a.mid",
    "corpus/.a.mid",    "corpus/\xff.mid", "corpus/\\xFF.mid", "corpus/sub/\xc3\xa9.mid",
    "corpus/t\tab.mid", "other/a.mid",     "other/sub/a.mid",  "other/c d.mid",
};
enum { FILES = sizeof names / sizeof *names };

static char *path; /* of the split file */
static struct scan scan;

static void make_file(const char *name)
{
    char *file = path_format("%s/%s", fuzz_folder(), name);
    char *directory = file ? path_directory(file) : NULL;
    FUZZ_REQUIRE(directory);
    fuzz_require_ok(file_make_directories(directory));
    fuzz_write(file, "", 0);
    free(directory);
    free(file);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    static const char *const inputs[] = {"corpus", "./other/"};
    (void)count;
    (void)arguments;
    for (size_t i = 0; i < FILES; i++)
        make_file(names[i]);
    char *previous = getcwd(NULL, 0);
    FUZZ_REQUIRE(previous && chdir(fuzz_folder()) == 0);
    fuzz_require_ok(scan_inputs(inputs, 2, &scan));
    FUZZ_REQUIRE(chdir(previous) == 0);
    free(previous);
    FUZZ_REQUIRE(scan.file_count == FILES);
    path = path_format("%s/split.txt", fuzz_folder());
    FUZZ_REQUIRE(path);
    return 0;
}

static enum status read_split(const void *bytes, size_t size, uint8_t splits[FILES])
{
    fuzz_write(path, bytes, size);
    enum status status = split_file_read(path, &scan);
    fuzz_check_message(status, path);
    FUZZ_REQUIRE(status != STATUS_FAILED);
    for (size_t i = 0; i < FILES; i++) {
        splits[i] = scan.files[i].split;
        FUZZ_REQUIRE(splits[i] < SPLITS || splits[i] == SCAN_SPLIT_UNLISTED);
    }
    return status;
}

/* The non-empty lines in reverse order; the caller frees them. */
static uint8_t *reversed(const uint8_t *bytes, size_t size, size_t *length)
{
    uint8_t *lines = malloc(size + 1), *to = lines;
    FUZZ_REQUIRE(lines);
    for (size_t end = size; end > 0;) {
        size_t begin = end;
        while (begin > 0 && bytes[begin - 1] != '\n')
            begin--;
        memcpy(to, bytes + begin, end - begin);
        to += end - begin;
        if (end > begin)
            *to++ = '\n';
        end = begin > 0 ? begin - 1 : 0;
    }
    *length = (size_t)(to - lines);
    return lines;
}

static bool has_byte_order_mark(const uint8_t *bytes, size_t size)
{
    return size >= 3 && memmem(bytes, size, "\xEF\xBB\xBF", 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t splits[FILES], again[FILES];
    enum status status = read_split(bytes, size, splits);
    FUZZ_REQUIRE(read_split(bytes, size, again) == status);
    FUZZ_REQUIRE(memcmp(splits, again, sizeof splits) == 0);
    if (has_byte_order_mark(bytes, size)) /* a byte order mark is one only at the start */
        return 0;
    size_t length = 0;
    uint8_t *lines = reversed(bytes, size, &length);
    enum status other = read_split(lines, length, again);
    free(lines);
    FUZZ_REQUIRE(other == status);
    if (status == STATUS_OK)
        FUZZ_REQUIRE(memcmp(splits, again, sizeof splits) == 0);
    return 0;
}
