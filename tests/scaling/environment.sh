#!/bin/bash
# What runs of mpirun on this machine need, to be sourced: also as root, and no binding, so
# that two ranks take two cores.
. "$(dirname "${BASH_SOURCE[0]}")/../mpi.sh"
export OPENBLAS_NUM_THREADS=1
