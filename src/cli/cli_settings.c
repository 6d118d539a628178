/* cli_settings: starts MPI and reads the configuration, with the same outcome on all
 * ranks. */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

/* Open MPI sets HOME if it is unset, but "~" must follow the user's environment. */
static enum status open_ranks_preserving_home(struct comm **out)
{
    bool had_home = getenv("HOME") != NULL;
    enum status status = comm_open(NULL, NULL, out);
    if (!had_home)
        unsetenv("HOME");
    return status;
}

enum status cli_open_ranks(enum status local_status, struct comm **out)
{
    char message[STATUS_MESSAGE_SIZE];
    snprintf(message, sizeof message, "%s", status_message());
    enum status status = open_ranks_preserving_home(out);
    if (status != STATUS_OK && local_status != STATUS_OK) { /* report the first failure */
        status_set_message(message);
        return local_status;
    }
    if (status != STATUS_OK)
        return status;
    cli_set_rank(comm_rank(*out));
    status = comm_agree(*out, local_status);
    if (status != STATUS_OK) {
        comm_close(*out);
        *out = NULL;
    }
    return status;
}

/* The result of loading the file on rank 0. */
struct load_result {
    int32_t status;
    char message[STATUS_MESSAGE_SIZE];
    uint64_t size;
};

/* Rank 0 reads the file, which may be a pipe or exist only on its host. Collective. */
static enum status load_and_broadcast(struct comm *comm, const char *path, char **text,
                                      size_t *size)
{
    struct load_result load_result = {.status = STATUS_OK};
    if (comm_rank(comm) == 0) {
        load_result.status = (int32_t)options_load_file(path, text, size);
        snprintf(load_result.message, sizeof load_result.message, "%s", status_message());
        load_result.size = *size;
    }
    enum status status = comm_broadcast(comm, &load_result, sizeof load_result);
    if (status != STATUS_OK)
        return status;
    if (load_result.status != STATUS_OK) {
        status_set_message(load_result.message);
        return (enum status)load_result.status;
    }
    if (comm_rank(comm) != 0 && !(*text = malloc(load_result.size + 1)))
        status = status_fail(STATUS_FAILED, "%s: out of memory", path);
    *size = load_result.size;
    status = comm_agree(comm, status);
    return status == STATUS_OK ? comm_broadcast(comm, *text, *size) : status;
}

enum status cli_read_settings(struct comm *comm, const char *path,
                              struct cli_request *request)
{
    char *text = NULL;
    size_t size = 0;
    enum status status = STATUS_OK;
    if (path)
        status = comm ? load_and_broadcast(comm, path, &text, &size)
                      : options_load_file(path, &text, &size);
    if (status == STATUS_OK && path)
        status = options_read_user_text(request->options, text, size, path);
    free(text);
    if (status == STATUS_OK)
        status = cli_apply_settings(request);
    return status == STATUS_OK ? options_check(request->options) : status;
}

/* Called after MPI failed to start. An error in the settings takes precedence. */
static enum status settings_or_mpi_error(enum status mpi_error, const char *path,
                                         struct cli_request *request)
{
    char message[STATUS_MESSAGE_SIZE];
    snprintf(message, sizeof message, "%s", status_message());
    enum status status = cli_read_settings(NULL, path, request);
    if (status != STATUS_OK)
        return status;
    status_set_message(message);
    return mpi_error;
}

enum status cli_open_with_settings(const char *path, struct cli_request *request,
                                   struct comm **out)
{
    enum status status = cli_open_ranks(STATUS_OK, out);
    if (status != STATUS_OK)
        return settings_or_mpi_error(status, path, request);
    status = comm_agree(*out, cli_read_settings(*out, path, request));
    if (status != STATUS_OK) {
        comm_close(*out);
        *out = NULL;
    }
    return status;
}
