/* parameters: reads the measured times from a file and the request from arguments. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaling.h"

enum { LINE = 256 };

struct key {
    const char *name;
    double *value;
};

static double *find(const struct key *keys, const char *name)
{
    for (; keys->name; keys++)
        if (strcmp(keys->name, name) == 0)
            return keys->value;
    return NULL;
}

static void read_event(const char *line, double scale, struct measured *measured)
{
    struct event event = {.kind = line[0]};
    int fields = 0, expected = 1;
    switch (line[0]) {
    case 'm':
        fields = sscanf(line, "move %zu %lf", &event.count, &event.seconds);
        expected = 2;
        break;
    case 'c':
        fields = sscanf(line, "complete %zu", &event.first);
        break;
    }
    if (fields != expected || measured->count == MAX_EVENTS)
        scaling_fail("not understood", line);
    event.seconds *= scale;
    measured->events[measured->count++] = event;
}

/* Reads the lines between "rows" and "end". */
static void read_rows(FILE *file, double scale, struct measured *measured)
{
    char line[LINE];
    measured->count = 0;
    while (fgets(line, sizeof line, file) && strncmp(line, "end", 3) != 0) {
        if (sscanf(line, "forward %lf", &measured->forward) == 1)
            measured->forward *= scale;
        else
            read_event(line, scale, measured);
    }
}

void measured_read(const char *path, double rows, struct measured *measured)
{
    const struct key keys[] = {{"shared_exchange_byte", &measured->shared_exchange_byte},
                               {"shared_moved_bytes", &measured->shared_moved_bytes},
                               {"shared_look", &measured->shared_look},
                               {"shared_add_byte", &measured->shared_add_byte},
                               {"shared_near_byte", &measured->shared_near_byte},
                               {"tcp_exchange_byte", &measured->tcp_exchange_byte},
                               {"tcp_moved_bytes", &measured->tcp_moved_bytes},
                               {"tcp_look", &measured->tcp_look},
                               {"elements", &measured->elements},
                               {"norm", &measured->norm},
                               {"update", &measured->update},
                               {"pack", &measured->pack},
                               {NULL, NULL}};
    char line[LINE], name[LINE];
    double value;
    FILE *file = fopen(path, "r");
    if (!file)
        scaling_fail("can't read", path);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%255s %lf", name, &value) != 2)
            continue;
        double *known = find(keys, name);
        if (known)
            *known = value;
        else if (strcmp(name, "rows") == 0 && value <= rows)
            read_rows(file, rows / value, measured);
        else if (strcmp(name, "rows") == 0)
            read_rows(file, 1, &(struct measured){0});
    }
    fclose(file);
    if (measured->count == 0 || measured->elements == 0)
        scaling_fail("nothing measured for so few rows in", path);
}

static void set(struct scenario *scenario, const char *name, const char *text)
{
    const struct key keys[] = {{"rows", &scenario->rows},
                               {"bucket", &scenario->bucket},
                               {"overlap", &scenario->overlap},
                               {"every", &scenario->every},
                               {"most", &scenario->most},
                               {"steps", &scenario->steps},
                               {"jitter", &scenario->jitter},
                               {"check", &scenario->check},
                               {"together", &scenario->together},
                               {"near", &scenario->near},
                               {NULL, NULL}};
    double *value = find(keys, name);
    char *end;
    if (strcmp(name, "sum") == 0)
        snprintf(scenario->sum, sizeof scenario->sum, "%s", text);
    else if (strcmp(name, "type") == 0)
        snprintf(scenario->type, sizeof scenario->type, "%s", text);
    else if (strcmp(name, "network") == 0)
        snprintf(scenario->network, sizeof scenario->network, "%s", text);
    else if (strcmp(name, "label") == 0)
        snprintf(scenario->label, sizeof scenario->label, "%s", text);
    else if (!value)
        scaling_fail("no such key", name);
    else if (*value = strtod(text, &end), *end != '\0' || end == text)
        scaling_fail("not a number", text);
}

void scenario_parse(char **arguments, struct scenario *scenario)
{
    *scenario = (struct scenario){.sum = "program",
                                  .type = "i64",
                                  .network = "rdma",
                                  .label = "-",
                                  .rows = 16,
                                  .overlap = 1,
                                  .every = 1,
                                  .near = 1,
                                  .most = -1,
                                  .steps = 1};
    for (; *arguments; arguments++) {
        char name[LINE];
        const char *equals = strchr(*arguments, '=');
        if (!equals)
            scaling_fail("KEY=VALUE is expected", *arguments);
        snprintf(name, sizeof name, "%.*s", (int)(equals - *arguments), *arguments);
        set(scenario, name, equals + 1);
    }
}
