/* stop: SIGINT, SIGTERM and SIGUSR1 as a wish that the step loop reads. */
#ifndef TUTTI_TRAIN_STOP_H
#define TUTTI_TRAIN_STOP_H

#include <stdbool.h>

/* From now on these signals only set a flag. A second SIGINT ends the process as usual.
 */
void stop_listen(void);

/* Puts the handlers back that were there before. After a stop SIGUSR1 and SIGTERM are
 * ignored instead: they reach the hosts one after the other, and a rank that has stopped
 * because another was told must not be killed by what it was about to be told itself. */
void stop_ignore(bool stopped);

/* Has one of them come since stop_listen? */
bool stop_requested(void);

#endif
