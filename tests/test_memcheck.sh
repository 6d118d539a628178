#!/bin/bash
# The whole pipeline (preprocess, train, resume, generate, evaluate, inspect) with freed
# memory overwritten (MALLOC_PERTURB_), and under valgrind, which also checks libraries
# that are not instrumented.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if nm "$tutti" 2>/dev/null | grep -q __asan_init; then
    skip "neither valgrind nor MALLOC_PERTURB_ works with AddressSanitizer"
fi

make_corpus corpus 30
cat >run.conf <<END
[data]
dataset = data
[model]
layers = 1
hidden = 16
embedding = 8
[train]
batch = 4
microbatches = 2
sequence_length = 32
warmup_steps = 5
[run]
dir = run
samples = 1
sample_seconds = 5
END

# run_pipeline NAME COMMAND...: runs every step under COMMAND..., for example `env
# NAME=VALUE`.
run_pipeline() {
    local name=$1 line
    shift
    rm -rf data run music.mid
    while read -r line; do
        # shellcheck disable=SC2086
        "$@" "$tutti" $line >log.txt 2>&1 ||
            { code=$?; tail -n 60 log.txt >&2; fail "$name: exit code $code: tutti $line"; }
    done <<END
preprocess corpus -o data --set data.shards=4
train run.conf --set train.epochs=1
train run.conf --resume --set train.epochs=2
generate run -o music.mid --seconds 5 --prime corpus/tune-001.mid
evaluate run data --split test
inspect run --verify
inspect data --verify
inspect music.mid
END
}

run_pipeline "overwritten memory" env MALLOC_PERTURB_=165
command -v valgrind >/dev/null || skip "no valgrind"
memcheck=(valgrind -q --error-exitcode=99)
known=/usr/share/openmpi/openmpi-valgrind.supp # suppressions for Open MPI's startup
[ ! -e "$known" ] || memcheck+=(--suppressions="$known")
run_pipeline "valgrind" "${memcheck[@]}"
echo "memcheck: all as expected"
