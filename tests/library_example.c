/* A program that embeds a trained model: generates two pieces, writes them, and prints
 * the first notes. It uses only tutti's public header. test_library.sh runs it.
 *
 *     library_example CHECKPOINT OUTPUT.mid [PRIMER.mid|- [SEED]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tutti/tutti.h"

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, tutti_message());
    return 1;
}

static int generate(struct tutti *model, const char *output, uint64_t seed)
{
    struct tutti_settings settings;
    tutti_defaults(model, &settings);
    settings.seconds = 10;
    settings.seed = seed;
    struct tutti_piece pieces[2];
    if (tutti_sample(model, &settings, 2, pieces) != TUTTI_OK)
        return failed("generate");
    for (size_t i = 0; i < pieces[1].count && i < 4; i++)
        printf("note %zu: pitch %d at %.3f s for %.3f s\n", i, pieces[1].notes[i].pitch,
               pieces[1].notes[i].start, pieces[1].notes[i].duration);
    int status = tutti_write(output, &pieces[1]);
    tutti_free_pieces(pieces, 2);
    return status == TUTTI_OK ? 0 : failed("write");
}

/* Invalid arguments are rejected with a message and leave the model usable. */
static int rejects_invalid_arguments(struct tutti *model)
{
    struct tutti *none = NULL;
    struct tutti_settings settings;
    tutti_defaults(model, &settings);
    settings.temperature = -1;
    struct tutti_settings crowded;
    tutti_defaults(model, &crowded);
    crowded.threads = 1025;
    struct tutti_piece piece;
    struct tutti_note high = {.pitch = 200, .velocity = 1};
    struct tutti_piece invalid = {.notes = &high, .count = 1};
    int rejected = tutti_open("no-such-file", &none) == TUTTI_FAILED && none == NULL &&
                   tutti_message()[0] != '\0' &&
                   tutti_sample(model, &settings, 1, &piece) == TUTTI_MISUSE &&
                   piece.count == 0 &&
                   tutti_sample(model, &crowded, 1, &piece) == TUTTI_MISUSE &&
                   tutti_sample(model, &settings, 0, &piece) == TUTTI_MISUSE &&
                   tutti_write("wrong.mid", &invalid) == TUTTI_MISUSE &&
                   tutti_prime(model, "no-such-file", 0) == TUTTI_FAILED &&
                   tutti_prime(model, "no-such-file", -1) == TUTTI_MISUSE;
    return rejected ? 0 : failed("an invalid argument was not rejected");
}

int main(int argc, char **argv)
{
    struct tutti *model = NULL;
    if (argc < 3)
        return 2;
    if (tutti_open(argv[1], &model) != TUTTI_OK)
        return failed("open");
    printf("%s, %llu tokens, %llu parameters, epoch %lld, weights %016llx\n",
           tutti_encoding(model), (unsigned long long)tutti_vocabulary(model),
           (unsigned long long)tutti_parameters(model), (long long)tutti_epoch(model),
           (unsigned long long)tutti_weights_hash(model));
    int code = 0;
    uint64_t seed = argc > 4 ? strtoumax(argv[4], NULL, 10) : 42;
    if (argc > 3 && strcmp(argv[3], "-") != 0 &&
        tutti_prime(model, argv[3], 2) != TUTTI_OK)
        code = failed("prime");
    if (code == 0)
        code = rejects_invalid_arguments(model);
    if (code == 0)
        code = generate(model, argv[2], seed);
    tutti_close(model);
    return code;
}
