/* merges: the table /vocabulary/merges of a dataset's index or a checkpoint, u16 [N][2]:
 * row k has the two tokens whose pair is the token "BPE k" (see encode/bpe.h). Absent in
 * a file without merges. */
#ifndef TUTTI_DATA_MERGES_H
#define TUTTI_DATA_MERGES_H

#include "base/options.h"
#include "base/status.h"
#include "encode/encoding.h"
#include "h5/h5.h"

/* Writes the table, if the encoding has merges; the group /vocabulary is created. */
enum status merges_write(struct h5_file *file, const struct encoding *encoding);

/* If the settings and the file have merges, replaces *encoding, without merges, by one
 * that has them. STATUS_FAILED, with the file's name in the message, if there are more
 * than data.bpe, or if they can't have been learnt; *encoding is then unchanged. */
enum status merges_read(const struct h5_file *file, const struct options *options,
                        struct encoding **encoding);

#endif
