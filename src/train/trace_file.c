/* trace_file: see the header.
 *
 * Each rank corrects its own clock by the offset that rank 0 measures at the start and
 * before each flush. Events are gathered on rank 0 in rounds of bounded size, which
 * bounds its memory even with a thousand ranks. Appending overwrites the closing
 * brackets; a failed write is undone by truncation. A pipe or a device gets the brackets
 * at the end.
 */
#include "trace_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stop.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/trace.h"
#include "comm/comm_clock_offset.h"

enum { ROUND_EVENTS = 1 << 20, MIN_EVENTS = 64, LANE_TEXT = 32, HOST_TEXT = 64 };
static const char closing[] = "\n]}\n";

struct trace_file {
    struct comm *comm;
    struct trace_event *events; /* [round]: this rank's part of a round */
    size_t round;
    /* rank 0: */
    FILE *file;
    char *path;
    bool is_regular;                 /* seekable */
    long end;                        /* offset of the closing brackets */
    double origin;                   /* earliest start of a rank, on the common clock */
    bool (*lane_named)[TRACE_LANES]; /* [ranks]: the lane's name has been written */
    bool warned, warned_of_lost;
};

/* ---- rank 0's file ---- */

/* Truncates the file to its last complete state. */
static void undo_append(struct trace_file *file)
{
    int reason = errno;
    if (!file->warned)
        log_warn("%s: a part of the trace is missing: %s", file->path, strerror(reason));
    file->warned = true;
    __fpurge(file->file);
    clearerr(file->file);
    if (!file->is_regular)
        return;
    if (ftruncate(fileno(file->file), (off_t)file->end) == 0 &&
        fseek(file->file, file->end, SEEK_SET) == 0) {
        fputs(closing, file->file);
        fflush(file->file);
    }
    clearerr(file->file);
}

static void begin_append(struct trace_file *file)
{
    if (file->is_regular)
        fseek(file->file, file->end, SEEK_SET);
}

static void end_append(struct trace_file *file)
{
    long end = file->is_regular ? ftell(file->file) : 0;
    if (file->is_regular)
        fputs(closing, file->file);
    if (end < 0 || fflush(file->file) != 0 || ferror(file->file))
        undo_append(file);
    else
        file->end = end;
}

static void write_name(struct trace_file *file, int rank, const char *kind, int lane,
                       const char *name)
{
    fprintf(file->file,
            ",\n{\"name\":\"%s\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,"
            "\"args\":{\"name\":\"%s\"}}",
            kind, rank, lane, name);
}

static void write_event(struct trace_file *file, int rank,
                        const struct trace_event *event)
{
    const double microseconds = 1e6;
    char lane[LANE_TEXT];
    if (!file->lane_named[rank][event->lane])
        write_name(file, rank, "thread_name", event->lane,
                   trace_lane_name(event->lane, lane, sizeof lane));
    file->lane_named[rank][event->lane] = true;
    fprintf(file->file,
            ",\n{\"name\":\"%s\",\"ph\":\"X\",\"ts\":%.3f,\"dur\":%.3f,"
            "\"pid\":%d,\"tid\":%d,\"args\":{\"step\":%d}}",
            phase_name((enum phase)event->phase),
            (event->start - file->origin) * microseconds, event->duration * microseconds,
            rank, event->lane, (int)event->step);
}

/* Makes a host's name safe in a JSON string. */
static void sanitize_host(char *host)
{
    for (char *c = host; *c; c++)
        if (*c == '"' || *c == '\\' || *c < ' ' || *c > '~')
            *c = '?';
}

/* Writes the head of the event list; each later event begins with a comma. */
static void write_head(struct trace_file *file, const uint8_t *hosts)
{
    fprintf(file->file,
            "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"
            "{\"name\":\"tutti %s\",\"ph\":\"M\",\"pid\":0,\"tid\":0,\"args\":{}}",
            TUTTI_VERSION);
    for (int rank = 0; rank < comm_size(file->comm); rank++) {
        char host[HOST_TEXT], name[HOST_TEXT + 32];
        memcpy(host, hosts + (size_t)rank * HOST_TEXT, HOST_TEXT);
        sanitize_host(host);
        snprintf(name, sizeof name, "rank %d (%s)", rank, host);
        write_name(file, rank, "process_name", 0, name);
        fprintf(file->file,
                ",\n{\"name\":\"process_sort_index\",\"ph\":\"M\",\"pid\":%d,"
                "\"args\":{\"sort_index\":%d}}",
                rank, rank);
    }
    end_append(file);
}

/* ---- all ranks ---- */

/* Measures this rank's clock offset. Collective. */
static enum status sync_clock(struct comm *comm, double *offset)
{
    double error;
    enum status status = comm_clock_offset(comm, clock_seconds, offset, &error);
    if (status == STATUS_OK)
        status = trace_add_clock_offset(clock_seconds(), *offset);
    return comm_agree(comm, status);
}

static enum status gather_hosts(struct comm *comm, uint8_t **hosts)
{
    char host[HOST_TEXT] = "";
    size_t *sizes = NULL;
    snprintf(host, sizeof host, "%s", comm_host(comm));
    enum status status = comm_gather(comm, host, sizeof host, hosts, &sizes);
    free(sizes);
    return comm_agree(comm, status);
}

