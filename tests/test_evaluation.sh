#!/bin/bash
# `tutti evaluate`: notes are counted in the tokens, and the baselines come from the
# checkpoint, whichever dataset is evaluated.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
make_corpus corpus 60
mkdir tests
for ((i = 0; i < 60; i++)); do
    file=tune-$(printf %03d $i).mid split="train"
    [ $((i % 6)) = 4 ] && split="valid"
    [ $((i % 6)) = 5 ] && split="test" && cp "corpus/$file" tests && printf 'tests/%s\ttest\n' "$file" >&3
    printf 'corpus/%s\t%s\n' "$file" $split
done >split.tsv 3>tests.tsv
preprocess() { "$tutti" preprocess "$@" --shards 4 >preprocess.txt 2>&1 || { cat preprocess.txt >&2; fail "$*"; }; }
preprocess corpus -o own.tutti --split-file split.tsv
preprocess tests -o foreign.tutti --split-file tests.tsv
make_run lstm # for its configuration
"$tutti" train first.conf --set data.dataset=own.tutti --set run.dir=runs/own >train.txt 2>&1 ||
    fail "train: $(cat train.txt)"
evaluate() { "$tutti" evaluate runs/own "$@" >output.txt || fail "evaluate $*"; }

# the same pieces in a dataset of their own: only the names may differ
evaluate own.tutti --split test
sed 's/own.tutti/DATASET/' output.txt >own.txt
evaluate foreign.tutti --split test
sed 's/foreign.tutti/DATASET/' output.txt | diff own.txt - >&2 || fail "baselines or notes differ for a foreign dataset"
grep -q '^  bigram baseline  *[0-4]\.[0-9]*  nats per token$' own.txt || fail "baselines: $(cat own.txt)"

# the validation split's baselines equal those reported by training
baseline() { sed -n "s/^  $1 baseline *\([0-9.]*\) .*/\1/p" output.txt; }
evaluate own.tutti
grep -q "^validation baselines: unigram $(baseline unigram), bigram $(baseline bigram) nats" train.txt ||
    fail "baselines of training and evaluation: $(cat output.txt)"

# a resumed run keeps them
"$tutti" train first.conf --set data.dataset=own.tutti --set run.dir=runs/own --resume \
    --set train.epochs=3 >train.txt 2>&1 || fail "resume: $(cat train.txt)"
grep -q "^validation baselines: unigram $(baseline unigram), bigram $(baseline bigram) nats" train.txt ||
    fail "baselines of a resumed run"
evaluate foreign.tutti --split test
[ "$(grep baseline output.txt)" = "$(grep baseline own.txt)" ] || fail "baselines after resuming"

# Two drums for each note, which are in the note columns but not in the tokens.
write_drums() { # write_drums FILE PITCH: 12 quarter notes, each with two drums
    local body="" k
    for ((k = 0; k < 12; k++)); do
        body+=$(printf '0090%02x500099245000992650' $(($2 + k % 7)))
        body+=$(printf '6080%02x400089244000892640' $(($2 + k % 7)))
    done
    body+=00ff2f00
    write_hex "$1" "4d546864000000060000000100604d54726b$(printf %08x $((${#body} / 2)))$body"
}
mkdir drummed
for ((i = 0; i < 9; i++)); do
    write_drums drummed/$i.mid $((40 + 2 * i))
    printf 'drummed/%s.mid\t%s\n' $i valid
done >drums.tsv
preprocess drummed -o drummed.tutti --split-file drums.tsv
evaluate drummed.tutti
grep -q '^dataset drummed.tutti, split valid: 9 pieces, 108 notes, ' output.txt || fail "notes: $(cat output.txt)"
grep -q '^notes are those of the tokens; the dataset.s note table has 324$' output.txt || fail "not reported: $(cat output.txt)"
json=$("$tutti" evaluate runs/own drummed.tutti --json | tr -d ' \n')
grep -q '"notes":108,"notes_in_columns":324,' <<<"$json" || fail "JSON: $json"
field() { grep -Eo "\"$1\":[0-9.e+-]*" <<<"$json" | cut -d: -f2; }
awk -v note="$(field nats_per_note)" -v token="$(field nats_per_token)" -v tokens="$(field tokens)" \
    'BEGIN { d = note * 108 / (token * tokens) - 1; exit !(d < 1e-6 && d > -1e-6) }' ||
    fail "nats per note: $json"
echo "evaluation: all as expected"

# the whole file is verified before it is read piece by piece: even damage in tokens that
# this evaluation does not need is found
shard=damaged.tutti/shard-0000.h5
size=$(stat -c %s own.tutti/shard-0000.h5) found=0
for ((i = 1; i < 16; i++)); do
    rm -rf damaged.tutti
    cp -r own.tutti damaged.tutti
    at=$((size * i / 16))
    byte=$(od -An -tu1 -j "$at" -N 1 "$shard")
    printf '%b' "\\x$(printf %02x $((byte ^ 1)))" |
        dd of="$shard" bs=1 seek="$at" conv=notrunc status=none
    whole=0 pieces=0
    "$tutti" evaluate runs/own damaged.tutti >whole.txt 2>&1 || whole=$?
    "$tutti" evaluate runs/own damaged.tutti --memory 4 >pieces.txt 2>&1 || pieces=$?
    [ $whole = $pieces ] || fail "a changed byte at $at: $(cat whole.txt pieces.txt)"
    [ $pieces = 0 ] || found=$((found + 1))
done
[ $found -ge 5 ] || fail "only $found of 15 changed bytes were found"

# --batch changes no result, and a very large one allocates no memory for rows without
# pieces
for batch in 2 8 1000000; do
    "$tutti" evaluate runs/own own.tutti --batch $batch >batch-$batch.txt 2>&1 ||
        fail "--batch $batch: $(cat batch-$batch.txt)"
    cmp -s batch-2.txt batch-$batch.txt || fail "--batch $batch: $(cat batch-$batch.txt)"
done

# Without a launcher Open MPI 4 must not get a session directory, which all processes of a
# user would share and remove while others use it.
if "$mpirun" --version 2>/dev/null | grep -q "Open MPI) 4"; then
    TMPDIR=/dev/null "$tutti" evaluate runs/own own.tutti >output.txt 2>&1 ||
        fail "no folder for temporary files: $(head -8 output.txt)"
fi
