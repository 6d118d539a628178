/* generator and tutti.h: the resolution of a path to a checkpoint, the cut of a primer,
 * and the notes that are returned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "midi_make.h"
#include "tiny_checkpoint.h"
#include "remove_tree.h"
#include "generate/generator.h"
#include "base/file.h"
#include "midi/midi.h"
#include "train/checkpoint_path.h"
#include "tutti/tutti.h"

static char folder[] = "/tmp/tutti-test-generator-XXXXXX";

static char *in_folder(const char *name)
{
    char *path = path_join(folder, name);
    assert_non_null(path);
    return path;
}

static void touch(const char *name)
{
    char *path = in_folder(name), *directory = path_directory(path);
    assert_int_equal(file_make_directories(directory), STATUS_OK);
    assert_int_equal(file_write(path, "x", 1), STATUS_OK);
    free(directory);
    free(path);
}

static void expect_found(const char *path, const char *preferred, const char *expected)
{
    char *asked = in_folder(path), *want = in_folder(expected), *file = NULL;
    assert_int_equal(checkpoint_path_resolve(asked, preferred, &file), STATUS_OK);
    assert_string_equal(file, want);
    free(asked);
    free(want);
    free(file);
}

static void resolves_a_path_to_a_checkpoint(void **state)
{
    (void)state;
    touch("run/checkpoints/latest");
    touch("run/checkpoints/best");
    touch("young/checkpoints/latest");
    touch("none/other");
    expect_found("run", "best", "run/checkpoints/best");
    expect_found("run", "latest", "run/checkpoints/latest");
    expect_found("run/checkpoints", "best", "run/checkpoints/best");
    expect_found("run/checkpoints/latest", "best", "run/checkpoints/latest");
    expect_found("young", "best", "young/checkpoints/latest");
    char *none = in_folder("none"), *file = NULL;
    assert_int_equal(checkpoint_path_resolve(none, "best", &file), STATUS_FAILED);
    assert_null(file);
    assert_non_null(strstr(status_message(), none));
    free(none);
}

/* Four notes of 0.4 s, one every half second; the third is held to 1.9 s. */
static void write_tune(const char *path)
{
    struct notes notes = {.ticks_per_beat = 480};
    for (int i = 0; i < 4; i++) {
        const struct note note = {.start = 0.5 * i,
                                  .duration = i == 2 ? 0.9 : 0.4,
                                  .start_tick = (uint32_t)(480 * i),
                                  .duration_ticks = i == 2 ? 864 : 384,
                                  .pitch = (uint8_t)(60 + i),
                                  .velocity = 80};
        assert_int_equal(notes_append(&notes, &note), STATUS_OK);
    }
    assert_int_equal(generator_write(path, &notes, ENCODING_TEMPO), STATUS_OK);
    notes_free(&notes);
}

/* Reads the primer truncated at `seconds` and checks its number of onsets, the time
 * covered, and whether the third note still sounds. */
static void expect_truncated(const struct checkpoint *checkpoint, const char *tune,
                             double seconds, size_t onsets, double covered,
                             bool third_sounds)
{
    struct primer primer = {0};
    assert_int_equal(primer_read(checkpoint, tune, seconds, &primer), STATUS_OK);
    const struct encoding *encoding = checkpoint->encoding;
    struct grammar grammar;
    encoding->grammar_start(encoding, &grammar);
    for (size_t i = 0; i < primer.tokens.count; i++)
        encoding->grammar_accept(encoding, &grammar, primer.tokens.items[i]);
    assert_int_equal(
        encoding_count_notes(encoding, primer.tokens.items, primer.tokens.count), onsets);
    assert_true(fabs(primer.seconds - covered) < 1e-6);
    assert_true(fabs(grammar.seconds - covered) < 1e-6);
    int sounding = 0;
    for (int i = 0; i < grammar.sounding_count; i++)
        sounding += grammar.notes[i].key == 62;
    assert_int_equal(sounding, third_sounds);
    assert_string_equal(primer.repairs, "");
    primer_free(&primer);
}

