#!/bin/bash
# Sourced first by every tests/test_*.sh. These are run as
#
#     bash tests/test_NAME.sh TUTTI [SOURCE_DIRECTORY]
#
# Exit codes: 0 passed, 77 skipped (skip), anything else failed (fail; a command that
# fails under `set -e`). The test starts in an empty scratch directory that is removed
# when it exits. Sets
#
#   tutti      the program, as an absolute path; $programs/ has the test programs
#   tests      this directory; $source is the source tree
#   work       the scratch directory
#   mpirun     the launcher of the MPI that the build is linked with (mpi.sh)
#   python     a Python that has the tests' packages; TUTTI_PYTHON overrides it
# shellcheck disable=SC2034 # no script uses all of these variables
set -u
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(dirname "$tests")
tutti=$(realpath "${1:?usage: bash $0 TUTTI}")
programs=$(dirname "$tutti")/tests
python=${TUTTI_PYTHON:-/usr/bin/python3}
. "$tests/mpi.sh"

# ---- the end of a test ----

failed=""
fail() {
    failed=yes
    echo "FAILED: $*" >&2
    exit 1
}

# report_failure TEXT...: reports a failure and continues; check_failures then ends the
# test.
failures=0
report_failure() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}
check_failures() { [ "$failures" = 0 ] || fail "$failures failures"; }

# skip REASON...
skip() {
    echo "skipped: $*"
    exit 77
}

# at_exit COMMAND: runs it when the test exits for any reason.
exit_commands=()
at_exit() { exit_commands+=("$1"); }

end_test() {
    local code=$? last=$BASH_COMMAND command
    for command in ${exit_commands[@]+"${exit_commands[@]}"}; do eval "$command"; done
    cd / && rm -rf "$work"
    [ $code = 0 ] || [ $code = 77 ] || [ -n "$failed" ] || echo "FAILED: exit code $code: $last" >&2
}
work=$(mktemp -d) && cd "$work" || exit 1
trap end_test EXIT

# ---- waiting ----

# wait_until WHAT COMMAND...: polls until the command succeeds. The limit only catches
# hangs: it is generous enough for a heavily loaded machine.
wait_until() {
    local what=$1 limit=${TUTTI_TEST_TIMEOUT:-120} end
    end=$((SECONDS + limit))
    shift
    until "$@" 2>/dev/null; do
        ((SECONDS < end)) || {
            [ ! -e log.txt ] || tail -n 20 log.txt >&2
            fail "$what: not within $limit s"
        }
        sleep 0.05
    done
}

# wait_for_line FILE PATTERN: waits until a line of the file, which may not exist yet,
# matches.
wait_for_line() { wait_until "a line '$2' in $1" grep -q -- "$2" "$1"; }

# has_exited PID: true if the process has exited, even if it is still a zombie.
has_exited() { ! grep -qs '^State:.[^ZX]' "/proc/$1/status"; }

# Run in the background by tests that kill ranks. With Open MPI 4.1.4 on PMIx 4.2 mpirun
# can deadlock in PMIx_server_finalize once its ranks are dead: this kills each such
# mpirun started in $work.
kill_hung_mpirun() {
    local pid states previous="" current
    while sleep 5 >/dev/null 2>&1; do
        current=""
        for pid in $(pgrep -x "mpirun|mpiexec"); do
            states=$(ps -o stat= --ppid "$pid" | cut -c1 | sort -u)
            [ "$(readlink "/proc/$pid/cwd")" = "$work" ] && [ "$states" = Z ] || continue
            [[ " $previous " == *" $pid "* ]] && kill -9 "$pid" &&
                echo "mpirun (pid $pid) hangs after its ranks have exited: killed" >&2
            current+=" $pid"
        done
        previous=$current
    done
}

# ---- MIDI files, datasets, runs ----

