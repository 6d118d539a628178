#!/bin/bash
# Threads share a replica: equal weights for 1 to 4 threads on 1 to 3 ranks, in float32, in
# bfloat16 and with OpenBLAS; also if a run is killed or stopped and resumed with another
# shape. The number of threads comes from the setting or from the environment.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_dataset corpus.tutti 60 16 "0.8 0.1 0.1"
cat >threads.conf <<END
[data]
dataset = corpus.tutti
[model]
layers = 2
hidden = 72
embedding = 20
dropout = 0.2
[train]
epochs = 2
batch = 12
microbatches = 6
sequence_length = 16
max_steps = 12
[run]
samples = 0
END

# train RANKS THREADS [OPTION...]: sets $hash
train() {
    local ranks=$1 threads=$2
    shift 2
    rm -rf runs/run
    resume "$ranks" "$threads" "$@"
}
resume() {
    local ranks=$1 threads=$2
    shift 2
    "$mpirun" -n "$ranks" "$tutti" train threads.conf --set train.threads="$threads" \
        --set run.dir=runs/run "$@" >log.txt 2>&1 || { cat log.txt >&2; fail "train $ranks $threads $*"; }
    hash=$(hash_of runs/run)
}

# equal NAME: compares $hash with the one before
equal() {
    [ -n "$hash" ] || fail "$1: no weights hash"
    [ "${expected:=$hash}" = "$hash" ] || fail "$1: weights hash $hash, not $expected"
}

variants=(model.cell=lstm train.precision=bfloat16 model.cell=gru train.matmul=openblas)
shapes=("1 1" "1 3" "2 2" "1 2" "1 4" "2 1" "3 1" "3 3")
if [ "${TUTTI_TEST_THREADS:-}" = few ]; then
    variants=("${variants[@]:0:2}") shapes=("${shapes[@]:0:3}")
fi
for variant in "${variants[@]}"; do
    expected=""
    for shape in "${shapes[@]}"; do
        read -r ranks threads <<<"$shape"
        train "$ranks" "$threads" --set "$variant"
        equal "$variant, $ranks ranks, $threads threads"
    done
    echo "ok: $variant: equal weights for ${#shapes[@]} shapes"
    train 2 2 --set "$variant" --set train.max_steps=5
    resume 1 3 --set "$variant" --resume
    equal "$variant, stopped on 2 ranks with 2 threads, resumed on 1 with 3"
    echo "ok: $variant: resumed with another shape"
done

# Killed within an epoch, after a checkpoint.
expected=""
train 1 1
equal reference
rm -rf runs/run
"$mpirun" -n 2 "$tutti" train threads.conf --set train.threads=2 --set run.dir=runs/run \
    --set run.checkpoint_minutes=0.0001 --inject kill@1:9 >log.txt 2>&1 && fail "kill: exit code 0"
resume 1 4 --resume
equal "killed on 2 ranks with 2 threads, resumed on 1 with 4"
echo "ok: killed, resumed with another shape"

# ---- evaluation ----

for threads in 1 3; do
    OMP_NUM_THREADS=$threads "$tutti" evaluate runs/run corpus.tutti --split valid --json \
        >evaluation-$threads.json || fail "evaluate with $threads threads"
done
cmp evaluation-1.json evaluation-3.json || fail "evaluate depends on the threads"
echo "ok: evaluate"

# ---- the number of threads ----

# logged PATTERN [VARIABLE=VALUE...]: requires a line of that pattern in the log of a run
# with train.threads = 0.
logged() {
    local pattern=$1
    shift
    rm -rf runs/run
    env -u OMP_NUM_THREADS -u SLURM_CPUS_PER_TASK "$@" "$tutti" train threads.conf \
        --set run.dir=runs/run --set train.max_steps=1 >log.txt 2>&1 || { cat log.txt >&2; fail "$*"; }
    grep -Eq "$pattern" log.txt || { cat log.txt >&2; fail "no line '$pattern' with: $*"; }
}
logged '^ranks +1, with 6 microbatches' OMP_WAIT_POLICY=passive
logged '^ranks +1 with 3 threads, with 6 microbatches' OMP_NUM_THREADS=3
logged '^ranks +1 with 2 threads, with 6 microbatches' SLURM_CPUS_PER_TASK=2
logged '^ranks +1 with 3 threads, with 6 microbatches' OMP_NUM_THREADS=3 SLURM_CPUS_PER_TASK=2
one=$(taskset -pc $$ | sed 's/.*: *//; s/[-,].*//') # a core available to this shell
logged '^tutti: warning: rank 0: 2 threads on 1 core; bind each rank to 2 cores' \
    OMP_NUM_THREADS=2 taskset -c "$one"
! grep '^layout ' log.txt >&2 || fail "a line on the layout besides the warning"
logged '^ranks +1, with 6 microbatches' taskset -c "$one"
! grep -E 'warning|^layout ' log.txt >&2 || fail "a remark on the only layout of one core"
other=$(taskset -pc $$ | sed 's/.*[-, ]//') # another core, or a hardware thread of the same
siblings() { cat "/sys/devices/system/cpu/cpu$1/topology/thread_siblings_list" 2>/dev/null || echo "$1"; }
if [ "$(siblings "$one")" != "$(siblings "$other")" ]; then
    logged '^layout +1 rank x 1 thread uses 1 of 2 cores; 2 ranks x 1 thread would use 2$' \
        taskset -c "$one,$other"
fi
limit="3 threads were requested, but OpenMP starts only 2 \(OMP_THREAD_LIMIT,"
refuses 2 "$limit" env OMP_THREAD_LIMIT=2 "$tutti" train threads.conf --set run.dir=runs/limit \
    --set train.threads=3
refuses 2 "$limit" env OMP_THREAD_LIMIT=2 OMP_NUM_THREADS=3 "$tutti" evaluate runs/run corpus.tutti \
    --split valid
echo "ok: the number of threads"

# ---- divergence is reported as with one thread ----

for threads in 1 3; do
    rm -rf runs/run
    "$tutti" train threads.conf --set run.dir=runs/run --set train.threads=$threads \
        --inject nan@0:3 2>&1 | grep "diverged" >diverged-$threads.txt
done
[ -s diverged-1.txt ] && cmp diverged-1.txt diverged-3.txt || fail "divergence depends on the threads"
echo "ok: divergence"
