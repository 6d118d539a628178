/* Shared by demo*.c: the state of one run of `tutti demo`. */
#ifndef TUTTI_CLI_DEMO_H
#define TUTTI_CLI_DEMO_H

#include <stdint.h>

#include "demo_corpus.h"
#include "base/owned_directory.h"
#include "base/status.h"

enum { DEMO_MICROBATCHES = 8, DEMO_COMMANDS_MAX = 8 };

struct demo {
    const char *directory;
    struct owned_directory owned; /* the folder, locked by us and our children */
    int64_t pieces, seed, epochs;
    int64_t ranks; /* 0: as many as cores */
    char ranks_text[16];
    double start_seconds; /* clock_seconds */
    struct demo_corpus corpus;
    char *commands[DEMO_COMMANDS_MAX]; /* as run; owned */
    int command_count;
    double model_loss, bigram_loss; /* nats per token on the validation pieces */
    double tokens;                  /* number of evaluated tokens */
};

/* DIRECTORY/name; the caller frees it. NULL if out of memory. */
char *demo_path(const struct demo *demo, const char *name);

/* Creates the demo's folder, or empties the folder of an earlier demo, and locks it.
 * Files that a demo does not create are never deleted: STATUS_MISUSE with a message that
 * names them. */
enum status demo_prepare_directory(struct demo *demo);
/* Called after training: removes the checkpoints within an epoch from the list of the
 * demo's files. A training run that was not stopped leaves none, so later files with such
 * names do not belong to the demo. */
enum status demo_mark_trained(struct demo *demo);
/* Writes train.conf. */
enum status demo_write_settings(const struct demo *demo);

/* Reads the JSON of `tutti evaluate` at `path`. STATUS_FAILED if it does not describe the
 * composed validation pieces. */
enum status demo_read_evaluation(struct demo *demo, const char *path);
/* Prints the report and writes it to demo.txt. */
enum status demo_report(const struct demo *demo);

#endif
