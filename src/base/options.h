/* options: the one table of settings.
 *
 * Every setting of tutti is a row of this table: section, key, type, range, unit, default
 * and help. From it come the parser of configuration files (INI, through libinih), --set,
 * the `--key value` arguments of the commands, `tutti train --help`, the printed
 * settings, settings.conf and the checkpoint's /config. A key that is not in the table, a
 * value of the wrong type or out of range is an error with file and line and a
 * suggestion.
 *
 * Values live in `struct options`, whose members are named as the keys.
 */
#ifndef TUTTI_BASE_OPTIONS_H
#define TUTTI_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "status.h"

enum { OPTIONS_TEXT = 1024 }; /* longest text value, with its zero byte */

enum option_encoding { ENCODING_PERFORMANCE, ENCODING_PIANOROLL };
enum option_pedal { PEDAL_EXTEND, PEDAL_IGNORE };
enum option_cell { CELL_LSTM, CELL_GRU };
enum option_activation { ACTIVATION_LINEAR, ACTIVATION_RELU, ACTIVATION_TANH };
enum option_optimizer { OPTIMIZER_ADAM, OPTIMIZER_ADAMW, OPTIMIZER_SGD };
enum option_schedule { SCHEDULE_CONSTANT, SCHEDULE_COSINE, SCHEDULE_PLATEAU };
enum option_reduce { REDUCE_EXACT, REDUCE_FLOAT };
enum option_matmul { MATMUL_PACKED, MATMUL_OPENBLAS };
enum option_precision { PRECISION_FLOAT32, PRECISION_BFLOAT16 };

struct options {
    struct {
        char dataset[OPTIONS_TEXT]; /* directory of the dataset to train on */
        int encoding;               /* enum option_encoding */
        char grid[32];              /* pianoroll step: "1/4" of a beat, or "120 ticks" */
        int pedal;                  /* enum option_pedal */
        double split[3];            /* train, valid, test; sum 1 */
        char split_file[OPTIONS_TEXT];
        int64_t shards;
        uint64_t seed;
        int64_t min_notes;          /* files with fewer are skipped */
        int64_t max_notes;          /* files with more are skipped */
        int64_t max_bytes;          /* larger files are skipped, unread */
        double max_seconds;         /* longer pieces are skipped */
        double max_silence_seconds; /* a longer silence cuts the piece; 0: none does */
        double memory;              /* training tokens that a rank holds; 0: all */
    } data;
    struct {
        int cell; /* enum option_cell */
        int64_t layers;
        int64_t hidden;
        int64_t embedding;
        double dropout;
        int64_t dense;  /* 0: none */
        int activation; /* of the dense layer: enum option_activation */
    } model;
    struct {
        int64_t epochs;
        int64_t batch;  /* global rows */
        int64_t slices; /* fixed groups of rows; divides batch */
        int64_t time;   /* time steps of truncated back-propagation */
        int optimizer;  /* enum option_optimizer */
        double learning_rate;
        double beta1, beta2, epsilon; /* Adam and AdamW */
        double momentum;              /* SGD */
        double weight_decay;          /* AdamW: decoupled */
        int schedule;                 /* enum option_schedule */
        int64_t warmup_steps;
        double final_factor;    /* cosine: ends at learning_rate times this */
        double plateau_factor;  /* plateau: the learning rate is multiplied by it */
        int64_t plateau_epochs; /* plateau: epochs without improvement before that */
        int64_t early_stop;     /* the same before training stops; 0: never */
        double clip;            /* global gradient norm; 0: off */
        uint64_t seed;
        int reduce;             /* enum option_reduce */
        int products;           /* enum option_matmul */
        int precision;          /* enum option_precision */
        int64_t bucket;         /* elements of one allreduce; any value, same weights */
        int64_t max_steps;      /* 0: no limit */
        int64_t threads;        /* OpenBLAS threads of a rank */
        bool allow_mixed_cores; /* ranks with different OpenBLAS core types */
    } train;
    struct {
        char dir[OPTIONS_TEXT];
        int64_t checkpoint_every;  /* epochs */
        double checkpoint_minutes; /* 0: off */
        double minutes;            /* 0: none */
        int64_t keep;              /* newest ones kept, in addition to the best */
        double sample_seconds;
        int64_t samples;     /* files after each epoch */
        bool hash_steps;     /* weights hash with each step's metrics */
        double hang_seconds; /* without progress of a rank; 0: never */
        char interface[256]; /* of the watchdog: name, address, subnet; "": automatic */
    } run;
    struct {
        double temperature;
        int64_t top_k; /* 0: off */
        double top_p;  /* 1: off */
        uint64_t seed;
        bool guard;         /* against silence and endless repetition */
        double max_silence; /* seconds without an onset that the guard allows */
    } sample;
};

