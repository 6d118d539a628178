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

# faulty HOW COMMAND...: runs the command with this fault on opening an HDF5 file
faulty() { (become_faulty "$@"); }
become_faulty() {
    exec env LD_PRELOAD="$shim" SANDBOX_FAULT="$1" \
        ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" "${@:2}"
}
reads=("inspect runs/first" "inspect corpus.tutti --verify" "generate runs/first -o new.mid"
    "inspect runs/first --diff $newest" "evaluate runs/first corpus.tutti")

# ---- crashes: one line, exit code 1, no file left, no core dump ----
sanitized=${TUTTI_TEST_WALLS:-}
crash="reading it ended in signal 11 \(SIGSEGV\)"
[ "$sanitized" = no ] && crash="reading it ended" # after the sanitizer's report
before=$(ls -I "refused*")
ulimit -c unlimited 2>/dev/null
for command in "${reads[@]}"; do
    # shellcheck disable=SC2086
    [ "$sanitized" = no ] ||
        refuses 1 "^tutti: [^ ]*\.h5: damaged: $crash" faulty null "$tutti" $command
    # shellcheck disable=SC2086
    refuses 1 "^tutti: [^ ]*\.h5: .*SIGKILL" faulty kill "$tutti" $command
done
refuses 1 "^tutti: $newest: damaged: .*SIGABRT" faulty abort "$tutti" inspect $newest
[ "$(ls -I "refused*")" = "$before" ] || fail "a crash leaves files: $(ls)"
for how in "kill" ${sanitized:-null}; do
    [ "$how" != no ] || continue
    code=0
    faulty "$how" "$mpirun" -n 2 "$tutti" evaluate runs/first corpus.tutti >ranks.txt 2>&1 ||
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
        faulty walls "$tutti" $command </dev/null >walls.out 2>walls.txt ||
            fail "$command: walls: $(cat walls.txt)"
        grep -q "^seccomp: " walls.txt || fail "$command: nothing was attempted"
        grep -q "^seccomp: there" walls.txt || break
        [ "$(grep ": allowed" walls.txt)" = "thread: allowed" ] ||
            fail "$command: $(grep ": allowed" walls.txt walls.out)"
        [ "$(grep -c ": refused" walls.txt)" = 22 ] || fail "$command: $(cat walls.txt)"
    done
    # the first attempt is made in the child process
    faulty walls "$tutti" evaluate runs/first corpus.tutti >walls.out 2>walls.txt </dev/null
    if grep -q "^seccomp: there" walls.txt; then
        [ "$(grep -m1 "^socket: " walls.txt)" = "socket: refused" ] ||
            fail "evaluate: $(cat walls.txt)"
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
        faulty secret "$tutti" $command >walls.out 2>walls.txt ||
            fail "$command: secret: $(cat walls.txt)"
        grep -q "^landlock: there" walls.txt || break
        allowed=""
        [ "${command%% *}" != generate ] || allowed="library: allowed" # OpenBLAS is loaded
        [ "$(grep ": allowed" walls.txt)" = "$allowed" ] || fail "$command: $(cat walls.txt)"
        grep -q "^secret: refused" walls.txt || fail "$command: $(cat walls.txt)"
    done
    faulty memory "$tutti" inspect runs/first >memory.txt 2>&1
    for what in limits memory; do
        grep -q "^$what: refused" memory.txt || fail "$what: $(cat memory.txt)"
    done
    cp $newest sparse.h5
    if truncate -s 5T sparse.h5 2>/dev/null; then # a hole must not raise the limit
        faulty memory "$tutti" inspect sparse.h5 2>&1 | grep -q "^memory: refused" ||
            fail "a sparse file raises the memory limit"
    fi
    (ulimit -S -t 1 && refuses 1 "^tutti: $newest: damaged: .* processor time" \
        faulty spin "$tutti" inspect $newest) || exit 1
    echo "ok: walls"
fi

# ---- signals: as without a child process ----
one_child() { # PID: waits for its child and prints the child's pid
    wait_until "a child of $1" pgrep -P "$1"
}
for signal in TERM KILL; do
    (become_faulty spin "$tutti" inspect $newest) &
    parent=$!
    child=$(one_child $parent)
    [ -n "$child" ] || fail "$signal: no child"
    kill -$signal $parent
    wait $parent 2>/dev/null
    code=$?
    [ $code = $((128 + $(kill -l $signal))) ] || fail "SIG$signal: exit code $code"
    wait_until "SIG$signal: the end of the child" ended "$child"
done
(become_faulty spin "$tutti" inspect $newest) 2>ended.txt &
parent=$!
kill -TERM "$(one_child $parent)"
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