/* A file that needs so many repairs that the list is long. */
static void reports_every_repair_of_a_primer(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {
        'x',  'x',  'M',  'T',  'h',  'd',  0, 0,    0,    6,
        0,    5,    0,    9,    1,    0xe0, /* format 5 */
        1,    2,    3,    4,    5,    6,    7, 8,    'M',  'T',
        'r',  'k',  0,    0xff, 0xff, 0xff, 0, 0x3c, 0x40, /* no status yet */
        0,    0x90, 0x3c, 0xd0,                            /* data above 127 */
        0,    0xf1, 0,                                     /* a system message */
        0,    0xff, 0x51, 3,    0,    0,    0,             /* tempo 0 */
        0,    0xff, 0x90, 0,                               /* a meta event of type 144 */
        0,    0xf0, 2,    1,    2,                         /* no end */
        0x80, 0x80, 0x80, 0x80, 0x60,                      /* a number of 5 bytes */
        0x80, 0x3c, 0x40, 0,    0x90, 0x3c,                /* truncated */
    };
    struct checkpoint checkpoint;
    assert_int_equal(tiny_checkpoint(&checkpoint, ENCODING_PERFORMANCE, 1), STATUS_OK);
    struct midi_file midi = {0};
    assert_int_equal(midi_read(bytes, sizeof bytes, NULL, &midi), STATUS_OK);
    assert_true(strlen(midi.reason) > 255);
    char *tune = in_folder("broken.mid");
    assert_int_equal(file_write(tune, bytes, sizeof bytes), STATUS_OK);
    struct primer primer = {0};
    assert_int_equal(primer_read(&checkpoint, tune, 0, &primer), STATUS_OK);
    assert_string_equal(primer.repairs, midi.reason);
    primer_free(&primer);
    midi_free(&midi);
    free(tune);
    checkpoint_free(&checkpoint);
}

static void truncates_a_primer_at_its_length(void **state)
{
    (void)state;
    struct checkpoint checkpoint;
    assert_int_equal(tiny_checkpoint(&checkpoint, ENCODING_PERFORMANCE, 1), STATUS_OK);
    char *tune = in_folder("deep/tune.mid"), *gone = in_folder("gone.mid");
    write_tune(tune);
    expect_truncated(&checkpoint, tune, 0, 4, 1.9, false);
    expect_truncated(&checkpoint, tune, 0.5, 1, 0.5,
                     false); /* notes that begin at the cut are dropped */
    expect_truncated(&checkpoint, tune, 1.01, 3, 1.0, true);
    expect_truncated(&checkpoint, tune, 1.4, 3, 1.0,
                     true); /* a shift across the cut is left out */
    expect_truncated(&checkpoint, tune, 1.6, 4, 1.5, true);
    expect_truncated(&checkpoint, tune, 100, 4, 1.9, false);
    struct primer primer = {0};
    assert_int_equal(primer_read(&checkpoint, gone, 0, &primer), STATUS_FAILED);
    assert_non_null(strstr(status_message(), gone));
    primer_free(&primer);
    free(tune);
    free(gone);
    checkpoint_free(&checkpoint);
}

/* Eight consecutive quarter notes, upward from middle C, with `division` in the header
 * and a tempo of 120 beats per minute that drops to 60 before the fifth. `stray`: another
 * note precedes them by days. */
static void write_slowing_tune(const char *path, const uint8_t division[2], bool stray)
{
    uint8_t bytes[300] = {'M', 'T',         'h',         'd', 0,   0,   0,   6, 0, 0, 0,
                          1,   division[0], division[1], 'M', 'T', 'r', 'k', 0, 0, 0, 0};
    static const uint8_t fast[] = {0, 0xff, 0x51, 3, 0x07, 0xa1, 0x20};
    static const uint8_t slow[] = {0, 0xff, 0x51, 3, 0x0f, 0x42, 0x40};
    static const uint8_t end[] = {0, 0xff, 0x2f, 0};
    static const uint8_t before[] = {7,    0x90, 60,   80,   96,   0x80, 60, 64,
                                     0xff, 0xff, 0xff, 0x7f, 0xff, 1,    0};
    size_t size = 22;
    if (stray) {
        memcpy(bytes + size, before, sizeof before);
        size += sizeof before;
    }
    for (uint8_t i = 0; i < 8; i++) {
        const uint8_t note[] = {0,  0x90, (uint8_t)(60 + i), 80,
                                96, 0x80, (uint8_t)(60 + i), 64};
        if (i % 4 == 0) {
            memcpy(bytes + size, i ? slow : fast, sizeof fast);
            size += sizeof fast;
        }
        memcpy(bytes + size, note, sizeof note);
        size += sizeof note;
    }
    memcpy(bytes + size, end, sizeof end);
    size += sizeof end;
    bytes[21] = (uint8_t)(size - 22);
    assert_int_equal(file_write(path, bytes, size), STATUS_OK);
}

