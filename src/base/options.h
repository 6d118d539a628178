/* options: the table of settings.
 *
 * Every setting of tutti is a row of this table: section, key, type, range, unit, default
 * and help. It drives the parser of configuration files (INI, through libinih), --set,
 * the `--key value` arguments of the commands, `tutti train --help`, the printed
 * settings, settings.conf and the checkpoint's /config. A key that is not in the table, a
 * value of the wrong type or out of range is an error with file and line and a
 * suggestion.
 *
 * Values are stored in `struct options`, whose members are named after the keys.
 */
#ifndef TUTTI_BASE_OPTIONS_H
#define TUTTI_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "status.h"

enum { SAMPLES_DRAWN_MAX = 4096 }; /* run.samples times sample.best_of */
enum { OPTIONS_TEXT = 1024 };      /* longest text value, with its zero byte */
enum { OPTION_BPE_MAX = 4096 };    /* largest data.bpe */

/* The last enumerator of each is the number of values. */
enum option_encoding {
    ENCODING_PERFORMANCE,
    ENCODING_PIANOROLL,
    ENCODING_REMI,
    ENCODINGS
};
enum option_programs { PROGRAMS_MERGE, PROGRAMS_KEEP, PROGRAM_RULES };
enum option_drums { DRUMS_DROP, DRUMS_KEEP, DRUM_RULES };
enum option_pedal { PEDAL_EXTEND, PEDAL_IGNORE, PEDALS };
enum option_tracks { TRACKS_ALL, TRACKS_MELODY, TRACKS };
enum option_cell { CELL_LSTM, CELL_GRU, CELLS };
enum option_activation {
    ACTIVATION_LINEAR,
    ACTIVATION_RELU,
    ACTIVATION_TANH,
    ACTIVATIONS
};
enum option_init { INIT_GLOROT, INIT_KERAS, INIT_PYTORCH, INITS };
enum option_dropout_mask { DROPOUT_MASK_TOKEN, DROPOUT_MASK_SEQUENCE, DROPOUT_MASKS };
enum option_windows { WINDOWS_STREAM, WINDOWS_INDEPENDENT, WINDOWS_KINDS };
enum option_loss_on { LOSS_ON_ALL, LOSS_ON_LAST, LOSS_ONS };
enum option_optimizer { OPTIMIZER_ADAM, OPTIMIZER_ADAMW, OPTIMIZER_SGD, OPTIMIZERS };
enum option_schedule {
    SCHEDULE_CONSTANT,
    SCHEDULE_COSINE,
    SCHEDULE_PLATEAU,
    SCHEDULE_ONE_CYCLE,
    SCHEDULES
};
enum option_average { AVERAGE_NONE, AVERAGE_EMA, AVERAGES };
enum option_reduce { REDUCE_EXACT, REDUCE_FLOAT, REDUCES };
enum option_matmul { MATMUL_AUTO, MATMUL_PACKED, MATMUL_OPENBLAS, MATMULS };
enum option_precision { PRECISION_FLOAT32, PRECISION_BFLOAT16, PRECISIONS };
enum option_end { END_DRAW, END_FORBID, END_REQUIRE, ENDS };

