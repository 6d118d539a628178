/* ingest_shards: the plan's pieces, from the spills into shards.
 *
 * A shard is written column by column in parts of a bounded number of notes; a part is
 * whole chunks of the file, so no chunk is touched twice.
 */
#include "ingest_internal.h"

#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "tutti/h5.h"
#include "tutti/progress.h"

struct result { /* of one shard, as sent to rank 0 */
    uint64_t shard, hash;
    struct dataset_shard counts;
};

struct writer {
    struct ingest *ingest;
    struct spill_reader spills;
    struct note *notes; /* PART_NOTES */
    token *tokens;      /* PART_TOKENS */
    void *packed;       /* a column of either */
    struct result *results;
    size_t result_count;
};

static enum status out_of_memory(void)
{
    return status_fail(STATUS_FAILED, "out of memory while writing the shards");
}

static enum status write_notes_part(const struct writer *writer, struct h5_file *file,
                                    size_t first, size_t count)
{
    enum status status = STATUS_OK;
    for (const struct column *column = note_columns; column->name; column++) {
        column_pack(column, writer->notes, sizeof *writer->notes, count, writer->packed);
        status =
            h5_write_part(file, column->name, column->type, first, count, writer->packed);
        if (status != STATUS_OK)
            break;
    }
    return status;
}

static enum status make_notes(struct h5_file *file, size_t count)
{
    enum status status = STATUS_OK;
    for (const struct column *column = note_columns; column->name; column++)
        if (status == STATUS_OK)
            status = h5_make(file, column->name, column->type, count);
    return status;
}

static enum status write_notes(struct writer *writer, struct h5_file *file,
                               const struct record *pieces, size_t count, size_t total)
{
    enum status status = make_notes(file, total);
    size_t written = 0, have = 0;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        for (size_t done = 0; done < pieces[i].notes && status == STATUS_OK;) {
            size_t rest = pieces[i].notes - done, room = PART_NOTES - have;
            size_t take = rest < room ? rest : room;
            status = spill_read(&writer->spills, (int)pieces[i].rank,
                                pieces[i].spilled + done * sizeof(struct note),
                                take * sizeof(struct note), writer->notes + have);
            done += take;
            have += take;
            if (status == STATUS_OK && have == PART_NOTES) {
                status = write_notes_part(writer, file, written, have);
                written += have;
                have = 0;
            }
        }
    }
    return status == STATUS_OK ? write_notes_part(writer, file, written, have) : status;
}

static enum status write_tokens(struct writer *writer, struct h5_file *file,
                                const struct record *pieces, size_t count, size_t total)
{
    enum status status = h5_make(file, "/tokens", H5_U16, total);
    size_t written = 0, have = 0;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        uint64_t offset = pieces[i].spilled + pieces[i].notes * sizeof(struct note);
        for (size_t done = 0; done < pieces[i].tokens && status == STATUS_OK;) {
            size_t rest = pieces[i].tokens - done, room = PART_TOKENS - have;
            size_t take = rest < room ? rest : room;
            status = spill_read(&writer->spills, (int)pieces[i].rank,
                                offset + done * sizeof(token), take * sizeof(token),
                                writer->tokens + have);
            done += take;
            have += take;
            if (status == STATUS_OK && have == PART_TOKENS) {
                status =
                    h5_write_part(file, "/tokens", H5_U16, written, have, writer->tokens);
                written += have;
                have = 0;
            }
        }
    }
    if (status != STATUS_OK)
        return status;
    return h5_write_part(file, "/tokens", H5_U16, written, have, writer->tokens);
}

