/* h5_edits: modifies values and structure of an HDF5 file through the library itself, so
 * that every checksum of the result is valid. Only the tests of hostile files use HDF5
 * directly.
 *
 * An input is a list of records of fixed size, one edit each: bytes that select the kind
 * of edit, an object of the original file and values. A record has the same meaning at
 * any position. */
#ifndef TUTTI_TESTS_H5_EDITS_H
#define TUTTI_TESTS_H5_EDITS_H

#define H5_USE_110_API /* later versions give these names to other functions */
#include <hdf5.h>

#include "fuzz.h"

enum { EDIT_RECORD = 32, EDIT_KINDS = 18, EDITS_MAX = 8 };

struct h5_names { /* of all objects in a file, sorted; "/" is the first */
    char **items;
    size_t count;
};

/* Opens the file for writing, in the format that h5.h describes. Requires success. */
hid_t h5_edit_open(const char *path);
void h5_edit_close(hid_t file);

void h5_names_read(const char *path, struct h5_names *out);

/* Splits off the next record, for the caller's edits or h5_edit to consume. */
struct fuzz_input h5_edit_record(struct fuzz_input *input);

/* Makes edit number `kind` % EDIT_KINDS. An edit that HDF5 refuses is skipped. */
void h5_edit(hid_t file, const struct h5_names *names, uint8_t kind,
             struct fuzz_input *record);

/* ---- for repairs; false where the file has no such object ---- */

/* Reads all elements of a numeric dataset of exactly `count` elements, as `type`. */
bool h5_edit_read(hid_t file, const char *name, hid_t type, size_t count, void *values);
bool h5_edit_write(hid_t file, const char *name, hid_t type, size_t count,
                   const void *values);
/* The number of elements, 0 if there is no such dataset. */
size_t h5_edit_count(hid_t file, const char *name);

/* Replaces a text dataset, or a text attribute of `object`. */
void h5_edit_text(hid_t file, const char *name, const char *text);
void h5_edit_text_attribute(hid_t file, const char *object, const char *name,
                            const char *text);

/* Replaces a dataset by one stored in checksummed chunks, none of them allocated. */
void h5_edit_make(hid_t file, const char *name, hid_t type, int rank,
                  const hsize_t *dims);

#endif
