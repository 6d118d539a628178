/* demo_report: reports how much of the composer's rule the model has learnt. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "demo.h"
#include "base/file.h"
#include "base/printable.h"
#include "base/progress.h"

/* The number after "key": in JSON text; NaN if there is none. */
static double json_find(const char *json, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(json, quoted);
    char *end = NULL;
    double value = at ? strtod(at + strlen(quoted), &end) : (double)NAN;
    return at && end != at + strlen(quoted) ? value : (double)NAN;
}

enum status demo_read_evaluation(struct demo *demo, const char *path)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum status status = file_read(path, 1 << 20, &bytes, &size);
    char *text = status ? NULL : calloc(size + 1, 1);
    if (text) {
        memcpy(text, bytes, size);
        demo->model_loss = json_find(text, "nats_per_token");
        demo->bigram_loss = json_find(text, "bigram_baseline");
        demo->tokens = json_find(text, "tokens");
    } else if (!status) {
        status = status_fail(STATUS_FAILED, "demo: out of memory");
    }
    free(text);
    free(bytes);
    if (!status && !(isfinite(demo->model_loss) && isfinite(demo->bigram_loss)))
        status = status_fail(STATUS_FAILED, "%s: contains no evaluation", path);
    if (!status && fabs(demo->tokens - (double)demo->corpus.valid_tokens) > 0.5)
        status = status_fail(STATUS_FAILED,
                             "%s: %.0f validation tokens, but %llu were composed", path,
                             demo->tokens, (unsigned long long)demo->corpus.valid_tokens);
    return status;
}

static void print_report(const struct demo *demo, FILE *out)
{
    const char *directory = demo->directory;
    double entropy = demo->corpus.valid_nll / (double)demo->corpus.valid_tokens;
    char elapsed[32];
    fprintf(out, "Commands:\n");
    for (int i = 0; i < demo->command_count; i++)
        printable_line(out, "  %s", demo->commands[i]);
    fprintf(out, "\nFiles:\n");
    printable_line(out, "  %s/corpus       %lld composed pieces", directory,
                   (long long)demo->pieces);
    printable_line(out, "  %s/dataset      the same pieces as tokens", directory);
    printable_line(out, "  %s/run          settings, metrics, checkpoints, samples",
                   directory);
    printable_line(out, "  %s/music-1.mid  and -2, -3: generated music", directory);
    printable_line(out, "  %s/demo.txt     this report", directory);
    fprintf(out, "\nLoss on %lld held-out pieces (%llu tokens), in nats per token:\n",
            (long long)demo->corpus.valid_pieces,
            (unsigned long long)demo->corpus.valid_tokens);
    fprintf(out, "  %.4f   true entropy of the composer's rule\n", entropy);
    fprintf(out, "  %.4f   model: %.3f times the true entropy\n", demo->model_loss,
            demo->model_loss / entropy);
    fprintf(out, "  %.4f   bigram baseline\n", demo->bigram_loss);
    fprintf(
        out, "\n%lld rank%s, %s in total.\n", (long long)demo->ranks,
        demo->ranks == 1 ? "" : "s",
        duration_text(clock_seconds() - demo->start_seconds, elapsed, sizeof elapsed));
}

enum status demo_report(const struct demo *demo)
{
    char *path = demo_path(demo, "demo.txt"), *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    enum status status = STATUS_OK;
    if (memory) {
        print_report(demo, memory);
        fclose(memory);
    }
    if (!path || !text)
        status = status_fail(STATUS_FAILED, "demo: out of memory");
    if (!status)
        status = file_write_nofollow(path, text, size);
    if (!status)
        printf("\n%s", text);
    free(text);
    free(path);
    return status ? status : cli_flush_output();
}
