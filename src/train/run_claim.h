/* run_claim: ownership of a folder, established before a run writes into it. Rank 0 only.
 *
 * A run writes only into a folder that is marked as a run's. The marker, tutti-run.txt:
 *
 *     tutti run 1
 *     id 91b0c2f3a4d5e6f7                       random; distinguishes runs
 *     settings.conf 0123456789abcdef            hash of the contents that the run
 *     samples/epoch-0001-1.mid 89abcdef01234567 writes, recorded beforehand
 *
 * run_check.h describes which folders may be claimed. In a claimed folder every file
 * under a name that a run writes belongs to the run, except for files that others have
 * put there since: settings and samples are recognised by their hashes, metrics, lock and
 * root cause by their format, checkpoints by the run's id in them (those of older
 * programs have no id and count as the run's). Unrecognised files are moved aside
 * (file_move_aside) before the run writes under their names; an unrecognised lock is an
 * error.
 *
 * Files are created under random names with O_EXCL and O_NOFOLLOW, and then renamed,
 * which follows no links.
 */
#ifndef TUTTI_TRAIN_RUN_CLAIM_H
#define TUTTI_TRAIN_RUN_CLAIM_H

#include <stdbool.h>
#include <stddef.h>

#include "run_names.h"
#include "base/status.h"

/* Finds out whether the directory, which need not exist, has a marker, and the id in it
 * ("" if there is none). STATUS_MISUSE: a marker of another version. */
enum status run_claim_peek(const char *directory, bool *marked, char id[RUN_ID_SIZE]);

/* Creates an empty marker if there is none. To be called after run_check. */
enum status run_claim_mark(const char *directory);

struct run_claim;

/* Reads the marker, or completes an empty one. The caller holds the run's lock. */
enum status run_claim_open(const char *directory, struct run_claim **out);
void run_claim_close(struct run_claim *claim); /* NULL is fine */

/* The id in the marker. */
const char *run_claim_id(const struct run_claim *claim);

/* STATUS_FAILED if the directory now belongs to another run, which was started under the
 * same name after this run's directory was removed. */
enum status run_claim_verify(const struct run_claim *claim);

/* Records that the run is about to write these bytes to `name`, a path relative to
 * run.dir. The marker itself is written by run_claim_save, once for several files. */
enum status run_claim_record(struct run_claim *claim, const char *name, const void *bytes,
                             size_t size);

/* Writes the marker if anything has been recorded since the last save; to be called
 * before the recorded files are written. */
enum status run_claim_save(struct run_claim *claim);

/* True if the run has recorded these bytes for `name`. */
bool run_claim_has_record(const struct run_claim *claim, const char *name,
                          const void *bytes, size_t size);

/* Moves the file at `path` aside (file_move_aside) and logs its new name. */
enum status run_move_aside(const char *path);

#endif
