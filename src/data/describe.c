/* describe: writes descriptions of the datasets of an index or a shard as attributes, for
 * users who open the files with other programs. */
#include "schema.h"

#include "dataset.h"

struct description {
    const char *name, *unit, *text; /* unit: NULL if it has none */
};

/* Of the notes' durations, by data.pedal. */
static const char pedal_included[] = "length, sustain pedal included";
static const char pedal_ignored[] = "length, sustain pedal ignored";

static const struct description index_descriptions[] = {
    {"/settings", NULL, "the [data] section that the dataset was made with"},
    {"/vocabulary/names", NULL, "name of each token, by its number"},
    {"/vocabulary/hash", NULL, "fingerprint of the token names, encoding and grid"},
    {"/shards/pieces", NULL, "number of pieces, by shard and split"},
    {"/shards/notes", NULL, "number of notes, by shard and split"},
    {"/shards/tokens", NULL, "number of tokens, by shard and split"},
    {"/shards/seconds", "seconds", "length of all pieces, by shard and split"},
    {"/shards/hash", NULL, "fingerprint of each shard's pieces"},
    {"/files/path", NULL, "input file; a byte that is no text is written \\xHH"},
    {"/files/outcome", NULL, "index into the attribute names"},
    {"/files/reason", NULL,
     "how it was repaired, why it was skipped, 'of PATH' that it duplicates"},
    {"/files/hash_high", NULL, "fingerprint of the notes, upper 64 of 128 bits"},
    {"/files/hash_low", NULL, "fingerprint of the notes, lower 64 of 128 bits"},
    {"/files/bytes", "bytes", "size of the file; 0: not read"},
    {"/files/notes", NULL, "number of notes kept"},
    {"/files/seconds", "seconds", "when the last note kept ends"},
};

static const struct description shard_descriptions[] = {
    {"/pieces/path", NULL, "input file; a byte that is no text is written \\xHH"},
    {"/pieces/hash_high", NULL, "fingerprint of the notes, upper 64 of 128 bits"},
    {"/pieces/hash_low", NULL, "fingerprint of the notes, lower 64 of 128 bits"},
    {"/pieces/token_hash", NULL, "fingerprint (XXH3, 64 bits) of the tokens"},
    {"/pieces/split", NULL, "0 train, 1 valid, 2 test: index into the attribute names"},
    {"/pieces/seconds", "seconds", "when the last note ends"},
    {"/pieces/tempo", "microseconds per quarter note",
     "tempo at the start; 0: ticks are of real time (SMPTE)"},
    {"/pieces/ticks_per_beat", "ticks per quarter note",
     "resolution of the ticks; 0: see ticks_per_second"},
    {"/pieces/ticks_per_second", "ticks per second",
     "resolution of the ticks of real time (SMPTE); 0: see ticks_per_beat"},
    {"/pieces/note_first", NULL, "its first row in /notes"},
    {"/pieces/note_count", NULL, "its number of rows in /notes"},
    {"/pieces/token_first", NULL, "its first row in /tokens"},
    {"/pieces/token_count", NULL, "its number of rows in /tokens"},
    {"/notes/start", "seconds", "onset, from the start of the piece"},
    {"/notes/duration", "seconds", pedal_included},
    {"/notes/start_tick", "ticks", "onset, from the start of the piece"},
    {"/notes/duration_ticks", "ticks", pedal_included},
    {"/notes/pitch", NULL, "MIDI note number, 0 to 127; 60 is middle C"},
    {"/notes/velocity", NULL, "MIDI velocity, 1 to 127"},
    {"/notes/program", NULL, "MIDI program, 0 to 127, when the note began"},
    {"/notes/channel", NULL, "MIDI channel, 0 to 15; 9 is usually percussion"},
    {"/notes/port", NULL, "MIDI port; 0 where the file names none"},
    {"/notes/percussion", NULL, "1: the pitch is a drum; 0: a melody"},
    {"/notes/track", NULL, "track chunk of the input file, from 0"},
    {"/tokens", NULL, "numbers of tokens, as in /vocabulary/names of index.h5"},
};

static const char *description_text(const struct description *description, bool pedal)
{
    return description->text == pedal_included && !pedal ? pedal_ignored
                                                         : description->text;
}

static enum status describe(struct h5_file *file, const struct description *rows,
                            size_t count, bool pedal)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const struct description *row = &rows[i];
        status =
            h5_set_text(file, row->name, "description", description_text(row, pedal));
        if (status == STATUS_OK && row->unit)
            status = h5_set_text(file, row->name, "unit", row->unit);
    }
    return status;
}

enum status describe_index(struct h5_file *file)
{
    return describe(file, index_descriptions,
                    sizeof index_descriptions / sizeof *index_descriptions, true);
}

enum status describe_shard(struct h5_file *file, bool pedal)
{
    const char *names[SPLITS];
    for (int split = 0; split < SPLITS; split++)
        names[split] = split_name((enum split)split);
    enum status status =
        describe(file, shard_descriptions,
                 sizeof shard_descriptions / sizeof *shard_descriptions, pedal);
    return status == STATUS_OK
               ? h5_set_texts(file, "/pieces/split", "names", SPLITS, names)
               : status;
}
