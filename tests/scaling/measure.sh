#!/bin/bash
# Measures the parameters of the simulation on this machine, which must be otherwise idle.
# Takes about 2 minutes on 2 cores.
#   bash measure.sh BUILD_DIRECTORY > measured.txt
set -eu
tests=$1/tests
. "$(dirname "$0")/environment.sh"

echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc --all) cores"
"$mpirun" -n 2 "$tests/scaling_measure" messages | sed 's/^/shared_/'
OMPI_MCA_btl=self,tcp "$mpirun" -n 2 "$tests/scaling_measure" messages | sed 's/^/tcp_/'
"$tests/scaling_barrier"
"$mpirun" -n 2 "$tests/scaling_measure" compute 15