/* Sets every member to its default. */
void options_defaults(struct options *options);

/* Reads an INI file over what is there; where it may come from is in base/text_file.h.
 * Errors: "FILE:LINE: ...". Relative paths in it are relative to the working directory,
 * and "~/" is the home folder. STATUS_MISUSE on any fault, and nothing is changed.
 *
 * Sections in brackets, "key = value", comments behind '#' (at the start of a line or
 * behind a blank) or ';' (at the start of a line). Text with '#' or blanks at its ends
 * stands in double quotes, with \" for a quote and \\ for a backslash. Each key once a
 * file. Integers are decimal digits; yes/no is also true/false, on/off, 1/0. Lines of at
 * most 4096 bytes, files of at most 2^20. */
enum status options_read_file(struct options *options, const char *path);

/* Its two halves, for ranks of which one reads the file and all take the text: the bytes
 * of the file into *text, which the caller frees, and the settings from them. */
enum status options_load_file(const char *path, char **text, size_t *size);
enum status options_read_typed(struct options *options, const char *text, size_t size,
                               const char *origin);

/* The same from text that options_text has made and a checkpoint has kept: "~/" is no
 * home folder in it, and what a section lacks is as it was before there was such a
 * setting. It has at most 2^20 bytes, like a file. `origin` stands for the path in
 * messages. */
enum status options_read_text(struct options *options, const char *text,
                              const char *origin);

/* The same from what a dataset has kept, over the defaults. It may hold nothing but what
 * the dataset decides: the keys of [data] that `tutti preprocess` has used (a column of
 * the table), and data.dataset and data.memory empty. Anything else is refused by
 * name, as is what options_check refuses; STATUS_FAILED, for the file is at fault. */
enum status options_read_dataset(struct options *options, const char *text,
                                 const char *origin);

/* Copies what a dataset decides, and nothing else. */
void options_take_dataset(struct options *options, const struct options *dataset);

/* Applies one "section.key=value". `origin` as in "--set". */
enum status options_set(struct options *options, const char *assignment,
                        const char *origin);

/* Applies one `--KEY VALUE` of the command line as SECTION.KEY, '-' in KEY read as '_'
 * ("--top-k" is sample.top_k). *known says whether the section has the key; if not,
 * nothing is set and STATUS_OK returned. */
enum status options_set_key(struct options *options, const char *section, const char *key,
                            const char *value, bool *known);

/* Is SECTION.KEY (with '-' read as '_') a setting? */
bool options_has(const char *section, const char *key);

/* The key of SECTION that a mistyped one probably meant, or NULL. */
const char *options_meant(const char *section, const char *typed);

/* Is SECTION.KEY (with '-' read as '_') a yes/no setting? For `--no-guard` and the like.
 */
bool options_is_boolean(const char *section, const char *key);

/* Checks what no single row can say: microbatches divide batch, split sums to 1, ... */
enum status options_check(const struct options *options);

/* The settings of some sections (bit mask) as INI text that options_read_text takes back
 * to the same values; the caller frees it. Numbers in the shortest form that reads back.
 */
enum {
    SECTION_DATA = 1,
    SECTION_MODEL = 2,
    SECTION_TRAIN = 4,
    SECTION_RUN = 8,
    SECTION_SAMPLE = 16,
    SECTION_ALL = 31
};
char *options_text(const struct options *options, unsigned sections);

/* A table "key  value  unit  default" of some sections; the default only where the value
 * is another. */
void options_print(const struct options *options, unsigned sections, FILE *out);

/* The help for every key of some sections: type, range, unit, default, meaning. */
void options_help(unsigned sections, FILE *out);

/* Compares two settings. Keys that may change between a run and its continuation (a
 * column of the table: run.*, train.epochs, train.max_steps, train.threads, sample.*,
 * ...) are left out. Each other difference is appended to *report as a line "train.batch:
 * 64 in the checkpoint, 32 asked for"; *count says how many. *report is NULL when there
 * is none; else the caller frees it. */
void options_difference(const struct options *before, const struct options *now,
                        char **report, int *count);

#endif
