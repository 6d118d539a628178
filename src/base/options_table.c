/* options_table: every setting of tutti, one row each, in display order.
 *
 * To add a setting, add a member to struct options and a row here. Older datasets and
 * checkpoints lack it and get its default: if that would change their behaviour, raise
 * the version of their format. Defaults suit a piano or folk-tune corpus on a few
 * processor cores.
 *
 * Help texts begin with a noun phrase; type, range, unit and default are generated. */
#include "options_table.h"

#define AT(part, member)                                                                 \
    .section = #part, .key = #member, .offset = offsetof(struct options, part.member),   \
    .size = sizeof(((struct options *)NULL)->part.member)
#define INTEGER(from, to) .type = OPTION_INTEGER, .min = (from), .max = (to)
#define SEED .type = OPTION_SEED
#define SPAN(from, to) .type = OPTION_SPAN, .min = (from), .max = (to)
#define NUMBER(from, to) .type = OPTION_NUMBER, .low = (from), .high = (to)
#define WORD(list) .type = OPTION_WORD, .words = (list)
#define BOOLEAN .type = OPTION_BOOLEAN
#define PATH .type = OPTION_PATH
#define TEXT .type = OPTION_TEXT
#define MAY_CHANGE .may_change = true
#define IN_DATASET .in_dataset = true
#define IN_VOCABULARY .in_dataset = true, .in_vocabulary = true

static const char *const encoding_words[ENCODINGS + 1] = {
    [ENCODING_PERFORMANCE] = "performance",
    [ENCODING_PIANOROLL] = "pianoroll",
    [ENCODING_REMI] = "remi"};
static const char *const programs_words[PROGRAM_RULES + 1] = {
    [PROGRAMS_MERGE] = "merge", [PROGRAMS_KEEP] = "keep"};
static const char *const drums_words[DRUM_RULES + 1] = {
    [DRUMS_DROP] = "drop", [DRUMS_KEEP] = "keep"};
static const char *const pedal_words[PEDALS + 1] = {
    [PEDAL_EXTEND] = "extend", [PEDAL_IGNORE] = "ignore"};
static const char *const tracks_words[TRACKS + 1] = {
    [TRACKS_ALL] = "all", [TRACKS_MELODY] = "melody"};
static const char *const cell_words[CELLS + 1] = {
    [CELL_LSTM] = "lstm", [CELL_GRU] = "gru"};
static const char *const activation_words[ACTIVATIONS + 1] = {[ACTIVATION_LINEAR] =
                                                                  "linear",
                                                              [ACTIVATION_RELU] = "relu",
                                                              [ACTIVATION_TANH] = "tanh"};
static const char *const dropout_mask_words[DROPOUT_MASKS + 1] = {
    [DROPOUT_MASK_TOKEN] = "token", [DROPOUT_MASK_SEQUENCE] = "sequence"};
static const char *const init_words[INITS + 1] = {
    [INIT_GLOROT] = "glorot", [INIT_KERAS] = "keras", [INIT_PYTORCH] = "pytorch"};
static const char *const windows_words[WINDOWS_KINDS + 1] = {
    [WINDOWS_STREAM] = "stream", [WINDOWS_INDEPENDENT] = "independent"};
static const char *const loss_on_words[LOSS_ONS + 1] = {
    [LOSS_ON_ALL] = "all", [LOSS_ON_LAST] = "last"};
static const char *const optimizer_words[OPTIMIZERS + 1] = {
    [OPTIMIZER_ADAM] = "adam", [OPTIMIZER_ADAMW] = "adamw", [OPTIMIZER_SGD] = "sgd"};
static const char *const schedule_words[SCHEDULES + 1] = {
    [SCHEDULE_CONSTANT] = "constant",
    [SCHEDULE_COSINE] = "cosine",
    [SCHEDULE_PLATEAU] = "plateau",
    [SCHEDULE_ONE_CYCLE] = "one_cycle"};
