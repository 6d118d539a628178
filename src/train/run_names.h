/* run_names: the names that a run writes into its folder. Files with other names are
 * never touched.
 *
 *     run.dir      settings.conf  metrics.jsonl  lock  root-cause.txt  tutti-run.txt
 *     checkpoints  epoch-0001.h5 ...  step-00000123.h5 ...  latest  best
 *     samples      epoch-0001-1.mid ...
 */
#ifndef TUTTI_TRAIN_RUN_NAMES_H
#define TUTTI_TRAIN_RUN_NAMES_H

#include <stdbool.h>

/* The file that marks a folder as a run's. */
#define RUN_MARKER "tutti-run.txt"

enum {
    CHECKPOINT_NAME = 40, /* of a checkpoint's file, with the null byte */
    RUN_ID_SIZE = 32      /* of a run's id, in its marker and its checkpoints; the same */
};

enum run_folder { RUN_TOP, RUN_CHECKPOINTS, RUN_SAMPLES };

/* The files of RUN_TOP; ends with NULL. */
extern const char *const run_top_names[];

/* True for names such as "epoch-0003.h5" and "step-00000123.h5". */
bool run_is_checkpoint_name(const char *name);

/* True for the name of a file or link that a run writes into that folder. */
bool run_is_output_name(enum run_folder folder, const char *name);

/* The same for any of its folders. */
bool run_is_any_output_name(const char *name);

/* True for the temporary name (file_temporary_name) of such a file, as a killed process
 * may leave it. */
bool run_is_temporary_name(enum run_folder folder, const char *name);

/* True for "NAME.kept-3", a name given by file_move_aside. */
bool run_is_moved_aside(const char *name);

/* The base name of the staging folder of samples: "samples/.epoch.3fa9c01b72de.partial".
 */
#define RUN_SAMPLES_STAGING "epoch"

#endif
