#!/bin/bash
# Simulates training on up to 1024 cores: all results in docs/scaling.md. Takes about 4
# minutes on two cores; "efficiency.sh full" adds 1024 ranks of one thread and takes about
# 10.
#   bash efficiency.sh [full]   in any folder; needs SimGrid (Debian: libsimgrid-dev)
# Reads measured.txt (from measure.sh, or the file that MEASURED names); writes
# efficiency.csv, and efficiency.svg with gnuplot; prints the tables of docs/scaling.md.
set -eu
measured=$(realpath "${MEASURED:-$(dirname "$0")/measured.txt}")
cd "$(dirname "$0")"
if ! command -v smpicc > /dev/null || ! command -v smpirun > /dev/null; then
    echo "efficiency.sh: SimGrid is missing (Debian: apt install libsimgrid-dev)" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bash build.sh ../.. "$work/step"

# value KEY: prints its value in measured.txt
value() { sed -n "s/^$1 //p" "$measured"; }

# CPU cost per byte of MPI_Allreduce: a copy at both ends, and at the receiver an addition
# for every second byte.
copy=$(awk "BEGIN { print $(value shared_exchange_byte) / 2 }")
take=$(awk "BEGIN { print $copy + $(value shared_add_byte) / 2 }")

# run KIND CLUSTER CORES THREADS ROWS [KEY=VALUE ...]: prints a job, after the number of
# its ranks. CLUSTER is PLATFORM:CORES_PER_NODE; ROWS are those of a rank.
run() {
    local kind=$1 platform=${2%:*} node=${2#*:} ranks=$(($3 / $4)) threads=$4 rows=$5
    local network=rdma
    shift 5
    [ "$platform" = ethernet25 ] && network=tcp
    echo "$ranks $platform.xml $ranks $((node / threads)) label=$kind,$platform,$node" \
        "threads=$threads rows=$rows network=$network" "$@"
}

# scaling KIND CLUSTER CORES ROWS_PER_CORE: all shapes of a point, on nodes that are full.
# Runs of many ranks take long and are never the best: only those of one thread are
# simulated, on one cluster.
full=${1:-}
scaling() {
    local kind=$1 cluster=$2 cores=$3 rows=$4 node=${2#*:} ranks
    [ "$cores" -ge "$node" ] || return 0
    for threads in 1 2 4 8 16 32; do
        ranks=$((cores / threads))
        [ "$threads" -le "$node" ] && is_measured $threads "$rows" || continue
        [ $ranks -le 128 ] || [ "$threads:$cluster" = 1:ethernet25:16 ] || continue
        [ $ranks -le 256 ] || [ "$full" = full ] || continue
        run "$kind" "$cluster" "$cores" $threads $((rows * threads))
    done
}

# is_measured THREADS ROWS_PER_CORE
is_measured() { grep -q "^share $1 $(($1 * $2))$" "$measured"; }

# Strong scaling: 1024 rows in total. Weak scaling: 16 rows per core.
points() {
    for cluster in ethernet25:16 fabric100:16 ethernet25:64 fabric100:64; do
        for cores in 16 64 256 1024; do
            scaling strong $cluster $cores $((1024 / cores))
            scaling weak $cluster $cores 16
        done
    done
}

# Variants of the algorithm and of the assumptions, on 256 cores with the rows of strong
# scaling.
variants() {
    for change in "" sum=flat "sum=mpi bucket=4194304" bucket=131072 bucket=1048576 \
        overlap=0 near=0 every=16 type=f32 barrier=2 "jitter=0.01 steps=4" \
        "jitter=0.03 steps=4"; do
        # shellcheck disable=SC2086
        run variant ethernet25:16 256 4 16 $change
    done
}

# one RANKS PLATFORM RANKS RANKS_PER_NODE KEY=VALUE ...
one() {
    shift
    local costs=
    case "$*" in *sum=mpi*) costs="--cfg=smpi/ois:0:0:$copy --cfg=smpi/or:0:0:$take" ;; esac
    SIMULATE_OPTIONS=$costs bash simulate.sh "$work/step" "$measured" "$@" ||
        echo "efficiency.sh: failed: $*" >&2
}
export -f one
export work copy take measured

# Runs the jobs on all cores, the longest first.
{ points; variants; } | sort -rn > "$work/jobs"
echo "$(wc -l < "$work/jobs") simulations" >&2
header=kind,cluster,node,ranks,threads,rows,sum,type,network,bucket,overlap,every,near
header=$header,jitter,barrier,seconds,alone,tokens_per_second,exposed
xargs -a "$work/jobs" -P "$(nproc)" -I{} bash -c 'one {}' > "$work/lines"
{ echo "$header"; sort -t, -k1,2 -k3,5n -k6,6n -k7,15 "$work/lines"; } > efficiency.csv
bash table.sh efficiency.csv "$measured"
command -v gnuplot > /dev/null && gnuplot plot.gp
