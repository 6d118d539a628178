# Structured mutations of a checkpoint and a dataset: see mutate_hdf5.py.
# bash test_mutations.sh TUTTI SOURCE_DIRECTORY
set -eu
tutti=$1
source "$2/tests/tiny_run.sh"
python=${TUTTI_PYTHON:-/usr/bin/python3}
if ! "$python" -c "import h5py, numpy" 2>/dev/null; then
    echo "skipped: no h5py or numpy for $python (Debian: python3-h5py, python3-numpy)"
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
make_run lstm
OPENBLAS_NUM_THREADS=1 "$python" "$2/tests/mutate_hdf5.py" "$tutti" --checkpoints 16 \
    --datasets 12
