/* checkpoint_layout: see checkpoint_internal.h. */
#include <stdio.h>
#include <string.h>

#include "checkpoint_internal.h"
#include "nn/cell.h"

const char IO_FORMAT[] = "tutti checkpoint";
const char IO_ESCAPES[] = "escapes";

bool io_ok(const struct checkpoint_io *io)
{
    return io->status == STATUS_OK;
}

void io_out_of_memory(struct checkpoint_io *io)
{
    io->status = status_fail(STATUS_FAILED, "%s: out of memory", h5_path(io->file));
}

/* ---- fields ---- */

const struct io_field io_state_fields[] = {
    {"epoch", H5_I64, offsetof(struct training_state, epoch)},
    {"step", H5_I64, offsetof(struct training_state, step)},
    {"epoch_step", H5_I64, offsetof(struct training_state, epoch_step)},
    {"epoch_loss", H5_F64, offsetof(struct training_state, epoch_loss)},
    {"epoch_targets", H5_I64, offsetof(struct training_state, epoch_targets)},
    {"epoch_correct", H5_I64, offsetof(struct training_state, epoch_correct)},
    {"best_valid", H5_F64, offsetof(struct training_state, schedule.best_valid)},
    {"best_epoch", H5_I64, offsetof(struct training_state, schedule.best_epoch)},
    {"bad_epochs", H5_I64, offsetof(struct training_state, schedule.bad_epochs)},
    {"plateau_wait", H5_I64, offsetof(struct training_state, schedule.plateau_wait)},
    {"factor", H5_F64, offsetof(struct training_state, schedule.factor)},
    {NULL, H5_I64, 0},
};

const struct io_field io_row_fields[] = {
    {"epoch", H5_I64, offsetof(struct stream_row, epoch)},
    {"piece", H5_I64, offsetof(struct stream_row, piece)},
    {"offset", H5_I64, offsetof(struct stream_row, offset)},
    {NULL, H5_I64, 0},
};

const struct io_field io_cursor_fields[] = {
    {"epoch", H5_I64, offsetof(struct stream_cursor, epoch)},
    {"next", H5_I64, offsetof(struct stream_cursor, next)},
    {NULL, H5_I64, 0},
};

const struct io_field io_history_fields[] = {
    {"epoch", H5_I64, offsetof(struct history_row, epoch)},
    {"step", H5_I64, offsetof(struct history_row, step)},
    {"train_loss", H5_F64, offsetof(struct history_row, train_loss)},
    {"train_accuracy", H5_F64, offsetof(struct history_row, train_accuracy)},
    {"valid_loss", H5_F64, offsetof(struct history_row, valid_loss)},
    {"valid_accuracy", H5_F64, offsetof(struct history_row, valid_accuracy)},
    {"learning_rate", H5_F64, offsetof(struct history_row, learning_rate)},
    {"seconds", H5_F64, offsetof(struct history_row, seconds)},
    {"tokens_per_second", H5_F64, offsetof(struct history_row, tokens_per_second)},
    {"weights_hash", H5_U64, offsetof(struct history_row, weights_hash)},
    {NULL, H5_I64, 0},
};

const struct io_field io_average_fields[] = {
    {"valid_loss_average", H5_F64, offsetof(struct history_row, valid_loss_average)},
    {NULL, H5_I64, 0},
};

/* ---- axes of a tensor ---- */

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

bool io_is_recurrent(const struct model_shape *shape, const char *tensor)
{
    return begins(tensor, cell_of(shape->cell)->name);
}

void io_tensor_axes(const struct model_shape *shape, const char *tensor,
                    char gates[IO_NAME_SIZE], const char *axis[2])
{
    bool from_hidden = strstr(tensor, "weight_hh") != NULL;
    char first_input[IO_NAME_SIZE];
    snprintf(first_input, sizeof first_input, "%s0/weight_ih",
             cell_of(shape->cell)->name);
    bool from_tokens = !shape->embedding && strcmp(tensor, first_input) == 0;
    if (io_is_recurrent(shape, tensor)) {
        snprintf(gates, IO_NAME_SIZE, "%d*hidden", cell_of(shape->cell)->gate_count);
        axis[0] = gates;
        axis[1] = from_hidden ? "hidden" : from_tokens ? "vocabulary" : "input";
    } else if (begins(tensor, "embedding")) {
        axis[0] = "vocabulary";
        axis[1] = "embedding";
    } else if (begins(tensor, "dense")) {
        axis[0] = "dense";
        axis[1] = "hidden";
    } else {
        axis[0] = "vocabulary";
        axis[1] = shape->dense ? "dense" : "hidden";
    }
}

const char *io_moment_group(const char *moment, char name[IO_GROUP_SIZE])
{
    snprintf(name, IO_GROUP_SIZE, "/optimizer/%s", moment);
    return name;
}
