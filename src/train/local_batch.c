/* local_batch: see the header. */
#include "local_batch.h"

struct local_batch local_batch_of(const struct options *options, int rank, int ranks)
{
    return (struct local_batch){
        .own = microbatches_of_rank((int)options->train.microbatches, rank, ranks),
        .rows = (int)(options->train.batch / options->train.microbatches),
        .steps = (int)options->train.sequence_length,
    };
}

int64_t tokens_per_step(const struct options *options)
{
    return options->train.batch * options->train.sequence_length;
}
