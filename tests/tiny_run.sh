# For the scripts beside it: a small corpus, its dataset, and a run of a small model on it.
# Sourced with $tutti set; everything is made in the current directory.
. "$(dirname "${BASH_SOURCE[0]}")/mpi.sh"

fail() { echo "FAILED: $*" >&2; exit 1; }

# For tests that kill ranks, in the background: Open MPI 4.1.4 on PMIx 4.2 sometimes never
# ends then, as mpirun waits for a lock of its own in PMIx_server_finalize while its ranks
# are dead. Ends such ones that were started in $work.
end_stuck_mpirun() {
    local pid states before="" now
    while sleep 5 >/dev/null 2>&1; do
        now=""
        for pid in $(pgrep -x "mpirun|mpiexec"); do
            states=$(ps -o stat= --ppid "$pid" | cut -c1 | sort -u)
            [ "$(readlink "/proc/$pid/cwd")" = "$work" ] && [ "$states" = Z ] || continue
            [[ " $before " == *" $pid "* ]] && kill -9 "$pid" &&
                echo "mpirun (pid $pid) was stuck behind its ranks' end, and is killed" >&2
            now+=" $pid"
        done
        before=$now
    done
}

# write_midi FILE PITCH...: quarter notes one after the other, 96 ticks each, 120 a minute, or
# $tempo microseconds each.
write_midi() {
    local file=$1 body="" pitch velocity=60
    shift
    [ -z "${tempo:-}" ] || body=$(printf '00ff5103%06x' "$tempo")
    for pitch in "$@"; do
        velocity=$(((velocity + 7) % 64 + 40))
        body+=$(printf '0090%02x%02x6080%02x40' "$pitch" "$velocity" "$pitch")
    done
    body+=00ff2f00
    local track
    track=$(printf '%08x' $((${#body} / 2)))
    printf '%b' "$(sed 's/../\\x&/g' <<<"4d546864000000060000000100604d54726b$track$body")" \
        >"$file"
}

# make_corpus DIRECTORY COUNT: tunes that go up and down a scale, no two alike.
make_corpus() {
    local scale=(0 2 4 5 7 9 11 12) i k
    mkdir -p "$1"
    for ((i = 0; i < $2; i++)); do
        local pitches=()
        for ((k = 0; k < 24; k++)); do
            pitches+=($((45 + i % 24 + scale[(k * (i / 24 + 1) + k / 5) % 8])))
        done
        write_midi "$1/tune-$(printf '%03d' "$i").mid" "${pitches[@]}"
    done
}

# make_run CELL: dataset "corpus.tutti" and a finished run of two epochs "runs/first".
make_run() {
    make_corpus corpus 60
    "$tutti" preprocess corpus -o corpus.tutti --shards 4 --split "0.8 0.1 0.1" \
        >preprocess.txt 2>&1 || { cat preprocess.txt >&2; fail "preprocess"; }
    cat >first.conf <<END
[data]
dataset = corpus.tutti
[model]
cell = $1
layers = 2
hidden = 16
embedding = 8
dropout = 0.2
[train]
epochs = 2
batch = 4
slices = 2
time = 32
seed = 3
learning_rate = 0.01
[run]
dir = runs/first
samples = 2
sample_seconds = 5
[sample]
seed = 5
temperature = 0.9
top_p = 0.98
END
    "$tutti" train first.conf >train.txt 2>&1 || { cat train.txt >&2; fail "train"; }
}

# flip FILE OFFSET: one bit of the file.
flip() {
    local byte
    byte=$(od -An -tu1 -j"$2" -N1 "$1")
    printf '%b' "\\x$(printf %02x $((byte ^ 16)))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# refuses CODE PATTERN COMMAND...: one line on stderr that matches, and that exit code.
refuses() {
    local want=$1 pattern=$2 code=0
    shift 2
    "$@" >refused.out 2>refused.err || code=$?
    [ "$code" = "$want" ] || fail "$*: exit code $code, not $want: $(cat refused.err)"
    [ "$(wc -l <refused.err)" = 1 ] || fail "$*: not one line: $(cat refused.err)"
    grep -q "^tutti: " refused.err || fail "$*: no 'tutti: ' in front: $(cat refused.err)"
    grep -Eq -- "$pattern" refused.err ||
        fail "$*: no match for '$pattern': $(cat refused.err)"
}

# facts RUN: the metrics of a run's folder without what depends on the clock: every step's
# loss, norm and hash, every epoch's validation.
facts() {
    sed -E '/"seconds_all"/d; s/"(seconds|tokens_per_second|checkpoint_[a-z_]*)": ?[^,}]+,? ?//g' \
        "$1/metrics.jsonl"
}
