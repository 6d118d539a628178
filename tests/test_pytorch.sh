# PyTorch as the second opinion on a whole training step and on evaluation: the check of
# pytorch/peers.sh with a small model on a small corpus. Skipped where the Python has no PyTorch.
# bash test_pytorch.sh TUTTI SOURCE_DIRECTORY
set -eu
tutti=$1
source "$2/tests/tiny_run.sh"
python=${TUTTI_PYTHON:-python3}
if ! "$python" -c "import torch, numpy, h5py" 2>/dev/null; then
    echo "skipped: no PyTorch, NumPy or h5py for $python"
    exit 77
fi
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
make_corpus corpus 40
"$python" "$2/tests/pytorch/same.py" "$tutti" . 24 16 corpus/*.mid
