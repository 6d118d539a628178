/* h5: typed reading and writing of HDF5 files. The only unit that knows hdf5.h.
 *
 * Files are written in the 1.10 format (libver v110: checksummed metadata) without time
 * stamps, so equal content gives equal bytes; datasets are chunked with fletcher32, so a
 * flipped bit is found on reading. Files are opened for writing under a partial name and
 * published when closed (see file_publish). Serial HDF5: one process writes a file, any
 * number read it.
 *
 * Names are paths in the file ("/model/lstm0/weight_ih"); missing groups are made on
 * writing. Messages: "FILE: /name: what (found; expected)". A file that is written is
 * locked against other writers; published files don't change, so reading takes no lock,
 * unless the environment demands it: then a failure names the cure
 * (HDF5_USE_FILE_LOCKING=FALSE). A file that another program has open for writing can't
 * be read, nor one that such a program has left without closing it; the message says so.
 * A disk that is full while a file is written fails the call that meets it and all after
 * it; h5_abandon then leaves nothing behind, no open descriptor either.
 *
 * A file that is read is a stranger's: nothing of it is believed that isn't stored in it.
 * Names must be reached by hard links; a dataset must be numbers or texts of fixed
 * length, in chunks with fletcher32 and no other filter, all of them in the file; filter
 * plugins are never loaded, in this process, once a file has been opened here. Everything
 * else is refused before it is read or allocated, in words: "FILE: /name: a soft link
 * (expected a hard link)". So a whole dataset is never larger than its file (h5_size).
 *
 * Any thread may call, each with files of its own: calls that come at once take turns,
 * and one that writes or tests much lets others in between its parts of a few megabytes.
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

enum { H5_CHUNK = 65536 }; /* the most elements of a chunk that is written */

/* Read-only; a regular file, so that opening never waits. */
enum status h5_open(const char *path, struct h5_file **out);
enum status h5_create(const char *path, struct h5_file **out); /* to be published */
/* The same under a name that nobody else uses or can predict (file_temporary_name), so
 * nothing keeps a second process from writing the same file; the last one wins. */
enum status h5_create_apart(const char *path, struct h5_file **out);

/* A file that is read: frees it. A file that is written: flushes, publishes under its
 * name. On failure the partial file is gone. The file is freed in any case. */
enum status h5_close(struct h5_file *file);
/* As h5_close, but without the wait for the disk: for one of many files in a directory
 * that the caller syncs and gives its name when all are complete. */
enum status h5_close_unsynced(struct h5_file *file);
/* Drops a file that is being written: nothing appears. NULL is fine. Reads: as h5_close.
 */
void h5_abandon(struct h5_file *file);

/* For tests and `--inject`: once `bytes` of a file that is being written have gone to the
 * disk, the next write is cut to half and fails with the errno `reason`, and all after
 * it; with `reason` 0 it is cut to half and the process killed (SIGKILL). */
void h5_break(struct h5_file *file, uint64_t bytes, int reason);

const char *h5_path(const struct h5_file *file);
/* Bytes of a file that is read, as it was opened, or of a sparse one those of
 * file_stored_size: no values in it can take more. */
uint64_t h5_size(const struct h5_file *file);

/* A group, a dataset, or a link that leads elsewhere, which isn't followed: whoever reads
 * it then is told. */
bool h5_has(const struct h5_file *file, const char *name);

/* True if the object has an attribute of that name, of whatever type. */
bool h5_has_attribute(const struct h5_file *file, const char *name,
                      const char *attribute);

/* The names of a group's members, sorted, at most 1024; the caller frees each and the
 * list. */
enum status h5_list(const struct h5_file *file, const char *group, char ***names,
                    size_t *count);

/* A whole dataset. dims[rank]; a dataset without elements is allowed. */
enum status h5_write(struct h5_file *file, const char *name, enum h5_type type, int rank,
                     const size_t *dims, const void *values);
/* Its type class (integer or floating point) must fit and its shape equal dims exactly;
 * values are converted; an integer that doesn't fit is an error. */
enum status h5_read(const struct h5_file *file, const char *name, enum h5_type type,
                    int rank, const size_t *dims, void *values);
enum status h5_shape(const struct h5_file *file, const char *name, int *rank,
                     size_t dims[H5_MAX_RANK]);