struct options {
    struct {
        char dataset[OPTIONS_TEXT]; /* directory of the dataset to train on */
        int encoding;               /* enum option_encoding */
        int64_t bpe;                /* byte-pair merges to learn; 0: none */
        char grid[32];              /* pianoroll: time step, "1/4" beat or "120 ticks" */
        int programs;               /* enum option_programs */
        int drums;                  /* enum option_drums */
        bool tempo;                 /* remi: tokens of tempos */
        bool time_signatures;       /* remi: tokens of time signatures */
        int64_t positions;          /* remi: a beat */
        bool repeats;               /* pianoroll: REPEAT before a key struck again */
        int pedal;                  /* enum option_pedal */
        char only_programs[256];    /* program_set.h */
        int tracks;                 /* enum option_tracks */
        double split[3];            /* train, valid, test; sum 1 */
        char split_file[OPTIONS_TEXT];
        int64_t shards;
        uint64_t seed;
        int64_t min_notes;          /* of a file; 0: no limit */
        int64_t max_notes;          /* of a file */
        int64_t max_bytes;          /* of a file */
        double max_seconds;         /* of a piece */
        double max_silence_seconds; /* a longer silence splits a piece; 0: never */
        double memory_mb;           /* of training tokens per rank; 0: no limit */
    } data;
    struct {
        int cell; /* enum option_cell */
        int64_t layers;
        int64_t hidden;
        int64_t embedding; /* 0: none, one-hot tokens */
        double dropout;
        double dropout_input, dropout_embedding, dropout_recurrent;
        int dropout_mask; /* enum option_dropout_mask */
        int64_t dense;    /* 0: none */
        int activation;   /* of the dense layer: enum option_activation */
        bool tie_embeddings;
        bool residual, layer_norm;
        int init; /* of the weights: enum option_init */
    } model;
    struct {
        int64_t epochs;
        int64_t batch;           /* rows, over all ranks */
        int64_t microbatches;    /* per batch; divides batch */
        int64_t sequence_length; /* time steps of truncated back-propagation */
        int windows;             /* enum option_windows */
        int loss_on;             /* tokens of a window: enum option_loss_on */
        int optimizer;           /* enum option_optimizer */
        double learning_rate;
        double beta1, beta2, epsilon; /* Adam and AdamW */
        double momentum;              /* SGD */
        double weight_decay;          /* AdamW: decoupled */
        int schedule;                 /* enum option_schedule */
        int64_t warmup_steps;
        double final_lr_ratio;    /* cosine, one_cycle: end at learning_rate times this */
        double plateau_factor;    /* plateau: multiplies the learning rate */
        int64_t plateau_patience; /* plateau: epochs to wait for an improvement */
        int64_t
            early_stop_patience; /* epochs to wait for an improvement; 0: never stops */
        int average;             /* of the weights: enum option_average */
        double average_decay;    /* limit of the average's decay rate */
        double label_smoothing;  /* of the gradient's targets; 0: off */
        double clip_norm;        /* global gradient norm; 0: off */
        char init_from[OPTIONS_TEXT]; /* checkpoint of the initial weights; "": random */
        uint64_t seed;
        int64_t transpose[2];   /* semitones: lowest <= 0, highest >= 0; 0 0: off */
        int64_t velocity_shift; /* velocity bins, up or down; 0: off */
        double time_stretch;    /* tempo: factors from 1 - this to 1 + this; 0: off */
        int reduce;             /* enum option_reduce */
        int matmul;             /* enum option_matmul */
        int precision;          /* enum option_precision */
        int64_t bucket;         /* elements per allreduce; does not affect the result */
        int64_t max_steps;      /* 0: no limit */
        int64_t threads;        /* per rank; 0: team_threads */
        bool allow_mixed_cores; /* permits ranks with different numerics */
    } train;
    struct {
        char dir[OPTIONS_TEXT];
        int64_t checkpoint_every;  /* epochs */
        double checkpoint_minutes; /* 0: off */
        double time_limit_minutes; /* 0: none */
        int64_t keep_checkpoints;  /* newest checkpoints, in addition to the best */
        double sample_seconds;
        int64_t samples;             /* files after each epoch */
        bool hash_steps;             /* weights hash with each step's metrics */
        double hang_timeout_seconds; /* a rank may be without progress; 0: no limit */
        char interface[256]; /* of the watchdog: name, address or subnet; "": automatic */
    } run;
    struct {
        double temperature;
        int64_t top_k;             /* 0: off */
        double top_p;              /* 1: off */
        double min_p;              /* 0: off */
        double repetition_penalty; /* 1: off */
        double cache;              /* weight of the piece's own past; 0: off */
        int64_t cache_context;  /* tokens that must have occurred before; 0: automatic */
        char scale[32];         /* tonic and mode, or "chromatic": see scale.h */
        char programs[256];     /* program_set.h */
        char time_signature[8]; /* "any" or "3/4": see time_signature.h */
        uint64_t seed;
        bool guard;              /* against silence and endless repetition */
        double max_silence;      /* guard: longest time without an onset, seconds */
        double max_note_seconds; /* guard: longest time that a note is held */
        int end;                 /* enum option_end */
        double min_seconds;      /* shortest piece that ends by itself */
        int64_t best_of;         /* pieces drawn for each piece */
        double tempo;            /* beats per minute; 0: the primer's, or 120 */
    } sample;
};

/* Sets every member to its default. */
void options_defaults(struct options *options);

