#!/bin/bash
# Ownership in a run's directory: files with other names are never changed, conflicting
# files are refused, files not written by the run are kept under another name, no link is
# followed, and no message names a checkpoint that no longer exists.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_dataset data.tutti 30 4 "0.8 0.2 0"
cat >run.conf <<END
[data]
dataset = data.tutti
[model]
layers = 1
hidden = 8
embedding = 8
[train]
epochs = 2
batch = 8
microbatches = 4
sequence_length = 32
[run]
dir = runs/plain
samples = 1
sample_seconds = 2
END

# train RUN ARGUMENT..., and train_on_2, the same on two ranks
train() { timeout 300 "$tutti" train run.conf --set "run.dir=$1" "${@:2}" >log.txt 2>&1; }
train_on_2() {
    timeout 300 "$mpirun" -n 2 "$tutti" train run.conf --set "run.dir=$1" "${@:2}" >log.txt 2>&1
}
succeeds() { # WHAT COMMAND...
    "${@:2}" || { cat log.txt >&2; fail "$1: exit code $?"; }
}

# tree FOLDER: prints all its contents without opening links and pipes.
tree() {
    find "$1" -printf '%P %y %l\n' | sort
    find "$1" -type f -exec cksum {} + | sort
}

# refuses_without_change WHAT FOLDER PATTERN COMMAND...: requires a refusal in one line
# with exit code 2, and no change of the folder and the file `victim`.
refuses_without_change() {
    local code=0
    tree "$2" >before.txt
    "${@:4}" || code=$?
    [ $code = 2 ] && [ "$(grep -c '^tutti: ' log.txt)" = 1 ] ||
        { cat log.txt >&2; fail "$1: exit code $code"; }
    grep -Eq "^tutti: .*$3" log.txt || { cat log.txt >&2; fail "$1: not '$3'"; }
    tree "$2" | diff before.txt - >&2 || fail "$1: the folder was changed"
    [ "$(cat victim)" = precious ] || fail "$1: written through a link"
}

# is_preserved NAME TEXT: requires that a file with this text still exists, possibly
# under another name.
is_preserved() {
    grep -rqFx -- "$2" "$(dirname "$1")" || { cat log.txt >&2; fail "$1: '$2' is lost"; }
}

echo precious >victim
succeeds "a run" train runs/plain
[ "$(cd runs/plain && echo *)" = "checkpoints lock metrics.jsonl samples settings.conf tutti-run.txt" ] ||
    fail "a run writes $(ls -A runs/plain)"
grep -qx 'tutti run 1' runs/plain/tutti-run.txt || fail "the marker is wrong"
[ "$(stat -c %a runs/plain/samples/epoch-0001-1.mid)" = "$(printf %o $((0666 & ~$(umask))))" ] ||
    fail "a sample's permissions: $(stat -c %a runs/plain/samples/epoch-0001-1.mid)"

# ---- files that conflict with a new run ----

# test_run_claim covers all names and kinds
for name in lock samples/epoch-0077-3.mid checkpoints/epoch-0001.h5; do
    mkdir -p runs/foreign/samples runs/foreign/checkpoints
    echo mine >runs/foreign/$name
    refuses_without_change "a foreign $name" runs/foreign "runs/foreign/$name: in the way" train runs/foreign
    rm -r runs/foreign
done
mkdir -p runs/foreign
echo mine >runs/foreign/metrics.jsonl
refuses_without_change "on two ranks" runs/foreign "runs/foreign/metrics.jsonl: in the way" train_on_2 runs/foreign
mkdir own
sed 's|^dir = .*|dir = own|; 1i # why: see the notebook' run.conf >own/settings.conf
own() { timeout 300 "$tutti" train own/settings.conf "$@" >log.txt 2>&1; }
refuses_without_change "its own configuration" own "own/settings.conf: in the way" own
refuses_without_change "its own configuration, resumed" own "own/settings.conf: in the way" own --resume
echo "ok: a new run"

for name in settings.conf metrics.jsonl lock root-cause.txt; do
    cp -r runs/plain runs/odd
    rm -f runs/odd/$name
    case $name in
    lock) mkfifo runs/odd/$name ;;
    metrics.jsonl) mkdir runs/odd/$name ;;
    *) ln -s "$work/victim" runs/odd/$name ;;
    esac
    refuses_without_change "no file at $name" runs/odd "runs/odd/$name: a (link|pipe|directory)" \
        train runs/odd --resume
    rm -r runs/odd
