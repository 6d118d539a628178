#!/bin/bash
# A short soak.sh: a few kills and flipped bits.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
is_open_mpi || skip "not Open MPI: its launcher gives other exit codes for ranks that die"
bash "$tests/soak.sh" "$tutti" 5 8
