/* fuzz: shared by the fuzz targets. A target defines libFuzzer's two functions and ends
 * the process with fuzz_fail when a promise is broken; what a header promises is checked,
 * not what the code happens to do. replay.c runs the same targets without libFuzzer. */
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

#define FUZZ_REQUIRE(holds)                                                              \
    do {                                                                                 \
        if (!(holds))                                                                    \
            fuzz_fail("%s:%d: not %s", __FILE__, __LINE__, #holds);                      \
    } while (0)

/* Requires STATUS_OK: for what has to work whatever the input is. */
void fuzz_must(enum status status);

/* A status other than STATUS_OK needs a message of one line without control characters;
 * it has to contain `name`, unless that is NULL. */
void fuzz_check_message(enum status status, const char *name);

/* What is left of an input. All functions go on with zeros after its end. */
struct fuzz_input {
    const uint8_t *bytes;
    size_t size;
};

uint8_t fuzz_byte(struct fuzz_input *input);

/* Below `limit` > 0. */
size_t fuzz_below(struct fuzz_input *input, size_t limit);

/* One byte selects an extreme or a small number, or the next eight bytes as they are. */
uint64_t fuzz_number(struct fuzz_input *input);
double fuzz_real(struct fuzz_input *input);

/* Up to the next byte `end`, which is consumed, or the end of the input. The caller frees
 * it. A zero byte in it ends the text early. */
char *fuzz_text(struct fuzz_input *input, uint8_t end);

/* A new folder in memory (/dev/shm, else TMPDIR or /tmp) that is removed at exit. */
const char *fuzz_folder(void);

/* Writes a file in place, without the care of file_write; requires success. */
void fuzz_write(const char *path, const void *bytes, size_t size);

/* Calls `read`, again if that took memory that it did not give back, and fails if every
 * further call takes some: for targets in which LeakSanitizer has to be off, as libraries
 * keep what they have allocated. Needs a sanitizer to see anything. */
void fuzz_check_leaks(void (*read)(uint8_t flags), uint8_t flags);

#endif
