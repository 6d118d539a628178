# The program from outside: help, exit codes, messages, one voice under mpirun.
# Usage: test_cli.sh TUTTI SOURCE_DIRECTORY
tutti=$1
[ -x "$tutti" ] || { echo "usage: test_cli.sh TUTTI SOURCE_DIRECTORY"; exit 1; }
failures=0
work=$(mktemp -d /tmp/tutti-test-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# expect CODE STREAM PATTERN ARGUMENT...: the exit code, the grep pattern on stdout or stderr,
# and nothing on the other one.
expect() {
    local code=$1 stream=$2 pattern=$3 other=stdout found
    shift 3
    [ "$stream" = stdout ] && other=stderr
    "$tutti" "$@" >stdout 2>stderr
    found=$?
    if [ "$found" != "$code" ] || ! grep -q -e "$pattern" "$stream" || [ -s "$other" ]; then
        echo "FAILED: tutti $*: code $found (expected $code), $stream without: $pattern"
        head -5 stdout stderr
        failures=$((failures + 1))
    fi
}

# one_line: the last failure was one line that begins with "tutti: ".
one_line() {
    if [ "$(wc -l <stderr)" != 1 ] || ! grep -q '^tutti: ' stderr; then
        echo "FAILED: not one line:"
        cat stderr
        failures=$((failures + 1))
    fi
}

expect 0 stdout '^Usage: tutti COMMAND' --help
expect 0 stdout '^Usage: tutti COMMAND' -h
expect 0 stdout '^Usage: tutti COMMAND' help
expect 0 stdout '^tutti [0-9][0-9.]*$' --version
expect 2 stderr '^Usage: tutti COMMAND'
for command in demo preprocess train generate evaluate inspect; do
    expect 0 stdout "^  $command  *[A-Za-z]" --help
    expect 0 stdout "^Usage: tutti $command" $command --help
    expect 0 stdout "^Usage: tutti $command" help $command
    expect 2 stderr "unknown option --no-such-thing" $command --no-such-thing
    one_line
done
expect 0 stdout 'learning_rate = 0.002' train --help
expect 2 stderr 'unknown command trian; did you mean train?' trian
one_line
expect 2 stderr 'unknown command trian; did you mean train?' help trian
expect 2 stderr 'unknown command qqq (all: tutti --help)' qqq
expect 2 stderr 'none.conf: can.t open the configuration: No such file' train none.conf
one_line
printf '[train]\nbtach = 3\n' >typo.conf
expect 2 stderr 'typo.conf:2: unknown key btach in .train.; did you mean batch?' train typo.conf
one_line
printf '[train]\nbatch = 32\nslices = 5\n' >rule.conf
expect 2 stderr 'train.slices = 5 does not divide train.batch = 32' train rule.conf
one_line

# A failed write to standard output is an error.
for arguments in --help --version 'train --help'; do
    # shellcheck disable=SC2086
    "$tutti" $arguments >/dev/full 2>stderr
    code=$?
    if [ $code != 1 ] || ! grep -q 'standard output: can.t write: No space left' stderr; then
        echo "FAILED: tutti $arguments >/dev/full: code $code"
        cat stderr
        failures=$((failures + 1))
    fi
done

# On several ranks one of them speaks, and all leave.
if command -v mpirun >/dev/null; then
    for arguments in 'train typo.conf' 'trian' 'train --no-such-thing' 'train rule.conf'; do
        # shellcheck disable=SC2086
        timeout 60 mpirun -n 4 "$tutti" $arguments >stdout 2>stderr
        code=$?
        lines=$(grep -c '^tutti: ' stderr)
        if [ $code != 2 ] || [ "$lines" != 1 ]; then
            echo "FAILED: mpirun -n 4 tutti $arguments: code $code, $lines lines"
            cat stderr
            failures=$((failures + 1))
        fi
    done
    # A fault that only one rank meets is told as well, with its rank.
    mkdir -p host0 host1
    printf '[train]\nbatch = 32\n' >host0/run.conf
    for arguments in 'train run.conf' 'preprocess . -o data --config run.conf'; do
        # shellcheck disable=SC2016
        timeout 60 mpirun -n 2 bash -c \
            'cd host$OMPI_COMM_WORLD_RANK && exec "$0" "$@"' "$tutti" $arguments \
            >stdout 2>stderr
        code=$?
        if [ $code != 2 ] || [ "$(grep -c '^tutti: ' stderr)" != 1 ] ||
            ! grep -q "^tutti: rank 1 .*: run.conf: can't open" stderr; then
            echo "FAILED: one rank without its configuration: $arguments: code $code"
            cat stderr
            failures=$((failures + 1))
        fi
    done
    timeout 60 mpirun -n 4 "$tutti" train --help >stdout 2>stderr
    code=$?
    if [ $code != 0 ] || [ "$(grep -c '^Usage' stdout)" != 1 ]; then
        echo "FAILED: mpirun -n 4 tutti train --help: code $code"
        failures=$((failures + 1))
    fi
fi

echo "$failures failures"
[ $failures = 0 ]
