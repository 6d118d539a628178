#!/bin/bash
# Sourced by scripts that start ranks: `"$mpirun" -n 2 PROGRAM`. The launcher belongs to
# the MPI that the build is linked with; CMake passes it in TUTTI_MPIRUN (default:
# mpirun).
# shellcheck disable=SC2034 # for the scripts that source this
mpirun=${TUTTI_MPIRUN:-mpirun}
set -a
. "$(dirname "${BASH_SOURCE[0]}")/mpi.env"
set +a

# rank_of PID: prints its rank in the job, or nothing.
rank_of() {
    tr '\0' '\n' <"/proc/$1/environ" 2>/dev/null |
        sed -n 's/^\(OMPI_COMM_WORLD_RANK\|PMI_RANK\)=//p' | head -1
}

# find_ranks LAUNCHER: fills pid[] with the pids of its ranks, which are children of the
# launcher or of its proxy on this host.
find_ranks() {
    local child rank
    for child in $(pgrep -P "$1"); do
        rank=$(rank_of "$child")
        if [ -n "$rank" ]; then pid[rank]=$child; else find_ranks "$child"; fi
    done
}

# True under Open MPI: for tests that rely on more than the MPI standard.
is_open_mpi() { "$mpirun" --version 2>/dev/null | grep -qE "Open MPI|OpenRTE"; }

# launcher_stopped CODE: true if the launcher, after a signal to it, may exit with CODE
# when its ranks have exited with 75. MPICH 4.0 returned 0 instead in 5 of 30 tries, so a
# test must also check the message and the checkpoint.
launcher_stopped() { [ "$1" = 75 ] || { [ "$1" = 0 ] && ! is_open_mpi; }; }

# Expands to the rank in a shell started as a rank.
my_rank='${OMPI_COMM_WORLD_RANK:-$PMI_RANK}'
