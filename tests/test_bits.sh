#!/bin/bash
# Bit-exact weights of small training runs. A change of these bits must be deliberate
# and needs a new NUMERICS_VERSION in kernels/matmul.h and new hashes here. TUTTI_TEST_BITS=show
# prints the hashes without comparing them, to compare two builds or for a new id.
# OpenBLAS gives different bits on different processors, so it is compared only with
# itself.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_corpus corpus 60
"$tutti" preprocess corpus -o corpus.tutti --shards 16 --split "0.8 0.1 0.1" \
    >preprocess.txt 2>&1 || { cat preprocess.txt >&2; fail "preprocess"; }
"$tutti" preprocess corpus -o roll.tutti --shards 16 --split "0.8 0.1 0.1" --encoding pianoroll \
    >preprocess.txt 2>&1 || { cat preprocess.txt >&2; fail "preprocess: pianoroll"; }
cat >bits.conf <<END
[data]
dataset = corpus.tutti
[model]
layers = 2
hidden = 24
embedding = 12
dropout = 0.2
[train]
epochs = 2
batch = 8
microbatches = 4
sequence_length = 32
max_steps = 30
seed = 3
learning_rate = 0.01
[run]
samples = 0
END

# train NAME RANKS SETTING...: sets $hash
train() {
    local name=$1 ranks=$2 options=()
    shift 2
    for setting in "$@"; do
        [[ $setting == --* ]] && options+=("$setting") || options+=(--set "$setting")
    done
    "$mpirun" -n "$ranks" "$tutti" train bits.conf --set run.dir="runs/$name" \
        ${options[@]+"${options[@]}"} >log.txt 2>&1 || { cat log.txt >&2; fail "$name"; }
    hash=$(hash_of "runs/$name")
}

# check_hash NAME EXPECTED: compares $hash
check_hash() {
    if [ "${TUTTI_TEST_BITS:-}" = show ]; then
        echo "$1 $hash"
    else
        [ "$hash" = "$2" ] || fail "$1: weights hash $hash, not $2"
        echo "ok: $1 $hash"
    fi
}

train lstm 1
check_hash lstm 53785505a4dc760c
train ranks 3
check_hash "lstm on 3 ranks" 53785505a4dc760c
train streamed 2 data.memory_mb=0.2
grep -q "streamed from disk" log.txt || fail "not streamed: $(cat log.txt)"
check_hash "lstm, streamed, on 2 ranks" 53785505a4dc760c
train resumed 4 train.max_steps=11
train resumed 2 --resume
check_hash "lstm, stopped on 4 ranks, resumed on 2" 53785505a4dc760c
train gru 2 model.cell=gru
check_hash gru 5dd1f6896db68352
train dense 2 model.dense=20 model.activation=tanh model.dropout=0
check_hash "dense layer, no dropout" f847ff6763de4706
train bfloat16 2 train.precision=bfloat16
check_hash bfloat16 0ebcb20f14bc2a22
train sgd 2 train.optimizer=sgd train.schedule=plateau
check_hash "sgd, plateau" 62607d23f992fb86
train adamw 3 train.optimizer=adamw train.batch=24 train.microbatches=8
check_hash "adamw, 8 microbatches on 3 ranks" eadfadffd59f9cf9
train pianoroll 1 data.dataset=roll.tutti data.encoding=pianoroll
check_hash pianoroll fd6fcd4dc2c5d050
train float 1 train.reduce=float
check_hash "float sum, one rank" 042426d1f969c548
train sequence 2 model.dropout_mask=sequence
check_hash "dropout masks of sequences" d16a0d998004f179
regularised=(model.dropout_mask=sequence model.dropout_input=0.1 model.dropout_embedding=0.1
    model.dropout_recurrent=0.2)
train regularised 1 "${regularised[@]}"
check_hash "all dropout" d727dcbfd12ef887
train regularised3 3 "${regularised[@]}" train.max_steps=17
train regularised3 2 "${regularised[@]}" --resume
check_hash "all dropout, stopped on 3 ranks, resumed on 2" d727dcbfd12ef887
tied=(model.tie_embeddings=yes model.embedding=24)
train tied 1 "${tied[@]}"
check_hash "tied embeddings" 2b369cc077def624
train tied3 3 "${tied[@]}" train.max_steps=17 train.threads=2
train tied3 2 "${tied[@]}" --resume
check_hash "tied embeddings, stopped on 3 ranks of 2 threads, resumed on 2" 2b369cc077def624
one_hot=(model.embedding=0 model.dense=20 model.activation=linear)
train onehot 1 "${one_hot[@]}"
check_hash "one-hot tokens" 4334392eadd7ba1d
train onehot3 3 "${one_hot[@]}" train.max_steps=17 train.threads=2
train onehot3 2 "${one_hot[@]}" --resume
check_hash "one-hot tokens, stopped on 3 ranks of 2 threads, resumed on 2" 4334392eadd7ba1d
train onehotgru 4 model.embedding=0 model.cell=gru
check_hash "one-hot tokens, gru, on 4 ranks" e779650d5f6f4c65
train onehotbfloat16 2 model.embedding=0 train.precision=bfloat16
check_hash "one-hot tokens, bfloat16" 28e6f854c584f358
tutorial=("${one_hot[@]}" model.init=keras train.windows=independent train.loss_on=last)
train tutorial 1 "${tutorial[@]}"
check_hash "keras tutorial" 7d55b373cb0315be
train tutorial4 4 "${tutorial[@]}" train.max_steps=11 data.memory_mb=0.2
train tutorial4 3 "${tutorial[@]}" --resume
check_hash "keras tutorial, streamed, stopped on 4 ranks, resumed on 3" 7d55b373cb0315be
train windows 2 train.windows=independent
check_hash "independent windows" 789f2428c01726af
train last 2 train.loss_on=last
check_hash "last target of a stream's window" 80855afa1d9bd34c
train kerasgru 2 model.cell=gru model.init=keras
check_hash "gru, initial weights as in Keras" a22408ff075dfee1
train pytorch 2 model.init=pytorch
check_hash "initial weights as in PyTorch" a7d3d431397efcf4
openblas=""
for ranks in 1 2; do
    train openblas$ranks $ranks train.matmul=openblas
    [ "${openblas:=$hash}" = "$hash" ] || fail "OpenBLAS on $ranks ranks: $hash, not $openblas"
done
onehotblas=""
for ranks in 1 3; do
    train onehotblas$ranks $ranks train.matmul=openblas model.embedding=0
    [ "${onehotblas:=$hash}" = "$hash" ] ||
        fail "OpenBLAS, one-hot tokens, on $ranks ranks: $hash, not $onehotblas"
done
[ "${TUTTI_TEST_BITS:-}" != show ] || echo "openblas (of this processor) $hash"
