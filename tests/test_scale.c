/* scale: tonics and modes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/scale.h"

static uint16_t scale(const char *text)
{
    uint16_t pitch_classes = 0;
    if (!scale_parse(text, &pitch_classes))
        fail_msg("%s", text);
    return pitch_classes;
}

/* The white keys are the same scale from seven tonics. */
static void modes_share_the_white_keys(void **state)
{
    (void)state;
    static const char *const white[] = {"C major",      "A minor",    "C ionian",
                                        "D dorian",     "E phrygian", "F lydian",
                                        "G mixolydian", "A aeolian",  "B locrian"};
    uint16_t expected = 0;
    for (const char *key = "101011010101"; *key; key++)
        expected = (uint16_t)(expected >> 1 | (*key == '1') << 11);
    for (int i = 0; i < 9; i++)
        assert_int_equal(scale(white[i]), expected);
}

static void other_modes_differ_from_these(void **state)
{
    (void)state;
    enum {
        C = 1,
        D = 1 << 2,
        E = 1 << 4,
        F = 1 << 5,
        FIS = 1 << 6,
        G = 1 << 7,
        GIS = 1 << 8,
        A = 1 << 9,
        B = 1 << 11
    };
    const int white = scale("C major");
    assert_int_equal(scale("A harmonic minor"), (white & ~G) | GIS);
    assert_int_equal(scale("A melodic minor"), (white & ~G & ~F) | GIS | FIS);
    assert_int_equal(scale("C pentatonic"), white & ~F & ~B);
    assert_int_equal(scale("A minor pentatonic"), scale("C pentatonic"));
    assert_int_equal(scale("A blues"), scale("A minor pentatonic") | 1 << 3);
    assert_int_equal(scale("chromatic"), SCALE_ALL);
    assert_int_equal(scale("E chromatic"), SCALE_ALL);
    assert_int_equal(scale("C pentatonic"), C | D | E | G | A);
}

/* A tonic one semitone higher shifts the scale by one semitone. */
static void tonics_transpose(void **state)
{
    (void)state;
    static const char *const tonics[12][2] = {{"C", "B#"},  {"C#", "Db"}, {"D", "d"},
                                              {"D#", "Eb"}, {"E", "Fb"},  {"F", "E#"},
                                              {"F#", "Gb"}, {"G", "g"},   {"G#", "Ab"},
                                              {"A", "a"},   {"A#", "Bb"}, {"B", "Cb"}};
    static const char *const modes[] = {"dorian", "Harmonic Minor", "BLUES"};
    for (int mode = 0; mode < 3; mode++)
        for (int tonic = 0; tonic < 24; tonic++) {
            char text[32], origin[32];
            snprintf(origin, sizeof origin, "C %s", modes[mode]);
            snprintf(text, sizeof text, "%s  %s", tonics[tonic / 2][tonic % 2],
                     modes[mode]);
            uint32_t expected = (uint32_t)scale(origin) << tonic / 2;
            assert_int_equal(scale(text), (expected | expected >> 12) & SCALE_ALL);
        }
}

static void rejects_everything_else(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           " ",
                                      "C",          "C ",
                                      "H minor",    "major",
                                      "Cmajor",     "C# ",
                                      "C ## minor", "C##  minor",
                                      "C major ",   " C major",
                                      "C jazzy",    "C minor pentatonic scale",
                                      "chromatic C"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint16_t pitch_classes = 7;
        assert_false(scale_parse(bad[i], &pitch_classes));
        assert_int_equal(pitch_classes, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_share_the_white_keys),
        cmocka_unit_test(other_modes_differ_from_these),
        cmocka_unit_test(tonics_transpose),
        cmocka_unit_test(rejects_everything_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
