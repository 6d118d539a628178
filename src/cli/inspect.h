/* inspect: what its files share. inspect.c has the command and finds out what a path is;
 * one file for each kind of thing; inspect_settings.c for configurations. */
#ifndef TUTTI_CLI_INSPECT_H
#define TUTTI_CLI_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/options.h"
#include "base/status.h"
#include "train/checkpoint.h"

/* How a thing is to be shown. */
struct inspect_request {
    const char *path;  /* as found: a checkpoint, a dataset's directory, a MIDI file */
    const char *other; /* --diff: the same kind of thing; else NULL */
    const char *shard; /* dataset: the shard that was named, "shard-0007.h5"; else NULL */
    bool json;
    bool verify;
};

/* Each prints to stdout. STATUS_FAILED with the message when the thing can't be read, or
 * `verify` finds a fault. */
enum status inspect_checkpoint(const struct inspect_request *request);
enum status inspect_dataset(const struct inspect_request *request);
enum status inspect_midi(const struct inspect_request *request);
enum status inspect_midi_bytes(const struct inspect_request *request,
                               const uint8_t *bytes, size_t size);
enum status inspect_checkpoint_difference(const struct inspect_request *request);
enum status inspect_dataset_difference(const struct inspect_request *request);

/* A table of several runs or checkpoints, the best validation loss first. One that can't
 * be read is told of below the others. STATUS_FAILED when none can. */
enum status inspect_runs(const char *const *paths, size_t count, bool json);

/* The validation loss of a checkpoint within an epoch, where train.max_steps has ended
 * its run. It is made after the checkpoint is written, so it is read from the run's
 * metrics.jsonl, beside the folder of `file`: from the line with the same weights hash.
 * NAN if there is none. */
double inspect_valid_within_epoch(const char *file, const struct checkpoint *checkpoint);

/* "  label            text\n": the line of a table of facts. */
void inspect_fact(const char *label, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* 1234567 as "1 234 567" into text[INSPECT_COUNT]. Returns text. */
enum { INSPECT_COUNT = 32 };
const char *inspect_count(uint64_t count, char *text);

/* One setting of two configurations. */
struct inspect_setting {
    char *section, *key;
    char *before, *after; /* the values */
};
struct inspect_settings {
    struct inspect_setting *items;
    size_t count;
};

/* The settings of some sections (SECTION_...) in both, in the table's order; with
 * only_different, those that differ. */
enum status inspect_settings_compare(const struct options *before,
                                     const struct options *after, unsigned sections,
                                     bool only_different, struct inspect_settings *out);
void inspect_settings_free(struct inspect_settings *settings);

/* The value `before` as a member "section.key": text, a number or true/false. */
void inspect_setting_json(struct json *json, const struct inspect_setting *setting);

/* Prints those of the settings that are not the defaults. */
enum status inspect_settings_print(const struct options *options, unsigned sections);

/* "key": {"data": {"shards": 64, ...}, ...}. */
enum status inspect_settings_json(struct json *json, const char *key,
                                  const struct options *options, unsigned sections);

/* A difference, as a table and as "settings": [{"setting": ..., "first": ..., "second":
 * ...}]. Returns how many differ in *count. */
enum status inspect_settings_difference(struct json *json, const struct options *first,
                                        const struct options *second, unsigned sections,
                                        size_t *count);

#endif
