#!/bin/bash
# Injected deaths and hangs of a rank: one report names the rank and the cause, every
# process exits soon, and the command in the report leads to the weights of an undisturbed
# run.
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
example=$programs/watchdog_example
is_open_mpi ||
    skip "not Open MPI: Hydra kills all ranks, often before the cause is written"

step=10 hang=3           # faults strike in this step; run.hang_timeout_seconds
# Seconds until all processes have exited: measured 1 to 2, and hang + 1 to 3, on an idle
# machine.
death_limit=60
hang_limit=$((hang + 60))

make_dataset data.tutti 60 8 "0.8 0.1 0.1"
cat >run.conf <<END
[data]
dataset = data.tutti
[model]
layers = 1
hidden = 16
embedding = 8
dropout = 0.2
[train]
epochs = 2
batch = 4
microbatches = 4
sequence_length = 32
learning_rate = 0.01
[run]
dir = runs/first
samples = 0
hang_timeout_seconds = $hang
END
"$tutti" train run.conf >log.txt 2>&1 || { cat log.txt >&2; fail "train"; }
hash=$(hash_of runs/first)
[ -n "$hash" ] || fail "no hash"
[ ! -e runs/first/root-cause.txt ] || fail "a successful run has a root cause"

# Every run below resumes this one, so that even with a slow disk there is a checkpoint to
# name.
"$tutti" train run.conf --set run.dir=runs/base --set train.max_steps=2 >log.txt 2>&1 ||
    { cat log.txt >&2; fail "train two steps"; }