/* A stray note does not change the primer. */
static void prepares_a_primer_like_a_dataset(void **state)
{
    (void)state;
    static const uint8_t divisions[2][2] = {{0, 96},
                                            {0xE7, 8}}; /* 25 frames of 8 ticks */
    char *tune = in_folder("tune.mid"), *stray = in_folder("stray.mid");
    for (int i = 0; i < 4; i++) {
        struct checkpoint checkpoint;
        struct primer expected = {0}, primer = {0};
        int encoding = i < 2 ? ENCODING_PERFORMANCE : ENCODING_PIANOROLL;
        assert_int_equal(tiny_checkpoint(&checkpoint, encoding, 1), STATUS_OK);
        write_slowing_tune(tune, divisions[i % 2], false);
        write_slowing_tune(stray, divisions[i % 2], true);
        assert_int_equal(primer_read(&checkpoint, tune, 0, &expected), STATUS_OK);
        assert_int_equal(primer_read(&checkpoint, stray, 0, &primer), STATUS_OK);
        assert_non_null(strstr(primer.repairs, "1 of 9 notes left out"));
        assert_int_equal(primer.tokens.count, expected.tokens.count);
        assert_memory_equal(primer.tokens.items, expected.tokens.items,
                            primer.tokens.count * sizeof *primer.tokens.items);
        assert_int_equal(primer.tempo, expected.tempo);
        assert_true(fabs(primer.tempo_ratio - expected.tempo_ratio) < 1e-9);
        for (size_t step = 0; expected.step_seconds && step <= expected.steps; step++)
            assert_true(fabs(primer.step_seconds[step] - expected.step_seconds[step]) <
                        1e-6);
        primer_free(&primer);
        checkpoint.options.data.max_silence_seconds = 0; /* valid for a dataset */
        assert_true(primer_read(&checkpoint, stray, 0, &primer) != STATUS_OK ||
                    primer.tokens.count > 1000);
        primer_free(&primer);
        primer_free(&expected);
        checkpoint_free(&checkpoint);
    }
    free(stray);
    free(tune);
}

/* A file with one quarter note of this channel and pitch and one percussion note must be
 * refused as a primer. */
static void expect_no_primer(int encoding, int channel, int pitch, const char *reason)
{
    struct bytes bytes = {0};
    put_header(&bytes, 0, 1, 96);
    size_t track = begin_track(&bytes);
    put_event(&bytes, 0, 0x90 | channel, pitch, 80);
    put_event(&bytes, 96, 0x80 | channel, pitch, 80);
    put_event(&bytes, 0, 0x99, 36, 80);
    put_event(&bytes, 96, 0x89, 36, 80);
    end_track(&bytes, track);
    struct checkpoint checkpoint;
    struct primer primer = {0};
    char *path = in_folder("unfit.mid");
    assert_int_equal(tiny_checkpoint(&checkpoint, encoding, 1), STATUS_OK);
    assert_int_equal(file_write(path, bytes.items, bytes.count), STATUS_OK);
    free_bytes(&bytes);
    for (int seconds = 0; seconds < 2; seconds++) {
        assert_int_equal(primer_read(&checkpoint, path, seconds, &primer), STATUS_FAILED);
        if (!strstr(status_message(), reason))
            assert_string_equal(status_message(), reason);
    }
    primer_free(&primer);
    free(path);
    checkpoint_free(&checkpoint);
}

static void reports_why_a_file_is_not_a_primer(void **state)
{
    (void)state;
    expect_no_primer(ENCODING_PERFORMANCE, 9, 38,
                     "unfit.mid: can't be the primer: percussion only, which");
    expect_no_primer(ENCODING_PIANOROLL, 9, 38,
                     "unfit.mid: can't be the primer: percussion only, which");
    expect_no_primer(ENCODING_PIANOROLL, 0, 5,
                     "only percussion and notes outside the encoding's range");
}

