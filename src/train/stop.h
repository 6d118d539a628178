/* stop: SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2 and SIGXCPU as a wish that the step
 * loop reads. */
#ifndef TUTTI_TRAIN_STOP_H
#define TUTTI_TRAIN_STOP_H

#include <stdbool.h>

/* From now on these signals only set a flag. A second SIGINT ends the process as usual; a
 * SIGHUP that is ignored already (nohup) stays ignored. Called again, it
 * installs the handlers again, as MPI's start may have replaced them. */
void stop_listen(void);

/* Puts the handlers back that were there before. After a stop all but SIGINT are ignored
 * instead: they reach the hosts one after the other, and a rank that has stopped because
 * another was told must not be killed by the same request arriving late. */
void stop_ignore(bool stopped);

/* The first of them that has come since stop_listen; 0: none. */
int stop_signal(void);

/* "SIGHUP"; NULL for a signal that is none of them. */
const char *stop_signal_name(int number);

#endif