# start RANKS ARGUMENT...: starts a slowed-down run in the background; the launcher's pid
# in $launcher, the ranks' in pid[]. RANKS = 0: without mpirun. It resumes runs/base, or
# starts from scratch with other settings if $from_scratch is set.
start() {
    local ranks=$1 command=("$tutti") resume=()
    shift
    rm -rf runs/x
    if [ -z "${from_scratch:-}" ]; then
        cp -R runs/base runs/x
        resume=(--resume)
    fi
    [ "$ranks" = 0 ] || command=("$mpirun" -n "$ranks" "$tutti")
    "${command[@]}" train run.conf "${resume[@]}" --set run.dir=runs/x \
        --set run.checkpoint_minutes=0.005 \
        --inject "slow@*:1:0.1" "$@" >log.txt 2>&1 &
    launcher=$!
    until grep -q '"step": 3,.*gradient_norm' runs/x/metrics.jsonl 2>/dev/null; do
        kill -0 $launcher 2>/dev/null || { cat log.txt >&2; fail "$*: no step was made"; }
        sleep 0.05
    done
    pid=()
    if [ "$ranks" = 0 ]; then pid[0]=$launcher; else find_ranks $launcher; fi
    [ ${#pid[@]} = $((ranks ? ranks : 1)) ] || fail "$*: found ${#pid[@]} ranks"
}

wait_for_step() { # STEP
    while [ "$(grep -c gradient_norm runs/x/metrics.jsonl)" -lt "$1" ]; do
        ! has_exited $launcher || { cat log.txt >&2; fail "step $1 was not reached"; }
        sleep 0.02
    done
}

# finish: waits for the launcher; sets $code, and $elapsed to the seconds since the last
# logged step.
finish() {
    local child
    wait $launcher 2>/dev/null && code=0 || code=$?
    for child in "${pid[@]}"; do
        wait_until "the end of process $child" has_exited "$child"
    done
    elapsed=$(awk "BEGIN { printf \"%.1f\", $(date +%s.%N) - $(stat -c %.Y runs/x/metrics.jsonl) }")
}

has_no_root_cause() {
    grep -q "root cause" log.txt && { cat log.txt >&2; fail "$1: a root cause"; }
    [ ! -e runs/x/root-cause.txt ] || fail "$1: there is a root-cause.txt"
}

# reports_root_cause WHAT RANK PATTERN STEP LIMIT: requires one such report, and the end
# of all processes within LIMIT.
reports_root_cause() {
    local what=$1 rank=$2 pattern=$3 last_step=$4 limit=$5 checkpoint
    finish
    [ "$code" != 0 ] && [ "$code" != 75 ] || { cat log.txt >&2; fail "$what: exit code $code"; }
    # a crashing rank's sanitizer, or the launcher, may have written half a line
    sed -i 's/\(.\)tutti: root cause/\1\ntutti: root cause/' log.txt
    [ "$(grep -c 'root cause' log.txt)" = 1 ] ||
        { cat log.txt >&2; fail "$what: not one root cause"; }
    grep -Eq "^tutti: root cause: rank $rank \($(hostname), pid ${pid[$rank]}\) $pattern" log.txt ||
        { cat log.txt >&2; fail "$what: not: rank $rank, pid ${pid[$rank]}, $pattern"; }
    grep -Eq "^  last seen      step ($last_step), [a-z]+, [0-9]+\.[0-9] s ago$" log.txt ||
        { cat log.txt >&2; fail "$what: not step $last_step"; }
    checkpoint=$(sed -n 's/^  checkpoint     //p' log.txt)
    [ -f "$checkpoint" ] || { cat log.txt >&2; fail "$what: no checkpoint '$checkpoint'"; }
    grep -A3 'root cause' log.txt | cmp -s - runs/x/root-cause.txt ||
        { cat log.txt runs/x/root-cause.txt >&2; fail "$what: root-cause.txt is another"; }
    awk -v elapsed="$elapsed" -v limit="$limit" 'BEGIN { exit !(elapsed < limit) }' ||
        fail "$what: all exited only after $elapsed s"
    echo "ok: $what: all exited $elapsed s after the last step"
}

# resumes: requires that the command of the report, run verbatim, leads to the same
# weights.
resumes() {
    local command resumed_hash
    command=$(sed -n 's/^  resume with    //p' log.txt)
    bash -c "$command" >resumed.txt 2>&1 || { cat resumed.txt >&2; fail "$command"; }
    grep -q "^resuming from runs/x/checkpoints/" resumed.txt || fail "$command: did not resume"
    resumed_hash=$(hash_of runs/x)
    [ "$resumed_hash" = "$hash" ] || fail "$command: hash $resumed_hash, undisturbed $hash"
    [ ! -e runs/x/root-cause.txt ] || fail "$command: the old root cause is still there"
    echo "ok: resumed"
}

# ---- death ----

for rank in 1 0; do
    start 4 --inject kill@$rank:$step
    reports_root_cause "kill of rank $rank" $rank "was killed .*SIGKILL" "10|[0-9]" $death_limit
    resumes
    start 4 --inject segfault@$rank:$step
    reports_root_cause "segfault of rank $rank" $rank "was killed by signal 11 \(SIGSEGV\)" $step $death_limit
    start 4 --inject exit@$rank:$step
    reports_root_cause "exit of rank $rank" $rank "exited with code 5 during the run" $step $death_limit
done
start 3
wait_for_step 5
kill -9 "${pid[2]}"
reports_root_cause "kill -9 from outside" 2 "was killed .*SIGKILL" "[0-9]+" $death_limit
start 0 --inject segfault@0:$step
reports_root_cause "segfault of the only rank" 0 "was killed by signal 11 \(SIGSEGV\)" $step $death_limit
resumes

start 3 # stderr is lost with the launcher: only the file has the report
wait_for_step 5
kill -9 $launcher
finish
grep -Eq "^tutti: root cause: rank [0-2] .* has lost its launcher: process $launcher is gone" \
    runs/x/root-cause.txt || { cat log.txt runs/x/root-cause.txt >&2; fail "kill of mpirun"; }
echo "ok: kill of mpirun: all exited $elapsed s after the last step"

# ---- hangs ----

for rank in 2 0; do
    start 3 --inject hang@$rank:$step
    reports_root_cause "hang of rank $rank" $rank "hangs: no progress for [0-9]+ s in phase [a-z]+" $step $hang_limit
done
start 3 --inject stop@0:$step
reports_root_cause "stop of rank 0" 0 "has sent no heartbeat for .*SIGSTOP" "10|[0-9]" $hang_limit
start 3
wait_for_step 5
kill -STOP "${pid[1]}"
reports_root_cause "SIGSTOP from outside" 1 "has sent no heartbeat for .*SIGSTOP" "[0-9]+" $hang_limit
resumes
start 0 --inject hang@0:$step
reports_root_cause "hang of the only rank" 0 "hangs: no progress for [0-9]+ s in phase [a-z]+" $step $hang_limit

# ---- MPI_Abort ----

"$mpirun" -n 3 "$example" 1 >log.txt 2>&1 && fail "abort: exit code 0"
[ "$(grep -c 'root cause' log.txt)" = 1 ] &&
    grep -q "root cause: rank 1 (.*) ended the run: aborted on purpose$" log.txt ||
    { cat log.txt >&2; fail "no root cause of an abort"; }
echo "ok: abort"

# ---- ranks that can't be watched: rank 0 may hold only two connections ----

"$mpirun" -n 5 bash -c "[ $my_rank != 0 ] || ulimit -n 130; exec '$example' none" \
    >log.txt 2>&1 || { cat log.txt >&2; fail "unwatched ranks stop the run"; }
[ "$(grep -c 'not watched: 2 of 5 ranks can.t reach rank 0 by TCP' log.txt)" = 1 ] ||
    { cat log.txt >&2; fail "unwatched ranks: no warning"; }
echo "ok: unwatched ranks"

# ---- neither deaths nor hangs ----

start 4
wait_for_step 5
kill "${pid[@]}"
finish
[ "$code" = 75 ] || { cat log.txt >&2; fail "SIGTERM to all: exit code $code"; }
has_no_root_cause "SIGTERM to all"
echo "ok: SIGTERM to all"

start 3 --inject "slow@*:5:4" # killed by the batch system
wait_for_step 4
kill "${pid[@]}"
sleep 1.5
kill -9 "${pid[1]}"
finish
[ "$code" != 0 ] && [ "$(grep -c '^tutti: killed [1-4] s after the request to stop, in step 5; .* --resume ' log.txt)" = 1 ] ||
    { cat log.txt >&2; fail "killed while stopping: exit code $code"; }
has_no_root_cause "killed while stopping"
echo "ok: killed while stopping"

from_scratch=yes start 3 --set train.learning_rate=10 --set train.optimizer=adamw \
    --set train.weight_decay=1 --set train.epochs=50
finish
[ "$code" = 1 ] && grep -q "training has diverged" log.txt ||
    { cat log.txt >&2; fail "an agreed error: exit code $code"; }
has_no_root_cause "an agreed error"
echo "ok: an agreed error"

start 3 --inject slow@1:$step:0.5 --set train.max_steps=14 # slow, but not hung
finish
[ "$code" = 0 ] || { cat log.txt >&2; fail "a slow rank: exit code $code"; }
has_no_root_cause "a slow rank"
echo "ok: a slow rank"

refuses 2 '--inject kil@1:3: no such fault .*did you mean kill' \
    "$tutti" train run.conf --inject kil@1:3
refuses 2 '--inject kill@1:3: there is 1 rank' "$tutti" train run.conf --inject kill@1:3
echo "all ok"