done
echo "ok: links, pipes and folders under a run's names"

# ---- unrelated files ----

mkdir -p runs/mixed/checkpoints runs/mixed/samples
for name in notes.txt run.conf .settings.conf.partial .mine.h5.partial settings.conf.orig \
    checkpoints/mine.h5 checkpoints/.epoch-0001.h5.partial checkpoints/epoch-0001.h5.orig \
    samples/mine.mid samples/.mine.0123456789ab.partial; do
    echo mine >"runs/mixed/$name"
done
ln -s "$work/victim" runs/mixed/checkpoints/.epoch-0002.h5.partial
tree runs/mixed >before.txt
succeeds "next to other files" train runs/mixed
succeeds "next to other files, resumed" train runs/mixed --resume --set train.epochs=3
tree runs/mixed >after.txt
[ "$(grep -Fxc -f before.txt after.txt)" = "$(wc -l <before.txt)" ] ||
    { diff before.txt after.txt >&2; fail "other files were changed"; }
[ "$(cat victim)" = precious ] || fail "a planted partial file was followed"
# left over from a killed run
touch runs/mixed/.settings.conf.0123456789ab.partial \
    runs/mixed/checkpoints/.epoch-0009.h5.0123456789ab.partial
mkdir runs/mixed/samples/.epoch.0123456789ab.partial
touch runs/mixed/samples/.epoch.0123456789ab.partial/epoch-0009-1.mid
succeeds "with temporary files of a killed run" train runs/mixed --resume --set train.epochs=3
[ "$(find runs/mixed -name '*.partial' | wc -l)" = 5 ] ||
    fail "left over: $(find runs/mixed -name '*.partial')"
echo "ok: files with other names"

# ---- links to folders elsewhere ----

mkdir scratch scratch/c scratch/s scratch/used runs/links
echo thesis >scratch/used/thesis.txt
ln -s "$work/scratch/c" runs/links/checkpoints
ln -s "$work/scratch/s" runs/links/samples
succeeds "checkpoints on another disk" train runs/links
[ -e scratch/c/epoch-0002.h5 ] && [ -e scratch/s/epoch-0002-1.mid ] || fail "nothing written there"
succeeds "checkpoints on another disk, resumed" train runs/links --resume --set train.epochs=3
grep -q '^resuming from' log.txt && [ -e scratch/c/epoch-0003.h5 ] || fail "not resumed there"
ln -sfn "$work/scratch/used" runs/links/checkpoints
refuses_without_change "a link to a used folder" runs/links "only a run's, as it holds thesis.txt" \
    train runs/links --resume
ln -sfn "$work/scratch/c" runs/links/checkpoints
ln -sfn "$work/scratch/used" runs/links/samples
refuses_without_change "a link to a used folder" runs/links "only a run's, as it holds thesis.txt" \
    train runs/links --resume
mkdir runs/links-2
ln -s "$work/scratch/c" runs/links-2/checkpoints
refuses_without_change "a link to another run's checkpoints" runs/links-2 "add --resume" train runs/links-2
refuses_without_change "a link to another run's checkpoints, resumed" runs/links-2 \
    "a link to the checkpoints of another run, as epoch-" train runs/links-2 --resume
cp runs/plain/tutti-run.txt runs/links-2/
refuses_without_change "a link to another run's checkpoints, of a marked run" runs/links-2 \
    "a link to the checkpoints of another run, as epoch-" train runs/links-2 --resume
if [ "$(id -u)" = 0 ]; then
    mkdir runs/planted scratch/empty
    ln -s "$work/scratch/empty" runs/planted/checkpoints
    chown -h 65534 runs/planted/checkpoints
    refuses_without_change "another user's link" runs/planted "a link made by another user" train runs/planted
fi
ln -s "$work/scratch/run" runs/dangling # whose target does not exist
mkdir scratch/run
succeeds "a folder that is a link" train runs/dangling
[ -L runs/dangling ] && [ -e scratch/run/settings.conf ] || fail "run.dir: not followed"
echo "ok: folders elsewhere"

