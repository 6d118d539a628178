#!/bin/bash
# The command line: help, exit codes, messages, one message from several ranks.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# expect CODE STREAM PATTERN ARGUMENT...: requires this exit code, a match on stdout or
# stderr, and nothing on the other stream.
expect() {
    local code=$1 stream=$2 pattern=$3 other=stdout found
    shift 3
    [ "$stream" = stdout ] && other=stderr
    "$tutti" "$@" >stdout 2>stderr
    found=$?
    if [ "$found" != "$code" ] || ! grep -q -e "$pattern" "$stream" || [ -s "$other" ]; then
        report_failure "tutti $*: code $found (expected $code), no match on $stream for: $pattern"
        head -5 stdout stderr
    fi
}

# one_line: requires that the last failure printed one line that begins with "tutti: ".
one_line() {
    if [ "$(wc -l <stderr)" != 1 ] || ! grep -q '^tutti: ' stderr; then
        report_failure "not one line:"
        cat stderr
    fi
}

expect 0 stdout '^Usage: tutti COMMAND' --help
expect 0 stdout '^Usage: tutti COMMAND' -h
expect 0 stdout '^Usage: tutti COMMAND' help
expect 0 stdout '^tutti [0-9][0-9.]*$' --version
expect 2 stderr '^Usage: tutti COMMAND'
for command in demo preprocess train generate evaluate inspect statistics; do
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
expect 2 stderr 'unknown command qqq (see tutti --help)' qqq
expect 2 stderr 'none.conf: can.t open the configuration: No such file' train none.conf
one_line
printf '[train]\nbtach = 3\n' >typo.conf
expect 2 stderr 'typo.conf:2: unknown key btach in .train.; did you mean batch?' train typo.conf
one_line
printf '[train]\nbatch = 32\nmicrobatches = 5\n' >rule.conf
expect 2 stderr 'train.microbatches = 5 does not divide train.batch = 32' train rule.conf
one_line
expect 2 stderr 'unknown option --epochs; did you mean --set train.epochs=VALUE?' train rule.conf --epochs 3
one_line
expect 2 stderr 'expected section.key=value, for example train.epochs=3' train rule.conf --set epochs=3
one_line
expect 2 stderr 'none.x0A.conf: can.t open the configuration' train "none
.conf"
one_line
printf '\x89HDF\r\n' >data.h5
expect 2 stderr 'data.h5: an HDF5 file, but settings are expected' train data.h5
one_line

# A file where a folder is expected, and a folder that can't be created.
mkdir folder
expect 1 stderr 'rule.conf/x: can.t be written: Not a directory' preprocess folder -o rule.conf/x
one_line
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$work"
    cp "$tutti" program && chmod 755 program
    mkdir closed
    setpriv --reuid 65534 --regid 65534 --clear-groups ./program preprocess typo.conf \
        -o closed/x/data >stdout 2>stderr
    grep -q 'closed/x: can.t create the directory: Permission denied' stderr || {
        report_failure "a folder that can't be created"
        cat stderr
    }
    one_line
fi

# A failed write to standard output is an error.
for arguments in --help --version 'train --help'; do
    # shellcheck disable=SC2086
    "$tutti" $arguments >/dev/full 2>stderr
    code=$?
    if [ $code != 1 ] || ! grep -q 'standard output: can.t write: No space left' stderr; then
        report_failure "tutti $arguments >/dev/full: code $code"
        cat stderr
    fi
done

# On several ranks one rank reports, and all exit.
if command -v "$mpirun" >/dev/null; then
    for arguments in 'train typo.conf' 'trian' 'train --no-such-thing' 'train rule.conf'; do
        # shellcheck disable=SC2086
        timeout 300 "$mpirun" -n 4 "$tutti" $arguments >stdout 2>stderr
        code=$?
        lines=$(grep -c '^tutti: ' stderr)
        if [ $code != 2 ] || [ "$lines" != 1 ]; then
            report_failure "mpirun -n 4 tutti $arguments: code $code, $lines lines"
            cat stderr
            fi
    done
    # Only rank 0 reads the configuration; all ranks exit if it can't.
    mkdir -p host0 host1
    printf '[train]\nbatch = 32\n' >host1/run.conf
    for arguments in 'train run.conf' 'preprocess . -o data --config run.conf'; do
        # shellcheck disable=SC2086
        timeout 300 "$mpirun" -n 2 bash -c \
            "cd host$my_rank && "'exec "$0" "$@"' "$tutti" $arguments \
            >stdout 2>stderr
        code=$?
        if [ $code != 2 ] || [ "$(grep -c '^tutti: ' stderr)" != 1 ] ||
            ! grep -q "^tutti: run.conf: can't open" stderr; then
            report_failure "rank 0 without its configuration: $arguments: code $code"
            cat stderr
            fi
    done
    timeout 300 "$mpirun" -n 4 "$tutti" train --help >stdout 2>stderr
    code=$?
    if [ $code != 0 ] || [ "$(grep -c '^Usage' stdout)" != 1 ]; then
        report_failure "mpirun -n 4 tutti train --help: code $code"
    fi
fi

check_failures
