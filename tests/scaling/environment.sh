#!/bin/bash
# Sourced: settings for mpirun on this machine, also as root; no binding, so two ranks run
# on two cores.
. "$(dirname "${BASH_SOURCE[0]}")/../mpi.sh"
export OPENBLAS_NUM_THREADS=1
