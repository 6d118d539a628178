#!/bin/bash
# The samples of each epoch, which rank 0 writes while it trains the next one: the same
# bytes on any number of ranks; whole samples only, and the same weights, whatever happens
# while they are under way.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_run lstm # two epochs, two samples each
hash=$(hash_of runs/first)
[ -n "$hash" ] || fail "no hash"

# ---- the bytes ----

for epoch in 1 2; do
    "$tutti" generate runs/first/checkpoints/epoch-000$epoch.h5 -o alone.mid --count 2 --seconds 5 --seed 5 \
        --temperature 0.9 --top-p 0.98 >log.txt 2>&1 || { cat log.txt >&2; fail "generate"; }
    for number in 1 2; do
        cmp "alone-$number.mid" "runs/first/samples/epoch-000$epoch-$number.mid" ||
            fail "epoch $epoch: not what generate writes from its checkpoint"
    done
done
for ranks in 2 3; do
    "$mpirun" -n $ranks "$tutti" train first.conf --set run.dir=runs/several --set train.microbatches=4 \
        >log.txt 2>&1 || { cat log.txt >&2; fail "$ranks ranks"; }
    "$tutti" train first.conf --set run.dir=runs/single --set train.microbatches=4 >log.txt 2>&1 ||
        { cat log.txt >&2; fail "one rank"; }
    diff -r runs/single/samples runs/several/samples || fail "$ranks ranks: other samples than on one"
    rm -r runs/several runs/single
done
echo "ok: the bytes"

# ---- while samples are under way ----

# More music than anyone waits for.
endless=(--set run.sample_seconds=86400 --set run.samples=4 --set sample.end=forbid)

under_way() { compgen -G "runs/$1/samples/.epoch.*.partial" >/dev/null; }
at_step() { grep -q "\"step\": $2,.*gradient_norm" "runs/$1/metrics.jsonl"; }
steps_of_epoch=$(sed -n 's/^{"epoch": 1, "step": \([0-9]*\),.*/\1/p' runs/first/metrics.jsonl | head -n 1)
[ -n "$steps_of_epoch" ] || fail "no step at the end of epoch 1"
in_second_epoch=$((steps_of_epoch + 2))

# starts RUN COMMAND...: starts the run in the background, until it has made steps of the
# second epoch while the samples of the first are under way.
starts() {
    local run=$1
    shift
    "$@" train first.conf --set run.dir="runs/$run" "${endless[@]}" --inject "slow@*:$in_second_epoch:0.2" \
        >log.txt 2>&1 &
    launcher=$!
    wait_until "$run: the second epoch" at_step "$run" $in_second_epoch
    wait_until "$run: samples under way" under_way "$run" # at the lowest priority
}

# has_whole_samples RUN EPOCHS...: these epochs have two samples each, and nothing else is
# there.
has_whole_samples() {
    local run=$1 epoch expected=""
    shift
    for epoch in "$@"; do expected+="epoch-000$epoch-1.mid epoch-000$epoch-2.mid "; done
    [ "$(ls -A "runs/$run/samples" | tr '\n' ' ')" = "$expected" ] ||
        { cat log.txt >&2; fail "$run: samples: $(ls -A "runs/$run/samples")"; }
    for sample in "runs/$run"/samples/*.mid; do
        [ ! -e "$sample" ] || "$tutti" inspect "$sample" >log.txt 2>&1 || fail "$sample: $(cat log.txt)"
    done
}

resumes() { # RUN
    "$tutti" train first.conf --resume --set run.dir="runs/$1" >log.txt 2>&1 ||
        { cat log.txt >&2; fail "$1: resume"; }
    [ "$(hash_of "runs/$1")" = "$hash" ] || fail "$1: other weights"
    has_whole_samples "$1" 2
    echo "ok: $1"
}

# a stop doesn't wait for them
starts stopped "$tutti"
kill -TERM $launcher
wait $launcher && code=0 || code=$?
[ "$code" = 75 ] || { cat log.txt >&2; fail "stopped: exit code $code"; }
grep -q "^no samples of epoch 1: the run is stopping$" log.txt || { cat log.txt >&2; fail "stopped: not logged"; }
has_whole_samples stopped
resumes stopped

# nor does one that reaches only another rank
starts one-signal "$mpirun" -n 2 "$tutti"
pid=()
find_ranks $launcher
kill -TERM "${pid[1]}"
wait $launcher && code=0 || code=$?
launcher_stopped "$code" || { cat log.txt >&2; fail "one-signal: exit code $code"; }
grep -q "^no samples of epoch 1: the run is stopping$" log.txt || { cat log.txt >&2; fail "one-signal: not logged"; }
has_whole_samples one-signal
resumes one-signal

# a kill leaves a staging folder, which the resumed run removes
starts killed "$tutti"
kill -KILL $launcher
wait $launcher 2>/dev/null && fail "killed: exit code 0"
under_way killed || fail "killed: no staging folder, so this tests nothing"
resumes killed

# a failed step ends them too
"$mpirun" -n 2 "$tutti" train first.conf --set run.dir=runs/failed "${endless[@]}" \
    --inject nan@1:$in_second_epoch >log.txt 2>&1 && fail "failed: exit code 0"
grep -q "^tutti: .*the last checkpoint is epoch-0001.h5" log.txt || { cat log.txt >&2; fail "failed: no message"; }
has_whole_samples failed
resumes failed

# rank 0 waits for them at the end of the next epoch, but not beyond the time limit
SECONDS=0
"$tutti" train first.conf --set run.dir=runs/late "${endless[@]}" --set train.epochs=3 \
    --set run.time_limit_minutes=0.2 >log.txt 2>&1 && code=0 || code=$?
[ "$code" = 75 ] || { cat log.txt >&2; fail "late: exit code $code"; }
grep -q "^no samples of epoch 1: the run is stopping$" log.txt || { cat log.txt >&2; fail "late: not logged"; }
[ $SECONDS -lt 60 ] || fail "late: stopped only after $SECONDS s"
"$tutti" train first.conf --resume --set run.dir=runs/late --set train.epochs=2 >log.txt 2>&1 ||
    { cat log.txt >&2; fail "late: resume"; }
has_whole_samples late
echo "ok: late"

# they don't hide that training hangs
if is_open_mpi; then
    "$mpirun" -n 2 "$tutti" train first.conf --set run.dir=runs/hung "${endless[@]}" \
        --set run.hang_timeout_seconds=3 --inject hang@0:$in_second_epoch >log.txt 2>&1 && fail "hung: exit code 0"
    grep -Eq "^tutti: root cause: rank 0 .* hangs|^tutti: root cause: rank 0 .*no progress" log.txt ||
        { cat log.txt >&2; fail "hung: not reported"; }
    resumes hung
fi

# ---- failing samples ----

# The folder is taken away while the first epoch trains.
"$tutti" train first.conf --set run.dir=runs/lost --inject "slow@*:1:0.1" >log.txt 2>&1 &
launcher=$!
wait_until "lost: the folder" test -d runs/lost/samples
mv runs/lost/samples runs/lost/away
wait $launcher || { cat log.txt >&2; fail "lost: exit code $?"; }
for epoch in 1 2; do
    grep -Eq "^tutti: warning: no samples of epoch $epoch: .*can't be created" log.txt ||
        { cat log.txt >&2; fail "lost: no warning for epoch $epoch"; }
done
[ "$(hash_of runs/lost)" = "$hash" ] || fail "lost: other weights"
echo "ok: lost"
