#!/bin/bash
# A configuration and a split file from standard input and from pipes, on one rank and on
# several, one of which reads.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
make_corpus corpus 12
"$tutti" preprocess corpus -o data --shards 2 --split "0.8 0.1 0.1" >out 2>&1
mkfifo pipe

# configuration NAME: prints one for a run of two steps in runs/NAME
configuration() {
    printf '%s\n' '[data]' 'dataset = data' '[model]' 'layers = 1' 'hidden = 8' \
        'embedding = 4' '[train]' 'batch = 2' 'microbatches = 2' 'sequence_length = 8' 'max_steps = 2' \
        '[run]' "dir = runs/$1" 'samples = 0'
}
# creates_run NAME COMMAND...: requires that the command succeeds in time and makes
# runs/NAME.
creates_run() {
    local name=$1
    shift
    timeout 300 "$@" >out 2>&1 || fail "$*: exit code $?: $(cat out)"
    [ -e "runs/$name/checkpoints/latest" ] || fail "$*: no runs/$name: $(cat out)"
}

creates_run process "$tutti" train <(configuration process)
configuration stdin | creates_run stdin "$tutti" train -
configuration device | creates_run device "$tutti" train /dev/stdin
configuration fifo >pipe &
creates_run fifo "$tutti" train pipe
configuration where | "$tutti" train - --where | grep -q "step 0 of runs/where" ||
    fail "--where with the configuration from standard input"
configuration bench | "$tutti" doctor - --run-dir . >out 2>&1 ||
    [ $? = 1 ] || fail "doctor -: $(cat out)"

printf '\xef\xbb\xbftune-000.mid\ttrain\r\ntune-001.mid\tvalid' >split.tsv
# reads_split NAME SOURCE: requires that preprocess reads the split file from SOURCE
reads_split() {
    "$tutti" inspect "$1" --json | tr -d ' \n' |
        grep -q '"valid":{"pieces":1,' || fail "$1: $("$tutti" inspect "$1")"
}
"$tutti" preprocess corpus -o from-stdin --split-file - <split.tsv >out 2>&1 ||
    fail "split file from standard input: $(cat out)"
reads_split from-stdin
"$tutti" preprocess corpus -o from-process --split-file <(cat split.tsv) >out 2>&1 ||
    fail "split file from a process: $(cat out)"
reads_split from-process

refuses 2 "^tutti: zero.tsv:2: a zero byte" bash -c '
    printf "tune-000.mid\ttrain\ntune-001.mid\tvalid\0.\n" >zero.tsv
    exec "$0" preprocess corpus -o bad --split-file zero.tsv' "$tutti"
refuses 2 "^tutti: wide.tsv:1: text in UTF-16" bash -c '
    printf "\xff\xfet\0u\0" >wide.tsv
    exec "$0" preprocess corpus -o bad --split-file wide.tsv' "$tutti"
refuses 2 "^tutti: long.tsv:1: the line is longer than" bash -c '
    head -c 100000 /dev/zero | tr "\0" x >long.tsv
    exec "$0" preprocess corpus -o bad --split-file long.tsv' "$tutti"
refuses 2 "^tutti: corpus: can.t read the split file: Is a directory" \
    "$tutti" preprocess corpus -o bad --split-file corpus
refuses 2 "standard input can.t be the split file, it is already the configuration" \
    bash -c 'echo "[data]" | exec "$0" preprocess corpus -o bad --config - --split-file -' \
    "$tutti"
[ ! -e bad ] || fail "a dataset was made despite a refusal"

command -v "$mpirun" >/dev/null || exit 0
configuration ranks-stdin | creates_run ranks-stdin "$mpirun" -n 2 "$tutti" train -
configuration ranks-fifo >pipe &
creates_run ranks-fifo "$mpirun" -n 2 "$tutti" train pipe
cat split.tsv >pipe &
timeout 300 "$mpirun" -n 2 "$tutti" preprocess corpus -o ranks-split --split-file pipe \
    >out 2>&1 || fail "split file from a pipe, two ranks: $(cat out)"
reads_split ranks-split
printf '[data]\nsede = 1\n' >pipe &
code=0
timeout 300 "$mpirun" -n 2 "$tutti" preprocess corpus -o bad --config pipe >out 2>&1 || code=$?
[ "$code" = 2 ] && [ "$(grep -c '^tutti: pipe:2: unknown key sede' out)" = 1 ] ||
    fail "a wrong configuration from a pipe, two ranks: exit code $code: $(cat out)"
wait
