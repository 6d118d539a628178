#!/bin/bash
# Outputs of the commands: devices, pipes, links and standard output; concurrent writers
# of one file; home directories; processes that a launcher has given ranks but not
# connected.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
make_run lstm
generate() { "$tutti" generate runs/first --seconds 3 --seed 9 "$@"; }
is_midi() { "$tutti" inspect "$1" --json | grep -q '"outcome": "ok"' || fail "$1 is not a MIDI file"; }
generate -o plain.mid >/dev/null || fail "a plain file"

# ---- generate: links, pipes, standard output ----

mkdir there
ln -s there/target.mid link.mid
ln -s there/new.mid dangling.mid
echo old >there/target.mid
generate -o link.mid >output.txt || fail "through a link"
generate -o dangling.mid >/dev/null || fail "through a dangling link"
[ -L link.mid ] && [ -L dangling.mid ] || fail "a link was replaced"
cmp -s there/target.mid plain.mid && cmp -s there/new.mid plain.mid || fail "a link's target"
[ "$(ls -A there | wc -l)" = 2 ] || fail "left next to the target: $(ls -A there)"
echo "ok: links"

mkfifo pipe
cat pipe >piped.mid &
generate -o pipe >/dev/null || fail "a pipe"
wait $!
[ -p pipe ] && cmp -s piped.mid plain.mid || fail "through a pipe"
timeout -s INT 1 "$tutti" generate runs/first -o pipe --seconds 1 >/dev/null 2>&1
[ $? = 124 ] || fail "a pipe without a reader: Ctrl-C doesn't end it"
generate -o pipe >/dev/null 2>output.txt &
waiting=$!
wait_for_line output.txt .
sleep 0.2 # makes tutti poll the pipe more than once
cat pipe >piped.mid
wait $waiting || fail "a pipe with a late reader"
[ "$(cat output.txt)" = "waiting for a reader of pipe" ] && cmp -s piped.mid plain.mid ||
    fail "a pipe with a late reader: $(cat output.txt)"
echo "ok: pipes"

ln -s /proc/self/fd/1 stdout
for name in - /dev/stdout /dev/fd/1 stdout; do
    generate -o "$name" --prime corpus/tune-000.mid >out.mid 2>output.txt || fail "-o $name"
    is_midi out.mid
    grep -q 'primer .*tokens' output.txt && grep -q 'notes, ' output.txt ||
        fail "-o $name: messages: $(cat output.txt)"
    generate -o "$name" 2>/dev/null | cmp -s - plain.mid || fail "-o $name into a pipe"
done
[ -L stdout ] || fail "the link to standard output was replaced"
{ printf head; generate -o /dev/stdout 2>/dev/null; printf tail; } >joined
[ "$(head -c 4 joined)$(tail -c 4 joined)" = headtail ] &&
    [ "$(stat -c %s joined)" = $(($(stat -c %s plain.mid) + 8)) ] || fail "appending to stdout"
[ ! -e - ] || fail "a file called -"
generate -o - 2>/dev/full | cmp -s - plain.mid || fail "standard output without messages"
if [ -w /dev/full ]; then
    code=0
    generate -o - >/dev/full 2>output.txt || code=$?
    [ "$code" = 1 ] && grep -q '^tutti: standard output: can.t write: No space' output.txt ||
        fail "a full standard output: $code: $(cat output.txt)"
fi
# the damaged checkpoint would be reported if stdout were not checked first
cp runs/first/checkpoints/best damaged.h5 && flip damaged.h5 30000
refuses 1 "damaged.h5" "$tutti" generate damaged.h5 -o x.mid --seconds 1
closed='^tutti: standard output: closed, or not open for writing$'
for name in - /dev/stdout; do
    code=0
    "$tutti" generate damaged.h5 --seconds 1 -o $name 2>output.txt >&- || code=$?
    [ $code = 2 ] && grep -q 'closed, or not open for writing$' output.txt ||
        fail "-o $name, stdout closed: $code: $(cat output.txt)"
