#!/bin/bash
# Keras as the reference for configs/keras-tutorial.conf: number of parameters, initial
# weights and the loss of each step. Skipped without Keras.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
python=${TUTTI_PYTHON:-python3}
export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 KERAS_BACKEND=${KERAS_BACKEND:-torch}
"$python" -c "import keras, numpy, h5py" 2>/dev/null ||
    skip "no Keras with the $KERAS_BACKEND backend, NumPy or h5py for $python"
make_corpus corpus 12
"$python" "$tests/keras/agreement.py" "$tutti" "$tests/../configs/keras-tutorial.conf" . \
    corpus/*.mid
