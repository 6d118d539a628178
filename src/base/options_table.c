/* options_table: every setting of tutti, one row each, in the order in which they are
 * shown.
 *
 * To add a setting: a member in struct options, a row here; where its default changes what
 * was done before there was such a setting, `before` is the value that does the same, for
 * datasets and checkpoints that are older. Defaults are for a piano or folk-tune corpus on
 * a few processor cores. */
#include "options_table.h"

#include <string.h>

#define AT(part, member)                                                                 \
    .section = #part, .key = #member, .offset = offsetof(struct options, part.member),   \
    .size = sizeof(((struct options *)NULL)->part.member)
#define INTEGER(from, to) .type = OPTION_INTEGER, .least = (from), .most = (to)
#define SEED .type = OPTION_SEED
#define NUMBER(from, to) .type = OPTION_NUMBER, .low = (from), .high = (to)
#define WORD(list) .type = OPTION_WORD, .words = (list)
#define BOOLEAN .type = OPTION_BOOLEAN
#define PATH .type = OPTION_PATH
#define TEXT .type = OPTION_TEXT
#define MAY_CHANGE .may_change = true
#define OF_DATASET .of_dataset = true

static const char *const encoding_words[] = {"performance", "pianoroll", NULL};
static const char *const pedal_words[] = {"extend", "ignore", NULL};
static const char *const cell_words[] = {"lstm", "gru", NULL};
static const char *const activation_words[] = {"linear", "relu", "tanh", NULL};
static const char *const optimizer_words[] = {"adam", "adamw", "sgd", NULL};
static const char *const schedule_words[] = {"constant", "cosine", "plateau", NULL};
static const char *const reduce_words[] = {"exact", "float", NULL};
static const char *const products_words[] = {"packed", "openblas", NULL};
static const char *const precision_words[] = {"float32", "bfloat16", NULL};

const char *const option_sections[] = {"data", "model", "train", "run", "sample", NULL};

