#!/bin/bash
# `tutti evaluate A B... DATASET`: the figures of an ensemble have the same digits on any
# number of ranks and threads, and in the table they do not depend on the order of the
# checkpoints; those of one checkpoint given twice are its own. test_evaluate compares the figures with a
# reference.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
make_run lstm
train() { # train RUN SETTING...
    local run=$1 sets=() setting
    for setting in "${@:2}"; do sets+=(--set "$setting"); done
    "$tutti" train first.conf --set "run.dir=runs/$run" "${sets[@]}" >train.txt 2>&1 ||
        fail "train $run: $(cat train.txt)"
}
train second model.cell=gru model.hidden=20 train.seed=4 train.batch=8 train.microbatches=4 \
    train.sequence_length=20
figures() { # figures COMMAND...: of the JSON, without the checkpoints
    "$@" --json >evaluated.json 2>err.txt || fail "$*: $(cat err.txt)"
    grep -E '"(nats_per_[a-z]*|accuracy|notes|tokens|[a-z]*_baseline)":' evaluated.json
}
evaluate() { "$tutti" evaluate "$@"; }

first=$(figures evaluate runs/first corpus.tutti)
second=$(figures evaluate runs/second corpus.tutti)
both=$(figures evaluate runs/second runs/first corpus.tutti)
[ "$(wc -l <<<"$both")" = 9 ] || fail "figures: $both"
[ "$both" != "$first" ] && [ "$both" != "$second" ] || fail "an ensemble of one: $both"
[ "$(figures evaluate runs/first runs/first corpus.tutti)" = "$first" ] || fail "twice the same differs"
[ "$(OMP_NUM_THREADS=2 figures evaluate runs/second runs/first corpus.tutti)" = "$both" ] || fail "the threads change the figures"
for ranks in 1 2 3 4; do
    found=$(figures "$mpirun" -n $ranks "$tutti" evaluate runs/second runs/first corpus.tutti)
    [ "$found" = "$both" ] || fail "on $ranks ranks: $found, not $both"
done
echo "ok: the same figures"

# all members are named, in the table and in the JSON
evaluate runs/second runs/first corpus.tutti >table.txt || fail "evaluate"
[ "$(grep -c '^checkpoint runs/\(first\|second\)/checkpoints/best: epoch 2, step [0-9]*$' table.txt)" = 2 ] ||
    fail "members: $(cat table.txt)"
grep -q '^ensemble of 2 checkpoints: the mean of their probabilities$' table.txt || fail "ensemble: $(cat table.txt)"
[ "$(grep -c '^matmul ' table.txt)" = 1 ] || fail "matmul: $(cat table.txt)"
"$python" - <<'END' || fail "JSON: $(cat evaluated.json)"
import json
evaluated = json.load(open("evaluated.json"))
members = evaluated["ensemble"]
assert [m["checkpoint"] for m in members] == [f"runs/{r}/checkpoints/best" for r in ("second", "first")]
assert len({m["weights_hash"] for m in members}) == 2
assert "weights_hash" not in evaluated and "checkpoint" not in evaluated
END
# in any order, with the microbatches of another checkpoint
evaluate runs/first runs/second corpus.tutti >other.txt || fail "evaluate"
diff <(grep '^  ' table.txt) <(grep '^  ' other.txt) >&2 || fail "the order changes the figures"
evaluate runs/first corpus.tutti >table.txt || fail "evaluate"
grep -q '^ensemble' table.txt && fail "one checkpoint is called an ensemble"
echo "ok: members"

# refusals name the checkpoint that does not fit
"$tutti" preprocess corpus -o roll.tutti --encoding pianoroll >out.txt 2>&1 || fail "preprocess: $(cat out.txt)"
train roll data.encoding=pianoroll data.dataset=roll.tutti train.max_steps=2
vocabulary='^tutti: runs/roll/checkpoints/[a-z]* was trained on encoding pianoroll.*, the dataset corpus.tutti has performance'
refuses 2 "$vocabulary" "$tutti" evaluate runs/first runs/roll corpus.tutti
code=0
"$mpirun" -n 2 "$tutti" evaluate runs/first runs/roll corpus.tutti >out.txt 2>&1 || code=$?
[ "$code $(grep -c '^tutti: ' out.txt)" = "2 1" ] && grep -Eq "$vocabulary" out.txt || fail "on 2 ranks: $code, $(cat out.txt)"
refuses 2 "^tutti: runs/first/checkpoints/best was trained on encoding performance.*, the dataset roll.tutti has pianoroll" \
    "$tutti" evaluate runs/first runs/roll roll.tutti
refuses 1 "^tutti: missing: no such file" "$tutti" evaluate runs/first missing corpus.tutti
refuses 2 "average" "$tutti" evaluate runs/first runs/second corpus.tutti --average
refuses 2 "^tutti: evaluate: --samples generates with one checkpoint \(found: 2\)" \
    "$tutti" evaluate runs/first runs/second corpus.tutti --samples 2
many=()
for ((i = 0; i < 65; i++)); do many+=(runs/first); done
refuses 2 "^tutti: evaluate: at most 64 checkpoints are evaluated together \(found: 65\)" "$tutti" evaluate "${many[@]}" corpus.tutti
[ "$(figures evaluate "${many[@]:1}" corpus.tutti)" = "$first" ] || fail "64 times the same differs"
# every member is read in the sandboxed child: damage in the second is one line
cp -r runs/second runs/damaged
newest=$(ls runs/damaged/checkpoints/epoch-*.h5 | tail -1)
printf 'damage' | dd of="$newest" bs=1 seek=$(($(stat -c %s "$newest") / 2)) conv=notrunc status=none
refuses 1 "damaged" "$tutti" evaluate runs/first "$newest" corpus.tutti
echo "ok: refusals"
