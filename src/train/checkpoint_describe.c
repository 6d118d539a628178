/* checkpoint_describe: see the header. The formulas are those of kernels.h, model.c,
 * optimizer.c and trainer_step.c and must be changed with them. */
#include "checkpoint_describe.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "nn/cell.h"

enum { SENTENCE = 512 };

struct sink {
    void (*describe)(void *context, const char *object, const char *attribute,
                     const char *text);
    void *context;
};

static void emit(const struct sink *sink, const char *object, const char *attribute,
                 const char *text)
{
    sink->describe(sink->context, object, attribute, text);
}

/* ---- the model ---- */

static void describe_recurrent(const struct sink *sink, const struct cell *cell,
                               int number)
{
    char layer[64];
    snprintf(layer, sizeof layer, "/model/%s%d", cell->name, number);
    emit(sink, layer, "equations", cell->equations);
    emit(sink, layer, "biases", cell->biases);
    if (cell->reset)
        emit(sink, layer, "reset", cell->reset);
}

static void describe_dense(const struct sink *sink, const struct model_shape *shape)
{
    static const char *const names[] = {"linear", "relu", "tanh"};
    static const char *const equations[] = {"y = weight h + bias",
                                            "y = max(0, weight h + bias)",
                                            "y = tanh(weight h + bias)"};
    emit(sink, "/model/dense", "activation", names[shape->activation]);
    emit(sink, "/model/dense", "equations", equations[shape->activation]);
}

static void describe_layers(const struct sink *sink, const struct model_shape *shape)
{
    if (shape->embedding)
        emit(sink, "/model/embedding", "equations", "x = weight[token]");
    for (int i = 0; i < shape->layers; i++)
        describe_recurrent(sink, cell_of(shape->cell), i);
    if (shape->dense)
        describe_dense(sink, shape);
    char equations[SENTENCE];
    snprintf(equations, sizeof equations,
             "logits = %s %s + bias; p(next token) = softmax(logits)",
             shape->tied ? "embedding/weight" : "weight", shape->dense ? "y" : "h");
    emit(sink, "/model/output", "equations", equations);
}

static const char *dropout_mask_text(int mask)
{
    return mask == DROPOUT_MASK_SEQUENCE ? "another mask for each row and step of "
                                           "training, the same for all tokens "
                                           "of the row's window"
                                         : "another mask for each row and token";
}

/* The rates of the other kinds, which have attributes only where they are used. */
static void describe_rate(const struct sink *sink, const char *attribute, double rate,
                          const char *meaning)
{
    char text[SENTENCE], number[TEXT_NUMBER];
    text_number(rate, number, sizeof number);
    snprintf(text, sizeof text, "in training only, rate %s, inverted: %s", number,
             meaning);
    if (rate > 0)
        emit(sink, "/model", attribute, text);
}

static void describe_dropout(const struct sink *sink, const struct checkpoint *checkpoint)
{
    const struct model_shape *shape = &checkpoint->shape;
    const char *cell = cell_of(shape->cell)->name;
    int last = shape->layers - (shape->dense ? 2 : 1); /* last recurrent layer with it */
    char text[SENTENCE], where[64] = "", rate[TEXT_NUMBER];
    if (last >= 0)
        snprintf(where, sizeof where, last ? "%s0 to %s%d" : "%s0", cell, cell, last);
    if (shape->dense)
        snprintf(where + strlen(where), sizeof where - strlen(where), "%sdense",
                 last >= 0 ? " and " : "");
    snprintf(
        text, sizeof text,
        "in training only, rate %s, inverted: units are kept with probability "
        "1 - rate and multiplied by 1 / (1 - rate); on the output of %s, %s; the h that "
        "is carried to the next token is not dropped",
        text_number(checkpoint->options.model.dropout, rate, sizeof rate), where,
        dropout_mask_text(checkpoint->options.model.dropout_mask));
    emit(sink, "/model", "dropout", text);
    describe_rate(sink, "dropout_input", checkpoint->options.model.dropout_input,
                  "on the embedded tokens, with masks as those of dropout");
    describe_rate(sink, "dropout_embedding", checkpoint->options.model.dropout_embedding,
                  "on whole tokens of the embedding, others for each step of training");
    describe_rate(sink, "dropout_recurrent", checkpoint->options.model.dropout_recurrent,
                  "on the elements of weight_hh, others for each step of training");
}

static void describe_model(const struct sink *sink, const struct checkpoint *checkpoint)
{
    const struct model_shape *shape = &checkpoint->shape;
    const struct cell *cell = cell_of(shape->cell);
    emit(sink, "/model", "cell", cell->name);
    char forward[SENTENCE];
    snprintf(forward, sizeof forward,
             "%s, then %s0 to %s%d, each with the h below as its x, then %soutput; "
             "* is elementwise",
             shape->embedding ? "embedding"
                              : "x = the one-hot token: 1 at the token, 0 elsewhere",
             cell->name, cell->name, shape->layers - 1,
             shape->dense ? "dense, then " : "");
    emit(sink, "/model", "forward", forward);
    emit(sink, "/model", "initial_state",
         cell->state_count == 2
             ? "zero: h and c are cleared before each token whose input is END"
             : "zero: h is cleared before each token whose input is END");
    emit(sink, "/model", "precision",
         checkpoint->options.train.precision == PRECISION_BFLOAT16
             ? "float32; in training the factors of the matrix products are rounded to "
               "bfloat16"
             : "float32");
    describe_layers(sink, shape);
    describe_dropout(sink, checkpoint);
}