static void expect_part(const struct checkpoint *checkpoint, const char *tune,
                        double seconds, size_t onsets, double covered, int tempo)
{
    struct primer primer = {0};
    assert_int_equal(primer_read(checkpoint, tune, seconds, &primer), STATUS_OK);
    assert_int_equal(encoding_count_notes(checkpoint->encoding, primer.tokens.items,
                                          primer.tokens.count),
                     onsets);
    assert_true(fabs(primer.seconds - covered) < 1e-9);
    assert_int_equal(generator_tempo(0, &primer), tempo);
    primer_free(&primer);
}

/* The note times of a piece of 3 s after the entire tune. */
static void expect_times(const struct checkpoint *checkpoint, const char *tune,
                         const double starts[9])
{
    struct primer primer = {0};
    struct sampler_settings settings = generator_settings(&checkpoint->options);
    settings.seconds = 3;
    assert_int_equal(primer_read(checkpoint, tune, 0, &primer), STATUS_OK);
    for (int keep = 0; keep < 2; keep++) {
        struct notes piece = {0};
        double end = keep ? starts[8] + 3 : 3;
        assert_int_equal(
            generator_run(checkpoint, &settings, &primer, keep == 1, 1, &piece),
            STATUS_OK);
        assert_true(piece.count > (keep ? 8 : 0));
        for (size_t i = 0; keep && i < 8; i++) {
            assert_int_equal(piece.items[i].pitch, 60 + i);
            assert_true(fabs(piece.items[i].start - starts[i]) < 1e-9);
        }
        for (size_t i = 0; i < piece.count; i++)
            assert_true(piece.items[i].duration > 0 &&
                        piece.items[i].start + piece.items[i].duration < end + 1e-9);
        assert_true(piece.items[piece.count - 1].start > end - 2);
        notes_free(&piece);
    }
    primer_free(&primer);
}

/* The pianoroll counts beats: seconds follow the primer's tempo, for any kind of grid,
 * and the piece continues at the tempo in effect where the primer ends. */
static void keeps_the_tempo_of_a_primer(void **state)
{
    (void)state;
    static const char *const grids[] = {"1/4", "24 ticks"};
    static const double slowing[9] = {0, 0.5, 1, 1.5, 2, 3, 4, 5, 6};
    char *tune = in_folder("slowing.mid"), *frames = in_folder("frames.mid");
    write_slowing_tune(tune, (const uint8_t[]){0, 96}, false);
    write_slowing_tune(frames, (const uint8_t[]){0xE7, 8},
                       false); /* 25 frames of 8 ticks */
    struct checkpoint checkpoint;
    assert_int_equal(tiny_checkpoint(&checkpoint, ENCODING_PIANOROLL, 1), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        encoding_free(checkpoint.encoding);
        assert_int_equal(encoding_create("pianoroll", grids[i], &checkpoint.encoding),
                         STATUS_OK);
        expect_part(&checkpoint, tune, 0, 8, 6, 1000000);
        expect_part(&checkpoint, tune, 1.5, 3, 1.5, 500000);
        expect_part(&checkpoint, tune, 2, 4, 2, 500000); /* the fifth begins there */
        expect_part(&checkpoint, tune, 3.1, 6, 3, 1000000);
        expect_times(&checkpoint, tune, slowing);
    }
    static const double even[9] = {0, 0.48, 0.96, 1.44, 1.92, 2.4, 2.88, 3.36, 3.84};
    expect_part(&checkpoint, frames, 0, 8, 3.84, ENCODING_TEMPO); /* 24 ticks: 0.12 s */
    expect_times(&checkpoint, frames, even);
    checkpoint_free(&checkpoint);
    free(tune);
    free(frames);
}

/* Half of the default tempo: beats are twice as long (pianoroll), or the same seconds have
 * half as many beats (performance). */
