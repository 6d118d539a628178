/* What the files of the h5 unit share. */
#ifndef H5_INTERNAL_H
#define H5_INTERNAL_H

#include <hdf5.h>

#include "h5.h"

/* A file that is being written, as the driver in disk.c sees it. */
struct disk {
    int descriptor;
    int reason;           /* errno of the first write that failed; 0 while all is well */
    uint64_t end;         /* bytes in the file */
    uint64_t written;     /* bytes handed to the disk so far */
    uint64_t synced;      /* of these, known to be on the disk */
    uint64_t break_after; /* h5_break: so many, then the fault; 0: never */
    int break_reason;
};

struct open_dataset {
    char *name;
    hid_t id;
};

struct h5_file {
    hid_t id;
    char *path;
    char *partial;   /* NULL: the file is read */
    uint64_t size;   /* bytes of a file that is read, when it was opened */
    uint64_t stored; /* that its values can take: file_stored_size */
    bool verified;   /* by h5_verify: all links and datasets are as expected */
    struct disk disk;
    struct open_dataset *open; /* datasets that are read or written in parts */
    size_t open_count;
    uint8_t *scratch; /* a chunk on its way to the file */
    size_t scratch_size;
};

/* The unit's set-up of the library for this thread; cheap when done already. */
void h5_start(void);

/* The library's one lock; see lock.c. Every public function that calls HDF5 holds it, by
 * H5_HOLD_LOCK at its beginning: to the end of the block. */
void h5_lock(void);
void h5_unlock(void);
/* Lets the threads that wait have their turn. */
void h5_yield(void);

struct h5_hold {
    bool held;
};

static inline struct h5_hold h5_hold(void)
{
    h5_lock();
    h5_start();
    return (struct h5_hold){true};
}

static inline void h5_release(const struct h5_hold *hold)
{
    if (hold->held)
        h5_unlock();
}

#define H5_HOLD_LOCK                                                                     \
    const struct h5_hold hold_ __attribute__((cleanup(h5_release), unused)) = h5_hold()

/* A file access list whose file is `disk`; below 0 on failure. */
hid_t disk_access(struct disk *disk);

enum { H5_DESCRIPTION = 256 };

/* HDF5's description of the innermost error into text[H5_DESCRIPTION]; clears its error
 * stack. */
void h5_describe(char *text);

/* "FILE: /name: what: HDF5's innermost description". `name` may be NULL. Clears HDF5's
 * error stack. A disk that failed takes the word: "FILE: can't write: No space left on
 * device". */
enum status h5_fail(const struct h5_file *file, const char *name, const char *what);

/* Lets other threads have their turn; with much on its way to the disk, waits for that
 * meanwhile, so that closing a large file doesn't wait long for all at once. */
void h5_breathe(struct h5_file *file);

/* STATUS_OK, or the failure of the disk, which HDF5 itself never learns of. */
enum status h5_disk_status(const struct h5_file *file);

/* ---- values.c ---- */

struct h5_types { /* HDF5's, of values in a file and in memory */
    hid_t stored, native;
};
struct h5_types h5_types_of(enum h5_type type);

/* Creates a dataset and opens it; below 0 on failure, with the message set. */
hid_t h5_create_dataset(struct h5_file *file, const char *name, hid_t type, int rank,
                        const size_t *dims);

/* Opens a dataset; below 0 on failure, with the message set. In a file that is read its
 * storage is checked (h5_check_storage) unless h5_verify has done so; in one that is
 * written, this unit has created it. */
hid_t h5_open_values(const struct h5_file *file, const char *name);

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

/* ---- chunks.c ---- */

/* Elements [first, first + count) of a one-dimensional dataset. */
struct h5_span {
    size_t length; /* of the dataset */
    size_t first, count;
};

/* True if the span consists of whole chunks; the last chunk of the dataset may be
 * partial. */
bool h5_is_whole_chunks(struct h5_span span);

