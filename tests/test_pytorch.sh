#!/bin/bash
# PyTorch as the reference for complete training steps and for evaluation: the agreement
# check of pytorch/compare.sh with a small model on a small corpus. Skipped without
# PyTorch.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
python=${TUTTI_PYTHON:-python3}
"$python" -c "import torch, numpy, h5py" 2>/dev/null ||
    skip "no PyTorch, NumPy or h5py for $python"
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
make_corpus corpus 40
"$python" "$tests/pytorch/agreement.py" "$tutti" . 24 16 corpus/*.mid
