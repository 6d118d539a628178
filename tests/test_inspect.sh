#!/bin/bash
# `tutti inspect`: recognising, reporting, verifying, comparing and refusing files.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
make_corpus corpus 60
cp corpus/tune-000.mid corpus/copy.mid
write_midi corpus/short.mid 60
head -c 40 corpus/tune-001.mid >corpus/cut.mid
echo "no music" >corpus/text.mid
make_run lstm

# json_matches TEXT PATTERN: the JSON text matches, ignoring whitespace
json_matches() { tr -d ' \n' <<<"$1" | grep -Eq -- "$2" || fail "no match for '$2' in: $1"; }
matches() { grep -Eq -- "$2" <<<"$1" || fail "no match for '$2' in: $1"; }

# ---- a dataset of 64 files; the counts follow from the corpus ----
json=$("$tutti" inspect corpus.tutti --json)
json_matches "$json" '"kind":"dataset"'
json_matches "$json" '"files":64,'
json_matches "$json" '"outcomes":\{"ok":61,"repaired":1,"skipped":1,"duplicate":1\}'
json_matches "$json" '"dataset_hash":"[0-9a-f]{16}"'
json_matches "$json" '"vocabulary_hash":"[0-9a-f]{16}"'
json_matches "$json" '"vocabulary":389'
json_matches "$json" '"shards":4'
json_matches "$json" '"settings":\{"data":\{.*"split":"0.80.10.1"'
json_matches "$json" '"reason":"[^"]*","files":1,"examples":\["corpus/text.mid"\]'
number() { tr -d ' \n' <<<"$json" | grep -Eo "\"$1\":[0-9]+" | head -1 | cut -d: -f2; }
# 60 tunes of 24 notes, and the readable notes of the truncated and the short one
notes=$(number notes)
[ "$notes" -ge 1440 ] && [ "$notes" -le 1450 ] || fail "notes: $notes"
[ "$(number tokens)" -gt $((2 * notes)) ] || fail "tokens: $(number tokens)"
text=$("$tutti" inspect corpus.tutti)
matches "$text" "input files +64: "
matches "$text" "skipped files, by reason"
matches "$text" "corpus/text.mid"
matches "$text" "data.shards +4 "
[ "$("$tutti" inspect corpus.tutti/index.h5)" = "$text" ] || fail "the index is not the dataset"
matches "$("$tutti" inspect corpus.tutti/shard-0002.h5)" "shard 2 of 4"
verified=$("$tutti" inspect corpus.tutti --verify)
matches "$verified" "^corpus.tutti: verified: 4 shards, "
[ "$(wc -l <<<"$verified")" = 1 ] || fail "not one line: $verified"

# ---- as many different reasons as files: linear time ----
python=${TUTTI_PYTHON:-/usr/bin/python3}
if "$python" -c "import h5py, numpy" 2>/dev/null; then
    cp -r corpus.tutti reasons.tutti
    "$python" - <<'END'
