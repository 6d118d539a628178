/* evaluate_results: see the header. */
#include "evaluate_results.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "statistics_table.h"
#include "base/json.h"
#include "base/printable.h"

static void print_line(const char *name, double value, const char *unit)
{
    printf("  %-18s %12.4f  %s\n", name, value, unit);
}

static void print_baselines(const struct evaluate_results *results)
{
    if (results->baselines_unknown[0]) {
        printable_line(stdout, "  %-18s %12s  %s", "baselines", "unknown",
                       results->baselines_unknown);
        return;
    }
    print_line("unigram baseline", results->baselines.unigram, "nats per token");
    print_line("bigram baseline", results->baselines.bigram, "nats per token");
}

/* The tokens may represent fewer notes than the note table, for example no percussion. */
static void print_other_notes(const struct evaluate_results *results)
{
    uint64_t others = results->dataset->total.notes[results->split];
    if (results->model.notes != others)
        printf("notes are those of the tokens; the dataset's note table has %" PRIu64
               "\n",
               others);
}

enum { COLUMNS = 2 };

static void set_columns(const struct evaluate_results *results,
                        struct statistics_column columns[COLUMNS])
{
    columns[0] = (struct statistics_column){.name = "dataset",
                                            .summary = results->samples->dataset};
    columns[1] = (struct statistics_column){.name = "samples",
                                            .summary = results->samples->samples};
}

static void print_samples(const struct evaluate_results *results)
{
    struct statistics_column columns[COLUMNS];
    set_columns(results, columns);
    printf("\nsamples and all pieces of the dataset, at most %g s of each\n",
           results->samples->seconds);
    statistics_print_table(columns, COLUMNS);
}

static void samples_json(struct json *json, const struct evaluate_results *results)
{
    struct statistics_column columns[COLUMNS];
    set_columns(results, columns);
    json_object(json, "samples");
    json_number(json, "seconds", results->samples->seconds);
    statistics_write_json(json, columns, COLUMNS);
    json_close(json);
}

static void print_members(const struct evaluate_results *results)
{
    for (int m = 0; m < results->member_count; m++) {
        const struct evaluate_member *member = &results->members[m];
        printable_line(stdout, "checkpoint %s: epoch %" PRId64 ", step %" PRId64 "%s",
                       member->path, member->checkpoint->state.epoch,
                       member->checkpoint->state.step,
                       results->average ? ", averaged weights" : "");
    }
    if (results->member_count > 1)
        printf("ensemble of %d checkpoints: the mean of their probabilities\n",
               results->member_count);
}

/* A line for each backend in use. */
static void print_matmul(const struct evaluate_results *results)
{
    for (int m = 0; m < results->member_count; m++) {
        bool printed = false;
        for (int k = 0; k < m; k++)
            printed |=
                strcmp(results->members[k].matmul, results->members[m].matmul) == 0;
        if (!printed)
            printf("matmul %s\n", results->members[m].matmul);
    }
}

static void member_json(struct json *json, const struct evaluate_member *member)
{
    json_string(json, "checkpoint", member->path);
    json_hash(json, "weights_hash", member->checkpoint->weights_hash);
    json_integer(json, "epoch", member->checkpoint->state.epoch);
    json_integer(json, "step", member->checkpoint->state.step);
    json_string(json, "matmul", member->matmul);
}

/* One checkpoint's facts are those of the whole; those of several are in an array. */
static void members_json(struct json *json, const struct evaluate_results *results)
{
    if (results->member_count == 1) {
        member_json(json, &results->members[0]);
        return;
    }
    json_array(json, "ensemble");
    for (int m = 0; m < results->member_count; m++) {
        json_object(json, NULL);
        member_json(json, &results->members[m]);
        json_close(json);
    }
    json_close(json);
}

void evaluate_print_table(const struct evaluate_results *results)
{
    const struct evaluation *model = &results->model;
    print_members(results);
    printable_line(stdout,
                   "dataset %s, split %s: %" PRIu64 " pieces, %" PRIu64 " notes, %" PRIu64
                   " tokens, %.1f s",
                   results->dataset->path, split_name(results->split), model->pieces,
                   model->notes, model->tokens, model->seconds);
    print_other_notes(results);
    print_matmul(results);
    putchar('\n');
    print_line("per token", model->loss, "nats");
    print_baselines(results);
    print_line("accuracy", model->accuracy, "of the tokens");
    print_line("per note", model->per_note, "nats");
    print_line("per second", model->per_second, "nats");
    print_line("per piece", model->per_piece, "nats");
    if (model->frames)
        print_line("per frame", model->per_frame, "nats, frames 2 to the last");
    if (results->samples)
        print_samples(results);
}

enum status evaluate_print_json(const struct evaluate_results *results)
{
    const struct evaluation *model = &results->model;
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    members_json(&json, results);
    json_boolean(&json, "average", results->average);
    json_string(&json, "dataset", results->dataset->path);
    json_hash(&json, "dataset_hash", results->dataset->dataset_hash);
    json_string(&json, "split", split_name(results->split));
    json_unsigned(&json, "pieces", model->pieces);
    json_unsigned(&json, "notes", model->notes);
    json_unsigned(&json, "notes_in_columns",
                  results->dataset->total.notes[results->split]);
    json_unsigned(&json, "tokens", model->tokens);
    json_number(&json, "seconds", model->seconds);
    json_number(&json, "nats_per_token", model->loss);
    json_number(&json, "accuracy", model->accuracy);
    json_number(&json, "unigram_baseline", results->baselines.unigram);
    json_number(&json, "bigram_baseline", results->baselines.bigram);
    if (results->baselines_unknown[0])
        json_string(&json, "baselines_unknown", results->baselines_unknown);
    json_number(&json, "nats_per_note", model->per_note);
    json_number(&json, "nats_per_second", model->per_second);
    json_number(&json, "nats_per_piece", model->per_piece);
    if (model->frames) {
        json_unsigned(&json, "frames", model->frames);
        json_number(&json, "nats_per_frame", model->per_frame);
    }
    if (results->samples)
        samples_json(&json, results);
    json_close(&json);
    return json_end(&json);
}
