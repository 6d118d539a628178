#!/bin/bash
# Reproducibility as the user sees it: one configuration, dataset and seed give the same
# weights for any number of ranks, any allreduce, and across kills and stops. And the
# refusals of `tutti train` and `tutti evaluate`, in one line each. TUTTI_TEST_SEED
# repeats the choice of the kill times.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
kill_hung_mpirun &
at_exit "kill $!"
seed=${TUTTI_TEST_SEED:-$$}
RANDOM=$seed
echo "TUTTI_TEST_SEED=$seed"

# TUTTI_TEST_TRAIN=few, under sanitizers: fewer ranks, kills and signals, no portable C.
rank_counts=(2 3 4) buckets=(61 4096 1000000000) killed_cells=(lstm gru)
killed_ranks=(2 0 3 1 4) signals=(USR1 TERM INT)
few=${TUTTI_TEST_TRAIN:-}
if [ "$few" = few ]; then
    rank_counts=(3) buckets=(61) killed_cells=(lstm) killed_ranks=(2 0 3) signals=(USR1)
fi

make_dataset data.tutti 60 16 "0.8 0.1 0.1"

# config CELL: writes CELL.conf with 16 rows in 8 microbatches, two layers with dropout, a
# validation after each epoch.
config() {
    cat >"$1.conf" <<END
[data]
dataset = data.tutti
[model]
cell = $1
layers = 2
hidden = 48
embedding = 16
dense = 24
dropout = 0.25
[train]
epochs = 5
batch = 16
microbatches = 8
sequence_length = 32
warmup_steps = 10
learning_rate = 0.01
seed = 11
[run]
dir = runs/$1
samples = 0
keep_checkpoints = 2
hash_steps = yes
END
}

# same RUN REFERENCE WHAT [LINES]: compares every step's loss, norm and weights hash and
# every epoch's validation: at least LINES (default 30) lines.
same() {
    deterministic_metrics "runs/$1" >actual.txt
    deterministic_metrics "runs/$2" >expected.txt
    [ "$(wc -l <expected.txt)" -ge "${4:-30}" ] || fail "$3: the reference has too few lines"
    grep -q '"weights_hash"' expected.txt || fail "$3: no hash in the metrics"
    diff expected.txt actual.txt >difference.txt || { head -4 difference.txt >&2; fail "$3"; }
    echo "ok: $3"
}

# ---- any number of ranks, any allreduce ----

for cell in lstm gru; do
    config $cell
    on 0 train $cell.conf >$cell.txt 2>&1 || { cat $cell.txt >&2; fail "train $cell"; }
    for ranks in "${rank_counts[@]}"; do
        on "$ranks" train $cell.conf --set run.dir="runs/$cell-$ranks" >log.txt 2>&1 ||
            { cat log.txt >&2; fail "train $cell on $ranks ranks"; }
        same "$cell-$ranks" $cell "$cell, $ranks ranks"
    done
done

for bucket in "${buckets[@]}"; do
    on 3 train lstm.conf --set run.dir="runs/b$bucket" --set train.bucket="$bucket" \
        >log.txt 2>&1 || { cat log.txt >&2; fail "bucket $bucket"; }
    same "b$bucket" lstm "buckets of $bucket elements"
done

# ---- any processor ----

# train_with_kernels KERNELS RUN REFERENCE LINES SETTING...: trains with these kernels, if
# this processor supports them.
train_with_kernels() {
    local kernels=$1 run=$2 reference=$3 lines=$4
    shift 4
    TUTTI_KERNELS=$kernels on 0 train "$@" --set "run.dir=runs/$run" >log.txt 2>&1 ||
        { cat log.txt >&2; fail "kernels $kernels"; }
    if grep -q "^matmul  *$kernels" log.txt; then
        same "$run" "$reference" "kernels $kernels" "$lines"
    else
        grep -q "TUTTI_KERNELS = $kernels: this processor" log.txt || fail "not trained with $kernels"
        echo "skipped: kernels $kernels: not supported by this processor"
    fi
}

