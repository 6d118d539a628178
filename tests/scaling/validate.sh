#!/bin/bash
# Compares predicted and measured tokens per second on 1, 2 and 4 ranks of this machine
# and on one rank of two threads. The machine must be idle and is modelled with two cores
# (host2.xml). Takes about 2 minutes.
#   bash validate.sh BUILD_DIRECTORY DATASET [MEASURED]
# DATASET must have the performance encoding (vocabulary 389). Fails if any prediction is
# off by more than 15 % (SCALING_TOLERANCE).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1 dataset=$2 measured=${3:-$here/measured.txt}
. "$here/environment.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
steps=24 warm=4
bash "$here/build.sh" "$here/../.." "$work/step"

# train RANKS THREADS: the median of the steps' tokens per second, the first few left out.
train() {
    "$mpirun" -n "$1" "$build/tutti" train "$here/../../configs/nottingham.conf" \
        --set data.dataset="$dataset" --set run.dir="$work/run$1x$2" --set run.samples=0 \
        --set model.hidden=512 --set model.embedding=256 --set train.microbatches="$1" \
        --set train.batch=$((16 * $1 * $2)) --set train.threads="$2" \
        --set train.max_steps=$steps > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    sed -n 's/.*"tokens_per_second": \([0-9.]*\).*/\1/p' "$work/run$1x$2/metrics.jsonl" |
        tail -n +$((warm + 1)) | sort -n |
        awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

# predict RANKS THREADS
predict() {
    bash "$here/simulate.sh" "$work/step" "$measured" "$here/host2.xml" "$1" "$1" \
        threads="$2" rows=$((16 * $2)) | cut -d, -f16
}

echo "ranks  threads  predicted  measured  difference   (tokens/s)"
for shape in "1 1" "2 1" "1 2" "4 1"; do
    # shellcheck disable=SC2086
    predicted=$(predict $shape) trained=$(train $shape)
    awk -v ranks="${shape% *}" -v threads="${shape#* }" -v predicted="$predicted" \
        -v measured="$trained" -v most="${SCALING_TOLERANCE:-15}" 'BEGIN {
            off = 100 * (predicted / measured - 1)
            printf "%5d  %7d  %9.0f  %8.0f  %+8.1f %%\n", ranks, threads, predicted,
                   measured, off
            exit off > most || off < -most }' || failed=yes
done
[ -z "${failed:-}" ]
