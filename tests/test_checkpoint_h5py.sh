#!/bin/bash
# A checkpoint read with h5py and NumPy: see test_checkpoint_h5py.py.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
"$python" -c "import h5py, numpy" 2>/dev/null ||
    skip "no h5py or numpy for $python (Debian: python3-h5py, python3-numpy)"
make_run lstm
"$tutti" train first.conf --set run.dir=runs/gru --set model.cell=gru --set model.dense=12 \
    --set model.activation=tanh --set train.optimizer=adamw --set train.weight_decay=0.03 \
    >train.txt 2>&1 || { cat train.txt >&2; fail "train: GRU"; }
"$tutti" train first.conf --set run.dir=runs/onehot --set model.embedding=0 \
    --set train.windows=independent --set train.loss_on=last --set train.batch=32 \
    >train.txt 2>&1 || { cat train.txt >&2; fail "train: one-hot tokens"; }
mkdir other
cp corpus/tune-00* other
"$tutti" preprocess other -o other.tutti --shards 2 --split "0.4 0.6 0" >preprocess.txt 2>&1 ||
    { cat preprocess.txt >&2; fail "preprocess"; }
OPENBLAS_NUM_THREADS=1 "$python" "$tests/test_checkpoint_h5py.py" "$tutti" "$source"
