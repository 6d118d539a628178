/* Shared by inspect*.c. inspect.c holds the command and recognises the kind of a path;
 * each kind has its own file; inspect_settings.c prints and compares configurations. */
#ifndef TUTTI_CLI_INSPECT_H
#define TUTTI_CLI_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/options.h"
#include "base/status.h"
#include "train/checkpoint.h"

/* The object to show, and how. */
struct inspect_request {
    const char *path;  /* resolved: a checkpoint, a dataset's directory, a MIDI file */
    const char *other; /* --diff: a path of the same kind; else NULL */
    const char *shard; /* dataset: the given shard, "shard-0007.h5"; else NULL */
    bool json;
    bool verify;
};

/* Each prints to stdout. STATUS_FAILED if the file can't be read or `verify` finds
 * damage. */
enum status inspect_checkpoint(const struct inspect_request *request);
enum status inspect_dataset(const struct inspect_request *request);
enum status inspect_midi(const struct inspect_request *request);
enum status inspect_midi_bytes(const struct inspect_request *request,
                               const uint8_t *bytes, size_t size);
enum status inspect_checkpoint_difference(const struct inspect_request *request);
enum status inspect_dataset_difference(const struct inspect_request *request);

/* Prints a table of several runs or checkpoints, sorted by ascending validation loss.
 * Unreadable ones follow, with the reason. STATUS_FAILED if none can be read. */
enum status inspect_runs(const char *const *paths, size_t count, bool json);

/* The validation loss of a checkpoint within an epoch, for a run that train.max_steps
 * ended there. It is computed after the checkpoint is written, so it is read from
 * metrics.jsonl in the folder above that of `file`, from the last line with the same
 * weights hash. NAN if there is none. */
double inspect_partial_epoch_loss(const char *file, const struct checkpoint *checkpoint);

/* Tempo, time signatures and track names of a file that was read: lines of a table, or
 * members of an open object. */
struct midi_file;
void inspect_print_metre(const struct midi_file *midi);
void inspect_metre_json(struct json *json, const struct midi_file *midi);

/* Prints "  label            text\n", one line of a table. */
void inspect_print_field(const char *label, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* 1234567 as "1 234 567" into text[INSPECT_COUNT_SIZE]. Returns text. */
enum { INSPECT_COUNT_SIZE = 32 };
const char *inspect_count(uint64_t count, char *text);

/* Prints how many notes the encoding left out or merged; nothing for an older dataset. */
struct dataset;
void inspect_print_lost_notes(const struct dataset *dataset);

/* The merged tokens of an encoding, if it has any (encode/bpe.h): how many there are of
 * those requested, and the first with their base tokens; or the array "merges", whose
 * element k has the names of the base tokens of "BPE k". */
struct encoding;
void inspect_print_merges(const struct encoding *encoding, int64_t requested);
void inspect_merges_json(struct json *json, const struct encoding *encoding);

/* A setting in two configurations. */
struct inspect_setting {
    char *section, *key;
    char *first, *second; /* the values */
};
struct inspect_settings {
    struct inspect_setting *items;
    size_t count;
};

/* Lists the settings in `sections` (SECTION_...) with both values, in the order of the
 * table of options; with only_different, lists only settings that differ. Free *out with
 * inspect_settings_free. */
enum status inspect_settings_compare(const struct options *first,
                                     const struct options *second, unsigned sections,
                                     bool only_different, struct inspect_settings *out);
void inspect_settings_free(struct inspect_settings *settings);

/* Writes the value `first` as a member "section.key": text, number or boolean. */
void inspect_setting_json(struct json *json, const struct inspect_setting *setting);

/* Prints the settings that differ from their defaults. */
enum status inspect_settings_print(const struct options *options, unsigned sections);

/* Writes "key": {"data": {"shards": 64, ...}, ...}. */
enum status inspect_settings_json(struct json *json, const char *key,
                                  const struct options *options, unsigned sections);

/* Prints the settings that differ, as a table, or with `json` as "settings": [{"setting":
 * ..., "first": ..., "second": ...}]. *count receives their number. */
enum status inspect_settings_difference(struct json *json, const struct options *first,
                                        const struct options *second, unsigned sections,
                                        size_t *count);

#endif
