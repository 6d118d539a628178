/* scale: see the header. */
#include "scale.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct mode {
    const char *name;
    const char *steps; /* semitones above the tonic, in base 12 */
};

static const struct mode modes[] = {
    {"major", "024579b"},          {"minor", "023578a"},          {"ionian", "024579b"},
    {"dorian", "023579a"},         {"phrygian", "013578a"},       {"lydian", "024679b"},
    {"mixolydian", "024579a"},     {"aeolian", "023578a"},        {"locrian", "013568a"},
    {"harmonic minor", "023578b"}, {"melodic minor", "023579b"}, /* ascending */
    {"pentatonic", "02479"},       {"minor pentatonic", "0357a"}, {"blues", "03567a"},
    {"chromatic", "0123456789ab"},
};
enum { MODES = sizeof modes / sizeof *modes };

/* Reads a tonic and the blanks after it, and moves *text after them. False without
 * either. */
static bool read_tonic(const char **text, int *pitch_class)
{
    static const int of_letters[] = {9, 11, 0, 2, 4, 5, 7}; /* A to G */
    int letter = toupper((unsigned char)**text) - 'A';
    if (letter < 0 || letter > 6)
        return false;
    char accidental = *++*text;
    int raised = (accidental == '#') - (accidental == 'b');
    *text += raised != 0;
    *pitch_class = (of_letters[letter] + raised + PITCH_CLASSES) % PITCH_CLASSES;
    size_t blanks = strspn(*text, " ");
    *text += blanks;
    return blanks > 0;
}

static const struct mode *find_mode(const char *name)
{
    for (int i = 0; i < MODES; i++)
        if (strcasecmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}

static int semitones(char step)
{
    return isdigit((unsigned char)step) ? step - '0' : step - 'a' + 10;
}

bool scale_parse(const char *text, uint16_t *pitch_classes)
{
    int tonic = 0;
    if (strcasecmp(text, "chromatic") != 0 && !read_tonic(&text, &tonic))
        return false;
    const struct mode *mode = find_mode(text);
    if (!mode)
        return false;
    *pitch_classes = 0;
    for (const char *step = mode->steps; *step; step++)
        *pitch_classes |= (uint16_t)(1 << ((tonic + semitones(*step)) % PITCH_CLASSES));
    return true;
}

const char *scale_expected(char *text, size_t size)
{
    size_t used =
        (size_t)snprintf(text, size, "a tonic and a mode, such as \"D dorian\":");
    for (int i = 0; i < MODES && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s %s",
                                 i == 0           ? ""
                                 : i == MODES - 1 ? " or"
                                                  : ",",
                                 modes[i].name);
    return text;
}
