#!/bin/bash
# Files that crash the HDF5 library or take control of it (simulated by sandbox_fault.c)
# lead to one message, and the sandboxed process can access nothing else. Then: uses that
# must work in the sandbox.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
shim=$programs/libsandbox_fault.so
[ -e "$shim" ] || fail "$shim is missing"
make_run lstm
newest=runs/first/checkpoints/epoch-0002.h5
echo victim >victim
echo secret >secret

# with_fault HOW COMMAND...: runs the command with this fault on opening an HDF5 file
with_fault() { (exec_with_fault "$@"); }
exec_with_fault() {
    exec env LD_PRELOAD="$shim" SANDBOX_FAULT="$1" \
        ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" "${@:2}"
}
reads=("inspect runs/first" "inspect corpus.tutti --verify" "generate runs/first -o new.mid"
    "inspect runs/first --diff $newest" "evaluate runs/first corpus.tutti"
    "evaluate runs/first corpus.tutti --samples 2" "statistics corpus --training corpus.tutti")

# ---- crashes: one line, exit code 1, no file left, no core dump ----
sanitized=${TUTTI_TEST_SANDBOX:-}
crash="reading it ended in signal 11 \(SIGSEGV\)"
[ "$sanitized" = no ] && crash="reading it ended" # after the sanitizer's report
before=$(ls -I "refused*")
ulimit -c unlimited 2>/dev/null
for command in "${reads[@]}"; do
    # shellcheck disable=SC2086
    [ "$sanitized" = no ] ||
        refuses 1 "^tutti: [^ ]*\.h5: damaged: $crash" with_fault null "$tutti" $command
    # shellcheck disable=SC2086
    refuses 1 "^tutti: [^ ]*\.h5: .*SIGKILL" with_fault kill "$tutti" $command
done
refuses 1 "^tutti: $newest: damaged: .*SIGABRT" with_fault abort "$tutti" inspect $newest
[ "$(ls -I "refused*")" = "$before" ] || fail "a crash leaves files: $(ls)"
for how in "kill" ${sanitized:-null}; do
    [ "$how" != no ] || continue
    code=0
    with_fault "$how" "$mpirun" -n 2 "$tutti" evaluate runs/first corpus.tutti >ranks.txt 2>&1 ||
        code=$?
    [ "$code" = 1 ] || fail "evaluate on 2 ranks, $how: exit code $code: $(cat ranks.txt)"
    [ "$(grep -c "^tutti: $newest: .*reading it " ranks.txt)" = 1 ] ||
        fail "evaluate on 2 ranks, $how: not one line: $(cat ranks.txt)"
done
echo "ok: crashes"

# ---- restrictions ----
if [ "$sanitized" != no ]; then
    for command in "${reads[@]:0:4}"; do
        # shellcheck disable=SC2086
        with_fault sandbox "$tutti" $command </dev/null >sandbox.out 2>sandbox.txt ||
            fail "$command: sandbox: $(cat sandbox.txt)"
        grep -q "^seccomp: " sandbox.txt || fail "$command: nothing was attempted"
        grep -q "^seccomp: there" sandbox.txt || break
        # only generate may start threads, and nothing else is allowed in them
        allowed="" refused=31
        [ "${command%% *}" != generate ] ||
            allowed=$'thread: allowed\nin a thread: thread: allowed' refused=60
        [ "$(grep ": allowed" sandbox.txt)" = "$allowed" ] ||
            fail "$command: $(grep ": allowed" sandbox.txt sandbox.out)"
        [ "$(grep -c ": refused" sandbox.txt)" = $refused ] || fail "$command: $(cat sandbox.txt)"
    done
    # the first attempt is made in the child process
    with_fault sandbox "$tutti" evaluate runs/first corpus.tutti >sandbox.out 2>sandbox.txt </dev/null
    if grep -q "^seccomp: there" sandbox.txt; then
        [ "$(grep -m1 "^socket: " sandbox.txt)" = "socket: refused" ] ||
            fail "evaluate: $(cat sandbox.txt)"
    fi
    rm -rf planted moved second third folder
    echo victim >victim
    # a folder of unknown origin may contain links to anywhere
    cp -r runs/first foreign
    for link in notes.txt .latest secret.h5; do
        ln -s "$work/secret" "foreign/$link"
        ln -s "$work/secret" "foreign/checkpoints/$link"
    done
    ln -s "$work" foreign/checkpoints/epoch-0003.h5
    for command in "${reads[@]:0:4}" "inspect foreign" "generate foreign -o new.mid"; do
        # shellcheck disable=SC2086
        with_fault secret "$tutti" $command >sandbox.out 2>sandbox.txt ||
            fail "$command: secret: $(cat sandbox.txt)"
        grep -q "^landlock: there" sandbox.txt || break
        allowed=""
        [ "${command%% *}" != generate ] || # may load libraries
            allowed=$'library: allowed\nin a thread: library: allowed'
        [ "$(grep ": allowed" sandbox.txt)" = "$allowed" ] || fail "$command: $(cat sandbox.txt)"
        grep -q "^secret: refused" sandbox.txt || fail "$command: $(cat sandbox.txt)"
        [ "${command%% *}" != generate ] || grep -q "^in a thread: secret: refused" sandbox.txt ||
            fail "$command: $(cat sandbox.txt)"
    done
    with_fault memory "$tutti" inspect runs/first >memory.txt 2>&1
    for what in limits memory; do
        grep -q "^$what: refused" memory.txt || fail "$what: $(cat memory.txt)"
    done
    cp $newest sparse.h5
    if truncate -s 5T sparse.h5 2>/dev/null; then # a hole must not raise the limit
        with_fault memory "$tutti" inspect sparse.h5 2>&1 | grep -q "^memory: refused" ||
            fail "a sparse file raises the memory limit"
    fi
    (ulimit -S -t 1 && refuses 1 "^tutti: $newest: damaged: .* processor time" \
        with_fault spin "$tutti" inspect $newest) || exit 1
    echo "ok: sandbox"
