#!/bin/bash
# Byte-pair encoding in datasets and runs: the same merges and weights on any number of
# ranks, learnt from the training split alone; what is reported per note and second is
# about the same music.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_corpus corpus 60
# preprocess NAME RANKS ARGUMENT...
preprocess() {
    local name=$1 ranks=$2
    shift 2
    on "$ranks" preprocess "$@" -o "$name" >preprocess.txt 2>&1 ||
        { cat preprocess.txt >&2; fail "preprocess $name"; }
}
# merges NAME: the base tokens of every merged token
merges() { "$tutti" inspect "$1" --json | sed -n '/"merges": \[/,/^  \]/p'; }
# field NAME DATASET-OR-RUN [DATASET]: a member of the JSON of inspect, or of evaluate
field() {
    if [ $# = 2 ]; then "$tutti" inspect "$2" --json; else "$tutti" evaluate "$2" "$3" --json; fi |
        sed -n "s/.*\"$1\": *\([0-9.e+-]*\),*$/\1/p" | head -n 1
}

# ---- datasets ----

split=(--shards 16 --split "0.8 0.1 0.1")
preprocess plain.tutti 0 corpus "${split[@]}"
for encoding in pianoroll performance; do
    for ranks in 1 2 3 4; do
        preprocess "$encoding-$ranks" $ranks corpus "${split[@]}" --bpe 60 --encoding $encoding
        diff -r $encoding-1 "$encoding-$ranks" >difference.txt ||
            fail "$encoding: $ranks ranks: $(cat difference.txt)"
    done
    "$tutti" inspect $encoding-1 --verify >/dev/null || fail "$encoding: not verified"
done
mv performance-1 data.tutti
grep -q "merges  *60 of token pairs" preprocess.txt || fail "no merges: $(cat preprocess.txt)"
[ "$(merges data.tutti | grep -c '\[')" = 61 ] || fail "inspect: $(merges data.tutti)"
[ "$(field vocabulary data.tutti)" = 449 ] || fail "not 389 + 60 tokens"
[ "$(field notes data.tutti)" = "$(field notes plain.tutti)" ] || fail "other notes"
(($(field tokens data.tutti) * 4 < $(field tokens plain.tutti) * 3)) || fail "no shorter pieces"

# They depend neither on the shards nor on pieces outside the training split.
preprocess shards.tutti 0 corpus --shards 3 --split "0.8 0.1 0.1" --bpe 60
[ "$(merges shards.tutti)" = "$(merges data.tutti)" ] || fail "3 shards: other merges"
mkdir training
: >split.txt
for i in $(seq 100 159); do
    name=tune-0${i:1}.mid part=train
    ((i < 140)) || part=valid
    [ $part = valid ] || cp "corpus/$name" training/
    printf '%s\t%s\n' "$name" $part >>split.txt
done
preprocess listed.tutti 0 corpus --bpe 60 --shards 16 --split-file split.txt
preprocess training.tutti 0 training --bpe 60 --shards 16 --split "1 0 0"
[ "$(merges listed.tutti)" = "$(merges training.tutti)" ] || fail "valid pieces have an effect"
[ "$(merges listed.tutti)" != "$(merges data.tutti)" ] || fail "training pieces have none"

# A piece without repetition has no merges.
mkdir short
write_midi short/one.mid 60 64
preprocess short.tutti 0 short --split "1 0 0" --bpe 9
grep -q "merges  *0 of 9 requested: no other pair occurs twice" preprocess.txt ||
    fail "fewer merges: $(cat preprocess.txt)"
"$tutti" inspect short.tutti --verify >/dev/null || fail "no merges: not verified"
refuses 2 "data.bpe = 5000: expected a whole number from 0 to 4096" \
    "$tutti" preprocess corpus -o refused --bpe 5000

# ---- runs ----

write_run_conf 1 16 8 32
# train_as NAME WHAT RANKS ARGUMENT...: trains and compares with runs/whole.
train_as() {
    local name=$1 what=$2 ranks=$3
    shift 3
    on "$ranks" train run.conf --set run.dir="runs/$name" "$@" >log.txt 2>&1 ||
        { cat log.txt >&2; fail "$what"; }
    same_metrics "$name" whole "$what"
}
on 0 train run.conf >log.txt 2>&1 || { cat log.txt >&2; fail "one rank"; }
train_as two "2 ranks, streamed from disk" 2 --set data.memory_mb=0.2
train_as three "3 ranks" 3
train_as four "4 ranks" 4
train_as threads "2 threads" 0 --set train.threads=2
(on 0 train run.conf --set run.dir=runs/killed --set run.checkpoint_minutes=0.0001 \
    --inject kill@0:4) >log.txt 2>&1 && fail "not killed"
train_as killed "killed, resumed on 2 ranks" 2 --resume

for setting in transpose=-2..2 velocity_shift=1 time_stretch=0.05; do
    refuses 2 "train.${setting%=*} is set, but data.tutti has 60 merges" \
        "$tutti" train run.conf --set run.dir=runs/refused --set train.$setting
done
preprocess fewer.tutti 0 corpus "${split[@]}" --bpe 20
refuses 2 "449 tokens, of them 60 merged.*409 tokens, of them 20 merged.* the same data.bpe" \
    "$tutti" train run.conf --set run.dir=runs/refused --set data.dataset=fewer.tutti \
    --set train.init_from=runs/whole
refuses 2 "the same data.bpe" "$tutti" evaluate runs/whole plain.tutti

# What is reported per note and second is about the music of the plain dataset.
on 0 train run.conf --set run.dir=runs/plain --set data.dataset=plain.tutti >log.txt 2>&1 ||
    { cat log.txt >&2; fail "plain"; }
for member in notes seconds pieces; do
    [ "$(field $member runs/whole data.tutti)" = "$(field $member runs/plain plain.tutti)" ] ||
        fail "evaluate: other $member"
done
(($(field tokens runs/whole data.tutti) < $(field tokens runs/plain plain.tutti))) ||
    fail "evaluate: not fewer tokens"

# ---- music ----

"$tutti" train run.conf --resume --set train.epochs=3 --set run.samples=2 \
    --set run.sample_seconds=5 >log.txt 2>&1 || { cat log.txt >&2; fail "samples"; }
[ -s runs/whole/samples/epoch-0003-2.mid ] || fail "no samples: $(ls runs/whole/samples)"
"$tutti" generate runs/whole -o primed.mid --seconds 5 --scale "C major" --repetition-penalty 1.2 \
    --prime corpus/tune-003.mid --prime-seconds 3 --keep-primer >generate.txt 2>&1 ||
    fail "generate: $(cat generate.txt)"
"$tutti" preprocess primed.mid corpus/tune-003.mid -o primed.tutti >/dev/null 2>&1 ||
    fail "the generated file is not read"
