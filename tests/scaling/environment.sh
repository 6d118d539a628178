#!/bin/bash
# Sourced: mpirun on this machine, also as root and without binding, so that two ranks
# take two cores.
. "$(dirname "${BASH_SOURCE[0]}")/../mpi.sh"
export OPENBLAS_NUM_THREADS=1
