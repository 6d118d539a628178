#!/bin/bash
# tutti against PyTorch: first that both compute the same, then how fast each does.
#
#   bash tests/pytorch/peers.sh TUTTI MIDI_FOLDER [PART...]
#   PEERS_PYTHON=~/torch/bin/python bash tests/pytorch/peers.sh build/release/tutti ~/midi
#
# The model is embedding 256 -> LSTM 2x512, dropout 0.3 between the layers and before the
# output -> 389 tokens, over 128 steps, with Adam and the gradient clipped at norm 1.
# Parts (all of them take about 20 minutes on two cores, which should have nothing else to
# do):
#   same                          loss, gradient and evaluation from the same weights
#   train:ROWS:PRECISION:CORES    a training step with ROWS rows for each core: one core is
#                                 one rank against one thread; two are two ranks against
#                                 two processes (DistributedDataParallel over gloo) or one
#                                 process of two threads and all the rows
#   play:ROWS                     generation, ROWS pieces at once, one core
# PyTorch is tried in several settings and the fastest is taken: its LSTM from oneDNN or
# its own ("native"), torch.compile ("compiled"), one step as single cells ("cells"). Then
# both take turns, and the medians and the range of the ratios of turns are printed. Where
# tutti does not support a precision, the row says "refused".
#
# Needs Python with PyTorch, NumPy and h5py (python3 -m venv ~/torch &&
# ~/torch/bin/pip install torch numpy h5py); without PyTorch it says so and ends with 77.
#   PEERS_PYTHON    the Python to use (python3)
#   PEERS_TURNS     how often both take turns, an odd number (3)
#   PEERS_MICROBATCHES    tutti's microbatches for each rank (4): fewer are faster where rows are few
#   PEERS_FOLDER    where data sets and chosen settings are, kept for the next time (else a
#                   folder that is removed); "tune:" for "train:" or "play:" chooses only
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../scaling/environment.sh"
if (($# < 2)); then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
tutti=$(realpath "$1")
midi=$(realpath "$2")
shift 2
parts=("$@")
if ((${#parts[@]} == 0)); then
    parts=(same {train:32,train:8}:{float32,bfloat16}:{1,2} play:{1,64})
fi
python=${PEERS_PYTHON:-python3}
[[ $python != */* ]] || python=$(realpath -s "$python") # a venv's is a link
turns=${PEERS_TURNS:-3}
microbatches=${PEERS_MICROBATCHES:-4}
if ! "$python" -c 'import torch, numpy, h5py' 2>/dev/null; then
    echo "peers: skipped: $python has no PyTorch, NumPy or h5py (see PEERS_PYTHON)" >&2
    exit 77
fi
folder=${PEERS_FOLDER:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder"
cd "$folder"
export TORCHINDUCTOR_CACHE_DIR=$PWD/compiled PYTHONDONTWRITEBYTECODE=1

say() { echo "peers: $*" >&2; }
fail() { say "$*"; exit 1; }
# quietly COMMAND...: prints its output only if it fails.
quietly() { "$@" >log.txt 2>&1 || { cat log.txt >&2; fail "failed: $*"; }; }

# ---- the data and the model that generates ----

make_dataset() {
    [ -d data.tutti ] || quietly "$tutti" preprocess "$midi" -o data.tutti --split "1 0 0"
}

# A model that has learnt one note held for three hours. Each token it generates is a time
# shift of one second: the number of tokens is the number of seconds.
make_player() {
    [ -e runs/player/checkpoints/latest ] && return
    mkdir -p held
    printf '%b' 'MThd\0\0\0\06\0\0\0\01\0\0140MTrk\0\0\0\016' \
        '\0\x90\x3c\x40\xff\xff\x7f\x80\x3c\x40\0\xff\x2f\0' >held/note.mid
    quietly "$tutti" preprocess held -o held.tutti --split "1 0 0"
    quietly train 1 4 float32 runs/player --set data.dataset=held.tutti \
        --set train.max_steps=30 --set train.slices=1 --set train.warmup_steps=5 \
        --set train.epochs=1000 --set run.checkpoint_every=1000
    awk -F '"loss": ' '/gradient_norm/ { loss = $2 + 0 } END { exit loss > 1e-5 }' \
        runs/player/metrics.jsonl || fail "the model that is to generate has learnt nothing"
}

# ---- one measurement each: tokens per second ----

# train RANKS ROWS PRECISION RUN [--set ...]
train() {
    local ranks=$1 rows=$2 precision=$3 run=$4 launch=() set=()
    shift 4
    ((ranks == 1)) || launch=("$mpirun" -n "$ranks")
    [ "$precision" = float32 ] || set=(--set "train.precision=$precision")
    "${launch[@]}" "$tutti" train "$here/../../configs/nottingham.conf" \
        --set data.dataset=data.tutti --set model.hidden=512 --set model.embedding=256 \
        --set train.batch=$((ranks * rows)) --set train.slices=$((microbatches * ranks)) \
        --set train.max_steps=12 --set run.samples=0 --set "run.dir=$run" "${set[@]}" "$@"
}

ours_train() { # ROWS PRECISION CORES
    local code=0
    rm -rf runs/ours
    train "$3" "$1" "$2" runs/ours >ours.txt 2>&1 || code=$?
    if ((code == 2)) && grep -q 'train.precision' ours.txt; then
        echo refused
    elif ((code)); then
        cat ours.txt >&2
        fail "tutti train: exit code $code"
    else # the median of the steps after the fourth
        sed -n 's/.*"gradient_norm".*"tokens_per_second": \([0-9.]*\).*/\1/p' \
            runs/ours/metrics.jsonl | tail -n +5 | median
    fi
}

# wall ROWS SECONDS: wall-clock seconds for SECONDS of music.
wall() {
    local start=$EPOCHREALTIME
    quietly "$tutti" generate runs/player -o out/piece.mid --no-guard --count "$1" \
        --seconds "$2"
    awk "BEGIN { print $EPOCHREALTIME - $start }"
}

ours_play() { # ROWS
    local steps=$((1 + 4000 / (1 + $1 / 8))) few=20 short long
    short=$(wall "$1" "$few")
    long=$(wall "$1" $((few + steps)))
    awk "BEGIN { printf \"%.0f\n\", $1 * $steps / ($long - $short) }"
}

theirs_train() { "$python" "$here/train.py" "$@" 2>theirs.txt; }
theirs_play() { "$python" "$here/play.py" runs/player/checkpoints/latest "$@" 2>theirs.txt; }

# ---- choosing PyTorch's settings, and taking turns ----

median() { sort -g | awk '{ at[NR] = $1 } END { print at[int((NR + 1) / 2)] }'; }

# candidates PART: the arguments of theirs_KIND, one setting a line.
candidates() {
    local kind rows precision cores native=(" native")
    IFS=: read -r kind rows precision cores <<<"$1"
    [ "$precision" = bfloat16 ] && native=() # a hundred times slower
    if [ "$kind" = play ]; then
        local steps=$((1 + 400 / (1 + rows / 16)))
        printf "$rows $steps%s\n" "" " native" " cells" " cells native" " cells compiled"
    elif ((cores == 1)); then
        printf "1 1 $rows $precision%s\n" "" "${native[@]}" " compiled"
    else
        printf "$cores 1 $rows $precision%s\n" "" "${native[@]}"
        printf "1 $cores $((cores * rows)) $precision%s\n" "" "${native[@]}"
    fi
}

# Writes the arguments of the fastest to best-PART.
tune() {
    local setting speed
    [ -s "best-$1" ] && return
    while read -r setting; do
        # shellcheck disable=SC2086
        speed=$("theirs_${1%%:*}" $setting </dev/null) ||
            { say "PyTorch, $setting: $(tail -n 1 theirs.txt)"; continue; }
        say "PyTorch, $setting: $speed tokens/s"
        echo "$speed $setting"
    done < <(candidates "$1") >tried.txt
    sort -g tried.txt | tail -n 1 | cut -d' ' -f2- >"best-$1"
    [ -s "best-$1" ] || fail "PyTorch does none of them"
}

describe() { # PART, the arguments of theirs_KIND
    local part=$1
    shift
    case $part in
    play*) shift 2; echo "1 thread${*:+, $*}" ;;
    *)
        local processes=$1 threads=$2
        shift 4
        echo "$processes process$( ((processes == 1)) || echo es) of" \
            "$threads thread$( ((threads == 1)) || echo s)${*:+, $*}"
        ;;
    esac
}

take_turns() { # PART
    local kind=${1%%:*} best ours theirs turn
    read -r best <"best-$1"
    : >turns.txt
    for ((turn = 0; turn < turns; turn++)); do
        IFS=: read -r -a facts <<<"${1#*:}"
        ours=$("ours_$kind" "${facts[@]}")
        # shellcheck disable=SC2086
        theirs=$("theirs_$kind" $best </dev/null) ||
            { cat theirs.txt >&2; fail "PyTorch: $best"; }
        echo "$ours $theirs" >>turns.txt
    done
    # shellcheck disable=SC2086
    row "$1" "$(describe "$1" $best)"
}

row() { # PART SETTINGS
    local ours theirs ratios range
    ours=$(cut -d' ' -f1 turns.txt | median)
    theirs=$(cut -d' ' -f2 turns.txt | median)
    if [ "$ours" = refused ]; then
        printf '%-22s %8s %8.0f %7s %13s  %s\n' "$1" refused "$theirs" - - "$2"
        return
    fi
    ratios=$(awk '{ print $1 / $2 }' turns.txt | sort -g)
    range=$(printf '%.2f-%.2f' "$(head -n 1 <<<"$ratios")" "$(tail -n 1 <<<"$ratios")")
    printf '%-22s %8.0f %8.0f %7.2f %13s  %s\n' "$1" "$ours" "$theirs" \
        "$(median <<<"$ratios")" "$range" "$2"
}

# ---- the parts ----

check_same() {
    local files
    mapfile -t files < <(find "$midi" -iname '*.mid' -size -6k | sort | head -n 24)
    "$python" "$here/same.py" "$tutti" . 512 256 "${files[@]}"
}

head_of_table() {
    local processor
    processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    echo "machine   $processor, $(nproc) cores"
    echo "tutti     $("$tutti" --version | sed -n '1s/^tutti //p'), $microbatches microbatches for each rank"
    "$python" - <<'PYTHON'
import platform, torch
has = lambda name: getattr(getattr(torch.backends, name, None), "is_available", bool)()
capability = getattr(getattr(torch.backends, "cpu", None), "get_cpu_capability", lambda: "?")()
print(f"PyTorch   {torch.__version__}, kernels for {capability}, oneDNN "
      f"{'yes' if has('mkldnn') else 'no'}, MKL {'yes' if has('mkl') else 'no'}; "
      f"Python {platform.python_version()}")
PYTHON
    echo
    printf '%-22s %8s %8s %7s %13s  %s\n' "tokens/s" tutti PyTorch ratio range "PyTorch's best"
}

status=0
table=false
for part in "${parts[@]}"; do
    work=${part/#tune:/}
    case $work in
    same)
        check_same || status=1
        continue
        ;;
    train:[0-9]*:*:[0-9]*) make_dataset ;;
    play:[0-9]*) make_player ;;
    *) fail "no such part: $part (same, train:ROWS:PRECISION:CORES, play:ROWS)" ;;
    esac
    if [ "$work" != "$part" ]; then
        tune "$work"
        continue
    fi
    $table || head_of_table
    table=true
    tune "$work"
    take_turns "$work"
done
exit $status