/* Writes such a span, to whose chunks nothing else has been written. `element`: bytes of
 * one. */
enum status h5_write_chunks(struct h5_file *file, const char *name, hid_t dataset,
                            size_t element, struct h5_span span, const void *values);

/* ---- links.c ---- */

/* The end of the path's next component, after `at`; NULL when there is none. */
const char *h5_component_end(const char *at);

/* Is there a link of the first `length` bytes of a path in a file that is written? */
bool h5_has_link(const struct h5_file *file, const char *name, size_t length);

/* STATUS_OK when `name` is in the file and hard links alone lead there; what it leads to
 * may then be opened by that name. */
enum status h5_check_links(const struct h5_file *file, const char *name);

enum { H5_MAX_MEMBERS = 1024, H5_ADDRESS = 16 };

struct h5_member {
    char *name;
    bool is_hard;
    uint8_t address[H5_ADDRESS]; /* of the object, if the link is hard; equal for one */
};

struct h5_members {
    struct h5_member *list; /* [count], sorted by name */
    size_t count;
};

/* The members of a group, of which there are at most H5_MAX_MEMBERS. Nothing is followed.
 * h5_members_free frees them. */
enum status h5_list_members(const struct h5_file *file, const char *group,
                            struct h5_members *out);
void h5_members_free(struct h5_members *members);

/* ---- storage.c ---- */

enum { H5_CHECKSUM = 4 }; /* bytes of fletcher32, after a chunk's values */

/* How a dataset that may be read is stored. */
struct h5_storage { /* h5_storage_free frees `places` */
    int rank;
    hsize_t dims[H5_MAX_RANK], chunk[H5_MAX_RANK];
    size_t element;   /* bytes of one in the file */
    uint64_t chunks;  /* of which each takes chunk * element + H5_CHECKSUM bytes */
    uint64_t *places; /* [chunks]: offsets in the file, in the order of the values */
};

/* STATUS_OK when the open dataset is stored as this unit stores datasets: a type that
 * h5_check_type accepts; chunks with fletcher32 and no other filter; every chunk in the
 * file, whole, in place. Reads no values. On failure there is nothing to free. */
enum status h5_check_storage(const struct h5_file *file, const char *name, hid_t dataset,
                             struct h5_storage *out);
void h5_storage_free(struct h5_storage *storage);

/* STATUS_OK for numbers of up to 8 bytes and texts of fixed length. */
enum status h5_check_type(const struct h5_file *file, const char *name, hid_t type);

/* Opens a dataset of a file that is read, after h5_check_links, and checks its storage;
 * the caller closes it and frees *storage. */
enum status h5_open_dataset(const struct h5_file *file, const char *name, hid_t *out,
                            struct h5_storage *storage);

/* The chunks that this unit makes of a dataset of that shape. */
void h5_chunk_shape(int rank, const hsize_t *dims, hsize_t *chunk);

/* ---- groups.c ---- */

/* Creates the groups above `name`. */
enum status h5_make_parents(struct h5_file *file, const char *name);

/* Object header settings that all objects share: no time stamps, attributes in the
 * header. */
herr_t h5_set_object(hid_t properties);

/* The same and those of groups: links in the header. */
herr_t h5_set_group(hid_t properties);

/* ---- texts.c ---- */

/* The widest of some texts, at least 1 (HDF5 has no strings of size 0). */
size_t h5_text_width(size_t count, const char *const *texts);

/* A fixed-length UTF-8 type, padded with zeros. */
hid_t h5_text_type(size_t width);

/* `count` texts, each padded with zeros to `width`; the caller frees it, NULL without
 * memory. */
char *h5_pad_texts(size_t count, const char *const *texts, size_t width);

/* True if only zeros follow the zero byte that ends the text: nothing that others would
 * read and this program wouldn't. */
bool h5_is_padded(const char *text, size_t width);

#endif
