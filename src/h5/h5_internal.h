/* h5_internal: shared by src/h5. */
#ifndef TUTTI_H5_H5_INTERNAL_H
#define TUTTI_H5_H5_INTERNAL_H

#include <hdf5.h>

#include "h5.h"

/* A file that is being written: the state of the driver in vfd.c. */
struct h5_vfd {
    int descriptor;
    int write_errno;     /* errno of the first write that failed; 0: none */
    uint64_t eof;        /* bytes in the file */
    uint64_t written;    /* bytes passed to the driver so far */
    uint64_t synced;     /* of these, synced */
    uint64_t fail_after; /* h5_inject_fault: bytes before the fault; 0: none */
    int fault_errno;     /* errno of that fault; 0: SIGKILL */
};

struct open_dataset {
    char *name;
    hid_t id;
};

struct h5_file {
    hid_t id;
    char *path;
    char *partial;            /* the temporary name; NULL: opened for reading */
    uint64_t size;            /* bytes, when it was opened for reading */
    uint64_t max_value_bytes; /* file_stored_size */
    bool verified;            /* by h5_verify: links and storage are as expected */
    struct h5_vfd vfd;
    struct open_dataset *open_datasets; /* used in slices */
    size_t open_count;
    uint8_t *scratch; /* a chunk to be written, with its checksum */
    size_t scratch_size;
};

/* Initialises the library for this thread; cheap after the first call. */
void h5_init(void);

/* The lock around the library; see lock.c. Every public function that calls HDF5 begins
 * with H5_HOLD_LOCK, which holds the lock until the end of the block. */
void h5_lock(void);
void h5_unlock(void);
/* Lets waiting threads run first. */
void h5_yield(void);

struct h5_hold {
    bool held;
};

static inline struct h5_hold h5_hold(void)
{
    h5_lock();
    h5_init();
    return (struct h5_hold){true};
}

static inline void h5_release(const struct h5_hold *hold)
{
    if (hold->held)
        h5_unlock();
}

#define H5_HOLD_LOCK                                                                     \
    const struct h5_hold hold_ __attribute__((cleanup(h5_release), unused)) = h5_hold()

/* A file access property list for the driver in vfd.c, with state `vfd`; below 0 on
 * failure. */
hid_t h5_vfd_access(struct h5_vfd *vfd);

enum { H5_ERROR_SIZE = 256 };

/* HDF5's description of the innermost error into text[H5_ERROR_SIZE]; clears its error
 * stack. */
void h5_error_text(char *text);

/* STATUS_FAILED: "FILE: /name: WHAT: " and HDF5's description of the innermost error.
 * `name` may be NULL. Clears HDF5's error stack. After a failed write the message is
 * instead "FILE: can't write: No space left on device". */
enum status h5_fail(const struct h5_file *file, const char *name, const char *what);

/* h5_yield, called between the blocks of a long write. Once 64 MiB are unsynced it also
 * syncs, without the lock, so that closing a large file does not take long. */
void h5_yield_and_sync(struct h5_file *file);

/* STATUS_OK, or the error of a failed write, which vfd.c hides from HDF5. */
enum status h5_write_status(const struct h5_file *file);

/* ---- types.c ---- */

struct h5_types { /* HDF5 types of values in a file and in memory */
    hid_t stored, native;
};
struct h5_types h5_types_of(enum h5_type type);

/* ---- values.c ---- */

/* Creates a dataset and opens it; below 0 on failure, with the message set. */
hid_t h5_create_dataset(struct h5_file *file, const char *name, hid_t type, int rank,
                        const size_t *dims);

/* Opens a dataset; below 0 on failure, with the message set. In a file opened for
 * reading, its storage is checked (h5_check_storage) unless h5_verify has already checked
 * it; in a file being written, this unit has created it. */
hid_t h5_open_dataset(const struct h5_file *file, const char *name);

/* Creates a dataset, writes it and closes it. */
enum status h5_write_dataset(struct h5_file *file, const char *name,
                             struct h5_types types, int rank, const size_t *dims,
                             const void *values);

/* Reads the selection `space` of a dataset into the selection `memory` of `values`,
 * converted to `type`. */
enum status h5_read_selection(const struct h5_file *file, const char *name, hid_t dataset,
                              enum h5_type type, hid_t memory, hid_t space, void *values);

enum status h5_dataset_shape(const struct h5_file *file, const char *name, hid_t dataset,
                             int *rank, size_t dims[H5_MAX_RANK]);

/* STATUS_OK if the dataset's type has the expected class. */
enum status h5_check_class(const struct h5_file *file, const char *name, hid_t dataset,
                           H5T_class_t expected);

