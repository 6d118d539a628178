#!/bin/bash
# soak.sh TUTTI [KILLS [FLIPS]]: a run that is disturbed in any way ends with the weights
# of the undisturbed run, or refuses and names the damaged file. Three campaigns (200, 200
# and 200 take about a quarter of an hour):
#
#   kills             a run is killed repeatedly and resumed on another number of ranks,
#                     until it ends; then the next one. Victims are one rank or all of
#                     them, at a random moment; or, by --inject, the process within a
#                     step, half-way through a checkpoint, or after a checkpoint that then
#                     loses its second half.
#   checkpoint flips  flip one bit of a checkpoint, then resume the run and generate.
#   dataset flips     flip one bit of a shard or of the index, then train on it.
#
# TUTTI_TEST_SEED repeats the random choices (not the timing). Run by hand;
# tests/test_soak.sh runs a few of each.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
kill_count=${2:-200}
flip_count=${3:-200}
. "$tests/scaling/environment.sh"
kill_hung_mpirun &
at_exit "kill $!"
seed=${TUTTI_TEST_SEED:-$$}
RANDOM=$seed
echo "TUTTI_TEST_SEED=$seed"
shopt -s nullglob

make_dataset data.tutti 40 6 "0.8 0.1 0.1"
cat >run.conf <<END
[data]
dataset = data.tutti
[model]
layers = 2
hidden = 24
embedding = 12
dropout = 0.2
[train]
epochs = 4
batch = 8
microbatches = 4
sequence_length = 32
warmup_steps = 10
learning_rate = 0.01
[run]
dir = runs/whole
samples = 0
keep_checkpoints = 3
hash_steps = yes
END

# on N ARGUMENT...: tutti on N ranks. N = 0: without mpirun.
on() {
    local ranks=$1
    shift
    if [ "$ranks" = 0 ]; then exec "$tutti" "$@"; else exec "$mpirun" -n "$ranks" "$tutti" "$@"; fi
}

# same RUN WHAT: compares every step's loss, norm and weights hash and every epoch's
# validation with the undisturbed run.
same() {
    cmp -s <(deterministic_metrics "runs/$1") whole.txt && return
    diff <(deterministic_metrics "runs/$1") whole.txt | head -4 >&2
    cat log.txt >&2
    fail "$2: not the undisturbed run's weights (TUTTI_TEST_SEED=$seed)"
}

(on 0 train run.conf) >log.txt 2>&1 || { cat log.txt >&2; fail "the undisturbed run"; }
deterministic_metrics runs/whole >whole.txt
steps=$(grep -c '"gradient_norm"' whole.txt)
hash=$(sed -n 's/.*"weights_hash": "\(.*\)".*/\1/p' whole.txt | tail -1)
[ "$steps" -ge 40 ] && [ -n "$hash" ] || fail "the undisturbed run has $steps steps"
echo "undisturbed: $steps steps, weights hash $hash"

# ---- kills ----

step_count() { grep -c '"gradient_norm"' runs/killed/metrics.jsonl 2>/dev/null || true; }

