#!/bin/bash
# The generate command: files, reproducibility, primer, length, refusals.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
make_run lstm

# field FILE KEY: prints a number or text of `inspect --json`
field() { "$tutti" inspect "$1" --json | tr -d ' \n' | grep -Eo "\"$2\":[^,}]*" | head -1 | cut -d: -f2 | tr -d '"'; }
# at_least A B: true if A >= B
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }'; }

# the trainer's samples: names, number, validity
for name in epoch-0001-1 epoch-0001-2 epoch-0002-1 epoch-0002-2; do
    [ "$(field "runs/first/samples/$name.mid" outcome)" = ok ] || fail "sample $name"
    at_least "$(field "runs/first/samples/$name.mid" notes)" 1 || fail "$name has no notes"
done
[ "$(find runs/first/samples -name '*.mid' | wc -l)" = 4 ] || fail "number of samples"

# the same seed gives the same file, another seed another file; folders are created; notes
# and length are printed
"$tutti" generate runs/first -o out/a.mid --seconds 12 --seed 9 >output.txt
"$tutti" generate runs/first -o b.mid --seconds 12 --seed 9 >/dev/null
"$tutti" generate runs/first -o c.mid --seconds 12 --seed 10 >/dev/null
cmp -s out/a.mid b.mid || fail "the same seed gives another file"
cmp -s b.mid c.mid && fail "another seed gives the same file"
notes=$(field out/a.mid notes)
grep -q "^out/a.mid: $notes notes, " output.txt || fail "output: $(cat output.txt)"
at_least "$(field out/a.mid seconds)" 6 || fail "much shorter than requested"
at_least 12.05 "$(field out/a.mid seconds)" || fail "longer than requested"

# a run's directory means its best checkpoint
"$tutti" generate runs/first/checkpoints/best -o best.mid --seconds 12 --seed 9 >/dev/null
cmp -s best.mid b.mid || fail "the run's directory is not its best checkpoint"

# the defaults are the run's settings: given explicitly they change nothing, others do
"$tutti" generate runs/first -o d.mid >/dev/null
"$tutti" generate runs/first -o e.mid --seconds 5 --seed 5 --temperature 0.9 --top-k 0 \
    --top-p 0.98 >/dev/null
"$tutti" generate runs/first -o e1.mid --temperature 1 --top-p 1 >/dev/null
cmp -s d.mid e.mid || fail "defaults are not those of the configuration"
cmp -s d.mid e1.mid && fail "the command line doesn't override the configuration"

# the length stored in a checkpoint is limited; the user may ask for more
"$tutti" train first.conf --set run.dir=runs/long --set run.samples=0 --set train.max_steps=2 \
    --set run.sample_seconds=3000 >train.txt 2>&1 || fail "train: $(cat train.txt)"
"$tutti" generate runs/long -o long.mid --end forbid >output.txt 2>&1
grep -q "run.sample_seconds = 3000 is limited to 600" output.txt || fail "3000 s: $(cat output.txt)"
at_least 600.05 "$(field long.mid seconds)" || fail "longer than 600 s"
"$tutti" generate runs/long -o longer.mid --seconds 610 --end forbid >output.txt 2>&1
grep -q "is limited to" output.txt && fail "610 s: $(cat output.txt)"
at_least "$(field longer.mid seconds)" 600.05 || fail "not as long as requested"

# every sampling setting has an effect
for setting in "--temperature 0.2" "--top-k 1" "--top-p 0.05" "--temperature 0" "--min-p 0.3" \
    "--repetition-penalty 1.5" "--tempo 90"; do
    # shellcheck disable=SC2086
    "$tutti" generate runs/first -o f.mid --seconds 12 --seed 9 $setting >/dev/null
    cmp -s f.mid b.mid && fail "$setting changes nothing"
done
"$tutti" generate runs/first -o scale.mid --seconds 12 --seed 9 --scale "Gb major" >/dev/null
"$tutti" generate runs/first -o same.mid --seconds 12 --seed 9 --scale "f# major" >/dev/null
cmp -s scale.mid b.mid && fail "--scale changes nothing"
cmp -s scale.mid same.mid || fail "G flat is not F sharp"
"$tutti" generate runs/first -o top.mid --seconds 12 --seed 9 --top-k 1 --cache 0 >/dev/null
"$tutti" generate runs/first -o zero.mid --seconds 12 --seed 1 --temperature 0 --cache 0 >/dev/null
cmp -s top.mid zero.mid || fail "top-k 1 and temperature 0 both mean the most probable token"
"$tutti" generate runs/first -o unguarded.mid --seconds 60 --temperature 0 --no-guard >/dev/null
"$tutti" generate runs/first -o guarded.mid --seconds 60 --temperature 0 >/dev/null
cmp -s unguarded.mid guarded.mid && fail "--no-guard changes nothing"

