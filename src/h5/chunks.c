/* chunks: reads and writes a dataset's chunks while bypassing most of the library.
 *
 * Reading. A token stream reads at random offsets of many files, in its own thread,
 * during the whole run. Through HDF5 it would have to wait while a checkpoint is written,
 * and each open file would take half a megabyte (the table of its metadata cache). So the
 * chunk offsets are obtained from the library once; after that, reading a chunk is one
 * pread, verified against the checksum that follows the values: HDF5's fletcher32 filter
 * (file format specification, "Data Storage - Filter Pipeline").
 *
 * Writing. H5Dwrite allocates a chunk, zeroes it, copies the values into the library's
 * cache, computes the checksum word by word, and copies again to write. Whole chunks
 * avoid this: each is copied at most once, its checksum is appended, and it is written
 * directly, in the order of the calls.
 */
#include "h5_internal.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- finding chunks ---- */

/* True for one dimension of exactly this type: the bytes in the file are the values. */
static bool is_column(hid_t dataset, enum h5_type type, const struct h5_storage *storage)
{
    hid_t stored = H5Dget_type(dataset);
    bool fits = storage->rank == 1 && H5Tequal(stored, h5_types_of(type).stored) > 0;
    H5Tclose(stored);
    return fits;
}

enum status h5_chunks_find(struct h5_file *file, const char *name, enum h5_type type,
                           struct h5_chunks *out)
{
    H5_HOLD_LOCK;
    *out = (struct h5_chunks){0};
    hid_t dataset;
    struct h5_storage storage;
    enum status status = h5_open_checked(file, name, &dataset, &storage);
    if (status != STATUS_OK)
        return status;
    if (is_column(dataset, type, &storage)) {
        *out = (struct h5_chunks){.length = (size_t)storage.dims[0],
                                  .chunk_length = (size_t)storage.chunk_shape[0],
                                  .element_size = storage.element_size,
                                  .count = (size_t)storage.chunk_count,
                                  .offsets = storage.offsets};
    } else {
        h5_storage_free(&storage);
        status = status_fail(STATUS_FAILED,
                             "%s: %s: stored in another way than by this program: it can "
                             "be read whole, but not chunk by chunk",
                             file->path, name);
    }
    H5Dclose(dataset);
    return status;
}

void h5_chunks_free(struct h5_chunks *chunks)
{
    free(chunks->offsets);
    *chunks = (struct h5_chunks){0};
}

/* ---- reading a chunk ---- */

/* Modulo 65535, except that nonzero multiples give 65535, as HDF5's folding of the sums
 * does. */
static uint32_t remainder_of(uint64_t sum)
{
    return sum ? (uint32_t)((sum - 1) % 65535) + 1 : 0;
}

static uint32_t word_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

/* Fletcher's checksum over big-endian 16-bit words: the sum of the words, and the sum of
 * all prefix sums, in which each word counts once for itself and once for every later
 * word.
 *
 * The compiler vectorises over the lanes: each sums every 32nd word. In a run of n words
 * per lane, word i of lane l counts LANES (n - i) - l times in the sum of prefix sums,
 * and n - i times in the lane's own. Runs are short enough not to overflow 32 bits. */
static uint32_t fletcher32(const uint8_t *bytes, size_t size)
{
    enum { LANES = 32, RUN_MAX = 360 };
    uint64_t sum = 0, sums = 0;
    size_t words = size / 2;
    while (words >= LANES) {
        size_t run = words / LANES < RUN_MAX ? words / LANES : RUN_MAX;
        uint32_t lane[LANES] = {0}, partial[LANES] = {0};
        for (size_t i = 0; i < run; i++, bytes += 2 * LANES) {
            uint16_t word[LANES];
            memcpy(word, bytes, sizeof word);
            for (int l = 0; l < LANES; l++) {
                lane[l] += be16toh(word[l]);
                partial[l] += lane[l];
            }
        }
        words -= run * LANES;
        sums += sum * run * LANES;
        for (uint64_t l = 0; l < LANES; l++) {
            sum += lane[l];
            sums += (uint64_t)partial[l] * LANES - l * lane[l];
        }
        sum = remainder_of(sum);
        sums = remainder_of(sums);
    }
    for (; words > 0; words--, bytes += 2)
        sums += sum += word_at(bytes);
    if (size % 2)
        sums += sum += (uint32_t)bytes[0] << 8;
    return remainder_of(sums) << 16 | remainder_of(sum);
}

