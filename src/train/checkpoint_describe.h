/* checkpoint_describe: attributes that describe a checkpoint's model and optimizer in
 * words and formulas, for readers who have only the file. */
#ifndef TUTTI_TRAIN_CHECKPOINT_DESCRIBE_H
#define TUTTI_TRAIN_CHECKPOINT_DESCRIBE_H

#include "checkpoint.h"

/* Calls `describe` for each attribute. Its object, a group or dataset, exists once the
 * rest of the file has been written. The text is valid during the call. */
void checkpoint_describe(const struct checkpoint *checkpoint,
                         void (*describe)(void *context, const char *object,
                                          const char *attribute, const char *text),
                         void *context);

/* The axes of /state/hidden after reshaping its rows, and their lengths. */
enum { HIDDEN_AXES = 5 };
extern const char *const hidden_axes[HIDDEN_AXES];
void checkpoint_hidden_shape(const struct checkpoint *checkpoint,
                             int64_t shape[HIDDEN_AXES]);

#endif