"$tutti" generate runs/first -o slow.mid --tempo 75 >/dev/null
[ "$(field slow.mid first_tempo)" = 800000 ] || fail "--tempo 75: $(field slow.mid first_tempo)"

# the cache needs enough tokens to match; what it recalls is not in the piece without it
"$tutti" generate runs/first -o cache0.mid --seconds 60 --seed 9 --cache 0 >/dev/null
"$tutti" generate runs/first -o cache1.mid --seconds 60 --seed 9 --cache-context 1 >/dev/null
"$tutti" generate runs/first -o cache2.mid --seconds 60 --seed 9 --cache-context 10000 >/dev/null
cmp -s cache0.mid cache1.mid && fail "--cache-context 1 changes nothing"
cmp -s cache0.mid cache2.mid || fail "--cache-context 10000 changes the piece"

# the best of several: the same for any number of pieces and threads
"$tutti" generate runs/first -o best.mid --seconds 12 --seed 9 --count 3 --best-of 5 >/dev/null
OMP_NUM_THREADS=2 "$tutti" generate runs/first -o best.mid-1.mid --seconds 12 --seed 9 --best-of 5 >/dev/null
cmp -s best-1.mid best.mid-1.mid || fail "--best-of depends on --count or threads"
"$tutti" generate runs/first -o any.mid --seconds 12 --seed 9 --count 3 >/dev/null
for piece in 1 2 3; do
    cmp -s best-$piece.mid any-$piece.mid || differs=yes
done
[ "${differs:-}" = yes ] || fail "--best-of 5 always keeps the first piece"

# several pieces at once: piece 1 equals that of a batch of one, the pieces differ
"$tutti" generate runs/first -o many.mid --seconds 12 --seed 9 --count 3 >many.txt
[ "$(wc -l <many.txt)" = 3 ] || fail "three pieces: $(cat many.txt)"
cmp -s many-1.mid b.mid || fail "piece 1 depends on how many there are"
cmp -s many-1.mid many-2.mid && fail "pieces 1 and 2 are the same"
[ -e many-3.mid ] && [ ! -e many.mid ] && [ ! -e many-4.mid ] || fail "names of several"

# a primer: if kept, the piece begins with it; if not, it doesn't count towards the length
write_midi primer.mid 60 62 64 65 67 69 71 72
"$tutti" generate runs/first -o kept.mid --seconds 6 --seed 9 --prime primer.mid \
    --prime-seconds 2 --keep-primer >/dev/null
"$tutti" generate runs/first -o after.mid --seconds 6 --seed 9 --prime primer.mid \
    --prime-seconds 2 >/dev/null
"$tutti" generate runs/first -o plain.mid --seconds 6 --seed 9 >/dev/null
cmp -s after.mid plain.mid && fail "the primer changes nothing"
at_least "$(field kept.mid seconds)" 2.5 || fail "the kept primer shortened the piece"
at_least 8.05 "$(field kept.mid seconds)" || fail "longer than primer and piece"
at_least 6.05 "$(field after.mid seconds)" || fail "the length includes the primer"
kept=$(field kept.mid notes) after=$(field after.mid notes)
# two seconds at 120 beats per minute are four quarter notes
[ $((kept - after)) = 4 ] || fail "kept $kept notes, without the primer $after"

# a pianoroll counts beats: the primer's length in seconds and the piece's tempo follow
# its file
"$tutti" preprocess corpus -o roll.tutti --shards 4 --split "0.8 0.1 0.1" --encoding pianoroll \
    >/dev/null 2>&1 || fail "preprocess: pianoroll"
"$tutti" train first.conf --set data.dataset=roll.tutti --set data.encoding=pianoroll \
    --set run.dir=runs/roll --set run.samples=1 >/dev/null 2>&1 || fail "train: pianoroll"
