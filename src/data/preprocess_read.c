/* preprocess_read: files -> pieces in the spill, and one record per file.
 *
 * A fault of a file, even one that appears only in encoding, is recorded as its outcome
 * and reason; a fault of the machine (the spill can't be written) is a failure. A rank
 * that fails exhausts the counter, so that the others soon reach the reduction in which
 * all ranks agree on the outcome.
 */
#include "preprocess_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spill.h"
#include "piece.h"
#include "base/array.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/path_escape.h"
#include "midi/midi.h"

enum { BATCH_MAX = 16, BATCHES_PER_RANK = 8 };

struct reader {
    struct preprocess *preprocess;
    struct midi_limits limits;
    struct midi_file midi;
    struct tokens tokens;
    struct progress progress;
    uint64_t bytes; /* read by this rank */
};

void records_free(struct records *records)
{
    free(records->items);
    pool_free(&records->reasons);
    *records = (struct records){0};
}

static enum status set_reason(struct reader *reader, struct record *record,
                              enum file_outcome outcome, const char *reason)
{
    record->outcome = (uint8_t)outcome;
    return pool_append(&reader->preprocess->records.reasons, reason, &record->reason);
}

/* A reason is listed beside its path, so the message's own "PATH: " is removed. */
static const char *without_path(const char *message, const char *path)
{
    size_t length = strlen(path);
    if (strncmp(message, path, length) == 0 && strncmp(message + length, ": ", 2) == 0)
        return message + length + 2;
    return message;
}

/* The reason is the message of the failed read; a very long path can remain in it. */
static enum status skip_unreadable(struct reader *reader, struct record *record,
                                   const char *path)
{
    char *reason = path_escape(without_path(status_message(), path));
    enum status status = reason ? set_reason(reader, record, FILE_SKIPPED, reason)
                                : status_fail(STATUS_FAILED, "out of memory");
    free(reason);
    return status;
}

static enum status skip_unopened(struct reader *reader, struct record *record)
{
    const struct scan_file *file = &reader->preprocess->scan.files[record->file];
    char reason[256];
    if (file->kind == SCAN_UNOPENABLE) {
        snprintf(reason, sizeof reason, "can't open the folder: %s",
                 strerror(file->error));
        return set_reason(reader, record, FILE_SKIPPED, reason);
    }
    if (file->kind == SCAN_DIRECTORY)
        return set_reason(reader, record, FILE_SKIPPED, "a folder, searched as such");
    return set_reason(reader, record, FILE_SKIPPED, "not in the split file");
}

static enum status spill_piece(struct reader *reader, struct record *record)
{
    const struct midi_file *midi = &reader->midi;
    const struct tokens *tokens = &reader->tokens;
    record->hash = notes_hash(&midi->notes);
    size_t size = tokens->count * sizeof *tokens->items;
    record->tokens_hash = hash128(tokens->items, size);
    record->token_hash = hash64(tokens->items, size);
    record->notes = midi->notes.count;
    record->tokens = tokens->count;
    record->spilled_tokens = tokens->count;
    encoding_count_lost(reader->preprocess->encoding, &midi->notes, tokens->items,
                        tokens->count, &record->lost);
    record->seconds = notes_duration(&midi->notes);
    record->tempo = midi->first_tempo;
    record->ticks_per_beat = midi->notes.ticks_per_beat;
    record->ticks_per_second = midi->notes.ticks_per_second;
    enum status status =
        spill_append(&reader->preprocess->spill, &midi->notes, midi_tempo_map(midi),
                     midi->start_tick, tokens, &record->spill_offset);
    if (status != STATUS_OK)
        return status;
    return set_reason(reader, record,
                      midi->outcome == MIDI_REPAIRED ? FILE_REPAIRED : FILE_OK,
                      midi->reason);
}

/* Repairs come first in the reason because they may be the cause. */
static enum status skip_piece(struct reader *reader, struct record *record,
                              const char *fault)
{
    char reason[2 * MIDI_REASON_SIZE];
    const char *repairs = reader->midi.reason;
    snprintf(reason, sizeof reason, "%s%s%s", repairs, *repairs ? "; " : "", fault);
    return set_reason(reader, record, FILE_SKIPPED, reason);
}

/* fault[size]: the limit that the prepared piece violates, or "". The piece's length is
 * measured to the last key release, without the pedal, unless notes were removed. */
