#!/bin/bash
# Optimisation settings in whole runs: each changes the weights, alike on any number of
# ranks and threads and across a stop, and is documented in the checkpoint.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_dataset data.tutti 48 8 "0.8 0.1 0.1"
write_run_conf 1 16 8 16

# train NAME RANKS SETTING...: runs/NAME, log in NAME.txt
train() {
    local name=$1 ranks=$2 options=()
    shift 2
    for setting in "$@"; do
        [[ $setting == --* ]] && options+=("$setting") || options+=(--set "$setting")
    done
    on "$ranks" train run.conf --set run.dir="runs/$name" ${options[@]+"${options[@]}"} \
        >"$name.txt" 2>&1 || { cat "$name.txt" >&2; fail "$name"; }
}

# expect_same NAME SETTING...: one rank, three ranks, two threads, and a run stopped on two
# ranks after step 7 and resumed have the same weights; sets $hash.
expect_same() {
    local name=$1 other
    shift
    train "$name" 0 "$@"
    hash=$(hash_of "runs/$name")
    train "$name-ranks" 3 "$@"
    train "$name-threads" 0 train.threads=2 "$@"
    train "$name-resumed" 2 "$@" train.max_steps=7
    train "$name-resumed" 0 "$@" --resume
    for other in ranks threads resumed; do
        [ "$(hash_of "runs/$name-$other")" = "$hash" ] || fail "$name-$other: not $hash"
    done
    echo "ok: $name $hash"
}

# ---- label smoothing ----

train plain 0 train.schedule=constant
plain=$(hash_of runs/plain)
expect_same smoothed train.schedule=constant train.label_smoothing=0.1
[ "$hash" != "$plain" ] || fail "label smoothing has no effect"
# The first step starts from the same weights, and losses are reported without smoothing.
for run in plain smoothed; do head -n 1 runs/$run/metrics.jsonl; done |
    grep -o '"step": *1,.*"loss": *[^,]*' | sed 's/"seconds[^,]*,//' >first.txt
[ "$(wc -l <first.txt)" = 2 ] || fail "no first steps: $(head -n 1 runs/plain/metrics.jsonl)"
[ "$(sort -u first.txt | wc -l)" = 1 ] || fail "first steps: $(cat first.txt)"
grep -qaF -- '-(1 - 0.1) log p(token) - 0.1 / 389 * (the sum of log p over all 389 tokens)' \
    runs/smoothed/checkpoints/latest || fail "label smoothing is not in the checkpoint's formula"