tempo_of() { od -An -v -tx1 "$1" | tr -d ' \n' | grep -o 'ff5103......' | head -1 | cut -c 7-; }
tempo=1000000 write_midi slow.mid 60 62 64 65 67 69 71 72
"$tutti" generate runs/roll -o slow-kept.mid --prime slow.mid --keep-primer --seconds 2 >output.txt
grep -q '^primer slow.mid: 64 tokens, 8.0 s, continued at 60 beats per minute$' output.txt ||
    fail "a primer at 60 beats per minute: $(cat output.txt)"
[ "$(tempo_of slow-kept.mid)" = 0f4240 ] || fail "tempo of the piece: $(tempo_of slow-kept.mid)"
at_least "$(field slow-kept.mid seconds)" 8 || fail "the kept primer is too fast"
at_least 10.05 "$(field slow-kept.mid seconds)" || fail "longer than primer and piece"
"$tutti" generate runs/roll -o slow-part.mid --prime slow.mid --prime-seconds 4 --seconds 9 \
    >output.txt
grep -q '^primer slow.mid: 32 tokens, 4.0 s, ' output.txt || fail "4 s of 8: $(cat output.txt)"
at_least "$(field slow-part.mid seconds)" 6 || fail "much too short at 60 beats a minute"
at_least 9.05 "$(field slow-part.mid seconds)" || fail "too long at 60 beats a minute"
[ "$(tempo_of runs/roll/samples/epoch-0001-1.mid)" = 07a120 ] || fail "samples' tempo"
tempo=1 write_midi absurd.mid 60 62 64
refuses 2 "at the tempo of 60000000 beats" \
    "$tutti" generate runs/roll -o x.mid --prime absurd.mid --seconds 9

# with data.repeats a primer's repeated notes are kept, also by the pieces that follow
"$tutti" preprocess corpus -o repeats.tutti --shards 4 --split "0.8 0.1 0.1" --encoding pianoroll \
    --repeats >/dev/null 2>&1 || fail "preprocess: repeats"
"$tutti" train first.conf --set data.dataset=repeats.tutti --set run.dir=runs/repeats \
    >output.txt 2>&1 || fail "train: repeats"
grep -q "are the dataset's, not the configuration's: pianoroll, grid 1/4, repeats yes$" output.txt ||
    fail "the dataset's settings: $(cat output.txt)"
write_midi equal.mid 60 60 60 60
"$tutti" generate runs/repeats -o equal-kept.mid --prime equal.mid --keep-primer --seconds 1 \
    >output.txt
grep -q '^primer equal.mid: 35 tokens, 2.0 s, ' output.txt || fail "repeats: $(cat output.txt)"
"$tutti" generate runs/repeats -o equal-after.mid --prime equal.mid --seconds 1 >/dev/null
kept=$(field equal-kept.mid notes) after=$(field equal-after.mid notes)
[ $((kept - after)) = 4 ] || [ $((kept - after)) = 3 ] || fail "repeats: $kept notes, $after after"
"$tutti" evaluate runs/repeats repeats.tutti >output.txt 2>&1 || fail "evaluate: repeats"
grep -q '^  per frame ' output.txt || fail "frames: $(cat output.txt)"

# where pieces end: --end forbid gives the full length, draw ends some earlier, and require
# tries again until all end, or warns
count_shorter() { awk -v limit="$2" '$4 < limit { n++ } END { print n + 0 }' "$1"; }
"$tutti" generate runs/roll -o full.mid --seconds 30 --count 8 --end forbid >full.txt
"$tutti" generate runs/roll -o free.mid --seconds 30 --count 8 >free.txt
[ "$(count_shorter full.txt 26)" = 0 ] || fail "--end forbid: $(cat full.txt)"
[ "$(count_shorter free.txt 26)" -gt 0 ] || fail "no piece ends: $(cat free.txt)"
"$tutti" generate runs/roll -o whole.mid --seconds 30 --count 8 --end require >whole.txt 2>warnings.txt
[ ! -s warnings.txt ] || fail "--end require: $(cat whole.txt warnings.txt)"
[ "$(count_shorter whole.txt 26)" -gt "$(count_shorter free.txt 26)" ] ||
    fail "pieces are not tried again: $(cat whole.txt)"