# ---- foreign files in a run's directory ----

cp -r runs/plain runs/shared
echo "# mine" >>runs/shared/settings.conf
echo "mine, too" >>runs/shared/metrics.jsonl
echo "no cause" >runs/shared/root-cause.txt
for name in checkpoints/epoch-0003.h5 samples/epoch-0003-1.mid; do echo "$name" >runs/shared/$name; done
mkfifo runs/shared/checkpoints/epoch-0009.h5
rm runs/shared/checkpoints/best && mkdir runs/shared/checkpoints/best
ln -s "$work/victim" runs/shared/checkpoints/epoch-0004.h5
ln -s "$work/victim" runs/shared/samples/epoch-0004-1.mid
succeeds "foreign files" train runs/shared --resume --set train.epochs=4 --set run.keep_checkpoints=1
is_preserved runs/shared/settings.conf "# mine"
is_preserved runs/shared/metrics.jsonl "mine, too"
is_preserved runs/shared/root-cause.txt "no cause"
is_preserved runs/shared/checkpoints/x checkpoints/epoch-0003.h5
is_preserved runs/shared/samples/x samples/epoch-0003-1.mid
[ -d runs/shared/checkpoints/best.kept-1 ] || fail "a folder called best is lost"
[ -p runs/shared/checkpoints/epoch-0009.h5 ] || fail "a pipe is lost"
[ "$(find runs/shared -type l -lname '*/victim' | wc -l)" = 2 ] || fail "a link is lost"
[ "$(grep -c '^runs/shared.*: kept as runs/shared' log.txt)" = 8 ] ||
    { cat log.txt >&2; fail "the kept files are not reported"; }
[ "$(cat victim)" = precious ] || fail "foreign links were followed"
[ "$(grep -c gradient_norm runs/shared/metrics.jsonl)" = "$(("$(grep -c gradient_norm runs/plain/metrics.jsonl)" * 2))" ] ||
    fail "foreign lines: the steps in the metrics differ"
"$tutti" generate runs/shared -o x.mid --seconds 1 >log.txt 2>&1 &&
    "$tutti" inspect runs/shared >log.txt 2>&1 || { cat log.txt >&2; fail "generate, inspect"; }
succeeds "inspect next to a pipe" train runs/part --set train.max_steps=3
rm runs/part/metrics.jsonl && mkfifo runs/part/metrics.jsonl
timeout 120 "$tutti" inspect runs/part >log.txt 2>&1 || { cat log.txt >&2; fail "inspect waits for a pipe"; }
# A hole of zeros, as after a crash, whose nominal size must not matter.
cp -r runs/plain runs/hole
steps=$(grep -c gradient_norm runs/hole/metrics.jsonl)
truncate -s 30G runs/hole/metrics.jsonl
succeeds "a hole in the metrics" train runs/hole --resume --set train.epochs=3
grep -q '^tutti: warning: runs/hole/metrics.jsonl:[0-9]*: a zero byte' log.txt ||
    { cat log.txt >&2; fail "a hole in the metrics: no warning"; }
[ "$(stat -c %s runs/hole/metrics.jsonl.kept-1)" = $((30 << 30)) ] ||
    fail "a hole in the metrics: the file is lost"
[ "$(grep -c gradient_norm runs/hole/metrics.jsonl)" = $((steps * 3 / 2)) ] ||
    fail "a hole in the metrics: the steps differ"
rm -r runs/hole
echo mine >runs/shared/lock
refuses_without_change "a foreign lock" runs/shared "runs/shared/lock: not the lock of a run" \
    train runs/shared --resume
# a run restarted from scratch in its folder replaces its own files and nothing else
cp -r runs/plain runs/anew
rm -r runs/anew/checkpoints
echo mine >runs/anew/samples/epoch-0002-1.mid
succeeds "restarted from scratch" train runs/anew --set train.seed=9
[ "$(cd runs/anew/samples && echo *)" = "epoch-0001-1.mid epoch-0002-1.mid epoch-0002-1.mid.kept-1" ] &&
    [ "$(cat runs/anew/samples/*.kept-1)" = mine ] || fail "restart: $(ls runs/anew/samples)"