static struct piece_row *piece_rows(const struct record *pieces, size_t count)
{
    struct piece_row *rows = calloc(count + 1, sizeof *rows);
    uint64_t notes = 0, tokens = 0;
    for (size_t i = 0; rows && i < count; i++) {
        const struct record *piece = &pieces[i];
        rows[i] = (struct piece_row){
            .hash_high = piece->hash.high,
            .hash_low = piece->hash.low,
            .token_hash = piece->token_hash,
            .note_first = notes,
            .note_count = piece->notes,
            .token_first = tokens,
            .token_count = piece->tokens,
            .seconds = piece->seconds,
            .tempo = piece->tempo,
            .ticks_per_beat = piece->ticks_per_beat,
            .ticks_per_second = piece->ticks_per_second,
            .split = piece->split,
        };
        notes += piece->notes;
        tokens += piece->tokens;
    }
    return rows;
}

static enum status write_piece_columns(struct h5_file *file, const struct piece_row *rows,
                                       size_t count)
{
    void *packed = malloc((count + 1) * sizeof(uint64_t));
    if (!packed)
        return out_of_memory();
    enum status status = STATUS_OK;
    for (const struct column *column = piece_columns; column->name; column++) {
        column_pack(column, rows, sizeof *rows, count, packed);
        if (status == STATUS_OK)
            status = h5_write(file, column->name, column->type, 1, &count, packed);
    }
    free(packed);
    return status;
}

static enum status write_piece_paths(const struct ingest *ingest, struct h5_file *file,
                                     const struct record *pieces, size_t count)
{
    const char **paths = malloc((count + 1) * sizeof *paths);
    if (!paths)
        return out_of_memory();
    for (size_t i = 0; i < count; i++)
        paths[i] = scan_path(&ingest->scan, pieces[i].file);
    enum status status = h5_write_texts(file, "/pieces/path", count, paths);
    free(paths);
    return status;
}

static void count_pieces(const struct piece_row *rows, size_t count,
                         struct dataset_shard *counts)
{
    *counts = (struct dataset_shard){0};
    for (size_t i = 0; i < count; i++) {
        counts->pieces[rows[i].split]++;
        counts->notes[rows[i].split] += rows[i].note_count;
        counts->tokens[rows[i].split] += rows[i].token_count;
        counts->seconds[rows[i].split] += rows[i].seconds;
    }
}

static enum status write_attributes(struct h5_file *file, size_t shard, uint64_t hash)
{
    char text[HASH64_TEXT];
    enum status status = h5_set_text(file, "/", "format", SHARD_FORMAT);
    if (status == STATUS_OK)
        status = h5_set_i64(file, "/", "format_version", DATASET_FORMAT_VERSION);
    if (status == STATUS_OK)
        status = h5_set_i64(file, "/", "shard", (int64_t)shard);
    if (status == STATUS_OK)
        status = h5_set_text(file, "/", "shard_hash", hash64_text(hash, text));
    return status;
}

static uint64_t sum_of(const uint64_t counts[SPLITS])
{
    return counts[SPLIT_TRAIN] + counts[SPLIT_VALID] + counts[SPLIT_TEST];
}

static enum status fill_shard(struct writer *writer, struct h5_file *file, size_t shard,
                              struct result *result)
{
    const struct ingest *ingest = writer->ingest;
    const struct record *pieces = ingest->kept + ingest->shard_first[shard];
    size_t count = ingest->shard_first[shard + 1] - ingest->shard_first[shard];
    struct piece_row *rows = piece_rows(pieces, count);
    if (!rows)
        return out_of_memory();
    count_pieces(rows, count, &result->counts);
    result->shard = shard;
    result->hash = shard_hash(rows, count);
    enum status status = write_attributes(file, shard, result->hash);
    if (status == STATUS_OK)
        status = write_piece_columns(file, rows, count);
    if (status == STATUS_OK)
        status = write_piece_paths(ingest, file, pieces, count);
    if (status == STATUS_OK)
        status = write_notes(writer, file, pieces, count, sum_of(result->counts.notes));
    if (status == STATUS_OK)
        status = write_tokens(writer, file, pieces, count, sum_of(result->counts.tokens));
    free(rows);
    return status;
}