"$tutti" generate runs/roll -o one.mid --seconds 30 --end require >/dev/null
cmp -s one.mid whole-1.mid || fail "the attempts at piece 1 depend on the number of pieces"
"$tutti" generate runs/roll -o short.mid --seconds 0.1 --count 2 --end require >/dev/null 2>warnings.txt
grep -q "^tutti: warning: pieces 1, 2 of 2 did not come to an end within 0.1 s; " \
    warnings.txt || fail "--end require in 0.1 s: $(cat warnings.txt)"
refuses 2 "expected draw, forbid or require" "$tutti" generate runs/roll -o x.mid --end never

# threads: the same files for any number of them, which the environment gives; a model that
# is too small gets fewer
started() { grep -c "^a thread" output.txt; }
for variant in model.cell=lstm model.cell=gru train.precision=bfloat16; do
    "$tutti" train first.conf --set $variant --set model.hidden=288 --set model.embedding=40 \
        --set train.max_steps=2 --set run.samples=0 --set run.dir="runs/$variant" >train.txt 2>&1 ||
        fail "train: $(cat train.txt)"
    for count in 1 5; do
        for threads in 1 2 3; do
            OMP_NUM_THREADS=$threads OMP_DISPLAY_AFFINITY=true OMP_AFFINITY_FORMAT="a thread" \
                "$tutti" generate "runs/$variant" -o "threads$threads.mid" --seconds 4 --count $count \
                >output.txt 2>&1 || fail "$variant, $threads threads: $(cat output.txt)"
            [ "$threads" = 1 ] || [ "$(started)" = "$threads" ] ||
                fail "$variant, $threads threads: $(cat output.txt)"
            for file in threads1*.mid; do
                cmp "$file" "threads$threads${file#threads1}" || fail "$variant: $threads threads"
            done
        done
        rm threads*.mid
    done
