#!/bin/bash
# More data than memory: with data.memory_mb a run streams its tokens from disk and
# gives the same bits as a run with all tokens in memory, for any number of ranks and
# any bound, and when resumed under another bound. Damage found during the run, or a
# bound that is too small, gives one line.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
large_corpus=$programs/large_corpus

"$large_corpus" corpus 200 2000 || fail "large_corpus"
"$tutti" preprocess corpus -o data.tutti --shards 40 --split "0.9 0.05 0.05" \
    >preprocess.txt 2>&1 || { cat preprocess.txt >&2; fail "preprocess"; }
"$tutti" inspect data.tutti --json >data.json || fail "inspect"
tokens=$(sed -n 's/^ *"tokens": *\([0-9]*\),*/\1/p' data.json | sort -n | tail -1)
[ "$tokens" -gt 1200000 ] || fail "only $tokens tokens"

cat >run.conf <<END
[data]
dataset = data.tutti
[model]
layers = 1
hidden = 16
embedding = 8
dropout = 0.2
[train]
epochs = 3
batch = 16
microbatches = 8
sequence_length = 64
max_steps = 90
seed = 3
learning_rate = 0.01
[run]
samples = 0
hash_steps = yes
END

# train RANKS RUN ARGUMENT...
train() {
    local ranks=$1 run=$2
    shift 2
    "$mpirun" -n "$ranks" "$tutti" train run.conf --set run.dir="runs/$run" "$@" \
        >"$run.txt" 2>&1
}

same() { # same RUN WHAT
    deterministic_metrics "runs/$1" >actual.txt
    deterministic_metrics runs/whole >expected.txt
    [ "$(grep -c weights_hash expected.txt)" -ge 91 ] || fail "$2: the reference has too few lines"
    diff expected.txt actual.txt >difference.txt || { head -4 difference.txt >&2; fail "$2"; }
    echo "ok: $2"
}

# ---- any number of ranks, any bound ----

train 1 whole || { cat whole.txt >&2; fail "in memory"; }
grep -q "streamed" whole.txt && fail "streamed instead of in memory"

# A tenth of the tokens and less: 2 bytes each.
tenth=$(awk "BEGIN {print $tokens * 2 / 1e6 / 10}")
minimum_memory() { # minimum_memory RANKS: prints the least bound, as stated in the refusal
    train "$1" refused --set data.memory_mb=0.01 && fail "0.01 MB was accepted"
    [ "$(grep -c '^tutti: ' refused.txt)" = 1 ] || { cat refused.txt >&2; fail "not one line"; }
    sed -n 's/^tutti: data.memory_mb = 0.01 is too little for data.tutti on [0-9]* ranks*: set it to \([0-9.]*\) MB or more.*/\1/p' refused.txt
}
for ranks in 1 2 3; do
    smallest=$(minimum_memory $ranks)
    [ -n "$smallest" ] || { cat refused.txt >&2; fail "no least bound stated"; }
    awk "BEGIN {exit !($smallest < $tenth)}" || fail "least bound: $smallest > $tenth"
    for memory in "$smallest" "$tenth"; do
        rm -rf runs/stream
        train $ranks stream --set data.memory_mb="$memory" ||
            { cat stream.txt >&2; fail "$memory MB, $ranks ranks"; }
        grep -q "MB at most on a rank, streamed from disk" stream.txt || fail "no report"
        same stream "$ranks ranks, data.memory_mb = $memory"
    done
    if [ $ranks = 1 ]; then
        under=$(awk "BEGIN {print $smallest - 0.02}")
        refuses 2 "data.memory_mb = $under is too little for data.tutti on 1 rank: .* or to 0" \
            "$tutti" train run.conf --set data.memory_mb="$under" --set run.dir=runs/none
    fi
done

# ---- resumed under other bounds, on other numbers of ranks ----

