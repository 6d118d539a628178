/* h5: typed reading and writing of HDF5 files. The only unit that includes hdf5.h.
 *
 * Format. Files are written in the 1.10 format (libver v110: checksummed metadata)
 * without time stamps, so the same content gives the same bytes. Datasets are chunked
 * with the fletcher32 filter, so bit flips are detected on reading.
 *
 * Writing. A file is created under a temporary name and published when closed (see
 * file_publish). Serial HDF5: one process writes a file, any number of processes read it.
 * A file is locked against other writers while it is written. If the disk is full, the
 * failing call and all later ones return the error; h5_abandon then leaves neither a file
 * nor an open descriptor.
 *
 * Names are paths in the file ("/model/lstm0/weight_ih"); missing groups are created on
 * writing. Messages: "FILE: /name: problem (found; expected)".
 *
 * Reading. Published files don't change, so reading takes no lock, unless the environment
 * requires one: if that fails, the message names the remedy
 * (HDF5_USE_FILE_LOCKING=FALSE). A file that another program has open for writing, or did
 * not close before it ended, can't be read; the message distinguishes the two.
 *
 * Files that are read are untrusted. Names must be reached by hard links; a dataset must
 * contain numbers or fixed-length strings, in chunks with fletcher32 and no other filter,
 * all of them in the file. Once a file has been opened here, this process never loads
 * filter plugins. Everything else is rejected before it is read or allocated: "FILE:
 * /name: a soft link (expected a hard link)". So a whole dataset is never larger than its
 * file (h5_size).
 *
 * Threads. Any thread may call these functions, on its own files. Calls are serialised in
 * the order of arrival; long writes and checks yield the lock every few megabytes.
 */
#ifndef TUTTI_H5_H5_H
#define TUTTI_H5_H5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct h5_file;

enum h5_type { H5_U8, H5_U16, H5_U32, H5_U64, H5_I32, H5_I64, H5_F32, H5_F64 };

size_t h5_type_size(enum h5_type type);

enum { H5_MAX_RANK = 3 };

enum { H5_MAX_CHUNK = 65536 }; /* elements of the largest chunk that is written */
enum { H5_CHECKSUM_SIZE = 4 }; /* bytes of fletcher32, after a chunk's values */

/* Opens a file for reading. It must be a regular file, so that opening never blocks. */
enum status h5_open(const char *path, struct h5_file **out);

/* Creates a file under file_partial_name, locked against other writers, to be published
 * by h5_close. STATUS_FAILED if another process is writing it. */
enum status h5_create(const char *path, struct h5_file **out);

/* The same under a unique, unpredictable name (file_temporary_name) and without a lock:
 * several processes may write the same file, and the last one wins. */
enum status h5_create_unique(const char *path, struct h5_file **out);

/* Frees a file that was read. Flushes a file that was written and publishes it under its
 * name; on failure the temporary file is removed. The file is freed in any case. */
enum status h5_close(struct h5_file *file);

/* As h5_close, but without fsync: for one of many files in a directory that the caller
 * syncs and renames once all are complete. */
enum status h5_close_unsynced(struct h5_file *file);

/* Discards a file that is being written: nothing is published. NULL is fine. For a file
 * that was read: as h5_close. */
void h5_abandon(struct h5_file *file);

/* For tests and `--inject`: the write that would bring the bytes written to this file
 * above `bytes` stops half-way and fails with the errno `reason`, as do all later writes;
 * with `reason` 0 it stops half-way and the process is killed (SIGKILL). */
void h5_inject_fault(struct h5_file *file, uint64_t bytes, int reason);

const char *h5_path(const struct h5_file *file);

/* Size in bytes, at opening, of a file opened for reading; file_stored_size if it is
 * sparse. No values in it can take more memory. */
uint64_t h5_size(const struct h5_file *file);

/* True for a group, a dataset, or a link that is not a hard link. Such a link is not
 * followed, and reading it fails. */
bool h5_has(const struct h5_file *file, const char *name);

/* True if the object has an attribute of that name, of any type. */
bool h5_has_attribute(const struct h5_file *file, const char *name,
                      const char *attribute);

/* The names of a group's members, sorted, at most 1024; the caller frees each and the
 * list. */
enum status h5_list(const struct h5_file *file, const char *group, char ***names,
                    size_t *count);

/* Creates and writes a whole dataset of shape dims[rank], 1 <= rank <= H5_MAX_RANK. It
 * may be empty. */
enum status h5_write(struct h5_file *file, const char *name, enum h5_type type, int rank,
                     const size_t *dims, const void *values);

/* Reads a whole dataset. Its type class (integer or floating point) and shape must match
 * `type` and dims exactly. Values are converted; an integer out of range is an error. */
enum status h5_read(const struct h5_file *file, const char *name, enum h5_type type,
                    int rank, const size_t *dims, void *values);
enum status h5_shape(const struct h5_file *file, const char *name, int *rank,
                     size_t dims[H5_MAX_RANK]);

/* A one-dimensional dataset in slices: created with its final length, then written and
 * read as elements [first, first + count). It stays open until the file is closed, and
 * one chunk is buffered, so small slices are cheap. Slices of whole chunks
 * (h5_chunk_length) are written directly, and their chunks are stored in the order of the
 * calls. A dataset can be read only if all its elements were written. */