fi

# ---- signals: as without a child process ----
child_of() { # PID: waits for its child and prints the child's pid
    wait_until "a child of $1" pgrep -P "$1"
}
for signal in TERM KILL; do
    (exec_with_fault spin "$tutti" inspect $newest) &
    parent=$!
    child=$(child_of $parent)
    [ -n "$child" ] || fail "$signal: no child"
    kill -$signal $parent
    wait $parent 2>/dev/null
    code=$?
    [ $code = $((128 + $(kill -l $signal))) ] || fail "SIG$signal: exit code $code"
    wait_until "SIG$signal: the end of the child" has_exited "$child"
done
(exec_with_fault spin "$tutti" inspect $newest) 2>ended.txt &
parent=$!
kill -TERM "$(child_of $parent)"
wait $parent 2>/dev/null
code=$?
[ $code = 143 ] || fail "a child ended by SIGTERM: exit code $code: $(cat ended.txt)"
{
    wait_until "the end of the reader" test -e closed
    "$tutti" inspect $newest 2>pipe.txt
    echo $? >pipe.code
} | { exec <&-; touch closed; }
[ "$(cat pipe.code)" = 141 ] || fail "broken pipe: $(cat pipe.code pipe.txt)"
(trap '' CHLD && exec "$tutti" inspect $newest >chld.txt 2>&1) ||
    fail "SIGCHLD ignored: $(cat chld.txt)"
refuses 1 "standard output" bash -c "'$tutti' inspect $newest >/dev/full"
echo "ok: signals"

# ---- links to other folders, and files instead of directories ----
same() { # WHAT EXPECTED COMMAND...
    "${@:3}" >same.txt 2>&1 || fail "$1: $(cat same.txt)"
    grep -q "$2" same.txt || fail "$1: $(cat same.txt)"
}
hash=$("$tutti" inspect $newest --json | grep -o '"weights_hash": *"[0-9a-f]*"')
mkdir -p store/shards spread moved
cp corpus.tutti/* store/shards/
cp corpus.tutti/index.h5 spread/
for i in 0 1 3; do ln -s ../store/shards/shard-000$i.h5 spread/; done
ln -s "$work/store/shards/shard-0002.h5" spread/
same "linked shards" "verified: 4 shards" "$tutti" inspect spread --verify
same "its index" "shards  *4," "$tutti" inspect spread/index.h5
same "one of its shards" "shard 2 of 4" "$tutti" inspect spread/shard-0002.h5
ln -s spread linked
same "a linked dataset" "verified: 4 shards" "$tutti" inspect linked --verify
cp -r runs/first/checkpoints store/
ln -s ../store/checkpoints moved/
same "linked checkpoints" "$hash" "$tutti" inspect moved --json
same "both" "." "$tutti" evaluate moved linked
for path in runs/first/checkpoints runs/first/checkpoints/best "$work/runs/first"; do
    same "$path" "$hash" "$tutti" inspect "$path" --json
done
rm moved/checkpoints/latest
same "latest without its link" "$hash" "$tutti" inspect moved/checkpoints/latest --json
(cd runs/first/checkpoints && same "." "$hash" "$tutti" inspect . --json &&
    same "the name alone" "$hash" "$tutti" inspect epoch-0002.h5 --json) || exit 1
same "several runs" "moved" "$tutti" inspect runs/first moved
same "a MIDI file" ok "$tutti" inspect corpus/tune-001.mid --json
# the validation loss within an epoch is in metrics.jsonl, next to the checkpoints
"$tutti" train first.conf --set run.dir=part --set train.max_steps=10 >part.txt 2>&1 ||
    fail "$(cat part.txt)"
for path in part part/checkpoints part/checkpoints/*10.h5 part/checkpoints/latest; do
    same "$path" "validation loss" "$tutti" inspect "$path"
done
"$tutti" inspect $newest >file.txt || fail "output to a file"
[ -s file.txt ] || fail "no output in a file"
echo "ok: files"
