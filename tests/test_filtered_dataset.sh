#!/bin/bash
# data.only_programs and data.tracks: what a dataset keeps, its summary, duplicates and
# skipped files; the primer and the statistics follow the dataset.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# write_trio FILE BASS PITCH...: quarter notes of a piano (program 0) with a bass (program
# BASS) two octaves below and a drum. With piano=alone only the piano.
write_trio() {
    local file=$1 events pitch
    events=$(printf '00c000 00c1%02x' "$2")
    shift 2
    for pitch in "$@"; do
        events+=$(printf '0090%02x40' "$pitch")
        [ -n "${piano:-}" ] || events+=$(printf '0091%02x40 00992440' $((pitch - 24)))
        events+=$(printf '6080%02x40' "$pitch")
        [ -n "${piano:-}" ] || events+=$(printf '0081%02x40 00892440' $((pitch - 24)))
    done
    events=${events// /}00ff2f00
    write_hex "$file" \
        "4d546864000000060000000100604d54726b$(printf %08x $((${#events} / 2)))$events"
}

mkdir trios
for ((i = 0; i < 24; i++)); do
    write_trio "trios/$i.mid" 32 $((60 + i)) $((62 + i)) $((64 + i / 2)) 67 $((65 + i % 7)) 72
done

# expect FILE TEXT: FILE has a line that matches the pattern.
expect() { grep -Eq -- "$2" "$1" || report_failure "no '$2' in $1: $(cat "$1")"; }

# make NAME OPTION...: makes the dataset NAME of the trios.
make() {
    local name=$1
    shift
    "$tutti" preprocess trios -o "$name" --shards 4 --split "0.8 0.1 0.1" "$@" >"$name.txt" 2>&1 ||
        fail "preprocess $*: $(cat "$name.txt")"
}

# ---- the summary ----
make all
expect all.txt 'notes left out +144 percussion, 0 out of range, 0 merged$'
! grep -q 'notes filtered' all.txt || report_failure "filtered without a filter"
make bass --only-programs 32-39
expect bass.txt 'notes left out +0 percussion, 0 out of range, 0 merged$'
expect bass.txt 'notes filtered +288, by data.only_programs and data.tracks$'
make both --only-programs 0,32,drums
expect both.txt 'notes left out +144 percussion, 0 out of range, 0 merged$'
make melody --tracks melody
expect melody.txt 'notes filtered +288, by'
make melody-of-bass --tracks melody --only-programs '1-127, drums'
expect melody-of-bass.txt 'notes filtered +288, by'
"$tutti" inspect bass >out.txt && expect out.txt 'notes filtered +288, by'
expect out.txt 'data.only_programs +32-39'
"$tutti" inspect bass --json >out.txt && expect out.txt '"notes_filtered": 288'
"$tutti" inspect bass --verify >out.txt || report_failure "--verify: $(cat out.txt)"
make bass-again --set data.only_programs=32-39
diff -r bass bass-again >/dev/null || report_failure "--only-programs is not data.only_programs"
for ranks in 2 3; do
    "$mpirun" -n $ranks "$tutti" preprocess trios -o "bass-$ranks" --shards 4 \
        --split "0.8 0.1 0.1" --only-programs 32-39 >out.txt 2>&1 || fail "$(cat out.txt)"
    diff -r bass "bass-$ranks" >/dev/null || report_failure "bass on $ranks ranks differs"
done
diff -r all both >/dev/null && report_failure "the settings are not in the dataset"

# ---- skipped files and duplicates ----
mkdir mixed
cp trios/3.mid mixed/a.mid
write_trio mixed/b.mid 33 63 65 65 67 68 72 # another bass
write_midi mixed/c.mid 60 62
"$tutti" preprocess mixed -o mixed.tutti --only-programs 32,33 --list - >out.txt 2>err.txt ||
    fail "$(cat err.txt)"
expect out.txt '^mixed/a.mid	ok'
expect out.txt '^mixed/b.mid	duplicate	of mixed/a.mid	' # equal tokens
expect out.txt '^mixed/c.mid	skipped	no notes after data.only_programs and data.tracks	'
"$tutti" preprocess mixed -o none.tutti --only-programs 99 >out.txt 2>&1
[ $? = 1 ] || report_failure "nothing left: $(cat out.txt)"
expect out.txt '^tutti: no piece of music in 3 files; .*no notes after data.only_programs'
"$tutti" preprocess mixed -o none.tutti --only-programs 0-128 >out.txt 2>&1
[ $? = 2 ] || report_failure "0-128: $(cat out.txt)"
expect out.txt '^tutti: --only-programs: data.only_programs = 0-128: expected all, or programs'
"$tutti" preprocess mixed -o none.tutti --tracks bass >out.txt 2>&1
[ $? = 2 ] || report_failure "--tracks bass: $(cat out.txt)"

# ---- training, primers, statistics ----
cat >tiny.conf <<END
[model]
hidden = 16
embedding = 8
layers = 1
[train]
epochs = 1
batch = 4
microbatches = 2
sequence_length = 16
[run]
samples = 0
END
"$tutti" train tiny.conf --set data.dataset=melody --set run.dir=run >out.txt 2>&1 ||
    fail "train: $(cat out.txt)"
expect run/settings.conf '^tracks = melody$'
write_trio trio.mid 32 60 62 64 65
piano=alone write_trio piano.mid 32 60 62 64 65
for primer in trio piano; do
    "$tutti" generate run -o $primer-out.mid --prime $primer.mid --keep-primer --seconds 3 >out.txt ||
        fail "generate: $(cat out.txt)"
done
cmp -s trio-out.mid piano-out.mid || report_failure "the primer is not filtered"
"$tutti" train tiny.conf --set data.dataset=bass --set run.dir=bass-run >out.txt 2>&1 ||
    fail "train: $(cat out.txt)"
"$tutti" generate bass-run -o out.mid --prime piano.mid --seconds 3 >out.txt 2>&1
[ $? = 1 ] || report_failure "a primer without notes: $(cat out.txt)"
expect out.txt "^tutti: piano.mid: can't be the primer: no notes after data.only_programs and"
polyphony() { "$python" -c 'import json, sys
print(json.load(open(sys.argv[1]))["groups"][0]["metrics"]["polyphony"]["mean"])' "$1"; }
"$tutti" statistics trios/0.mid --json >out.txt || fail "statistics"
[ "$(polyphony out.txt)" = 2 ] || report_failure "statistics: $(polyphony out.txt) notes at a time"
"$tutti" statistics trios/0.mid --training melody --json >out.txt || fail "statistics"
[ "$(polyphony out.txt)" = 1 ] || report_failure "--training: $(polyphony out.txt) notes at a time"
"$tutti" statistics mixed --training bass >out.txt 2>err.txt || fail "statistics"
expect err.txt '^skipped mixed/c.mid: no notes after data.only_programs and data.tracks$'

# ---- a dataset without the attribute, as written before there were filters ----
if "$python" -c "import h5py" 2>/dev/null; then
    "$python" -c 'import h5py
with h5py.File("all/index.h5", "r+", libver=("earliest", "v110")) as f:
    del f.attrs["notes_filtered"]'
    "$tutti" inspect all --verify >out.txt || report_failure "an older dataset: $(cat out.txt)"
    "$tutti" inspect all --json >out.txt && expect out.txt '"notes_filtered": 0'
fi

# ---- real files ----
real=${TUTTI_TEST_DATA:-}/multitrack
if [ -d "$real" ]; then
    "$tutti" preprocess "$real" -o real --tracks melody >out.txt 2>&1 || fail "$(cat out.txt)"
    "$tutti" statistics "$real" --training real --json >out.txt 2>/dev/null || fail "statistics"
    [ "$(polyphony out.txt)" = 1 ] || report_failure "real melodies: $(polyphony out.txt)"
fi
check_failures
