/* make_seeds TARGET DIR: the seed corpus of a fuzz target, made with the program's own
 * writers. make_seeds dictionary FILE: libFuzzer's dictionary of all settings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../midi_make.h"
#include "encoders.h"
#include "../pieces.h"
#include "base/file.h"
#include "base/options_table.h"
#include "base/status.h"
#include "demo/composer.h"
#include "encode/encoding.h"

struct seeds {
    const char *folder;
    int count;
    enum status status;
};

static void add_seed(struct seeds *seeds, const void *bytes, size_t size)
{
    char *path = path_format("%s/seed-%03d", seeds->folder, seeds->count++);
    if (seeds->status == STATUS_OK)
        seeds->status = path ? file_write(path, bytes, size)
                             : status_fail(STATUS_FAILED, "out of memory");
    free(path);
}

/* ---- midi: every kind of event, format and division, in RIFF or not, cut or not ---- */

static struct bytes wrap_in_riff(const struct bytes *inside)
{
    struct bytes bytes = {0};
    put_bytes(&bytes, "RIFF\0\0\0\0RMIDdata", 16);
    PUT(&bytes, (uint8_t)inside->count, (uint8_t)(inside->count >> 8), 0, 0);
    put_bytes(&bytes, inside->items, inside->count);
    return bytes;
}

static void make_midi(struct seeds *seeds)
{
    enum { SEEDS = 64 };
    for (int seed = 0; seed < SEEDS; seed++) {
        struct bytes bytes = {0};
        put_random_file(&bytes, (uint64_t)seed + 1, 0);
        if (seed % 8 == 7) {
            struct bytes wrapped = wrap_in_riff(&bytes);
            free_bytes(&bytes);
            bytes = wrapped;
        }
        if (seed % 4 == 3)
            bytes.count -= bytes.count / 5;
        add_seed(seeds, bytes.items, bytes.count);
        free_bytes(&bytes);
    }
}

/* ---- config: all settings, each section, each setting alone and as --set ---- */

static void add_setting(struct seeds *seeds, const struct option_row *row,
                        const char *value)
{
    char *text = path_format("[%s]\n%s = %s # %s\n\x01%s.%s=%s\x01%s=%s", row->section,
                             row->key, value, row->unit ? row->unit : "", row->section,
                             row->key, value, row->key, value);
    if (text)
        add_seed(seeds, text, strlen(text));
    free(text);
}

static void make_config(struct seeds *seeds)
{
    struct options options;
    options_defaults(&options);
    for (unsigned sections = 1; sections <= SECTION_ALL; sections++) {
        if ((sections & (sections - 1)) && sections != SECTION_ALL)
            continue;
        char *text = options_text(&options, sections);
        if (text)
            add_seed(seeds, text, strlen(text));
        free(text);
    }
    for (size_t i = 0; i < option_row_count; i++)
        add_setting(seeds, &option_rows[i], option_rows[i].default_value);
    const struct option_row *dir = option_find("run", "dir");
    add_setting(seeds, dir, "\"a \\\"b\\\" \\\\ # c \"");
    add_setting(seeds, dir, "~/runs/\xc3\xa9\xff\\x41");
}

static void write_word(FILE *out, const char *word)
{
    if (*word == '\0')
        return;
    putc('"', out);
    for (; *word; word++)
        fprintf(out, strchr("\"\\", *word) ? "\\%c" : "%c", *word);
    fprintf(out, "\"\n");
}

static void write_words(FILE *out, const struct option_row *row)
{
    char name[128];
    write_word(out, row->key);
    write_word(out, row->default_value);
    for (size_t i = 0; row->words && row->words[i]; i++)
        write_word(out, row->words[i]);
    snprintf(name, sizeof name, "%s.%s=", row->section, row->key);
    write_word(out, name);
}

static enum status make_dictionary(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return status_fail(STATUS_FAILED, "out of memory");
    for (size_t i = 0; option_sections[i]; i++)
        fprintf(out, "\"[%s]\\x0a\"\n", option_sections[i]);
    for (size_t i = 0; i < option_row_count; i++)
        write_words(out, &option_rows[i]);
    fclose(out);
    enum status status = file_write(path, text, size);
    free(text);
    return status;
}

/* ---- split_file ---- */

