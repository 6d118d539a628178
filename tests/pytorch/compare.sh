#!/bin/bash
# tutti against PyTorch: first the agreement of their results, then their speed.
#
#   bash tests/pytorch/compare.sh TUTTI MIDI_FOLDER [PART...]
#   COMPARE_PYTHON=~/torch/bin/python bash tests/pytorch/compare.sh build/release/tutti ~/midi
#
# The model is embedding 256 -> LSTM 2x512, dropout 0.3 between the layers and before the
# output -> 389 tokens, over 128 steps, with Adam and the gradient clipped at norm 1. Parts
# (default: all; about 20 minutes on two otherwise idle cores):
#   agreement                     loss, gradient and evaluation from the same weights
#   train:ROWS:PRECISION:CORES    a training step with ROWS rows per core. One core: one rank
#                                 against one thread. Two cores: two ranks, or one rank
#                                 with two threads, against two processes
#                                 (DistributedDataParallel over gloo) or against one process
#                                 with two threads and all the rows
#   generate:ROWS                 generation of ROWS pieces at once, one core
# PyTorch is tuned over several settings and the fastest one is compared: its LSTM from
# oneDNN or its own ("native"), torch.compile ("compiled"), single-step cells ("cells").
# Then the two programs alternate; the medians and the range of the ratios are printed.
# The row shows "refused" where tutti does not support a precision.
#
# Needs a Python with PyTorch, NumPy and h5py (python3 -m venv ~/torch && ~/torch/bin/pip
# install torch numpy h5py); without them it exits with 77.
#   COMPARE_PYTHON          the Python to use (python3)
#   COMPARE_ROUNDS          measurements of each program, an odd number (3)
#   COMPARE_MICROBATCHES    tutti's microbatches per core (4); fewer are faster with few rows
#   COMPARE_THREADS         tutti's threads per rank (1) where there are several cores
#   COMPARE_FOLDER          keeps data sets and the chosen settings for the next run (default:
#                           a temporary folder). "tune:train:.." or "tune:generate:.." only
#                           chooses PyTorch's settings
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
    parts=(agreement {train:32,train:8}:{float32,bfloat16}:{1,2} generate:{1,64})
fi
python=${COMPARE_PYTHON:-python3}
[[ $python != */* ]] || python=$(realpath -s "$python") # keeps a venv's link
rounds=${COMPARE_ROUNDS:-3}
microbatches=${COMPARE_MICROBATCHES:-4}
threads=${COMPARE_THREADS:-1}
if ! "$python" -c 'import torch, numpy, h5py' 2>/dev/null; then
    echo "compare: skipped: $python has no PyTorch, NumPy or h5py (see COMPARE_PYTHON)" >&2
    exit 77
fi
folder=${COMPARE_FOLDER:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder"
cd "$folder"
export TORCHINDUCTOR_CACHE_DIR=$PWD/compiled PYTHONDONTWRITEBYTECODE=1

log() { echo "compare: $*" >&2; }
fail() { log "$*"; exit 1; }
# run_quietly COMMAND...: prints the output only if it fails.
run_quietly() { "$@" >log.txt 2>&1 || { cat log.txt >&2; fail "failed: $*"; }; }

# ---- datasets, and the model for generation ----

make_dataset() {
    [ -d data.tutti ] || run_quietly "$tutti" preprocess "$midi" -o data.tutti --split "1 0 0"
}

# A model overfitted to one note held for three hours: each token that it generates is a
# time shift of one second. Neither program prints the number of tokens; here it equals
# the seconds of music.
make_generator() {
    [ -e runs/generator/checkpoints/latest ] && return
    mkdir -p held
    printf '%b' 'MThd\0\0\0\06\0\0\0\01\0\0140MTrk\0\0\0\016' \
        '\0\x90\x3c\x40\xff\xff\x7f\x80\x3c\x40\0\xff\x2f\0' >held/note.mid
    run_quietly "$tutti" preprocess held -o held.tutti --split "1 0 0" \
        --set data.max_silence_seconds=0
    run_quietly train 1 4 float32 runs/generator --set data.dataset=held.tutti \
        --set train.max_steps=30 --set train.microbatches=1 --set train.warmup_steps=5 \
        --set train.epochs=1000 --set run.checkpoint_every=1000
    awk -F '"loss": ' '/gradient_norm/ { loss = $2 + 0 } END { exit loss > 1e-5 }' \
        runs/generator/metrics.jsonl || fail "the model for generation did not converge"
}

# ---- one measurement each: tokens per second ----

# train CORES ROWS PRECISION RUN [--set ...]
train() {
    local cores=$1 rows=$2 precision=$3 run=$4 launch=() set=() of_rank=$threads
    shift 4
    ((of_rank <= cores)) || of_rank=1
    ((cores == of_rank)) || launch=("$mpirun" -n $((cores / of_rank)))
    [ "$precision" = float32 ] || set=(--set "train.precision=$precision")
    "${launch[@]}" "$tutti" train "$here/../../configs/nottingham.conf" \
        --set data.dataset=data.tutti --set model.hidden=512 --set model.embedding=256 \
        --set train.batch=$((cores * rows)) --set train.microbatches=$((microbatches * cores)) \
        --set train.threads="$of_rank" --set train.max_steps=12 --set run.samples=0 --set "run.dir=$run" "${set[@]}" "$@"
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
    else # median of the steps after the fourth
        sed -n 's/.*"gradient_norm".*"tokens_per_second": \([0-9.]*\).*/\1/p' \
            runs/ours/metrics.jsonl | tail -n +5 | median
    fi
}

# generation_seconds ROWS SECONDS: prints the wall-clock time for SECONDS of music.
generation_seconds() {
    local start=$EPOCHREALTIME
    run_quietly "$tutti" generate runs/generator -o out/piece.mid --no-guard --end forbid --count "$1" \
        --seconds "$2"
    awk "BEGIN { print $EPOCHREALTIME - $start }"
}

ours_generate() { # ROWS
    local steps=$((1 + 4000 / (1 + $1 / 8))) base=20 short long
    short=$(generation_seconds "$1" "$base")
    long=$(generation_seconds "$1" $((base + steps)))
    awk "BEGIN { printf \"%.0f\n\", $1 * $steps / ($long - $short) }"
}

theirs_train() { "$python" "$here/train.py" "$@" 2>theirs.txt; }
theirs_generate() {
    "$python" "$here/generate.py" runs/generator/checkpoints/latest "$@" 2>theirs.txt
}

# ---- choosing PyTorch's settings, and comparing ----

median() { sort -g | awk '{ at[NR] = $1 } END { print at[int((NR + 1) / 2)] }'; }

# candidates PART: prints the arguments of theirs_KIND, one setting a line.
candidates() {
    local kind rows precision cores native=(" native")
    IFS=: read -r kind rows precision cores <<<"$1"
    [ "$precision" = bfloat16 ] && native=() # a hundred times slower
    if [ "$kind" = generate ]; then
        local steps=$((1 + 400 / (1 + rows / 16)))
        printf "$rows $steps%s\n" "" " native" " cells" " cells native" " cells compiled"
    elif ((cores == 1)); then
        printf "1 1 $rows $precision%s\n" "" "${native[@]}" " compiled"
    else
        printf "$cores 1 $rows $precision%s\n" "" "${native[@]}"
        printf "1 $cores $((cores * rows)) $precision%s\n" "" "${native[@]}"
    fi
}

# Writes the arguments of the fastest setting to best-PART.
tune() {
    local setting speed
    [ -s "best-$1" ] && return
    while read -r setting; do
        # shellcheck disable=SC2086
        speed=$("theirs_${1%%:*}" $setting </dev/null) ||
            { log "PyTorch, $setting: $(tail -n 1 theirs.txt)"; continue; }
        log "PyTorch, $setting: $speed tokens/s"
        echo "$speed $setting"
    done < <(candidates "$1") >tried.txt
    sort -g tried.txt | tail -n 1 | cut -d' ' -f2- >"best-$1"
    [ -s "best-$1" ] || fail "PyTorch runs in none of these settings"
}

describe() { # PART, the arguments of theirs_KIND
    local part=$1
    shift
    case $part in
    generate*) shift 2; echo "1 thread${*:+, $*}" ;;
    *)
        local processes=$1 threads=$2
        shift 4
        echo "$processes process$( ((processes == 1)) || echo es) of" \
            "$threads thread$( ((threads == 1)) || echo s)${*:+, $*}"
        ;;
    esac
}

