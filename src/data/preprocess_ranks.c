/* preprocess_ranks: how the ranks agree between steps, and stop together. */
#include "preprocess_internal.h"

#include <stdio.h>

enum status preprocess_broadcast_status(struct comm *comm, enum status status)
{
    struct {
        int status;
        char message[STATUS_MESSAGE_SIZE];
    } outcome = {.status = (int)status};
    if (status != STATUS_OK)
        snprintf(outcome.message, sizeof outcome.message, "%s", status_message());
    enum status sent = comm_broadcast(comm, &outcome, sizeof outcome);
    if (sent != STATUS_OK)
        return comm_agree(comm, sent);
    if (outcome.status != STATUS_OK)
        status_set_message(outcome.message);
    return comm_agree(comm,
                      outcome.status != STATUS_OK ? (enum status)outcome.status : status);
}

/* More than any list of files or shards; the sum over all failing ranks is below 2^63. */
static const int64_t COUNTER_EXHAUSTED = INT64_C(1) << 40;

void preprocess_stop_counter(struct comm_counter *counter)
{
    comm_counter_fetch_add(counter, COUNTER_EXHAUSTED);
}
