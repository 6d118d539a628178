/* preprocess: folders of MIDI files -> a dataset, on any number of ranks.
 *
 * The list of files is sorted. Ranks fetch batches of it from a shared counter, and read,
 * encode and spill each piece to a file of their own. Then outcomes are gathered and
 * duplicates found, and the shards, distributed by a counter again, are assembled from
 * the spills in the order of the pieces' hashes. All output goes to "OUT.partial"; the
 * directory is renamed last. The assignment of work to ranks changes no byte.
 *
 * Paths. Folders are searched recursively for names ending in .mid .midi .kar .rmi .smf
 * (any case). Symbolic links are followed; no folder is entered twice. A file given as an
 * input is accepted whatever its name. A path is recorded as the input's own name and the
 * path below it ("corpus/bach/a.mid"), so it depends neither on the working directory nor
 * on the location of the corpus. Inputs of equal name are distinguished by as many of
 * their parent directories as necessary. A recorded path is valid UTF-8 in one line,
 * whatever the bytes of the name: bytes that are not UTF-8, or belong to a control
 * character, are written \xHH (two upper-case hexadecimal digits), and so is a backslash,
 * \x5C, before x and two hexadecimal digits. Replacing each \xHH by its byte restores the
 * name.
 *
 * Split. By hash and data.seed, in the proportions of data.split; or by data.split_file,
 * lines "path<TAB>train|valid|test". The path is as recorded, or as reached from an input
 * as given, or a suffix of it: without the input's name, or the file name alone. If it
 * matches several files, those that other lines name are excluded; if several remain, it
 * is an error that names two. A leading "./", CRLF and a byte order mark are ignored.
 * Files that are not listed are skipped; a path that matches no input file is an error.
 *
 * Duplicates. Two files are duplicates if their notes_hash is equal, or if their tokens
 * are (by a fingerprint of 128 bits): the same music with other ticks per beat, another
 * format, other tracks. So no two pieces of a dataset have equal tokens, and none is in
 * two splits. Of files of equal notes the first path is kept, of those of equal tokens
 * the smallest notes_hash; the reason of the others names it. Shard and split follow from
 * the kept file's notes_hash (or its line in the split file; a warning counts duplicates
 * that were listed in another split). Thus adding or removing other music moves no piece.
 * Another copy of the same music can, but moves only that piece, and only if its notes
 * are spelled differently.
 *
 * Silences. A piece is cut where no note sounds or begins for longer than
 * data.max_silence_seconds, pedal applied. The part with the most notes is kept, the
 * first of equals. A part that does not begin with the file is shifted to begin at 0 with
 * its first note, with the tempo in force there; so is a piece whose first note comes
 * later than that. Only notes that the encoding keeps count; percussion is kept where it
 * is near them. A key counts as released after that time, or after a minute if that is
 * longer; notes that key or pedal hold for longer than that time after the last key end
 * with it. The file counts as repaired. Its reason has the silence and how many notes
 * were dropped, or how long notes were held. min_notes and max_seconds limit the part
 * that is kept, max_notes and max_bytes the file.
 *
 * Outcomes. A fault of a file (damaged, unreadable, a pipe, too large, nothing in it for
 * the encoding) is its outcome, never a failure.
 *
 * Memory. On each rank: the list of files, about 32 bytes and the path each; the records,
 * about 150 bytes each; one piece; a chunk of a shard. On disk: the spills, about as
 * large as the dataset, until it is complete.
 *
 * Interruption. Any interruption leaves at most OUT.partial, which dataset_open refuses
 * and the next run replaces. A failure removes it.
 */
#ifndef TUTTI_DATA_PREPROCESS_H
#define TUTTI_DATA_PREPROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"

struct preprocess_request {
    const char *const *inputs; /* folders (searched recursively) and files */
    size_t input_count;
    const char *output;            /* must not exist, unless replace */
    bool replace;                  /* replace an existing dataset (only a dataset) */
    const struct options *options; /* the [data] section */
};

struct preprocess_summary { /* same value on all ranks */
    uint64_t files, ok, repaired, skipped, duplicates;
    uint64_t bytes, pieces, notes, tokens;
    double seconds; /* elapsed, without MPI start-up */
};

/* Collective. Prints progress; the caller prints the summary. STATUS_MISUSE: a missing
 * input, an output that must not be overwritten, a fault in the split file.
 * STATUS_FAILED: no file contains a piece of music, a disk fault, out of memory. */
enum status preprocess(struct comm *comm, const struct preprocess_request *request,
                       struct preprocess_summary *summary);

#endif
