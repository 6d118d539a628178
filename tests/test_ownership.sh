#!/bin/bash
# preprocess and demo delete and replace only their own files, whatever else is in the
# directory.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
shim=$programs/libno_exchange.so
[ -e "$shim" ] || fail "$shim is missing"

make_corpus corpus 8
preprocess() { "$tutti" preprocess corpus --shards 3 "$@"; }
succeeds() { "$@" >output.txt 2>log.txt || fail "$*: exit code $?: $(cat log.txt)"; }
succeeds preprocess -o data

# tree PATH: lists everything below PATH with types, link targets and contents, except
# this script's own files
tree() {
    local own=(-maxdepth 9 -not -path './*.txt' -not -path './refused.*')
    find "$1" "${own[@]}" -printf '%p %y %l\n' | sort
    find "$1" "${own[@]}" -type f -print0 | sort -z | xargs -0r cksum
}
# refuses_without_change PATH COMMAND...: requires exit code 2, one line that matches
# $pattern, and no change in PATH
refuses_without_change() {
    local path=$1
    shift
    tree "$path" >before.txt
    refuses 2 "$pattern" "$@"
    tree "$path" | diff before.txt - >&2 || fail "$*: $path was changed"
}

# ---- preprocess: invalid names ----

mkdir names && cd names || exit 1
ln -s ../corpus corpus
for name in z/. z/.. z/./ z//.. . .. / ./ ../; do
    refuses 2 "can't create a folder of this name" preprocess -o "$name"
done
refuses 2 "the DATASET is empty" preprocess -o ''
refuses 2 "^tutti: -: a folder of MIDI files" preprocess - -o x
refuses 2 "can't create a folder of this name" "$tutti" preprocess corpus --set data.dataset=z/.
rm refused.out refused.err
[ "$(ls -A)" = corpus ] || fail "stray: $(ls -A)"
succeeds preprocess -o made/here/
[ -e made/here/index.h5 ] || fail "-o dir/"
cd .. && rm -r names
echo "ok: names"

# ---- preprocess: OUT.partial ----

cp -r data new.partial
pattern="^tutti: new.partial: exists and was not made by tutti preprocess \(found 'index.h5'; no UNFINISHED\)"
refuses_without_change new.partial preprocess -o new
rm -r new.partial
mkdir precious && echo mine >precious/shard-0000.h5
ln -s precious new.partial
pattern="^tutti: new.partial: a symbolic link"
refuses_without_change . preprocess -o new
rm new.partial && ln -s nowhere new.partial
refuses_without_change . preprocess -o new
rm new.partial && echo mine >new.partial
pattern="^tutti: new.partial: a file"
refuses_without_change . preprocess -o new
rm new.partial && mkdir new.partial && echo "my notes" >new.partial/UNFINISHED
pattern="^tutti: new.partial/UNFINISHED: a file of another kind"
refuses_without_change new.partial preprocess -o new
rm -r new.partial && mkdir new.partial && succeeds preprocess -o new # empty: killed early
cmp -s new/index.h5 data/index.h5 || fail "the dataset differs"
# an interrupted run's, recognised by its list
leave_partial() {
    local name
    rm -rf new new.partial && mkdir new.partial
    printf 'tutti preprocess 1\nindex.h5\nshard-{0000..0002}.h5\nspill-{0..1}\nend\n' \
        >new.partial/UNFINISHED
    for name in spill-0 spill-1 shard-0002.h5 .shard-0001.h5.partial; do
        echo left >new.partial/$name
    done
}
leave_partial
succeeds preprocess -o new
[ "$(ls -A new | tr '\n' ' ')" = "index.h5 shard-0000.h5 shard-0001.h5 shard-0002.h5 " ] ||
    fail "after an interruption: $(ls -A new)"
for name in spill-2 spill-mine shard-0003.h5 .mine.partial notes.txt; do
    leave_partial && echo mine >new.partial/$name
    pattern="^tutti: new.partial: holds '$name', which tutti preprocess has not made"
    refuses_without_change new.partial preprocess -o new
    leave_partial && mkdir new.partial/$name && echo mine >new.partial/$name/thesis
    pattern="^tutti: new.partial: holds '$name' \(a directory\), which"
    refuses_without_change new.partial preprocess -o new
done
leave_partial && rm new.partial/spill-0 && ln -s ../precious/shard-0000.h5 new.partial/spill-0
pattern="holds 'spill-0' \(a symbolic link\)"
refuses_without_change . preprocess -o new
[ "$(cat precious/shard-0000.h5)" = mine ] || fail "through a link"
rm -rf new new.partial
echo "ok: OUT.partial"

# ---- preprocess --replace: checks before any work ----