import h5py, numpy
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
MORE = 100000
added = {"path": [b"more/%d.mid" % i for i in range(MORE)],
         "reason": ["".join(LETTERS[i // 52**k % 52] for k in range(4)).encode()
                    for i in range(MORE)],
         "outcome": [2] * MORE}
with h5py.File("reasons.tutti/index.h5", "r+", libver=("earliest", "v110")) as f:
    for name in list(f["files"]):
        old = f["files"][name][:]
        more = numpy.array(added.get(name, [0] * MORE))
        more = more if more.dtype.kind == "S" else more.astype(old.dtype)
        del f["files"][name]
        f["files"].create_dataset(name, data=numpy.concatenate([old, more]), fletcher32=True,
                                  chunks=(65536,))
    f.attrs["files"] = numpy.int64(len(f["files/path"]))
END
    text=$(ulimit -S -t 8; "$tutti" inspect reasons.tutti) || fail "many reasons"
    matches "$text" "^ +1  aaaa$"
    matches "$text" "^          more/99999.mid$"
    [ "$(grep -c '^ *1  ' <<<"$text")" = 100002 ] || fail "$(grep -c '^ *1  ' <<<"$text") reasons"
fi

# ---- a piece that can't be encoded is named with its file and the reason ----
if "$python" -c "import h5py, numpy, ctypes; ctypes.CDLL('libxxhash.so.0')" 2>/dev/null; then
    "$tutti" preprocess corpus -o late.tutti --shards 1 >log.txt 2>&1 || fail "preprocess, one shard"
    PYTHONPATH=$source/tests "$python" -B - <<'END'
from mutate_hdf5 import Shard, edit, repair_dataset
with edit("late.tutti/shard-0000.h5") as f:
    shard = Shard(f)
    shard.notes["start"][shard.part("note", 5).stop - 1] = 1e9
    shard.write()
repair_dataset("late.tutti")
END
    refuses 1 "^tutti: late.tutti/shard-0000.h5: piece [0-9]+: too long for the performance encoding" \
        "$tutti" inspect late.tutti --verify
fi

# ---- a checkpoint; a run's directory means its latest one ----
json=$("$tutti" inspect runs/first --json)
json_matches "$json" '"kind":"checkpoint"'
json_matches "$json" '"weights_hash":"[0-9a-f]{16}"'
json_matches "$json" '"epoch":2,'
json_matches "$json" '"config":\{"data":\{.*"hidden":16,.*"guard":true'
json_matches "$json" '"history":\[\{"epoch":1,.*\{"epoch":2,.*"weights_hash":"[0-9a-f]{16}"\}\]'
# 389*8 + (64*8 + 64*16 + 64) + (64*16 + 64*16 + 64) + 389*16 + 389
json_matches "$json" '"parameters":13437'
json_matches "$json" '"name":"lstm0/weight_hh","shape":\[64,16\]'
first=$("$tutti" inspect runs/first/checkpoints/epoch-0001.h5 --json)
nth_hash() { tr -d ' \n' <<<"$1" | grep -o '"weights_hash":"[0-9a-f]*"' | sed -n "$2p"; }
[ "$(nth_hash "$json" 1)" = "$(nth_hash "$json" 3)" ] || fail "hash is not the last epoch's"
[ "$(nth_hash "$first" 1)" = "$(nth_hash "$json" 2)" ] || fail "epoch 1's hash is not in the history"
[ "$(nth_hash "$first" 1)" != "$(nth_hash "$json" 1)" ] || fail "two epochs, same hash"
text=$("$tutti" inspect runs/first)
matches "$text" "lstm1/weight_ih +64 x 16 "
matches "$text" "train.batch +4 +\(default: 32\)"
matches "$("$tutti" inspect runs/first --verify)" "latest: verified: .* weights hash [0-9a-f]{16}$"

# ---- a MIDI file ----
json=$("$tutti" inspect corpus/tune-000.mid --json)
json_matches "$json" '"outcome":"ok"'
json_matches "$json" '"notes":24,"seconds":12,'
json_matches "$json" '"tracks":1'
json_matches "$json" '"division":96'
json_matches "$json" '"lowest_pitch":45,"highest_pitch":57'
matches "$("$tutti" inspect corpus/tune-000.mid)" "pitches +45 to 57 \(A2 to A3\)"
json_matches "$("$tutti" inspect corpus/text.mid --json)" '"outcome":"skipped","reason":"[^"]+"'
json_matches "$("$tutti" inspect corpus/cut.mid --json)" '"outcome":"repaired"'
refuses 1 "corpus/text.mid: skipped: " "$tutti" inspect corpus/text.mid --verify

# 3/4, 120 beats per minute, "Lead", a note of the violin, 240 beats per minute, a beat
# later 6/8, and a drum
events=00ff580403021808
events+=00ff510307a120
events+=00ff03044c656164
events+=00c028
events+=00903c4060803c40
events+=00ff510303d090
events+=60ff580406031808
events+=0099244030892440
events+=00ff2f00
write_hex metre.mid "4d546864000000060000000100604d54726b$(printf %08x $((${#events} / 2)))$events"
text=$("$tutti" inspect metre.mid)
matches "$text" "^  tempo +120.00 to 240.00, 120.00 beats per minute at first, 2 tempo events$"
matches "$text" "^  time signature +3/4, 6/8 from 0.75 s$"
matches "$text" "^  track 0 +Lead$"
matches "$text" "^  program +40 Violin, 1 note$"
matches "$text" "^  percussion +1 note$"
json=$("$tutti" inspect metre.mid --json)
json_matches "$json" '"slowest_tempo":500000,"fastest_tempo":250000,'
json_matches "$json" '"time_signatures":\[\{"tick":0,"seconds":0,"numerator":3,"denominator":4\},'
json_matches "$json" '\{"tick":192,"seconds":0.75,"numerator":6,"denominator":8\}\]'
json_matches "$json" '"track_names":\[\{"track":0,"name":"Lead"\}\]'
json_matches "$json" '"instruments":\[\{"program":40,"name":"Violin","notes":1\}\]'
json_matches "$json" '"percussion_notes":1'
text=$("$tutti" inspect corpus/tune-000.mid)
matches "$text" "^  tempo +120.00 beats per minute at first, 0 tempo events$"
matches "$text" "^  time signature +4/4$"

# ---- notes left out: two instruments play middle C at once, one repeats it; then the
# pitch below the piano's lowest key, and a drum ----
events=00903c4000913c4060803c4000813c40
events+=00903c4060803c40
events+=0090144060801440
events+=0099244030892440
events+=00ff2f00
write_hex lost.mid "4d546864000000060000000100604d54726b$(printf %08x $((${#events} / 2)))$events"
left_out="notes left out +1 percussion, 0 out of range, 1 merged$"
matches "$("$tutti" preprocess lost.mid -o lost.tutti 2>&1)" "$left_out"
matches "$("$tutti" inspect lost.tutti)" "$left_out"
json_matches "$("$tutti" inspect lost.tutti --json)" \
    '"notes_left_out":\{"percussion":1,"out_of_range":0,"merged":1\}'
matches "$("$tutti" preprocess lost.mid -o roll.tutti --encoding pianoroll --grid 1/1 2>&1)" \
    "notes left out +1 percussion, 1 out of range, 2 merged$"
"$tutti" inspect roll.tutti --verify >/dev/null || fail "the counts of roll.tutti"
matches "$("$tutti" preprocess lost.mid -o repeats.tutti --encoding pianoroll --grid 1/1 \
    --repeats 2>&1)" "notes left out +1 percussion, 1 out of range, 1 merged$"
"$tutti" inspect repeats.tutti --verify >/dev/null || fail "the counts of repeats.tutti"
matches "$("$tutti" inspect repeats.tutti)" "^  encoding +pianoroll, 91 tokens$"
if "$python" -c "import h5py" 2>/dev/null; then
    set_merged() { "$python" -c 'import h5py, sys
with h5py.File(sys.argv[1] + "/index.h5", "r+", libver=("earliest", "v110")) as f:
    f.attrs.modify("notes_merged", int(sys.argv[2]))' "$@"; }
    set_merged roll.tutti 1
    refuses 1 "notes_merged don't match the notes" "$tutti" inspect roll.tutti --verify
    set_merged roll.tutti 99
    refuses 1 "more notes are left out or merged than the 5" "$tutti" inspect roll.tutti
    "$python" -c 'import h5py
with h5py.File("roll.tutti/index.h5", "r+", libver=("earliest", "v110")) as f:
    for name in "percussion", "out_of_range", "merged":
        del f.attrs["notes_" + name]'
    "$tutti" inspect roll.tutti --verify >/dev/null || fail "an older dataset"
    ! "$tutti" inspect roll.tutti | grep "left out" || fail "counts of an older dataset"
fi

# ---- differences ----
same=$("$tutti" inspect runs/first --diff runs/first/checkpoints/epoch-0002.h5)
matches "$same" "^weights equal"
matches "$same" "settings that differ: 0"
matches "$same" "lstm0/bias +64 +0.000e\+00 +0.000e\+00 +0$"
other=$("$tutti" inspect runs/first/checkpoints/epoch-0001.h5 --diff runs/first)
matches "$other" "^weights differ"
matches "$other" "lstm0/bias +64 +[0-9.]+e-[0-9]+ "
json=$("$tutti" inspect runs/first --diff runs/first/checkpoints/epoch-0001.h5 --json)
json_matches "$json" '"weights_equal":false'
json_matches "$json" '"settings":\[\]'
json_matches "$json" '"name":"output/weight","max_abs_difference":0\.[0-9]+'
"$tutti" preprocess corpus -o other.tutti --shards 2 --split "0.8 0.1 0.1" >/dev/null 2>&1
difference=$("$tutti" inspect corpus.tutti --diff other.tutti)
matches "$difference" "data.shards +4 +2$"
matches "$difference" "settings that differ: 1"
matches "$difference" "^  files ok +6[01] +6[01]$"
json_matches "$("$tutti" inspect corpus.tutti --diff corpus.tutti --json)" '"equal":true'

# ---- several runs: the settings that differ, the best run first ----
sed 's/^batch = 4/batch = 8/' first.conf >second.conf
"$tutti" train second.conf --set run.dir=runs/second --set train.learning_rate=0.02 \
    >/dev/null 2>&1 || fail "train: a second run"
"$tutti" train first.conf --set run.dir=runs/part --set train.max_steps=3 >/dev/null 2>&1 ||
    fail "train: a run that ends within an epoch"
mkdir runs/empty
"$tutti" inspect runs/part runs/empty runs/first runs/second >table.txt || fail "a table"
# the lowest validation loss and its epoch, from the metrics
best_of() {
    sed -n 's/.*"epoch": *\([0-9]*\).*"valid_loss": *\([0-9.]*\).*"tokens_per_second".*/\2 \1/p' \
        "$1/metrics.jsonl" | sort -g | head -1
}
line=1
for name in first second; do echo "$(best_of runs/$name) $name"; done | sort -g >ordered.txt
while read -r loss epoch run; do
    line=$((line + 1))
    hash=$(hash_of "runs/$run")
    matches "$(sed -n ${line}p table.txt)" \
        "^runs/$run +.* 2/2 +[0-9]+ +$(printf %.4f "$loss") +$epoch +[0-9]+  $hash\$"
done <ordered.txt
matches "$(sed -n 1p table.txt)" '^run +train.batch +train.learning_rate +train.max_steps +epoch +step +valid loss'
matches "$(grep ^runs/second table.txt)" '^runs/second +8 +0.02 +0 +2/2'
# A run ended by train.max_steps within an epoch is validated at that step.
part=$(sed -n 's/^{"step": *3,.*"valid_loss": *\([0-9.]*\).*/\1/p' runs/part/metrics.jsonl)
matches "$(sed -n 4p table.txt)" "^runs/part +4 +0.01 +3 +0/2 +3 +$(printf %.4f "$part") +1 \(step 3\) +-  [0-9a-f]{16}\$"
json=$("$tutti" inspect runs/part runs/first --json)
json_matches "$json" '"path":"runs/part",.*"epoch":0,"epochs":2,"step":3,"best_valid_loss":'"$part"'[0-9]*,"best_epoch":1,"best_step":3,'
matches "$("$tutti" inspect runs/part)" "at this step +validation loss $(printf %.4f "$part")$"
json_matches "$("$tutti" inspect runs/part --json)" '"valid_loss":'"$part"
# This validation is found in front of a part of the file that is not text, which is not
# read.
cp -r runs/part runs/hole
truncate -s 20G runs/hole/metrics.jsonl
matches "$("$tutti" inspect runs/hole 2>hole.txt)" "at this step +validation loss $(printf %.4f "$part")$"
matches "$(cat hole.txt)" '^tutti: warning: runs/hole/.*metrics.jsonl:[0-9]+: a zero byte'
[ "$(wc -l <hole.txt)" = 1 ] || fail "a hole in the metrics: $(cat hole.txt)"
{ printf 'x%.0s' $(seq 70000); cat runs/part/metrics.jsonl; } >runs/hole/metrics.jsonl
matches "$("$tutti" inspect runs/hole 2>hole.txt)" "epoch +0"
matches "$(cat hole.txt)" 'metrics.jsonl:1: the line is longer than 65536 bytes'
rm -r runs/hole
matches "$(tail -n 1 table.txt)" '^runs/empty: a directory without a checkpoint'
[ "$(wc -l <table.txt)" = 6 ] || fail "lines of the table: $(cat table.txt)"
json=$("$tutti" inspect runs/empty runs/first runs/second --json)
json_matches "$json" '"kind":"runs","runs":\[\{"path":"runs/(first|second)","settings":\{"train.batch":[48],'
json_matches "$json" '"train.learning_rate":0.02\},"epoch":2,"epochs":2,'
json_matches "$json" '\{"path":"runs/empty","error":"runs/empty:adirectorywithout'
refuses 1 "none of 2 runs can be read; runs/empty: " "$tutti" inspect runs/empty nowhere
refuses 2 "--verify takes one path" "$tutti" inspect runs/first runs/second --verify
refuses 2 "--diff takes one path" "$tutti" inspect runs/first runs/second --diff runs/first

# ---- train --where: the progress of a run, for scripts ----
[ "$("$tutti" train first.conf --where)" = "step $(grep -c gradient_norm runs/first/metrics.jsonl) of runs/first" ] ||
    fail "where: $("$tutti" train first.conf --where)"
[ "$("$tutti" train first.conf --resume --where --set run.dir=runs/none)" = "step 0 of runs/none" ] ||
    fail "where: a run that has not begun"
[ ! -e runs/none ] || fail "where: created the run's folder"
# A kill may strike between a checkpoint and the link to it: the newest file takes
# precedence, and a resumed run updates the link.
newest=$(readlink runs/first/checkpoints/latest)
ln -sf epoch-0001.h5 runs/first/checkpoints/latest
[ "$("$tutti" train first.conf --where)" = "step $(grep -c gradient_norm runs/first/metrics.jsonl) of runs/first" ] ||
    fail "where: trusts the link: $("$tutti" train first.conf --where)"
"$tutti" train first.conf --resume >log.txt 2>&1 || fail "resume: $(cat log.txt)"
[ "$(readlink runs/first/checkpoints/latest)" = "$newest" ] || fail "resume does not update latest"
refuses 2 "unknown key bach" "$tutti" train first.conf --where --set train.bach=3
rm -r runs/empty

# ---- damage is found and named: shards, the index, a checkpoint, at several offsets ----
for file in index.h5 shard-0000.h5 shard-0003.h5; do
    size=$(stat -c %s "corpus.tutti/$file")
    for offset in 100 $((size / 2)) $((size - 200)); do
        rm -rf damaged.tutti
        cp -r corpus.tutti damaged.tutti
        flip "damaged.tutti/$file" "$offset"
        code=0
        "$tutti" inspect damaged.tutti --verify >out.txt 2>&1 || code=$?
        # a bit in space unused by HDF5 changes nothing
        if [ "$code" = 0 ]; then
            matches "$(cat out.txt)" "verified"
        else
            refuses 1 "damaged.tutti/$file" "$tutti" inspect damaged.tutti --verify
        fi
    done
done
# the tokens contain no unused space
rm -rf damaged.tutti
cp -r corpus.tutti damaged.tutti
offset=$(grep -abo "$(printf 'FRHP\|BTHD\|OHDR')" damaged.tutti/shard-0001.h5 | tail -1 | cut -d: -f1)
flip damaged.tutti/shard-0001.h5 $((offset + 6))
refuses 1 "damaged.tutti/shard-0001.h5" "$tutti" inspect damaged.tutti --verify
rm damaged.tutti/shard-0001.h5
refuses 1 "damaged.tutti/shard-0001.h5" "$tutti" inspect damaged.tutti --verify
rm damaged.tutti/index.h5
refuses 1 "shards, but no index.h5" "$tutti" inspect damaged.tutti
refuses 1 "no index.h5 next to it" "$tutti" inspect damaged.tutti/shard-0002.h5
mkdir half.partial
: >half.partial/UNFINISHED
refuses 2 "half.partial: .*preprocess" "$tutti" inspect half.partial
cp runs/first/checkpoints/epoch-0002.h5 broken.h5
flip broken.h5 $(($(stat -c %s broken.h5) / 2))
refuses 1 "broken.h5" "$tutti" inspect broken.h5 --verify
head -c 4000 runs/first/checkpoints/epoch-0002.h5 >short.h5
refuses 1 "short.h5" "$tutti" inspect short.h5

# ---- refusals ----
mkdir nothing
: >zero
refuses 1 "nowhere: " "$tutti" inspect nowhere
refuses 1 "nothing: a directory, but neither" "$tutti" inspect nothing
refuses 1 "zero: empty" "$tutti" inspect zero
refuses 1 "first.conf: neither a dataset or checkpoint" "$tutti" inspect first.conf
refuses 2 "can.t compare" "$tutti" inspect runs/first --diff corpus.tutti
refuses 2 "MIDI" "$tutti" inspect corpus/tune-000.mid --diff corpus/tune-001.mid
refuses 2 "verify" "$tutti" inspect runs/first --diff runs/first --verify
refuses 2 "" "$tutti" inspect
refuses 2 "json" "$tutti" inspect runs/first --jsno
if [ -w /dev/full ]; then
    code=0
    "$tutti" inspect runs/first --json >/dev/full 2>/dev/null || code=$?
    [ "$code" = 1 ] || fail "a full stdout: exit code $code"
fi
echo "inspect: all as expected"
