#!/bin/bash
# Runs the fuzz targets, built with clang, libFuzzer and sanitizers, each for some
# seconds, starting from the seeds of make_seeds and the corpus grown in
# build/fuzz/corpus:
#   tests/fuzz/run.sh SECONDS [TARGET...]
# FUZZ_JOBS targets run in parallel (default 1). FUZZ_PRESET=fuzz-hdf5 links an HDF5 with
# AddressSanitizer, built by hdf5.sh. Exit code 1 on any finding, with its input in
# build/fuzz/found; 77 without libFuzzer.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
all=(config split_file tokens midi checkpoint dataset)
usage() {
    echo "usage: tests/fuzz/run.sh SECONDS [TARGET...]; targets: ${all[*]}" >&2
    exit 2
}
seconds=${1:-}
[[ $seconds =~ ^[0-9]+$ ]] || usage
shift
targets=("${@:-${all[@]}}")
for target in "${targets[@]}"; do
    [[ " ${all[*]} " == *" $target "* ]] || usage
done

probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
printf '#include <stddef.h>\n#include <stdint.h>\n%s\n' \
    'int LLVMFuzzerTestOneInput(const uint8_t *b, size_t n) { (void)b; return n > 9; }' \
    >"$probe/probe.c"
clang -fsanitize=fuzzer,address "$probe/probe.c" -o "$probe/probe" 2>"$probe/log" ||
    { echo "skipped: no clang with libFuzzer (Debian: clang, libclang-rt-dev)"; exit 77; }

preset=${FUZZ_PRESET:-fuzz}
build=$PWD/build/$preset
{ cmake --preset "$preset" -DBUILD_TESTING="$([[ $preset == fuzz ]] && echo OFF || echo ON)" &&
    cmake --build --preset "$preset" --parallel "$(nproc)"; } >"$probe/log" 2>&1 ||
    { cat "$probe/log" >&2; exit 1; }

set -a
. tests/mpi.env
set +a
# HDF5 and MPI keep memory allocated, so the targets that use them check for leaks
# themselves.
export ASAN_OPTIONS="quarantine_size_mb=32:${ASAN_OPTIONS:-}" OPENBLAS_NUM_THREADS=1

run_target() {
    local target=$1 log=$build/$1.log code=0 options=()
    mkdir -p "$build/corpus/$target" "$build/found"
    rm -rf "$build/seeds/$target"
    "$build/tests/fuzz/make_seeds" "$target" "$build/seeds/$target" || return 1
    case $target in
    config)
        "$build/tests/fuzz/make_seeds" dictionary "$build/config.dict" || return 1
        options=(-dict="$build/config.dict" -max_len=2048)
        ;;
    checkpoint | dataset)
        options=(-max_len=257 -len_control=0 -detect_leaks=0)
        local ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
        ;;
    midi) options=(-max_len=4096) ;;
    *) options=(-max_len=1024) ;;
    esac
    "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=60 \
        -rss_limit_mb=600 -malloc_limit_mb=300 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="$build/found/$target-" "${options[@]}" \
        "$build/corpus/$target" "$build/seeds/$target" >"$log" 2>&1 || code=$?
    report "$target" "$code" "$log"
    return "$code"
}

# Prints one line of statistics; after a finding, also the end of the log.
report() {
    local executions rate peak coverage corpus
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$3")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$3")
    peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "$3")
    coverage=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$3" | tail -n 1)
    corpus=$(find "$build/corpus/$1" -type f | wc -l)
    printf '%-10s %9s executions %6s/s  coverage %6s  corpus %5s  peak %4s MB  %s\n' "$1" \
        "${executions:-?}" "${rate:-?}" "${coverage:-?}" "$corpus" "${peak:-?}" \
        "$([[ $2 == 0 ]] && echo ok || echo "FAILED ($2)")"
    [[ $2 == 0 ]] || grep -v '^#[0-9]*[[:space:]]' "$3" | tail -n 60 >&2
}

failed=0 running=0
for target in "${targets[@]}"; do
    if ((running >= ${FUZZ_JOBS:-1})); then
        wait -n || failed=1
        running=$((running - 1))
    fi
    run_target "$target" &
    running=$((running + 1))
done
while ((running > 0)); do
    wait -n || failed=1
    running=$((running - 1))
done
exit "$failed"
