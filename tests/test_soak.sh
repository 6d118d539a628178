#!/bin/bash
# A short soak.sh: a few kills and flipped bits.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
is_open_mpi || skip "not Open MPI: its launcher has other exit codes for dead ranks"
bash "$tests/soak.sh" "$tutti" 5 8
