#!/bin/bash
# The settings of configs/keras-tutorial.conf: one-hot tokens, independent windows of which
# the last target is predicted, initial weights as in Keras and PyTorch. The same bits on
# any number of ranks, with tokens in memory or streamed from disk, killed and resumed in
# the middle of an epoch; the commands that read the checkpoint.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_dataset data.tutti 60 16 "0.8 0.1 0.1"
write_run_conf 1 16 8 32
tutorial=(train run.conf --set model.embedding=0 --set model.init=keras
    --set train.windows=independent --set train.loss_on=last --set train.max_steps=30)

# train_as NAME WHAT RANKS ARGUMENT...: trains and compares with runs/whole.
train_as() {
    local name=$1 what=$2 ranks=$3
    shift 3
    on "$ranks" "${tutorial[@]}" --set run.dir="runs/$name" "$@" >log.txt 2>&1 ||
        { cat log.txt >&2; fail "$what"; }
    same_metrics "$name" whole "$what"
}

on 0 "${tutorial[@]}" >log.txt 2>&1 || { cat log.txt >&2; fail "one rank"; }
grep -q "independent windows, .* steps of 8" log.txt || fail "the epoch: $(cat log.txt)"
train_as two "2 ranks of 2 threads, streamed from disk" 2 --set data.memory_mb=0.2 \
    --set train.threads=2
grep -q "streamed from disk" log.txt || fail "not streamed: $(cat log.txt)"
train_as three "3 ranks" 3
(on 0 "${tutorial[@]}" --set run.dir=runs/killed --set run.checkpoint_minutes=0.0001 \
    --inject kill@0:17) >log.txt 2>&1 && fail "not killed"
train_as killed "killed, resumed on 2 ranks" 2 --resume

# Each setting changes the training, and must not change on resume.
for setting in model.embedding=8 model.init=glorot model.init=pytorch \
    train.windows=stream train.loss_on=all; do
    on 0 "${tutorial[@]}" --set "$setting" --set run.dir=runs/other >log.txt 2>&1 ||
        { cat log.txt >&2; fail "$setting"; }
    [ "$(hash_of runs/other)" != "$(hash_of runs/whole)" ] || fail "$setting has no effect"
    rm -r runs/other
    key=${setting%%=*}
    refuses 2 "${key/./\\.}: .* in the checkpoint, ${setting#*=} requested" \
        "$tutti" "${tutorial[@]}" --set "$setting" --resume
done

# The weights of another initialisation are accepted, those of a model with embedding not.
on 0 "${tutorial[@]}" --set train.init_from=runs/whole --set model.init=glorot \
    --set run.dir=runs/from >log.txt 2>&1 || { cat log.txt >&2; fail "init_from"; }
refuses 2 "model.embedding" "$tutti" "${tutorial[@]}" --set train.init_from=runs/whole \
    --set model.embedding=8 --set run.dir=runs/refused

# The commands that read a checkpoint.
"$tutti" inspect runs/whole >inspect.txt || fail "inspect"
grep -q "one-hot tokens" inspect.txt || fail "inspect: $(cat inspect.txt)"
"$tutti" inspect runs/whole --verify >log.txt || { cat log.txt >&2; fail "inspect --verify"; }
"$tutti" evaluate runs/whole data.tutti >log.txt 2>&1 || { cat log.txt >&2; fail "evaluate"; }
"$tutti" generate runs/whole -o piece.mid --seconds 2 >log.txt 2>&1 ||
    { cat log.txt >&2; fail "generate"; }