# write_hex FILE DIGITS: writes the bytes given as hexadecimal digits.
write_hex() {
    local byte
    for ((byte = 0; byte < ${#2}; byte += 2)); do printf '%b' "\\x${2:byte:2}"; done >"$1"
}

# write_midi FILE PITCH...: writes consecutive quarter notes of 96 ticks at 120 beats per
# minute, or at $tempo microseconds per beat.
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
    write_hex "$file" "4d546864000000060000000100604d54726b$track$body"
}

# make_corpus DIRECTORY COUNT: writes distinct tunes of 24 notes, up and down a scale.
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

# make_dataset NAME COUNT SHARDS SPLIT: makes the dataset NAME from COUNT tunes, which it
# writes to corpus/.
make_dataset() {
    make_corpus corpus "$2"
    "$tutti" preprocess corpus -o "$1" --shards "$3" --split "$4" >preprocess.txt 2>&1 ||
        { cat preprocess.txt >&2; fail "preprocess"; }
}

# make_run CELL: makes the dataset "corpus.tutti" and "runs/first", a finished run of two
# epochs.
make_run() {
    make_dataset corpus.tutti 60 4 "0.8 0.1 0.1"
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
microbatches = 2
sequence_length = 32
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

# write_run_conf LAYERS HIDDEN BATCH LENGTH: writes run.conf: two epochs on data.tutti, in
# runs/whole, with the weights hash of every step.
write_run_conf() {
    cat >run.conf <<END
[data]
dataset = data.tutti
[model]
layers = $1
hidden = $2
embedding = 12
dropout = 0.2
[train]
epochs = 2
batch = $3
microbatches = 4
sequence_length = $4
learning_rate = 0.01
[run]
dir = runs/whole
samples = 0
hash_steps = yes
END
}

# on RANKS ARGUMENT...: runs tutti on that many ranks; 0: without mpirun.
on() {
    local ranks=$1
    shift
    if [ "$ranks" = 0 ]; then "$tutti" "$@"; else "$mpirun" -n "$ranks" "$tutti" "$@"; fi
}

# ---- checks ----

# flip FILE OFFSET: inverts one bit of the byte at OFFSET.
flip() {
    local byte
    byte=$(od -An -tu1 -j"$2" -N1 "$1")
    printf '%b' "\\x$(printf %02x $((byte ^ 16)))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# refuses CODE PATTERN COMMAND...: requires that the command exits with CODE and prints
# one line to stderr that matches.
refuses() {
    local want=$1 pattern=$2 code=0
    shift 2
    "$@" >refused.out 2>refused.err || code=$?
    [ "$code" = "$want" ] || fail "$*: exit code $code, not $want: $(cat refused.err)"
    [ "$(wc -l <refused.err)" = 1 ] || fail "$*: not one line: $(cat refused.err)"
    grep -q "^tutti: " refused.err || fail "$*: no prefix 'tutti: ': $(cat refused.err)"
    grep -Eq -- "$pattern" refused.err ||
        fail "$*: no match for '$pattern': $(cat refused.err)"
}

# hash_of PATH: prints the weights hash of a checkpoint, or of a run's newest one.
hash_of() {
    "$tutti" inspect "$1" --json | sed -n 's/.*"weights_hash": "\(.*\)".*/\1/p' | head -n 1
}

# deterministic_metrics RUN: prints a run's metrics except timings: loss, gradient norm
# and hash of every step, validation of every epoch.
deterministic_metrics() {
    sed -E '/"seconds_all"/d; s/"(seconds|tokens_per_second|checkpoint_[a-z_]*)": ?[^,}]+,? ?//g' \
        "$1/metrics.jsonl"
}

# same_metrics RUN REFERENCE WHAT: requires that both runs have the same metrics.
same_metrics() {
    deterministic_metrics "runs/$1" >actual.txt
    deterministic_metrics "runs/$2" >expected.txt
    grep -q '"valid_loss".*"weights_hash"' expected.txt || fail "$3: the reference has no epoch"
    diff expected.txt actual.txt >difference.txt ||
        { head -4 difference.txt >&2; cat log.txt >&2; fail "$3: other metrics"; }
    echo "ok: $3"
}
