#!/bin/bash
# Measures memory use and speed of streaming: trains on a dataset many times larger than
# data.memory_mb, alternating between all tokens in memory and tokens from disk.
#   bash memory_campaign.sh TUTTI DIRECTORY [FILES] [MB] [PAIRS] [STEPS] [MODELS]
# FILES (default 4000) pieces of about 35 kB of tokens each are made in DIRECTORY once. MB
# is data.memory_mb (default: a tenth of the tokens). For a small model and for 2 x 512,
# prints the resident memory over time in both modes and the median ratio of their tokens
# per second. The ratio needs an otherwise idle machine.
set -u
tutti=$(realpath "$1")
work=$2
files=${3:-4000}
bound=${4:-}
pairs=${5:-7}
steps=${6:-300}
mkdir -p "$work" && cd "$work" || exit 1
if [ ! -d data.tutti ]; then
    "$(dirname "$tutti")/tests/large_corpus" corpus "$files" 5000 || exit 1
    "$tutti" preprocess corpus -o data.tutti --shards 64 --split "0.98 0.01 0.01" || exit 1
    rm -r corpus
fi
tokens=$("$tutti" inspect data.tutti --json | sed -n 's/^ *"tokens": *\([0-9]*\),*/\1/p' |
    sort -n | tail -1)
bound=${bound:-$(awk "BEGIN {print $tokens * 2 / 1e6 / 10}")}
echo "tokens: $(awk "BEGIN {print $tokens * 2 / 1e6}") MB; data.memory_mb = $bound"

cat >run.conf <<END
[data]
dataset = data.tutti
[model]
cell = lstm
[train]
epochs = 1000
batch = 16
microbatches = 8
sequence_length = 128
max_steps = $steps
[run]
samples = 0
END
declare -A model=([small]="--set model.layers=1 --set model.hidden=64 --set model.embedding=32"
                  [large]="--set model.layers=2 --set model.hidden=512 --set model.embedding=256")

# Until the process ends, records its resident set in kB and the CPU time of its reader
# thread and of all its threads, in ticks.
record_memory() { # record_memory PID FILE
    local pages stat task name reader=0
    while read -r _ pages _ <"/proc/$1/statm" && read -r stat <"/proc/$1/stat"; do
        [ "$pages" = 0 ] && break
        for task in "/proc/$1/task/"*; do
            read -r name <"$task/comm" && [ "$name" = tutti-reader ] &&
                read -r reader <"$task/stat" && reader=$(ticks "$reader")
        done
        echo $((pages * 4)) "$reader" "$(ticks "$stat")"
        sleep 0.2
    done >"$2" 2>/dev/null
}

ticks() { # utime + stime of a line of /proc/PID/stat
    # shellcheck disable=SC2086 # fields of a line
    set -- ${1##*) }
    echo $((${12} + ${13}))
}

train() { # train MODEL MODE MEMORY
    rm -rf "runs/$1-$2"
    # shellcheck disable=SC2086
    "$tutti" train run.conf ${model[$1]} --set run.dir="runs/$1-$2" --set data.memory_mb="$3" \
        >"$1-$2.txt" 2>&1 &
    record_memory $! "$1-$2.rss"
    wait $! || { cat "$1-$2.txt" >&2; exit 1; }
}

# Tokens per second, without the first steps, which fill the caches.
rate() {
    sed -n 's/.*"gradient_norm".*"seconds": *\([0-9.e-]*\),.*/\1/p' "runs/$1/metrics.jsonl" |
        tail -n +21 | awk '{s += $1} END {print NR * 16 * 128 / s}'
}

median() { sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

for which in ${7:-small large}; do
    : >"$which.ratios"
    for ((i = 0; i < pairs; i++)); do
        train "$which" whole 0
        train "$which" stream "$bound"
        a=$(rate "$which-whole") b=$(rate "$which-stream")
        awk "BEGIN {print $b / $a}" >>"$which.ratios"
        echo "$which: in memory $a, streamed $b tokens/s"
    done
    hash() { grep -o '"weights_hash": *"[^"]*"' "runs/$1/metrics.jsonl" | tail -1; }
    [ "$(hash "$which-whole")" = "$(hash "$which-stream")" ] || { echo "hashes differ"; exit 1; }
    for mode in whole stream; do
        awk -v name="$which, $mode" '
            NF == 3 {rss[++n] = $1; peak = $1 > peak ? $1 : peak; reader = $2; all = $3}
            END {printf "%s: resident kB at 25, 50, 75, 100 %% of the run: %d %d %d %d, peak %d; ",
                 name, rss[int(n / 4) + 1], rss[int(n / 2) + 1], rss[int(3 * n / 4) + 1],
                 rss[n], peak
                 printf "reading took %.2f of %.2f s of CPU time\n",
                 reader / 100, all / 100}' "$which"-$mode.rss
    done
    echo "$which: streamed / in memory, median of $pairs: $(median <"$which.ratios")"
done
