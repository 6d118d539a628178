#!/bin/bash
# Training on random variations of the pieces: the same bits on any number of ranks, with
# tokens in memory or streamed from disk, killed and resumed; validation is unchanged.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_dataset data.tutti 60 16 "0.8 0.1 0.1"
write_run_conf 1 16 8 32
augmented=(train run.conf --set train.transpose=-5..6 --set train.velocity_shift=2
    --set train.time_stretch=0.05)

# train_as NAME WHAT RANKS ARGUMENT...: trains and compares with runs/whole.
train_as() {
    local name=$1 what=$2 ranks=$3
    shift 3
    on "$ranks" "${augmented[@]}" --set run.dir="runs/$name" "$@" >log.txt 2>&1 ||
        { cat log.txt >&2; fail "$what"; }
    same_metrics "$name" whole "$what"
}

on 0 "${augmented[@]}" >log.txt 2>&1 || { cat log.txt >&2; fail "one rank"; }
train_as two "2 ranks, streamed from disk" 2 --set data.memory_mb=0.2
grep -q "streamed from disk" log.txt || fail "not streamed: $(cat log.txt)"
train_as three "3 ranks" 3
(on 0 "${augmented[@]}" --set run.dir=runs/killed --set run.checkpoint_minutes=0.0001 \
    --inject kill@0:7) >log.txt 2>&1 && fail "not killed"
train_as killed "killed, resumed on 2 ranks" 2 --resume

# Each setting changes the training, and must not change on resume.
for setting in train.transpose=0..0 train.velocity_shift=0 train.time_stretch=0; do
    on 0 "${augmented[@]}" --set "$setting" --set run.dir=runs/other >log.txt 2>&1 ||
        { cat log.txt >&2; fail "$setting"; }
    [ "$(hash_of runs/other)" != "$(hash_of runs/whole)" ] || fail "$setting has no effect"
    rm -r runs/other
    key=${setting%%=*}
    refuses 2 "${key/./\\.}: .* in the checkpoint, 0.* requested" \
        "$tutti" "${augmented[@]}" --set "$setting" --resume
done

# A validation of the untrained weights is the same with augmentation and without.
first_validation() {
    on 0 train run.conf --set run.dir="runs/$1" --set train.learning_rate=1e-30 "${@:2}" \
        --set train.clip_norm=1e-9 >log.txt 2>&1 || { cat log.txt >&2; fail "$1"; }
    sed -n 's/.*"valid_loss": *\([^,]*\),.*/\1/p' "runs/$1/metrics.jsonl" | head -n 1
}
plain=$(first_validation plain)
[ -n "$plain" ] || fail "no validation"
[ "$plain" = "$(first_validation varied "${augmented[@]:2}")" ] ||
    fail "augmentation changes the validation"

"$tutti" preprocess corpus -o roll.tutti --shards 4 --encoding pianoroll >log.txt 2>&1 ||
    { cat log.txt >&2; fail "preprocess"; }
on_roll=(train run.conf --set data.dataset=roll.tutti --set run.dir=runs/roll)
refuses 2 "velocity_shift is set, but the encoding of roll.tutti, pianoroll, has no velocities" \
    "$tutti" "${on_roll[@]}" --set train.velocity_shift=2
refuses 2 "time_stretch is set, but the encoding of roll.tutti, pianoroll, has no times" \
    "$tutti" "${on_roll[@]}" --set train.time_stretch=0.05