static bool stop_requested(void)
{
    return stop_signal() != 0;
}

static enum status open_output(struct trace_file *file, const char *path)
{
    int descriptor;
    enum status status =
        file_open_output(path, stop_requested, &descriptor, &file->is_regular);
    if (status != STATUS_OK && stop_requested())
        return status_fail(status, "stopped by %s before the first step: %s",
                           stop_signal_name(stop_signal()), status_message());
    if (status != STATUS_OK)
        return status;
    file->file = fdopen(descriptor, "w");
    if (file->file)
        return STATUS_OK;
    close(descriptor);
    return status_fail(STATUS_FAILED, "out of memory for the trace");
}

static enum status create(struct trace_file *file, const char *path)
{
    size_t ranks = (size_t)comm_size(file->comm);
    file->round = ROUND_EVENTS / ranks > MIN_EVENTS ? ROUND_EVENTS / ranks : MIN_EVENTS;
    if (file->round > ROUND_EVENTS / 16)
        file->round = ROUND_EVENTS / 16;
    file->events = malloc(file->round * sizeof *file->events);
    if (!file->events)
        return status_fail(STATUS_FAILED, "out of memory for the trace");
    if (comm_rank(file->comm) != 0)
        return STATUS_OK;
    file->path = strdup(path);
    file->lane_named = calloc(ranks, sizeof *file->lane_named);
    if (!file->path || !file->lane_named)
        return status_fail(STATUS_FAILED, "out of memory for the trace");
    return open_output(file, path);
}

static void destroy(struct trace_file *file)
{
    trace_stop();
    if (file->file && !file->is_regular)
        fputs(closing, file->file);
    if (file->file && fclose(file->file) != 0 && !file->warned)
        log_warn("%s: a part of the trace is missing: %s", file->path, strerror(errno));
    free(file->path);
    free(file->lane_named);
    free(file->events);
    free(file);
}

/* The earliest start of a rank, on the common clock. Collective. */
static double earliest_start(struct comm *comm, double began, double offset)
{
    const double nanosecond = 1e-9;
    int64_t local = (int64_t)((began + offset) / nanosecond);
    return nanosecond * (double)-comm_max_i64(comm, -local);
}

enum status trace_file_open(struct comm *comm, const char *path, struct trace_file **out)
{
    *out = NULL;
    struct trace_file *file = calloc(1, sizeof *file);
    enum status status =
        comm_agree(comm, file ? STATUS_OK : status_fail(STATUS_FAILED, "out of memory"));
    if (status != STATUS_OK) {
        free(file);
        return status;
    }
    file->comm = comm;
    double began = clock_seconds(), offset = 0;
    uint8_t *hosts = NULL;
    status = create(file, path);
    if (status == STATUS_OK)
        status = trace_start(0);
    status = comm_agree(comm, status);
    if (status == STATUS_OK)
        status = sync_clock(comm, &offset);
    if (status == STATUS_OK)
        status = gather_hosts(comm, &hosts);
    if (status == STATUS_OK) {
        file->origin = earliest_start(comm, began, offset);
        if (hosts)
            write_head(file, hosts);
        *out = file;
    } else {
        destroy(file);
    }
    free(hosts);
    return status;
}

/* Gathers up to `count` events of this rank and of all others, and writes them.
 * Collective. */
static enum status write_round(struct trace_file *file, size_t count)
{
    uint8_t *all = NULL;
    size_t *sizes = NULL;
    count = trace_drain(file->events, count < file->round ? count : file->round);
    enum status status =
        comm_agree(file->comm, comm_gather(file->comm, file->events,
                                           count * sizeof *file->events, &all, &sizes));
    const uint8_t *at = all;
    for (int rank = 0; all && rank < comm_size(file->comm); rank++)
        for (size_t i = 0; i < sizes[rank] / sizeof *file->events; i++) {
            struct trace_event event;
            memcpy(&event, at, sizeof event);
            at += sizeof event;
            write_event(file, rank, &event);
        }
    free(all);
    free(sizes);
    return status;
}

static void warn_of_lost(struct trace_file *file)
{
    int64_t lost = comm_max_i64(file->comm, (int64_t)trace_lost());
    if (lost > 0 && !file->warned_of_lost)
        log_warn("the trace has lost events, up to %lld on a rank: there is no space in "
                 "the temporary directory",
                 (long long)lost);
    file->warned_of_lost |= lost > 0;
}

void trace_file_flush(struct trace_file *file)
{
    double offset;
    phase_enter(phase_state().phase); /* ends the current event */
    size_t count = trace_count();     /* without the events of the flush itself */
    enum status status = sync_clock(file->comm, &offset);
    int64_t rounds =
        comm_max_i64(file->comm, (int64_t)((count + file->round - 1) / file->round));
    if (file->file)
        begin_append(file);
    for (int64_t i = 0; i < rounds && status == STATUS_OK; i++) {
        status = write_round(file, count);
        count -= count < file->round ? count : file->round;
    }
    if (file->file)
        end_append(file);
    if (status != STATUS_OK)
        log_warn("a part of the trace is missing: %s", status_message());
    warn_of_lost(file);
}

void trace_file_close(struct trace_file *file)
{
    if (!file)
        return;
    trace_file_flush(file);
    destroy(file);
}
