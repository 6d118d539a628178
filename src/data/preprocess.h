/* preprocess: folders of MIDI files -> a dataset, on any number of ranks.
 *
 * The list of files is sorted. Ranks fetch batches of files from a shared counter; each
 * rank reads and encodes the pieces and spills them to a file of its own. Then the
 * outcomes are gathered and duplicates are found, and the shards, again distributed by a
 * counter, are assembled from the spills in the order of the pieces' hashes. All output
 * goes to "OUT.partial", which is renamed at the end. The output does not depend on which
 * rank does which work.
 *
 * Paths. Folders are searched recursively for names ending in .mid .midi .kar .rmi .smf
 * (any case). Symbolic links are followed; no folder is entered twice. A file given as an
 * input is accepted whatever its name. A path is recorded as the input's own name and the
 * path below it ("corpus/bach/a.mid"), so it depends neither on the working directory nor
 * on the location of the corpus. Inputs of equal name are distinguished by as many of
 * their parent directories as necessary. A recorded path is a single line of valid UTF-8,
 * whatever the bytes of the name: bytes that are not UTF-8, or belong to a control
 * character, are written \xHH (two upper-case hexadecimal digits); a backslash followed
 * by x and two hexadecimal digits is written \x5C. Replacing each \xHH by its byte
 * restores the name.
 *
 * Split. By hash and data.seed, in the proportions of data.split; or by data.split_file,
 * lines "path<TAB>train|valid|test". The path is the recorded path; or it begins with an
 * input, as given or absolute; or it is a suffix of the recorded path, such as the path
 * below the input or the file name alone. If it matches several files, those that other
 * lines name are excluded; if several remain, this is an error, whose message names two
 * of them. A leading "./", CRLF and a byte order mark are ignored. Files that are not
 * listed are skipped; a path that matches no input file is an error.
 *
 * Duplicates. Two files are duplicates if their notes_hash is equal, or if their tokens
 * are equal (by a 128-bit fingerprint): the same music with different ticks per beat,
 * format or tracks. So no two pieces of a dataset have equal tokens, and no piece is in
 * two splits. Among files with equal notes the first by path is kept, among those with
 * equal tokens the one with the smallest notes_hash; the reason of the others names it.
 * Shard and split follow from the kept file's notes_hash (or its line in the split file;
 * a warning counts duplicates that were listed in another split). Thus adding or removing
 * other music moves no piece. Another copy of the same music can move that piece, but no
 * other, and only if its notes are represented differently.
 *
 * Filters. data.only_programs and data.tracks leave notes out (note_filter.h) before the
 * pedal is applied. The dataset is as if the files did not have them: notes_hash,
 * duplicates, silences and limits, except max_notes and max_bytes, see the rest.
 *
 * Merges. With data.bpe, rank 0 learns merges of tokens from the training split
 * (encode/bpe.h), once duplicates are dropped; then each rank applies them to the pieces
 * that it has read. Duplicates are found by the tokens before merging.
 *
 * Silences. A piece is cut where no note sounds or begins for longer than
 * data.max_silence_seconds, with the pedal applied. The part with the most notes is kept
 * (ties: the first). A part that does not begin with the file is shifted to begin at 0
 * with its first note, with the tempo in force there; so is a piece whose first note
 * comes later than data.max_silence_seconds. Only notes that the encoding keeps count;
 * other notes (percussion) are kept if they are near them. A key counts as released after
 * data.max_silence_seconds, or after a minute if that is longer; notes held by key or
 * pedal for more than data.max_silence_seconds after the last key release end with it.
 * The file then counts as repaired; its reason states the silence and how many notes were
 * dropped, or how long notes were held. min_notes and max_seconds apply to the part that
 * is kept, max_notes and max_bytes to the file.
 *
 * Outcomes. A fault of a file (damaged, unreadable, a pipe, too large, nothing in it for
 * the encoding) is recorded as its outcome; preprocess doesn't fail.
 *
 * Memory. On each rank: the list of files, about 32 bytes each plus the path; the
 * records, about 180 bytes per file; one piece; a chunk of each column of a shard. With
 * data.bpe on rank 0 also about 16 bytes per training token, at most half a gigabyte. On
 * disk: the spills, about half as large as the dataset, until it is complete.
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
 * input, an output that must not be overwritten, an error in the split file.
 * STATUS_FAILED: no file contains a piece of music, an I/O error, out of memory. */
enum status preprocess(struct comm *comm, const struct preprocess_request *request,
                       struct preprocess_summary *summary);

#endif