static enum status write_shard(struct writer *writer, size_t shard)
{
    char *path = shard_path(writer->ingest->partial, shard);
    if (!path)
        return out_of_memory();
    struct h5_file *file = NULL;
    enum status status = h5_create(path, &file);
    free(path);
    if (status != STATUS_OK)
        return status;
    status = fill_shard(writer, file, shard, &writer->results[writer->result_count]);
    if (status != STATUS_OK) {
        h5_abandon(file);
        return status;
    }
    writer->result_count++;
    return h5_close_unsynced(file);
}

static enum status write_taken(struct writer *writer, struct comm_counter *counter)
{
    int64_t shards = writer->ingest->options->data.shards;
    struct progress progress;
    progress_begin(&progress, "writing", "shards", (uint64_t)shards);
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        int64_t shard = comm_next(counter, 1);
        if (shard >= shards)
            break;
        progress_update(&progress, (uint64_t)shard, NULL);
        status = write_shard(writer, (size_t)shard);
    }
    progress_end(&progress);
    return status;
}

static enum status write_share(struct writer *writer, struct comm_counter *counter)
{
    size_t shards = (size_t)writer->ingest->options->data.shards;
    writer->notes = malloc(PART_NOTES * sizeof *writer->notes);
    writer->tokens = malloc(PART_TOKENS * sizeof *writer->tokens);
    writer->packed = malloc(PART_NOTES * sizeof(uint64_t));
    writer->results = calloc(shards, sizeof *writer->results);
    spill_reader_open(writer->ingest->partial, &writer->ingest->spill,
                      comm_rank(writer->ingest->comm), &writer->spills);
    enum status status = STATUS_FAILED;
    if (writer->notes && writer->tokens && writer->packed && writer->results)
        status = write_taken(writer, counter);
    else
        out_of_memory();
    if (status != STATUS_OK)
        ingest_stop_counter(counter);
    spill_reader_close(&writer->spills);
    free(writer->packed);
    free(writer->tokens);
    free(writer->notes);
    return status;
}

static enum status take_results(struct ingest *ingest, const struct result *results,
                                size_t count)
{
    size_t shards = (size_t)ingest->options->data.shards;
    ingest->shards = calloc(shards, sizeof *ingest->shards);
    ingest->shard_hashes = calloc(shards, sizeof *ingest->shard_hashes);
    if (!ingest->shards || !ingest->shard_hashes)
        return out_of_memory();
    if (count != shards)
        return status_fail(STATUS_FAILED, "%zu of %zu shards were written", count,
                           shards);
    for (size_t i = 0; i < count; i++) {
        ingest->shards[results[i].shard] = results[i].counts;
        ingest->shard_hashes[results[i].shard] = results[i].hash;
    }
    return STATUS_OK;
}

static enum status gather_results(struct ingest *ingest, const struct writer *writer)
{
    uint8_t *all = NULL;
    size_t *sizes = NULL, size = 0;
    enum status status =
        comm_gather(ingest->comm, writer->results,
                    writer->result_count * sizeof *writer->results, &all, &sizes);
    if (status == STATUS_OK && comm_rank(ingest->comm) == 0) {
        for (int rank = 0; rank < comm_size(ingest->comm); rank++)
            size += sizes[rank];
        status = take_results(ingest, (const struct result *)(const void *)all,
                              size / sizeof(struct result));
    }
    free(sizes);
    free(all);
    return comm_agree(ingest->comm, status);
}

enum status ingest_write_shards(struct ingest *ingest)
{
    struct comm_counter *counter = NULL;
    enum status status = comm_counter_open(ingest->comm, &counter);
    if (status != STATUS_OK)
        return comm_agree(ingest->comm, status);
    struct writer writer = {.ingest = ingest};
    status = write_share(&writer, counter);
    comm_counter_close(counter); /* rank 0 answers the others until they are through */
    status = comm_agree(ingest->comm, status);
    if (status == STATUS_OK)
        status = gather_results(ingest, &writer);
    free(writer.results);
    return status;
}