done
refuses 2 "^tutti: /dev/fd/9: closed, or not open for writing" \
    "$tutti" generate damaged.h5 --seconds 1 -o /dev/fd/9
for command in "evaluate missing missing" "bench --seconds 3600" "inspect missing" doctor; do
    code=0
    # shellcheck disable=SC2086
    timeout 300 "$tutti" $command 2>output.txt >&- || code=$?
    [ $code = 1 ] && [ "$(wc -l <output.txt)" = 1 ] && grep -q "$closed" output.txt ||
        fail "$command, stdout closed: $code: $(cat output.txt)"
done
echo "ok: standard output"

for name in z/ z/. z/..; do refuses 2 "^tutti: $name: a directory" generate -o "$name"; done
refuses 2 "^tutti: there: a directory" generate -o there
refuses 2 "^tutti: pipe: not a file, but --count 2" generate -o pipe --count 2
refuses 2 "^tutti: -: not a file, but --count 2" generate -o - --count 2
if command -v python3 >/dev/null; then
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
    refuses 2 "^tutti: socket: a socket" generate -o socket
fi
[ ! -e z ] || fail "a refused output left a folder"
generate -o made/here/piece.mid >/dev/null || fail "folders are not created"
cmp -s made/here/piece.mid plain.mid || fail "in a new folder"
# checked before the checkpoint is read
refuses 2 "^tutti: plain.mid/x.mid: can't write: Not a directory" \
    "$tutti" generate damaged.h5 -o plain.mid/x.mid
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$work"
    cp "$tutti" program && chmod 755 program
    refuses 2 "^tutti: x.mid: can't write: Permission denied" \
        as_nobody ./program generate damaged.h5 -o x.mid
    refuses 2 "^tutti: new/x.mid: can't write: Permission denied" \
        as_nobody ./program generate damaged.h5 -o new/x.mid
    : >given.mid && chmod 666 given.mid
    as_nobody ./program generate runs/first --seconds 3 --seed 9 -o given.mid >/dev/null ||
        fail "a writable file in an unwritable folder"
    cmp -s given.mid plain.mid || fail "a file written in place"
fi
umask 022
: >private.mid && chmod 600 private.mid
generate -o private.mid >/dev/null || fail "over a private file"
[ "$(stat -c %a private.mid)" = 600 ] || fail "a private file becomes $(stat -c %a private.mid)"
[ -p pipe ] || fail "the pipe is gone"
echo "ok: refusals"

if [ "$(id -u)" = 0 ] && mknod null c 1 3 2>/dev/null && echo x 2>/dev/null >null; then
    generate -o null >/dev/null || fail "a device"
    [ -c null ] || fail "the device was replaced"
    refuses 2 "^tutti: null: not a file" generate -o null --count 2
    [ ! -e null-1 ] || fail "numbered files next to a device"
    echo "ok: devices"
else
    echo "skipped: devices (not root, or no devices in this folder)"
fi

# ---- concurrent writers of one file ----

for i in 1 2 3 4 5 6; do
    { generate -o shared.mid >"log$i" 2>&1; echo $? >"code$i"; } &
    writers[i]=$!
done
wait "${writers[@]}"
for i in 1 2 3 4 5 6; do [ "$(cat "code$i")" = 0 ] || fail "writer $i: $(cat "log$i")"; done
cmp -s shared.mid plain.mid || fail "the file of six writers is damaged"
if command -v mpirun >/dev/null; then
    timeout 120 mpirun -n 4 "$tutti" generate runs/first --seconds 3 --seed 9 -o ranks.mid \
        >output.txt 2>&1 || fail "mpirun -n 4 tutti generate: $(cat output.txt)"
    cmp -s ranks.mid plain.mid || fail "the file of four ranks is damaged"
fi
left=$(find . -name '.*.partial')
[ -z "$left" ] || fail "left over: $left"
echo "ok: concurrent writers"

# ---- preprocess and train ----