done
for count in 1:0 64:3; do
    OMP_NUM_THREADS=8 OMP_DISPLAY_AFFINITY=true OMP_AFFINITY_FORMAT="a thread" \
        "$tutti" generate runs/first -o small.mid --seconds 1 --count ${count%:*} >output.txt 2>&1 || true
    [ "$(started)" = ${count#*:} ] || fail "a small model, $count: $(cat output.txt)"
done
refuses 2 "3 threads were requested, but OpenMP starts only 2" env OMP_THREAD_LIMIT=2 OMP_NUM_THREADS=3 \
    "$tutti" generate runs/model.cell=lstm -o x.mid

# each thread is bound to its place, although the sandbox lets it bind only itself
places() { # PID: the different sets of cores on which its child's threads may run
    local child
    child=$(pgrep -P "$1") || return
    sed -n 's/^Cpus_allowed_list:\s*//p' "/proc/$child/task/"*/status 2>/dev/null | sort -u | wc -l
}
has_two_places() { [ "$(places "$1")" = 2 ]; }
if [ "$(nproc)" -ge 2 ]; then
    OMP_NUM_THREADS=2 OMP_PROC_BIND=close OMP_PLACES=threads "$tutti" generate runs/model.cell=lstm \
        -o bound.mid --seconds 600 --count 64 --end forbid >/dev/null &
    generator=$!
    wait_until "two threads on different cores" has_two_places $generator
    kill $generator
    wait $generator 2>/dev/null || true
fi

# on request: bars at a tempo, the marks of the file, the instrument; with the run's settings
"$tutti" generate runs/first -o asked.mid --bars 6 --tempo 100 --time-signature 3/4 --programs 48 \
    --seed 9 --end forbid >output.txt || fail "on request: $(cat output.txt)"
"$tutti" inspect asked.mid >output.txt
seconds=$(sed -n 's/^ *notes .* in \(.*\) s$/\1/p' output.txt)
at_least 10.85 "$seconds" || fail "longer than 6 bars: $(cat output.txt)"
at_least "$seconds" 5 || fail "much shorter than 6 bars: $(cat output.txt)"
for line in "tempo  *100.00 beats per minute" "time signature  *3/4$" "program  *48 "; do
    grep -q "$line" output.txt || fail "no $line in the file: $(cat output.txt)"
done
refuses 2 "use one of them" "$tutti" generate runs/first -o x.mid --bars 3 --seconds 3
refuses 2 "bars" "$tutti" generate runs/first -o x.mid --bars 0
refuses 2 "^tutti: 4 programs requested, but this model has merged them into one instrument" \
    "$tutti" generate runs/first -o x.mid --programs 3-6
refuses 2 "^tutti: percussion requested, but this model has none" \
    "$tutti" generate runs/first -o x.mid --programs drums
refuses 2 "programs = 3-: expected all, or programs" "$tutti" generate runs/first -o x.mid --programs 3-
refuses 2 "time_signature = 3/5: expected any, or a time signature such as 3/4" \
    "$tutti" generate runs/first -o x.mid --time-signature 3/5

# refusals
refuses 1 "nowhere: no such file" "$tutti" generate nowhere -o x.mid
refuses 1 "corpus: a directory without a checkpoint" "$tutti" generate corpus -o x.mid
refuses 1 "primer.mid" "$tutti" generate primer.mid -o x.mid
refuses 1 "index.h5" "$tutti" generate corpus.tutti/index.h5 -o x.mid
refuses 1 "gone.mid" "$tutti" generate runs/first -o x.mid --prime gone.mid
refuses 1 "first.conf: can't be the primer" "$tutti" generate runs/first -o x.mid --prime first.conf
refuses 2 "no output" "$tutti" generate runs/first
refuses 2 "corpus: a directory" "$tutti" generate runs/first -o corpus
refuses 2 "add --prime" "$tutti" generate runs/first -o x.mid --keep-primer
refuses 2 "temperature" "$tutti" generate runs/first -o x.mid --temperature cold
refuses 2 "top.p" "$tutti" generate runs/first -o x.mid --top-p 1.5
refuses 2 "expected a tonic and a mode.*: major, minor, .*locrian, .*blues or chromatic" \
    "$tutti" generate runs/first -o x.mid --scale "D doric"
refuses 2 "min_seconds 20 .expected 0 to the length of 5 s" "$tutti" generate runs/first -o x.mid --seconds 5 --min-seconds 20
refuses 2 "tempo 2 .expected 4 to 1000 beats per minute, or 0" "$tutti" generate runs/first -o x.mid --tempo 2
refuses 2 "the best of 100 for 50 pieces" "$tutti" generate runs/first -o x.mid --best-of 100 --count 50
refuses 2 "cache = 2: expected a number from 0 to 1" "$tutti" generate runs/first -o x.mid --cache 2
refuses 2 "min_p = 2: expected a number from 0 to 1" "$tutti" generate runs/first -o x.mid --min-p 2
refuses 2 "seconds" "$tutti" generate runs/first -o x.mid --seconds 0
refuses 2 "count" "$tutti" generate runs/first -o x.mid --count 0
refuses 2 "seeds" "$tutti" generate runs/first -o x.mid --seeds 3
refuses 2 "" "$tutti" generate
refuses 2 "primer.mid/x.mid: can.t write: Not a directory" "$tutti" generate runs/first -o primer.mid/x.mid
# names with the extension of another format are refused, all others are accepted
for name in music.wav out/music.MP3 a.b.ogg music.flac music.json music.h5 music.txt \
    music.musicxml music.xml ./x.pdf .wav music.mid.gz; do
    refuses 2 "$name: generate writes MIDI files, not \..*; name the output .*mid$" \
        "$tutti" generate runs/first -o $name --seconds 1
    [ ! -e $name ] || fail "$name was written"
done
for name in n.mid n.MIDI n.smf n.kar none take.2 v1.2026-11-28 odd.; do
    "$tutti" generate runs/first -o $name --seconds 3 --seed 9 >/dev/null || fail "-o $name"
    [ "$(head -c 4 $name)" = MThd ] || fail "$name is not a MIDI file"
done
"$tutti" generate runs/first -o song.kar --seconds 3 --count 2 >/dev/null
[ -e song-2.kar ] || fail "names of several .kar files"
[ ! -e x.mid ] || fail "a refused command wrote a file"

# a file with a flipped bit is refused by name
cp runs/first/checkpoints/epoch-0002.h5 broken.h5
flip broken.h5 $(($(stat -c %s broken.h5) / 2))
refuses 1 "broken.h5" "$tutti" generate broken.h5 -o x.mid
head -c 5000 runs/first/checkpoints/epoch-0002.h5 >short.h5
refuses 1 "short.h5" "$tutti" generate short.h5 -o x.mid

# a full stdout is a failure
if [ -w /dev/full ]; then
    code=0
    "$tutti" generate runs/first -o y.mid --seconds 3 >/dev/full 2>/dev/null || code=$?
    [ "$code" = 1 ] || fail "a full stdout: exit code $code"
fi
echo "generate: all as expected"