[ -z "$(find runs/anew -maxdepth 1 -name '*.kept-*')" ] || fail "restart: own files are kept aside"
echo "ok: foreign files in a run's folder"

# ---- the settings that a run has written ----

train_with_saved_settings() { # CONFIG...: resumes, with settings.conf as the configuration
    timeout 300 "$tutti" train runs/plain/settings.conf --resume "$@" >log.txt 2>&1
}
succeeds "its own settings" train_with_saved_settings
succeeds "its own settings, with --set" train_with_saved_settings --set train.epochs=3
succeeds "its own settings, once more" train_with_saved_settings --set train.epochs=2
! compgen -G "runs/plain/*kept*" || fail "the run's own settings are kept aside"
sed -i 's/^epochs = .*/epochs = 4/; 1i # why: see the notebook' runs/plain/settings.conf
succeeds "edited settings" train_with_saved_settings
[ "$(grep -c gradient_norm runs/plain/metrics.jsonl)" = "$(grep -c gradient_norm runs/shared/metrics.jsonl)" ] ||
    fail "edited settings: not used"
head -1 runs/plain/settings.conf.kept-1 | grep -q notebook || fail "edited settings: lost"
grep -q '^epochs = 4' runs/plain/settings.conf || fail "edited settings: not written"
echo "ok: settings"

# ---- a folder without the marker ----

mkdir runs/copied
cp -r runs/plain/checkpoints runs/copied
refuses_without_change "checkpoints alone" runs/copied "add --resume" train runs/copied
succeeds "checkpoints alone, resumed" train runs/copied --resume --set train.epochs=5
grep -q '^resuming from .*epoch-0004' log.txt && [ -e runs/copied/tutti-run.txt ] ||
    fail "checkpoints alone: not resumed, or not marked"
cp -r runs/plain runs/older
rm runs/older/tutti-run.txt
refuses_without_change "an older run" runs/older "add --resume" train runs/older
succeeds "an older run, resumed" train runs/older --resume --set train.epochs=5
[ -e runs/older/tutti-run.txt ] || fail "an older run: not marked"
is_preserved runs/older/settings.conf "$(grep '^dir = ' runs/plain/settings.conf)"
echo "tutti run 2" >runs/older/tutti-run.txt
refuses_without_change "a marker of another version" runs/older 'expected "tutti run 1"' train runs/older --resume
echo "ok: without the marker"

# ---- checkpoints of another run ----

cp -r runs/plain runs/own
succeeds "another run" train runs/alien --set model.hidden=12
cp runs/alien/checkpoints/epoch-0001.h5 runs/own/checkpoints
cp runs/alien/checkpoints/epoch-0002.h5 runs/own/checkpoints/epoch-0005.h5
touch runs/own/checkpoints/.best-model-v12.h5.partial runs/own/.lockABCDEFGHIJ.h5.partial
rm runs/own/checkpoints/latest
cp runs/alien/checkpoints/epoch-0002.h5 runs/own/checkpoints/latest
succeeds "checkpoints of another run" train runs/own --resume --set train.epochs=5 --set run.keep_checkpoints=1
cmp runs/alien/checkpoints/epoch-0001.h5 runs/own/checkpoints/epoch-0001.h5 ||
    fail "another run's checkpoint is removed"
cmp runs/alien/checkpoints/epoch-0002.h5 runs/own/checkpoints/epoch-0005.h5.kept-1 ||
    fail "another run's checkpoint is replaced"
[ -e runs/own/checkpoints/.best-model-v12.h5.partial ] && [ -e runs/own/.lockABCDEFGHIJ.h5.partial ] ||
    fail "a file with an unrelated name is removed"
[ ! -e runs/own/checkpoints/epoch-0002.h5 ] || fail "run.keep_checkpoints: its own are kept"

# a refused resume changes only the lock
cp -r runs/plain runs/refused
rm runs/refused/checkpoints/latest
cp runs/alien/checkpoints/epoch-0002.h5 runs/refused/checkpoints/latest
cp runs/alien/checkpoints/epoch-0002.h5 runs/refused/checkpoints/epoch-0009.h5
rm runs/refused/checkpoints/epoch-000[1-4].h5
refuses_without_change "another model" runs/refused "can't be continued with other settings" \
    train runs/refused --resume
