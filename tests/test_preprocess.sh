#!/bin/bash
# `tutti preprocess`: identical output for any number of ranks, outcomes, split files,
# interruption, refusals.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e

# refused CODE TEXT COMMAND...: requires that the command exits with CODE and prints one
# "tutti: " line that contains TEXT
refused() {
    local code=$1 text=$2 found=0
    shift 2
    "$@" >output.txt 2>error.txt || found=$?
    [ "$found" = "$code" ] || fail "exit $found, expected $code: $*: $(cat error.txt)"
    grep "^tutti: " error.txt >lines.txt || fail "no message: $*"
    [ "$(wc -l <lines.txt)" = 1 ] || fail "more than one line: $(cat lines.txt)"
    grep -qF -- "$text" lines.txt || fail "'$text' is not in: $(cat lines.txt)"
}
same() { diff -r "$1" "$2" >/dev/null || fail "$1 and $2 differ"; }

# a corpus with every kind of file
make_corpus corpus 40
mkdir -p corpus/sub/deeper corpus/folder.mid
cp corpus/tune-003.mid corpus/sub/copy.mid
cp corpus/tune-004.mid "corpus/sub/with space & 'quote'.mid"
write_midi corpus/sub/-dash.mid 60 62 64 65
write_midi corpus/sub/deeper/UPPER.MID 61 62 64 65
write_midi corpus/folder.mid/inside.kar 60 63 64 65
write_midi no-extension 50 52 54
write_midi ./-first 50 52 55
head -c 60 corpus/tune-001.mid >corpus/cut.mid
: >corpus/empty.mid
echo "no music" >corpus/garbage.mid
echo "no music" >corpus/readme.txt
mkfifo corpus/pipe.mid
ln -s nowhere.mid corpus/dangling.mid
ln -s .. corpus/sub/loop
ln -s ../no-extension corpus/linked.mid

# ---- identical output ----
for encoding in performance pianoroll; do
    for ranks in 1 2 3 4; do
        "$mpirun" -n $ranks "$tutti" preprocess corpus -o "$encoding-$ranks" --shards 7 \
            --encoding $encoding >out.txt 2>&1 || fail "$ranks ranks: $(cat out.txt)"
        same $encoding-1 $encoding-$ranks
    done
done
"$tutti" preprocess corpus -o alone --shards 7 >/dev/null
same performance-1 alone
cmp -s performance-1/shard-0001.h5 pianoroll-1/shard-0001.h5 && fail "the encodings are equal"

# on a host without space for shared memory (Open MPI reports it, too; MPICH doesn't
# start)
if ! is_open_mpi; then
    echo "skipped: no space in /dev/shm: this MPI needs shared memory"
elif unshare -rm true 2>/dev/null; then
    timeout -k 5 300 unshare -rm bash -c 'mount -t tmpfs -o size=4k none /dev/shm &&
        $1 -n 3 "$0" preprocess corpus -o cramped --shards 7' "$tutti" "$mpirun" >out.txt 2>&1 ||
        fail "no space in /dev/shm: exit code $? (124: hangs): $(cat out.txt)"
    same performance-1 cramped
else
    echo "skipped: no space in /dev/shm: mounting is not permitted"
fi

# independent of the working directory and the spelling of the path
(cd corpus/sub && "$tutti" preprocess ../ -o "$work/above" --shards 7 >/dev/null)
(cd corpus && "$tutti" preprocess . -o ../here --shards 7 >/dev/null)
"$tutti" preprocess "$work/corpus/" -o absolute/made/here --shards 7 >/dev/null
same alone above
same alone here
same alone absolute/made/here
"$tutti" preprocess corpus corpus/sub ./corpus corpus/tune-001.mid -o twice --shards 7 >/dev/null
same alone twice

# ---- outcomes ----
"$tutti" preprocess no-extension corpus -o listed --list list.tsv -- -first >output.txt 2>&1 ||
    fail "$(cat output.txt)"
