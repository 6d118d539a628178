/* slices: the fixed groups of rows that make the result independent of the number of
 * ranks.
 *
 * The global batch of B rows is cut into S slices of B/S rows. Everything that depends on
 * a batch is computed per slice, always with the same shapes. A rank owns a contiguous
 * run of slices; ranks need not divide S.
 */
#ifndef TUTTI_COMM_SLICES_H
#define TUTTI_COMM_SLICES_H

/* The slices [first, first + count) of one rank. */
struct slices {
    int total;
    int first, count;
};

/* Rank r of R owns the slices from floor(S r / R) up to floor(S (r + 1) / R). With S >= R
 * every rank has one at least. Not collective. */
struct slices slices_of_rank(int total, int rank, int ranks);

#endif
