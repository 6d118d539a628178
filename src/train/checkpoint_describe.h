/* checkpoint_describe: the words and formulas that describe a checkpoint's model and
 * optimizer, for readers who have nothing but the file. */
#ifndef TUTTI_TRAIN_CHECKPOINT_DESCRIBE_H
#define TUTTI_TRAIN_CHECKPOINT_DESCRIBE_H

#include "checkpoint.h"

/* Calls `describe` for each attribute: of a group or dataset that is in the file when the
 * rest is written. The text is valid during the call. */
void checkpoint_describe(const struct checkpoint *checkpoint,
                         void (*describe)(void *context, const char *object,
                                          const char *attribute, const char *text),
                         void *context);

/* The axes of /state/hidden when its rows are reshaped, and their lengths. */
enum { HIDDEN_AXES = 5 };
extern const char *const hidden_axes[HIDDEN_AXES];
void checkpoint_hidden_shape(const struct checkpoint *checkpoint,
                             int64_t shape[HIDDEN_AXES]);

#endif
