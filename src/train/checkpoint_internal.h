/* Shared by checkpoint_read.c and checkpoint_write.c: the names in the file, defined once
 * for both, and a handle with a sticky status. After the first failure every further call
 * on the handle does nothing, so each of them reads like a list of names. */
#ifndef TUTTI_TRAIN_CHECKPOINT_INTERNAL_H
#define TUTTI_TRAIN_CHECKPOINT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "checkpoint.h"
#include "base/status.h"
#include "h5/h5.h"
#include "nn/params.h"

struct checkpoint_io {
    struct h5_file *file;
    enum status status; /* of the first call that failed */
};

bool io_ok(const struct checkpoint_io *io);
void io_out_of_memory(struct checkpoint_io *io); /* sets the status */

/* A scalar member of 8 bytes: an attribute of a group, or a column of a table. */
struct io_field {
    const char *name; /* NULL ends a list */
    enum h5_type type;
    size_t offset; /* in the struct */
};

enum { IO_FIELD_SIZE = 8, IO_NAME_SIZE = 128, IO_GROUP_SIZE = 64 };

extern const struct io_field io_state_fields[];   /* struct training_state: /state */
extern const struct io_field io_row_fields[];     /* struct stream_row: /state/rows */
extern const struct io_field io_cursor_fields[];  /* stream_cursor: /state/cursors */
extern const struct io_field io_history_fields[]; /* struct history_row: /history */

extern const struct io_field io_average_fields[]; /* with train.average: /history */

extern const char IO_FORMAT[]; /* attribute `format` of the root group */

/* The attribute of /config if it is escaped as in path_escape.h. Older files contain
 * the raw bytes and lack the attribute. */
extern const char IO_ESCAPES[];

/* The group of one of the optimizer's moments: "/optimizer/first". Returns name. */
const char *io_moment_group(const char *moment, char name[IO_GROUP_SIZE]);

/* True for a tensor of an LSTM or GRU layer. */
bool io_is_recurrent(const struct model_shape *shape, const char *tensor);

/* The names of a tensor's two axes; `gates` is a buffer for one of them. */
void io_tensor_axes(const struct model_shape *shape, const char *tensor,
                    char gates[IO_NAME_SIZE], const char *axis[2]);

#endif