replace() { preprocess --replace -o "$@"; }
refuses_foreign_entry() { # NAME COMMAND...: old/ is the dataset with something foreign in it
    rm -rf old && cp -r data old
    (cd old && "${@:2}") || exit 1
    pattern="^tutti: old: holds '$1'( \(.*\))?, which tutti preprocess has not made: not replaced; move"
    refuses_without_change old replace old
    [ ! -e old.partial ] || fail "work was started"
}
refuses_foreign_entry spill-mine mkdir spill-mine
refuses_foreign_entry shard-1_my_notes.h5 touch shard-1_my_notes.h5
refuses_foreign_entry shard-9999.h5 touch shard-9999.h5
refuses_foreign_entry shard-0003.h5 touch shard-0003.h5
refuses_foreign_entry .index.h5.123.partial touch .index.h5.123.partial
refuses_foreign_entry thesis mkfifo thesis
refuses_foreign_entry shard-0000.h5 bash -c 'rm shard-0000.h5; mkdir shard-0000.h5; echo x >shard-0000.h5/x'
refuses_foreign_entry shard-0001.h5 bash -c 'mv shard-0001.h5 ..; ln -s ../shard-0001.h5 .'
refuses_foreign_entry index.h5 bash -c 'mv index.h5 ..; ln -s ../index.h5 .'
refuses_foreign_entry index.h5 bash -c 'rm index.h5; mkfifo index.h5'
rm -f index.h5 shard-0001.h5
rm -rf old && cp -r data old && flip old/index.h5 40
pattern="^tutti: old/index.h5: .*not replaced; move it away"
refuses_without_change old replace old
echo mine >old/index.h5 && refuses_without_change old replace old
rm old/index.h5
pattern="^tutti: old: holds 'shard-0000.h5', which"
refuses_without_change old replace old
pattern="^tutti: old: a file, not a dataset"
rm -r old && echo mine >old && refuses_without_change old replace old
rm old && mkdir old && succeeds replace old
cmp -s old/index.h5 data/index.h5 || fail "replacing an empty folder"
"$mpirun" -n 3 "$tutti" preprocess corpus -o old --shards 2 --replace >output.txt 2>&1 ||
    fail "3 ranks: $(cat output.txt)"
[ "$(ls -A old | wc -l)" = 3 ] || fail "3 ranks: $(ls -A old)"
echo "ok: --replace"

# a link named by the user is followed and kept
mkdir disk && cp -r data disk/real && ln -s disk/real link && ln -s disk/later dangling
pattern="exists; choose another name or add --replace"
refuses_without_change . preprocess -o link
succeeds preprocess -o link --shards 2 --replace
[ "$(readlink link)" = disk/real ] && [ "$(ls disk/real | wc -l)" = 3 ] || fail "a link to a dataset"
succeeds preprocess -o dangling
[ "$(readlink dangling)" = disk/later ] && [ -e disk/later/index.h5 ] || fail "a dangling link"
[ "$(ls disk | tr '\n' ' ')" = "later real " ] || fail "next to the target: $(ls disk)"
ln -s loop loop
refuses 2 "^tutti: loop: can't follow the link" preprocess -o loop
rm -rf disk link dangling loop
echo "ok: links"

# ---- preprocess --replace: changes during the work ----

change_during_replace() { # EXCHANGES COMMAND: replaces old/; COMMAND changes it meanwhile
    rm -rf old old.* && cp -r data old
    env LD_PRELOAD="$shim" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        ${1:+NO_EXCHANGE=$1} AT_EXCHANGE="$2" "$tutti" preprocess corpus --shards 2 \
        --replace -o old >output.txt 2>log.txt || fail "$2: exit code $?: $(cat log.txt)"
    [ "$(ls -A old | tr '\n' ' ')" = "index.h5 shard-0000.h5 shard-0001.h5 " ] ||
        fail "$2: old contains $(ls -A old)"
    [ ! -e old.partial ] || fail "$2: old.partial is left"
}
reports_kept_folder() { # PATTERN: the file is kept under the reported name, for a matching reason
    local name
    name=$(sed -n 's/.*the former old is kept as \(old.replaced-[0-9a-f]*\): .*/\1/p' log.txt)
    [ -n "$name" ] && grep -q "$1" log.txt || fail "not reported: $(cat log.txt)"
    [ "$(cat "$name/thesis")" = mine ] || fail "$name: $(ls -A "$name")"
    rm -r "$name"
}
for no in "" 1; do
    change_during_replace "$no" true
    [ -z "$(ls -d old.* 2>/dev/null)" ] || fail "left: $(ls -d old.*)"
    [ ! -s log.txt ] || fail "output: $(cat log.txt)"
    change_during_replace "$no" 'echo mine >old/thesis'
    reports_kept_folder "holds 'thesis'"
    change_during_replace "$no" 'mv old away; mkdir old; echo mine >old/thesis'
    reports_kept_folder "was put there while"
    cmp -s away/index.h5 data/index.h5 || fail "the folder moved away was changed"
    rm -r away
    change_during_replace "$no" 'mkdir old.replaced; echo mine >old.replaced/thesis'
    [ "$(cat old.replaced/thesis)" = mine ] || fail "old.replaced is gone"
    change_during_replace "$no" 'mkdir there; echo mine >there/thesis; mv old away; ln -s there old'
    [ "$(cat there/thesis)" = mine ] || fail "through a link"
    rm -rf away there old.replaced*
