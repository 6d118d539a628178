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

# ---- train.init_from ----

# expect_refused CODE PATTERN SETTING...: a run that fails with that exit code and one line
# of message, before runs/refused is created.
expect_refused() {
    local code=0 expected=$1 pattern=$2
    shift 2
    on 2 train run.conf --set run.dir=runs/refused "${@/#/--set=}" >refused.txt 2>&1 || code=$?
    [ "$code" = "$expected" ] || fail "$*: exit code $code: $(cat refused.txt)"
    grep -q -- "$pattern" refused.txt || fail "$*: no '$pattern' in: $(cat refused.txt)"
    [ "$(grep -c '^tutti' refused.txt)" = 1 ] || fail "$*: $(cat refused.txt)"
    [ ! -e runs/refused ] || fail "$*: runs/refused was created"
}

make_corpus other 30
"$tutti" preprocess other -o other.tutti --shards 4 --split "0.8 0.1 0.1" >/dev/null 2>&1 ||
    fail "preprocess: other"
"$tutti" preprocess other -o roll.tutti --encoding pianoroll >/dev/null 2>&1 || fail "preprocess: roll"

# A step of 1e-30 changes no weight: the run still has those of its source.
unmoved=(train.optimizer=sgd train.learning_rate=1e-30 train.max_steps=1)
source_hash=$("$tutti" inspect runs/plain/checkpoints/best --json |
    sed -n 's/.*"weights_hash": "\(.*\)".*/\1/p' | head -n 1)
for ranks in 0 1 2 3; do
    train "unmoved-$ranks" "$ranks" train.init_from=runs/plain "${unmoved[@]}" \
        data.dataset=other.tutti model.dropout=0
    [ "$(hash_of "runs/unmoved-$ranks")" = "$source_hash" ] || fail "$ranks ranks: other weights"
    grep -q "starting from the weights of runs/plain/checkpoints/best: weights hash $source_hash" \
        "unmoved-$ranks.txt" || fail "not in the log: $(cat "unmoved-$ranks.txt")"
done
"$tutti" inspect runs/unmoved-0 >inspect.txt
grep -q "initial weights *$source_hash, of runs/plain" inspect.txt || fail "$(cat inspect.txt)"
grep -qE '^ +step +1 ' inspect.txt || fail "steps continue: $(cat inspect.txt)"

expect_same tuned train.init_from=runs/plain/checkpoints/best data.dataset=other.tutti
[ "$hash" != "$plain" ] && [ "$hash" != "$source_hash" ] || fail "tuned: not trained"
train scratch 0 data.dataset=other.tutti
[ "$(hash_of runs/scratch)" != "$hash" ] || fail "tuned: train.init_from has no effect"
train tuned-bfloat16 0 train.init_from=runs/plain train.precision=bfloat16 "${unmoved[@]}"
train tuned-dropout 0 train.init_from=runs/plain model.dropout=0.1 model.dropout_input=0.1 \
    model.dropout_embedding=0.1 model.dropout_recurrent=0.1 model.dropout_mask=sequence "${unmoved[@]}"
[ "$(hash_of runs/tuned-bfloat16)" = "$source_hash" ] || fail "bfloat16: other weights"

# A resumed run does not need the source, and keeps its record of it; with --resume, a run
# without a checkpoint starts from the source.
cp -r runs/plain runs/source
train gone 2 train.init_from=runs/source data.dataset=other.tutti train.max_steps=7 --resume
mv runs/source moved
train gone 3 train.init_from=runs/source data.dataset=other.tutti --resume
[ "$(hash_of runs/gone)" = "$hash" ] || fail "resumed without the source: not $hash"
"$tutti" inspect runs/gone | grep -q "initial weights *$source_hash, of runs/source" ||
    fail "the resumed run lost the record of its source"
mv moved runs/source
on 2 train run.conf --set run.dir=runs/gone --set data.dataset=other.tutti --resume >log.txt 2>&1 &&
    fail "resumed with another train.init_from"
grep -q 'train.init_from: runs/source in the checkpoint, none requested' log.txt || fail "$(cat log.txt)"

expect_refused 1 'runs/none: no such file' train.init_from=runs/none
mkdir -p runs/empty
expect_refused 1 'a directory without a checkpoint' train.init_from=runs/empty
expect_refused 1 'run.conf: not an HDF5 file' train.init_from=run.conf
expect_refused 2 'encoding performance (389 tokens), the dataset roll.tutti has pianoroll' \
    train.init_from=runs/plain data.dataset=roll.tutti
expect_refused 2 'another model than this run: model.layers: 1 in the checkpoint, 2 requested; model.hidden: 16 in the checkpoint, 20 requested' \
    train.init_from=runs/plain model.layers=2 model.hidden=20