/* The value of a setting for people: "none" if it is empty. */
static inline const char *options_shown(const char *value)
{
    return *value ? value : "none";
}

/* Reads an INI file; keys missing from it keep their values. base/text_file.h lists the
 * accepted kinds of files. Paths are relative to the working directory, and "~/" is the
 * home directory. STATUS_MISUSE with "FILE:LINE: ..." on any error, and nothing is
 * changed.
 *
 * Sections in brackets, "key = value", comments after '#' (at the start of a line or
 * after a blank) or ';' (at the start of a line). Text that contains '#', or blanks at
 * its ends, is enclosed in double quotes, with \" for a quote and \\ for a backslash. A
 * key may occur only once per file. Integers are decimal digits; yes/no may be
 * true/false, on/off, 1/0. Lines of at most 4096 bytes, files of at most 2^20. */
enum status options_read_file(struct options *options, const char *path);

/* The two halves of options_read_file, for use when one rank reads the file and all ranks
 * parse the text: the first reads the file into *text, which the caller frees; the second
 * parses the text. */
enum status options_load_file(const char *path, char **text, size_t *size);
enum status options_read_user_text(struct options *options, const char *text, size_t size,
                                   const char *origin);

/* The same for text from a checkpoint, written by options_text: "~/" is not expanded.
 * At most 2^20 bytes. `origin` stands for the path in messages. */
enum status options_read_text(struct options *options, const char *text,
                              const char *origin);

/* The same for text from a dataset, starting from the defaults. It may contain only the
 * settings that the dataset determines: the keys of [data] that `tutti preprocess` used
 * (a column of the table), and data.dataset and data.memory_mb with their defaults. Any
 * other key is rejected by name, as are values that options_check rejects. STATUS_FAILED,
 * because the file is at fault. */
enum status options_read_dataset(struct options *options, const char *text,
                                 const char *origin);

/* Copies the settings that a dataset determines, and nothing else. */
void options_copy_dataset(struct options *options, const struct options *dataset);

/* Writes the names of the settings that determine the vocabulary and differ, such as
 * "data.programs, data.drums", to text[size]; "" if none differs. Returns text. */
const char *options_vocabulary_difference(const struct options *first,
                                          const struct options *second, char *text,
                                          size_t size);

/* Applies one "section.key=value". Error messages begin with `origin`, such as
 * "--set". */
enum status options_set(struct options *options, const char *assignment,
                        const char *origin);

/* Applies one `--KEY VALUE` from the command line as SECTION.KEY, with '-' in KEY read as
 * '_' ("--top-k" is sample.top_k). *known is set to whether the section has the key; if
 * not, returns STATUS_OK and sets nothing. */
enum status options_set_key(struct options *options, const char *section, const char *key,
                            const char *value, bool *known);

/* True if SECTION.KEY ('-' read as '_') is a setting. */
bool options_has(const char *section, const char *key);

/* The key of SECTION closest to a mistyped one, or NULL; see text_suggest. */
const char *options_suggest(const char *section, const char *typed);

/* True if SECTION.KEY ('-' read as '_') is a yes/no setting, for options such as
 * `--no-guard`. */
bool options_is_boolean(const char *section, const char *key);

/* Checks constraints between settings: microbatches divide batch, split sums to 1, ... */
enum status options_check(const struct options *options);

/* The settings of some sections (bit mask) as INI text, from which options_read_text
 * restores the same values; the caller frees it. NULL if out of memory. */
enum {
    SECTION_DATA = 1,
    SECTION_MODEL = 2,
    SECTION_TRAIN = 4,
    SECTION_RUN = 8,
    SECTION_SAMPLE = 16,
    SECTION_ALL = 31
};
char *options_text(const struct options *options, unsigned sections);

/* Prints a table "key value unit default" of some sections, with the default only where
 * the value differs. */
void options_print(const struct options *options, unsigned sections, FILE *out);

/* Prints help for every key of some sections: type, range, unit, default, meaning. */
void options_help(unsigned sections, FILE *out);

/* Compares two sets of settings, except for keys that may change on resume (a column of
 * the table: run.*, train.epochs, train.max_steps, sample.*, ...). *count is the number
 * of differences; *report has one line for each, "train.batch: 64 in the checkpoint, 32
 * requested", and is NULL if there are none. The caller frees it. */
void options_difference(const struct options *stored, const struct options *requested,
                        char **report, int *count);

#endif
