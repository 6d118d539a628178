/* model_source: a model as the sampler's source of logits. The first input, END, clears
 * its states. */
#include "sampler.h"

static const real *model_next(void *context, const token *inputs)
{
    struct model *model = context;
    const token *const microbatches[] = {inputs};
    model_forward(model, microbatches, NULL, NULL, NULL);
    return model_logits(model, 0);
}

enum status sampler_run(struct model *model, const struct encoding *encoding,
                        const struct sampler_settings *settings,
                        const struct sampler_batch *batch, struct notes *pieces)
{
    struct sampler_source source = {.next = model_next, .context = model};
    return sampler_run_source(&source, encoding, settings, batch, pieces);
}
