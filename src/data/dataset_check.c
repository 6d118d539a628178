/* dataset_check: range checks of the values in an index and in a shard. Checksums and
 * hashes only prove that the values are as written. The limits are far above any corpus,
 * and low enough that all sums and products of them fit into 64 bits. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dataset_internal.h"

enum { SHARDS_MAX = 9999, DATA_BYTE_MAX = 127, CHANNEL_MAX = 15, DIVISION_MAX = 1 << 15 };

static const uint64_t COUNT_MAX = UINT64_C(1) << 40; /* tokens, notes, pieces, files */
static const double SECONDS_MAX = 1e12;              /* 30 000 years */
static const double NOTE_SECONDS_MAX = 1e10;
static const double TEMPO_MAX = 1 << 24; /* microseconds; 24 bits in a MIDI file */

/* ---- the index ---- */

static enum status count_out_of_range(const struct h5_file *file, const char *name,
                                      size_t shard, uint64_t found)
{
    return status_fail(STATUS_FAILED,
                       "%s: /shards/%s: %" PRIu64 " in row %zu (at most %" PRIu64
                       " in all, and 0 without pieces)",
                       h5_path(file), name, found, shard, COUNT_MAX);
}

/* The limit holds for a table's sum as well as for each entry. */
static enum status check_table(const struct h5_file *file, const char *name,
                               const struct dataset *dataset, size_t member)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < dataset->shard_count; i++) {
        uint64_t counts[SPLITS];
        memcpy(counts, (const uint8_t *)&dataset->shards[i] + member, sizeof counts);
        for (int split = 0; split < SPLITS; split++) {
            bool empty = dataset->shards[i].pieces[split] == 0;
            if (counts[split] > COUNT_MAX - sum || (empty && counts[split] > 0))
                return count_out_of_range(file, name, i, counts[split]);
            sum += counts[split];
        }
    }
    return STATUS_OK;
}

static enum status check_seconds(const struct h5_file *file,
                                 const struct dataset *dataset)
{
    for (size_t i = 0; i < dataset->shard_count; i++)
        for (int split = 0; split < SPLITS; split++) {
            double found = dataset->shards[i].seconds[split];
            if (!(found >= 0 && found <= SECONDS_MAX))
                return status_fail(
                    STATUS_FAILED,
                    "%s: /shards/seconds: %g in row %zu (expected 0 to %g)",
                    h5_path(file), found, i, SECONDS_MAX);
        }
    return STATUS_OK;
}

enum status dataset_check_shard_count(const struct h5_file *file, size_t count)
{
    if (count <= SHARDS_MAX)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: /shards/pieces: %zu shards (at most %d)",
                       h5_path(file), count, SHARDS_MAX);
}

enum status dataset_check_counts(const struct h5_file *file,
                                 const struct dataset *dataset)
{
    enum status status =
        check_table(file, "pieces", dataset, offsetof(struct split_counts, pieces));
    if (status == STATUS_OK)
        status =
            check_table(file, "notes", dataset, offsetof(struct split_counts, notes));
    if (status == STATUS_OK)
        status =
            check_table(file, "tokens", dataset, offsetof(struct split_counts, tokens));
    return status == STATUS_OK ? check_seconds(file, dataset) : status;
}

static enum status check_attribute(const struct h5_file *file, const char *attribute,
                                   uint64_t expected)
{
    int64_t found = 0;
    enum status status = h5_get_i64(file, "/", attribute, &found);
    if (status == STATUS_OK && (found < 0 || (uint64_t)found != expected))
        status = status_fail(STATUS_FAILED,
                             "%s: /: attribute %s: %" PRId64 " (expected %" PRIu64 ")",
                             h5_path(file), attribute, found, expected);
    return status;
}