/* ---- slices.c ---- */

/* The dataset of that name that stays open until the file is closed; below 0: none. */
hid_t h5_find_open_dataset(const struct h5_file *file, const char *name);

/* ---- chunks.c ---- */

/* Elements [first, first + count) of a one-dimensional dataset. */
struct h5_span {
    size_t length; /* of the dataset */
    size_t first, count;
};

/* True if the span consists of whole chunks; the last chunk of the dataset may be
 * partial. */
bool h5_is_whole_chunks(struct h5_span span);

/* Writes such a span, whose chunks must not have been written before.
 * `element_size`: bytes per element. */
enum status h5_write_chunks(struct h5_file *file, const char *name, hid_t dataset,
                            size_t element_size, struct h5_span span, const void *values);

/* Writes a span of one whole chunk from the caller's buffer: see h5_write_chunk. */
enum status h5_write_chunk_in_place(struct h5_file *file, const char *name, hid_t dataset,
                                    size_t element_size, struct h5_span span,
                                    uint8_t *chunk);

/* ---- links.c ---- */

/* The end of the path's next component, after `at`; NULL when there is none. */
const char *h5_component_end(const char *at);

/* True if the first `length` bytes of a path name a link; for a file being written. */
bool h5_has_link(const struct h5_file *file, const char *name, size_t length);

/* STATUS_OK if `name` exists and is reached by hard links only; the object may then be
 * opened by that name. A file being written is not checked: it has no other links, and
 * opening a missing object fails. */
enum status h5_check_links(const struct h5_file *file, const char *name);

enum { H5_MAX_MEMBERS = 1024, H5_ADDRESS = 16 };

struct h5_member {
    char *name;
    bool is_hard;
    uint8_t address[H5_ADDRESS]; /* of the object, unique; only if is_hard */
};

struct h5_members {
    struct h5_member *list; /* [count], sorted by name */
    size_t count;
};

/* The members of a group, at most H5_MAX_MEMBERS. No link is followed. Free with
 * h5_members_free. */
enum status h5_list_members(const struct h5_file *file, const char *group,
                            struct h5_members *out);
void h5_members_free(struct h5_members *members);

/* ---- storage.c ---- */

/* The storage of a dataset that passed h5_check_storage. Free with h5_storage_free. */
struct h5_storage {
    int rank;
    hsize_t dims[H5_MAX_RANK], chunk_shape[H5_MAX_RANK];
    size_t element_size;  /* bytes, in the file */
    uint64_t chunk_count; /* of chunk_shape elements and H5_CHECKSUM_SIZE bytes each */
    uint64_t *offsets;    /* [chunk_count], in the file, in the order of the values */
};

/* STATUS_OK if the open dataset is stored as this unit stores datasets: numbers of at
 * most 8 bytes or fixed-length strings; chunks with fletcher32 and no other filter; every
 * chunk in the file, complete and without overlap. Reads no values. On failure there is
 * nothing to free. */
enum status h5_check_storage(const struct h5_file *file, const char *name, hid_t dataset,
                             struct h5_storage *out);
void h5_storage_free(struct h5_storage *storage);

/* Opens a dataset of a file opened for reading, after h5_check_links, and checks its
 * storage; the caller closes it and frees *storage. */
enum status h5_open_checked(const struct h5_file *file, const char *name, hid_t *out,
                            struct h5_storage *storage);

/* The chunk shape that this unit uses for a dataset of shape dims[rank]. */
void h5_chunk_shape(int rank, const hsize_t *dims, hsize_t *chunk);

/* ---- groups.c ---- */

/* Creates the groups above `name`. */
enum status h5_create_parents(struct h5_file *file, const char *name);

/* Object header settings that all objects share: no time stamps, attributes in the
 * header. */
herr_t h5_set_object_properties(hid_t properties);

/* The same, and for groups: links in the header. */
herr_t h5_set_group_properties(hid_t properties);

/* ---- texts.c ---- */

/* The length of the longest text, at least 1 (HDF5 has no strings of size 0). */
size_t h5_text_width(size_t count, const char *const *texts);

/* A fixed-length UTF-8 type, padded with zeros. */
hid_t h5_text_type(size_t width);

/* `count` texts, each padded with zeros to `width`; the caller frees them. NULL if out of
 * memory. */
char *h5_pad_texts(size_t count, const char *const *texts, size_t width);

/* True if only zeros follow the zero byte that ends the text, so that other programs read
 * the same text. */
bool h5_is_padded(const char *text, size_t width);

#endif