static void plays_at_a_tempo(void **state)
{
    (void)state;
    static const int encodings[] = {ENCODING_PERFORMANCE, ENCODING_PIANOROLL};
    for (size_t e = 0; e < sizeof encodings / sizeof *encodings; e++) {
        int encoding = encodings[e];
        struct checkpoint checkpoint;
        struct notes usual = {0}, slow = {0};
        double ratio = encoding == ENCODING_PIANOROLL ? 2 : 1;
        assert_int_equal(tiny_checkpoint(&checkpoint, encoding, 1), STATUS_OK);
        struct sampler_settings settings = generator_settings(&checkpoint.options);
        settings.guard = false;
        settings.end = END_FORBID;
        settings.seconds = 8;
        assert_int_equal(generator_run(&checkpoint, &settings, NULL, false, 1, &usual),
                         STATUS_OK);
        settings.tempo = 60;
        settings.seconds *= ratio;
        assert_int_equal(generator_run(&checkpoint, &settings, NULL, false, 1, &slow),
                         STATUS_OK);
        assert_int_equal(generator_tempo(60, NULL), 1000000);
        assert_true(usual.count > 3);
        assert_int_equal(slow.count, usual.count);
        for (size_t i = 0; i < usual.count; i++) {
            const struct note *a = &usual.items[i], *b = &slow.items[i];
            assert_int_equal(a->pitch, b->pitch);
            assert_true(fabs(a->start * ratio - b->start) < 1e-9);
            assert_true(fabs(a->duration * ratio - b->duration) < 1e-9);
            assert_true(fabs(a->start_tick * ratio / 2 - b->start_tick) <= 0.5);
            assert_true(fabs(a->duration_ticks * ratio / 2 - b->duration_ticks) <= 1);
        }
        notes_free(&usual);
        notes_free(&slow);
        checkpoint_free(&checkpoint);
    }
}

/* remi: the tokens set the tempo, and the piece has the one that is requested. */
static void plays_remi_at_a_tempo(void **state)
{
    (void)state;
    struct checkpoint checkpoint;
    struct notes piece = {0};
    assert_int_equal(tiny_checkpoint(&checkpoint, ENCODING_REMI, 1), STATUS_OK);
    struct sampler_settings settings = generator_settings(&checkpoint.options);
    settings.end = END_FORBID;
    settings.seconds = 12;
    settings.tempo = 77.7;
    assert_int_equal(generator_run(&checkpoint, &settings, NULL, false, 1, &piece),
                     STATUS_OK);
    assert_int_equal(piece.tempos.count, 1);
    assert_int_equal(piece.tempos.items[0].tempo, generator_tempo(77.7, NULL));
    assert_true(piece.count > 3 && notes_duration(&piece) <= 12 + 1e-9);
    for (size_t i = 0; i < piece.count; i++)
        assert_true(fabs(piece.items[i].start -
                         piece.items[i].start_tick * 60 / 77.7 / 480) < 1e-5);
    notes_free(&piece);
    checkpoint_free(&checkpoint);
}

/* Bars at the tempo, which performance and pianoroll have none of; the marks in the file,
 * and the program of merged instruments. */
static void bars_and_marks_suit_the_request(void **state)
{
    (void)state;
    for (int encoding = 0; encoding < ENCODINGS; encoding++) {
        struct checkpoint checkpoint;
        struct notes piece = {0};
        assert_int_equal(tiny_checkpoint(&checkpoint, encoding, 1), STATUS_OK);
        struct sampler_settings settings = generator_settings(&checkpoint.options);
        settings.end = END_FORBID;
        settings.bars = 5;
        settings.tempo = 100;
        settings.max_silence = 1;
        assert_true(generator_request("3/4", "48", &settings.request));
        assert_int_equal(generator_run(&checkpoint, &settings, NULL, false, 1, &piece),
                         STATUS_OK);
        assert_true(piece.count > 3);
        assert_true(notes_duration(&piece) <= 5 * 3 * 0.6 + 1e-6);
        assert_true(notes_duration(&piece) > 4 * 3 * 0.6 - 1);
        assert_int_equal(piece.signatures.count, 1);
        assert_int_equal(piece.signatures.items[0].numerator, 3);
        assert_int_equal(piece.signatures.items[0].tick, 0);
        for (size_t i = 0; i < piece.count; i++)
            assert_int_equal(piece.items[i].program, 48);
        notes_free(&piece);
        checkpoint_free(&checkpoint);
    }
}

static void cache_context_suits_the_encoding(void **state)
{
    (void)state;
    static struct options options;
    options_defaults(&options);
    options.data.encoding = ENCODING_PERFORMANCE;
    assert_int_equal(generator_settings(&options).cache_context, 6);
    options.data.encoding = ENCODING_PIANOROLL;
    assert_int_equal(generator_settings(&options).cache_context, 16);
    options.data.encoding = ENCODING_REMI;
    assert_int_equal(generator_settings(&options).cache_context, 16);
    options.sample.cache_context = 3;
    assert_int_equal(generator_settings(&options).cache_context, 3);
}