enum status dataset_check_totals(const struct h5_file *file,
                                 const struct dataset *dataset)
{
    uint64_t files = 0, pieces = 0, notes = 0, tokens = 0;
    for (int outcome = 0; outcome < FILE_OUTCOMES; outcome++)
        files += dataset->outcomes[outcome];
    for (int split = 0; split < SPLITS; split++) {
        pieces += dataset->total.pieces[split];
        notes += dataset->total.notes[split];
        tokens += dataset->total.tokens[split];
    }
    enum status status = check_attribute(file, "files", files);
    if (status == STATUS_OK)
        status = check_attribute(file, "pieces", pieces);
    if (status == STATUS_OK)
        status = check_attribute(file, "notes", notes);
    return status == STATUS_OK ? check_attribute(file, "tokens", tokens) : status;
}

enum status dataset_check_files(const struct h5_file *file,
                                const struct dataset_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        double seconds = files->seconds[i];
        bool counts_valid = files->bytes[i] <= INT64_MAX && files->notes[i] <= COUNT_MAX;
        if (!counts_valid || !(seconds >= 0 && seconds <= SECONDS_MAX))
            return status_fail(STATUS_FAILED,
                               "%s: /files: row %zu has %" PRIu64 " bytes, %" PRIu64
                               " notes, %g seconds: out of range",
                               h5_path(file), i, files->bytes[i], files->notes[i],
                               seconds);
    }
    return STATUS_OK;
}

/* ---- token names ---- */

enum status dataset_check_names(const struct h5_file *file,
                                const struct encoding *encoding)
{
    size_t count = 0;
    char **names = NULL, name[64];
    enum status status = h5_read_texts(file, "/vocabulary/names", &count, &names);
    if (status == STATUS_OK && count != encoding->vocabulary)
        status =
            status_fail(STATUS_FAILED, "%s: /vocabulary/names: %zu names (expected %zu)",
                        h5_path(file), count, encoding->vocabulary);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        encoding->token_name(encoding, (token)i, name, sizeof name);
        if (strcmp(names[i], name) != 0)
            status =
                status_fail(STATUS_FAILED, "%s: /vocabulary/names: row %zu is not \"%s\"",
                            h5_path(file), i, name);
    }
    free(names);
    return status;
}

/* ---- a shard ---- */

enum status dataset_check_identity(const struct h5_file *file, size_t index,
                                   uint64_t hash)
{
    char text[64] = "", expected[HASH64_TEXT];
    enum status status = check_attribute(file, "shard", index);
    if (status == STATUS_OK)
        status = h5_get_text(file, "/", "shard_hash", text, sizeof text);
    if (status == STATUS_OK && strcmp(text, hash64_text(hash, expected)) != 0)
        status = status_fail(STATUS_FAILED,
                             "%s: /: attribute shard_hash: \"%s\" (expected \"%s\")",
                             h5_path(file), text, expected);
    return status;
}

static bool in_range(double value, double maximum)
{
    return value >= 0 && value <= maximum; /* false for NaN */
}

const char *dataset_invalid_piece_field(const struct piece_row *row)
{
    if (!in_range(row->seconds, SECONDS_MAX))
        return "the seconds";
    if (!in_range(row->tempo, TEMPO_MAX))
        return "the tempo";
    if (!in_range(row->ticks_per_beat, DIVISION_MAX) ||
        !in_range(row->ticks_per_second, DIVISION_MAX))
        return "the division";
    return NULL;
}

const char *dataset_invalid_note_field(const struct note *note)
{
    if (!in_range(note->start, NOTE_SECONDS_MAX) ||
        !in_range(note->duration, NOTE_SECONDS_MAX))
        return "the time of a note";
    if (note->pitch > DATA_BYTE_MAX)
        return "the pitch of a note";
    if (note->velocity < 1 || note->velocity > DATA_BYTE_MAX)
        return "the velocity of a note";
    if (note->program > DATA_BYTE_MAX || note->channel > CHANNEL_MAX)
        return "the program or channel of a note";
    return note->percussion > 1 ? "the percussion mark of a note" : NULL;
}