/* clang-format off */
const struct option_row option_rows[] = {
    {AT(data, dataset), PATH, .unit = "directory", .initial = "", MAY_CHANGE,
     .help = "the dataset to train on, made by `tutti preprocess`"},
    {AT(data, encoding), OF_DATASET, WORD(encoding_words), .initial = "performance",
     .help = "how notes become tokens"},
    {AT(data, grid), OF_DATASET, .type = OPTION_GRID, .initial = "1/4",
     .help = "pianoroll: length of a step, in beats (\"1/4\") or ticks (\"120 ticks\")"},
    {AT(data, pedal), OF_DATASET, WORD(pedal_words), .initial = "extend",
     .help = "does the sustain pedal lengthen notes?"},
    {AT(data, split), OF_DATASET, .type = OPTION_NUMBERS, .low = 0, .high = 1,
     .initial = "0.9 0.05 0.05",
     .help = "parts for training, validation and test; their sum is 1"},
    {AT(data, split_file), OF_DATASET, PATH, .unit = "file", .initial = "",
     .help = "lines \"path<TAB>train|valid|test\" that decide instead of split"},
    {AT(data, shards), OF_DATASET, INTEGER(1, 9999), .unit = "files", .initial = "64",
     .help = "files of the dataset; has nothing to do with ranks"},
    {AT(data, seed), OF_DATASET, SEED, .initial = "1",
     .help = "of the choice of split and shard"},
    {AT(data, min_notes), OF_DATASET, INTEGER(0, INT64_MAX), .unit = "notes",
     .initial = "1",
     .help = "files with fewer are skipped"},
    {AT(data, max_notes), OF_DATASET, INTEGER(1, INT64_MAX), .unit = "notes",
     .initial = "1000000",
     .help = "files with more are skipped"},
    {AT(data, max_bytes), OF_DATASET, INTEGER(1, INT64_MAX), .unit = "bytes",
     .initial = "67108864",
     .help = "larger files are skipped unread"},
    {AT(data, max_seconds), OF_DATASET, NUMBER(0, 1e9), .low_open = true,
     .unit = "seconds",
     .initial = "345600", .help = "longer pieces are skipped"},
    {AT(data, max_silence_seconds), OF_DATASET, NUMBER(0, 1e9), .unit = "seconds",
     .initial = "60",
     .before = "0",
     .help = "a longer silence splits a file; its part with the most notes is kept; 0: no limit"},
    {AT(data, memory), NUMBER(0, 1e9), .unit = "megabytes", .initial = "0", MAY_CHANGE,
     .help = "of tokens that a rank holds while it trains; 0: all its tokens"},

    {AT(model, cell), WORD(cell_words), .initial = "lstm", .help = "recurrent layers"},
    {AT(model, layers), INTEGER(1, 16), .initial = "2",
     .help = "recurrent layers, stacked"},
    {AT(model, hidden), INTEGER(1, 16384), .unit = "units", .initial = "512",
     .help = "width of a recurrent layer"},
    {AT(model, embedding), INTEGER(1, 16384), .unit = "units", .initial = "256",
     .help = "width of a token's vector"},
    {AT(model, dropout), NUMBER(0, 1), .high_open = true, .initial = "0.3",
     .help = "part of the units dropped between layers; 0: none"},
    {AT(model, dense), INTEGER(0, 16384), .unit = "units", .initial = "0",
     .help = "width of a dense layer before the output; 0: none"},
    {AT(model, activation), WORD(activation_words), .initial = "relu",
     .help = "of the dense layer"},

    {AT(train, epochs), INTEGER(1, 1000000), .initial = "20", MAY_CHANGE,
     .help = "passes over the training split"},
    {AT(train, batch), INTEGER(1, 1000000), .unit = "rows", .initial = "32",
     .help = "rows of all ranks together"},
    {AT(train, slices), INTEGER(1, 4096), .initial = "8",
     .help = "fixed groups of rows, shared out among the ranks; divides batch"},
    {AT(train, time), INTEGER(1, 65536), .unit = "tokens", .initial = "128",
     .help = "steps of truncated back-propagation"},
    {AT(train, optimizer), WORD(optimizer_words), .initial = "adam",
     .help = "how gradients change weights"},
    {AT(train, learning_rate), NUMBER(0, 10), .low_open = true, .initial = "0.002",
     .help = "its peak, behind the warm-up"},
    {AT(train, beta1), NUMBER(0, 1), .high_open = true, .initial = "0.9",
     .help = "adam, adamw: memory of the mean"},
    {AT(train, beta2), NUMBER(0, 1), .high_open = true, .initial = "0.999",
     .help = "adam, adamw: memory of the mean square"},
    {AT(train, epsilon), NUMBER(0, 1), .low_open = true, .initial = "1e-8",
     .help = "adam, adamw: added to the root of the mean square"},
    {AT(train, momentum), NUMBER(0, 1), .high_open = true, .initial = "0.9",
     .help = "sgd: memory of the velocity"},
    {AT(train, weight_decay), NUMBER(0, 1), .initial = "0.01",
     .help = "adamw: pull towards zero"},
    {AT(train, schedule), WORD(schedule_words), .initial = "cosine",
     .help = "the learning rate's course behind the warm-up"},
    {AT(train, warmup_steps), INTEGER(0, 1000000000), .unit = "steps", .initial = "100",
     .help = "linear rise of the learning rate from 0"},
    {AT(train, final_factor), NUMBER(0, 1), .initial = "0.05",
     .help = "cosine: the end, in parts of learning_rate"},
    {AT(train, plateau_factor), NUMBER(0, 1), .low_open = true, .high_open = true,
     .initial = "0.5", .help = "plateau: times this ..."},
    {AT(train, plateau_epochs), INTEGER(1, 1000000), .unit = "epochs", .initial = "2",
     .help = "plateau: ... after so many without a better validation loss"},
    {AT(train, early_stop), INTEGER(0, 1000000), .unit = "epochs", .initial = "0",
     MAY_CHANGE, .help = "stop after so many without a better validation loss; 0: never"},
    {AT(train, clip), NUMBER(0, 1e9), .initial = "1",
     .help = "largest norm of the gradient; 0: any"},
    {AT(train, seed), SEED, .initial = "1",
     .help = "of first weights, order of pieces, dropout"},
    {AT(train, reduce), WORD(reduce_words), .initial = "exact",
     .help = "sum of gradients: the same for any number of ranks, or MPI's own"},
    {AT(train, products), WORD(products_words), .initial = "packed", .before = "openblas",
     .help = "over time, by our kernels, with the same bits on any processor, or OpenBLAS"},
    {AT(train, precision), WORD(precision_words), .initial = "float32",
     .help = "of the factors of products, in training; sums and weights are float32"},
    {AT(train, bucket), INTEGER(1, INT32_MAX), .unit = "elements", .initial = "262144",
     MAY_CHANGE, .help = "of the gradient, summed over the ranks at a time; changes no weight"},
    {AT(train, max_steps), INTEGER(0, INT64_MAX), .unit = "steps", .initial = "0",
     MAY_CHANGE, .help = "end after so many, where cosine ends too; 0: no limit"},
    {AT(train, threads), INTEGER(1, 1024), .initial = "1",
     .help = "of a rank's products; more than 1 for products = openblas only"},
    {AT(train, allow_mixed_cores), BOOLEAN, .initial = "no", MAY_CHANGE,
     .help = "train on processors of different types, though weights may then differ"},

    {AT(run, dir), PATH, .unit = "directory", .initial = "runs/run", MAY_CHANGE,
     .help = "where settings, metrics, checkpoints and samples go"},
    {AT(run, checkpoint_every), INTEGER(1, 1000000), .unit = "epochs", .initial = "1",
     MAY_CHANGE, .help = "between checkpoints"},
    {AT(run, checkpoint_minutes), NUMBER(0, 1e6), .unit = "minutes", .initial = "0",
     MAY_CHANGE, .help = "between checkpoints within an epoch; 0: none"},
    {AT(run, minutes), NUMBER(0, 1e9), .unit = "minutes", .initial = "0", MAY_CHANGE,
     .help = "stop with a checkpoint in time before so many have passed; 0: no limit"},
    {AT(run, keep), INTEGER(1, 1000000), .unit = "files", .initial = "3", MAY_CHANGE,
     .help = "newest checkpoints kept; the best is kept besides"},
    {AT(run, sample_seconds), NUMBER(0, 86400), .low_open = true, .unit = "seconds",
     .initial = "30", MAY_CHANGE, .help = "length of a sample"},
    {AT(run, samples), INTEGER(0, 1000), .unit = "files", .initial = "2", MAY_CHANGE,
     .help = "MIDI files after each epoch"},
    {AT(run, hash_steps), BOOLEAN, .initial = "no", MAY_CHANGE,
     .help = "log the hash of the weights after each step"},
    {AT(run, hang_seconds), NUMBER(0, 1e6), .unit = "seconds", .initial = "60", MAY_CHANGE,
     .help = "a rank that does nothing for so long hangs, and the run ends; 0: never"},
    {AT(run, interface), TEXT, .unit = "network", .initial = "", MAY_CHANGE,
     .help = "network that the watchdog listens on: ib0, 10.1.0.0/16; empty: automatic"},

    {AT(sample, temperature), NUMBER(0, 100), .initial = "1", MAY_CHANGE,
     .help = "below 1 safer, above 1 wilder; 0: always the most probable token"},
    {AT(sample, top_k), INTEGER(0, 65536), .unit = "tokens", .initial = "0", MAY_CHANGE,
     .help = "draw from so many most probable ones; 0: from all"},
    {AT(sample, top_p), NUMBER(0, 1), .low_open = true, .initial = "1", MAY_CHANGE,
     .help = "draw from the likeliest that together have this probability; 1: all"},
    {AT(sample, seed), SEED, .initial = "1", MAY_CHANGE,
     .help = "of the draws: same seed, same music"},
    {AT(sample, guard), BOOLEAN, .initial = "yes", MAY_CHANGE,
     .help = "against long silence and endless repetition"},
    {AT(sample, max_silence), NUMBER(0, 3600), .low_open = true, .unit = "seconds",
     .initial = "4", MAY_CHANGE, .help = "guard: longest time without a new note"},
};
/* clang-format on */

const size_t option_row_count = sizeof option_rows / sizeof *option_rows;

unsigned option_section_bit(const char *section)
{
    for (unsigned i = 0; option_sections[i]; i++)
        if (strcmp(section, option_sections[i]) == 0)
            return 1u << i;
    return 0;
}

static bool same_key(const char *key, const char *typed)
{
    while (*key && (*key == *typed || (*key == '_' && *typed == '-'))) {
        key++;
        typed++;
    }
    return *key == *typed;
}

const struct option_row *option_find(const char *section, const char *key)
{
    for (size_t i = 0; i < option_row_count; i++)
        if (strcmp(option_rows[i].section, section) == 0 &&
            same_key(option_rows[i].key, key))
            return &option_rows[i];
    return NULL;
}