expect_refused 2 'model.cell: lstm in the checkpoint, gru requested' \
    train.init_from=runs/plain model.cell=gru
cp "$(realpath runs/plain/checkpoints/best)" damaged.h5
flip damaged.h5 $(($(stat -c %s damaged.h5) / 2))
expect_refused 1 'damaged.h5: ' train.init_from=damaged.h5
echo "ok: train.init_from"

# ---- train.average ----

train averaged 0 train.schedule=constant train.average=ema train.average_decay=0.9
[ "$(hash_of runs/averaged)" = "$plain" ] || fail "the average changes the weights"

# average_of RUN: the hash of its averaged weights
average_of() { "$tutti" inspect "runs/$1" --json | sed -n 's/.*"average_hash": "\(.*\)".*/\1/p'; }

# epochs_of RUN: the metrics of its complete epochs
epochs_of() { deterministic_metrics "runs/$1" | grep '"valid_loss_average"'; }

expect_same ema train.average=ema train.average_decay=0.9
average=$(average_of ema)
"$tutti" inspect runs/ema | grep -q 'of average' || fail "no average in the history"
! "$tutti" inspect runs/plain | grep -q 'of average' || fail "an average without train.average"
[ -n "$average" ] && [ "$average" != "$hash" ] || fail "no average: $average"
for other in ranks threads resumed; do
    [ "$(average_of "ema-$other")" = "$average" ] || fail "ema-$other: average $(average_of "ema-$other")"
    [ "$(epochs_of "ema-$other")" = "$(epochs_of ema)" ] || fail "ema-$other: other epochs"
done

# With a decay of 0 the average is the weights; its validation is theirs.
train last 2 train.average=ema train.average_decay=0
[ "$(average_of last)" = "$(hash_of runs/last)" ] || fail "decay 0: not the weights"
sed -nE 's/.*"valid_loss": *([^,]*),.*"valid_loss_average": *([^,]*),.*/\1 \2/p' runs/last/metrics.jsonl >losses.txt
[ "$(wc -l <losses.txt)" = 2 ] || fail "not in two epochs: $(cat losses.txt)"
while read -r weights average_loss; do
    [ "$weights" = "$average_loss" ] || fail "decay 0: losses $weights, $average_loss"
done <losses.txt
[ "$(sed -nE 's/.*"valid_loss": *([^,]*),.*"valid_loss_average": *([^,]*),.*/\1 \2/p' runs/ema/metrics.jsonl |
    awk '$1 != $2' | wc -l)" = 2 ] || fail "ema: the average has the losses of the weights"

"$tutti" inspect runs/ema --diff runs/plain >log.txt || fail "inspect --diff"
grep -Eq "^  average's hash +[0-9a-f]{16} +none$" log.txt || fail "inspect --diff: $(cat log.txt)"

# It begins as the initial weights, so that of weights that do not move is the same.
train still 0 train.average=ema train.init_from=runs/plain "${unmoved[@]}" train.max_steps=5
[ "$(average_of still)" = "$source_hash" ] || fail "the average of constant weights differs"

# evaluate and generate use the average on request.
rounded() { awk '{ printf "%.6f\n", $1 }'; }

# loss_of RUN OPTION...: of its newest checkpoint on the validation split, to six digits;
# the softmax without a gradient adds up in another order.
loss_of() {
    local run=$1
    shift
    "$tutti" evaluate "runs/$run/checkpoints/latest" data.tutti --json "$@" 2>&1 |
        sed -nE 's/.*"nats_per_token": *([^,]*),?/\1/p' | head -n 1 |
        rounded
}
recorded=$(sed -nE 's/.*"valid_loss_average": *([^,]*),.*/\1/p' runs/ema/metrics.jsonl | tail -n 1 | rounded)
[ "$(loss_of ema --average)" = "$recorded" ] || fail "evaluate --average: $(loss_of ema --average), not $recorded"
[ "$(loss_of ema)" != "$recorded" ] || fail "evaluate: the average without --average"
for run in last ema; do
    for option in "" --average; do
        "$tutti" generate runs/$run/checkpoints/latest -o "$run$option.mid" --seconds 5 ${option:+"$option"} >log.txt 2>&1 ||
            fail "generate: $(cat log.txt)"
    done
done
cmp -s last.mid last--average.mid || fail "decay 0: other music"
! cmp -s ema.mid ema--average.mid || fail "generate --average has no effect"
code=0
"$tutti" generate runs/plain -o none.mid --average >log.txt 2>&1 || code=$?
[ "$code" = 2 ] && grep -q 'has no averaged weights' log.txt || fail "exit code $code: $(cat log.txt)"
echo "ok: train.average"