rm -rf runs/stream
memory=0
for steps in 20 21 50 90; do
    train $((1 + steps % 3)) stream --resume --set "data.memory_mb=$memory" \
        --set train.max_steps=$steps || { cat stream.txt >&2; fail "to step $steps"; }
    memory=$(awk "BEGIN {print $tenth * (0.9 + $steps / 100)}")
done
# Each part ends with a validation and moves the end of the cosine schedule, which changes
# the weights. So the reference is the same sequence of parts in memory.
cp runs/stream/metrics.jsonl stream.jsonl
rm -rf runs/parts
for steps in 20 21 50 90; do
    train 1 parts --resume --set train.max_steps=$steps || fail "parts to step $steps"
done
deterministic_metrics runs/parts >expected.txt
deterministic_metrics runs/stream >actual.txt
[ "$(grep -c weights_hash expected.txt)" -ge 91 ] || fail "parts: too few lines"
diff expected.txt actual.txt >difference.txt || { head -4 difference.txt >&2; fail "resumed"; }
echo "ok: resumed under other bounds"

# The baselines are counted once; a resumed run has them from its checkpoint.
baselines() { sed -n 's/^validation baselines: //p' "$1"; }
[ -n "$(baselines whole.txt)" ] || fail "no baselines"
[ "$(baselines stream.txt)" = "$(baselines whole.txt)" ] || fail "the baselines differ"
echo "ok: baselines kept"

# ---- evaluation ----

"$tutti" evaluate runs/whole data.tutti --json >all.json || fail "evaluate"
"$mpirun" -n 2 "$tutti" evaluate runs/whole data.tutti --json --memory 1 >some.json ||
    fail "evaluate --memory"
cmp all.json some.json || fail "evaluate --memory gives other results"
echo "ok: evaluate --memory"

# ---- read errors ----

one_line() { # one_line FILE PATTERN WHAT
    [ "$(grep -c '^tutti: ' "$1")" = 1 ] || { cat "$1" >&2; fail "$3: not one line"; }
    grep -Eq "^tutti: $2" "$1" || { grep '^tutti' "$1" >&2; fail "$3: another message"; }
}

for memory in 0 "$tenth"; do
    for ranks in 1 3; do
        rm -rf runs/fault
        train $ranks fault --inject read@$((ranks - 1)):7 --set data.memory_mb="$memory"
        one_line fault.txt ".*reading for step 7 .*: Input/output error" "injected fault"
        [ "$(deterministic_metrics runs/fault | wc -l)" = 6 ] || fail "not six steps before the fault"
    done
done
echo "ok: a read error"

# Overwrites the second half of every shard, including tokens, during a run that rarely
# validates. Its files are open, so the damage is detected by their contents.
cp -r data.tutti bad.tutti
"$mpirun" -n 2 "$tutti" train run.conf --set data.dataset=bad.tutti --set train.max_steps=0 \
    --set data.memory_mb="$tenth" --set run.dir=runs/bad --set train.epochs=1000 >bad.txt 2>&1 &
pid=$!
five_lines() { [ "$(grep -c . runs/bad/metrics.jsonl)" -ge 5 ]; }
wait_until "five steps" five_lines
for shard in bad.tutti/shard-*.h5; do
    size=$(stat -c %s "$shard")
    head -c $((size / 2)) /dev/urandom |
        dd of="$shard" bs=65536 oflag=seek_bytes seek=$((size / 2)) conv=notrunc status=none
done
wait $pid
code=$?
[ $code = 1 ] || { cat bad.txt >&2; fail "damage: exit code $code, not 1"; }
one_line bad.txt "rank [01] .*bad.tutti/shard-00[0-9][0-9].h5: .*(damaged|been changed)" "damage"
echo "ok: damage during a run"

# Damage present from the start is found before the first step: in a table of pieces, or
# when counting the baselines, which reads all tokens.
refuses 1 "bad.tutti/shard-00[0-9][0-9].h5: " "$tutti" train run.conf \
    --set data.dataset=bad.tutti --set data.memory_mb="$tenth" --set run.dir=runs/bad2
echo "all ok"
