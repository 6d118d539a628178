/* matmul_choice: resolves train.matmul = auto, once per run and alike on all ranks.
 *
 * The first condition that holds decides:
 *
 *     train.precision = bfloat16                       packed: OpenBLAS has no bfloat16
 *     TUTTI_KERNELS is set on any rank                 packed, with the set it names
 *     SIMD kernels for the processor of any rank       packed
 *     OpenBLAS on all ranks, with the same kernels     openblas
 *     otherwise                                        packed, in portable C
 *
 * All kernel sets give the same bits, so only part of the ranks need SIMD kernels.
 * OpenBLAS's bits depend on the processor. A resumed run keeps the backend of its
 * checkpoint, and with it the bits.
 */
#ifndef TUTTI_TRAIN_MATMUL_CHOICE_H
#define TUTTI_TRAIN_MATMUL_CHOICE_H

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"

enum { MATMUL_NOTE = 240 };

/* Replaces MATMUL_AUTO in options->train.matmul by a backend; keeps any other value.
 * `recorded` is the train.matmul of the checkpoint that the run continues, MATMUL_AUTO if
 * there is none. `note`, for the log, states what was chosen and why, and whether the
 * weights depend on the processor; "" if train.matmul = packed was set. Collective. */
enum status matmul_resolve(struct comm *comm, struct options *options, int recorded,
                           char note[MATMUL_NOTE]);

#endif
