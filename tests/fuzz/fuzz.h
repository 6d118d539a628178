/* fuzz: shared by the fuzz targets. A target defines libFuzzer's two functions and calls
 * fuzz_fail, which aborts, when a contract is violated. Targets check what a header
 * promises, not what the code happens to do. replay.c runs the same targets without
 * libFuzzer. */
#ifndef TUTTI_TESTS_FUZZ_H
#define TUTTI_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Prints one line and aborts. */
void fuzz_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define FUZZ_REQUIRE(condition)                                                          \
    do {                                                                                 \
        if (!(condition))                                                                \
            fuzz_fail("%s:%d: not %s", __FILE__, __LINE__, #condition);                  \
    } while (0)

/* Requires STATUS_OK: for calls that must succeed for any input. */
void fuzz_require_ok(enum status status);

/* Any status other than STATUS_OK must come with a one-line message without control
 * characters that contains `name`, unless `name` is NULL. */
void fuzz_check_message(enum status status, const char *name);

/* The unread rest of an input. After its end all functions read zeros. */
struct fuzz_input {
    const uint8_t *bytes;
    size_t size;
};

uint8_t fuzz_byte(struct fuzz_input *input);

/* In [0, limit); limit > 0. */
size_t fuzz_below(struct fuzz_input *input, size_t limit);

/* One byte selects an extreme value, a small number, or the next eight bytes verbatim. */
uint64_t fuzz_number(struct fuzz_input *input);
double fuzz_real(struct fuzz_input *input);

/* The text up to the next byte `end`, which is consumed, or up to the end of the input; a
 * zero byte within it ends the text early. The caller frees it. */
char *fuzz_text(struct fuzz_input *input, uint8_t end);

/* Creates a folder in memory (/dev/shm, else TMPDIR or /tmp) that is removed at exit. */
const char *fuzz_folder(void);

/* Writes a file in place, without the atomic replacement of file_write; requires success.
 */
void fuzz_write(const char *path, const void *bytes, size_t size);

/* Calls `read` and, if allocated memory has grown, repeats the call; fails if memory
 * grows with every repetition. For targets in which LeakSanitizer must be off because
 * libraries keep their allocations. Detects nothing without a sanitizer. */
void fuzz_check_leaks(void (*read)(uint8_t flags), uint8_t flags);

#endif