static void make_split_file(struct seeds *seeds)
{
    static const char *const lists[] = {
        "corpus/a.mid\ttrain\ncorpus/b.mid\tvalid\ncorpus/sub/a.mid\ttest\n",
        "\xEF\xBB\xBF./corpus//a.mid\ttrain\r\nsub/a.mid\tvalid\r\n\r\nb.mid\ttest\r\n",
        "other/sub/a.mid\ttrain\ncorpus/sub/sub/a.mid\ttrain\nsub/a.mid\tvalid\n",
        "\xff.mid\ttrain\n\\xFF.mid\ttest\nt\tab.mid\ttrain\n\\x09ab.mid\ttrain\n",
        "corpus/a.mid\ttrain\na.mid\ttrain\n",
        "corpus/a.mid\ttrain\ncorpus/b.mid\ttest\n./corpus/a.mid\tvalid\n",
        "c d.mid\ttest\n\xc3\xa9.mid\tvalid\n.a.mid\ttrain",
        "",
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        add_seed(seeds, lists[i], strlen(lists[i]));
}

/* ---- tokens: composed and random pieces in every encoding and grid ---- */

static enum status make_notes(int piece, struct notes *notes)
{
    struct composer *composer = NULL;
    struct composition composition = {0};
    if (piece % 2) {
        struct dice dice = {.seed = 1, .piece = (uint64_t)piece};
        random_piece(&dice, 40, 10, 110, notes);
        return STATUS_OK;
    }
    enum status status = composer_create(&composer);
    if (status == STATUS_OK)
        status = composer_compose(composer, 1, (uint64_t)piece, &composition);
    *notes = composition.notes;
    composer_free(composer);
    return status;
}

static void make_tokens(struct seeds *seeds)
{
    enum { SEEDS = 2 * FUZZ_ENCODERS, MAX_TOKENS = 300, TWO_BYTES = 1 };
    for (int seed = 0; seed < SEEDS && seeds->status == STATUS_OK; seed++) {
        struct encoding *encoding = NULL;
        struct notes notes = {0};
        struct tokens tokens = {0};
        struct bytes bytes = {0};
        int number = seed % FUZZ_ENCODERS;
        seeds->status = fuzz_create_encoder(number, &encoding);
        if (seeds->status == STATUS_OK)
            seeds->status = make_notes(seed, &notes);
        if (seeds->status == STATUS_OK)
            seeds->status = encoding->encode(encoding, &notes, &tokens);
        PUT(&bytes, (uint8_t)number, (uint8_t)(TWO_BYTES | seed % 4 << 1));
        for (size_t i = 0; i < tokens.count && i < MAX_TOKENS; i++)
            put_16(&bytes, tokens.items[i]);
        add_seed(seeds, bytes.items, bytes.count);
        free_bytes(&bytes);
        tokens_free(&tokens);
        notes_free(&notes);
        encoding_free(encoding);
    }
}

/* ---- checkpoint and dataset: every kind of edit, with values drawn at random ---- */

enum { RECORD = 32, VARIANTS = 6 };

static void add_edits(struct seeds *seeds, const uint8_t *prefix, size_t prefix_size,
                      const char *text)
{
    uint8_t bytes[1 + RECORD] = {(uint8_t)(seeds->count << 2)}; /* all readers in turn */
    memcpy(bytes + 1, prefix, prefix_size);
    for (size_t i = 1 + prefix_size; i < sizeof bytes; i++)
        bytes[i] =
            text ? 0 : (uint8_t)rng_below(256, 1, RNG_TEST, (uint64_t)seeds->count, i, 0);
    if (text)
        memcpy(bytes + 1 + prefix_size, text, strlen(text));
    add_seed(seeds, bytes, sizeof bytes);
}

static void make_checkpoint(struct seeds *seeds)
{
    enum { KINDS = 21, LINE = 19 };
    add_seed(seeds, "\x1c", 1);
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < VARIANTS; i++)
            add_edits(seeds, (const uint8_t[]){(uint8_t)kind, (uint8_t)(40 * i)}, 2,
                      NULL);
    add_edits(seeds, (const uint8_t[]){LINE, 0, 0}, 3, "# a comment");
}

static void make_dataset(struct seeds *seeds)
{
    enum { KINDS = 19, FILES = 3, SETTINGS = 18 };
    static const char *const lines[] = {"[run]|dir = elsewhere", "[train]|batch = 10",
                                        "[model]|hidden = 9"};
    add_seed(seeds, "\x70", 1);
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < VARIANTS; i++)
            add_edits(
                seeds,
                (const uint8_t[]){(uint8_t)(i % FILES), (uint8_t)kind, (uint8_t)(20 * i)},
                3, NULL);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        add_edits(seeds, (const uint8_t[]){0, SETTINGS}, 2, lines[i]);
}

static const struct {
    const char *name;
    void (*make)(struct seeds *seeds);
} targets[] = {
    {"midi", make_midi},
    {"config", make_config},
    {"split_file", make_split_file},
    {"tokens", make_tokens},
    {"checkpoint", make_checkpoint},
    {"dataset", make_dataset},
};

static enum status make(const char *target, const char *folder)
{
    struct seeds seeds = {.folder = folder};
    if (strcmp(target, "dictionary") == 0)
        return make_dictionary(folder);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        if (strcmp(target, targets[i].name) == 0) {
            seeds.status = file_make_directories(folder);
            targets[i].make(&seeds);
            return seeds.status;
        }
    return status_fail(STATUS_MISUSE, "no fuzz target is called %s", target);
}

int main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "usage: make_seeds TARGET DIR | make_seeds dictionary FILE\n");
        return STATUS_MISUSE;
    }
    enum status status = make(arguments[1], arguments[2]);
    if (status != STATUS_OK)
        fprintf(stderr, "make_seeds: %s\n", status_message());
    return (int)status;
}
