/* preprocess: folders of MIDI files -> a dataset, on any number of ranks.
 *
 * The list of files is sorted; ranks take batches of it from a shared counter, read,
 * encode and spill each piece to a file of their own; then outcomes are gathered,
 * duplicates found, and the shards, again handed out by a counter, are gathered from the
 * spills in the order of the pieces' hashes. All of it happens in "OUT.partial"; the
 * directory gets its name last. Which rank did what changes no byte.
 *
 * Paths. Folders are searched to any depth for names ending in .mid .midi .kar .rmi .smf
 * (any case); symbolic links are followed, no folder is entered twice. A file named
 * itself is taken whatever its name. A path is recorded as the input's own name and what
 * lies below it ("corpus/bach/a.mid"): it depends neither on the working directory nor
 * on where the corpus lies. Inputs of equal name are told apart by as many of their
 * parent directories as that takes. A recorded path is valid UTF-8 in one line, whatever
 * the bytes of the name: those that are not UTF-8, or belong to a control character, are
 * written \xHH (two upper-case hexadecimal digits), and so is a backslash, \x5C, in
 * front of x and two hexadecimal digits. The name comes back when each \xHH becomes its
 * byte.
 *
 * Split. By hash and data.seed, in the shares of data.split; or by data.split_file, lines
 * "path<TAB>train|valid|test". The path is as recorded, or as reached from an input as
 * given, or the end of it: without the input's name, or the name of the file alone. If it
 * fits several files, those that other lines name are not meant; if that leaves several,
 * it is an error that names two. "./" in front, CRLF and a byte order mark mean nothing.
 * Files that aren't listed are skipped; a path that is no input file is an error.
 *
 * Duplicates. Two files are duplicates when their notes_hash is equal, or when their
 * tokens are (by a fingerprint of 128 bits): the same music with other ticks per beat,
 * another format, other tracks. So no two pieces of a dataset have equal tokens, and
 * none is in two splits. Of files of equal notes the first path is kept, of those of
 * equal tokens the smallest notes_hash; the others' reason names it. Shard and split
 * follow from the kept file's notes_hash (or its line in the split file; a warning
 * counts duplicates that were listed in another split). Thus other music coming or going
 * moves no piece; another copy of the same music may, but only that piece, and only if
 * it is spelled otherwise.
 *
 * Silences. Where no note sounds or begins for longer than data.max_silence_seconds,
 * after the pedal, a piece is cut; the part with the most notes is kept, the first of
 * equals. A part that does not begin with the file starts at 0 with its first note, and
 * with the tempo in force there; so does a piece whose first note comes later than that.
 * Only notes that the encoding keeps count; percussion stays where they are near. A key
 * counts as released after that time, or a minute if that is longer; notes that key or
 * pedal hold for longer than that time after the last key end with it. The file counts as
 * repaired, its reason has the silence and how many notes were left out, or how long
 * notes were held. min_notes and max_seconds are limits of what is kept, max_notes and
 * max_bytes of the file.
 *
 * Outcomes. What is wrong with a file (damaged, unreadable, a pipe, too large, nothing in
 * it for the encoding) is its outcome and never a failure.
 *
 * Memory. On each rank: the list of files, about 32 bytes and the path each; the
 * records, about 150 bytes each; one piece; a chunk of a shard. On disk: the spills,
 * about as large as the dataset, until it is complete.
 *
 * Stopping. Whatever ends it leaves at most OUT.partial, which dataset_open refuses and
 * the next run replaces. A failure removes it.
 */
#ifndef TUTTI_DATA_PREPROCESS_H
#define TUTTI_DATA_PREPROCESS_H

#include <stddef.h>

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"

struct preprocess_request {
    const char *const *inputs; /* folders (searched recursively) and files */
    size_t input_count;
    const char *output;            /* must not exist, unless replace */
    int replace;                   /* replace an existing dataset (only a dataset) */
    const struct options *options; /* the [data] section */
};

struct preprocess_summary { /* same value on all ranks */
    uint64_t files, ok, repaired, skipped, duplicates;
    uint64_t bytes, pieces, notes, tokens;
    double seconds; /* of work, without starting MPI */
};

/* Collective. Prints progress; the caller prints the summary. STATUS_MISUSE: an input
 * that is not there, an output that may not be written, a fault in the split file.
 * STATUS_FAILED: no file with a piece of music, the disk, memory. */
enum status preprocess(struct comm *comm, const struct preprocess_request *request,
                       struct preprocess_summary *summary);

#endif