enum status h5_create_1d(struct h5_file *file, const char *name, enum h5_type type,
                         size_t length);
enum status h5_write_slice(struct h5_file *file, const char *name, enum h5_type type,
                           size_t first, size_t count, const void *values);
enum status h5_read_slice(struct h5_file *file, const char *name, enum h5_type type,
                          size_t first, size_t count, void *values);

/* As h5_write_slice, for a single whole chunk, without copying it: `chunk` has space for
 * h5_chunk_length elements and H5_CHECKSUM_SIZE bytes, which are overwritten after the
 * `count` values. STATUS_FAILED if [first, first + count) is not one whole chunk. */
enum status h5_write_chunk(struct h5_file *file, const char *name, enum h5_type type,
                           size_t first, size_t count, void *chunk);

/* Elements per chunk of a one-dimensional dataset, which has as few chunks of at most
 * H5_MAX_CHUNK elements as possible, all of equal length, so the last one has almost no
 * padding. */
size_t h5_chunk_length(size_t length);

/* The file offsets of the chunks of a one-dimensional dataset, to read them without the
 * library: from any thread, without a lock, into the caller's memory. The dataset's type
 * must be exactly `type`. Without H5Dchunk_iter (HDF5 before 1.10.10) the time is
 * quadratic: 13 ms for 1000 chunks, 9 s for 20000. */
struct h5_chunks {       /* zero-initialise; free with h5_chunks_free */
    size_t length;       /* elements of the dataset */
    size_t chunk_length; /* elements of a chunk; the last one may be padded */
    size_t element_size; /* bytes of an element */
    size_t count;        /* chunks */
    uint64_t *offsets;   /* [count], in the file */
};
enum status h5_chunks_find(struct h5_file *file, const char *name, enum h5_type type,
                           struct h5_chunks *out);
void h5_chunks_free(struct h5_chunks *chunks);

/* Bytes of the buffer for h5_chunk_read: a chunk and its checksum. */
size_t h5_chunk_buffer_size(const struct h5_chunks *chunks);

/* Reads chunk `index` from the open file into bytes[h5_chunk_buffer_size()] and verifies
 * its checksum. The elements are as stored, little-endian. `path` and `name` are for the
 * message. From any thread. */
enum status h5_chunk_read(const struct h5_chunks *chunks, size_t index, int descriptor,
                          const char *path, const char *name, void *bytes);

/* One string (UTF-8, fixed length, so that fletcher32 covers it). A string longer than
 * H5_MAX_TEXT bytes is rejected before it is read. The caller frees *text. */
enum { H5_MAX_TEXT = 1 << 20, H5_MAX_COLUMN_WIDTH = 1 << 15 };
enum status h5_write_text(struct h5_file *file, const char *name, const char *text);
enum status h5_read_text(const struct h5_file *file, const char *name, char **text);

/* A column of strings, zero-padded to the longest. A width of more than
 * H5_MAX_COLUMN_WIDTH bytes, which is enough for the longest path with every byte
 * escaped, is rejected before it is read. The caller frees *texts: one block, pointers
 * first. */
enum status h5_write_texts(struct h5_file *file, const char *name, size_t count,
                           const char *const *texts);
enum status h5_read_texts(const struct h5_file *file, const char *name, size_t *count,
                          char ***texts);

/* Attributes of an existing group or dataset ("/" is the root); an existing attribute is
 * replaced. At most 60000 bytes each: they are kept in the object header, whose checksum
 * covers them. A string that is read must fit into text[size] with its zero byte. */
enum status h5_set_text(struct h5_file *file, const char *name, const char *attribute,
                        const char *text);
enum status h5_set_i64(struct h5_file *file, const char *name, const char *attribute,
                       int64_t value);
enum status h5_set_u64(struct h5_file *file, const char *name, const char *attribute,
                       uint64_t value);
enum status h5_set_f64(struct h5_file *file, const char *name, const char *attribute,
                       double value);
enum status h5_get_text(const struct h5_file *file, const char *name,
                        const char *attribute, char *text, size_t size);
enum status h5_get_i64(const struct h5_file *file, const char *name,
                       const char *attribute, int64_t *value);
enum status h5_get_u64(const struct h5_file *file, const char *name,
                       const char *attribute, uint64_t *value);
enum status h5_get_f64(const struct h5_file *file, const char *name,
                       const char *attribute, double *value);
/* A list of strings as an attribute: gate order, dimension names. */
enum status h5_set_texts(struct h5_file *file, const char *name, const char *attribute,
                         size_t count, const char *const *texts); /* count >= 1 */
enum status h5_set_i64s(struct h5_file *file, const char *name, const char *attribute,
                        size_t count, const int64_t *values); /* count >= 1 */

/* Creates a group and its parents, unless it exists. */
enum status h5_group(struct h5_file *file, const char *name);

/* Reads every dataset of the file, which verifies every checksum, and rejects anything
 * that this program never writes: links other than hard links, two links to one object,
 * named types, overlapping chunks, groups of more than 1024 members or nested deeper than
 * 16. Visits each object once. The message names the first object that fails. After
 * success, reads of this file skip the storage checks. */
enum status h5_verify(struct h5_file *file);

/* "HDF5 1.10.8", for provenance. */
const char *h5_library(void);

#endif