static void check_piece(const struct reader *reader, const struct piece_changes *changes,
                        double seconds, char *fault, size_t size)
{
    const struct options *options = reader->preprocess->options;
    const struct notes *notes = &reader->midi.notes;
    *fault = '\0';
    if (changes->cut || changes->filtered)
        seconds = notes_duration(notes);
    if (notes->count == 0 && changes->filtered)
        snprintf(fault, size, "%s", piece_empty_reason(notes, changes));
    else if (notes->count < (uint64_t)options->data.min_notes)
        snprintf(fault, size, "too few notes: %zu (at least %lld)", notes->count,
                 (long long)options->data.min_notes);
    else if (seconds > options->data.max_seconds)
        snprintf(fault, size, "too long: %.1f seconds (at most %g)", seconds,
                 options->data.max_seconds);
}

static enum status read_piece(struct reader *reader, const uint8_t *bytes, size_t size,
                              struct record *record)
{
    const struct preprocess *preprocess = reader->preprocess;
    struct midi_file *midi = &reader->midi;
    enum status status = midi_read(bytes, size, &reader->limits, midi);
    if (status != STATUS_OK)
        return status;
    if (midi->outcome == MIDI_SKIPPED)
        return set_reason(reader, record, FILE_SKIPPED, midi->reason);
    double seconds = notes_duration(&midi->notes);
    struct piece_changes changes;
    status = piece_prepare(midi, preprocess->encoding, preprocess->options, &changes);
    if (status != STATUS_OK)
        return status;
    char fault[128];
    check_piece(reader, &changes, seconds, fault, sizeof fault);
    record->filtered = changes.filtered;
    if (*fault)
        return skip_piece(reader, record, fault);
    reader->tokens.count = 0;
    if (preprocess->encoding->encode(preprocess->encoding, &midi->notes,
                                     &reader->tokens) != STATUS_OK)
        return skip_piece(reader, record, status_message());
    if (reader->tokens.count == 0)
        return skip_piece(reader, record, piece_empty_reason(&midi->notes, &changes));
    return spill_piece(reader, record);
}

static enum status read_file(struct reader *reader, struct record *record)
{
    const struct scan_file *file = &reader->preprocess->scan.files[record->file];
    if (file->kind != SCAN_FILE || file->split == SCAN_SPLIT_UNLISTED)
        return skip_unopened(reader, record);
    char *path = scan_absolute(&reader->preprocess->scan, record->file);
    if (!path)
        return status_fail(STATUS_FAILED, "out of memory");
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum status status;
    if (file_read(path, reader->limits.max_bytes, &bytes, &size) != STATUS_OK) {
        status = skip_unreadable(reader, record, path);
    } else {
        record->bytes = size;
        reader->bytes += size;
        status = read_piece(reader, bytes, size, record);
    }
    free(bytes);
    free(path);
    return status;
}

