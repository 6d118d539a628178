/* slurm: see the header. */
#include "slurm.h"

#include <stdint.h>
#include <stdlib.h>

#include "text.h"

bool slurm_end_time_passed(time_t *end_time)
{
    const char *text = getenv("SLURM_JOB_END_TIME");
    int64_t seconds;
    if (!text || !text_to_integer(text, &seconds) || seconds <= 0)
        return false;
    if (end_time)
        *end_time = (time_t)seconds;
    return (time_t)seconds <= time(NULL);
}