preprocess() { "$tutti" preprocess corpus --shards 4 --replace -o again "$@"; }
preprocess --list plain.tsv >output.txt 2>/dev/null || fail "a list"
for name in - /dev/stdout; do
    preprocess --list "$name" >list.tsv 2>output.txt || fail "--list $name"
    cmp -s list.tsv plain.tsv || fail "--list $name: messages mixed with data"
    grep -q '^dataset again' output.txt || fail "--list $name: no messages"
done
"$tutti" preprocess corpus --shards 4 -o first --list first/list.tsv >/dev/null 2>&1 ||
    fail "--list into a new dataset"
[ -s first/list.tsv ] || fail "--list into a new dataset: no list"
ln -s there/list.tsv list-link.tsv
preprocess --list list-link.tsv >/dev/null 2>&1 || fail "--list through a link"
[ -L list-link.tsv ] && cmp -s there/list.tsv plain.tsv || fail "--list replaces a link"
refuses 2 "^tutti: there: a directory" preprocess --list there
refuses 2 "^tutti: gone/list.tsv: there is no folder gone" \
    "$tutti" preprocess corpus -o never --list gone/list.tsv
refuses 2 "^tutti: plain.tsv/x: can't write: Not a directory" \
    "$tutti" preprocess corpus -o never --list plain.tsv/x
if [ -e program ]; then
    chmod 777 there
    refuses 2 "^tutti: list.tsv: can't write: Permission denied" as_nobody ./program \
        preprocess corpus -o there/data --list list.tsv
    [ ! -e there/data ] || fail "a dataset was made although its list can't be written"
fi
[ ! -e gone ] && [ ! -e never ] || fail "a dataset was made without its list"

train() { "$tutti" train first.conf --set run.dir="runs/$1" --set train.epochs=1 "${@:2}"; }
train traced --trace - >trace.json 2>output.txt || fail "--trace -: $(cat output.txt)"
train appended --trace /dev/stdout >>trace.json 2>output.txt || fail "--trace /dev/stdout"
cat pipe >trace-piped.json &
reader=$!
train piped --trace pipe >/dev/null 2>&1 || fail "--trace into a pipe"
wait $reader
if command -v python3 >/dev/null; then
    python3 - <<'END' || fail "the trace is not valid JSON"
import json
text = open("trace.json").read()
first, end = json.JSONDecoder().raw_decode(text)
second = json.loads(text[end:])
for trace in first, second, json.load(open("trace-piped.json")):
    assert len(trace["traceEvents"]) > 20, trace
END
fi
"$tutti" train first.conf --set run.dir=runs/waiting --trace pipe >/dev/null 2>output.txt &
waiting=$!
# until the shell has exec'd tutti and tutti catches SIGTERM
until [ "$(readlink "/proc/$waiting/exe")" = "$tutti" ] &&
    [ $((0x$(sed -n 's/^SigCgt:\s*//p' "/proc/$waiting/status") & 0x4000)) != 0 ]; do
    kill -0 $waiting 2>/dev/null || fail "tutti doesn't wait for a reader: $(cat output.txt)"
    sleep 0.05
done
kill -TERM $waiting
wait $waiting && code=0 || code=$?
[ "$code" = 1 ] || fail "a trace without reader, stopped: exit code $code"
cat >expected.txt <<END
waiting for a reader of pipe
tutti: stopped by SIGTERM before the first step: pipe: no reader
END
diff expected.txt output.txt >&2 || fail "a trace without reader, stopped"
refuses 2 "^tutti: gone/trace.json: there is no folder gone" train refused --trace gone/trace.json
refuses 2 "^tutti: z/: a directory" train refused --trace z/
[ ! -e runs/refused ] || fail "a run was started"
echo "ok: lists and traces"

# the printed commands work from this folder, with any PATH
cd there || exit 1
mkdir "a b" && "$tutti" train ../first.conf --set data.dataset=../corpus.tutti \
    --set "run.dir=a b/run" --set train.epochs=1 >/dev/null 2>output.txt || fail "train"
