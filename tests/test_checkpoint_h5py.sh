# A checkpoint read with h5py and NumPy: see test_checkpoint_h5py.py.
# bash test_checkpoint_h5py.sh TUTTI SOURCE_DIRECTORY
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
"$tutti" train first.conf --set run.dir=runs/gru --set model.cell=gru --set model.dense=12 \
    --set model.activation=tanh --set train.optimizer=adamw --set train.weight_decay=0.03 \
    >train.txt 2>&1 || { cat train.txt >&2; fail "train: GRU"; }
mkdir other
cp corpus/tune-00* other
"$tutti" preprocess other -o other.tutti --shards 2 --split "0.4 0.6 0" >preprocess.txt 2>&1 ||
    { cat preprocess.txt >&2; fail "preprocess"; }
OPENBLAS_NUM_THREADS=1 "$python" "$2/tests/test_checkpoint_h5py.py" "$tutti" "$2"