outcome() { # PATH OUTCOME REASON
    awk -F '\t' -v path="$1" -v outcome="$2" -v reason="$3" '
        $1 == path { found = 1; ok = $2 == outcome && index($3, reason) }
        END { exit !(found && ok) }' list.tsv || fail "$1: $(grep -F "$1" list.tsv || echo none)"
}
outcome no-extension duplicate "of corpus/linked.mid"
outcome -first ok ""
outcome corpus/linked.mid ok ""
outcome corpus/tune-000.mid ok ""
outcome corpus/sub/-dash.mid ok ""
outcome corpus/sub/deeper/UPPER.MID ok ""
outcome corpus/sub/copy.mid ok ""
outcome corpus/tune-003.mid duplicate "of corpus/sub/copy.mid"
outcome corpus/tune-004.mid duplicate "of corpus/sub/with space & 'quote'.mid"
outcome corpus/cut.mid repaired "wrong track length"
outcome corpus/empty.mid skipped "not MIDI"
outcome corpus/garbage.mid skipped "not MIDI"
outcome corpus/pipe.mid skipped "not a regular file"
outcome corpus/dangling.mid skipped "No such file"
outcome corpus/folder.mid skipped "a folder"
outcome corpus/folder.mid/inside.kar ok ""
grep -q readme list.tsv && fail "a text file was accepted"
[ "$(wc -l <list.tsv)" = 55 ] || fail "$(wc -l <list.tsv) lines"
for line in "ok +45" "repaired +1" "skipped +5" "duplicate +3" "all +54"; do
    grep -Eq "^ +$line$" output.txt || fail "'$line' is not in $(cat output.txt)"
done
"$tutti" inspect listed --verify >/dev/null || fail "verify"

# inputs with the same name are distinguished by their parent folders
mkdir -p one/midi two/midi
cp corpus/tune-000.mid one/midi/a.mid
cp corpus/tune-001.mid two/midi/a.mid
"$tutti" preprocess two/midi one/midi -o parents --list list.tsv >/dev/null 2>&1
outcome one/midi/a.mid ok ""
outcome two/midi/a.mid ok ""

# ---- split files ----
printf '%s\t%s\n' corpus/tune-000.mid test corpus/tune-001.mid valid \
    "$work/corpus/tune-002.mid" train corpus/sub/-dash.mid train >split.tsv
"$tutti" preprocess corpus -o split --split-file split.tsv --list list.tsv >output.txt 2>&1
outcome corpus/tune-005.mid skipped "not in the split file"
outcome corpus/tune-001.mid ok ""
grep -Eq "train +2 " output.txt || fail "$(cat output.txt)"
grep -Eq "valid +1 " output.txt || fail "$(cat output.txt)"
grep -Eq "test +1 " output.txt || fail "$(cat output.txt)"
"$mpirun" -n 3 "$tutti" preprocess corpus -o split-3 --split-file split.tsv >/dev/null 2>&1
same split split-3
(cd one && printf 'midi/a.mid\ttest\n' >split.tsv &&
    "$tutti" preprocess ./midi -o ../relative --split-file split.tsv >/dev/null 2>&1) ||
    fail "a path as recorded"
(cd one && printf './midi/a.mid\ttest\n' >split.tsv &&
    "$tutti" preprocess ./midi -o ../relative --split-file split.tsv --replace \
        >/dev/null 2>&1) || fail "a path as given"
refused 2 "data.programs = keep: the pianoroll encoding has one instrument" \
    "$tutti" preprocess corpus -o roll.tutti --encoding pianoroll --programs keep
refused 2 "data.drums = keep: the pianoroll encoding has no percussion" \
    "$tutti" preprocess corpus -o roll.tutti --encoding pianoroll --drums keep
printf 'corpus/tune-000.mid\ttrain\ncorpus/nothing.mid\ttrain\n' >bad.tsv
refused 2 "bad.tsv:2: no input file is called 'corpus/nothing.mid'" \
    "$tutti" preprocess corpus -o bad --split-file bad.tsv