# Portable C takes thirty times as long, so it makes a few steps.
train_with_portable_c() { # PRECISION
    [ "$few" != few ] || return 0
    local short=(lstm.conf --set train.max_steps=4 --set "train.precision=$1")
    on 0 train "${short[@]}" --set "run.dir=runs/short-$1" >log.txt 2>&1 || fail "$1: a few steps"
    train_with_kernels portable "portable-$1" "short-$1" 5 "${short[@]}"
}

for kernels in avx512 avx2; do train_with_kernels $kernels $kernels lstm 30 lstm.conf; done
train_with_portable_c float32

# ---- bfloat16: on 1 to 4 ranks, on any processor ----

rounded=(train lstm.conf --set train.precision=bfloat16)
on 0 "${rounded[@]}" --set run.dir=runs/rounded >log.txt 2>&1 || { cat log.txt >&2; fail "bfloat16"; }
grep -q '^matmul .*, in bfloat16' log.txt || { cat log.txt >&2; fail "no bfloat16"; }
cmp -s <(deterministic_metrics runs/rounded) <(deterministic_metrics runs/lstm) && fail "bfloat16 equals float32"
for ranks in "${rank_counts[@]}"; do
    on "$ranks" "${rounded[@]}" --set run.dir="runs/rounded-$ranks" >log.txt 2>&1 ||
        { cat log.txt >&2; fail "bfloat16 on $ranks ranks"; }
    same "rounded-$ranks" rounded "bfloat16, $ranks ranks"
done
for kernels in amx avx512 avx2; do
    train_with_kernels $kernels rounded-$kernels rounded 30 "${rounded[@]:1}"
done
train_with_portable_c bfloat16
(on 0 "${rounded[@]}" --set run.checkpoint_minutes=0.0001 --inject kill@0:20 \
    --set run.dir=runs/rounded-killed) >log.txt 2>&1 && fail "bfloat16: not killed"
on 2 "${rounded[@]}" --set run.dir=runs/rounded-killed --resume >log.txt 2>&1 ||
    { cat log.txt >&2; fail "bfloat16, resumed"; }
same rounded-killed rounded "bfloat16, killed and resumed on 2 ranks"
gru=(train gru.conf --set train.precision=bfloat16)
on 0 "${gru[@]}" --set run.dir=runs/rounded-gru >log.txt 2>&1 ||
    { cat log.txt >&2; fail "bfloat16, GRU"; }
on 3 "${gru[@]}" --set run.dir=runs/rounded-gru-3 >log.txt 2>&1 ||
    { cat log.txt >&2; fail "bfloat16, GRU on 3 ranks"; }
same rounded-gru-3 rounded-gru "bfloat16, GRU on 3 ranks"
for ranks in 0 3; do
    on $ranks train lstm.conf --set train.matmul=openblas --set run.dir=runs/blas-$ranks \
        >log.txt 2>&1 || { cat log.txt >&2; fail "OpenBLAS on $ranks ranks"; }
done
same blas-3 blas-0 "OpenBLAS, 3 ranks"

# the same comparison for sums that depend on the order: proves that it can fail
on 3 train gru.conf --set run.dir=runs/float --set train.reduce=float >log.txt 2>&1 ||
    { cat log.txt >&2; fail "reduce = float"; }
deterministic_metrics runs/float >actual.txt
deterministic_metrics runs/gru >expected.txt
cmp -s actual.txt expected.txt && fail "float sums give the bits of exact sums: are they used?"

# ---- kills and stops ----

step_count() { grep -c '"gradient_norm"' "runs/$1/metrics.jsonl" 2>/dev/null || true; }

# wait_for RUN STEPS PID: waits until the run has made STEPS steps or has ended.
wait_for() {
    while kill -0 "$3" 2>/dev/null; do
        local made
        made=$(step_count "$1")
        [ "${made:-0}" -ge "$2" ] && return
        sleep 0.01
    done
}

# start CELL RUN RANKS: starts a run in the background as $launcher, slowed down so that
# it can't finish before it is killed.
start() {
    local launch=()
    [ "$3" = 0 ] || launch=("$mpirun" -n "$3")
    "${launch[@]}" "$tutti" train "$1.conf" --resume --set run.dir=runs/"$2" \
        --set run.checkpoint_minutes=0.0005 --inject "slow@*:1:0.1" >log.txt 2>&1 &
    launcher=$!
}

