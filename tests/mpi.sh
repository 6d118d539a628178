# How a script starts ranks, to be sourced: `$mpirun -n 2 PROGRAM`. The launcher is that of
# the MPI which the build is linked with, as CMake gives it in TUTTI_MPIRUN; without CMake, mpirun.
mpirun=${TUTTI_MPIRUN:-mpirun}
set -a
. "$(dirname "${BASH_SOURCE[0]}")/mpi.env"
set +a

# rank_of PID: its rank in the job, or nothing.
rank_of() {
    tr '\0' '\n' <"/proc/$1/environ" 2>/dev/null |
        sed -n 's/^\(OMPI_COMM_WORLD_RANK\|PMI_RANK\)=//p' | head -1
}

# find_ranks LAUNCHER: the pids of its ranks into pid[]. They are its children, or those of
# its proxy on this host.
find_ranks() {
    local child rank
    for child in $(pgrep -P "$1"); do
        rank=$(rank_of "$child")
        if [ -n "$rank" ]; then pid[$rank]=$child; else find_ranks "$child"; fi
    done
}

# What tests ask who rely on more than MPI's standard.
is_open_mpi() { $mpirun --version 2>/dev/null | grep -qE "Open MPI|OpenRTE"; }

# launcher_stopped CODE: true if CODE is what a launcher returns that was sent a signal and whose
# ranks then exited with 75. MPICH 4.0's returned 0 instead in 5 of 30 tries, so that a test must
# look for the message and the checkpoint as well.
launcher_stopped() { [ "$1" = 75 ] || { [ "$1" = 0 ] && ! is_open_mpi; }; }

# my_rank: to be expanded by a shell that is started as a rank.
my_rank='${OMPI_COMM_WORLD_RANK:-$PMI_RANK}'
