/* piece_metrics: one piece in figures.
 *
 * Formulas marked M are those of MusPy 0.5 (Dong, Chen, McAuley, Berg-Kirkpatrick:
 * "MusPy: a toolkit for symbolic music generation", ISMIR 2020), and for the same notes
 * have the same value; Pypianoroll (Dong, Hsiao, Yang, ISMIR 2018) defines some of them in
 * the same way. Percussion is left out unless stated otherwise. A metric that does not
 * exist for a piece is NaN: no melodic note, no beats (SMPTE division), too few notes.
 *
 *   notes                number of notes, including percussion
 *   seconds              end of the last note, including percussion
 *   notes_per_second     notes / seconds
 *   pitches              M number of different pitches
 *   pitch_range          M highest minus lowest pitch, semitones
 *   pitch_class_entropy  M -sum p log2 p over the 12 pitch classes, in [0, log2 12] bits
 *   scale_consistency    M largest share of notes within one major scale, in [0, 1]; the
 *                        natural minor scales have the same notes
 *   polyphony            M mean number of different pitches that sound, over the ticks in
 *                        which one does, >= 1
 *   polyphony_rate       share of the ticks of the piece in which at least two different
 *                        pitches sound: M with threshold = 1. (MusPy's default, 2, counts
 *                        three and more.)
 *   empty_beat_rate      M share of the beats in which nothing sounds, including
 *                        percussion. A note counts for every beat from its start to its
 *                        end, including the one that begins where it ends.
 *   groove_consistency   M 1 - d, with d the mean Hamming distance between the onsets of
 *                        neighbouring measures, divided by their length; including
 *                        percussion. A measure is four beats of 16 positions (as in Wu
 *                        and Yang, "The Jazz Transformer on the front line", ISMIR 2020);
 *                        an onset counts for the nearest position.
 *   longest_silence      seconds between the first and the last note in which nothing
 *                        sounds, including percussion
 *   longest_note         seconds
 *   repeated_notes       share of the notes of the melody (melody.h), from the second
 *                        on, that have the pitch of the note before
 *   repeated_groups      share of the groups of 8 notes of the melody that have begun
 *                        earlier in the piece, at any pitch
 *   copied_groups        share of the groups of 8 notes of the melody that stand in
 *                        another piece of a corpus (corpus.h), at any pitch; NaN without
 *                        a corpus
 *   tonic_ending         1 if the lowest pitch that sounds when the last melody note
 *                        begins is the tonic, otherwise 0. The key is that of Krumhansl and
 *                        Schmuckler: the one of the 24 profiles (Krumhansl, "Cognitive
 *                        foundations of musical pitch", 1990, p. 30) with the largest
 *                        correlation with the seconds of each pitch class.
 */
#ifndef TUTTI_STATISTICS_PIECE_METRICS_H
#define TUTTI_STATISTICS_PIECE_METRICS_H

#include "corpus.h"
#include "melody.h"
#include "base/status.h"
#include "midi/notes.h"

enum metric {
    METRIC_NOTES,
    METRIC_SECONDS,
    METRIC_NOTES_PER_SECOND,
    METRIC_PITCHES,
    METRIC_PITCH_RANGE,
    METRIC_PITCH_CLASS_ENTROPY,
    METRIC_SCALE_CONSISTENCY,
    METRIC_POLYPHONY,
    METRIC_POLYPHONY_RATE,
    METRIC_EMPTY_BEAT_RATE,
    METRIC_GROOVE_CONSISTENCY,
    METRIC_LONGEST_SILENCE,
    METRIC_LONGEST_NOTE,
    METRIC_REPEATED_NOTES,
    METRIC_REPEATED_GROUPS,
    METRIC_COPIED_GROUPS,
    METRIC_TONIC_ENDING,
    METRICS
};

/* "pitch_range", as above. */
const char *piece_metric_name(enum metric metric);
/* "semitones"; "" for shares. */
const char *piece_metric_unit(enum metric metric);

/* Computes all metrics. `notes` are in the order of notes_sort; `melody` is theirs.
 * `corpus` NULL: none; `owner` as for corpus_count_copied. STATUS_FAILED only if out of
 * memory. */
enum status piece_metrics_compute(const struct notes *notes, const struct melody *melody,
                                  const struct corpus *corpus, uint64_t owner,
                                  double values[METRICS]);

#endif