kills=0
for cell in "${killed_cells[@]}"; do
    made=0
    for ranks in "${killed_ranks[@]}"; do
        start "$cell" "$cell-killed" "$ranks"
        wait_for "$cell-killed" $((made + 1 + RANDOM % 10)) $launcher
        pid=()
        if [ "$ranks" = 0 ]; then pid[0]=$launcher; else find_ranks $launcher; fi
        kill -9 "${pid[@]}" 2>/dev/null
        wait $launcher 2>/dev/null && code=0 || code=$?
        made=$(step_count "$cell-killed")
        [ "$code" -ne 0 ] && kills=$((kills + 1))
        echo "killed on $ranks ranks after step ${made:-0}, code $code"
    done
    on 2 train "$cell.conf" --resume --set run.dir="runs/$cell-killed" >log.txt 2>&1 ||
        { cat log.txt >&2; fail "resume after kills"; }
    same "$cell-killed" "$cell" "$cell, killed and resumed with other ranks"
done
planned=$((${#killed_cells[@]} * ${#killed_ranks[@]}))
[ $((5 * kills)) -ge $((2 * planned)) ] ||
    fail "only $kills of $planned kills struck before the end of the run"

for signal in "${signals[@]}"; do
    ranks=0
    [ "$signal" = USR1 ] && ranks=2
    rm -rf runs/stopped
    start lstm stopped $ranks
    wait_for stopped $((3 + RANDOM % 20)) $launcher
    kill "-$signal" $launcher
    wait $launcher && code=0 || code=$?
    [ $ranks = 0 ] || ! launcher_stopped "$code" || code=75
    [ "$code" = 75 ] || { cat log.txt >&2; fail "$signal: exit code $code, not 75"; }
    grep -q "stopped by SIG[A-Z0-9]* after step" log.txt || fail "$signal: not reported"
    on 3 train lstm.conf --resume --set run.dir=runs/stopped >log.txt 2>&1 ||
        { cat log.txt >&2; fail "resume after $signal"; }
    same stopped lstm "stopped by $signal, resumed on 3 ranks"
done

# ---- two runs in one directory ----

"$tutti" train lstm.conf --set run.dir=runs/locked --set run.checkpoint_minutes=0.0005 \
    --inject slow@0:4:60 >first.txt 2>&1 &
first=$!
wait_for locked 3 $first
on 2 train lstm.conf --resume --set run.dir=runs/locked >log.txt 2>&1 && code=0 || code=$?
[ "$code" = 1 ] || { cat log.txt >&2; fail "a second run: exit code $code"; }
holder="$(hostname), pid $first"
[ "$(grep -c "^tutti: .*runs/locked: another run is writing .*($holder)" log.txt)" = 1 ] &&
    grep -q "^waiting for runs/locked/lock: held by another run ($holder)" log.txt ||
    { cat log.txt >&2; fail "a second run: not reported"; }
[ "$(cat runs/locked/lock)" = "$holder" ] || fail "the lock contains $(cat runs/locked/lock)"
on 2 train lstm.conf --resume --set run.dir=runs/locked >log.txt 2>&1 &
second=$!
wait_for_line log.txt "^waiting for runs/locked/lock"
kill -9 $first
wait $second || { cat log.txt >&2; fail "the lock of a killed run"; }
same locked lstm "a second run waits until the first one is killed"
[ -f runs/locked/lock ] && [ ! -s runs/locked/lock ] || fail "the lock still names a finished run"

# ---- checkpoints: number, links, damage, full disk ----

shopt -s nullglob
kept=(runs/lstm/checkpoints/*.h5)
best=$(readlink runs/lstm/checkpoints/best)
[ "$(readlink runs/lstm/checkpoints/latest)" = epoch-0005.h5 ] || fail "latest"
[ -f "runs/lstm/checkpoints/$best" ] || fail "best is a dangling link"
[ ${#kept[@]} -le 3 ] && [ ${#kept[@]} -ge 2 ] || fail "kept ${#kept[@]} checkpoints"

cp -r runs/lstm runs/damaged
size=$(stat -c %s runs/damaged/checkpoints/epoch-0005.h5)
printf '\xa5' | dd of=runs/damaged/checkpoints/epoch-0005.h5 bs=1 seek=$((size / 2)) \
    conv=notrunc 2>/dev/null
on 2 train lstm.conf --resume --set run.dir=runs/damaged >log.txt 2>&1 ||
    { cat log.txt >&2; fail "resume with a damaged checkpoint"; }
[ "$(grep -c 'warning:.*epoch-0005.h5' log.txt)" = 1 ] || fail "damage is not named once"
same damaged lstm "the damaged newest checkpoint is skipped"

second=$(($(grep -c '"gradient_norm"' runs/lstm/metrics.jsonl) * 2 / 5)) # the end of epoch 2
on 2 train lstm.conf --set run.dir=runs/blocked --inject full-disk@0:$second >log.txt 2>&1 ||
    { cat log.txt >&2; fail "an unwritable checkpoint ends the run"; }
grep -q 'warning: epoch-0002.h5 is not written.*epoch-0001.h5' log.txt ||
    { cat log.txt >&2; fail "no warning about an unwritable checkpoint"; }
same blocked lstm "a checkpoint that can't be written"

if unshare -rm true 2>/dev/null; then
    mkdir full
    unshare -rm bash -c "mount -t tmpfs -o size=1400k none full &&
        '$tutti' train lstm.conf --set run.dir=full/run --set run.hash_steps=no \
            --set run.keep_checkpoints=9; echo \$? >code.txt; ls full/run/checkpoints >left.txt
        grep -v '^{.*}\$' full/run/metrics.jsonl >torn.txt
        '$tutti' inspect full/run/checkpoints/latest >inspected.txt" >log.txt 2>&1
    [ "$(cat code.txt)" = 1 ] || { cat log.txt >&2; fail "a full disk: $(cat code.txt)"; }
    grep -q 'warning: epoch-0.*No space left' log.txt || fail "the full disk is not named"
    grep -q 'epoch 5/5' log.txt || fail "a full disk ended the run"
    [ -s inspected.txt ] || fail "a full disk destroyed the last good checkpoint"
    grep -q partial left.txt && fail "a partial checkpoint is left on the full disk"
    [ -s torn.txt ] && { cat torn.txt >&2; fail "a full disk: torn lines in the metrics"; }
    echo "ok: full disk"
fi

# ---- the end of a run within an epoch, and its report ----

on 2 train lstm.conf --set run.dir=runs/part --set train.max_steps=3 >log.txt 2>&1 ||
    { cat log.txt >&2; fail "max_steps"; }
hash=$(hash_of runs/part)
tail -1 runs/part/metrics.jsonl | grep -q "\"step\": 3,.*\"valid_loss\": [0-9].*\"$hash\"" ||
    fail "no validation where max_steps has ended the run"
grep -q "^train.max_steps within epoch 1: step 3 .*valid_loss [0-9].*$hash" log.txt &&
    grep -q "^done: 3 steps, 0 of 5 epochs" log.txt &&
    grep -q "^weights hash $hash, checkpoint runs/part/checkpoints/step-00000003.h5\$" log.txt ||
    { tail -4 log.txt >&2; fail "the end of a run is not reported"; }
echo "ok: the end of a run"

# ---- evaluate ----

"$tutti" evaluate runs/lstm data.tutti --json >one.json || fail "evaluate"
on 3 evaluate runs/lstm data.tutti --json >three.json 2>/dev/null || fail "evaluate on 3"
cmp one.json three.json || fail "evaluate depends on the ranks"
loss=$(sed -n 's/.*"nats_per_token": *\([0-9.]*\).*/\1/p' one.json)
logged=$(sed -n 's/.*"valid_loss": *\([0-9.]*\).*/\1/p' runs/lstm/metrics.jsonl | sort -g |
    head -1)
awk -v a="$loss" -v b="$logged" 'BEGIN { exit !(a - b < 1e-6 && b - a < 1e-6) }' ||
    fail "evaluate reports $loss, the log's best epoch $logged"

# ---- refusals ----

# refuse CODE PATTERN RANKS ARGUMENT...: requires CODE and one matching line in total for
# all ranks.
refuse() {
    local code=$1 pattern=$2 ranks=$3 got
    shift 3
    local launch=()
    [ "$ranks" = 0 ] || launch=("$mpirun" -n "$ranks")
    timeout 120 "${launch[@]}" "$tutti" "$@" >log.txt 2>&1 && got=0 || got=$?
    [ "$got" = "$code" ] || { cat log.txt >&2; fail "$*: exit code $got, not $code"; }
    [ "$(grep -c '^tutti: ' log.txt)" = 1 ] || { cat log.txt >&2; fail "$*: not one line"; }
    grep -Eq "^tutti: .*$pattern" log.txt || { cat log.txt >&2; fail "$*: not: $pattern"; }
    echo "ok: refused: $pattern"
}

sed 's/hidden = 48/hiden = 48/' lstm.conf >unknown.conf
refuse 2 'missing.conf' 2 train missing.conf
refuse 2 'unknown.conf:[0-9]+: .*hiden' 3 train unknown.conf
refuse 2 'no such dataset' 2 train lstm.conf --set data.dataset=nowhere --set run.dir=runs/x
refuse 2 'runs/lstm/checkpoints holds .*--resume' 3 train lstm.conf
refuse 2 'train.microbatches = 2, but there are 3 ranks' 3 train lstm.conf --set train.microbatches=2
refuse 2 'train.batch: 16 in the checkpoint, 32 requested' 2 train lstm.conf --resume \
    --set train.batch=32
refuse 1 'diverged: .*(gradient|loss)' 2 train lstm.conf --set run.dir=runs/diverged \
    --set train.optimizer=adamw --set train.learning_rate=10 --set train.weight_decay=1 \
    --set train.warmup_steps=0 --set train.epochs=50 # every step multiplies weights by -9
refuse 1 'diverged: .*(gradient|loss)' 2 "${rounded[@]}" --set run.dir=runs/diverged-rounded \
    --set train.optimizer=adamw --set train.learning_rate=10 --set train.weight_decay=1 \
    --set train.warmup_steps=0 --set train.epochs=50
refuse 2 'split nothing' 0 evaluate runs/lstm data.tutti --split nothing
refuse 1 'missing.h5' 2 evaluate missing.h5 data.tutti
refuse 1 'data.tutti/index.h5.*not a tutti checkpoint' 2 evaluate data.tutti/index.h5 \
    data.tutti
cp runs/lstm/checkpoints/epoch-0005.h5 flipped.h5
printf '\x5a' | dd of=flipped.h5 bs=1 seek=$((size / 3)) conv=notrunc 2>/dev/null
refuse 1 'flipped.h5' 2 evaluate flipped.h5 data.tutti
"$tutti" preprocess corpus -o roll.tutti --shards 16 --split "0.8 0.1 0.1" \
    --encoding pianoroll --grid 1/4 >preprocess.txt 2>&1 || fail "preprocess pianoroll"
refuse 2 'encoding performance \(389 tokens\), .* pianoroll 1/4 \(90 tokens\)' 2 \
    evaluate runs/lstm roll.tutti
refuse 2 'encoding performance \(389 tokens\), .* pianoroll 1/4 \(90 tokens\)' 2 \
    train lstm.conf --resume --set data.dataset=roll.tutti
rm corpus/tune-000.mid
"$tutti" preprocess corpus -o less.tutti --shards 16 --split "0.8 0.1 0.1" \
    >preprocess.txt 2>&1 || fail "preprocess"
refuse 2 'another dataset' 2 train lstm.conf --resume --set data.dataset=less.tutti
cp -r runs/lstm runs/ruined
for file in runs/ruined/checkpoints/*.h5; do head -c 5000 "$file" >torn && mv torn "$file"; done
on 2 train lstm.conf --resume --set run.dir=runs/ruined >log.txt 2>&1 && code=0 || code=$?
[ "$code" = 1 ] && grep -q 'none of the . checkpoints is intact' log.txt ||
    { cat log.txt >&2; fail "a run without an intact checkpoint"; }

echo "all ok"