/* A one-dimensional dataset in parts: made with its final length, written and read as
 * [first, first + count). It stays open until the file is closed, and holds a chunk in
 * memory, so that small parts are cheap. Parts of whole chunks (h5_chunk_length) go to
 * the file at once, and their chunks lie in it in the order of the calls. A dataset whose
 * elements weren't all written can't be read. */
enum status h5_make(struct h5_file *file, const char *name, enum h5_type type,
                    size_t length);
enum status h5_write_part(struct h5_file *file, const char *name, enum h5_type type,
                          size_t first, size_t count, const void *values);
enum status h5_read_part(struct h5_file *file, const char *name, enum h5_type type,
                         size_t first, size_t count, void *values);

/* How many elements a chunk of a one-dimensional dataset has: as few chunks as can be,
 * all of one length, so that nearly nothing of the last is filled up. */
size_t h5_chunk_length(size_t length);

/* Where the chunks of a one-dimensional dataset lie in its file, so that they can be read
 * without the library: from any thread, with no lock and no memory but the caller's. Only
 * for a dataset of one dimension and of `type`. Without H5Dchunk_iter (HDF5 before
 * 1.10.10) the time is quadratic: 13 ms for 1000 chunks, 9 s for 20000. */
struct h5_chunks {    /* zero-initialise; free with h5_chunks_free */
    size_t length;    /* elements of the dataset */
    size_t chunk;     /* elements of a chunk; the last one may be filled up */
    size_t element;   /* bytes of an element */
    size_t count;     /* chunks */
    uint64_t *places; /* [count]: offsets in the file */
};
enum status h5_chunks_find(struct h5_file *file, const char *name, enum h5_type type,
                           struct h5_chunks *out);
void h5_chunks_free(struct h5_chunks *chunks);

/* Bytes that h5_chunk_read needs: a chunk and its checksum. */
size_t h5_chunk_room(const struct h5_chunks *chunks);

/* Reads chunk `index` from the open file (`path`, `name`: for the message) and tests its
 * checksum. The elements are as stored, little-endian. From any thread. */
enum status h5_chunk_read(const struct h5_chunks *chunks, size_t index, int descriptor,
                          const char *path, const char *name, void *bytes);

/* One text (UTF-8, fixed length, so that fletcher32 covers it). A longer one than
 * H5_LONGEST_TEXT bytes is refused before it is read. The caller frees *text. */
enum { H5_LONGEST_TEXT = 1 << 20, H5_WIDEST_COLUMN = 1 << 15 };
enum status h5_write_text(struct h5_file *file, const char *name, const char *text);
enum status h5_read_text(const struct h5_file *file, const char *name, char **text);

/* A column of texts, padded with zeros to the longest. One that is padded to more than
 * H5_WIDEST_COLUMN bytes, which the longest path with each byte escaped doesn't need, is
 * refused before it is read. The caller frees *texts: one block, pointers first. */
enum status h5_write_texts(struct h5_file *file, const char *name, size_t count,
                           const char *const *texts);
enum status h5_read_texts(const struct h5_file *file, const char *name, size_t *count,
                          char ***texts);

/* Attributes of a group or dataset ("/" is the root), which must be there; an attribute
 * that is there is replaced. At most 60000 bytes each: they live in the object header,
 * whose checksum covers them. */
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
/* A list of texts as an attribute: gate order, dimension names. */
enum status h5_set_texts(struct h5_file *file, const char *name, const char *attribute,
                         size_t count, const char *const *texts); /* count >= 1 */
enum status h5_set_i64s(struct h5_file *file, const char *name, const char *attribute,
                        size_t count, const int64_t *values); /* count >= 1 */

/* Makes a group (with its parents) if it isn't there. */
enum status h5_group(struct h5_file *file, const char *name);

/* Reads every dataset of the file, so that every checksum is tested, and refuses what has
 * no place in a file of this program: links other than hard ones, two links to one
 * object, named types, chunks that overlap, groups of more than 1024 members or nested
 * deeper than 16. Visits each object once. The message names the first that fails.
 * What is read after it has succeeded need not be checked again. */
enum status h5_verify(struct h5_file *file);

/* "HDF5 1.10.8", for provenance. */
const char *h5_library(void);

#endif