static void refuses_requests_out_of_range(void **state)
{
    (void)state;
    static const double tempos[] = {3.9, -1, 1001, (double)NAN};
    struct checkpoint checkpoint;
    struct notes piece = {0};
    assert_int_equal(tiny_checkpoint(&checkpoint, ENCODING_PERFORMANCE, 1), STATUS_OK);
    struct sampler_settings settings = generator_settings(&checkpoint.options);
    for (size_t i = 0; i < sizeof tempos / sizeof *tempos; i++) {
        settings.tempo = tempos[i];
        assert_int_equal(generator_run(&checkpoint, &settings, NULL, false, 1, &piece),
                         STATUS_MISUSE);
        assert_non_null(strstr(status_message(), "expected 4 to 1000 beats per minute"));
    }
    settings.tempo = 0;
    settings.best_of = 100;
    assert_int_equal(generator_run(&checkpoint, &settings, NULL, false, 41, &piece),
                     STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "the best of 100 for 41 pieces"));
    checkpoint_free(&checkpoint);
}

static void notes_equal(const struct tutti_piece *ours, const struct notes *theirs)
{
    assert_int_equal(ours->count, theirs->count);
    assert_true(fabs(ours->seconds - notes_duration(theirs)) < 0.002);
    for (size_t i = 0; i < theirs->count; i++) {
        assert_int_equal(ours->notes[i].pitch, theirs->items[i].pitch);
        assert_int_equal(ours->notes[i].velocity, theirs->items[i].velocity);
        assert_true(fabs(ours->notes[i].start - theirs->items[i].start) < 0.002);
        assert_true(fabs(ours->notes[i].duration - theirs->items[i].duration) < 0.002);
    }
}

static void expect_file_holds(const char *path, const struct tutti_piece *piece)
{
    static const struct midi_limits no_limits = {0};
    struct midi_file midi = {0};
    uint8_t *bytes;
    size_t size;
    assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
    assert_int_equal(midi_read(bytes, size, &no_limits, &midi), STATUS_OK);
    assert_int_equal(midi.outcome, MIDI_OK);
    notes_equal(piece, &midi.notes);
    midi_free(&midi);
    free(bytes);
}

static void threads_have_enough_to_compute(void **state)
{
    (void)state;
    assert_int_equal(generator_threads(1, 4000000, 64), 1);
    assert_int_equal(generator_threads(8, 4000000, 1), 8);
    assert_int_equal(generator_threads(64, 4000000, 1), 15);
    assert_int_equal(generator_threads(8, 100000, 1), 1);
    assert_int_equal(generator_threads(8, 100000, 8), 3);
    assert_int_equal(generator_threads(8, 1000, 1), 1);
    assert_int_equal(generator_threads(1024, (size_t)1 << 34, GENERATOR_PIECES_MAX),
                     1024);
}

/* The public interface returns the notes that it writes, equal to the internal ones. */
static void library_matches_internal_results(void **state)
{
    (void)state;
    for (int encoding = ENCODING_PERFORMANCE; encoding <= ENCODING_PIANOROLL;
         encoding++) {
        struct checkpoint checkpoint;
        assert_int_equal(tiny_checkpoint(&checkpoint, encoding, 7), STATUS_OK);
        char *file = in_folder("tiny.h5"), *midi = in_folder("out/piece.mid");
        assert_int_equal(checkpoint_write(file, &checkpoint), STATUS_OK);
        struct tutti *model = NULL;
        assert_int_equal(tutti_open(file, &model), TUTTI_OK);
        assert_int_equal(tutti_parameters(model), checkpoint.params.total);
        assert_int_equal(tutti_vocabulary(model),
                         encoding == ENCODING_PERFORMANCE ? 389 : 90);
        assert_int_equal(tutti_epoch(model), TINY_EPOCHS);
        assert_int_equal(tutti_weights_hash(model), checkpoint.weights_hash);
        struct tutti_settings settings;
        tutti_defaults(model, &settings);
        assert_true(settings.seconds == 4);
        settings.seed = 11;
        struct tutti_piece pieces[3], again[1];
        struct notes inside[3] = {0};
        struct sampler_settings same = generator_settings(&checkpoint.options);
        same.seed = 11;
        assert_int_equal(generator_run(&checkpoint, &same, NULL, false, 3, inside),
                         STATUS_OK);
        assert_int_equal(tutti_sample(model, &settings, 3, pieces), TUTTI_OK);
        assert_int_equal(tutti_sample(model, &settings, 1, again), TUTTI_OK);
        notes_equal(&again[0], &inside[0]);
        for (int i = 0; i < 3; i++) {
            assert_true(pieces[i].count > 0);
            notes_equal(&pieces[i], &inside[i]);
            assert_int_equal(tutti_write(midi, &pieces[i]), TUTTI_OK);
            expect_file_holds(midi, &pieces[i]);
            notes_free(&inside[i]);
        }
        tutti_free_pieces(pieces, 3);
        tutti_free_pieces(again, 1);
        tutti_close(model);
        checkpoint_free(&checkpoint);
        free(file);
        free(midi);
    }
}

