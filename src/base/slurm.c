/* slurm: see the header. */
#include "slurm.h"

#include <stdint.h>
#include <stdlib.h>

#include "text.h"

bool slurm_job_is_past(time_t *ended)
{
    const char *text = getenv("SLURM_JOB_END_TIME");
    int64_t seconds;
    if (!text || !text_to_integer(text, &seconds) || seconds <= 0)
        return false;
    if (ended)
        *ended = (time_t)seconds;
    return (time_t)seconds <= time(NULL);
}
