#!/bin/bash
# Simulates training on up to 1024 ranks: all results in docs/scaling.md. Takes about 40
# minutes on two cores; "efficiency.sh quick" omits 1024 ranks and takes about 10.
#   bash efficiency.sh [quick]   in any folder; needs SimGrid (Debian: libsimgrid-dev)
# Reads measured.txt (from measure.sh); writes efficiency.csv, and efficiency.svg with
# gnuplot.
set -eu
cd "$(dirname "$0")"
if ! command -v smpicc > /dev/null || ! command -v smpirun > /dev/null; then
    echo "efficiency.sh: SimGrid is missing (Debian: apt install libsimgrid-dev)" >&2
    exit 1
fi
most=1024
[ "${1:-}" = quick ] && most=256
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bash build.sh ../.. "$work/step"

# value KEY: prints its value in measured.txt
value() { sed -n "s/^$1 //p" measured.txt; }

# CPU cost per byte of MPI_Allreduce: a copy at both ends, and at the receiver an addition
# for every second byte.
copy=$(awk "BEGIN { print $(value shared_exchange_byte) / 2 }")
take=$(awk "BEGIN { print $copy + $(value shared_add_byte) / 2 }")

# run CLUSTER RANKS [KEY=VALUE ...]; CLUSTER is PLATFORM:RANKS_PER_NODE
run() {
    local cluster=$1 ranks=$2 network=rdma
    shift 2
    [ "$ranks" -le "$most" ] || return 0
    [ "${cluster%25:*}" = ethernet ] && network=tcp
    echo "$ranks ${cluster%:*}.xml $ranks ${cluster#*:} network=$network label=$cluster" "$@"
}

weak() {
    for cluster in ethernet25:16 fabric100:16 ethernet25:1 fabric100:1; do
        for ranks in 1 2 4 16 64 256 1024; do
            run $cluster $ranks
        done
    done
    return 0
}

# Variants of the algorithm and of the cluster.
variants() {
    for ranks in 4 16 64 256; do
        run ethernet25:16 $ranks sum=mpi bucket=4194304
        run ethernet25:16 $ranks sum=flat
        run ethernet25:16 $ranks sum=sharded
    done
    for bucket in 131072 524288 1048576 4194304; do
        run ethernet25:16 256 bucket=$bucket
    done
    run ethernet25:16 256 every=16
    run ethernet25:16 256 together=1
    run fabric100:16 256 sum=sharded
    for cluster in ethernet25:16 fabric100:16; do
        run $cluster 256 overlap=0
        run $cluster 256 near=0
        run $cluster 256 type=f32
    done
    for jitter in 0.01 0.03; do
        run ethernet25:16 16 jitter=$jitter steps=4
        run ethernet25:16 256 jitter=$jitter steps=4
    done
}

# 1024 rows in total: down to 4 per rank, where weak scaling has 16.
strong() {
    for cluster in ethernet25:16 fabric100:16; do
        for ranks in 16 64 256; do
            rows=rows=$((1024 / ranks))
            [ $rows = rows=16 ] && rows= # already a job of weak scaling
            run $cluster $ranks $rows
            run $cluster $ranks $rows sum=sharded
        done
    done
}

# one RANKS PLATFORM RANKS RANKS_PER_NODE KEY=VALUE ...
one() {
    shift
    local costs=
    case "$*" in *sum=mpi*) costs="--cfg=smpi/ois:0:0:$copy --cfg=smpi/or:0:0:$take" ;; esac
    SIMULATE_OPTIONS=$costs bash simulate.sh "$work/step" measured.txt "$@" ||
        echo "efficiency.sh: failed: $*" >&2
}
export -f one
export work copy take

# Runs the jobs on all cores, the longest last.
{ weak; variants; strong; } | sort -u | sort -n > "$work/jobs"
echo "$(wc -l < "$work/jobs") simulations" >&2
header=label,ranks,rows,sum,type,network,bucket,overlap,every,near,most,together,jitter
header=$header,seconds,alone,efficiency,tokens_per_second,exposed
xargs -a "$work/jobs" -P "$(nproc)" -I{} bash -c 'one {}' > "$work/lines"
{ echo "$header"; sort -t, -k1,1 -k2,2n -k3,18 "$work/lines"; } > efficiency.csv
bash table.sh efficiency.csv
command -v gnuplot > /dev/null && gnuplot plot.gp
