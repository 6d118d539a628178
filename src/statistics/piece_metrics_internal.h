/* Shared by piece_metrics*.c, each of which sets its own values: piece_metrics_pitch.c
 * those of pitch, piece_metrics_time.c those of time, piece_metrics.c those of the
 * melody. See piece_metrics.h. */
#ifndef TUTTI_STATISTICS_PIECE_METRICS_INTERNAL_H
#define TUTTI_STATISTICS_PIECE_METRICS_INTERNAL_H

#include "piece_metrics.h"

enum { PITCH_CLASSES = 12 };

void piece_metrics_pitch(const struct notes *notes, const struct melody *melody,
                         double values[METRICS]);
enum status piece_metrics_time(const struct notes *notes, double values[METRICS]);

#endif
