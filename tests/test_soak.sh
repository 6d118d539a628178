#!/bin/bash
# A short soak: a few kills and flipped bits; see soak.sh, which people run by hand.
set -eu
. "$(dirname "$0")/mpi.sh"
is_open_mpi || { echo "not Open MPI: its launcher gives other exit codes for ranks that die"; exit 77; }
bash "$(dirname "$0")/soak.sh" "$1" 5 8