printf 'corpus/tune-000.mid\ttrain\n\ncorpus/tune-000.mid\ttest\n' >bad.tsv
refused 2 "bad.tsv:3: 'corpus/tune-000.mid' is test here and train above" \
    "$tutti" preprocess corpus -o bad --split-file bad.tsv
printf 'corpus/tune-000.mid\ttraining\n' >bad.tsv
refused 2 "bad.tsv:1: 'training' is not a split" \
    "$tutti" preprocess corpus -o bad --split-file bad.tsv
echo corpus/tune-000.mid >bad.tsv
refused 2 "bad.tsv:1: no tab" "$tutti" preprocess corpus -o bad --split-file bad.tsv
refused 2 "missing.tsv: can't open" "$tutti" preprocess corpus -o bad --split-file missing.tsv

# partial names: without the input folder, or the file name alone; a leading dot; byte
# order marks; names that match several files
mkdir -p part/sub part/other
write_midi part/one.mid 60 62 64
write_midi part/sub/two.mid 61 63 65
write_midi part/sub/same.mid 62 64 66
write_midi part/other/same.mid 63 65 67
write_midi part/same.mid 64 66 68
accepts_split() { # TEXT-OF-SPLIT-FILE INPUT...: every line is accepted and takes effect
    printf %b "$1" >part.tsv
    shift
    "$tutti" preprocess "$@" -o part.out --split-file part.tsv --replace --list list.tsv \
        >output.txt 2>&1 || fail "$(cat part.tsv output.txt)"
    [ "$(grep -c -v "not in the split file" list.tsv)" = $(($(grep -c mid part.tsv) + 1)) ] ||
        fail "$(cat part.tsv list.tsv)"
}
accepts_split 'one.mid\ttrain\ntwo.mid\ttest\n' part
accepts_split './one.mid\ttrain\r\n./sub/two.mid\ttest\r\n\r\n' part
accepts_split '\xEF\xBB\xBFone.mid\ttrain\nsub//./two.mid\ttest' ./part/
accepts_split 'other/same.mid\ttrain\npart/one.mid\ttrain\n./part/sub/two.mid\ttest\n' part
accepts_split "$work/part/one.mid\ttrain\n$work/part/./sub/two.mid\ttest\n" "$work/part"
accepts_split 'same.mid\ttrain\nsub/same.mid\tvalid\nother/same.mid\ttest\n' part
grep -q "same.mid.ok" list.tsv || fail "$(cat list.tsv)"
mkdir -p chain/a/sub chain/b/sub
write_midi chain/a/sub/x.mid 60 62 65
write_midi chain/b/sub/x.mid 61 63 66
write_midi chain/x.mid 62 64 67
for lines in 'x.mid\ttrain\nsub/x.mid\tvalid\n' 'sub/x.mid\tvalid\nx.mid\ttrain\n'; do
    accepts_split "${lines}b/sub/x.mid\ttest\n" chain
    accepts_split "b/sub/x.mid\ttest\n$lines" chain # in any order
done
refused 2 "part.tsv:1: 'same.mid' matches part/same.mid and part/sub/same.mid (expected more" sh -c \
    "printf 'same.mid\ttrain\nother/same.mid\ttest\n' >part.tsv &&
     '$tutti' preprocess part -o bad --split-file part.tsv"
refused 2 "matches part/other/same.mid and part/sub/same.mid" sh -c \
    "printf 'same.mid\ttrain\n' >part.tsv &&
     '$tutti' preprocess part -o bad --split-file part.tsv"
refused 2 "no input file is called 'ame.mid'" sh -c \
    "printf 'ame.mid\ttrain\n' >part.tsv && '$tutti' preprocess part -o bad --split-file part.tsv"
(cd part && printf 'same.mid\ttrain\nsub/two.mid\ttest\n' >../part.tsv &&
    "$tutti" preprocess . -o ../part.out --replace --split-file ../part.tsv >/dev/null 2>&1) ||
    fail "a path relative to the working directory"

