/* What the files of the h5 unit share. */
#ifndef H5_INTERNAL_H
#define H5_INTERNAL_H

#include <hdf5.h>

#include "tutti/h5.h"

/* A file that is being written, as the driver in disk.c sees it. */
struct disk {
    int descriptor;
    int reason;   /* errno of the first write that failed; 0 while all is well */
    uint64_t end; /* bytes in the file */
};

struct open_dataset {
    char *name;
    hid_t id;
};

struct h5_file {
    hid_t id;
    char *path;
    char *partial; /* NULL: the file is read */
    struct disk disk;
    struct open_dataset *open; /* datasets that are read or written in parts */
    size_t open_count;
};

/* The unit's set-up of the library; cheap when done already. */
void h5_start(void);

/* A file access list whose file is `disk`; below 0 on failure. */
hid_t disk_access(struct disk *disk);

/* "FILE: /name: what: HDF5's innermost description". `name` may be NULL. Clears HDF5's
 * error stack. A disk that failed takes the word: "FILE: can't write: No space left on
 * device". */
enum status h5_fail(const struct h5_file *file, const char *name, const char *what);

/* STATUS_OK, or the failure of the disk, which HDF5 itself never learns of. */
enum status h5_disk_status(const struct h5_file *file);

/* The type that values of `type` have in a file. */
hid_t h5_stored_type(enum h5_type type);

/* Makes the groups above `name`. */
enum status h5_make_parents(struct h5_file *file, const char *name);

/* Object header settings that all objects share: no time stamps, attributes in the
 * header. */
herr_t h5_set_object(hid_t properties);

/* The widest of some texts, at least 1 (HDF5 has no strings of size 0). */
size_t h5_text_width(size_t count, const char *const *texts);

/* A fixed-length UTF-8 type, padded with zeros. */
hid_t h5_text_type(size_t width);

/* `count` texts, each padded with zeros to `width`; the caller frees it, NULL without
 * memory. */
char *h5_pad_texts(size_t count, const char *const *texts, size_t width);

#endif