echo "ok: checkpoints of another run"

# ---- the trace ----

for name in tutti-run.txt lock metrics.jsonl settings.conf checkpoints/epoch-0001.h5 samples/epoch-0007-1.mid; do
    refuses_without_change "a trace called $name" runs/plain "tutti-run.txt|writes a file of this name|HDF5|MIDI" \
        train runs/plain --resume --trace "runs/plain/$name"
done
succeeds "a trace in the folder" train runs/plain --resume --set train.epochs=5 --trace runs/plain/trace.json
[ -s runs/plain/trace.json ] || fail "no trace"
echo "ok: the trace"

# ---- the lock's text ----

slow="--set run.checkpoint_minutes=0.00001 --set train.epochs=9 --inject slow@0:1:0.3"
start() { # NAME ARGUMENT...: starts a run; suspends it after its first checkpoint
    # shellcheck disable=SC2086
    "$tutti" train run.conf --set run.dir="runs/$1" $slow "${@:2}" >first.txt 2>&1 &
    first=$!
    wait_for_line "runs/$1/metrics.jsonl" '"step": 2,'
    wait_until "a checkpoint" test -e "runs/$1/checkpoints/latest"
    kill -STOP $first
    until grep -q '^State:.T' /proc/$first/status; do sleep 0.02; done
}
start held
printf 'evil\033[31mhost, pid 1\n' >runs/held/lock
timeout 300 "$tutti" train run.conf --set run.dir=runs/held --resume >log.txt 2>&1 && fail "no lock"
kill -CONT $first
kill $first
wait $first
grep -q 'another run is writing into it (evil' log.txt || { cat log.txt >&2; fail "the holder is not named"; }
! grep -q $'\033' log.txt || fail "the lock's text is printed unescaped"
echo "ok: the lock's text"

# ---- a folder that is removed during the run ----

# ends_without_checkpoint WHAT CODE PATTERN: continues the run, which must end with CODE
# and a matching line and name no checkpoint that no longer exists
ends_without_checkpoint() {
    kill -CONT $first
    wait $first && code=0 || code=$?
    # shellcheck disable=SC2053 # a pattern
    [[ $code = $2 ]] || { cat first.txt >&2; fail "$1: exit code $code"; }
    grep -Eq "$3" first.txt || { cat first.txt >&2; fail "$1: not '$3'"; }
    ! grep -E '^(tutti|weights hash|next|samples in)' first.txt | grep -Ev 'is not written|can.t link' |
        grep -E 'step-|epoch-|--resume|next:|samples in' || { cat first.txt >&2; fail "$1"; }
    echo "ok: $1"
}
start removed --set train.max_steps=12
rm -r runs/removed
ends_without_checkpoint "removed" 1 '^tutti: runs/removed: no checkpoint is left'
grep -q 'is not written, training continues; the last checkpoint is gone' first.txt ||
    { cat first.txt >&2; fail "removed: no warning"; }
[ ! -e runs/removed ] || fail "removed: created again: $(find runs/removed)"
start stopped
rm -r runs/stopped
kill $first
ends_without_checkpoint "removed and stopped" 1 '^tutti: runs/stopped: no checkpoint is left'
start crashed --inject segfault@0:15
rm -r runs/crashed
ends_without_checkpoint "removed and crashed" "[1-9]*" '^  checkpoint     runs/crashed/.* \(has been removed\)$'
start linked --inject segfault@0:15
ln -s "$work/victim" runs/linked/root-cause.txt
kill -CONT $first
wait $first
grep -q '^tutti: root cause: ' first.txt || { cat first.txt >&2; fail "no root cause"; }
[ "$(cat victim)" = precious ] || fail "the root cause is written through a link"
echo "ok: a link in place of root-cause.txt"

# another run starts in the directory of the first
start again --set train.max_steps=12
rm -r runs/again
succeeds "another run in its folder" train runs/again
tree runs/again >before.txt
kill -CONT $first
wait $first && fail "no failure in another run's folder"
tree runs/again | diff before.txt - >&2 || fail "another run's folder was changed"
grep -q 'tutti-run.txt: marks another run' first.txt || { cat first.txt >&2; fail "not reported"; }
echo "ok: another run's folder"
echo "all ok"
