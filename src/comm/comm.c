/* comm: rank, size and host, MPI errors, and single-rank communicators. */
#include "comm.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm_internal.h"
#include "base/log.h"

/* ---- failures ---- */

enum status comm_check(int code, const char *what)
{
    if (code == MPI_SUCCESS)
        return STATUS_OK;
    char reason[MPI_MAX_ERROR_STRING] = "unknown error";
    int length;
    MPI_Error_string(code, reason, &length);
    return status_fail(STATUS_FAILED, "MPI can't %s: %s", what, reason);
}

static void (*report_abort)(const char *message);

void comm_on_abort(void (*report)(const char *message))
{
    report_abort = report;
}

void comm_abort(struct comm *comm, int code)
{
    (void)comm;
    if (report_abort)
        report_abort(status_message());
    MPI_Abort(MPI_COMM_WORLD, code);
    _exit(code); /* MPI_Abort does not return */
}

void comm_check_or_abort(int code, const char *what)
{
    if (comm_check(code, what) == STATUS_OK)
        return;
    log_error("%s", status_message());
    comm_abort(NULL, STATUS_FAILED);
}

/* ---- communicators ---- */

void comm_close(struct comm *comm)
{
    if (!comm)
        return;
    MPI_Finalize();
    free(comm->node_of);
    free(comm);
}

enum status comm_self(const struct comm *comm, struct comm **out)
{
    struct comm *self = *out = calloc(1, sizeof *self);
    if (!self || !(self->node_of = calloc(2, sizeof *self->node_of))) {
        free(self);
        *out = NULL;
        return status_fail(STATUS_FAILED, "out of memory");
    }
    self->size = self->local_size = 1;
    self->local_rank_of = self->node_of + 1;
    memcpy(self->host, comm->host, sizeof self->host);
    return STATUS_OK;
}

void comm_self_free(struct comm *self)
{
    if (self)
        free(self->node_of);
    free(self);
}

int comm_rank(const struct comm *comm)
{
    return comm->rank;
}

int comm_size(const struct comm *comm)
{
    return comm->size;
}

const char *comm_host(const struct comm *comm)
{
    return comm->host;
}

/* Replaces each run of blanks and tabs with one blank. */
static void collapse_blanks(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (!isblank((unsigned char)*from))
            *to++ = *from;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    *to = '\0';
}

const char *comm_library_version(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    if (MPI_Get_library_version(text, &length) != MPI_SUCCESS)
        return "MPI";
    text[strcspn(text, ",\n")] = '\0';
    collapse_blanks(text);
    return text;
}