static enum status read_batch(struct reader *reader, struct comm_counter *counter,
                              size_t first, size_t end)
{
    struct preprocess *preprocess = reader->preprocess;
    struct records *records = &preprocess->records;
    struct record *items = array_reserve(records->items, &records->capacity,
                                         records->count + (end - first), sizeof *items);
    if (!items)
        return STATUS_FAILED;
    records->items = items;
    for (size_t file = first; file < end; file++) {
        struct record *record = &records->items[records->count++];
        memset(record, 0, sizeof *record);
        record->file = file;
        record->rank = (uint32_t)comm_rank(preprocess->comm);
        record->split = preprocess->scan.files[file].split;
        comm_counter_serve(counter); /* so that no rank waits for a whole batch */
        enum status status = read_file(reader, record);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static void show_progress(struct reader *reader, size_t assigned)
{
    char rate[64];
    double seconds = clock_seconds() - reader->progress.started;
    snprintf(rate, sizeof rate, "%.1f MB/s per rank",
             (double)reader->bytes / 1e6 / (seconds > 1e-3 ? seconds : 1e-3));
    progress_update(&reader->progress, assigned, rate);
}

static size_t batch_size(size_t files, int ranks)
{
    size_t batch = files / ((size_t)ranks * BATCHES_PER_RANK);
    return batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : batch;
}

static enum status read_batches(struct reader *reader, struct comm_counter *counter)
{
    size_t files = reader->preprocess->scan.file_count;
    size_t batch = batch_size(files, comm_size(reader->preprocess->comm));
    for (;;) {
        int64_t fetched = comm_counter_fetch_add(counter, (int64_t)batch);
        if (fetched >= (int64_t)files)
            return STATUS_OK;
        size_t first = (size_t)fetched;
        size_t end = first + batch < files ? first + batch : files;
        show_progress(reader, first);
        enum status status = read_batch(reader, counter, first, end);
        if (status != STATUS_OK)
            return status;
    }
}

static enum status read_share(struct preprocess *preprocess, struct comm_counter *counter)
{
    const struct options *options = preprocess->options;
    struct reader reader = {.preprocess = preprocess};
    reader.limits = (struct midi_limits){.max_bytes = (uint64_t)options->data.max_bytes,
                                         .max_notes = (uint64_t)options->data.max_notes,
                                         .min_notes = (uint64_t)options->data.min_notes};
    progress_begin(&reader.progress, "reading", "files", preprocess->scan.file_count);
    enum status status = spill_create(preprocess->partial, comm_rank(preprocess->comm),
                                      &preprocess->spill);
    if (status == STATUS_OK)
        status = read_batches(&reader, counter);
    if (status == STATUS_OK)
        status = spill_close(&preprocess->spill);
    if (status != STATUS_OK)
        preprocess_stop_counter(counter);
    progress_end(&reader.progress);
    midi_free(&reader.midi);
    tokens_free(&reader.tokens);
    return status;
}

/* Sorts rank 0's gathered records by file; every file has exactly one. */
static enum status sort_gathered(struct preprocess *preprocess,
                                 const struct record *gathered, size_t count,
                                 const uint64_t *reason_base)
{
    struct records *records = &preprocess->records;
    struct record *items =
        array_reserve(records->items, &records->capacity, count + 1, sizeof *items);
    if (!items)
        return STATUS_FAILED;
    records->items = items;
    records->count = count;
    if (count != preprocess->scan.file_count)
        return status_fail(STATUS_FAILED, "%zu outcomes for %zu files", count,
                           preprocess->scan.file_count);
    for (size_t i = 0; i < count; i++) {
        struct record *record = &records->items[gathered[i].file];
        *record = gathered[i];
        record->reason += reason_base[record->rank];
    }
    return STATUS_OK;
}

/* base[r] = offset of rank r's part in the concatenation; [ranks + 1]. NULL if out of
 * memory. */
static uint64_t *prefix_sums(const size_t *sizes, int ranks)
{
    uint64_t *base = calloc((size_t)ranks + 1, sizeof *base);
    for (int rank = 0; base && rank < ranks; rank++)
        base[rank + 1] = base[rank] + sizes[rank];
    return base;
}

/* Takes ownership of `reasons`. */
static enum status merge_gathered(struct preprocess *preprocess, const uint8_t *rows,
                                  const size_t *row_sizes, uint8_t *reasons,
                                  const size_t *reason_sizes)
{
    int ranks = comm_size(preprocess->comm);
    uint64_t *row_base = prefix_sums(row_sizes, ranks);
    uint64_t *reason_base = prefix_sums(reason_sizes, ranks);
    enum status status = STATUS_FAILED;
    if (!row_base || !reason_base) {
        status_fail(STATUS_FAILED, "out of memory");
        free(reasons);
    } else {
        status = sort_gathered(preprocess, (const struct record *)(const void *)rows,
                               row_base[ranks] / sizeof(struct record), reason_base);
        pool_free(&preprocess->records.reasons);
        preprocess->records.reasons =
            (struct string_pool){.bytes = (char *)reasons,
                                 .size = reason_base[ranks],
                                 .capacity = reason_base[ranks]};
    }
    free(reason_base);
    free(row_base);
    return status;
}

static enum status gather_records(struct preprocess *preprocess)
{
    struct records *records = &preprocess->records;
    uint8_t *rows = NULL, *reasons = NULL;
    size_t *row_sizes = NULL, *reason_sizes = NULL;
    enum status status =
        comm_gather(preprocess->comm, records->items,
                    records->count * sizeof *records->items, &rows, &row_sizes);
    if (status == STATUS_OK)
        status = comm_gather(preprocess->comm, records->reasons.bytes,
                             records->reasons.size, &reasons, &reason_sizes);
    if (status == STATUS_OK && comm_rank(preprocess->comm) == 0)
        status = merge_gathered(preprocess, rows, row_sizes, reasons, reason_sizes);
    else
        free(reasons);
    free(reason_sizes);
    free(row_sizes);
    free(rows);
    return comm_agree(preprocess->comm, status);
}

enum status preprocess_read(struct preprocess *preprocess)
{
    struct comm_counter *counter = NULL;
    enum status status = comm_counter_open(preprocess->comm, &counter);
    if (status != STATUS_OK)
        return comm_agree(preprocess->comm, status);
    status = read_share(preprocess, counter);
    comm_counter_close(counter); /* rank 0 serves requests until all ranks close it */
    status = comm_agree(preprocess->comm, status);
    return status == STATUS_OK ? gather_records(preprocess) : status;
}
