/* microbatches: the fixed groups of rows that make the result independent of the number
 * of ranks.
 *
 * The global batch of B rows is cut into S microbatches of B/S rows. Everything that
 * depends on a batch is computed per microbatch, always with the same shapes. A rank owns
 * a contiguous run of microbatches; the number of ranks need not divide S.
 */
#ifndef TUTTI_COMM_MICROBATCHES_H
#define TUTTI_COMM_MICROBATCHES_H

/* The microbatches [first, first + count) of one rank. */
struct microbatches {
    int total;
    int first, count;
};

/* Rank r of R owns the microbatches [floor(S r / R), floor(S (r + 1) / R)). With S >= R
 * every rank has at least one. Not collective. */
struct microbatches microbatches_of_rank(int total, int rank, int ranks);

#endif