# names that are not valid text: recorded as valid UTF-8 from which the file is found
# again
mkdir -p odd/"$(printf 'f\xFC')"
write_midi odd/"$(printf 'caf\xE9.mid')" 60 64 67
write_midi odd/"$(printf 'f\xFC/tab\there.mid')" 61 64 67
write_midi odd/"$(printf 'line\nend.mid')" 62 64 67
write_midi odd/'back\slash.mid' 63 64 67
write_midi odd/'caf\xE9.mid' 64 66 67
write_midi odd/"$(printf 'caf\xC3\xA9.mid')" 65 68 67
"$tutti" preprocess odd -o odd.out --list list.tsv >output.txt 2>&1 || fail "$(cat output.txt)"
"$tutti" inspect odd.out --json >/dev/null || fail "inspect"
iconv -f UTF-8 -t UTF-8 list.tsv output.txt >/dev/null || fail "not valid UTF-8"
[ "$(wc -l <list.tsv)" = 7 ] || fail "$(cat list.tsv)"
awk -F '\t' 'NF != 6 { exit 1 }' list.tsv || fail "$(cat list.tsv)"
cut -f 1 list.tsv | sed 1d | LC_ALL=C sort >found.txt
LC_ALL=C sort >expected.txt <<'END'
odd/back\slash.mid
odd/café.mid
odd/caf\x5CxE9.mid
odd/caf\xE9.mid
odd/f\xFC/tab\x09here.mid
odd/line\x0Aend.mid
END
cmp -s found.txt expected.txt || fail "$(cat found.txt)"
sed 's/$/\ttrain/' found.txt >part.tsv
"$tutti" preprocess odd -o odd.listed --split-file part.tsv >output.txt 2>&1 || fail "$(cat output.txt)"
grep -Eq "^ +ok +6$" output.txt || fail "$(cat output.txt)"
printf 'odd/caf\xE9.mid\ttrain\nf\xFC/tab\there.mid\ttest\n' >part.tsv
"$tutti" preprocess odd -o odd.bytes --split-file part.tsv >output.txt 2>&1 || fail "$(cat output.txt)"
grep -Eq "^ +ok +2$" output.txt || fail "$(cat output.txt)"
"$tutti" preprocess odd/"$(printf 'caf\xE9.mid')" odd/"$(printf 'f\xFC')" -o odd.inputs \
    --list list.tsv >/dev/null 2>&1
grep -q '^f\\xFC/tab\\x09here.mid.ok' list.tsv || fail "$(cat list.tsv)"
grep -q '^caf\\xE9.mid.ok' list.tsv || fail "$(cat list.tsv)"
"$mpirun" -n 3 "$tutti" preprocess odd -o odd.three >/dev/null 2>&1
same odd.out odd.three

# duplicates listed in different splits: one of them is kept, with a warning
write_midi one/midi/wait.mid 60 62 64 65
cp one/midi/wait.mid one/midi/same.mid
printf 'midi/wait.mid\ttrain\nmidi/same.mid\ttest\nmidi/a.mid\ttrain\n' >torn.tsv
for ranks in 1 3; do
    "$mpirun" -n $ranks "$tutti" preprocess one/midi -o torn-$ranks --split-file torn.tsv \
        >output.txt 2>&1 || fail "$(cat output.txt)"
    [ "$(grep -c "1 file has the same music as a file of another split" output.txt)" = 1 ] ||
        fail "$(cat output.txt)"
    grep -q "midi/wait.mid is train, midi/same.mid is test" output.txt || fail "$(cat output.txt)"
done
same torn-1 torn-3
rm one/midi/wait.mid one/midi/same.mid

