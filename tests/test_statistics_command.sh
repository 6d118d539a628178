#!/bin/bash
# tutti statistics: files and folders, skipped files, errors, JSON.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Eight quarter notes up a scale, and back in the other piece.
mkdir songs other
write_midi songs/up.mid 60 62 64 65 67 69 71 72
write_midi songs/turn.mid 60 62 64 65 67 65 64 62 60 60
write_midi other/high.mid 67 69 71 72 74 76 78 79
write_midi other/other.mid 60 60 60 60 60 60 60 60 60

# value_of FILE GROUP METRIC: prints the mean of a metric as JSON has it.
value_of() {
    "$python" - "$@" <<'END'
import json, sys
group = json.load(open(sys.argv[1]))["groups"][int(sys.argv[2])]
print(group["metrics"][sys.argv[3]]["mean"])
END
}

# expect FILE GROUP METRIC VALUE
expect() {
    local found
    found=$(value_of "$1" "$2" "$3")
    [ "$found" = "$4" ] || report_failure "$1: $3 of group $2 is $found, not $4"
}

"$tutti" statistics songs other --json >out.json 2>err.txt || fail "statistics: $(cat err.txt)"
expect out.json 0 notes 9
expect out.json 0 seconds 4.5
expect out.json 0 pitch_range 9.5
expect out.json 0 scale_consistency 1
expect out.json 0 copied_groups None
expect out.json 1 pitch_range 6
expect out.json 1 repeated_notes 0.5

# The scale stands in songs, higher; eight equal notes don't.
"$tutti" statistics songs other --training songs --json >out.json 2>err.txt ||
    fail "statistics --training: $(cat err.txt)"
expect out.json 0 copied_groups 0
expect out.json 1 copied_groups 0.5

# A link to the folder holds the same pieces, which are not copies of themselves.
if ln -s songs link 2>/dev/null; then
    "$tutti" statistics songs --training link --json >out.json 2>err.txt || fail "a link: $(cat err.txt)"
    expect out.json 0 copied_groups 0
fi

# So does a dataset, which determines how its files are prepared.
for pedal in extend ignore; do
    "$tutti" preprocess songs -o songs.tutti --replace --split "1 0 0" --set data.pedal=$pedal >log.txt 2>&1 ||
        fail "preprocess: $(cat log.txt)"
    "$tutti" statistics songs --training songs.tutti --json >out.json 2>err.txt ||
        fail "a dataset, $pedal: $(cat err.txt)"
    expect out.json 0 copied_groups 0
    "$tutti" statistics songs --training songs.tutti --ignore-pedal >out.txt 2>err.txt && code=0 || code=$?
    [ "$code" = "$([ $pedal = extend ] && echo 2 || echo 0)" ] || fail "--ignore-pedal, $pedal: $code"
done
"$tutti" statistics songs.tutti >out.txt 2>err.txt && code=0 || code=$?
[ "$code" = 2 ] || fail "a dataset as PATH: $code"
grep -q '^tutti: songs.tutti is a dataset' err.txt || fail "a dataset as PATH: $(cat err.txt)"

# The table has the same values; files are the same as their folder.
"$tutti" statistics songs/up.mid songs/turn.mid >out.txt || fail "statistics: two files"
grep -q '^1  songs/up.mid: 1 piece, 0 skipped$' out.txt || fail "heading: $(cat out.txt)"
grep -Eq '^  notes +8\.000 +8\.000 +8\.000 +8\.000 +10\.00 +10\.00 +10\.00 +10\.00$' out.txt ||
    fail "notes: $(cat out.txt)"
! grep -q copied_groups out.txt || fail "copied_groups without --training"

# Of the first 1.6 seconds, four notes.
"$tutti" statistics songs/up.mid --seconds 1.6 --json >out.json || fail "--seconds"
expect out.json 0 notes 4
expect out.json 0 seconds 1.6
grep -q '"excerpt_seconds": 1.6' out.json || fail "--seconds is not recorded"

# Damaged files are skipped with a line.
printf 'MThd\0\0' >songs/damaged.mid
write_midi songs/empty.mid
"$tutti" statistics songs >out.txt 2>err.txt || fail "statistics with damaged files"
grep -q '^1  songs: 2 pieces, 2 skipped$' out.txt || fail "skipped: $(cat out.txt)"
grep -q '^skipped songs/damaged.mid: .*header' err.txt || fail "damaged: $(cat err.txt)"
grep -q '^skipped songs/empty.mid: .*notes' err.txt || fail "empty: $(cat err.txt)"

# Errors.
mkdir nothing
rm songs/damaged.mid songs/empty.mid
refuses 2 'none: ' "$tutti" statistics songs none
refuses 1 'nothing: no MIDI file with notes' "$tutti" statistics nothing
refuses 1 'nothing: no MIDI file with notes' "$tutti" statistics other --training nothing
refuses 2 '' "$tutti" statistics
check_failures
