#!/bin/bash
# The remi encoding from MIDI files to MIDI files: settings, training on any number of
# ranks, generation with a primer, and what the generated files contain.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# band FILE: two bars of 3/4 and eight of 6/8 at 90 beats per minute, for flute and drums.
band() {
    "$python" - "$1" <<'END'
import struct, sys
def track(events):
    data, last = b"", 0
    for time, message in sorted(events, key=lambda e: e[0]):
        delta, last = time - last, time
        data += bytes([0x80 | delta >> 7, delta & 127]) + message
    data += b"\x00\xff\x2f\x00"
    return b"MTrk" + struct.pack(">I", len(data)) + data
metre = [(0, b"\xff\x58\x04\x03\x02\x18\x08"), (576, b"\xff\x58\x04\x06\x03\x18\x08"),
         (0, b"\xff\x51\x03" + (666667).to_bytes(3, "big"))]
flute, drums = [(0, b"\xc0\x49")], []
for beat in range(30):
    flute += [(96 * beat, bytes([0x90, 60 + beat % 7, 80])),
              (96 * beat + 90, bytes([0x80, 60 + beat % 7, 0]))]
    drums += [(96 * beat, bytes([0x99, 36, 100])), (96 * beat + 9, bytes([0x89, 36, 0]))]
open(sys.argv[1], "wb").write(b"MThd" + struct.pack(">IHHH", 6, 1, 3, 96)
                              + track(metre) + track(flute) + track(drums))
END
}

refuses 2 "data.positions is 7 .expected a divisor of 240" \
    "$tutti" preprocess . -o bad.tutti --encoding remi --positions 7
refuses 2 "remi" "$tutti" preprocess . -o bad.tutti --encoding remy

make_corpus corpus 40
band corpus/band.mid
"$tutti" preprocess corpus -o data.tutti --shards 8 --split "0.8 0.1 0.1" --encoding remi \
    --programs keep --drums keep >log.txt 2>&1 || { cat log.txt >&2; fail "preprocess"; }
grep -q "notes left out   0 percussion" log.txt || fail "percussion is lost: $(cat log.txt)"
"$tutti" inspect data.tutti --verify >log.txt 2>&1 || fail "inspect --verify: $(cat log.txt)"
write_run_conf 1 16 8 32
on 0 train run.conf >log.txt 2>&1 || { cat log.txt >&2; fail "train"; }
on 3 train run.conf --set run.dir=runs/three >log.txt 2>&1 || { cat log.txt >&2; fail "3 ranks"; }
same_metrics three whole "3 ranks"

"$tutti" evaluate runs/whole data.tutti >log.txt 2>&1 || { cat log.txt >&2; fail "evaluate"; }
grep -q "per note" log.txt && grep -q "per second" log.txt ||
    fail "no likelihood per note and second: $(cat log.txt)"

# A primer is kept with its metre, tempo and instruments.
"$tutti" generate runs/whole -o out.mid --prime corpus/band.mid --keep-primer --seconds 5 \
    >log.txt 2>&1 || { cat log.txt >&2; fail "generate"; }
"$tutti" inspect out.mid >out.txt || fail "inspect"
for line in "tempo  *87.4[0-9] beats per minute" "time signature  *3/4, 6/8 from" \
    "program  *73 Flute" "track .* Percussion" "channels .* 9 ("; do
    grep -q "$line" out.txt || fail "no $line in the file: $(cat out.txt)"
done
"$tutti" generate runs/whole -o again.mid --prime corpus/band.mid --keep-primer --seconds 5 \
    >log.txt 2>&1 || { cat log.txt >&2; fail "generate"; }
cmp out.mid again.mid || fail "another file from the same seed"

# On request: exactly this tempo, this metre, these instruments, this many bars.
"$tutti" generate runs/whole -o asked.mid --tempo 77.7 --time-signature 3/4 --programs 73,drums \
    --bars 12 --end forbid >log.txt 2>&1 || { cat log.txt >&2; fail "on request"; }
"$tutti" inspect asked.mid >out.txt || fail "inspect"
for line in "tempo  *77.70 beats per minute at first, 1 tempo event$" "time signature  *3/4$"; do
    grep -q "$line" out.txt || fail "no $line in the file: $(cat out.txt)"
done
grep "program  " out.txt | grep -qv "73 Flute" && fail "other instruments: $(cat out.txt)"
sed -n 's/^ *notes .* in \(.*\) s$/\1/p' out.txt | awk '{ exit !($1 > 20 && $1 <= 27.85) }' ||
    fail "not 12 bars: $(cat out.txt)"
"$tutti" generate runs/whole -o asked.mid --prime corpus/band.mid --keep-primer --seconds 5 \
    --tempo 100 >log.txt 2>&1 || { cat log.txt >&2; fail "a primer at a tempo"; }
grep -q "continued at 100 beats per minute" log.txt || fail "the tempo: $(cat log.txt)"
"$tutti" inspect asked.mid >out.txt || fail "inspect"
grep -q "tempo  *100.00 beats per minute at first, 1 tempo event$" out.txt || fail "the tempo: $(cat out.txt)"
refuses 2 "^tutti: time signature 5/16: not in the model's vocabulary" \
    "$tutti" generate runs/whole -o x.mid --time-signature 5/16

# Without tempos the primer's tempo is that of the file.
"$tutti" preprocess corpus -o timeless.tutti --shards 8 --split "0.8 0.1 0.1" \
    --encoding remi --no-tempo --programs keep --drums keep >log.txt 2>&1 ||
    { cat log.txt >&2; fail "preprocess --no-tempo"; }
on 0 train run.conf --set data.dataset=timeless.tutti --set run.dir=runs/timeless \
    >log.txt 2>&1 || { cat log.txt >&2; fail "train, no tempo"; }
"$tutti" generate runs/timeless -o out.mid --prime corpus/band.mid --keep-primer \
    --seconds 5 >log.txt 2>&1 || { cat log.txt >&2; fail "generate, no tempo"; }
grep -q "continued at 90 beats per minute" log.txt || fail "the tempo: $(cat log.txt)"
"$tutti" inspect out.mid >out.txt || fail "inspect"
grep -q "tempo  *90.00 beats per minute" out.txt || fail "the file's tempo: $(cat out.txt)"
grep -q "time signature  *3/4, 6/8 from 4.00 s" out.txt || fail "the metre: $(cat out.txt)"
echo "remi: all as expected"