# ---- refusals: one message on any number of ranks ----
refused 2 "tutti: missing: can't read" "$mpirun" -n 3 "$tutti" preprocess missing -o bad
refused 2 "tutti: alone: exists" "$mpirun" -n 3 "$tutti" preprocess corpus -o alone
refused 2 "no output; add a folder name" "$mpirun" -n 3 "$tutti" preprocess corpus
mkdir void
refused 1 "no MIDI files in void" "$mpirun" -n 3 "$tutti" preprocess void -o bad
refused 1 "the first: garbage.mid: not MIDI" "$mpirun" -n 3 "$tutti" preprocess corpus/garbage.mid -o bad

# percussion only; and the same with a truncated event before it: the earlier reason is
# named first
midi_of() { printf 'MThd\0\0\0\6\0\0\0\1\1\340MTrk\0\0\0%b%b' "$1" "$2"; }
midi_of '\014' '\0\0231\044\0120\0140\0211\044\0100\0\0377\057\0' >drums.mid
midi_of '\013' '\0\0231\044\0120\0140\0211\044\0100\0\0377\057' >drums-cut.mid
refused 1 "the first: drums.mid: percussion only" "$tutti" preprocess drums.mid -o bad
refused 1 "the first: drums-cut.mid: track cut; percussion only" "$tutti" preprocess drums-cut.mid -o bad
refused 2 "performance" "$tutti" preprocess corpus -o bad --encoding performanse
[ ! -e bad ] && [ ! -e bad.partial ] || fail "a refused run left files"

# only a dataset is replaced
mkdir precious
echo data >precious/thesis.txt
refused 2 "holds 'thesis.txt'" "$tutti" preprocess corpus -o precious --replace
refused 2 "a file, not a dataset" "$tutti" preprocess corpus -o precious/thesis.txt --replace
[ "$(cat precious/thesis.txt)" = data ] || fail "a foreign folder was deleted"
"$tutti" preprocess one/midi -o here --replace --shards 7 >/dev/null 2>&1
cmp -s here/index.h5 alone/index.h5 && fail "not replaced"
"$tutti" preprocess corpus -o here/ --replace --shards 7 >/dev/null
same alone here
[ -z "$(find . -maxdepth 1 -name 'here?*')" ] || fail "the replaced dataset is still there"

# ---- interrupted ----
mkdir many
for i in $(seq 1 40); do cp -r one "many/$i"; cp corpus/tune-*.mid "many/$i"; done
unfinished=0
for delay in 0 0 0 0.01 0.02 0.05; do
    rm -rf killed killed.partial
    "$tutti" preprocess many -o killed >/dev/null 2>&1 &
    job=$!
    for _ in $(seq 1 2000); do
        [ -e killed.partial ] && break
        kill -0 $job 2>/dev/null || break
    done
    sleep $delay
    kill -KILL $job 2>/dev/null || true
    wait $job 2>/dev/null || true
    if [ -e killed ]; then
        "$tutti" inspect killed --verify >/dev/null || fail "published but incomplete"
    else
        unfinished=$((unfinished + 1))
        # a kill right after mkdir leaves the folder without its marker
        [ ! -e killed.partial/UNFINISHED ] ||
            refused 2 "unfinished preprocess" "$tutti" inspect killed.partial
    fi
    "$tutti" preprocess many -o killed --replace >/dev/null 2>&1 || fail "second attempt"
    [ ! -e killed.partial ] || fail "the partial folder is still there"
    "$tutti" inspect killed --verify >/dev/null || fail "after an interruption"
done
[ $unfinished -ge 1 ] || fail "no run was interrupted"

# a running preprocess is not disturbed
mkdir busy.partial
: >busy.partial/UNFINISHED
(flock 9 && exec sleep 600) 9>busy.partial/UNFINISHED &
holder=$!
is_locked() { ! flock -n busy.partial/UNFINISHED true; }
wait_until "the lock" is_locked
refused 2 "another preprocess is writing it" "$tutti" preprocess one/midi -o busy
kill $holder
wait $holder 2>/dev/null || true
[ -e busy.partial/UNFINISHED ] || fail "the other's folder was removed"
