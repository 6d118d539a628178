#!/bin/bash
# Every fuzz target, without libFuzzer, on the corpus that make_seeds writes and on some
# random mutations of it.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
fuzz=$programs/fuzz

for target in config split_file tokens midi checkpoint dataset; do
    "$fuzz/make_seeds" $target "$work/$target" || fail "make_seeds $target"
    mutations=5
    case $target in checkpoint | dataset) mutations=1 ;; esac
    "$fuzz/replay_$target" -m $mutations "$work/$target" >log.txt 2>&1 ||
        { code=$?; tail -n 40 log.txt >&2; fail "$target: exit code $code"; }
done
"$fuzz/make_seeds" dictionary dictionary || fail "make_seeds dictionary"
for word in '"batch"' '"train.batch="' '"pianoroll"' '"[run]\x0a"'; do
    grep -qxF "$word" dictionary || fail "no $word in the dictionary"
done
"$fuzz/make_seeds" nothing nothing 2>log.txt && fail "make_seeds accepts an unknown target"
grep -q "no fuzz target is called nothing" log.txt || fail "an unknown target: $(cat log.txt)"
echo "fuzz seeds: all as expected"