static void expect_invalid(struct tutti *model, const struct tutti_settings *settings,
                           const char *message)
{
    struct tutti_piece piece;
    assert_int_equal(tutti_sample(model, settings, 1, &piece), TUTTI_MISUSE);
    assert_non_null(strstr(tutti_message(), message));
}

static void library_has_the_same_requests(void **state)
{
    (void)state;
    struct checkpoint checkpoint;
    char *file = in_folder("tiny.h5");
    assert_int_equal(tiny_checkpoint(&checkpoint, ENCODING_REMI, 7), STATUS_OK);
    assert_int_equal(checkpoint_write(file, &checkpoint), STATUS_OK);
    struct tutti *model = NULL;
    assert_int_equal(tutti_open(file, &model), TUTTI_OK);
    struct tutti_settings settings;
    struct tutti_piece piece;
    struct notes inside = {0};
    tutti_defaults(model, &settings);
    assert_string_equal(settings.programs, "all");
    assert_string_equal(settings.time_signature, "any");
    settings.seconds = -1; /* bars apply */
    settings.bars = 5;
    settings.tempo = 100;
    settings.programs = "48";
    settings.time_signature = "3/4";
    struct sampler_settings same = generator_settings(&checkpoint.options);
    same.bars = 5;
    same.tempo = 100;
    assert_true(generator_request("3/4", "48", &same.request));
    assert_int_equal(generator_run(&checkpoint, &same, NULL, false, 1, &inside),
                     STATUS_OK);
    assert_int_equal(tutti_sample(model, &settings, 1, &piece), TUTTI_OK);
    assert_true(piece.count > 0 && piece.notes[0].program == 48);
    assert_int_equal(piece.tempo, 600000);
    notes_equal(&piece, &inside);
    tutti_free_pieces(&piece, 1);
    notes_free(&inside);
    settings.bars = 1001;
    expect_invalid(model, &settings, "bars (expected 1 to 1000, or 0)");
    settings.bars = 0;
    expect_invalid(model, &settings, "seconds (expected more than 0)");
    settings.seconds = 4;
    settings.time_signature = "3/5";
    expect_invalid(model, &settings, "programs or time_signature");
    tutti_close(model);
    checkpoint_free(&checkpoint);
    free(file);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return file_remove_tree(folder) == STATUS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resolves_a_path_to_a_checkpoint),
        cmocka_unit_test(truncates_a_primer_at_its_length),
        cmocka_unit_test(prepares_a_primer_like_a_dataset),
        cmocka_unit_test(reports_why_a_file_is_not_a_primer),
        cmocka_unit_test(keeps_the_tempo_of_a_primer),
        cmocka_unit_test(plays_at_a_tempo),
        cmocka_unit_test(plays_remi_at_a_tempo),
        cmocka_unit_test(bars_and_marks_suit_the_request),
        cmocka_unit_test(cache_context_suits_the_encoding),
        cmocka_unit_test(refuses_requests_out_of_range),
        cmocka_unit_test(reports_every_repair_of_a_primer),
        cmocka_unit_test(threads_have_enough_to_compute),
        cmocka_unit_test(library_matches_internal_results),
        cmocka_unit_test(library_has_the_same_requests),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
