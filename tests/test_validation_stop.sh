#!/bin/bash
# A stop during validation: the run ends at once with the epoch still open, and when
# resumed on any number of ranks it continues as if it had not been stopped.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# A few steps, followed by a validation of many more windows, which takes most of the
# time.
make_dataset data.tutti 120 16 "0.07 0.93 0"
write_run_conf 2 256 4 32

# exec_on: like `on`, and ends the shell.
exec_on() {
    local ranks=$1
    shift
    if [ "$ranks" = 0 ]; then exec "$tutti" "$@"; else exec "$mpirun" -n "$ranks" "$tutti" "$@"; fi
}

# succeeds WHAT RANKS ARGUMENT...
succeeds() {
    local what=$1
    shift
    on "$@" >log.txt 2>&1 || { cat log.txt >&2; fail "$what: exit code $?"; }
}

succeeds "the whole run" 0 train run.conf
steps=$(($(grep -c '"gradient_norm"' runs/whole/metrics.jsonl) / 2))
[ $steps -ge 3 ] && [ $steps -le 12 ] || fail "$steps steps an epoch"

# suspend RANKS STEP RUN ARGUMENT...: starts a run and suspends it in the validation after
# STEP; the launcher's pid in $launcher, the ranks' in pid[].
suspend() {
    local ranks=$1 step=$2 run=$3
    shift 3
    (exec_on "$ranks" train run.conf --resume --set run.dir="runs/$run" "$@") >log.txt 2>&1 &
    launcher=$!
    pid=()
    [ "$ranks" != 0 ] || pid[0]=$launcher
    until [ ${#pid[@]} = $((ranks ? ranks : 1)) ] &&
        grep -q "\"step\": $step,.*gradient_norm" "runs/$run/metrics.jsonl" 2>/dev/null; do
        kill -0 $launcher 2>/dev/null || { cat log.txt >&2; fail "$run: step $step not reached"; }
        [ ${#pid[@]} -ge "$ranks" ] || find_ranks $launcher
        sleep 0.01
    done
    kill -STOP "${pid[@]}"
}

# continue_run CODE WHAT: continues the run, which must exit with CODE.
continue_run() {
    kill -CONT "${pid[@]}"
    wait $launcher && code=0 || code=$?
    [ "$code" = "$1" ] || { cat log.txt >&2; fail "$2: exit code $code, not $1"; }
}

# is_open RUN STEP WHAT: requires that the validation was stopped and that the checkpoint
# precedes it.
is_open() {
    local name
    name=$(printf 'step-%08d.h5' "$2")
    grep -q "validation stopped; the resumed run starts with validating again" log.txt &&
        [ "$(readlink "runs/$1/checkpoints/latest")" = "$name" ] &&
        grep -Eq "^tutti: stopped .* after step $2 with checkpoint .*/$name; resume with --resume" log.txt ||
        { cat log.txt >&2; fail "$3: validation not stopped"; }
}

# ---- a signal, to all ranks or to one of them ----

i=0
for who in all:0:USR1 all:2:TERM 0:3:USR1 1:2:USR1; do
    IFS=: read -r whom ranks signal <<<"$who"
    what="$signal to $whom of $ranks ranks"
    i=$((i + 1))
    suspend "$ranks" $steps stopped-$i
    [ "$whom" = all ] && kill "-$signal" "${pid[@]}" || kill "-$signal" "${pid[$whom]}"
    continue_run 75 "$what"
    is_open stopped-$i $steps "$what"
    succeeds "$what: resume" $(((i + 1) % 4)) train run.conf --resume --set run.dir=runs/stopped-$i
    same_metrics stopped-$i whole "$what"
done

# ---- where train.max_steps ends the run: with an epoch, or within one ----

succeeds "max_steps" 0 train run.conf --set run.dir=runs/max --set train.max_steps=$steps
suspend 2 $steps max-stopped --set train.max_steps=$steps
kill -USR1 "${pid[@]}"
continue_run 75 "max_steps at an epoch's end"
is_open max-stopped $steps "max_steps at an epoch's end"
succeeds "max_steps: resume" 3 train run.conf --resume --set run.dir=runs/max-stopped \
    --set train.max_steps=$steps
[ "$(readlink runs/max-stopped/checkpoints/latest)" = epoch-0001.h5 ] || fail "epoch not closed"
same_metrics max-stopped max "stopped where train.max_steps ends an epoch"

hash_of_step() {
    sed -n "s/.*\"step\": $2,.*gradient_norm.*\"weights_hash\": \"\(.*\)\".*/\1/p" \
        "runs/$1/metrics.jsonl"
}
suspend 2 $((steps - 1)) part --set train.max_steps=$((steps - 1))
kill -USR1 "${pid[@]}"
continue_run 0 "max_steps within an epoch"
grep -q "warning: not validated .*: tutti evaluate runs/part/checkpoints/latest" log.txt &&
    grep -q "^weights hash $(hash_of_step whole $((steps - 1)))," log.txt ||
    { cat log.txt >&2; fail "max_steps within an epoch: not reported"; }
"$tutti" evaluate runs/part/checkpoints/latest data.tutti --split valid >log.txt 2>&1 ||
    { cat log.txt >&2; fail "the evaluation that the warning names"; }
echo "ok: stopped where train.max_steps ends the run"

# On a terminal a validation shows its progress, and then its result.
TERM=xterm python3 -c 'import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))' \
    "$tutti" train run.conf --set run.dir=runs/shown --set train.max_steps=2 \
    --set model.hidden=512 --set model.layers=3 </dev/null >log.txt 2>&1 ||
    { cat log.txt >&2; fail "max_steps on a terminal"; }
grep -q "evaluating valid: [0-9]* of [0-9]* tokens, " log.txt &&
    grep -q "train.max_steps within epoch 1: step 2 train_loss [0-9.]* valid_loss [0-9.]* " log.txt &&
    grep -q '"step": 2, "epoch": 1, "valid_loss": [0-9.]*' runs/shown/metrics.jsonl ||
    { cat log.txt >&2; fail "max_steps on a terminal: no progress, or no result"; }
echo "ok: the progress of a validation, and its result"

# ---- a time limit, for a run that starts with a validation ----

began=$SECONDS
suspend 2 $steps timed
steps_seconds=$((SECONDS - began + 1))
kill -USR1 "${pid[@]}"
continue_run 75 "the first part of the run"
# The program reserves five seconds of the limit. Even on a slow machine the run must get
# past the first epoch's validation to the second epoch's steps; that validation takes at
# most ten times as long as a start with as many steps.
limit=$((12 + 12 * steps_seconds)) began=$SECONDS
suspend 2 $((2 * steps)) timed --set run.time_limit_minutes="$(awk "BEGIN { print $limit / 60 }")"
grep -q "^epoch 1/2 step $steps " log.txt || { cat log.txt >&2; fail "it did not start with a validation"; }
left=$((limit - 2 - (SECONDS - began)))
[ $left -le 0 ] || sleep $left
continue_run 75 "a time limit"
# On a machine too slow to start the validation the run stops before it.
! grep -q "validation stopped" log.txt || is_open timed $((2 * steps)) "a time limit"
grep -q "^tutti: stopped before the time limit after step $((2 * steps)) " log.txt ||
    fail "a time limit: not reported"
succeeds "a time limit: resume" 0 train run.conf --resume --set run.dir=runs/timed
same_metrics timed whole "each validation stopped once, by a signal and by a time limit"
echo "all ok"
