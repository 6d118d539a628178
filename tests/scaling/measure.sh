#!/bin/bash
# Measures the parameters of the simulation on this machine, which must be otherwise idle.
# Takes about 3 minutes on 2 cores.
#   bash measure.sh BUILD_DIRECTORY > measured.txt
set -eu
measure=$1/tests/scaling_measure
. "$(dirname "$0")/environment.sh"

echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores"
"$mpirun" -n 2 "$measure" messages | sed 's/^/shared_/'
OMPI_MCA_btl=self,tcp "$mpirun" -n 2 "$measure" messages | sed 's/^/tcp_/'
"$mpirun" -n 2 "$measure" compute