/* ---- provenance ---- */

static void describe_matmul(const struct sink *sink, const struct options *options)
{
    emit(sink, "/provenance", "matmul",
         options->train.matmul == MATMUL_OPENBLAS
             ? "openblas: the bits of the weights depend on the kernels that OpenBLAS "
               "selects for the processor, the last word of numerics"
             : "packed: the bits of the weights do not depend on the processor");
}

/* ---- the optimizer ---- */

/* The loss of a token, whose gradient the optimizer gets. */
static void describe_loss(const struct checkpoint *checkpoint, char *text, size_t size)
{
    char smoothing[TEXT_NUMBER];
    double value = checkpoint->options.train.label_smoothing;
    text_number(value, smoothing, sizeof smoothing);
    if (value > 0)
        snprintf(text, size,
                 "-(1 - %s) log p(token) - %s / %d * (the sum of log p over all %d "
                 "tokens)",
                 smoothing, smoothing, checkpoint->shape.vocabulary,
                 checkpoint->shape.vocabulary);
    else
        snprintf(text, size, "-log p(token)");
}

static void describe_optimizer(const struct sink *sink,
                               const struct checkpoint *checkpoint)
{
    char gradient[SENTENCE], loss[SENTENCE / 2], clip[TEXT_NUMBER];
    const struct options *options = &checkpoint->options;
    bool last = options->train.loss_on == LOSS_ON_LAST;
    describe_loss(checkpoint, loss, sizeof loss);
    text_number(options->train.clip_norm, clip, sizeof clip);
    int used =
        snprintf(gradient, sizeof gradient,
                 "g = the gradient of %s, the mean over the %stokens of a batch, "
                 "back through %swindows of %lld tokens",
                 loss, last ? "last target " : "",
                 options->train.windows == WINDOWS_INDEPENDENT ? "independent " : "",
                 (long long)options->train.sequence_length);
    if (options->train.clip_norm > 0)
        snprintf(gradient + used, sizeof gradient - (size_t)used,
                 "; where its norm over all weights is above %s, it is multiplied by "
                 "%s / norm",
                 clip, clip);
    emit(sink, "/optimizer", "update", checkpoint->state.optimizer.method->formula);
    emit(sink, "/optimizer", "gradient", gradient);
}

static void describe_average(const struct sink *sink, const struct optimizer *optimizer)
{
    char update[SENTENCE], decay[TEXT_NUMBER];
    if (!optimizer->averages)
        return;
    snprintf(update, sizeof update,
             "after each update of the weights w: average = average + (1 - d) * (w - "
             "average), d = min(%s, (1 + t) / (10 + t)), t = updates; it begins as the "
             "initial weights",
             text_number(optimizer->average_decay, decay, sizeof decay));
    emit(sink, "/average", "update", update);
}

/* ---- the state ---- */

const char *const hidden_axes[HIDDEN_AXES] = {"microbatch", "layer", "kind", "row",
                                              "unit"};

void checkpoint_hidden_shape(const struct checkpoint *checkpoint,
                             int64_t shape[HIDDEN_AXES])
{
    const struct model_shape *model = &checkpoint->shape;
    shape[0] = (int64_t)checkpoint->streams.microbatches;
    shape[1] = model->layers;
    shape[2] = cell_of(model->cell)->state_count;
    shape[3] =
        (int64_t)(checkpoint->streams.row_count / checkpoint->streams.microbatches);
    shape[4] = model->hidden;
}

static void describe_state(const struct sink *sink, const struct checkpoint *checkpoint)
{
    const struct model_shape *shape = &checkpoint->shape;
    if (checkpoint->options.train.windows == WINDOWS_INDEPENDENT)
        emit(sink, "/state/cursors", "meaning",
             "next is the number of windows that a microbatch has visited in this epoch "
             "of its own; windows are independent: rows are in no piece, and hidden is "
             "not used");
    emit(
        sink, "/state/hidden", "meaning",
        cell_of(shape->cell)->state_count == 2
            ? "what each row of the batch carries to its next token: kind 0 is h, before "
              "dropout, kind 1 is c; cleared where the next input is END"
            : "what each row of the batch carries to its next token: kind 0 is h, before "
              "dropout; cleared where the next input is END");
    emit(sink, "/state", "rows_of_batch",
         "row r of microbatch s is row s * (rows of a microbatch) + r of the batch");
    emit(sink, "/history", "units",
         "losses in nats per token, END counted as a token, without label "
         "smoothing; accuracies as parts of 1; "
         "valid_ columns are of the whole validation split");
}

void checkpoint_describe(const struct checkpoint *checkpoint,
                         void (*describe)(void *context, const char *object,
                                          const char *attribute, const char *text),
                         void *context)
{
    const struct sink sink = {describe, context};
    describe_model(&sink, checkpoint);
    describe_optimizer(&sink, checkpoint);
    describe_average(&sink, &checkpoint->state.optimizer);
    describe_state(&sink, checkpoint);
    describe_matmul(&sink, &checkpoint->options);
}