measure_alternately() { # PART
    local kind=${1%%:*} best ours theirs round
    read -r best <"best-$1"
    : >rounds.txt
    for ((round = 0; round < rounds; round++)); do
        IFS=: read -r -a arguments <<<"${1#*:}"
        ours=$("ours_$kind" "${arguments[@]}")
        # shellcheck disable=SC2086
        theirs=$("theirs_$kind" $best </dev/null) ||
            { cat theirs.txt >&2; fail "PyTorch: $best"; }
        echo "$ours $theirs" >>rounds.txt
    done
    # shellcheck disable=SC2086
    print_row "$1" "$(describe "$1" $best)"
}

print_row() { # PART SETTINGS
    local ours theirs ratios range
    ours=$(cut -d' ' -f1 rounds.txt | median)
    theirs=$(cut -d' ' -f2 rounds.txt | median)
    if [ "$ours" = refused ]; then
        printf '%-22s %8s %8.0f %7s %13s  %s\n' "$1" refused "$theirs" - - "$2"
        return
    fi
    ratios=$(awk '{ print $1 / $2 }' rounds.txt | sort -g)
    range=$(printf '%.2f-%.2f' "$(head -n 1 <<<"$ratios")" "$(tail -n 1 <<<"$ratios")")
    printf '%-22s %8.0f %8.0f %7.2f %13s  %s\n' "$1" "$ours" "$theirs" \
        "$(median <<<"$ratios")" "$range" "$2"
}

# ---- the parts ----

check_agreement() {
    local files
    mapfile -t files < <(find "$midi" -iname '*.mid' -size -6k | sort | head -n 24)
    "$python" "$here/agreement.py" "$tutti" . 512 256 "${files[@]}"
}

print_header() {
    local processor version
    processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    echo "machine   $processor, $(nproc) cores"
    version=$("$tutti" --version | sed -n '1s/^tutti //p')
    echo "tutti     $version, $microbatches microbatches per core, $threads threads per rank"
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
    agreement)
        check_agreement || status=1
        continue
        ;;
    train:[0-9]*:*:[0-9]*) make_dataset ;;
    generate:[0-9]*) make_generator ;;
    *) fail "no such part: $part (agreement, train:ROWS:PRECISION:CORES, generate:ROWS)" ;;
    esac
    if [ "$work" != "$part" ]; then
        tune "$work"
        continue
    fi
    $table || print_header
    table=true
    tune "$work"
    measure_alternately "$work"
done
exit $status
