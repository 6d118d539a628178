#!/bin/bash
# Structured mutations of a checkpoint and a dataset: see mutate_hdf5.py. And a model that
# never ends a piece.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
"$python" -c "import h5py, numpy" 2>/dev/null ||
    skip "no h5py or numpy for $python (Debian: python3-h5py, python3-numpy)"
make_run lstm

# A model that hardly ever emits time shifts: its piece is cut, with one warning.
cp runs/first/checkpoints/epoch-0002.h5 endless.h5
PYTHONPATH=$source/tests "$python" -B - endless.h5 <<'END'
import sys
import numpy as np
from mutate_hdf5 import edit, put, repair_weights
with edit(sys.argv[1]) as f:
    bias = np.full(f["model/output/bias"].shape, -50, "f4")
    bias[:257] = bias[356:388] = 50  # on, off, the shortest shift, velocities
    put(f, "model/output/weight", np.zeros(f["model/output/weight"].shape, "f4"))
    put(f, "model/output/bias", bias)
    repair_weights(f)
END
"$tutti" generate endless.h5 -o endless.mid --seconds 10 --no-guard >stdout.txt 2>stderr.txt
[ "$(wc -l <stderr.txt)" = 1 ] && grep -q "^tutti: warning: 1 of 1 pieces end early" stderr.txt ||
    fail "an endless piece: $(cat stderr.txt)"

OPENBLAS_NUM_THREADS=1 "$python" "$tests/mutate_hdf5.py" "$tutti" --checkpoints 16 \
    --datasets 12
