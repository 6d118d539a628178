/* statistics_table: see the header. */
#include "statistics_table.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/printable.h"

enum { CELL = 64, NAME_WIDTH = 19, UNIT_WIDTH = 9, NUMBER_WIDTH = 8, GROUP_WIDTH = 37 };

static bool exists(const struct statistics_column *columns, size_t count,
                   enum metric metric)
{
    for (size_t i = 0; i < count; i++)
        if (columns[i].summary.metrics[metric].count > 0)
            return true;
    return false;
}

/* Four significant digits or more, with at most three decimals. */
static const char *number(double value, char text[CELL])
{
    int decimals = fabs(value) >= 100 ? 1 : fabs(value) >= 10 ? 2 : 3;
    if (isnan(value))
        return "-";
    snprintf(text, CELL, "%.*f", decimals, value);
    return text;
}

static void print_distribution(const struct distribution *values)
{
    char text[CELL];
    printf("  %*s", NUMBER_WIDTH, number(values->mean, text));
    for (int i = 0; i < 3; i++)
        printf(" %*s", NUMBER_WIDTH, number(values->quartiles[i], text));
}

static void print_name(const char *name, const char *unit)
{
    printf("  %-*s %-*s", NAME_WIDTH, name, UNIT_WIDTH, unit);
}

static void print_headings(const struct statistics_column *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct statistics_column *column = &columns[i];
        printable_line(stdout, "%zu  %s: %zu piece%s, %zu skipped", i + 1, column->name,
                       column->summary.pieces, column->summary.pieces == 1 ? "" : "s",
                       column->skipped);
    }
    printf("\n  %-*s", NAME_WIDTH + 1 + UNIT_WIDTH, "mean and quartiles");
    for (size_t i = 0; i < count; i++)
        printf("%*zu", i ? GROUP_WIDTH : 2 + NUMBER_WIDTH, i + 1);
    printf("\n  %-*s", NAME_WIDTH + 1 + UNIT_WIDTH, "");
    for (size_t i = 0; i < count; i++)
        printf("  %*s %*s %*s %*s", NUMBER_WIDTH, "mean", NUMBER_WIDTH, "25 %",
               NUMBER_WIDTH, "50 %", NUMBER_WIDTH, "75 %");
    putchar('\n');
}

static void print_distance_headings(size_t count)
{
    printf("\n  %-*s", NAME_WIDTH + 1 + UNIT_WIDTH, "distance to 1");
    for (size_t i = 0; i < count; i++)
        printf("  %*zu %*s", NUMBER_WIDTH, i + 1, NUMBER_WIDTH, i ? "to 1" : "halves");
    printf("\n  %-*s", NAME_WIDTH + 1 + UNIT_WIDTH, "");
    for (size_t i = 0; i < count; i++)
        printf("  %*s %*s", NUMBER_WIDTH, "overlap", NUMBER_WIDTH, "W1");
    putchar('\n');
}

static void print_distance(const struct distance *distance)
{
    char text[CELL];
    printf("  %*s", NUMBER_WIDTH, number(distance->overlap, text));
    printf(" %*s", NUMBER_WIDTH, number(distance->wasserstein, text));
}

static void print_distances(const struct statistics_column *columns, size_t count)
{
    print_distance_headings(count);
    for (enum metric metric = 0; metric < METRICS; metric++) {
        if (!exists(columns, count, metric))
            continue;
        print_name(piece_metric_name(metric), piece_metric_unit(metric));
        for (size_t i = 0; i < count; i++)
            print_distance(&columns[i].summary.metric_distances[metric]);
        putchar('\n');
    }
    for (enum piece_histogram histogram = 0; histogram < HISTOGRAMS; histogram++) {
        print_name(piece_histogram_name(histogram), piece_histogram_unit(histogram));
        for (size_t i = 0; i < count; i++)
            print_distance(&columns[i].summary.histogram_distances[histogram]);
        putchar('\n');
    }
}

void statistics_print_table(const struct statistics_column *columns, size_t count)
{
    print_headings(columns, count);
    for (enum metric metric = 0; metric < METRICS; metric++) {
        if (!exists(columns, count, metric))
            continue;
        print_name(piece_metric_name(metric), piece_metric_unit(metric));
        for (size_t i = 0; i < count; i++)
            print_distribution(&columns[i].summary.metrics[metric]);
        putchar('\n');
    }
    print_distances(columns, count);
}

static void distance_json(struct json *json, const struct distance *distance)
{
    json_number(json, "overlap", distance->overlap);
    json_number(json, "wasserstein", distance->wasserstein);
}

static void distribution_json(struct json *json, const struct distribution *values)
{
    json_unsigned(json, "pieces", values->count);
    json_number(json, "mean", values->mean);
    json_array(json, "quartiles");
    for (int i = 0; i < 3; i++)
        json_number(json, NULL, values->quartiles[i]);
    json_close(json);
}

static void summary_json(struct json *json, const struct group_summary *summary)
{
    json_unsigned(json, "pieces", summary->pieces);
    json_object(json, "metrics");
    for (enum metric metric = 0; metric < METRICS; metric++) {
        json_object(json, piece_metric_name(metric));
        distribution_json(json, &summary->metrics[metric]);
        distance_json(json, &summary->metric_distances[metric]);
        json_close(json);
    }
    json_close(json);
    json_object(json, "histograms");
    for (enum piece_histogram histogram = 0; histogram < HISTOGRAMS; histogram++) {
        json_object(json, piece_histogram_name(histogram));
        distance_json(json, &summary->histogram_distances[histogram]);
        json_close(json);
    }
    json_close(json);
}

void statistics_write_json(struct json *json, const struct statistics_column *columns,
                           size_t count)
{
    json_array(json, "groups");
    for (size_t i = 0; i < count; i++) {
        json_object(json, NULL);
        json_string(json, "name", columns[i].name);
        json_unsigned(json, "skipped", columns[i].skipped);
        json_string(json, "distance", i ? "to the first group" : "between halves");
        summary_json(json, &columns[i].summary);
        json_close(json);
    }
    json_close(json);
}
