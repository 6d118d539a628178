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

/* How measured times become those of the scenario. */
struct conversion {
    double scale;   /* of computation */
    double barrier; /* seconds of one barrier */
};

static double convert(struct conversion conversion, double seconds, double barriers)
{
    return conversion.scale * seconds + conversion.barrier * barriers;
}

static void read_event(const char *line, struct conversion conversion,
                       struct measured *measured)
{
    char name[LINE];
    size_t position;
    double seconds, barriers;
    if (sscanf(line, "%255s %zu %lf %lf", name, &position, &seconds, &barriers) != 4 ||
        measured->count == MAX_EVENTS)
        scaling_fail("not understood", line);
    struct event event = {.kind = name[0],
                          .seconds = convert(conversion, seconds, barriers)};
    if (event.kind == 'm')
        event.count = position;
    else
        event.first = position;
    measured->events[measured->count++] = event;
}

/* Reads the lines between "share" and "end". */
static void read_share(FILE *file, struct conversion conversion,
                       struct measured *measured)
{
    const struct key keys[] = {{"norm", &measured->norm},
                               {"update", &measured->update},
                               {"pack", &measured->pack},
                               {NULL, NULL}};
    char line[LINE], name[LINE];
    double value, barriers;
    measured->count = 0;
    while (fgets(line, sizeof line, file) && strncmp(line, "end", 3) != 0) {
        double *known =
            sscanf(line, "%255s %lf", name, &value) == 2 ? find(keys, name) : NULL;
        if (known)
            *known = value;
        else if (sscanf(line, "forward %lf %lf", &value, &barriers) == 2)
            measured->forward = convert(conversion, value, barriers);
        else
            read_event(line, conversion, measured);
    }
}

static void skip_share(FILE *file)
{
    char line[LINE];
    while (fgets(line, sizeof line, file) && strncmp(line, "end", 3) != 0)
        ;
}

void measured_read(const char *path, const struct scenario *scenario,
                   struct measured *measured)
{
    const struct key keys[] = {{"shared_exchange_byte", &measured->shared_exchange_byte},
                               {"shared_moved_bytes", &measured->shared_moved_bytes},
                               {"shared_look", &measured->shared_look},
                               {"shared_add_byte", &measured->shared_add_byte},
                               {"shared_near_byte", &measured->shared_near_byte},
                               {"tcp_exchange_byte", &measured->tcp_exchange_byte},
                               {"tcp_moved_bytes", &measured->tcp_moved_bytes},
                               {"tcp_look", &measured->tcp_look},
                               {"barrier", &measured->barrier},
                               {"elements", &measured->elements},
                               {NULL, NULL}};
    char line[LINE], name[LINE];
    double value, threads, rows;
    FILE *file = fopen(path, "r");
    if (!file)
        scaling_fail("can't read", path);
    while (fgets(line, sizeof line, file)) {
        double *known =
            sscanf(line, "%255s %lf", name, &value) == 2 ? find(keys, name) : NULL;
        if (known)
            *known = value;
        else if (sscanf(line, "share %lf %lf", &threads, &rows) != 2)
            continue;
        else if (threads == scenario->threads && rows <= scenario->rows)
            read_share(
                file,
                (struct conversion){scenario->rows / rows,
                                    measured->barrier * threads / 2 * scenario->barrier},
                measured);
        else
            skip_share(file);
    }
    fclose(file);
    if (measured->count == 0 || measured->elements == 0)
        scaling_fail("nothing measured for these threads and so few rows in", path);
}

static void set(struct scenario *scenario, const char *name, const char *text)
{
    const struct key keys[] = {{"threads", &scenario->threads},
                               {"rows", &scenario->rows},
                               {"bucket", &scenario->bucket},
                               {"overlap", &scenario->overlap},
                               {"every", &scenario->every},
                               {"barrier", &scenario->barrier},
                               {"steps", &scenario->steps},
                               {"jitter", &scenario->jitter},
                               {"check", &scenario->check},
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
                                  .threads = 1,
                                  .rows = 16,
                                  .barrier = 1,
                                  .overlap = 1,
                                  .every = 1,
                                  .near = 1,
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