sed -n 's/^\(next:\|     \) \(.*tutti .*\)/\2/p' output.txt >commands.sh
[ "$(wc -l <commands.sh)" -ge 2 ] || fail "no commands: $(cat output.txt)"
PATH=/usr/bin:/bin bash -e commands.sh >/dev/null || fail "the printed commands fail: $(cat commands.sh)"
is_midi music.mid
"$tutti" preprocess ../corpus -o "a b/data" --shards 4 >output.txt 2>/dev/null || fail "preprocess"
sed -n 's/^more: //p' output.txt >commands.sh
PATH=/usr/bin:/bin bash -e commands.sh | grep -q 'a b/data' || fail "more: $(cat commands.sh)"
cd ..
echo "ok: printed commands"

# ---- home folders ----

mkdir home
sed 's#^dir = .*#dir = ~/runs/first#; s#^dataset = .*#dataset = ~/data#' first.conf >home.conf
HOME=$work/home "$tutti" preprocess corpus --config home.conf --shards 4 --split "0.8 0.1 0.1" \
    >/dev/null 2>&1 || fail "preprocess into ~/data"
HOME=$work/home "$tutti" train home.conf >/dev/null 2>output.txt || fail "run.dir = ~/x: $(cat output.txt)"
[ -e home/data/index.h5 ] && [ -e home/runs/first/checkpoints/latest ] || fail "not in the home folder"
HOME=$work/home "$tutti" train first.conf --set run.dir=~/runs/set --set train.epochs=1 \
    --trace=\~/trace.json >/dev/null 2>output.txt || fail "--set run.dir=~/x: $(cat output.txt)"
[ -e home/runs/set/settings.conf ] && [ -e home/trace.json ] || fail "--set, --trace=~/"
grep -q "^dir = $work/home/runs/first$" home/runs/first/settings.conf || fail "settings.conf"
HOME=$work/home "$tutti" preprocess corpus --output=\~/data2 --shards 4 >/dev/null 2>&1
[ -e home/data2/index.h5 ] || fail "--output=~/x"
refuses 2 "home.conf:2: data.dataset = ~/data: ~ is not known, as HOME is not set" \
    env -u HOME "$tutti" train home.conf
refuses 2 "run.dir = ~you/x: only ~/ is expanded" "$tutti" train first.conf --set run.dir=~you/x
[ ! -e '~' ] && [ ! -e '~you' ] || fail "a folder named ~"
echo "ok: home folders"

# ---- processes that are not connected ----

for variables in SLURM_PROCID=3 "OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4" \
    "SLURM_PROCID=3 SLURM_STEP_NUM_TASKS=4" PMIX_RANK=3 "PMI_RANK=3 PMI_SIZE=4"; do
    # shellcheck disable=SC2086
    { alone() { env $variables "$tutti" "$@"; }; }
    alone --version | grep -q '^tutti [0-9]' || fail "$variables: no version"
    alone --help | grep -q '^Usage: tutti COMMAND' || fail "$variables: no help"
    alone train --help | grep -q '^Usage: tutti train' || fail "$variables: no help of train"
    refuses 2 "missing.conf: can't open" alone train missing.conf
    refuses 2 "unknown option --no-such" alone train --no-such
    refuses 2 "unknown command trian" alone trian
done
echo "ok: processes that are not connected"
if command -v mpirun.mpich >/dev/null; then
    timeout 300 mpirun.mpich -n 4 "$tutti" --version >output.txt 2>&1
    [ "$(grep -c '^tutti [0-9]' output.txt)" = 1 ] || fail "MPICH's launch: $(cat output.txt)"
    echo "ok: one line under MPICH's mpirun"
fi
if command -v mpirun >/dev/null; then
    for word in --version --help "train --help"; do
        # shellcheck disable=SC2086
        timeout 300 mpirun -n 4 "$tutti" $word >output.txt 2>&1 || fail "mpirun tutti $word"
        [ "$(grep -cE '^(tutti [0-9.]+$|Usage)' output.txt)" = 1 ] || fail "mpirun: $(cat output.txt)"
    done
    echo "ok: one line under mpirun"
fi
