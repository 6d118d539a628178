#!/bin/bash
# Files with modified object headers and valid checksums (crafted_h5.py). Many are
# refused, some are read normally, some crash the HDF5 library or make it loop forever:
# each must end with an exit code and at most one line. For more or other seeds:
#   TUTTI_TEST_SEEDS="1 400" bash tests/test_crafted.sh TUTTI
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ "${TUTTI_TEST_SANDBOX:-}" != no ] || skip "under a sanitizer crashes end in its report"
command -v python3 >/dev/null || skip "no python3"
make_run lstm
read -r first last <<<"${TUTTI_TEST_SEEDS:-1 60}"
ulimit -S -t 3 # CPU seconds, against endless loops
crashes=0

# try SEED COMMAND...: runs the command, which must survive the crafted file
try() {
    local code=0
    "${@:2}" >stdout.txt 2>stderr.txt || code=$?
    [ $code -le 1 ] || fail "seed $1: ${*:2}: exit code $code: $(cat stderr.txt)"
    [ $code = 0 ] || [ "$(grep -c "^tutti: " stderr.txt)" = 1 ] ||
        fail "seed $1: ${*:2}: not one line: $(cat stderr.txt)"
    [ "$(grep -cv "^tutti: warning: " stderr.txt)" -le 1 ] ||
        fail "seed $1: ${*:2}: more than one line: $(cat stderr.txt)"
    ! grep -q "reading it " stderr.txt || crashes=$((crashes + 1))
}

cp -r corpus.tutti crafted.tutti
for ((seed = first; seed <= last; seed++)); do
    case $((seed % 3)) in
    0) file=corpus.tutti/index.h5 copy=crafted.tutti/index.h5 ;;
    1) file=corpus.tutti/shard-0001.h5 copy=crafted.tutti/shard-0001.h5 ;;
    2) file=runs/first/checkpoints/epoch-0002.h5 copy=crafted.h5 ;;
    esac
    python3 "$tests/crafted_h5.py" "$file" "$copy" "$seed" || fail "seed $seed: crafted_h5.py"
    if [ "$copy" = crafted.h5 ]; then
        try "$seed" "$tutti" inspect crafted.h5 --verify
        try "$seed" "$tutti" generate crafted.h5 -o out.mid --seconds 1
    else
        try "$seed" "$tutti" inspect crafted.tutti --verify
        cp "$file" "$copy"
    fi
done
echo "seeds $first to $last: $crashes crashes in a child"