# kill_ranks KIND PID RANKS: kills the ranks, or one of them, at a random moment after the
# next step.
kill_ranks() {
    local kind=$1 launcher=$2 ranks=$3 before pid=()
    before=$(step_count)
    while kill -0 "$launcher" 2>/dev/null && [ "$(step_count)" = "$before" ]; do sleep 0.02; done
    sleep "$(printf '0.%03d' $((RANDOM % 500)))"
    if [ "$ranks" = 0 ]; then pid=("$launcher"); else find_ranks "$launcher"; fi
    [ ${#pid[@]} -gt 0 ] || return
    if [ "$kind" = rank ]; then pid=("${pid[RANDOM % ${#pid[@]}]}"); fi
    kill -9 "${pid[@]}" 2>/dev/null
}

declare -A count=([rank]=0 [all]=0 [kill]=0 [kill-save]=0 [torn]=0)
kinds=(rank all kill kill-save torn)
kills=0 runs=0 starts=0 skipped=0
while [ $kills -lt "$kill_count" ]; do
    rm -rf runs/killed
    while :; do
        ranks=$((RANDOM % 5))
        kind=${kinds[RANDOM % 5]}
        [ $kills -lt "$kill_count" ] || kind=none # let it finish
        intact=(runs/killed/checkpoints/*.h5)
        [ ${#intact[@]} -lt 2 ] && [ "$kind" = torn ] && kind=kill-save # else none would be intact
        at=$(($(step_count) + 1 + RANDOM % 15))
        faults=(--inject slow@0:1:0.02)
        case $kind in
        kill) faults+=(--inject "kill@$((ranks > 1 ? RANDOM % ranks : 0)):$at") ;;
        kill-save | torn) faults+=(--inject "$kind@0:$at") ;;
        esac
        (on $ranks train run.conf --resume --set run.dir=runs/killed "${faults[@]}" \
            --set run.checkpoint_minutes=0.0005) >log.txt 2>&1 &
        job=$!
        case $kind in rank | all) kill_ranks "$kind" $job $ranks ;; esac
        { wait $job; } 2>/dev/null
        code=$?
        starts=$((starts + 1))
        skipped=$((skipped + $(grep -c 'checkpoint skipped' log.txt)))
        [ $code = 0 ] && break
        if [ "$kind" = none ] || { [ $code != 137 ] && ! grep -q 'root cause' log.txt; }; then
            cat log.txt >&2
            fail "a start on $ranks ranks with fault $kind: exit code $code without the fault" \
                "(TUTTI_TEST_SEED=$seed)"
        fi
        count[$kind]=$((count[$kind] + 1))
        kills=$((kills + 1))
    done
    same killed "killed and resumed"
    runs=$((runs + 1))
done
echo "kills: $kills (one rank ${count[rank]}, all ranks ${count[all]}," \
    "in a step ${count[kill]}, while writing a checkpoint ${count[kill-save]}, torn after it" \
    "${count[torn]}), $starts starts on 0 to 4 ranks, $skipped checkpoints skipped;" \
    "$runs of $runs runs have the undisturbed run's weights"
[ "$skipped" -ge "${count[torn]}" ] || fail "torn checkpoints were not reported"

# ---- flipped bits ----

# flip_bit FILE OFFSET BIT: inverts this bit of the byte at OFFSET.
flip_bit() {
    local byte
    byte=$(od -An -tu1 -j"$2" -N1 "$1")
    printf '%b' "\\x$(printf %02x $((byte ^ (1 << $3))))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

random_below() { echo $(((RANDOM << 30 | RANDOM << 15 | RANDOM) % $1)); }

# A run killed half-way, with three checkpoints.
(on 0 train run.conf --set run.dir=runs/half --set run.checkpoint_minutes=0.0001 \
    --inject slow@0:1:0.02 --inject "kill@0:$((steps / 2))") >log.txt 2>&1 &
{ wait $!; } 2>/dev/null
newest=$(cd runs/half/checkpoints && ls -t -- *.h5 | head -n 1) # `latest` can be older
[ -n "$newest" ] || { cat log.txt >&2; fail "no checkpoint to flip bits of"; }
"$tutti" generate runs/half/checkpoints/"$newest" -o whole.mid --seconds 3 >log.txt 2>&1 ||
    { cat log.txt >&2; fail "generate"; }

flips=0 older=0 refused=0 silent=0 unused=0
while [ $flips -lt "$flip_count" ]; do
    rm -rf runs/flipped
    cp -r runs/half runs/flipped
    files=(runs/flipped/checkpoints/*.h5)
    file=runs/flipped/checkpoints/$newest
    [ $((flips % 4)) = 3 ] && file=${files[RANDOM % ${#files[@]}]}
    offset=$(random_below "$(stat -c %s "$file")")
    flip_bit "$file" "$offset" $((RANDOM % 8))
    rm -f flipped.mid
    if "$tutti" generate "$file" -o flipped.mid --seconds 3 >log.txt 2>&1; then
        [ "$file" = runs/flipped/checkpoints/"$newest" ] && ! cmp -s whole.mid flipped.mid &&
            fail "$file: a bit of byte $offset changes the music silently"
    else
        grep -q "^tutti: .*$(basename "$file")" log.txt ||
            { cat log.txt >&2; fail "$file: generate fails without naming it"; }
    fi
    "$tutti" inspect "$file" --verify >verify.txt 2>&1 && damaged=0 || damaged=1
    (on 0 train run.conf --resume --set run.dir=runs/flipped) >log.txt 2>&1 && code=0 || code=$?
    named=$(grep -c "checkpoint skipped: .*$(basename "$file")" log.txt)
    if [ "$code" = 0 ]; then
        same flipped "$file with a flipped bit in byte $offset"
        if [ "$named" -gt 0 ]; then older=$((older + 1))
        elif [ "$damaged" = 0 ]; then unused=$((unused + 1))
        elif [ "$file" != runs/flipped/checkpoints/"$newest" ]; then unused=$((unused + 1))
        else silent=$((silent + 1)); fi # found by --verify but not reported by --resume
    elif grep -q "^tutti: .*$(basename "$file")" log.txt; then
        refused=$((refused + 1))
    else
        cat log.txt >&2
        fail "$file with a flipped bit in byte $offset: refused, but not by name"
    fi
    flips=$((flips + 1))
done
[ $silent = 0 ] || fail "$silent damaged checkpoints were used silently"
echo "checkpoint flips: $flips: $older resumed from an older checkpoint with the damaged one" \
    "named, $refused refused by name, $unused in unused or unread bytes; 0 silently wrong"

flips=0 refused=0 unused=0
while [ $flips -lt "$flip_count" ]; do
    rm -rf flipped.tutti runs/flipped
    cp -r data.tutti flipped.tutti
    files=(flipped.tutti/*.h5)
    file=${files[RANDOM % ${#files[@]}]}
    offset=$(random_below "$(stat -c %s "$file")")
    flip_bit "$file" "$offset" $((RANDOM % 8))
    (on $((flips % 8 == 0 ? 2 : 0)) train run.conf --set data.dataset=flipped.tutti \
        --set run.dir=runs/flipped) >log.txt 2>&1 && code=0 || code=$?
    if [ "$code" = 0 ]; then
        same flipped "$file with a flipped bit in byte $offset"
        unused=$((unused + 1))
    elif grep -q "^tutti: .*$(basename "$file")" log.txt; then
        refused=$((refused + 1))
    else
        cat log.txt >&2
        fail "$file with a flipped bit in byte $offset: refused, but not by name"
    fi
    flips=$((flips + 1))
done
echo "dataset flips: $flips: $refused refused by name, $unused in unused bytes; 0 silently wrong"
