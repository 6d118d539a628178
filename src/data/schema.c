/* schema: see the header. */
#include "schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

const struct column note_columns[] = {
    {"/notes/start", H5_F64, offsetof(struct note, start)},
    {"/notes/duration", H5_F64, offsetof(struct note, duration)},
    {"/notes/start_tick", H5_U32, offsetof(struct note, start_tick)},
    {"/notes/duration_ticks", H5_U32, offsetof(struct note, duration_ticks)},
    {"/notes/pitch", H5_U8, offsetof(struct note, pitch)},
    {"/notes/velocity", H5_U8, offsetof(struct note, velocity)},
    {"/notes/program", H5_U8, offsetof(struct note, program)},
    {"/notes/channel", H5_U8, offsetof(struct note, channel)},
    {"/notes/track", H5_U16, offsetof(struct note, track)},
    {"/notes/port", H5_U8, offsetof(struct note, port)},
    {"/notes/percussion", H5_U8, offsetof(struct note, percussion)},
    {NULL, H5_U8, 0},
};

const struct column token_column = {"/tokens", H5_U16, 0};

const struct column piece_columns[] = {
    {"/pieces/hash_high", H5_U64, offsetof(struct piece_row, hash_high)},
    {"/pieces/hash_low", H5_U64, offsetof(struct piece_row, hash_low)},
    {"/pieces/token_hash", H5_U64, offsetof(struct piece_row, token_hash)},
    {"/pieces/split", H5_U8, offsetof(struct piece_row, split)},
    {"/pieces/seconds", H5_F64, offsetof(struct piece_row, seconds)},
    {"/pieces/tempo", H5_F64, offsetof(struct piece_row, tempo)},
    {"/pieces/ticks_per_beat", H5_F64, offsetof(struct piece_row, ticks_per_beat)},
    {"/pieces/ticks_per_second", H5_F64, offsetof(struct piece_row, ticks_per_second)},
    {"/pieces/note_first", H5_U64, offsetof(struct piece_row, note_first)},
    {"/pieces/note_count", H5_U64, offsetof(struct piece_row, note_count)},
    {"/pieces/token_first", H5_U64, offsetof(struct piece_row, token_first)},
    {"/pieces/token_count", H5_U64, offsetof(struct piece_row, token_count)},
    {NULL, H5_U8, 0},
};

/* One loop per size, so that each memcpy compiles to a move. */
#define PACK(bytes)                                                                      \
    case bytes:                                                                          \
        _Pragma("GCC unroll 8") for (size_t i = 0; i < count; i++)                       \
            memcpy(to + i * (bytes), from + i * row_size, bytes);                        \
        break

#define UNPACK(bytes)                                                                    \
    case bytes:                                                                          \
        for (size_t i = 0; i < count; i++)                                               \
            memcpy(to + i * row_size, from + i * (bytes), bytes);                        \
        break

void column_pack(const struct column *column, const void *rows, size_t row_size,
                 size_t count, void *packed)
{
    const uint8_t *from = (const uint8_t *)rows + column->offset;
    uint8_t *to = packed;
    switch (h5_type_size(column->type)) {
        PACK(1);
        PACK(2);
        PACK(4);
        PACK(8);
    }
}

void column_unpack(const struct column *column, const void *packed, size_t count,
                   void *rows, size_t row_size)
{
    const uint8_t *from = packed;
    uint8_t *to = (uint8_t *)rows + column->offset;
    switch (h5_type_size(column->type)) {
        UNPACK(1);
        UNPACK(2);
        UNPACK(4);
        UNPACK(8);
    }
}

/* Chained, so that the rows need not be contiguous. */
uint64_t shard_hash(const struct piece_row *rows, size_t count)
{
    uint64_t hash = count;
    for (size_t i = 0; i < count; i++) {
        uint64_t fields[] = {hash,
                             rows[i].hash_high,
                             rows[i].hash_low,
                             rows[i].split,
                             rows[i].note_count,
                             rows[i].token_count,
                             rows[i].token_hash};
        hash = hash64(fields, sizeof fields);
    }
    return hash;
}

uint64_t dataset_hash_of(uint64_t vocabulary_hash, const uint64_t *shard_hashes,
                         size_t shards)
{
    uint64_t fields[] = {vocabulary_hash, shards,
                         hash64(shard_hashes, shards * sizeof *shard_hashes)};
    return hash64(fields, sizeof fields);
}

uint64_t settings_hash_of(uint64_t dataset_hash, const char *settings)
{
    uint64_t fields[] = {dataset_hash, hash64(settings, strlen(settings))};
    return hash64(fields, sizeof fields);
}

char *shard_path(const char *dataset, size_t index)
{
    return path_format("%s/shard-%04zu.h5", dataset, index);
}

char *dataset_file_names(size_t shards)
{
    if (shards == 0)
        return path_format(INDEX_NAME "\n");
    return path_format(INDEX_NAME "\nshard-{0000..%04zu}.h5\n", shards - 1);
}
