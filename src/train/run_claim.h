/* run_claim: whose a folder is, before a run writes into it. Rank 0 only.
 *
 * A run writes only into a folder that is marked as a run's. The marker, tutti-run.txt:
 *
 *     tutti run 1
 *     id 91b0c2f3a4d5e6f7                       random; tells this run from the next
 *     settings.conf 0123456789abcdef            a hash of what the run wrote there,
 *     samples/epoch-0001-1.mid 89abcdef01234567 noted before it is written
 *
 * A folder without a marker is taken if nothing lies in it under a name that a run writes
 * (run_names.h); what has other names is never touched. One that holds readable
 * checkpoints is a run's, too (a copy, or older than the marker), if it is to be resumed.
 * Anything else is refused. So in a marked folder every such name is the run's, but for
 * what others have put there since: settings and samples are known by their hashes,
 * metrics, lock and root cause by their form, checkpoints by the id of the run in
 * them (those of older programs have none, and are taken for the run's). What is not
 * known is kept aside (file_keep_aside) before the run writes under its name; a lock that
 * is none is an error.
 *
 * Links. run.dir itself may be one: the user has named it. `checkpoints` and `samples`
 * may be links to a folder elsewhere, as on another disk, if they belong to this user or
 * root and nothing lies there that no run writes; so a link planted by another user, or
 * one to a folder that is used for something else, is refused. Anything else under a name
 * of the run that is no regular file (a link, a pipe, a device) is refused and never
 * opened. All of this holds for what was there before; later on, files are made under
 * random names, with O_EXCL and O_NOFOLLOW, and renamed, which follows no link either.
 */
#ifndef TUTTI_TRAIN_RUN_CLAIM_H
#define TUTTI_TRAIN_RUN_CLAIM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* May a run write into the directory, which need not exist? STATUS_MISUSE names what is
 * in the way, and the cure. Reads only. */
enum run_start { RUN_NEW, RUN_RESUMED };
enum status run_claim_check(const char *directory, enum run_start start);

/* Fails with what a new run is told where there are checkpoints. */
enum status run_claim_refuse_old(const char *directory);

/* Makes the marker, still empty, if there is none. After run_claim_check. */
enum status run_claim_mark(const char *directory);

struct run_claim;

/* Reads the marker, or completes an empty one. The caller holds the lock of the run. */
enum status run_claim_open(const char *directory, struct run_claim **out);
void run_claim_close(struct run_claim *claim); /* NULL is fine */

/* The id in the marker, without "id ". */
const char *run_claim_id(const struct run_claim *claim);

/* STATUS_FAILED if the directory now belongs to another run: this one's was removed, and
 * a new run has begun under the same name. */
enum status run_claim_still_holds(const struct run_claim *claim);

/* Notes that the run is about to write this to `name`, a path in run.dir; for several
 * files at once, as the marker is written by run_claim_save. */
enum status run_claim_note(struct run_claim *claim, const char *name, const void *bytes,
                           size_t size);

/* Writes the marker, if there is anything new in it: before what was noted. */
enum status run_claim_save(struct run_claim *claim);

/* Has the run written this to `name`? */
bool run_claim_wrote(const struct run_claim *claim, const char *name, const void *bytes,
                     size_t size);

/* True for a file that the watchdog has written: the first words of root-cause.txt. */
bool run_is_root_cause(const char *path);

/* Keeps what lies at `path` aside, and says so. */
enum status run_keep_aside(const char *path);

#endif
