#!/bin/bash
# A short soak: a few kills and flipped bits; see soak.sh, which people run by hand.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
is_open_mpi || skip "not Open MPI: its launcher gives other exit codes for ranks that die"
bash "$tests/soak.sh" "$tutti" 5 8
