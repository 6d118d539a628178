/* fuzz: see the header. */
#include "fuzz.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../remove_tree.h"
#include "base/file.h"

void fuzz_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "fuzz: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    abort();
}

void fuzz_require_ok(enum status status)
{
    if (status != STATUS_OK)
        fuzz_fail("unexpected failure: %s", status_message());
}

void fuzz_check_message(enum status status, const char *name)
{
    if (status == STATUS_OK)
        return;
    const char *message = status_message();
    FUZZ_REQUIRE(status == STATUS_FAILED || status == STATUS_MISUSE);
    if (!message[0])
        fuzz_fail("a failure without a message");
    for (const char *c = message; *c; c++)
        if (iscntrl((unsigned char)*c))
            fuzz_fail("a control character in the message: %s", message);
    if (name && !strstr(message, name))
        fuzz_fail("%s is not named in the message: %s", name, message);
}

uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->bytes++;
}

size_t fuzz_below(struct fuzz_input *input, size_t limit)
{
    size_t value = fuzz_byte(input);
    if (limit > 256)
        value = value << 8 | fuzz_byte(input);
    return value % limit;
}

uint64_t fuzz_number(struct fuzz_input *input)
{
    static const uint64_t extremes[] = {
        INT64_MAX,  (uint64_t)INT64_MIN, UINT64_MAX,   UINT64_MAX - 1,
        INT32_MAX,  (uint64_t)INT32_MIN, UINT32_MAX,   UINT16_MAX,
        1ull << 15, 1ull << 20,          1ull << 27,   1ull << 31,
        1ull << 32, 1ull << 40,          1ull << 53,   1ull << 62,
        1000,       65535ull * 65536,    (uint64_t)-5, 10000,
    };
    enum { SMALL = 200, EXTREMES = sizeof extremes / sizeof *extremes };
    uint8_t kind = fuzz_byte(input);
    if (kind < SMALL)
        return kind;
    if (kind < SMALL + EXTREMES)
        return extremes[kind - SMALL];
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | fuzz_byte(input);
    return value;
}

double fuzz_real(struct fuzz_input *input)
{
    static const double extremes[] = {
        -0.0, -1, -5, 0.5, 1e-300, 1e300, -1e300, 1e15, 1e9, -1e9, 4294967296.0,
    };
    enum { EXTREMES = sizeof extremes / sizeof *extremes };
    uint8_t kind = fuzz_byte(input) % (EXTREMES + 5);
    if (kind < EXTREMES)
        return extremes[kind];
    if (kind == EXTREMES)
        return (double)__builtin_nanf("");
    if (kind == EXTREMES + 1)
        return __builtin_inf();
    if (kind == EXTREMES + 2)
        return -__builtin_inf();
    uint64_t bits = fuzz_number(input);
    double value = (double)bits;
    if (kind == EXTREMES + 3)
        memcpy(&value, &bits, sizeof value);
    return value;
}

char *fuzz_text(struct fuzz_input *input, uint8_t end)
{
    const uint8_t *rest = input->size ? memchr(input->bytes, end, input->size) : NULL;
    size_t length = rest ? (size_t)(rest - input->bytes) : input->size;
    char *text = malloc(length + 1);
    if (!text)
        fuzz_fail("out of memory");
    if (length)
        memcpy(text, input->bytes, length);
    text[length] = '\0';
    input->bytes += length + (rest != NULL);
    input->size -= length + (rest != NULL);
    return text;
}

/* Provided by the sanitizers. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated_bytes(void)
{
    return __sanitizer_get_current_allocated_bytes
               ? __sanitizer_get_current_allocated_bytes()
               : 0;
}

void fuzz_check_leaks(void (*read)(uint8_t flags), uint8_t flags)
{
    enum { REPETITIONS = 5 };
    size_t before = allocated_bytes(), min_growth = SIZE_MAX;
    read(flags);
    for (int i = 1; i < REPETITIONS; i++) {
        size_t after = allocated_bytes();
        if (after <= before)
            return;
        min_growth = after - before < min_growth ? after - before : min_growth;
        before = after;
        read(flags);
    }
    fuzz_fail("every call leaks %zu bytes or more", min_growth);
}

static char folder[64];
static pid_t folder_owner;

static void remove_folder(void)
{
    if (getpid() == folder_owner)
        file_remove_tree(folder);
}

const char *fuzz_folder(void)
{
    if (folder[0])
        return folder;
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/tutti-fuzz-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(folder))
        fuzz_fail("%s: can't create this folder", folder);
    folder_owner = getpid();
    atexit(remove_folder);
    return folder;
}

void fuzz_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "w");
    bool written = file && fwrite(bytes, 1, size, file) == size;
    if (!file || fclose(file) != 0 || !written)
        fuzz_fail("%s: can't write", path);
}
