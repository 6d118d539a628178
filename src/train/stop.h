/* stop: turns SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2 and SIGXCPU into a request that
 * the step loop polls. */
#ifndef TUTTI_TRAIN_STOP_H
#define TUTTI_TRAIN_STOP_H

#include <stdbool.h>

/* From now on these signals only set a flag. A second SIGINT ends the process as usual;
 * an already ignored SIGHUP (nohup) stays ignored. Another call installs the handlers
 * again, because MPI may replace them when it starts. */
void stop_install_handlers(void);

/* Restores the previous handlers. After a stop all signals but SIGINT are ignored
 * instead: they reach the hosts one after the other, and a rank that has stopped because
 * of another rank's signal must not be killed when its own signal arrives late. */
void stop_restore_handlers(bool stopped);

/* The first signal received since stop_install_handlers; 0: none. */
int stop_signal(void);

/* "SIGHUP"; NULL for any other signal. */
const char *stop_signal_name(int number);

#endif