static const char *const average_words[AVERAGES + 1] = {
    [AVERAGE_NONE] = "none", [AVERAGE_EMA] = "ema"};
static const char *const reduce_words[REDUCES + 1] = {
    [REDUCE_EXACT] = "exact", [REDUCE_FLOAT] = "float"};
static const char *const matmul_words[MATMULS + 1] = {
    [MATMUL_AUTO] = "auto", [MATMUL_PACKED] = "packed", [MATMUL_OPENBLAS] = "openblas"};
static const char *const end_words[ENDS + 1] = {
    [END_DRAW] = "draw", [END_FORBID] = "forbid", [END_REQUIRE] = "require"};
static const char *const precision_words[PRECISIONS + 1] = {
    [PRECISION_FLOAT32] = "float32", [PRECISION_BFLOAT16] = "bfloat16"};

const char *const option_sections[] = {"data", "model", "train", "run", "sample", NULL};

/* clang-format off */
const struct option_row option_rows[] = {
    {AT(data, dataset), PATH, .unit = "directory", .default_value = "", MAY_CHANGE,
     .help = "dataset to train on, made by `tutti preprocess`"},
    {AT(data, encoding), IN_VOCABULARY, WORD(encoding_words), .default_value = "performance",
     .help = "encoding of notes as tokens"},
    {AT(data, grid), IN_VOCABULARY, .type = OPTION_GRID, .default_value = "1/4",
     .help = "pianoroll: time step, of a quarter note (1/4: a sixteenth) or \"120 ticks\""},
    {AT(data, programs), IN_VOCABULARY, WORD(programs_words), .default_value = "merge",
     .help = "programs (instruments) of notes: merge them into one instrument, or keep them"},
    {AT(data, drums), IN_VOCABULARY, WORD(drums_words), .default_value = "drop",
     .help = "percussion: drop it, or keep it"},
    {AT(data, tempo), IN_VOCABULARY, BOOLEAN, .default_value = "yes",
     .help = "remi: tokens of tempos; no: all music is at 120 beats per minute"},
    {AT(data, time_signatures), IN_VOCABULARY, BOOLEAN, .default_value = "yes",
     .help = "remi: tokens of time signatures; no: all bars are 4/4"},
    {AT(data, positions), IN_VOCABULARY, INTEGER(1, 48), .default_value = "8",
     .help = "remi: positions a beat, the finest time step; a divisor of 240"},
    {AT(data, bpe), IN_VOCABULARY, INTEGER(0, OPTION_BPE_MAX), .unit = "merges",
     .default_value = "0",
     .help = "byte-pair merges of tokens, learnt from the training split; 0: none"},
    {AT(data, repeats), IN_VOCABULARY, BOOLEAN, .default_value = "no",
     .help = "pianoroll: REPEAT token before a key struck again while it sounds; no: merge the notes"},
    {AT(data, pedal), IN_DATASET, WORD(pedal_words), .default_value = "extend",
     .help = "sustain pedal: extend notes until its release, or ignore it"},
    {AT(data, only_programs), IN_DATASET, .type = OPTION_PROGRAMS, .default_value = "all",
     .help = "programs whose notes are kept, from 0 as in `tutti inspect FILE.mid`; all: no filter"},
    {AT(data, tracks), IN_DATASET, WORD(tracks_words), .default_value = "all",
     .help = "notes that are kept: all, or melody, the highest voice of all tracks together"},
    {AT(data, split), IN_DATASET, .type = OPTION_NUMBERS, .low = 0, .high = 1,
     .default_value = "0.9 0.05 0.05",
     .help = "fractions of the pieces for training, validation and test; their sum is 1"},
    {AT(data, split_file), IN_DATASET, PATH, .unit = "file", .default_value = "",
     .help = "file of lines \"path<TAB>train|valid|test\", instead of split; empty: none"},
    {AT(data, shards), IN_DATASET, INTEGER(1, 9999), .unit = "files", .default_value = "64",
     .help = "number of shard files; independent of the number of ranks"},
    {AT(data, seed), IN_DATASET, SEED, .default_value = "1",
     .help = "random seed of the assignment of pieces to splits"},
    {AT(data, min_notes), IN_DATASET, INTEGER(0, INT64_MAX), .unit = "notes",
     .default_value = "1",
     .help = "minimum notes of a file; files with fewer are skipped; 0: no limit"},
    {AT(data, max_notes), IN_DATASET, INTEGER(1, INT64_MAX), .unit = "notes",
     .default_value = "1000000",
     .help = "maximum notes of a file; files with more are skipped"},
    {AT(data, max_bytes), IN_DATASET, INTEGER(1, INT64_MAX), .unit = "bytes",
     .default_value = "67108864",
     .help = "maximum size of a file; larger files are skipped without reading them"},
    {AT(data, max_seconds), IN_DATASET, NUMBER(0, 1e9), .low_open = true,
     .unit = "seconds",
     .default_value = "345600", .help = "maximum length of a piece; longer pieces are skipped"},
    {AT(data, max_silence_seconds), IN_DATASET, NUMBER(0, 1e9), .unit = "seconds",
     .default_value = "60",
     .help = "longer silences cut a file; the part with most notes is kept; 0: never"},
    {AT(data, memory_mb), NUMBER(0, 1e9), .unit = "megabytes", .default_value = "0", MAY_CHANGE,
     .help = "memory per rank for training tokens; the rest is streamed from disk; 0: no limit"},

    {AT(model, cell), WORD(cell_words), .default_value = "lstm", .help = "cell type of the recurrent layers"},
    {AT(model, layers), INTEGER(1, 16), .default_value = "2",
     .help = "number of stacked recurrent layers"},
    {AT(model, hidden), INTEGER(1, 16384), .unit = "units", .default_value = "512",
     .help = "units per recurrent layer"},
    {AT(model, embedding), INTEGER(0, 16384), .unit = "units", .default_value = "256",
     .help = "dimension of the token embedding; 0: none, the first layer reads one-hot tokens"},
    {AT(model, dropout), NUMBER(0, 1), .high_open = true, .default_value = "0.3",
     .help = "dropout rate after each layer, rounded to 1/65536; 0: no dropout"},
    {AT(model, dropout_input), NUMBER(0, 1), .high_open = true, .default_value = "0",
     .help = "dropout rate of the embedded tokens, before the first layer; 0: no dropout"},
    {AT(model, dropout_embedding), NUMBER(0, 1), .high_open = true, .default_value = "0",
     .help = "dropout rate of whole tokens of the embedding, for one step; 0: no dropout"},
    {AT(model, dropout_recurrent), NUMBER(0, 1), .high_open = true, .default_value = "0",
     .help = "dropout rate of hidden-to-hidden weights, for one step; 0: no dropout"},
    {AT(model, dropout_mask), WORD(dropout_mask_words), .default_value = "token",
     .help = "dropout masks: a new one for each token, or one for each sequence of a step"},
    {AT(model, dense), INTEGER(0, 16384), .unit = "units", .default_value = "0",
     .help = "units of the dense layer before the output layer; 0: no dense layer"},
    {AT(model, activation), WORD(activation_words), .default_value = "relu",
     .help = "activation function of the dense layer"},
    {AT(model, tie_embeddings), BOOLEAN, .default_value = "no",
     .help = "one matrix as embedding and as output weights; needs embedding = hidden, or = dense"},
    {AT(model, residual), BOOLEAN, .default_value = "no",
     .help = "recurrent layers after the first add their input to their output; needs layers > 1"},
    {AT(model, layer_norm), BOOLEAN, .default_value = "no",
     .help = "normalises the output of each recurrent layer for the next layer"},
    {AT(model, init), WORD(init_words), .default_value = "glorot",
     .help = "random initial weights: Glorot uniform, or as the layers of Keras or of PyTorch"},

    {AT(train, epochs), INTEGER(1, 1000000), .default_value = "20", MAY_CHANGE,
     .help = "number of passes over the training split"},
    {AT(train, batch), INTEGER(1, 1000000), .unit = "rows", .default_value = "32",
     .help = "global batch size, over all ranks"},
    {AT(train, microbatches), INTEGER(1, 4096), .default_value = "8",
     .help = "microbatches per batch, distributed over the ranks; must divide batch"},
    {AT(train, sequence_length), INTEGER(1, 65536), .unit = "tokens", .default_value = "128",
     .help = "time steps of truncated back-propagation"},
    {AT(train, windows), WORD(windows_words), .default_value = "stream",
     .help = "sequences of a row: its pieces from end to end, or independent ones in random order"},
    {AT(train, loss_on), WORD(loss_on_words), .default_value = "all",
     .help = "tokens of a sequence that are predicted: all, or only the last"},
    {AT(train, optimizer), WORD(optimizer_words), .default_value = "adam",
     .help = "optimization algorithm"},
    {AT(train, learning_rate), NUMBER(0, 10), .low_open = true, .default_value = "0.002",
     .help = "peak learning rate, reached after warm-up"},
    {AT(train, beta1), NUMBER(0, 1), .high_open = true, .default_value = "0.9",
     .help = "adam, adamw: decay rate of the first moment"},
    {AT(train, beta2), NUMBER(0, 1), .high_open = true, .default_value = "0.999",
     .help = "adam, adamw: decay rate of the second moment"},
    {AT(train, epsilon), NUMBER(0, 1), .low_open = true, .default_value = "1e-8",
     .help = "adam, adamw: constant added to the denominator"},
    {AT(train, momentum), NUMBER(0, 1), .high_open = true, .default_value = "0.9",
     .help = "sgd: momentum; 0: none"},
    {AT(train, weight_decay), NUMBER(0, 1), .default_value = "0.01",
     .help = "adamw: decoupled weight decay; 0: none"},
    {AT(train, schedule), WORD(schedule_words), .default_value = "cosine",
     .help = "learning-rate schedule after warm-up; one_cycle: with a warm-up of its own"},
    {AT(train, warmup_steps), INTEGER(0, 1000000000), .unit = "steps", .default_value = "100",
     .help = "steps of linear warm-up of the learning rate from 0; 0: no warm-up; not with one_cycle"},
    {AT(train, final_lr_ratio), NUMBER(0, 1), .default_value = "0.05",
     .help = "cosine, one_cycle: final learning rate, as a fraction of learning_rate"},
    {AT(train, plateau_factor), NUMBER(0, 1), .low_open = true, .high_open = true,
     .default_value = "0.5", .help = "plateau: factor by which the learning rate is reduced"},
    {AT(train, plateau_patience), INTEGER(1, 1000000), .unit = "epochs", .default_value = "2",
     .help = "plateau: epochs without improvement before a reduction"},
    {AT(train, early_stop_patience), INTEGER(0, 1000000), .unit = "epochs", .default_value = "0",
     MAY_CHANGE, .help = "epochs without improvement before training stops; 0: never"},
    {AT(train, average), WORD(average_words), .default_value = "none",
     .help = "average of the weights beside them: none, or ema, an exponential moving average"},
    {AT(train, average_decay), NUMBER(0, 1), .high_open = true, .default_value = "0.999",
     .help = "ema: decay rate per step, reached after a warm-up"},
    {AT(train, label_smoothing), NUMBER(0, 1), .high_open = true, .default_value = "0",
     .help = "probability that training targets spread over all tokens; losses are reported without"},
    {AT(train, clip_norm), NUMBER(0, 1e9), .default_value = "1",
     .help = "maximum global norm of the gradient, by scaling; 0: no clipping"},
    {AT(train, init_from), PATH, .unit = "checkpoint or directory", .default_value = "",
     .help = "checkpoint, or run's directory, whose weights a new run starts with; empty: random weights"},
    {AT(train, seed), SEED, .default_value = "1",
     .help = "random seed of initial weights, order of pieces, augmentation and dropout"},
    {AT(train, transpose), SPAN(-127, 127), .unit = "semitones", .default_value = "0..0",
     .help = "range of the random transposition of each piece in each epoch; 0..0: none"},
    {AT(train, velocity_shift), INTEGER(0, 31), .unit = "bins", .default_value = "0",
     .help = "performance, remi: largest random shift of each piece's VELOCITY tokens in each epoch; 0: none"},
    {AT(train, time_stretch), NUMBER(0, 0.5), .default_value = "0",
     .help = "performance: largest random change of each piece's length in each epoch, as a fraction; 0: none"},
    {AT(train, reduce), WORD(reduce_words), .default_value = "exact",
     .help = "gradient sum: exact (same bits on any number of ranks), or in float32"},
    {AT(train, matmul), WORD(matmul_words), .default_value = "auto",
     .help = "matmul backend: packed (equal bits on any processor), openblas, or auto: packed if it has SIMD"},
    {AT(train, precision), WORD(precision_words), .default_value = "float32",
     .help = "operand type of training matmuls; sums and weights are float32"},
    {AT(train, bucket), INTEGER(1, INT32_MAX), .unit = "elements", .default_value = "262144",
     MAY_CHANGE, .help = "gradient elements per allreduce; does not affect the result"},
    {AT(train, max_steps), INTEGER(0, INT64_MAX), .unit = "steps", .default_value = "0",
     MAY_CHANGE, .help = "maximum number of steps; cosine and one_cycle schedules end there; 0: no limit"},
    {AT(train, threads), INTEGER(0, 1024), .default_value = "0", MAY_CHANGE,
     .help = "threads per rank; 0: OMP_NUM_THREADS, or else Slurm's --cpus-per-task, or else 1"},
    {AT(train, allow_mixed_cores), BOOLEAN, .default_value = "no", MAY_CHANGE,
     .help = "permission for ranks whose processors give different bits"},

    {AT(run, dir), PATH, .unit = "directory", .default_value = "runs/run", MAY_CHANGE,
     .help = "directory of settings, metrics, checkpoints and samples"},
    {AT(run, checkpoint_every), INTEGER(1, 1000000), .unit = "epochs", .default_value = "1",
     MAY_CHANGE, .help = "epochs between checkpoints"},
    {AT(run, checkpoint_minutes), NUMBER(0, 1e6), .unit = "minutes", .default_value = "0",
     MAY_CHANGE, .help = "minutes between checkpoints within an epoch; 0: only at its end"},
    {AT(run, time_limit_minutes), NUMBER(0, 1e9), .unit = "minutes", .default_value = "0", MAY_CHANGE,
     .help = "time limit, before which the run stops with a checkpoint; 0: no limit"},
    {AT(run, keep_checkpoints), INTEGER(1, 1000000), .unit = "files", .default_value = "3", MAY_CHANGE,
     .help = "number of newest checkpoints to keep, in addition to the best"},
    {AT(run, sample_seconds), NUMBER(0, 86400), .low_open = true, .unit = "seconds",
     .default_value = "30", MAY_CHANGE, .help = "length of a sample"},
    {AT(run, samples), INTEGER(0, 1000), .unit = "files", .default_value = "2", MAY_CHANGE,
     .help = "number of sample MIDI files after each epoch; 0: none"},
    {AT(run, hash_steps), BOOLEAN, .default_value = "no", MAY_CHANGE,
     .help = "logging of the weights hash after each step"},
    {AT(run, hang_timeout_seconds), NUMBER(0, 1e6), .unit = "seconds", .default_value = "60", MAY_CHANGE,
     .help = "time without progress of a rank before the run is ended; 0: never"},
    {AT(run, interface), TEXT, .unit = "network", .default_value = "", MAY_CHANGE,
     .help = "network of the watchdog (ib0, 10.1.0.0/16); empty: automatic"},

    {AT(sample, temperature), NUMBER(0, 100), .default_value = "1", MAY_CHANGE,
     .help = "softmax temperature: below 1 less varied, above 1 more; 0: most probable token"},
    {AT(sample, top_k), INTEGER(0, 65536), .unit = "tokens", .default_value = "0", MAY_CHANGE,
     .help = "number of most probable tokens to sample from; 0: all"},
    {AT(sample, top_p), NUMBER(0, 1), .low_open = true, .default_value = "0.9", MAY_CHANGE,
     .help = "total probability of the most probable tokens to sample from; 1: all"},
    {AT(sample, min_p), NUMBER(0, 1), .default_value = "0", MAY_CHANGE,
     .help = "lowest probability of a token relative to the most probable one; 0: any"},
    {AT(sample, repetition_penalty), NUMBER(0.01, 100), .default_value = "1", MAY_CHANGE,
     .help = "penalty for the notes of the last 64 tokens: above 1 rarer; 1: none"},
    {AT(sample, cache), NUMBER(0, 1), .default_value = "1", MAY_CHANGE,
     .help = "weight of what followed the same tokens before in the piece; 0: none"},
    {AT(sample, cache_context), INTEGER(0, 10000), .unit = "tokens", .default_value = "0", MAY_CHANGE,
     .help = "cache: latest tokens that must have occurred before; 0: 6, pianoroll and remi 16"},
    {AT(sample, scale), .type = OPTION_SCALE, .default_value = "chromatic", MAY_CHANGE,
     .help = "pitches to sample: a tonic and a mode, such as \"D dorian\""},
    {AT(sample, programs), .type = OPTION_PROGRAMS, .default_value = "all", MAY_CHANGE,
     .help = "instruments: 0-7,drums; where they are merged, the program of the file"},
    {AT(sample, time_signature), .type = OPTION_METRE, .default_value = "any", MAY_CHANGE,
     .help = "metre, such as 3/4: of the music with remi, else of the file's bars"},
    {AT(sample, seed), SEED, .default_value = "1", MAY_CHANGE,
     .help = "random seed of sampling; the same seed gives the same music"},
    {AT(sample, guard), BOOLEAN, .default_value = "yes", MAY_CHANGE,
     .help = "prevention of long silence, endless repetition and stuck notes"},
    {AT(sample, max_silence), NUMBER(0.01, 3600), .unit = "seconds",
     .default_value = "4", MAY_CHANGE, .help = "guard: longest time without a new note"},
    {AT(sample, max_note_seconds), NUMBER(0.01, 3600), .unit = "seconds",
     .default_value = "8", MAY_CHANGE, .help = "guard: time after which a held note is ended"},
    {AT(sample, end), WORD(end_words), .default_value = "draw", MAY_CHANGE,
     .help = "own end of a piece: draw it, forbid it (full length), or require it (try again)"},
    {AT(sample, min_seconds), NUMBER(0, 86400), .unit = "seconds", .default_value = "0", MAY_CHANGE,
     .help = "time before which a piece does not end by itself"},
    {AT(sample, best_of), INTEGER(1, 100), .unit = "pieces", .default_value = "1", MAY_CHANGE,
     .help = "number of pieces sampled for each, of which the most typical is kept"},
    {AT(sample, tempo), NUMBER(0, 1000), .unit = "beats/min", .default_value = "0", MAY_CHANGE,
     .help = "tempo of the files, and of music in beats; 0: the music's, the primer's, or 120"},
};
/* clang-format on */

const size_t option_row_count = sizeof option_rows / sizeof *option_rows;