/* False with errno, which is 0 at end of file. */
static bool read_fully(int descriptor, uint64_t offset, uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t got = pread(descriptor, bytes, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got < 0 ? errno : 0;
            return false;
        }
        bytes += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

size_t h5_chunk_buffer_size(const struct h5_chunks *chunks)
{
    return chunks->chunk_length * chunks->element_size + H5_CHECKSUM_SIZE;
}

enum status h5_chunk_read(const struct h5_chunks *chunks, size_t index, int descriptor,
                          const char *path, const char *name, void *bytes)
{
    size_t size = chunks->chunk_length * chunks->element_size;
    const uint8_t *stored = (const uint8_t *)bytes + size;
    if (!read_fully(descriptor, chunks->offsets[index], bytes, size + H5_CHECKSUM_SIZE)) {
        if (errno)
            return status_fail_errno("%s: %s: can't read", path, name);
        return status_fail(STATUS_FAILED, "%s: %s: can't read: the file ends too early",
                           path, name);
    }
    uint32_t expected = (uint32_t)stored[0] | (uint32_t)stored[1] << 8 |
                        (uint32_t)stored[2] << 16 | (uint32_t)stored[3] << 24;
    if (fletcher32(bytes, size) != expected)
        return status_fail(STATUS_FAILED,
                           "%s: %s: can't read: the checksum of chunk %zu is wrong (the "
                           "file is damaged)",
                           path, name, index);
    return STATUS_OK;
}

/* ---- writing ---- */

bool h5_is_whole_chunks(struct h5_span span)
{
    size_t chunk = h5_chunk_length(span.length);
    return span.count > 0 && span.first % chunk == 0 &&
           (span.count % chunk == 0 || span.first + span.count == span.length);
}

static enum status reserve_scratch(struct h5_file *file, const char *name, size_t size)
{
    if (size <= file->scratch_size)
        return STATUS_OK;
    uint8_t *larger = realloc(file->scratch, size);
    if (!larger)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, name);
    file->scratch = larger;
    file->scratch_size = size;
    return STATUS_OK;
}

/* Completes a chunk as stored in the file: `used` bytes of values, zeros up to `size`,
 * the checksum. */
static void complete_chunk(uint8_t *chunk, size_t used, size_t size)
{
    memset(chunk + used, 0, size - used);
    uint32_t sum = fletcher32(chunk, size);
    for (int i = 0; i < H5_CHECKSUM_SIZE; i++)
        chunk[size + (size_t)i] = (uint8_t)(sum >> 8 * i);
}

enum status h5_write_chunk_in_place(struct h5_file *file, const char *name, hid_t dataset,
                                    size_t element_size, struct h5_span span,
                                    uint8_t *chunk)
{
    size_t size = h5_chunk_length(span.length) * element_size;
    hsize_t offset = span.first;
    complete_chunk(chunk, span.count * element_size, size);
    if (H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &offset, size + H5_CHECKSUM_SIZE, chunk) <
        0)
        return h5_fail(file, name, "can't write");
    return h5_write_status(file);
}

enum status h5_write_chunks(struct h5_file *file, const char *name, hid_t dataset,
                            size_t element_size, struct h5_span span, const void *values)
{
    size_t chunk = h5_chunk_length(span.length), size = chunk * element_size;
    enum status status = reserve_scratch(file, name, size + H5_CHECKSUM_SIZE);
    for (size_t done = 0; done < span.count && status == STATUS_OK; done += chunk) {
        size_t n = span.count - done < chunk ? span.count - done : chunk;
        memcpy(file->scratch, (const uint8_t *)values + done * element_size,
               n * element_size);
        status = h5_write_chunk_in_place(
            file, name, dataset, element_size,
            (struct h5_span){span.length, span.first + done, n}, file->scratch);
    }
    return status;
}
