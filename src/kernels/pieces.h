/* pieces: how a whole is cut. */
#ifndef TUTTI_PIECES_H
#define TUTTI_PIECES_H

static inline int least(int a, int b)
{
    return a < b ? a : b;
}

/* So many pieces of `piece` elements hold `whole`, the last perhaps a smaller one. */
static inline int pieces(int whole, int piece)
{
    return (whole + piece - 1) / piece;
}

#endif