done
rm -rf old
echo "ok: changes during the work"

# ---- demo ----

demo() { "$tutti" demo -o "$@" --pieces 80 --epochs 1 --ranks 1; }
for name in z/. z/.. z/./; do refuses 2 "no folder of this name can be made" demo "$name"; done
[ ! -e z ] || fail "demo -o z/. leaves z"
refuses 2 "the DIR is empty" demo ''
mkdir home && echo "not finished" >home/demo.txt && mkdir home/corpus && echo mine >home/corpus/thesis
pattern="^tutti: home: exists and was not made by tutti demo \(found 'corpus'; no .tutti-demo\)"
refuses_without_change home demo home
echo notes >home/.tutti-demo
pattern="^tutti: home/.tutti-demo: a file of another kind"
refuses_without_change home demo home
mkdir shown && ln -s shown named
succeeds demo named/
[ -L named ] && [ -s shown/demo.txt ] || fail "a link to an empty folder"
for name in mine.txt run/mine.txt corpus/mine.mid corpus/piece-0081.mid dataset/mine \
    dataset/shard-0064.h5 run/checkpoints/epoch-0002.h5 run/checkpoints/step-00000001.h5 \
    run/checkpoints/mine.h5 run/samples/epoch-0001-2.mid run/samples/.mine.partial run/old/x; do
    mkdir -p "$(dirname "shown/$name")" && echo mine >"shown/$name"
    pattern="^tutti: shown: holds '${name%/x}'( \(a directory\))?, which tutti demo has not made"
    refuses_without_change shown demo shown
    rm "shown/$name"
done
rmdir shown/run/old
mv shown/corpus elsewhere && ln -s ../elsewhere shown/corpus
pattern="^tutti: shown: holds 'corpus' \(a symbolic link\)"
refuses_without_change . demo shown
rm shown/corpus && mv elsewhere shown/corpus
succeeds demo shown
refuses 2 "a demo is a folder" demo -
for name in ' lead' '"q"' $'a\tb' '~x'; do refuses 2 "written in a configuration" demo "$name"; done
[ ! -e ' lead' ] && [ ! -e '"q"' ] && [ ! -e $'a\tb' ] || fail "an invalid folder was created"
mkdir shown/run/samples/.epoch.0123456789ab.partial
touch shown/run/samples/.epoch.0123456789ab.partial/epoch-0001-1.mid
succeeds demo shown

# links created during the run
for name in a b c; do echo precious >victim-$name; done
demo planted >log.txt 2>&1 &
wait_until "the run of the demo" test -e planted/run/lock
ln -s ../victim-a planted/demo.txt
ln -s ../victim-b planted/music-1.mid
ln victim-c planted/evaluation.json
wait $! && fail "planted links: no failure"
[ "$(cat victim-a victim-b victim-c | sort -u)" = precious ] || fail "written through a link"
grep -q "^tutti: .*music-1.mid: a link" log.txt || { cat log.txt >&2; fail "not reported"; }
echo "ok: demo"

# ---- a killed demo takes its child processes with it ----

demo_processes() { pgrep -f "train $work/killed/train.conf" | while read -r pid; do
    grep -qs "State:.[Z]" "/proc/$pid/status" || echo "$pid"; done; }
no_demo_processes() { [ -z "$(demo_processes)" ]; }
for ranks in 1 2; do
    rm -rf killed
    "$tutti" demo -o "$work/killed" --pieces 80 --epochs 100000 --ranks $ranks >log.txt 2>&1 &
    job=$!
    until [ -s killed/run/metrics.jsonl ]; do
        kill -0 $job 2>/dev/null || fail "no training: $(cat log.txt)"
        sleep 0.1
    done
    [ -n "$(demo_processes)" ] || fail "the training isn't found"
    kill -KILL $job
    wait $job 2>/dev/null
    if [ $ranks = 1 ]; then # the next demo waits for it by itself
        wait_until "the end of the training" no_demo_processes
    fi
    succeeds demo killed
    [ -z "$(demo_processes)" ] || fail "$ranks ranks: still running after the next demo: $(demo_processes)"
    [ -s killed/demo.txt ] && [ ! -e killed/run/checkpoints/epoch-0002.h5 ] ||
        fail "the next demo: $(cat log.txt)"
done
echo "ok: a killed demo"
